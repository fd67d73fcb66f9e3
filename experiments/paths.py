"""Through how many blocks does the gradient really go, in a deep residual network?

    python -m experiments.paths
    python -m experiments.paths --norms=batch,layer --seeds=3 --samples=64
    python -m experiments.paths --network=resnet --depth=32 --survival='linear(last=0.5)'

On the way back a residual network of L blocks is a sum of 2ᴸ paths (Veit et al. 2016, arXiv 1605.06431): one for
every subset of its blocks, through their branches and past those of all others. So the lengths of the paths are
Binomial(L, ½). For every norm × seed, before and after training: the norm of the gradient of the loss towards the
images (the first training images), along random paths of each length. What a length contributes is the share of its
paths times their mean norm, as a share of the sum; `effective` has the range of lengths that holds 95 % of it.

Half a minute on 2 CPU cores. The range is 4 to 15 of 54 blocks after training (three seeds; in the paper 5 to 17, on
CIFAR-10), where 0.07 % of the paths are, and 8 to 20 before. Paths are short because of the norm: a block divides
the gradient by 3 before training, by 5 after it, with layer norm by 4 from the start. Without a norm, at the start,
it hardly does, so that paths of all lengths count alike: 19 to 34.
"""

import dataclasses
import itertools
import pathlib

import numpy as np

import resjax
from resjax.lab.config import Point, Running, Training, option
from resjax.system.errors import UserError

KEY = {"network": "str", "norm": "str", "stage": "str", "seed": "int64"}
RESULTS = KEY | {
    "length": "int64",  # blocks whose branches the path goes through
    "paths": "float64",  # share of all paths
    "gradient_norm": "float64",  # mean over the samples
    "gradient_norm_low": "float64",  # their lower quartile
    "gradient_norm_high": "float64",  # and the upper one
    "contribution": "float64",  # share
}
EFFECTIVE = KEY | {
    "blocks": "int64",
    "low": "int64",  # the range of lengths that contributes 95 %, with 2.5 % on either side
    "high": "int64",
    "mean": "float64",  # length, weighted by contribution
}
STYLES = {"start": "--", "trained": "-"}  # the stages
PAPER = {54: (5, 17)}  # blocks: the effective lengths that Veit et al. find


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How many paths are followed."""

    samples: int = option(16, "paths of each length", minimum=1)


@dataclasses.dataclass(frozen=True)
class Config(Running, Sampling, Training):
    """The options of this experiment."""

    depth: int = option(110, "weighted layers of each network", minimum=1)
    connection: str = option("residual", "how F(x) meets the stream, as in depth_scaling; not plain")
    norms: tuple[str, ...] = option(("batch",), "normalisations, as in depth_scaling")
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


@dataclasses.dataclass(frozen=True)
class Paths(Point, Sampling):
    """The paths of one network, before or after training."""

    stage: str = option("start", "when they are followed", choices=tuple(STYLES))


def run(config: Config):
    """Trains and measures what is not done yet, then writes the tables and the figure."""
    points = [Point.of(config, norm=norm, seed=seed) for norm in config.norms for seed in range(config.seeds)]
    for point in points:
        network, _, _ = resjax.lab.plan.plan(point)
        factors = resjax.theory.paths(network.blocks[0].connection, network.length)
        if factors and not factors[0].any():
            raise UserError(f"--connection={config.connection}: has no skips, so there is one path; use residual")
    work = resjax.lab.workdir.WorkDirectory.open("paths", config, {"results": RESULTS, "effective": EFFECTIVE})
    if not config.plot_only:
        results = []
        effective = []
        with resjax.lab.session.session(work, total=len(points) * (1 + len(STYLES))) as session:
            for point, stage in itertools.product(points, STYLES):
                if stage == "trained" and session.train(point, share=1.0)["diverged"] is not None:
                    continue
                followed = Paths.of(point, samples=config.samples, stage=stage)
                found = session.measure(followed, lambda followed, point=point: follow(followed, work.folder(point)))
                norms = np.array(found["norms"])  # L + 1, samples
                if not 0 < norms.sum() < np.inf:
                    resjax.lab.session.console.print(f"{point.label}, {stage}: no finite gradient reaches the images")
                    continue
                rows, row = tables(followed, norms)
                results += rows
                effective.append(row)
        work.write_table("results", results)
        work.write_table("effective", effective)
    results = work.read_table("results")
    effective = work.read_table("effective")
    plot(results, work.path / "figure")
    resjax.lab.session.show(effective, title="lengths of the paths that contribute 95 %")
    print(f"tables: {work.path / 'results.csv'}, effective.csv\nfigure: {work.path / 'figure.png'}")


def follow(point: Paths, folder: pathlib.Path) -> dict[str, list]:
    """Norms of the gradient along random paths, L + 1 lists of samples; a trained network is the one in `folder`."""
    import jax
    import jax.numpy as jnp

    from resjax.lab.plan import plan, start
    from resjax.lab.trial import trained
    from resjax.probes import path_lengths
    from resjax.random_streams import stream
    from resjax.training.step import keys_of

    planned = plan(point)
    network, _, dataset = planned
    images, labels = next(dataset.train.all(point.batch_size))
    key = keys_of(point.seed)
    if point.stage == "trained":
        _, found, _ = trained(Point.of(point), folder)
    else:
        found = start(planned, point)
    lengths = jnp.arange(network.length + 1)
    keys = jax.random.split(stream(key, "paths"), len(lengths))
    chosen = jax.vmap(lambda key, length: path_lengths.masks(key, network.length, length, point.samples))(keys, lengths)
    noise = stream(key, "noise")
    with jax.enable_x64(True):  # the gradients of long paths leave the range of float32
        images = images.astype(jnp.float64)
        chosen = chosen.reshape(-1, network.length)
        norms = path_lengths.path_norms(network, found.params, found.state, images, labels, chosen, noise)
    return {"norms": np.asarray(norms).reshape(-1, point.samples).tolist()}


def tables(point: Paths, norms: np.ndarray) -> tuple[list[dict], dict]:
    """The rows of `results` and the row of `effective` that one network's norms (L + 1, samples) make."""
    from resjax.probes import path_lengths

    lengths = np.arange(len(norms))
    named = dataclasses.asdict(point)
    contribution = path_lengths.contributions(norms.mean(1))
    low, high = path_lengths.central(contribution)
    columns = {
        "length": lengths,
        "paths": path_lengths.shares(len(norms) - 1),
        "gradient_norm": norms.mean(1),
        "gradient_norm_low": np.quantile(norms, 0.25, axis=1),
        "gradient_norm_high": np.quantile(norms, 0.75, axis=1),
        "contribution": contribution,
    }
    rows = [named | dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    return rows, named | {"blocks": len(norms) - 1, "low": low, "high": high, "mean": contribution @ lengths}


def plot(results, path: pathlib.Path):
    """Against the length of paths: how many there are, the norm of their gradient, what they contribute."""
    color = dict(zip(results["norm"].unique(), itertools.cycle(resjax.lab.figures.COLORS), strict=False))
    with resjax.lab.figures.figure(path, panels=3, height=2.5) as axes:
        paths, norms, contributions = axes
        paths.plot(results.groupby("length")["paths"].mean(), "k")
        for (norm, stage), rows in results.groupby(["norm", "stage"], sort=False):
            mean = rows.groupby("length")[list(RESULTS)[-4:]].mean()
            style = {"color": color[norm], "linestyle": STYLES[stage], "label": f"norm {norm}, {stage}"}
            norms.plot(mean["gradient_norm"], **style)
            quartiles = mean["gradient_norm_low"], mean["gradient_norm_high"]
            norms.fill_between(mean.index, *quartiles, color=color[norm], alpha=0.2)
            contributions.plot(mean["contribution"], **style)
        if band := PAPER.get(results["length"].max()):
            contributions.axvspan(*band, color="k", alpha=0.1, linewidth=0, label="Veit et al.: {} to {}".format(*band))
        paths.set(ylabel="share of paths")
        norms.set(ylabel="norm of a path's gradient", yscale="log")
        contributions.set(ylabel="share of the gradient")
        for axis in axes:
            axis.set_xlabel("length, in blocks")
        resjax.lab.figures.legend(axes, columns=4)


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
