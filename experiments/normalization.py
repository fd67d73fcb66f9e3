"""What do skips alone, norms alone and both do to vanishing and exploding gradients?

    python -m experiments.normalization
    python -m experiments.normalization --order=pre --norms=none,batch,layer,rms --depths=30,100,300

Each norm stands in front of the branch's layers (`pre`), at its end (`post`), or `norm_after_addition`, which has a
ReLU behind it. Linear networks (`identity`, with lecun_normal) have the norms at the same places, and no ReLU.

Found, in six minutes on 2 CPU cores, geometric means of five seeds (--seeds=5), at 100 layers: with ReLUs gradients
explode without skips under batch norm (10¹⁶), with skips without a norm (3·10¹⁴ to 10¹⁷), and with skips and batch norm
behind the addition (4·10¹⁰). That is not for the norm's place: linear networks with the norm there grow by 2.8 (95 % t
interval 2.3 to 3.4), by 2·10³ at 1000 layers. Nor does batch norm explode as much without a ReLU: 2.3 (1.6 to 3.3) in
plain linear networks, but 10⁷ at 1000 layers. With skips and a norm inside the branch growth is 10 to 10⁴. Plain ReLU
networks without a norm, or with layer norm, wander: see `signal_propagation`.

Not shown: what becomes of these gradients in training.
"""

import dataclasses
import itertools

import numpy as np

from resjax import lab
from resjax.lab.config import Probing, Running
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number
from resjax.lab.trial import Start

RESULTS = columns(
    "connection", "norm", "order", "activation", "depth", "seed",
    gradient_growth=number("mean square of ∂L/∂x before the first block / before the last"),
    activation_growth=number("mean square of the stream before the last block / before the first"),
    input_cosine=number("between two inputs, before the last block"),
    gradient_cosine=number("between their gradients, before the first block"),
)  # fmt: skip
READ = ("activation_mean_square", "gradient_mean_square", "input_cosine", "gradient_cosine")
LIMITS = 1e-15, 1e15  # of the figure


@dataclasses.dataclass(frozen=True)
class Config(Running, Probing):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((10, 100, 1000), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(("plain", "residual"), "connections, as in depth_scaling")
    norms: tuple[str, ...] = option(("none", "batch", "layer"), "normalisations, as in depth_scaling")
    order: tuple[str, ...] = option(("pre", "post", "norm_after_addition"), "where norm and activation stand")
    activation: tuple[str, ...] = option(
        ("relu", "identity"), "names of jax.nn; linear layers take lecun_normal for he_normal, which keeps their size"
    )
    width: int = option(128, "units or filters of the stem", minimum=1)
    seeds: int = option(5, "seeds of each network: 0, 1, …", minimum=1)


def trials(config: Config) -> list[Start]:
    """The networks to read."""
    names = "connection", "norm", "order", "activation", "depth", "seed"
    varied = config.connections, config.norms, config.order, config.activation, config.depths, range(config.seeds)
    chosen = [dict(zip(names, values, strict=True)) for values in itertools.product(*varied)]
    weights = {activation: lab.wide_limit.keeping(config.initializer, activation) for activation in config.activation}
    return [Start.of(config, **values, initializer=weights[values["activation"]]) for values in chosen]


def rows(bench, trial: Start, config: Config):
    """How the network's last block compares with its first."""
    found = bench.once(lab.start.read, trial, names=READ)
    activation = found["activation_mean_square"]
    gradient = found["gradient_mean_square"]
    yield (
        "results",
        {
            "gradient_growth": gradient[0] / gradient[-1] if gradient[-1] else float("nan"),
            "activation_growth": activation[-1] / activation[0] if activation[0] else float("nan"),
            "input_cosine": found["input_cosine"][-1],
            "gradient_cosine": found["gradient_cosine"][0],
        },
    )


def summary(tables):
    """Growth of the gradient: depths across."""
    families = ["connection", "activation", "norm", "order"]
    growth = tables["results"].groupby([*families, "depth"], sort=False)["gradient_growth"]
    with np.errstate(divide="ignore", invalid="ignore"):  # where a gradient is zero
        shown = growth.apply(lambda values: lab.statistics.interval(values, log=True)[1]).unstack()
    return shown.reset_index(), "gradient before the first block / before the last, geometric means"


def draw(tables, canvas):
    """Growth of the gradient against depth: skips from top to bottom, activations and norms from left to right."""
    results = tables["results"]
    columns = list(itertools.product(results["activation"].unique(), (False, True)))
    panels = list(itertools.product(results["connection"].unique(), columns))
    color = lab.figures.colors(results["order"])
    style = lab.figures.styles(results["norm"])
    lines = len(panels) // len(columns)
    note = "geometric means over the seeds, 95 % t intervals"
    with canvas.figure("figure", len(columns), lines, 1.1 + 1.8 * lines, note, sharex=True, sharey=True) as axes:
        for axis, (connection, (activation, normed)) in zip(axes, panels, strict=True):
            chosen = (results["connection"] == connection) & (results["activation"] == activation)
            axis.set_yscale("log")
            lab.figures.log_ticks(axis, results["depth"])
            here = results[chosen & ((results["norm"] != "none") == normed)]
            for (order, norm), rows in here.groupby(["order", "norm"], sort=False):
                growth = rows.groupby("depth")["gradient_growth"]
                look = {"log": True, "marker": "o", "color": color[order], "label": f"{order}, {norm}"}
                lab.figures.leaving_means(axis, growth, LIMITS, style[norm], **look)
            axis.axhline(1, color="k", linewidth=0.5)
            axis.set_title(f"{connection}, {activation}\n{'with a norm' if normed else 'no norm'}")
        for axis in axes[-len(columns) :]:
            axis.set_xlabel("depth (weighted layers)")
        for axis in axes[:: len(columns)]:
            axis.set_ylabel("gradient,\nfirst / last block")
        lab.legends.legend(axes, columns=3)


STUDY = Study(
    Config, {"results": RESULTS}, trials, rows, draw, summary, refuse=lambda trial, config: lab.start.plan(trial)
)

if __name__ == "__main__":
    STUDY.main()
