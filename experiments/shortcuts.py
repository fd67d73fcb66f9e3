"""How many skips may be projections, of which kind, and over how many layers should a skip lead?

    python -m experiments.shortcuts

So many blocks, spread evenly, have Wx + F(x). `table1`: the skips of He et al. 2016 (arXiv 1603.05027).

Found, in 11 minutes on 2 CPU cores, five seeds, 95 % t intervals (commands in docs/gallery.md): of 24 skips 4 may be
projections at no cost that is seen here. With 24 the training loss is .027 ± .018 for Gaussian ones, .011 ± .003 for
orthogonal ones, without .005 ± .002. At the start a Gaussian one raises the condition number 7 to 13 times (theory:
15), an orthogonal one does not; trained, 24 of these have 3·10⁴, none 300. Skips over 8 layers have 7 times the loss of
skips over 2. On images of digits no join of stages is seen to train better than another.

Not shown: He et al.'s 64000 steps, in which scaled skips and open gates train, too.
"""

import dataclasses
import itertools

from resjax import lab, probes, theory
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import one_each, option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, text, whole
from resjax.lab.trial import Trial
from resjax.lab.tuning import RATES

STUDIES = ("projections", "table1", "skip_length")
STAGES = {"start": "--", "trained": "-"}
ALL = -1  # of `projections`
PANELS = {  # label, limits
    "train_loss": ("training loss, at the end", (1e-4, 10)),
    "condition": ("condition number", (1e2, 1e16)),  # what is above is rounding in float64
    "gradient_norm": ("gradient, before / behind", (1, 1e6)),
}
RESULTS = {
    "study": text("which of the three"),
    **columns("network", "connection", "shortcut", "projections", layers=whole("of a branch")),
    **columns("depth", "norm", "seed", "learning_rate", "at_edge"),
    "stage": text("start, or trained: of the Jacobian; what training led to stands beside both"),
    "gradient_norm": number("of the loss's gradient, before the blocks over behind them"),
    "condition": number("of the Jacobian of all blocks, median over the images; above 1e15 it is rounding"),
    **columns("train_loss", "train_accuracy", "test_accuracy", "diverged"),
}
TABLES = {"results": RESULTS, "rates": columns("shortcut", "projections", "branch", study=RESULTS["study"]) | RATES}


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    studies: tuple[str, ...] = option(STUDIES, "which of the three", choices=STUDIES)
    depths: tuple[int, ...] = option((50,), "weighted layers, in the studies projections and skip_length", minimum=1)
    projections: tuple[int, ...] = option((0, 1, 4, ALL), "numbers of projections; -1: in all blocks", minimum=-1)
    shortcut: tuple[str, ...] = option(("projection", "orthogonal"), "their kinds, and the shortcuts between stages")
    layers: tuple[int, ...] = option((1, 2, 3, 4, 8), "layers that a skip leads past", minimum=1)
    table1_depth: int = option(110, "weighted layers, beside the paper's table", minimum=1)
    connections: tuple[str, ...] = option(tuple(lab.papers.SKIPS), "connections, beside the paper's table")
    jacobians: int = option(4, "training images at which the Jacobian is taken; medians over them", minimum=1)
    norms: tuple[str, ...] = option(("batch",), "normalisations, as in depth_scaling")
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def trials(config: Config) -> list[tuple[str, Trial]]:
    """The networks of each study, with its name."""
    depth, norm = one_each(config, "depths", "norms")
    branch, _ = lab.names.parse(config.branch, "branch")
    plain = {"shortcut": "pad", "projections": 0}
    found = [("table1", plain | {"depth": config.table1_depth, "connection": name}) for name in config.connections]
    found += [("skip_length", plain | {"depth": depth, "branch": f"{branch}(layers={over})"}) for over in config.layers]
    for kind, count in itertools.product(config.shortcut, config.projections):
        values = {"depth": depth, "shortcut": kind}
        transitions = lab.plan.plan(Trial.of(config, projections=0, norm=norm, **values)).network.transitions
        bare = kind == "pad" or (count == 0 and not any(transitions))  # no block has a projection
        some = len(transitions) - sum(transitions) if count == ALL else count
        found.append(("projections", values | (plain if bare else {"projections": some})))
    varied = itertools.product([case for case in found if case[0] in config.studies], range(config.seeds))
    return [*dict.fromkeys((study, Trial.of(config, norm=norm, seed=seed, **own)) for (study, own), seed in varied)]


def rows(bench, case: tuple[str, Trial], config: Config):
    """Trains it; reads it before and after."""
    trial, at_edge, tried = lab.tuning.tuned(bench, case[1], config)
    yield from (("rates", row | {"study": case[0]}) for row in tried)
    trained = bench.train(trial) | {"at_edge": at_edge}
    trained |= {"study": case[0], "layers": lab.plan.plan(trial).network.blocks[-1].branch.layers}
    for stage in STAGES if trained["diverged"] is None else ("start",):
        trained |= {"stage": stage} | bench.once(measure, trial, when=stage, jacobians=config.jacobians)
        yield "results", dataclasses.asdict(trial) | trained


def measure(trial: Trial, snapshot, jacobians: int) -> dict[str, float]:
    """The `conditioning` of one network, whose norms keep the statistics of one batch, at its first images."""
    import jax

    images, labels = next(snapshot.data.train.all(max(jacobians, trial.batch_size)))
    network = lab.building.of_last_batch(trial, snapshot.network)
    with jax.enable_x64(True):
        images = images.astype("float64")
        params, state = jax.tree.map(lambda leaf: leaf.astype("float64"), (snapshot.params, snapshot.state))
        state = lab.start.settled(trial, network, params, state, images)
        read = probes.once.jit_once(probes.total_jacobian.conditioning, network)
        found = read(network, params, state, images[:jacobians], labels[:jacobians])
    return {name: float(found[name]) for name in ("gradient_norm", "condition")}


def summary(tables):
    """A row a kind of network: means and their intervals; of the condition number at the start the median."""
    start = tables["results"][tables["results"]["stage"] == "start"]
    kinds = start.groupby(["study", "connection", "shortcut", "projections", "layers"], sort=False)
    shown = lab.statistics.summarised(kinds, ["train_loss", "test_accuracy"])
    return shown.assign(condition=kinds["condition"].median().values), "means ± 95 % t intervals over the seeds"


def draw(tables, canvas):
    """Against the number of projections: loss, condition, gradient. Below: length of skips, the paper's table."""
    results = tables["results"].assign(error=100 * (1 - tables["results"]["test_accuracy"].fillna(0)))
    trained = results[results["stage"] == "start"]  # where those stand, too, that diverged
    below = results["study"].ne("projections").any()
    with canvas.figure("figure", 3, 1 + below, 2.6 + 2.2 * below, "bands: 95 % t intervals; ×: He et al.") as axes:
        draw_projections(results[results["study"] == "projections"], axes[:3], canvas.config)
        if below:
            lengths = trained[trained["study"] == "skip_length"].groupby("layers")
            lab.figures.line(axes[3], lengths["train_loss"], color="k", log=True)
            axes[3].set(xlabel="layers that a skip leads past", ylabel="training loss", yscale="log")
            kinds = trained.query("study == 'table1'").groupby("connection", sort=False)
            lab.figures.bars(axes[4], kinds["error"], lab.papers.SKIPS)
            axes[4].set(xlabel="held-out error (%)", title="He et al. 2016, table 1")
            axes[5].set_axis_off()


def draw_projections(results, axes, config):
    """A colour a kind of shortcut, a style a stage; and the law of wide dense projections."""
    looks = list(itertools.product(STAGES.items(), lab.figures.colors(config.shortcut).items()))
    for axis, (column, (label, limits)) in zip(axes, PANELS.items(), strict=True):
        axis.set_xscale("symlog", linthresh=1)
        axis.set(yscale="log", ylabel=label, xlabel="projections")
        for (stage, style), (kind, color) in looks:
            own = results[(results["stage"] == stage) & results["shortcut"].isin(("pad", kind))].groupby("projections")
            look = {"log": True, "color": color, "label": f"{kind}, {stage}"}
            lab.figures.leaving_means(axis, own[column], limits, f"o{style}", **look)
    bare = results[(results["projections"] == 0) & (results["stage"] == "start")]["condition"].median()
    wide = theory.gaussian_conditions(bare, config.width, max(results["projections"], default=0))
    axes[1].plot(wide, "k:", label="theory, dense: Gaussian factors")
    lab.legends.legend(axes, columns=3)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, images=True, counts="jacobians")

if __name__ == "__main__":
    STUDY.main()
