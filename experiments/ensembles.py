"""Does an ensemble of shallow networks beat one very deep network, and if so why?

    python -m experiments.ensembles
    python -m experiments.ensembles --depths=18,66 --members=2,4,8 --connections=residual,plain

A residual network is often called an ensemble of the shallow networks inside it (Veit et al. 2016, arXiv 1605.06431).
So the blocks of a deep network are dealt out to m networks, trained for as many steps, whose probabilities are averaged
("ensemble"). Controls: one network as shallow and, by its width, as large ("wide"); the deep one with more steps; and
sub-networks, copies of it without some of the blocks. Each is judged at its rate of least training loss.

Found, in three minutes on 2 CPU cores, five seeds (--seeds=5), 95 % t intervals: eight networks of 10 layers together
err on 1.5 ± 0.6 % of the images, 66 layers on 1.2 ± 0.8 % more, seed by seed. With four times the steps these do not
stand apart from the eight (1.0 ± 1.7), nor does one network of 10 layers and width 192 by its errors (0.7 ± 1.1).

Not shown: who is ahead by less than 1 %, for 297 images resolve .34 %; larger images; plain networks.
"""

import dataclasses
import functools
import itertools

from resjax import lab, probes
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, text, whole
from resjax.lab.trial import Trial
from resjax.system.errors import UserError

TABLES = {"results": {"system": text("deep, longer, ensemble, wide, or sub-networks of the deep one")} | columns(
    "connection", "seed", "learning_rate", "at_edge", "steps", depth=whole("of the deep network"),
    members=whole("whose probabilities are averaged"), member_depth=whole("of each of them"), width=whole("of each"),
    parameters=whole("of all members"), diverged=whole("members that did: left out below"),
    accuracy=number("share of the held-out images"), loss=number("cross-entropy over them, in nats"),
    member_accuracy=number("mean over the members"), member_loss=number("mean over the members"),
    disagreement=number("share of images for which two members differ, mean over the pairs; empty for one member"),
    lesion_loss=number("what a deleted block adds to the loss, mean over the blocks of all members"),
)}  # fmt: skip
PANELS = {"error": "held-out error (%)", "loss": "held-out loss", "lesion_loss": "loss added without a block"}


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    learning_rates: tuple[float, ...] = option((0.01, 0.03, 0.1, 0.3), "rates to choose from", minimum=1e-30)
    depths: tuple[int, ...] = option((66,), "weighted layers of the deep networks", minimum=1)
    members: tuple[int, ...] = option((2, 8), "networks that the blocks are dealt out to", minimum=2)
    connections: tuple[str, ...] = option(("residual",), "connections, as in depth_scaling")
    longer: int = option(4, "how many times as long the deep network is trained once more", minimum=2)
    left_out: float = option(0.25, "the share of blocks that a sub-network is without", minimum=0, maximum=1)
    seeds: int = option(3, "seeds of each network: 0, 1, …", minimum=1)


@dataclasses.dataclass(frozen=True)
class System:
    """What is judged: a deep network, an ensemble with its blocks, a control, or sub-networks of the deep one."""

    system: str
    members: int
    deep: Trial
    trained: Trial  # the members, or the network that they are parts of


def trials(config: Config) -> list[System]:
    """Of every deep network itself, the ensembles with its blocks, and the controls."""
    systems = []
    for depth, connection, seed in itertools.product(config.depths, config.connections, range(config.seeds)):
        deep = Trial.of(config, depth=depth, connection=connection, norm="batch", seed=seed)
        longer = dataclasses.replace(deep, steps=deep.steps * config.longer)
        systems += [System("deep", 1, deep, deep), System("longer", 1, deep, longer)]
        for members in config.members:
            shared = dealt_out(config, deep, members)
            single = dataclasses.replace(deep, depth=shared.depth, width=as_large(dataclasses.replace(shared, seed=0)))
            systems += [System("ensemble", members, deep, shared), System("wide", 1, deep, single)]
            systems.append(System("sub-networks", members, deep, deep))
    return systems


def dealt_out(config: Config, deep: Trial, members: int) -> Trial:
    """So many networks that share the blocks of a deep one; no two seeds share a network."""
    possible = lab.building.depths(deep)
    units, rest = divmod(len(possible), members)
    if rest or possible[-1] != deep.depth:
        raise UserError(f"--members={members}: the network of depth {deep.depth} can not be dealt out to so many")
    return dataclasses.replace(deep, depth=possible[units - 1], seed=deep.seed * max(config.members), num_seeds=members)


def as_large(members: Trial) -> int:
    """The width of one network of their depth that is nearest to all of them in parameters."""
    dataset = lab.plan.plan(members).dataset
    build = functools.partial(lab.building.network, members, dataset.classes)
    return probes.ensembles.as_large(build, members.width, members.num_seeds, dataset.inputs(1))


def rows(bench, system: System, config: Config):
    """Trains its networks at all rates; how good those of the best are together."""
    trained, at_edge, _ = lab.tuning.tuned(bench, system.trained, config)
    result = bench.train(trained)
    diverged = result["diverged"] if trained.num_seeds else [result["diverged"]]
    sound = [at for at, step in enumerate(diverged) if step is None]
    row = dataclasses.asdict(trained) | {"depth": system.deep.depth, "seed": system.deep.seed, "at_edge": at_edge}
    row |= {"member_depth": trained.depth, "diverged": len(diverged) - len(sound)}
    row["parameters"] = result["parameters"] * len(diverged)
    if sound:
        left_out = config.left_out if system.system == "sub-networks" else None
        row |= bench.once(average, trained, when="trained", members=system.members, sound=sound, left_out=left_out)
    yield "results", row


def average(trial: Trial, snapshot, members: int, sound: list[int], left_out: float | None) -> dict[str, float]:
    """The scores of the sound networks together or, with a share that is left out, of so many random parts of one."""
    network = snapshot.network
    test = snapshot.data.test
    if left_out is not None:
        keep = probes.ensembles.random_sub_networks(network, left_out, members, trial.seed)
        return probes.ensembles.measure_sub_networks(network, snapshot.params, snapshot.state, test, keep)
    networks = snapshot.members(members) if trial.num_seeds else [snapshot]
    return probes.ensembles.measure(network, [(networks[at].params, networks[at].state) for at in sound], test)


def named(results):
    """The results by system, with what each is called, and its error."""
    name = results.apply("{0[connection]} {0[system]}: {0[members]} × {0[member_depth]} layers".format, axis=1)
    error = 100 * (1 - results["accuracy"])
    return results.assign(name=name, error=error).groupby(["name", "width", "parameters"], sort=False)


def summary(tables):
    """Means over the seeds, with their intervals."""
    return lab.statistics.summarised(named(tables["results"]), PANELS), "held-out images, means with 95 % t intervals"


def draw(tables, canvas):
    """Error, loss and cost of a lesion, a system a line."""
    systems = named(tables["results"])
    with canvas.figure(panels=3, height=1 + 0.2 * len(systems), sharey=True, note="means, 95 % t intervals") as axes:
        for axis, (column, title) in zip(axes, PANELS.items(), strict=True):
            for place, (_, values) in enumerate(systems[column]):
                axis.plot(lab.statistics.interval(values), 3 * [-place], "o-", markevery=[1])
            axis.set(xlabel=title)
        axes[0].set_yticks(range(0, -len(systems), -1), [name for name, _, _ in systems.groups])


STUDY = Study(
    Config, TABLES, trials, rows, draw, summary, lambda system, config: lab.plan.plan(system.trained), images=True
)

if __name__ == "__main__":
    STUDY.main()
