"""Will my block train at depth 1000, and why?

    python -m experiments.report --connections=plain
    python -m experiments.report --connections=mine:Highway --depth=1000 --against=plain,residual,rezero
    python -m experiments.report --block=mine:Swish --connections=residual --thorough
    python -m experiments.report --network=transformer --order=post

Each network is read at its start, in float64, and then trained at every rate, with a hundredth, a tenth and all of the
layers. It trains if it learns half of what the shallowest one does: of the entropy of the targets, the share that it
takes away. `report.html` stands beside the tables, and needs nothing else: a verdict, checks with their thresholds,
what to try, figures, costs. The command ends with 0 if all that were asked for train, else with 3; --json prints the
checks. --thorough has five seeds, lesions, paths and curvature. In Python it is `rj.report(block)`.

Found, with the first command, in one minute on 2 CPU cores: plain networks with batch norm do not train at 1000 layers,
nor at 100. Their gradients grow by 2.3 a block. Residual ones learn 94 % at 1000 layers, and half of the steps do.
Transformers, and --thorough, take two and nine minutes.

Not shown: longer training; other widths. The limits of the start are of dense networks of 1000 layers on the digits
(`report_calibration`), so that elsewhere they are a guess; the training is none.
"""

import dataclasses
import itertools

from resjax import lab, reporting
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.trial import Trial
from resjax.reporting.asked import RUNGS
from resjax.system.errors import UserError

DEPTHS = {"dense": 1000, "transformer": 50, "vit": 50, "wide": 58, "iresnet": 55, "imagenet": 34}  # of others 56
TEXT = {"dataset": "text(window=64)", "optimizer": "adamw(b2=0.95)", "norms": ("layer",), "batch_size": 4}
IMAGES = {"dataset": "digits", "optimizer": "sgd", "norms": ("batch",), "batch_size": 32}
USUAL = {  # what a network has where its flag is left open
    "transformer": TEXT | {"width": 32},
    "vit": IMAGES | {"optimizer": TEXT["optimizer"], "norms": TEXT["norms"]},
}
THOROUGH = {"seeds": 5, "rungs": 5}


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    depth: int = option(0, "weighted layers; default: 1000, of transformers 50, of convolutions 56", minimum=0)
    connections: tuple[str, ...] = option(("residual",), "connections to report on, as in depth_scaling")
    norms: tuple[str, ...] = option(("",), "normalisations, as in depth_scaling; default: batch, of transformers layer")
    against: tuple[str, ...] = option(("plain", "residual"), "connections that they are compared with")
    dataset: str = option("", "as in depth_scaling; default: digits, of tokens text(window=64)")
    optimizer: str = option("", "as in depth_scaling; default: sgd, of transformers adamw(b2=0.95)")
    batch_size: int = option(0, "examples a step; default: 32, of tokens 4", minimum=0)
    learning_rates: tuple[float, ...] = option((0.001, 0.003, 0.01, 0.03), "peak rates to choose from", minimum=1e-30)
    steps: int = option(100, "training steps", minimum=2)
    warmup_steps: int = option(10, "steps over which the learning rate rises from zero", minimum=0)
    log_every: int = option(5, "steps between the points of the learning curves", minimum=1)
    rungs: int = option(RUNGS, "depths that are trained, from a hundredth of --depth on", minimum=1)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)
    thorough: bool = option(False, "5 seeds, 5 depths; lesions, paths and landscape")
    json: bool = option(False, "print the checks as JSON, and nothing else on stdout", changes_results=False)

    def __post_init__(self):
        network = lab.names.parse(self.network, "network")[0]
        usual = USUAL.get(network, IMAGES) | {"depth": DEPTHS.get(network, 56)}
        for name, value in usual.items():  # so that the record says it
            if getattr(self, name) in ("", 0, ("",)):
                object.__setattr__(self, name, value)
        if self.thorough:
            for name, value in THOROUGH.items():
                object.__setattr__(self, name, max(value, getattr(self, name)))
        super().__post_init__()
        if self.sweep:
            raise UserError(
                f"--sweep={self.sweep}: a report has no sweep; give --connections and --norms several values"
            )
        if self.log_every > self.steps // 2:
            raise UserError(f"--log_every={self.log_every}: must be at most half of --steps={self.steps}")
        if self.label_smoothing or ":" in self.task:
            name = "label_smoothing" if self.label_smoothing else "task"
            raise UserError(
                f"--{name}={getattr(self, name)}: what is to be learned is known of cross-entropy and squares"
            )


def trials(config: Config) -> list[Trial]:
    """The networks asked for at the depth asked for, and then those that they are compared with."""
    shared = {"depth": config.depth, "learning_rate": config.rates[0]}
    asked = [
        Trial.of(config, connection=connection, norm=norm, **shared)
        for connection in config.connections
        for norm in config.norms
    ]
    usual = Trial(network=config.network)
    own = {name: getattr(usual, name) for name in ("block", *lab.report.trials.VARIED)} | {"norm": config.norms[0]}
    others = [Trial.of(config, connection=connection, **shared | own) for connection in config.against]
    return asked + [other for other in others if other not in asked]


def ladder(trial: Trial, config: Config) -> list[Trial]:
    """The network at every depth at which it trains."""
    return [dataclasses.replace(trial, depth=depth) for depth in lab.report.trials.ladder(trial, config.rungs)]


def rows(bench, trial: Trial, config: Config):
    """What its start looks like, what became of it at every rate and depth, and what to think of it."""
    asked = len(config.connections) * len(config.norms)
    key = {"subject": lab.report.trials.name(trial), "beside": trial not in trials(config)[:asked]}
    seen = bench.once(lab.report.trials.read, trial)
    for row in lab.report.trials.rows(lab.report.trials.signals(trial, seen)):
        yield "signals", key | row
    trained = []
    curves = []
    for own, rate, seed in itertools.product(ladder(trial, config), config.rates, range(config.seeds)):
        own = dataclasses.replace(own, learning_rate=rate, seed=seed)
        place = {"depth": own.depth, "learning_rate": rate, "seed": seed}
        trained.append(place | bench.train(own))
        curves += [row | place for row in bench.store.curve(own)]
    for row in trained[:: len(config.rates) * config.seeds]:
        yield "timings", key | row
    cost = {"flops": seen["flops"]} | bench.once(lab.report.trials.memory, trial)
    if config.thorough:
        rates = [row for row in trained if row["depth"] == trial.depth]
        best = dataclasses.replace(trial, learning_rate=reporting.checks.best_of(rates, trial.depth))
        if bench.train(best)["diverged"] is None:
            found = bench.once(lab.report.trials.look, best, when="trained")
            for check in reporting.trained.checks(found, len(seen["activation_mean_square"])):
                yield "checks", key | check._asdict()
    for table, row in reporting.assess.assessed(seen, trained, curves, trial.depth, config.steps):
        yield table, key | cost | row


STUDY = Study(
    Config,
    lab.report.tables.TABLES,
    trials,
    rows,
    draw=lambda tables, canvas: lab.report.figures.draw(tables, canvas),
    summary=lab.report.tables.summary,
    programs=ladder,
    colored=True,
    page=lambda tables, folder, config: lab.report.page.write(tables, folder, config),
)

if __name__ == "__main__":
    STUDY.main()
