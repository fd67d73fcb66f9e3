"""Does an ensemble of shallow networks beat one very deep network, and if so why?

    python -m experiments.ensembles
    python -m experiments.ensembles --depths=66 --members=2,4,8,16 --seeds=3

A residual network is often called an ensemble of the shallow networks inside it (Veit et al. 2016, arXiv 1605.06431).
So the blocks of one deep network are dealt out: to one network, or to m of 1/m of the blocks, trained together for as
many steps on as many images, whose probabilities are averaged. All have the same parameters and compute but for
their m stems and heads. For the first connection also m copies of the deep network, without a random share of blocks.

Found, in four minutes on 2 CPU cores: ensembles of two to eight residual networks err on 1.3 to 2.4 % of the images,
the deep networks on 2.9 to 3.9 %, their own sub-networks on 4 to 14 % (three seeds). Plain ensembles do as well where
members have 10 layers or less. A deleted block adds .004 to the loss of 258 residual layers, 3.2 to that of 18 plain.

Not shown: whether the deep network would win with a learning rate of its own, more steps, or images larger than 8×8.
"""

import dataclasses
import itertools

import numpy as np

import resjax
from resjax import lab, probes
from resjax.lab.config import Running, Training
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, text, whole
from resjax.lab.trial import Trial
from resjax.system.errors import UserError

TABLES = {"results": {"system": text("deep, ensemble, or sub-networks of the deep one")} | columns(
    "connection", "norm", depth=whole("of the deep network"), members=whole("that share its blocks; or sub-networks"),
    member_depth=whole("of each of them"), seed=whole("of the deep network"), parameters=whole("of all members"),
    training_gigaflops=number("of all: 3 × forward × images"), diverged=whole("members that did: left out below"),
    accuracy=number("share of the held-out images"), loss=number("cross-entropy over them, in nats"),
    calibration_error=number("how far confidence and accuracy are apart, mean over bins of confidence"),
    member_accuracy=number("mean over the members"), member_loss=number("mean over the members"),
    disagreement=number("share of images for which two members differ, mean over the pairs; empty for one member"),
    lesion_loss=number("what a deleted block adds to the loss, mean over the blocks of all members"),
    lesion_error=number("and to the share of images that are wrong"),
)}  # fmt: skip
PANELS = {"error": "held-out error (%)", "loss": "held-out loss", "lesion_loss": "loss added by deleting a block"}


@dataclasses.dataclass(frozen=True)
class Config(Running, Training):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((18, 66, 258), "weighted layers of the deep networks", minimum=1)
    members: tuple[int, ...] = option((2, 4, 8), "networks that the blocks are dealt out to", minimum=2)
    connections: tuple[str, ...] = option(("residual", "plain"), "connections, the first one's sub-networks too")
    norms: tuple[str, ...] = option(("batch",), "normalisations, as in depth_scaling")
    left_out: float = option(0.25, "the share of blocks that a sub-network is without", minimum=0, maximum=1)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


@dataclasses.dataclass(frozen=True)
class System:
    """What is averaged: one deep network, an ensemble with its blocks, or sub-networks of the deep one."""

    system: str
    members: int
    deep: Trial
    trained: Trial  # the members, or the network that they are parts of


def trials(config: Config) -> list[System]:
    """Of every deep network itself, the ensembles with its blocks and, for the first connection, its sub-networks."""
    systems = []
    varied = itertools.product(config.depths, config.connections, config.norms, range(config.seeds))
    for depth, connection, norm, seed in varied:
        deep = Trial.of(config, depth=depth, connection=connection, norm=norm, seed=seed)
        systems.append(System("deep", 1, deep, deep))
        systems += [System("ensemble", members, deep, dealt_out(config, deep, members)) for members in config.members]
        if connection == config.connections[0]:
            systems += [System("sub-networks", members, deep, deep) for members in config.members]
    return systems


def dealt_out(config: Config, deep: Trial, members: int) -> Trial:
    """So many networks that share the blocks of a deep one; no two seeds share a network."""
    possible = lab.registry.depths(deep)
    units, rest = divmod(len(possible), members)
    if rest or possible[-1] != deep.depth:
        raise UserError(f"--members={members}: the network of depth {deep.depth} can not be dealt out to so many")
    return dataclasses.replace(deep, depth=possible[units - 1], seed=deep.seed * max(config.members), num_seeds=members)


def rows(bench, system: System, config: Config):
    """Trains its networks; what they cost, and how good they are together."""
    trained = system.trained
    result = bench.train(trained)
    diverged = result["diverged"] if trained.num_seeds else [result["diverged"]]
    sound = [at for at, step in enumerate(diverged) if step is None]
    row = dataclasses.asdict(system.deep) | {"member_depth": trained.depth, "diverged": len(diverged) - len(sound)}
    row["parameters"] = result["parameters"] * len(diverged)
    row["training_gigaflops"] = gigaflops(trained)
    if sound:
        left_out = config.left_out if system.system == "sub-networks" else None
        row |= bench.once(average, trained, when="trained", members=system.members, sound=sound, left_out=left_out)
    yield "results", row


def gigaflops(trial: Trial) -> float:
    """What training all its networks takes: three times forward, for every image."""
    network, _, dataset = lab.plan.plan(trial)
    image = np.zeros((1, *dataset.train.shape), np.float32)
    return 3 * resjax.forward_flops(network, image) * trial.batch_size * trial.steps * max(1, trial.num_seeds) / 1e9


def average(trial: Trial, snapshot, members: int, sound: list[int], left_out: float | None) -> dict[str, float]:
    """The scores of the sound networks together or, with a share that is left out, of so many random parts of one."""
    network = snapshot.network
    test = snapshot.data.test
    if left_out is not None:
        keep = probes.ensembles.random_sub_networks(network, left_out, members, trial.seed)
        return probes.ensembles.measure_sub_networks(network, snapshot.params, snapshot.state, test, keep)
    networks = snapshot.members(members) if trial.num_seeds else [snapshot]
    return probes.ensembles.measure(network, [(networks[at].params, networks[at].state) for at in sound], test)


def summary(tables):
    """Means over the seeds."""
    named = tables["results"].groupby(["system", "connection", "norm", "depth", "members"], sort=False)
    shown = named[["accuracy", "loss", "disagreement", "lesion_loss"]].mean().reset_index()
    return shown, "held-out images, mean over seeds"


def draw(tables, canvas):
    """Error, loss and cost of a lesion against the number of members that the same blocks are dealt out to."""
    results = tables["results"].assign(error=lambda table: 100 * (1 - table["accuracy"]))
    kinds = results["connection"].where(results["system"] != "sub-networks", "sub-networks") + "/" + results["norm"]
    color = lab.figures.colors(kinds)
    style = lab.figures.styles(sorted(results["depth"]))
    with canvas.figure(panels=3, height=2.8, note="lines: means over seeds; bands: their range") as axes:
        for axis, (column, label) in zip(axes, PANELS.items(), strict=True):
            for (kind, depth), rows in results.groupby([kinds, "depth"], sort=False):
                look = {"color": color[kind], "marker": "o", "label": f"{kind}, {depth}"}
                lab.figures.line(axis, rows.groupby("members")[column], style[depth], **look)
            lab.figures.log_ticks(axis, results["members"])
            axis.set(xlabel="networks that share the blocks", ylabel=label, yscale="log")
        axes[0].set(yscale="symlog", ylim=(0, 110))
        lab.figures.legend(axes, columns=3)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, lambda system, config: lab.plan.plan(system.trained))

if __name__ == "__main__":
    STUDY.main()
