"""What does the loss look like around a trained network, with skips and without?

    python -m experiments.landscape --planes=random,pca
    python -m experiments.landscape --steps=1000 --seeds=5

As Li et al. 2018 (arXiv 1712.09913): the loss in a plane through the trained weights along two random directions,
filter by filter as long as the weights; in the plane in which the weights moved most (pca, for which checkpoints are
kept on the way); and on random lines. Biases, and the parameters of norms, never move. All networks are read where
their training loss has come down to --matched_loss. Lanczos' algorithm finds the Hessian's eigenvalues from inside.

Found, with the second command, in nine minutes on 2 CPU cores, 95 % t intervals of five seeds: at training losses of
.19 and .16 20 plain layers are more curved than 20 residual ones. With the images' own statistics λ_max is 28 (18–44)
against 1.7 (1.1–2.5), and 72 ± 1 % of the chords are convex against 99.6 ± 0.1 %. Of 56 and 110 residual layers λ_max
is not told apart from that, 1.8 (1.3–2.5) and 2.4 (1.6–3.6); by a point fewer chords are convex. Plain ones never come
down: the whole plane of seed 0 lies at 2.1 to 3.5, in running statistics at up to 10²⁵. Of transformers on a text, at
one loss, three seeds, pre-norm's λ_max is 4.5 ± 2.2 with 10 layers and 4.0 ± 0.8 with 50; ReZero's 31 ± 9 and 49 ± 40.

Not shown: rates above .1, the best of residual networks; minima of networks that do not come to --matched_loss.
"""

import dataclasses
import functools
import itertools

from resjax import lab, probes
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import AROUND, columns, number, records, text, whole
from resjax.lab.trial import Trial
from resjax.lab.tuning import RATES
from resjax.system.errors import UserError

KEY = columns("connection", "norm", "depth", "width", "seed") | {
    "statistics": text("running: norms have those that training left; batch: those of the images at every point")
}
PLANE = KEY | {"plane": text("random: in lengths of the filters; pca: in distances")}
X, Y = ({name: number("where in the plane, or on the line", dtype="float32")} for name in "xy")
LOSS = {"loss": number("mean over the images of the landscape", dtype="float32")}
RESULT = ("learning_rate", "at_edge", "steps", "diverged", "train_loss", "train_accuracy", "test_accuracy", "matched")
MEASURED = columns("parameters", *RESULT, *AROUND)
TABLES = {
    "results": PLANE | MEASURED,
    "surface": PLANE | X | Y | LOSS | {"accuracy": number("over these images", dtype="float32")},
    "lines": KEY | {"line": whole("from 0")} | X | LOSS,
    "curvature": PLANE | X | Y | columns("lambda_max", "lambda_min"),
    "trajectory": KEY | columns("step", x=number("in the plane pca"), y=number("in the plane pca")),
    "rates": RATES,
}
PLANES = ("random", "pca")
STATISTICS = ("running", "batch")
SAMPLING = ("images", "resolution", "radius", "lines", "lanczos", "curvature_points", "level", "highest")


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((20, 56, 110), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(("plain", "residual"), "connections, as in depth_scaling")
    norms: tuple[str, ...] = option(("batch",), "normalisations, as in depth_scaling")
    width: tuple[int, ...] = option((32,), "units or filters of the stem", minimum=1)
    seeds: int = option(1, "seeds of each network and of its directions: 0, 1, …", minimum=1)
    planes: tuple[str, ...] = option(("random",), "planes through the trained weights", choices=PLANES)
    statistics: tuple[str, ...] = option(STATISTICS, "statistics of norms around these weights", choices=STATISTICS)
    matched_loss: float = option(0.2, "training ends once its loss is no more; 0: after all steps", minimum=0)
    level: float = option(1.0, "loss above the centre's that still counts for share_within", minimum=0)
    highest: float = option(10.0, "loss at the ends of a chord that still counts for convexity", minimum=0)
    steps: int = option(400, "training steps", minimum=1)
    resolution: int = option(31, "points on a side of a plane, and on a line", minimum=3)
    radius: float = option(1.0, "how far the random plane and lines reach, in lengths of the filters", minimum=0.001)
    lines: int = option(10, "random lines", minimum=1)
    images: int = option(256, "training images, the first ones, that the loss is the mean of", minimum=1)
    curvature_points: int = option(5, "points on a side of the random plane where the Hessian is measured", minimum=1)
    lanczos: int = option(20, "steps of Lanczos' algorithm there, and at the end of training", minimum=2)
    trajectory_every: int = option(40, "steps between the weights whose pca is taken", minimum=1)


def trials(config: Config) -> list[Trial]:
    """The networks to train."""
    chosen = itertools.product(config.depths, config.width, config.norms, config.connections, range(config.seeds))
    goal = {"stop_accuracy": 1e-9, "stop_loss": config.matched_loss, "stop_every": 10} if config.matched_loss else {}
    return [
        Trial.of(config, depth=depth, width=width, norm=norm, connection=connection, seed=seed, **goal)
        for depth, width, norm, connection, seed in chosen
    ]


def refuse(trial: Trial, config: Config):
    """Raises UserError: the network cannot be, or its landscape cannot be measured."""
    if "pca" in config.planes and config.trajectory_every >= config.steps:
        raise UserError(f"--trajectory_every={config.trajectory_every}: must be less than --steps={config.steps}")
    lab.plan.plan(trial)


def rows(bench, trial: Trial, config: Config):
    """Trains it, then measures around its weights; surfaces and lines are kept of the first seed."""
    way = list(range(0, config.steps if "pca" in config.planes else 0, config.trajectory_every))[1:]
    trained = bench.train(trial, keep=way)
    trained["matched"] = trained["train_loss"] <= config.matched_loss
    if trained["diverged"] is not None:
        yield from (("results", trained | {"plane": plane, "statistics": ""}) for plane in config.planes)
        return
    way = [step for step in way if step < trained["steps"]]
    sampling = {name: getattr(config, name) for name in SAMPLING}
    for statistics in config.statistics:
        around = functools.partial(bench.once, measure, trial, when="trained", statistics=statistics, **sampling)
        shared = around(plane="", steps=[])
        for plane in config.planes:
            own = around(plane=plane, steps=way if plane == "pca" else [])
            key = {"plane": plane, "statistics": statistics}
            yield "results", trained | shared | own | key
            for table in ("surface", "curvature", "trajectory") if trial.seed == 0 else ():
                yield from ((table, key | row) for row in records(own.get(table, {})))
        lines = records(shared["lines"]) if trial.seed == 0 else []
        yield from (("lines", {"statistics": statistics} | row) for row in lines)


def measure(trial: Trial, snapshot, plane: str, steps: list[int], images: int, statistics: str, **sampling) -> dict:
    """What `probes.surroundings` says of the weights or, if one is named, of a plane through them."""
    import jax

    around = probes.surroundings
    chosen = next(snapshot.data.train.all(images))
    network = dataclasses.replace(snapshot.network, stochastic_depth=None)
    weights = network, snapshot.params, snapshot.state
    centre = around.Centre(*weights, *chosen, jax.random.key(trial.seed), statistics == "batch")
    options = around.Sampling(**sampling)
    if plane != "pca":
        return around.over_random_plane(centre, options) if plane else around.at_weights(centre, options)
    return around.over_principal_plane(centre, options, {at: snapshot.at(at).params for at in (0, *steps)}, trial.steps)


def summary(tables):
    """The first plane of each network: means over the seeds, and their intervals."""
    results = tables["results"]
    first = results[(results["plane"] == results["plane"].iloc[0]) & (results["diverged"].isna())]
    shown = ["centre_loss", "share_within", "convexity", "lambda_max"]
    names = [name for name in ("connection", "norm", "depth", "width", "statistics") if first[name].nunique() > 1]
    table = lab.statistics.summarised(first.groupby(names or ["depth"], sort=False), shown)
    return table, f"around the trained weights, the {results['plane'].iloc[0]} plane: means ± 95 % t intervals"


STUDY = Study(
    Config, TABLES, trials, rows, lambda tables, canvas: lab.surfaces.draw(tables, canvas), summary, refuse,
    tuned=True, counts="images",
)  # fmt: skip

if __name__ == "__main__":
    STUDY.main()
