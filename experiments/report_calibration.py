"""Can one tell from the start of a network, before any training, whether it will train?

python -m experiments.report_calibration
"""

import dataclasses
import itertools

from resjax import lab
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number
from resjax.lab.trial import Trial
from resjax.lab.tuning import RATES
from resjax.reporting.indicators import INDICATORS, indicators

KEY = ("depth", "width", "connection", "norm", "order", "initializer", "activation", "seed")
SEEN = {name: number(meaning) for name, meaning in INDICATORS.items()}
RESULTS = columns(*KEY, **SEEN) | columns("learning_rate", "at_edge", "train_loss", "train_accuracy", "diverged")
TABLES = {"results": RESULTS, "rates": RATES}
BRANCHING = ("plain", "residual", "scaled(power=0.5)", "scaled(power=1)", "rezero")
COMBINATIONS = [
    *({"connection": c, "norm": n} for c, n in itertools.product(BRANCHING, ("none", "batch", "layer"))),
    *({"connection": "plain", "norm": n, "initializer": "orthogonal"} for n in ("none", "batch", "layer")),
    *({"connection": "plain", "activation": "tanh", "initializer": i} for i in ("orthogonal", "lecun_normal")),
    {"connection": "plain", "activation": "crelu", "initializer": "looks_linear"},
    *({"connection": "plain", "initializer": i} for i in ("zeros", "constant(value=0.1)", "normal(stddev=0.05)")),
    *({"initializer": i} for i in ("fixup", "zeros", "normal(stddev=0.01)", "normal(stddev=0.05)", "xavier_normal")),
    *({"norm": n, "initializer": "zeros"} for n in ("batch", "layer")),
    *({"norm": "layer", "order": o} for o in ("post", "deepnorm", "keel", "lns", "peri")),
    *({"norm": "batch", "order": o} for o in ("post", "norm_after_addition")),
    *({"norm": "rms", "connection": c} for c in ("plain", "residual")),
    *({"norm": "layer", "connection": c} for c in ("layerscale", "hyper", "mhc", "gated_streams", "laurel", "delta")),
    *(
        {"connection": c, "norm": n, "width": w}
        for (c, n), w in itertools.product(
            (("plain", "batch"), ("residual", "batch"), ("residual", "none"), ("scaled(power=0.5)", "none")), (16, 128)
        )
    ),
]


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    depth: int = option(1000, "weighted layers of each network", minimum=1)
    steps: int = option(100, "training steps", minimum=1)
    learning_rates: tuple[float, ...] = option((0.0003, 0.001, 0.003, 0.01, 0.03), "peak rates", minimum=1e-30)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def trials(config: Config) -> list[Trial]:
    """The networks."""
    usual = {"connection": "residual", "norm": "none"}
    return [Trial.of(config, seed=seed, **usual | choices) for choices in COMBINATIONS for seed in range(config.seeds)]


def rows(bench, trial: Trial, config: Config):
    """What is seen at the start, and what became of it."""
    trained = bench.train(trial)
    seen = bench.once(lab.reporting.read, dataclasses.replace(trial, learning_rate=config.rates[0]))
    yield "results", trained | indicators(seen)


def summary(tables):
    return tables["results"], "x"


def draw(tables, canvas):
    pass


STUDY = Study(Config, TABLES, trials, rows, draw, summary, tuned=True)

if __name__ == "__main__":
    STUDY.main()
