"""Can one tell from the start of a network, before any training, whether it will train?

    python -m experiments.report_calibration

54 dense networks of 1000 layers, of many connections, norms, orders, initialisers and widths, are read at their start
and trained at five rates. A network trains if it learns half of what its twin of 10 layers does at its best rate. The
fewest limits are chosen that tell those that do not train (`reporting.limits`). Each half of the networks is judged by
the limits that the other half chose.

Found, in half an hour on 2 CPU cores, one seed: the start tells 52 of 54 right, and two wrong. A post-norm network
fails that the limits of the other half let pass, and one of several streams (mHC) trains though its blocks stretch by
10²⁰ unevenly. Four limits do: gradients may grow by 10⁶ on their way back, the condition number to 10²⁰; activations
may not vanish, nor two inputs become one. That gradients look like white noise tells nothing here.

Not shown: tokens and images; more seeds. How far a limit must lie from what trains, half a decade, was chosen with the
table at hand: a fifth of one gets 50 right.
"""

import dataclasses
import itertools

from resjax import lab, reporting
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, truth
from resjax.lab.trial import Trial
from resjax.lab.tuning import RATES
from resjax.reporting.indicators import INDICATORS, indicators

KEY = ("depth", "width", "connection", "norm", "order", "initializer", "activation", "seed")
SEEN = {name: number(meaning) for name, meaning in INDICATORS.items()}
TRAINED = columns(
    *("learning_rate", "at_edge", "train_loss", "train_accuracy", "diverged"),
    share=number("of what there is to learn, at the best rate"),
    shallow_share=number("that of the network of --shallow layers, at its best"),
    trains=truth("whether it learns half of that"),
)
RESULTS = columns(*KEY, **SEEN) | TRAINED
TABLES = {"results": RESULTS, "rates": RATES}
EDGES = {"inputs": (-3, 1.5), "dead": (-0.05, 1.05)}  # of the figure's axes, else −10 to 25 decades
BRANCHING = ("plain", "residual", "scaled(power=0.5)", "scaled(power=1)", "rezero")
COMBINATIONS = [
    *({"connection": c, "norm": n} for c, n in itertools.product(BRANCHING, ("none", "batch", "layer"))),
    *({"connection": "plain", "norm": n, "initializer": "orthogonal"} for n in ("none", "batch", "layer")),
    *({"connection": "plain", "activation": "tanh", "initializer": i} for i in ("orthogonal", "lecun_normal")),
    {"connection": "plain", "activation": "crelu", "initializer": "looks_linear"},
    *({"connection": "plain", "initializer": i} for i in ("zeros", "constant(value=0.1)", "normal(stddev=0.05)")),
    *({"initializer": i} for i in ("fixup", "zeros", "normal(stddev=0.01)", "normal(stddev=0.05)", "xavier_normal")),
    *({"norm": n, "initializer": "zeros"} for n in ("batch", "layer")),
    *({"norm": "layer", "order": o} for o in ("post", "deepnorm", "keel", "lns", "peri")),
    *({"norm": "batch", "order": o} for o in ("post", "norm_after_addition")),
    *({"norm": "rms", "connection": c} for c in ("plain", "residual")),
    *({"norm": "layer", "connection": c} for c in ("layerscale", "hyper", "mhc", "gated_streams", "laurel", "delta")),
    *(
        {"connection": c, "norm": n, "width": w}
        for (c, n), w in itertools.product(
            (("plain", "batch"), ("residual", "batch"), ("residual", "none"), ("scaled(power=0.5)", "none")), (16, 128)
        )
    ),
]


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    depth: int = option(1000, "weighted layers of each network", minimum=1)
    shallow: int = option(10, "those of the network that it is compared with", minimum=1)
    steps: int = option(100, "training steps", minimum=1)
    learning_rates: tuple[float, ...] = option((0.0003, 0.001, 0.003, 0.01, 0.03), "peak rates", minimum=1e-30)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def trials(config: Config) -> list[Trial]:
    """The networks."""
    usual = {"connection": "residual", "norm": "none"}
    return [Trial.of(config, seed=seed, **usual | choices) for choices in COMBINATIONS for seed in range(config.seeds)]


def rows(bench, trial: Trial, config: Config):
    """What is seen at the start, and what became of it."""
    shallow = [
        bench.train(dataclasses.replace(trial, depth=config.shallow, learning_rate=rate)) for rate in config.rates
    ]
    seen = bench.once(lab.report.trials.read, dataclasses.replace(trial, learning_rate=config.rates[0]))
    shares = [
        reporting.learned.share(row["train_loss"], seen["constant_loss"]) for row in (bench.train(trial), *shallow)
    ]
    trains = reporting.checks.trains(shares[0], max(shares[1:]))
    found = {"share": shares[0], "shallow_share": max(shares[1:]), "trains": trains}
    yield "results", bench.train(trial) | indicators(seen) | found


def summary(tables):
    """The limits of every indicator, and how often they were right."""
    import pandas as pd

    seen, trains = given(tables["results"])
    found = reporting.limits.of_all(seen, trains)
    count = reporting.limits.two_fold(seen, trains, tables["results"]["seed"].nunique())
    shown = pd.DataFrame([{"indicator": name} | own._asdict() for name, own in found.items()])
    said = f"of {len(trains)} networks, each half by the limits of the other, right {count['right']}"
    return shown, f"limits of what trains at the start; {said}, wrong {count['wrong']}, open {count['open']}"


def given(results) -> tuple[dict[str, list[float]], list[bool]]:
    """The indicators, and what trains, as `limits` takes them."""
    return {name: results[name].tolist() for name in INDICATORS if results[name].notna().any()}, results[
        "trains"
    ].tolist()


def draw(tables, canvas):
    """What is learned against each indicator that tells something; lines are its limits, triangles are outside."""
    results = tables["results"]
    found = reporting.limits.of_all(*given(results))
    with canvas.figure(
        panels=3, rows=2, height=4, note="a dot a network; lines: limits; ◂ ▸: outside", sharey=True
    ) as axes:
        for axis, (name, own) in zip(axes, found.items(), strict=False):
            low, high = EDGES.get(name, (-10, 25))
            for color, works in ((lab.figures.COLORS[0], True), (lab.figures.COLORS[1], False)):
                chosen = results[results["trains"] == works]
                places = chosen[name].clip(low, high)
                for marker, part in (
                    ("<", places == low),
                    (">", places == high),
                    ("o", places.between(low, high, "neither")),
                ):
                    label = ("trains" if works else "does not train") if marker == "o" else ""
                    axis.plot(places[part], 100 * chosen["share"][part], marker, color=color, alpha=0.6, label=label)
            for edge in own[::3]:
                axis.axvline(edge, color="0.5", linewidth=0.8) if low < edge < high else None
            axis.set(xlabel=f"{name} ({'share' if name == 'dead' else 'decades'})", xlim=(low, high), ylim=(-3, 103))
        for axis in axes[len(found) :]:
            axis.set_visible(False)
        axes[0].set_ylabel("learned (%)")
        axes[3].set_ylabel("learned (%)")
        lab.legends.legend(axes, columns=2)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, colored=True, tuned=True, images=True)

if __name__ == "__main__":
    STUDY.main()
