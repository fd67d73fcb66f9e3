"""The options of an experiment on texts: a small transformer, and how it is trained by default."""

import dataclasses

from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option


@dataclasses.dataclass(frozen=True)
class OnTexts(Running, Tuning, Training):
    """Options of training, with other defaults."""

    network: str = option("transformer(heads=2)", "as in depth_scaling, of one stage")
    dataset: str = option("text(window=64)", "as in depth_scaling")
    width: int = option(32, "units of the stream", minimum=1)
    depths: tuple[int, ...] = option((50,), "weighted layers of each network", minimum=1)
    norms: tuple[str, ...] = option(("layer",), "normalisations, as in depth_scaling")
    optimizer: str = option("adamw(b2=0.95)", "as in depth_scaling")
    schedule: str = option("cosine", "as in depth_scaling")
    warmup_steps: int = option(20, "steps over which the learning rate rises from zero", minimum=0)
    clip_norm: float = option(1.0, "clip the gradient's global norm; 0 does not clip", minimum=0)
    batch_size: int = option(8, "examples a step", minimum=1)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)
