"""Do deeper language models use their depth?

    python -m experiments.depth_use
    python -m experiments.depth_use --seeds=5
    python -m experiments.depth_use --depths=50,202 --steps=2000 --learning_rates=0.003,0.01 --batch_size=4 --seeds=2

Trains every order × depth × seed, each at the best of its rates, and reads every block, which is an attention or an
MLP, on a batch of held-out windows: how long what it adds is beside the stream, and whether it points with or against
it; how much the stream turns; what leaving it out changes in all later blocks; and the loss of the head on the stream
behind it (the logit lens). The depth score is the mean number of the block, weighted by what leaving it out changes, as
a share of all blocks. After Csordás et al. 2025 (arXiv 2505.13898), who find that the second half of large models does
little.

Found, with the second command, in ten minutes on 2 CPU cores, five seeds, 95 % t intervals: after 300 steps of a small
text pre-norm uses its 24 sublayers early, with a score of 0.40 ± 0.04, where 0.5 is even. With the norm over √l, whose
best rate is the highest tried, it is 0.31 ± 0.04, at a held-out loss that is not told apart. The first MLP changes the
later ones most. Post-norm does not train at this depth: its loss stays at 3.2 nats, the entropy of single bytes.

After 2000 steps (the third command, half an hour, both of two seeds) pre-norm has scores of 0.45 to 0.47 at 50 layers
and 0.44 to 0.48 at 202. It is not seen to gain by them: the held-out loss is 1.53 to 1.54 nats at 50 and 1.54 to 1.57
at 202. With the norm over √l the scores are 0.38 to 0.39 and 0.30 to 0.33, the losses 1.47 to 1.50 and 1.48. Two seeds
tell neither the orders' losses apart nor those of the depths. Post-norm still tells single bytes at best.

Not shown: large models; more seeds of the long training; its rates above .01, the better of the two for all but
pre-norm at 202 layers.
"""

import dataclasses
import itertools

from resjax import lab, probes
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, whole
from resjax.lab.texts import OnTexts
from resjax.lab.trial import Trial
from resjax.lab.tuning import RATES
from resjax.system.errors import UserError

KEY = columns("order", "connection", "norm", "depth", "seed", "learning_rate", "at_edge")
TABLES = {
    "results": KEY | columns(
        block=whole("from 0; in transformers attention and MLP take turns"),
        contribution=number("length of what the branch adds, as a share of the stream's"),
        alignment=number("cosine of what the branch adds and the stream"),
        influence=number("1 − cosine of the stream before and behind the block"),
        skip_effect=number("relative change of the later branches where this block is left out, mean over them"),
        lens_loss=number("of the head on the stream behind the block, in nats"),
    ),
    "scores": KEY | columns(
        "train_loss", "test_loss",
        depth_score=number("mean number of the block, weighted by skip_effect, as a share of all blocks"),
    ),
    "rates": columns("order") | RATES,
}  # fmt: skip
PANELS = {
    "contribution": "length added",
    "alignment": "cosine",
    "skip_effect": "effect of skipping",
    "lens_loss": "lens loss (nats)",
}


@dataclasses.dataclass(frozen=True)
class Config(OnTexts):
    """The options of this experiment."""

    dataset: str = option("text", "as in depth_scaling")
    order: tuple[str, ...] = option(("pre", "lns", "post"), "where norms stand, as in depth_scaling")
    connections: tuple[str, ...] = option(("residual",), "connections, as in depth_scaling")
    learning_rates: tuple[float, ...] = option(
        (0.0003, 0.001, 0.003, 0.01, 0.03), "learning rates to choose from", minimum=1e-30
    )
    steps: int = option(300, "training steps", minimum=1)
    windows: int = option(32, "held-out examples on which blocks are read", minimum=1)


def trials(config: Config) -> list[Trial]:
    """The networks whose blocks are read."""
    names = "order", "connection", "norm", "depth", "seed"
    varied = config.order, config.connections, config.norms, config.depths, range(config.seeds)
    return [Trial.of(config, **dict(zip(names, values, strict=True))) for values in itertools.product(*varied)]


def refuse(trial: Trial, config: Config):
    """Raises UserError: the network cannot be, or its stream changes its shape."""
    try:
        probes.utilization.check(lab.plan.plan(trial).network)
    except ValueError as error:
        raise UserError(f"--network={trial.network}: {error}") from error


def rows(bench, trial: Trial, config: Config):
    """Trains it; a row a block, and its score, unless it diverged."""
    done = bench.train(trial)
    if done["diverged"] is not None:
        bench.say(f"{bench.label(trial)}: diverged at step {done['diverged']} and is left out")
        return
    found = bench.once(read, trial, when="trained", windows=config.windows)
    score = probes.depth_score(found["skip_effect"]) / len(found["block"])
    yield "scores", done | {"depth_score": score}
    for row in lab.tables.records(found):
        yield "results", row


def read(trial: Trial, snapshot, windows: int) -> dict[str, list]:
    """The table of its blocks, for some held-out examples (see `probes.depth_use`)."""
    x, targets = next(iter(snapshot.data.test.all(windows)))
    return probes.depth_use(snapshot.network, snapshot.params, snapshot.state, x, targets).to_dict("list")


def summary(tables):
    """Scores and losses by order and depth."""
    names = ["order", "depth"]
    shown = tables["scores"].groupby(names, sort=False)[["depth_score", "train_loss", "test_loss"]].mean()
    return shown.reset_index(), "at the best learning rate, means over the seeds"


def draw(tables, canvas):
    """What each block does, against its place: a row a quantity, a column a depth, a colour an order."""
    results = tables["results"]
    depths = sorted(set(results["depth"]))
    note = "means, attention and MLP as one"
    height = 0.7 + 1.4 * len(PANELS)
    with canvas.figure("figure", len(depths), len(PANELS), height, note, sharex="col", sharey="row") as axes:
        for axis, (quantity, depth) in zip(axes, itertools.product(PANELS, depths), strict=False):
            own = results[results["depth"] == depth]
            for label, color, family in canvas.families(own, "order", "connection", "norm"):
                mean = family.groupby(family["block"] // 2)[quantity].mean()  # a transformer's two
                axis.plot(2 * mean.index, mean, color=color, label=label)
            axis.set_yscale("log" if quantity == "contribution" else "linear")
        for axis, depth in zip(axes, depths, strict=False):
            axis.set_title(f"{depth} layers")
        for axis, label in zip(axes[:: max(1, len(depths))], PANELS.values(), strict=False):
            axis.set_ylabel(label)
        for axis in axes[-max(1, len(depths)) :]:
            axis.set_xlabel("block")
        lab.legends.legend(axes, columns=4)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, refuse, tuned=True)

if __name__ == "__main__":
    STUDY.main()
