"""A study without training: a network is a number, and what is measured of it is its product with a factor.

python -m product_study --depths=1,2 --factor=3
"""

import dataclasses
import time

from resjax.lab.config import Running
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, whole
from resjax.lab.trial import Start
from resjax.system.errors import Failure, UserError

TABLES = {"results": columns("depth", value=number("the product")), "long": columns("depth", at=whole("from 0"))}
MADE: list[int] = []  # what this process has measured


@dataclasses.dataclass(frozen=True)
class Config(Running):
    """The options of this study."""

    depths: tuple[int, ...] = option((1, 2, 3), "numbers", minimum=1)
    factor: float = option(1.0, "what they are multiplied by")
    square: bool = option(False, "multiply twice")
    repeat: int = option(2, "rows in the long table", minimum=1)
    bad: int = option(0, "a number that cannot be multiplied", changes_results=False)
    seconds: float = option(0.0, "that a product takes", changes_results=False)


def trials(config: Config) -> list[Start]:
    """A number a trial."""
    return [Start(depth=depth) for depth in config.depths]


def product(trial: Start, factor: float, seconds: float) -> dict[str, float]:
    """A measurement, which says that it was done."""
    time.sleep(seconds)
    MADE.append(trial.depth)
    return {"value": trial.depth * factor}


def rows(bench, trial: Start, config: Config):
    """Its product, and many rows of nothing."""
    before = len(MADE)
    if trial.depth == config.bad:
        raise Failure(f"{trial.depth}: is bad")
    factor = config.factor**2 if config.square else config.factor
    found = bench.once(product, trial, factor=factor, seconds=config.seconds)
    if len(MADE) > before:
        bench.say(f"made {trial.depth}")
    for at in range(config.repeat):
        yield "long", {"at": at}
    yield "results", found


def refuse(trial: Start, config: Config) -> None:
    """Thirteen."""
    if trial.depth == 13:
        raise UserError("--depths=13: brings bad luck")


def draw(tables, canvas) -> None:
    """A dot a product."""
    with canvas.figure() as axes:
        for label, color, found in canvas.families(tables["results"].assign(all="product"), "all"):
            axes[0].plot(found["depth"], found["value"], "o", color=color, label=label)
        axes[0].legend()


STUDY = Study(Config, TABLES, trials, rows, draw, lambda tables: (tables["results"], "products"), refuse=refuse)

if __name__ == "__main__":
    STUDY.main()
