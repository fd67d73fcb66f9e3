"""Through how many blocks does the gradient really go, in a deep residual network?

    python -m experiments.paths
    python -m experiments.paths --norms=batch,layer --seeds=3 --samples=64
    python -m experiments.paths --network=resnet --depths=32 --survival='linear(last=0.5)'

On the way back a residual network of L blocks is a sum of 2ᴸ paths (Veit et al. 2016, arXiv 1605.06431): one for
every subset of its blocks, through their branches and past those of all others. So the lengths of the paths are
Binomial(L, ½). For every norm × seed, before and after training: the norm of the gradient of the loss towards the
images (the first training images), along random paths of each length. What a length contributes is the share of its
paths times their mean norm, as a share of the sum; `effective` has the range of lengths that holds 95 %. For tokens
the gradient is that towards their embeddings.

Found, in one minute on 2 CPU cores, five seeds and rates (--seeds=5 --learning_rates=0.001,0.003,0.01,0.03,0.1): the
range is 3–4 to 12–14 of 54 blocks after training (in the paper 5 to 17, on CIFAR-10), and 7–9 to 19–21 before. So paths
that bring the gradient are short, and training makes them shorter. In transformers on a text (`paths_text`, 24
sublayers, three seeds): 1 to 6–9, and 2–3 to 10 before.

Not shown: how paths cancel each other; their norms are added.
"""

import dataclasses

import numpy as np

from resjax import lab, probes
from resjax.lab import papers
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, text, whole
from resjax.lab.trial import Trial
from resjax.lab.tuning import RATES
from resjax.system.errors import UserError

STAGE = text("start, or trained: when the network is read")
KEY = columns("network", "norm", stage=STAGE) | columns("seed", "learning_rate", "at_edge")
TABLES = {
    "results": KEY | columns(
        length=whole("blocks whose branches the path goes through"),
        paths=number("share of all paths"),
        gradient_norm=number("of the loss towards the images along a path, mean over the samples"),
        gradient_norm_low=number("their lower quartile"),
        gradient_norm_high=number("and the upper one"),
        contribution=number("paths × gradient_norm, as a share of the sum"),
    ),
    "effective": KEY | columns(
        blocks=whole("of the network"),
        low=whole("the shortest length of the range that contributes 95 %, with 2.5 % on either side"),
        high=whole("the longest one"),
        mean=number("length, weighted by contribution"),
    ),
    "rates": RATES,
}  # fmt: skip
STYLES = {"start": "--", "trained": "-"}  # the stages


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((110,), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(("residual",), "connections, as in depth_scaling; not plain")
    norms: tuple[str, ...] = option(("batch",), "normalisations, as in depth_scaling")
    samples: int = option(16, "paths of each length", minimum=1)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def trials(config: Config) -> list[Trial]:
    """The networks whose paths are followed."""
    return [
        Trial.of(config, depth=depth, connection=connection, norm=norm, seed=seed)
        for depth in config.depths
        for connection in config.connections
        for norm in config.norms
        for seed in range(config.seeds)
    ]


def refuse(trial: Trial, config: Config):
    """Raises UserError: the network cannot be, or has one path only."""
    network = lab.plan.plan(trial).network
    factors = lab.wide_limit.paths(network)
    if factors and not factors[0].any():
        raise UserError(f"--connections={trial.connection}: has no skips, so there is one path; use residual")


def rows(bench, trial: Trial, config: Config):
    """Follows random paths of each length, before and after training."""
    for stage in STYLES:
        if stage == "trained" and bench.train(trial)["diverged"] is not None:
            continue
        found = bench.once(follow, trial, when=stage, samples=config.samples)
        if not 0 < sum(found["gradient_norm"]) < np.inf:
            bench.say(f"{bench.label(trial)}, {stage}: no finite gradient reaches the images")
            continue
        contribution = np.array(found["contribution"])
        low, high = probes.path_lengths.central(contribution)
        mean = contribution @ np.array(found["length"])
        yield "effective", {"stage": stage, "blocks": len(contribution) - 1, "low": low, "high": high, "mean": mean}
        for values in zip(*found.values(), strict=True):
            yield "results", {"stage": stage} | dict(zip(found, values, strict=True))


def follow(trial: Trial, snapshot, samples: int) -> dict[str, list]:
    """The table of the paths (see `probes.paths`) for the first training images."""
    import jax

    images, labels = next(snapshot.data.train.all(trial.batch_size))
    weights = snapshot.params, snapshot.state
    network, images = probes.blocks.embedded(snapshot.network, *weights, images)
    with jax.enable_x64(True):  # the gradients of long paths leave the range of float32
        key = jax.random.key(trial.seed)
        return probes.paths(network, *weights, images.astype("float64"), labels, key, samples).to_dict("list")


def summary(tables):
    """The range of lengths of every network."""
    return tables["effective"], "lengths of the paths that contribute 95 %"


def draw(tables, canvas):
    """Against the length of paths: how many there are, the norm of their gradient, what they contribute."""
    results = tables["results"]
    color = lab.figures.colors(results["norm"])
    with canvas.figure(panels=3, height=2.6, note="lines: means over paths and seeds; bands: quartiles") as axes:
        paths, norms, contributions = axes
        paths.plot(results.groupby("length")["paths"].mean(), "k")
        for (norm, stage), rows in results.groupby(["norm", "stage"], sort=False):
            mean = rows.groupby("length")[list(TABLES["results"])[-4:]].mean()
            style = {"color": color[norm], "linestyle": STYLES[stage], "label": f"norm {norm}, {stage}"}
            norms.plot(mean["gradient_norm"], **style)
            quartiles = mean["gradient_norm_low"], mean["gradient_norm_high"]
            norms.fill_between(mean.index, *quartiles, color=color[norm], alpha=0.2)
            contributions.plot(mean["contribution"], **style)
        if band := papers.PATHS.get(results["length"].max()):
            contributions.axvspan(*band, color="k", alpha=0.1, linewidth=0, label="Veit et al.: {} to {}".format(*band))
        paths.set(ylabel="share of paths")
        norms.set(ylabel="norm of a path's gradient", yscale="log")
        contributions.set(ylabel="share of the gradient")
        for axis in axes:
            axis.set_xlabel("length, in blocks")
        lab.legends.legend(axes, columns=4)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, refuse, tuned=True)

if __name__ == "__main__":
    STUDY.main()
