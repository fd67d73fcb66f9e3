"""A case of `benchmarks.accelerator` whose measures are known, without a device."""

import dataclasses

import jax


@dataclasses.dataclass(frozen=True)
class Known:
    """A case that takes so many milliseconds, or fails."""

    network: str
    milliseconds: float = 0
    says: str = ""
    gigaflop: float = 1
    networks: int = 1
    measured: list = dataclasses.field(default_factory=list, compare=False)

    @property
    def named(self):
        return {"network": self.network, "dtype": "float32", "networks": self.networks}

    def measure(self, pace):
        self.measured.append(self.network)
        if self.says:
            raise jax.errors.JaxRuntimeError(self.says)
        return {"gigaflop": self.gigaflop, "step_milliseconds": self.milliseconds}
