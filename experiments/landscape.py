"""What does the loss look like around a trained network, with skips and without?

    python -m experiments.landscape --planes=random,pca
    python -m experiments.landscape --depths=20 --width=8,32,128 --seeds=3
    python -m experiments.landscape --network=resnet --depths=20 --width=8 --images=128 --resolution=21

As Li et al. 2018 (arXiv 1712.09913), with the statistics of batch norm as training left them: the loss in a plane
through the trained weights along two random directions, filter by filter as long as the weights; in the plane in which
the weights moved most (pca, for which checkpoints are kept on the way); and on random lines. Biases, and the parameters
of norms, never move. Lanczos' algorithm finds the Hessian's eigenvalues from inside: they are at least as far out.

Found, in four minutes on 2 CPU cores (seven or eight for each other command), of three seeds: with skips the
landscapes of 20, 56 and 110 layers are alike. The share near the centre is .20, .19 and .20, at least .995 of chords
are convex, λ_max is 4, 3 and 2, |λ_min / λ_max| .10, .12 and .16. Without skips the share is .10, .04 and .005, λ_max
58, 269 and 1121, |λ_min / λ_max| .14, .67 and .91: 20 layers are close to convex and 56 are not, as in the paper. Width
does to 20 plain layers what skips do: from 8 to 128 units λ_max falls from 796 to 22 (with skips from 5.3 to 0.17).

Not shown: minima of 56 or 110 plain layers, which did not train here: the first steps threw them 10⁴ and 10⁹ away.
"""

import dataclasses
import itertools

import numpy as np

from resjax import lab, probes
from resjax.lab.config import Running, Training
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, records, text, whole
from resjax.lab.trial import Trial
from resjax.system.errors import UserError

KEY = columns("connection", "norm", "depth", "width", "seed")
PLANE = KEY | {"plane": text("random: in lengths of the filters; pca: in distances")}
X, Y = ({name: number("where in the plane, or on the line", dtype="float32")} for name in "xy")
LOSS = {"loss": number("mean over the images of the landscape", dtype="float32")}
LAMBDAS = columns(lambda_max=number("the largest eigenvalue of the Hessian"), lambda_min=number("the smallest one"))
MEASURED = columns(
    *("parameters", "diverged", "train_loss", "train_accuracy", "test_accuracy"),
    centre_loss=number("at the trained weights, over the images of the landscape, like all that follows"),
    share_within=number("of the plane: where the loss is at most --level above the centre's"),
    convexity=number("share of the chords of the random lines that are nowhere under the loss"),
    negative_curvature=number("|λ_min / λ_max| of the Hessian, the plane's median"),
    negative_curvature_max=number("and its largest"),
    **LAMBDAS,
    explained=number("of the way of the kernels, the share that is in the plane; empty for random"),
)
TABLES = {
    "results": PLANE | MEASURED,
    "surface": PLANE | X | Y | LOSS | {"accuracy": number("over these images", dtype="float32")},
    "lines": KEY | {"line": whole("from 0")} | X | LOSS,
    "curvature": PLANE | X | Y | LAMBDAS,
    "eigenvalues": KEY | {"rank": whole("from 1"), "eigenvalue": number("of the Hessian"), "error": number("at most")},
    "trajectory": KEY | columns("step", x=number("in the plane pca"), y=number("in the plane pca")),
}
PLANES = ("random", "pca")
SAMPLING = ("images", "resolution", "radius", "lines", "lanczos", "eigenvalues", "curvature_points")


@dataclasses.dataclass(frozen=True)
class Config(Running, Training):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((20, 56, 110), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(("plain", "residual"), "connections, as in depth_scaling")
    norms: tuple[str, ...] = option(("batch",), "normalisations, as in depth_scaling")
    width: tuple[int, ...] = option((32,), "units or filters of the stem", minimum=1)
    seeds: int = option(1, "seeds of each network and of its directions: 0, 1, …", minimum=1)
    planes: tuple[str, ...] = option(("random",), "planes through the trained weights", choices=PLANES)
    level: float = option(1.0, "loss above the centre's that still counts for share_within", minimum=0)
    highest: float = option(10.0, "loss at the ends of a chord that still counts for convexity", minimum=0)
    steps: int = option(400, "training steps", minimum=1)
    resolution: int = option(51, "points on a side of a plane, and on a line", minimum=3)
    radius: float = option(1.0, "how far the random plane and lines reach, in lengths of the filters", minimum=0.001)
    lines: int = option(10, "random lines", minimum=1)
    images: int = option(256, "training images, the first ones, that the loss is the mean of", minimum=1)
    curvature_points: int = option(5, "points on a side of the random plane where the Hessian is measured", minimum=1)
    lanczos: int = option(20, "steps of Lanczos' algorithm there, and at the end of training", minimum=2)
    eigenvalues: int = option(5, "the largest ones, at the end of training, that the table has", minimum=1)
    trajectory_every: int = option(40, "steps between the weights whose pca is taken", minimum=1)


def trials(config: Config) -> list[Trial]:
    """The networks to train."""
    chosen = itertools.product(config.depths, config.width, config.norms, config.connections, range(config.seeds))
    return [
        Trial.of(config, depth=depth, width=width, norm=norm, connection=connection, seed=seed)
        for depth, width, norm, connection, seed in chosen
    ]


def refuse(trial: Trial, config: Config):
    """Raises UserError: the network cannot be, or its landscape cannot be measured."""
    if "pca" in config.planes and config.trajectory_every >= config.steps:
        raise UserError(f"--trajectory_every={config.trajectory_every}: must be less than --steps={config.steps}")
    if config.images > (there := len(lab.plan.plan(trial).dataset.train)):
        raise UserError(f"--images={config.images}: {config.dataset} has {there} training images")


def rows(bench, trial: Trial, config: Config):
    """Trains it, then measures around its weights."""
    way = list(range(0, config.steps if "pca" in config.planes else 0, config.trajectory_every))[1:]
    trained = bench.train(trial, keep=way)
    if trained["diverged"] is not None:
        yield from (("results", trained | {"plane": plane}) for plane in config.planes)
        return
    options = {name: getattr(config, name) for name in SAMPLING}
    shared = bench.once(measure, trial, when="trained", plane="", steps=[], **options)
    lines = np.reshape(shared["lines"]["loss"], (config.lines, -1))
    shared["convexity"] = probes.loss_surface.convexity(lines, config.highest)
    for plane in config.planes:
        own = bench.once(measure, trial, when="trained", plane=plane, steps=way if plane == "pca" else [], **options)
        if surface := own.get("surface"):
            near = probes.loss_surface.share_within(surface["loss"], shared["centre_loss"], config.level)
            own["share_within"] = near
        yield "results", trained | shared | own | {"plane": plane}
        for table in ("surface", "curvature", "trajectory"):
            yield from ((table, {"plane": plane} | row) for row in records(own.get(table, {})))
    yield from ((table, row) for table in ("lines", "eigenvalues") for row in records(shared[table]))


def measure(trial: Trial, snapshot, plane: str, steps: list[int], images: int, **sampling) -> dict:
    """What `probes.surroundings` says of the weights or, if one is named, of a plane through them."""
    import jax

    around = probes.surroundings
    chosen = next(snapshot.data.train.all(images))
    weights = snapshot.network, snapshot.params, snapshot.state
    centre = around.Centre(*weights, *chosen, jax.random.key(trial.seed))
    options = around.Sampling(**sampling)
    if plane != "pca":
        return around.over_random_plane(centre, options) if plane else around.at_weights(centre, options)
    before = {step: snapshot.at(step).params for step in (0, *steps)}
    return around.over_principal_plane(centre, options, before, trial.steps)


def summary(tables):
    """The first plane of each network: means over the seeds."""
    results = tables["results"]
    first = results[results["plane"] == results["plane"].iloc[0]]
    shown = ["train_accuracy", "centre_loss", "share_within", "convexity", "negative_curvature", "lambda_max"]
    table = first.groupby(list(KEY)[:-1], sort=False)[shown].mean().reset_index()
    return table, f"around the trained weights, the {results['plane'].iloc[0]} plane"


STUDY = Study(Config, TABLES, trials, rows, lambda tables, canvas: lab.surfaces.draw(tables, canvas), summary, refuse)

if __name__ == "__main__":
    STUDY.main()
