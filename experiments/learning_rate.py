"""How large may the learning rate be, and does the best one stay the best in a deeper network?

    python -m experiments.learning_rate
    python -m experiments.learning_rate --seeds=5
    python -m experiments.learning_rate --optimizer=adam --connections='scaled(power=0.5),scaled(power=1)' \\
        --learning_rates=1e-5,3e-5,1e-4,3e-4,1e-3,3e-3,1e-2,3e-2,1e-1 --seeds=5
    python -m experiments.learning_rate --network='transformer(heads=2)' --width=32 --dataset='text(window=64)' \\
        --norms=layer --connections=residual --sweep=order=pre,complete_p --depths=10,50,202 \\
        --optimizer='adamw(b2=0.95)' \\
        --learning_rates=0.001,0.003,0.01,0.03,0.1 --schedule=cosine --warmup_steps=20 --clip_norm=1 --batch_size=8 \\
        --steps=200 --target=2.9 --seeds=3

Trains every connection × norm × depth × seed at every rate. A rate is borne if the loss over all training images ends
below --target, which is below ln 10, that of guessing. The best one has the least loss. For Adam, Depth-μP (branches
over √L) has the best rate fall as 1/√L, and CompleteP (branches over L) has it constant (Dey et al. 2025, arXiv
2505.01618); lines from the first depth on.

Found, with the second command, in ten minutes on 2 CPU cores, five seeds: with skips and batch norm every network bears
a rate of 1 at 8, 32 and 128 layers, and so it is with branches over √L or L. Without a norm these bear 0.3 to 1, ReZero
0.03 to 0.3. Plain networks bear rates at 8 layers only, and so do skips alone, whose best rate falls from 0.03 to
0.0001 at 32 (medians). With skips and batch norm the best rate stays at 0.1.

Of transformers on a text, with the last command: with pre-norm the best rate falls from 0.03 at 10 layers to 0.003 or
0.01 at 202, and the loss at it rises by 0.35 ± 0.07 nats, seed by seed. With branches over L, as CompleteP has them, it
is 0.03 at all depths, and the loss falls by 0.20 ± 0.09. (CompleteP has AdamW's ε over L, too; here it stays.)

Not shown: whether what is borne, or best, for so few steps is so for longer training, or with a schedule.
"""

import dataclasses

import numpy as np

from resjax import lab, training
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number
from resjax.lab.trial import Trial

KEY = columns("connection", "norm", "optimizer", "depth", "seed")
TABLES = {
    "results": KEY | columns(
        largest_rate=number("of those tried, whose loss ends below --target; empty if none did"),
        best_rate=number("of those tried, by the loss; empty if every one diverged"),
        best_loss=number("cross-entropy over all training images, at the best rate"),
    ),
    "rates": KEY | columns("learning_rate", "steps", "train_loss", "train_accuracy", "test_accuracy", "diverged"),
}  # fmt: skip
SHOWN = {"largest_rate": "largest learning rate borne", "best_rate": "best learning rate"}


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((8, 32, 128), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(
        ("plain", "residual", "scaled(power=0.5)", "scaled(power=1)", "rezero"), "connections, as in depth_scaling"
    )
    norms: tuple[str, ...] = option(("none", "batch"), "normalisations, as in depth_scaling")
    learning_rates: tuple[float, ...] = option(
        (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0), "learning rates to try", minimum=1e-30
    )
    target: float = option(1.0, "the training loss below which a rate is borne", minimum=0)
    steps: int = option(100, "training steps", minimum=1)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def trials(config: Config) -> list[Trial]:
    """The networks whose rates are tried."""
    return [
        Trial.of(config, connection=connection, norm=norm, depth=depth, seed=seed)
        for connection in config.connections
        for norm in config.norms
        for depth in config.depths
        for seed in range(config.seeds)
    ]


def rows(bench, trial: Trial, config: Config):
    """What is borne and best, and a row a rate."""
    networks = [dataclasses.replace(trial, learning_rate=rate) for rate in config.rates]
    found = dict(zip(config.rates, bench.train_all(networks), strict=True))
    losses = {rate: result["train_loss"] for rate, result in found.items()}
    borne = [rate for rate, loss in losses.items() if loss <= config.target]
    best = training.search.best_rate({rate: [result] for rate, result in found.items()})
    sound = np.isfinite(losses[best])
    yield (
        "results",
        {
            "largest_rate": max(borne, default=None),
            "best_rate": best if sound else None,
            "best_loss": losses[best] if sound else None,
        },
    )
    for rate, result in found.items():
        yield "rates", result | {"learning_rate": rate}


def summary(tables):
    """Families down, depths across."""
    results = tables["results"].fillna({"largest_rate": 0})
    shown = results.pivot_table("largest_rate", ["connection", "norm"], "depth", "median", sort=False)
    return shown.reset_index(), "largest learning rate borne (0: none), median over the seeds"


def draw(tables, canvas):
    """Largest (left) and best rate (right) against depth; powers of depth that theory has for branches over L^a."""
    results = tables["results"]
    style = lab.figures.styles(results["norm"])
    note = "lines: geometric means over the seeds that bear a rate; bands: 95 % t intervals"
    with canvas.figure(panels=2, height=3.0, note=note, sharey=True) as axes:
        for axis, (quantity, title) in zip(axes, SHOWN.items(), strict=True):
            for label, color, family in canvas.families(results, "connection"):
                for norm, found in family.groupby("norm", sort=False):
                    borne = found.dropna(subset=quantity).groupby("depth")[quantity]
                    look = {"color": color, "label": f"{label}, {norm}"}
                    lab.figures.line(axis, borne, f"o{style[norm]}", log=True, **look)
                power = lab.names.parse(family["connection"].iloc[0], "connection")[1].get("power")
                if quantity == "best_rate" and power and results["optimizer"].iloc[0].startswith("adam") and len(borne):
                    depths = np.array(sorted(borne.groups))
                    first = lab.statistics.interval(borne.get_group(depths[0]), log=True)[1]
                    axis.plot(depths, first * (depths / depths[0]) ** (power - 1), "k:", linewidth=0.8, label="theory")
            axis.set(yscale="log", xlabel="depth (weighted layers)", ylabel=title)
            lab.figures.log_ticks(axis, results["depth"])
        lab.legends.legend(axes, columns=3)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, colored=True)

if __name__ == "__main__":
    STUDY.main()
