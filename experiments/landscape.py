"""What does the loss look like around a trained network, with skips and without?

    python -m experiments.landscape
    python -m experiments.landscape --depths=20 --width=8,32,128 --planes=random --seeds=3
    python -m experiments.landscape --network=resnet --depths=20 --width=8 --images=128 --resolution=21

Trains every connection × norm × depth × width × seed. Then, as Li et al. 2018 (arXiv 1712.09913), with the running
statistics of batch norm as training left them: the loss in a plane through the trained weights along two random
directions, filter by filter as long as the weights; in the plane in which the weights moved most on their way there
(pca); and on random lines. In numbers: the share of the plane where the loss is at most 1 (`--level`) above the
centre's; the share of chords of the lines, between losses up to 10 (`--highest`), that are nowhere under the loss;
|λ_min / λ_max| of the Hessian over the random plane; its largest eigenvalues at the end. Lanczos' algorithm finds both
λ from inside the spectrum: they are at least as far out. Biases, and the parameters of norms, never move.

Four minutes on 2 CPU cores; seven or eight for the second command and for the third. Of three seeds: with skips the
landscapes of 20, 56 and 110 layers are alike. The share near the centre is .20, .19 and .20, at least .995 of chords
are convex, λ_max is 4, 3 and 2, |λ_min / λ_max| .10, .12 and .16. Without skips the share is .10, .04 and .005, of the
chords .92, .83 and .0 to .9 are convex, λ_max is 58, 269 and 1121, |λ_min / λ_max| .14, .67 and .91: 20 layers are
close to convex and 56 are not, as in the paper. But plain networks of 56 and 110 layers did not train here, and theirs
is the landscape where the first steps threw them: 10⁴ and 10⁹ away from the start (kernels; with skips 9 to 13). Width
does to 20 plain layers what skips do: from 8 to 128 units λ_max falls from 796 to 22 (with skips from 5.3 to 0.17).
"""

import dataclasses
import functools
import itertools
import math
import pathlib

import numpy as np

import resjax
from experiments import landscape_figures
from resjax.lab.config import Point, Running, Training, option
from resjax.system.errors import UserError

KEY = {"connection": "str", "norm": "str", "depth": "int64", "width": "int64", "seed": "int64"}
PLACE = KEY | {"plane": "str", "x": "float32", "y": "float32"}  # random: in lengths of the filters; pca: distances
TABLES = {
    "results": KEY
    | {
        "plane": "str",
        "parameters": "int64",
        "diverged": "Int64",  # the step, and then nothing else is measured; empty if not
        "train_loss": "float64",  # over all training images
        "train_accuracy": "float64",
        "test_accuracy": "float64",
        "centre_loss": "float64",  # over the images of the landscape, like all that follows
        "share_within": "float64",  # of the plane: where the loss is at most `level` above the centre's
        "convexity": "float64",  # share of the chords of the random lines that are nowhere under the loss
        "negative_curvature": "float64",  # |λ_min / λ_max| of the Hessian, the plane's median
        "negative_curvature_max": "float64",  # and its largest; empty where it is not measured
        "lambda_max": "float64",  # at the centre
        "lambda_min": "float64",
        "explained": "float64",  # of the way of the kernels, the share that is in the plane; empty for random
    },
    "surface": PLACE | {"loss": "float32", "accuracy": "float32"},
    "lines": KEY | {"line": "int64", "x": "float32", "loss": "float32"},
    "curvature": PLACE | {"lambda_max": "float64", "lambda_min": "float64"},
    "eigenvalues": KEY | {"rank": "int64", "eigenvalue": "float64", "error": "float64"},  # error: at most
    "trajectory": KEY | {"step": "int64", "x": "float64", "y": "float64"},  # in the plane pca
}
PLANES = ("random", "pca")
PRODUCT = 12  # passes that take as long as a step of Lanczos' algorithm


@dataclasses.dataclass(frozen=True)
class Sampling:
    """Where the landscape is measured."""

    resolution: int = option(51, "points on a side of a plane, and on a line", minimum=3)
    radius: float = option(1.0, "how far the random plane and lines reach, in lengths of the filters", minimum=0.001)
    lines: int = option(10, "random lines", minimum=1)
    images: int = option(256, "training images, the first ones, that the loss is the mean of", minimum=1)
    curvature_points: int = option(5, "points on a side of a plane where the Hessian is measured", minimum=1)
    lanczos: int = option(20, "steps of Lanczos' algorithm there, and at the end of training", minimum=2)
    eigenvalues: int = option(5, "the largest ones, at the end of training, that the table has", minimum=1)
    trajectory_every: int = option(40, "steps between the weights whose pca is taken", minimum=1)


@dataclasses.dataclass(frozen=True)
class Config(Running, Sampling, Training):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((20, 56, 110), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(("plain", "residual"), "connections, as in depth_scaling")
    norms: tuple[str, ...] = option(("batch",), "normalisations, as in depth_scaling")
    width: tuple[int, ...] = option((32,), "units or filters of the stem", minimum=1)
    seeds: int = option(1, "seeds of each network and of its directions: 0, 1, …", minimum=1)
    planes: tuple[str, ...] = option(PLANES, "planes through the trained weights", choices=PLANES)
    curvature_planes: tuple[str, ...] = option(("random",), "those along which the Hessian is measured", choices=PLANES)
    level: float = option(1.0, "loss above the centre's that still counts for share_within", minimum=0)
    highest: float = option(10.0, "loss at the ends of a chord that still counts for convexity", minimum=0)
    steps: int = option(400, "training steps", minimum=1)


@dataclasses.dataclass(frozen=True)
class Piece(Point, Sampling):
    """A part of the landscape of one network: what one record holds."""

    table: str = option("surface", "the table whose rows it has", choices=tuple(TABLES))
    plane: str = option("", "the plane it is of, if of one", choices=("", *PLANES))
    row: int = option(0, "the first of its rows, of a surface")
    rows: int = option(8, "their number")

    @property
    def passes(self) -> int:
        """About how many passes over the network it takes."""
        return {
            "surface": min(self.rows, self.resolution - self.row) * self.resolution,
            "lines": self.lines * self.resolution,
            "curvature": self.curvature_points**2 * self.lanczos * PRODUCT,
            "eigenvalues": self.lanczos * PRODUCT,
            "trajectory": 0,
        }[self.table]


def points(config: Config) -> list[Point]:
    """The networks to train.

    Raises:
      UserError: one cannot be, or its landscape cannot be measured.
    """
    if "pca" in config.planes and config.trajectory_every >= config.steps:
        raise UserError(f"--trajectory_every={config.trajectory_every}: must be less than --steps={config.steps}")
    chosen = itertools.product(config.depths, config.width, config.norms, config.connections, range(config.seeds))
    found = [
        Point.of(config, depth=depth, width=width, norm=norm, connection=connection, seed=seed)
        for depth, width, norm, connection, seed in chosen
    ]
    for point in found:
        _, _, dataset = resjax.lab.plan.plan(point)
        if config.images > len(dataset.train):
            raise UserError(f"--images={config.images}: {config.dataset} has {len(dataset.train)} training images")
    return found


def pieces(config: Config, point: Point) -> list[Piece]:
    """What is measured of a network."""
    chosen = {field.name: getattr(config, field.name) for field in dataclasses.fields(Sampling)}
    piece = functools.partial(Piece, **dataclasses.asdict(point) | chosen)
    found = [piece(table="eigenvalues"), piece(table="lines")]
    for plane in config.planes:
        found += [piece(table="trajectory", plane=plane)] if plane == "pca" else []
        found += [piece(table="surface", plane=plane, row=row) for row in range(0, config.resolution, Piece.rows)]
        found += [piece(table="curvature", plane=plane)] if plane in config.curvature_planes else []
    return found


def kept(config: Config) -> range:
    """The steps, after the first and before the last, whose weights the pca is of."""
    return range(config.trajectory_every, config.steps if "pca" in config.planes else 0, config.trajectory_every)


def run(config: Config):
    """Trains and measures what is not done yet, then writes the tables and the figures."""
    wanted = {point: pieces(config, point) for point in points(config)}
    work = resjax.lab.workdir.WorkDirectory.open("landscape", config, TABLES)
    if not config.plot_only:
        tables = {name: [] for name in TABLES}
        training = {point: point.depth * config.steps for point in wanted}
        measuring = {point: point.depth * sum(piece.passes for piece in wanted[point]) for point in wanted}
        with resjax.lab.session.session(work, sum(training.values()) + sum(measuring.values())) as session:
            for point, following in itertools.pairwise([*wanted, None]):
                trained = session.train(point, share=training[point], following=following, keep=kept(config))
                if trained["diverged"] is None:
                    found = landscape(session, config, point, wanted[point], work.folder(point))
                else:
                    session.advance(measuring[point])
                    found = {"results": [{"plane": plane} for plane in config.planes]}
                key = {name: getattr(point, name) for name in KEY}
                for name, rows in found.items():
                    tables[name] += [key | trained | row for row in rows]
        for name, rows in tables.items():
            work.write_table(name, rows)
    tables = {name: work.read_table(name) for name in TABLES}
    figures = landscape_figures.draw(tables, work.path)
    resjax.lab.session.show(summary(tables["results"]), title=f"the {config.planes[0]} plane")
    print(f"tables:  {work.path / 'results.csv'}, {', '.join(f'{name}.csv' for name in TABLES if name != 'results')}")
    print(f"figures: {', '.join(map(str, figures))}")


def landscape(session, config: Config, point: Point, wanted: list[Piece], folder: pathlib.Path) -> dict[str, list]:
    """The rows of each table, of one trained network."""
    from experiments import landscape_measure

    centre = functools.cache(lambda: landscape_measure.restore(point, wanted[0], folder, kept(config)))
    tables = {name: [] for name in TABLES}
    measures = {plane: {} for plane in ("", *PLANES)}
    flat = set()
    for piece in wanted:
        share = piece.depth * piece.passes
        if piece.plane in flat:
            session.advance(share)
            continue
        found = session.measure(piece, lambda piece: landscape_measure.measure(piece, centre()), share)
        columns = found["columns"]
        own = found["measures"]
        rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
        tables[piece.table] += [{"plane": piece.plane} | row for row in rows]
        measures[piece.plane] |= own
        if piece.table == "trajectory" and math.isnan(own["explained"]):
            resjax.lab.session.console.print(f"{point.label}: its weights moved in no plane")
            flat.add(piece.plane)
    lines = np.reshape([row["loss"] for row in tables["lines"]], (config.lines, -1))
    shared = measures[""] | {"convexity": resjax.probes.loss_surface.convexity(lines, config.highest)}
    for plane in config.planes:
        own = of_plane(config, tables, plane, shared["centre_loss"]) if plane not in flat else {}
        tables["results"].append({"plane": plane} | shared | measures[plane] | own)
    return tables


def of_plane(config: Config, tables: dict[str, list], plane: str, centre: float) -> dict[str, float]:
    """The columns of `results` that one network's rows of a plane decide."""
    losses = [row["loss"] for row in tables["surface"] if row["plane"] == plane]
    curved = [(row["lambda_min"], row["lambda_max"]) for row in tables["curvature"] if row["plane"] == plane]
    ratios = np.array([abs(low / high) for low, high in curved if high and math.isfinite(low / high)])
    return {
        "share_within": resjax.probes.loss_surface.share_within(losses, centre, config.level),
        "negative_curvature": np.median(ratios) if len(ratios) else math.nan,
        "negative_curvature_max": ratios.max() if len(ratios) else math.nan,
    }


def summary(results):
    """The first plane of each network: means over the seeds."""
    shown = {
        "train_accuracy": "accuracy",
        "centre_loss": "loss",
        "share_within": "within",
        "convexity": "convex",
        "negative_curvature": "|λmin/λmax|",
        "lambda_max": "λmax",
    }
    kinds = [name for name in list(KEY)[:-1] if name in ("connection", "depth") or results[name].nunique() > 1]
    first = results[results["plane"] == results["plane"].iloc[0]]
    return first.groupby(kinds, sort=False)[list(shown)].mean().rename(columns=shown).reset_index()


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
