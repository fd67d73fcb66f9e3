"""What do skips alone, norms alone and both do to vanishing and exploding gradients?

    python -m experiments.normalization
    python -m experiments.normalization --order=pre --norms=none,batch,layer,rms --depths=30,100,300

Reads networks at their start (see signal_propagation) with each norm at each place: in front of the
branch's layers (`pre`), at the branch's end (`post`, the original unit), behind the addition
(`norm_after_addition`). The figure has four corners: with and without skips, with and without a norm.

Four minutes on 2 CPU cores. Gradients explode without skips under batch norm, with skips without a norm, and with
skips and a norm behind the addition; with skips and a norm inside the branch they grow like a power of the depth, by
29 (layer, post) to 5·10⁶ (batch, post) at 1000 layers. Plain networks without a norm, or with layer norm, wander
(He's weights): 0.01 and 2·10⁻⁸ at 1000 layers.
"""

import dataclasses
import itertools
import pathlib

import resjax
from resjax.lab.config import Probed, Probing, Running, option

RESULTS = {
    "connection": "str",
    "norm": "str",
    "order": "str",
    "depth": "int64",
    "seed": "int64",
    "gradient_growth": "float64",  # mean square of ∂L/∂x before the first block / before the last
    "activation_growth": "float64",  # mean square of the stream before the last block / before the first
    "input_cosine": "float64",  # between two inputs, before the last block
    "gradient_cosine": "float64",  # between their gradients, before the first block
}
READ = ("activation_mean_square", "gradient_mean_square", "input_cosine", "gradient_cosine")
LIMITS = 1e-15, 1e15  # of the figure


@dataclasses.dataclass(frozen=True)
class Config(Running, Probing):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((10, 30, 100, 1000), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(("plain", "residual"), "connections, as in depth_scaling")
    norms: tuple[str, ...] = option(("none", "batch", "layer"), "normalisations, as in depth_scaling")
    order: tuple[str, ...] = option(
        ("pre", "post", "norm_after_addition"),
        "where norm and activation stand",
        choices=tuple(resjax.lab.config.ORDERS),
    )
    width: int = option(128, "units or filters of the stem", minimum=1)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def run(config: Config):
    """Reads every network that is not read yet, then writes the table and the figure."""
    todo = [
        Probed.of(config, connection=connection, norm=norm, order=order, depth=depth, seed=seed)
        for connection in config.connections
        for norm in config.norms
        for order in config.order
        for depth in config.depths
        for seed in range(config.seeds)
    ]
    for point in todo:
        resjax.lab.initial.plan(point)
    work = resjax.lab.workdir.WorkDirectory.open("normalization", config, {"results": RESULTS})
    if not config.plot_only:
        with resjax.lab.session.session(work, total=len(todo)) as session:
            rows = [dataclasses.asdict(point) | session.measure(point, ends) for point in todo]
        work.write_table("results", rows)
    results = work.read_table("results")
    plot(results, work.path / "figure")
    resjax.lab.session.show(summary(results), title="gradient before the first block / before the last, mean squares")
    print(f"table:  {work.path / 'results.csv'}\nfigure: {work.path / 'figure.png'}")


def ends(point: Probed) -> dict[str, float]:
    """A row of the table: how the network's last block compares with its first."""
    found = resjax.lab.initial.read(point, READ)
    activation = found["activation_mean_square"]
    gradient = found["gradient_mean_square"]
    return {
        "gradient_growth": gradient[0] / gradient[-1] if gradient[-1] else float("nan"),
        "activation_growth": activation[-1] / activation[0] if activation[0] else float("nan"),
        "input_cosine": found["input_cosine"][-1],
        "gradient_cosine": found["gradient_cosine"][0],
    }


def summary(results):
    """Growth of the gradient: depths across."""
    families = ["connection", "norm", "order"]
    return (
        results.pivot_table("gradient_growth", families, "depth", sort=False, dropna=False)
        .dropna(how="all")
        .reset_index()
    )


def plot(results, path: pathlib.Path):
    """Growth of the gradient against depth: skips from top to bottom, norms from left to right."""
    corners = [(connection, normed) for connection in results["connection"].unique() for normed in (False, True)]
    orders = results["order"].unique()
    norms = results["norm"].unique()
    color = dict(zip(orders, itertools.cycle(resjax.lab.figures.COLORS), strict=False))
    style = dict(zip(norms, itertools.cycle((":", "-", "--", "-.")), strict=False))
    height = 0.8 + 1.8 * len(corners) / 2
    with resjax.lab.figures.figure(path, 2, len(corners) // 2, height=height, sharex=True, sharey=True) as axes:
        for axis, (connection, normed) in zip(axes, corners, strict=True):
            here = results[(results["connection"] == connection) & ((results["norm"] != "none") == normed)]
            for (order, norm), rows in here.groupby(["order", "norm"], sort=False):
                mean = rows.groupby("depth")["gradient_growth"].mean().clip(*LIMITS)
                label = f"{order}, {norm}" if normed else f"{order}, none"
                axis.plot(mean, style[norm], marker="o", color=color[order], label=label)
            axis.axhline(1, color="k", linewidth=0.5)
            axis.set(xscale="log", yscale="log", ylim=LIMITS)
            axis.set_title(f"{connection}, {'with a norm' if normed else 'no norm'}")
            depths = sorted(set(results["depth"]))
            axis.set_xticks(depths, labels=map(str, depths))
            axis.minorticks_off()
        for axis in axes[-2:]:
            axis.set_xlabel("depth (weighted layers)")
        for axis in axes[::2]:
            axis.set_ylabel("gradient, first block / last")
        resjax.lab.figures.legend(axes, columns=3)


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
