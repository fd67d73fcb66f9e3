"""Which wiring of the blocks gains by depth, and bears many learning rates?

    python -m experiments.wirings
    python -m experiments.wirings --depths=26,102,502 --seeds=3 --learning_rates=0.001,0.003,0.01,0.03
    python -m experiments.wirings --dataset='induction(hops=2)' --connections=hyper,mine:Wiring

Trains residual networks with the norms at every place of --order, and with them at the first of these every one of
--connections: several streams, and memory over depth. Each is judged at its best rate, by the loss, the steps to
--target, spikes of the training loss, and the sensitivity: the mean over all rates of what is lost against the best
one. Of streams that mix, the largest row and column sums of the product of all mixings, at the end.

Found, with the second command but for two connections, in 65 minutes on 2 CPU cores, three seeds, 100 steps of a text,
95 % t intervals seed by seed: at 502 layers, which are 250 sublayers x + F(x), six wirings have a lower held-out loss
than pre-norm: ReZero by 0.87 ± 0.34 nats, hyper-connections by 0.70 ± 0.28, DenseFormer by 0.42 ± 0.11, attention
residuals in 8 groups by 0.41 ± 0.07, values over depth by 0.40 ± 0.29, lns by 0.38 ± 0.15. Attention residuals without
groups are not told apart (0.13 ± 0.28). mHC gains 0.005 ± 0.004: the others hardly train there. From 26 to 502 layers
ReZero alone gains, 0.06 ± 0.05; pre-norm loses 0.56 ± 0.11. The mixings of hyper-connections multiply to 10⁹ to 10¹¹ at
102 and 502 layers, those of mHC to 1. ReZero keeps its best rate, the highest; that of pre-norm falls from 0.01 to
0.003, that of DenseFormer from 0.03. Hyper-connections bear other rates worse, by 0.30 ± 0.21 nats, attention residuals
by 0.22 ± 0.09. At 1002 layers, after 100 steps, four of them are not told apart from pre-norm.

On induction, one hop, all fourteen wirings train at 26 layers, in the mean to at most 0.036 nats, and at 102, to 0.24:
none is told apart from pre-norm. At 502 layers pre-norm comes to 0.49, at the lowest rate tried. ReZero has less, by
0.44 ± 0.18 nats, values over depth by 0.40 ± 0.29, DenseFormer by 0.35 ± 0.16, hyper-connections by 0.33 ± 0.22; peri
has 0.08 ± 0.06 more. Peri bears other rates better at 26 and 102 layers, by 0.17 ± 0.06 and 0.24 ± 0.03, and
hyper-connections worse at 502, by 0.32 ± 0.17. At equal parameters hyper-connections gain 0.66 ± 0.25 on the text at
502 layers; mHC, mHC-lite and gated streams are not told apart from pre-norm.

Where there are no tokens: of dense networks of digits with layer norm six gain at 110 layers, hyper-connections most,
by 0.14 ± 0.11, and none at 20 and 56. With batch norm none of seven is told apart. As a ResNet-56 of width 8 none of
nine gains; mHC and mHC-lite lose 0.05 ± 0.03.

Not shown: more steps, large models; memories without groups at 1002 layers. One of 20 intervals may miss.
"""

import dataclasses
import functools
import itertools
import math

from resjax import lab, probes
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, whole
from resjax.lab.texts import OnTexts
from resjax.lab.trial import Trial
from resjax.lab.tuning import RATES

KEY = columns("order", "connection", "norm", "depth", "width", "seed")
TABLES = {
    "results": KEY | columns(
        "learning_rate", "at_edge", "parameters", "train_loss", "test_loss", "diverged",
        steps_to_target=whole("the first logged step with a training loss of at most --target", optional=True),
        spikes=whole("logged training losses that are 0.1 above the median of the five before"),
        sensitivity=number("mean over the rates of the loss, at most that of guessing, less that of the best rate"),
        forward_gain=number("largest row sum of the product of one stage's mixings, on held-out examples; else empty"),
        backward_gain=number("and its largest column sum"),
    ),
    "rates": columns("order") | RATES,
}  # fmt: skip
SEVERAL = "hyper", "mhc", "mhc_lite", "gated_streams"  # streams
PANELS = {"test_loss": "held-out loss (nats)", "sensitivity": "sensitivity to the rate (nats)"}


@dataclasses.dataclass(frozen=True)
class Config(OnTexts):
    """The options of this experiment."""

    order: tuple[str, ...] = option(("pre", "peri", "lns", "deepnorm", "keel", "rezero"), "where the norms stand")
    connections: tuple[str, ...] = option(
        (*SEVERAL, "attention_residual", "attention_residual(blocks=0)", "dense_former", "value_residual"),
        "connections, each with the first of --order",
    )
    depths: tuple[int, ...] = option((10, 26), "weighted layers of each network", minimum=1)
    batch_size: int = option(4, "examples a step", minimum=1)
    learning_rates: tuple[float, ...] = option((0.003, 0.01, 0.03, 0.1), "rates to choose from", minimum=1e-30)
    equal: str = option("width", "all have --width, or the first's parameters", choices=("width", "parameters"))
    steps: int = option(100, "training steps", minimum=1)
    log_every: int = option(5, "steps between the points of the learning curves", minimum=1)
    target: float = option(2.9, "the training loss whose step is told", minimum=0)


def trials(config: Config) -> list[Trial]:
    """The networks: every order of a residual one, and every other connection with the first of the orders.

    With --equal=parameters each has the width at which it has as many as the first has with --width, about.
    """
    wirings = [(order, "residual") for order in config.order]
    wirings += [(config.order[0], connection) for connection in config.connections if connection != "residual"]
    found = [
        Trial.of(config, order=order, connection=connection, norm=norm, depth=depth, seed=seed)
        for (order, connection), norm, depth, seed in itertools.product(
            wirings, config.norms, config.depths, range(config.seeds)
        )
    ]
    if config.equal == "width":
        return found
    order, connection = wirings[0]
    first = functools.partial(dataclasses.replace, order=order, connection=connection)
    return [lab.sizes.as_large_as(first(trial), trial) for trial in found]


def rows(bench, trial: Trial, config: Config):
    """Trains it; how it was trained, and what its streams have become."""
    done = bench.train(trial)
    curve = bench.store.curve(trial)
    reached = [line["step"] for line in curve if line["loss"] <= config.target]
    tried = bench.train_all(dataclasses.replace(trial, learning_rate=rate) for rate in config.rates)
    guessing = math.log(lab.plan.plan(trial).network.head.classes)
    gains = {} if done["diverged"] is not None else bench.once(mixed, trial, when="trained")
    yield (
        "results",
        done
        | gains
        | {
            "steps_to_target": min(reached, default=None),
            "spikes": lab.statistics.spikes([line["loss"] for line in curve]),
            "sensitivity": lab.statistics.sensitivity([found["train_loss"] for found in tried], guessing),
        },
    )


def mixed(trial: Trial, snapshot) -> dict[str, float]:
    """The gains of the product of all mixings, on two held-out examples; nothing where no streams mix."""
    x, _ = next(iter(snapshot.data.test.all(2)))
    try:
        table = probes.mixing(snapshot.network, snapshot.params, snapshot.state, x)
    except probes.stream_mixing.NoMixing:
        return {}
    return {name: float(table[name].iloc[-1]) for name in ("forward_gain", "backward_gain")}


def summary(tables):
    """Of every wiring and depth."""
    grouped = tables["results"].groupby(["order", "connection", "depth"], sort=False)
    shown = lab.statistics.summarised(grouped, ["test_loss", "sensitivity"])
    return shown, "at the best learning rate, in nats: mean ± 95 % t interval over the seeds"


def draw(tables, canvas):
    """Held-out loss and sensitivity, a row a wiring (the order, or the connection it stands with), a colour a depth."""
    results = tables["results"]
    results = results.assign(wiring=results["connection"].where(results["connection"] != "residual", results["order"]))
    lab.dots.draw(results, "wiring", PANELS, canvas)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, tuned=True)

if __name__ == "__main__":
    STUDY.main()
