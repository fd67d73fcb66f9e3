"""How deep can a network be trained, with and without normalisation, with and without skips?

    python -m experiments.depth_scaling
    python -m experiments.depth_scaling --learning_rates=0.001,0.003,0.01,0.03,0.1 --seeds=5
    python -m experiments.depth_scaling --preset=resnet56_cifar10 --connections=plain,residual --depths=20,56
    python -m experiments.depth_scaling --depths=20,56 --connections='residual,scaled(power=0.5)' --seeds=5
    python -m experiments.depth_scaling --depths=20,56 --norms=batch --evaluate_every=10 --probe_every=10

Training and test error against depth (`figure`) and the training loss against the step (`curves`), of each family and
depth at the best of its learning rates. The last command adds what happens meanwhile: both errors against the step, and
activations and gradients at every block.

Found, with the second command, in 20 minutes on 2 CPU cores, 95 % t intervals of five seeds: plain networks get worse
from 10 layers on, in training error too, with batch norm and without. With it 20 layers get 3.9 ± 1.3 % wrong and 56
layers 81 ± 5 %. Skips alone do not help: all diverge from 56 layers on. With batch norm residual networks get at most
0.7 % wrong at every depth to 1000. Of the held-out digits 1000 layers get 4.2 % wrong, 10 layers 2.6 %.

10,000 layers train, too (no norms, 100 steps, three seeds, the best of three rates). With branches over √L they get 1.1
± 1.2 % of the training digits wrong, and 100 layers 1.3 ± 0.5 %. Of ReZero's 10,000 one seed diverges, and two get 72
and 92 % wrong.

Longer training does not close the gap: convolutional networks on MNIST-1D get 0.02 % wrong with 20 plain layers after
3000 steps, and 52 ± 12 % with 56. 56 residual ones get none wrong.

Branches of blocks that share one set of weights add up coherently (--looped, three seeds, the best of five rates). So
without a norm they diverge from 32 layers on, over √L at 320 layers and some at 100. Over L 320 layers get 0.1 ± 0.1 %
wrong. With batch norm these get 2.7 ± 2.2 % wrong, over √L 0.6 ± 0.5 %, and over L 0.1 ± 0.3 %.

Of transformers on a text (202 layers are 50 blocks; 300 steps, three seeds, the best of four rates) those get better
from 10 layers to 202 whose branches start small: seed by seed the held-out loss falls by 0.34 ± 0.30 bits a byte with
ReZero, and by 0.15 ± 0.08 with branches over √N, whose 10 layers have the highest rate tried as their best. With
pre-norm it rises by 0.25 ± 0.14, with lns by 0.16 ± 0.05, with peri by 0.15 ± 0.13; with deepnorm and Keel no change is
told apart. Post-norm does not train from 50 layers on: its 4.6 to 4.7 bits are near the entropy of single bytes.

At 1002 layers (100 steps, batches of 4, three seeds, the best of three rates, but for deepnorm and Keel the highest)
ReZero gets as far as at 202: its training loss is 3.7 bits at both, a change of 0.00 ± 0.06. With branches over √N it
rises by 0.13 ± 0.08 to 4.1, with lns by 0.189 ± 0.185 to 4.4. The others end at 4.6 to 4.7.

Transformers of images agree (patches of the digits, 200 steps, three seeds, the best of three rates, mostly the highest
tried). From 10 layers to 202 the training error rises by 89 ± 1 points with post-norm, which does not train there, and
by 9 ± 8 with pre-norm and 4 ± 2 with lns; with ReZero it falls by 5 ± 2, and so does that on held-out digits. On
Fashion-MNIST (the better of two rates) it rises by 60 ± 7 with post-norm, and by 5.3 ± 1.3 with pre-norm.

The bottleneck network of 1001 layers gets 63 % of a thousand images of Fashion-MNIST right (one seed, the better of two
rates). 29 layers get 70 %.

Not shown: whether 56 plain layers would get there in ten times the steps; rates below 0.001; large images.
"""

import dataclasses

from resjax import lab
from resjax.lab.config import Running, Training, Tuning, Watching
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns
from resjax.lab.trial import Trial, by_seed
from resjax.lab.tuning import RATES
from resjax.system.errors import UserError

KEY = ("depth", "connection", "norm", "seed")
TABLES = {
    "results": columns(
        *KEY, "learning_rate", "at_edge", "parameters", "train_loss", "train_accuracy", "test_accuracy", "diverged"
    ),
    "timings": columns(*KEY, "first_step_seconds", "step_milliseconds", "total_seconds"),
    "held_out": columns(*KEY, "test_loss"),
    "curves": columns(*KEY, "step", "loss", "accuracy"),
    "rates": RATES,
}
FAILED = 0.5  # a network that diverged or gets less than half of its training images right is drawn as failed


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Watching, Training):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((4, 10, 20, 30, 56, 110, 1000), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(
        ("plain", "residual"),
        "plain, residual, scaled(alpha=1,beta=0.1,power=0.5), rezero, projection, package.module:Name",
    )
    norms: tuple[str, ...] = option(("none", "batch"), "none, batch, layer, group(groups=8), rms, package.module:Name")
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)
    seeds_together: bool = option(False, "train seeds together: equal but for rounding and, if streamed, their batches")


def trials(config: Config) -> list[Trial]:
    """A network a row of the table, or a row a seed, family by family."""
    if config.seeds_together and config.survival != "none":
        raise UserError("--seeds_together: networks that train together drop the same blocks; leave it out")
    errors = {"errors_every": config.evaluate_every}
    seeds = [(0, config.seeds)] if config.seeds_together else [(seed, 0) for seed in range(config.seeds)]
    return [
        Trial.of(config, depth=depth, connection=connection, norm=norm, seed=seed, num_seeds=num_seeds, **errors)
        for connection in config.connections
        for norm in config.norms
        for depth in config.depths
        for seed, num_seeds in seeds
    ]


def rows(bench, trial: Trial, config: Config):
    """Trains it; its learning curve, network by network."""
    for row in by_seed(trial, bench.train(trial)):
        yield "results", row
        yield "timings", row
        yield "held_out", row
    by_step = [by_seed(trial, line) for line in bench.store.curve(trial)]
    for network in zip(*by_step, strict=True):
        for row in network:
            yield "curves", row
    yield from lab.watched.rows(bench.store, trial)


def summary(tables):
    """Depth down, families across."""
    results = tables["results"]
    family = results["connection"] + "/" + results["norm"]
    named = results.assign(family=family, accuracy=results["train_accuracy"].fillna(0))
    shown = named.pivot_table("accuracy", "depth", "family", lab.statistics.plus_minus, sort=False)
    return shown.reset_index(), "training accuracy at the best learning rate: mean ± 95 % t interval over the seeds"


def draw(tables, canvas):
    """Training and test error against depth: the mean over the seeds, and its 95 % t interval; of texts the loss."""
    results = tables["results"]
    lab.curves.draw(tables["curves"], canvas)
    lab.watched.draw(tables, canvas)
    note = "lines: means; bands: 95 % t intervals; dots: a seed"
    if lab.datasets.is_text(canvas.config.dataset):
        return lab.curves.draw_bits(results, tables["held_out"], canvas, note)
    with canvas.figure(panels=2, height=2.8, sharey=True, note=note) as axes:
        for axis, split in zip(axes, ("train", "test"), strict=True):
            for label, color, rows in canvas.families(results, "connection", "norm"):
                error = 100 * (1 - rows[f"{split}_accuracy"].fillna(0))  # a network that diverged gets nothing right
                failed = ~(rows["train_accuracy"] >= FAILED)
                lab.figures.line(axis, error.groupby(rows["depth"]), "-", color=color, label=f"{label}")
                axis.plot(rows["depth"][~failed], error[~failed], "o", color=color)
                axis.plot(rows["depth"][failed], error[failed], "x", color=color, markersize=5)
            axis.plot([], [], "kx", label="failed (100 %: diverged)")
            lab.figures.log_ticks(axis, results["depth"])
            axis.set(xlabel="depth (weighted layers)", ylabel=f"{split} error (%)", ylim=(-3, 103))
        lab.legends.legend(axes, columns=3)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, colored=True, tuned=True)

if __name__ == "__main__":
    STUDY.main()
