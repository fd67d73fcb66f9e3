"""What a study is made of: one trial after the other, each with what is swept."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from resjax.lab.config import Tuning
from resjax.lab.trial import Trial

STARTING = 150  # about as many layers train in the time that a network takes to compile; for the progress bar

Row = tuple[str, dict[str, Any]]  # the table it goes to, and its values; those of its trial's options are there, too


@dataclasses.dataclass(frozen=True)
class Part:
    """One trial of a study, with what is swept."""

    swept: dict[str, Any]
    config: Any
    trial: Any

    @property
    def key(self) -> dict[str, Any]:
        """What tells its rows from others': what is swept, and the trial's options."""
        if dataclasses.is_dataclass(self.trial) and not isinstance(self.trial, type):
            return self.told(dataclasses.asdict(self.trial))
        return self.swept

    def told(self, values: dict[str, Any]) -> dict[str, Any]:
        """These values, and what is swept: it stands for the tuple of an option that may have several values."""
        several = {name for name, value in values.items() if isinstance(value, tuple)}
        return self.swept | values | {name: value for name, value in self.swept.items() if name in several}

    @property
    def first(self) -> Any:
        """The trial, at the first rate at which it is trained."""
        if isinstance(self.trial, Trial) and isinstance(self.config, Tuning):
            return dataclasses.replace(self.trial, learning_rate=self.config.rates[0])
        return self.trial

    @property
    def share(self) -> float:
        """How far the progress bar moves for it."""
        return STARTING + getattr(self.trial, "depth", 0)


class Studied(Protocol):
    """What the loop over the parts asks of a study."""

    @property
    def rows(self) -> Callable[[Any, Any, Any], Iterable[Row]]:
        """Trains and measures one of its trials."""

    @property
    def command(self) -> list[str]:
        """What Python is given to run it."""

    @property
    def timed(self) -> bool:
        """Whether nothing may compile beside training."""

    @property
    def programs(self) -> Callable[[Any, Any], Iterable[Any]] | None:
        """Which networks `rows` trains for one of its trials, in their order; None: that one alone."""

    @property
    def tuned(self) -> bool:
        """Whether `rows` gets each trial at its best learning rate."""
