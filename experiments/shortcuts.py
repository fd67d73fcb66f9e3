"""How many skips may be projections, of which kind, and over how many layers should a skip lead?

    python -m experiments.shortcuts
    python -m experiments.shortcuts --projections=0,1,2,4,8,-1 --jacobians=8 --seeds=3
    python -m experiments.shortcuts --studies=projections --depths=98 --projections=0,4,8,-1 --shortcut=projection \\
        --jacobians=8 --seeds=3

`projections`: so many blocks, spread evenly, have Wx + F(x), and the blocks between stages (third command). `table1`:
the skips of He et al. 2016 (arXiv 1603.05027). `skip_length`: layers that a skip leads past.

Found, in five minutes on 2 CPU cores (a quarter of an hour for the second command, whose numbers these are): "a few
times" is a number, not a share, and ends at about eight. Of 12, 24 or 48 skips 4 may be Gaussian projections; 8 double
the loss, 24 of 24 make it 22 times as large. What grows is the condition number, 9 to 19 times a projection (theory:
15). Orthogonal ones leave it as it is, and do less harm. Over 8 layers the loss is 9 times that of skips over 2.

Not shown: He et al.'s table with its 64000 steps; gates as they start now, with weights of zero; rates of their own.
"""

import dataclasses
import itertools

from resjax import lab, probes, theory
from resjax.lab import papers
from resjax.lab.config import Running, Training
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, text, whole
from resjax.lab.trial import Trial

STUDIES = ("projections", "table1", "skip_length")
STAGES = {"start": "--", "trained": "-"}
ALL = -1  # of `projections`
LABELS = {"error": "held-out error (%)", "condition": "condition number", "gradient_norm": "gradient, before / behind"}
RESULTS = {
    "study": text("which of the three"),
    **columns("network", "connection", "shortcut", "projections", layers=whole("of a branch")),
    **columns("depth", "norm", "seed", blocks=whole("of the network")),
    "stage": text("start, or trained: of the Jacobian; what training led to stands beside both"),
    "gradient_norm": number("of the loss's gradient, before the blocks over behind them"),
    "condition": number("of the Jacobian of all blocks, median over the images; above 1e15 it is rounding"),
    **columns(sigma_max=number("its largest singular value"), sigma_min=number("its smallest one")),
    **columns("train_loss", "train_accuracy", "test_accuracy", "diverged"),
    "paper_error": number("in He et al.'s table 1 (%, CIFAR-10); empty where they have none, or it failed"),
}


@dataclasses.dataclass(frozen=True)
class Config(Running, Training):
    """The options of this experiment."""

    studies: tuple[str, ...] = option(STUDIES, "which of the three", choices=STUDIES)
    depths: tuple[int, ...] = option((50,), "weighted layers, in the studies projections and skip_length", minimum=1)
    projections: tuple[int, ...] = option((0, 1, 4, ALL), "numbers of projections; -1: in all blocks", minimum=-1)
    shortcut: tuple[str, ...] = option(("projection", "orthogonal"), "their kinds, and the shortcuts between stages")
    layers: tuple[int, ...] = option((1, 2, 3, 4, 8), "layers that a skip leads past", minimum=1)
    table1_depth: int = option(110, "weighted layers, beside the paper's table", minimum=1)
    connections: tuple[str, ...] = option(tuple(papers.SKIPS), "connections, beside the paper's table")
    jacobians: int = option(4, "training images at which the Jacobian is taken; medians over them", minimum=1)
    norms: tuple[str, ...] = option(("batch",), "normalisations, as in depth_scaling")
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def trials(config: Config) -> list[tuple[str, Trial]]:
    """The networks of each study, with its name."""
    branch, _ = lab.names.parse(config.branch, "branch")
    found = []
    for depth, norm, kind, count in itertools.product(config.depths, config.norms, config.shortcut, config.projections):
        values = {"depth": depth, "norm": norm, "shortcut": kind}
        transitions = lab.plan.plan(Trial.of(config, projections=0, **values)).network.transitions
        if kind == "pad" or (count == 0 and not any(transitions)):  # no block has a projection
            values |= {"shortcut": "pad", "projections": 0}
        else:
            values |= {"projections": len(transitions) - sum(transitions) if count == ALL else count}
        found.append(("projections", values))
    for norm in config.norms:
        plain = {"shortcut": "pad", "projections": 0, "norm": norm}
        found += [("table1", plain | {"depth": config.table1_depth, "connection": name}) for name in config.connections]
        for depth, layers in itertools.product(config.depths, config.layers):
            found.append(("skip_length", plain | {"depth": depth, "branch": f"{branch}(layers={layers})"}))
    cases = [(study, Trial.of(config, seed=seed, **own)) for study, own in found for seed in range(config.seeds)]
    return list(dict.fromkeys(case for case in cases if case[0] in config.studies))


def rows(bench, case: tuple[str, Trial], config: Config):
    """Trains it; reads it before and after."""
    study, trial = case
    trained = bench.train(trial)
    network = lab.plan.plan(trial).network
    paper = papers.SKIPS.get(trial.connection) if study == "table1" else None
    row = {"study": study, "blocks": network.length, "layers": network.blocks[-1].branch.layers, "paper_error": paper}
    for stage in STAGES if trained["diverged"] is None else ("start",):
        found = bench.once(measure, trial, when=stage, jacobians=config.jacobians)
        yield "results", dataclasses.asdict(trial) | trained | row | found | {"stage": stage}


def measure(trial: Trial, snapshot, jacobians: int) -> dict[str, float]:
    """The `conditioning` of one network, whose norms keep the statistics of one batch, at its first images."""
    import jax

    images, labels = next(snapshot.data.train.all(trial.batch_size))
    network = lab.registry.of_last_batch(trial, snapshot.network)
    with jax.enable_x64(True):
        images = images.astype("float64")
        params, state = jax.tree.map(lambda leaf: leaf.astype("float64"), (snapshot.params, snapshot.state))
        state = lab.start.settled(trial, network, params, state, images)
        read = probes.once.jit_once(probes.total_jacobian.conditioning, network)
        values = read(network, params, state, images[:jacobians], labels[:jacobians])
        return {name: float(value) for name, value in values.items()}


def summary(tables):
    """Medians over the seeds."""
    results = tables["results"].assign(error=100 * (1 - tables["results"]["test_accuracy"]))
    groups = results.groupby(["study", "connection", "shortcut", "projections", "layers", "stage"], sort=False)
    shown = groups[["train_loss", "error", "condition", "gradient_norm"]].median().reset_index()
    return shown, "held-out error (%), condition number of all blocks"


def draw(tables, canvas):
    """Against the number of projections: error, condition, gradient. Below: length of skips, the paper's table."""
    results = tables["results"].assign(error=100 * (1 - tables["results"]["test_accuracy"].fillna(0)))
    once = results[results["stage"] == "start"]
    shown = results[results["study"] == "projections"]
    note = "medians and quartiles over the seeds; dots: a seed; ×: He et al."
    with canvas.figure(panels=3, rows=2, height=4.8, note=note) as axes:
        kinds = lab.figures.colors(canvas.config.shortcut)
        for axis, (column, label) in zip(axes, LABELS.items(), strict=False):
            for (stage, style), (kind, color) in itertools.product(STAGES.items(), kinds.items()):
                own = shown[(shown["stage"] == stage) & shown["shortcut"].isin(("pad", kind))].groupby("projections")
                lab.figures.median_line(axis, own[column], f"o{style}", color=color, label=f"{kind}, {stage}")
            axis.set_xscale("symlog", linthresh=1)
            axis.set(yscale="log", ylabel=label, xlabel="projections")
        bare = shown[(shown["projections"] == 0) & (shown["stage"] == "start")]["condition"].median()
        wide = theory.gaussian_conditions(bare, canvas.config.width, max(shown["projections"], default=0))
        axes[1].plot(wide, "k:", label="theory, dense: Gaussian factors")
        axes[1].set(ylim=(1e2, 1e16))  # what is above is rounding in float64
        lengths = once[once["study"] == "skip_length"].groupby("layers")
        lab.figures.median_line(axes[3], lengths["error"], color="k")
        axes[3].set(xlabel="layers that a skip leads past", ylabel=LABELS["error"], ylim=(0, None))
        table1 = once[once["study"] == "table1"].groupby("connection", sort=False)
        lab.figures.bars(axes[4], table1["error"], papers.SKIPS)
        axes[4].set(xlabel=LABELS["error"], title="He et al. 2016, table 1")
        axes[5].set_axis_off()
        lab.figures.legend(axes[:3], columns=3)


STUDY = Study(Config, {"results": RESULTS}, trials, rows, draw, summary, lambda case, config: lab.plan.plan(case[1]))

if __name__ == "__main__":
    STUDY.main()
