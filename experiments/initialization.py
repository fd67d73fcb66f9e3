"""Which initial weights let a network without normalisation train, to which depth, and why?

    python -m experiments.initialization
    python -m experiments.initialization --network=resnet --initializer=he_normal,delta_orthogonal --activation=tanh

`results`: the deepest plain network that trains (see depth_frontier) by initialiser and activation, and
how different the units of its last layer are, as the effective rank of their responses to 128 images:
with equal weights all units are equal, get equal gradients, and stay equal. looks_linear comes with the
activation crelu; Fixup is for residual branches and comes with the connection rezero(alpha=1).
`scales`: over how many layers the gradient of wide tanh networks falls or grows by e, beside ξ = 1/|ln χ1|.

Four minutes on 2 CPU cores. Zero and constant weights fail at 4 layers already: the stream is zero, or of rank 1,
before and after training. Orthogonal tanh networks train to 34 layers, Fixup as deep as the search goes (256).
looks_linear bears small rates only:

    python -m experiments.depth_frontier --connections=plain --norms=none --activation=crelu \\
        --initializer=looks_linear --learning_rate=0.001 --max_depth=512

trains 396 plain layers without a norm. ξ scatters near the edge of chaos, where ln χ1 is as small as a network of
this width leaves it uncertain.
"""

import dataclasses
import itertools
import pathlib

import numpy as np

import resjax
from resjax.lab.config import Point, Probed, Running, Training, option

RESULTS = {
    "initializer": "str",
    "activation": "str",
    "connection": "str",
    "seed": "int64",
    "frontier_depth": "int64",  # 0 if even the shallowest network failed
    "tried": "str",  # depth:training accuracy, "nan" for a network that diverged
    "rank_start": "float64",  # effective rank of the last stream of the shallowest network; empty if zero or diverged
    "rank_trained": "float64",
}
SCALES = {
    "weight_variance": "float64",  # σ_w², times the fan-in
    "width": "int64",
    "seed": "int64",
    "chi": "float64",  # what a layer multiplies the gradient's mean square by
    "chi_theory": "float64",
    "depth_scale": "float64",  # ξ, layers
    "depth_scale_theory": "float64",
}
OWN = {  # what an initialiser comes with
    "looks_linear": {"activation": "crelu"},
    "fixup": {"activation": "relu", "connection": "rezero(alpha=1)"},
}
IMAGES = 128  # whose responses the rank is of


@dataclasses.dataclass(frozen=True)
class Config(Running, Training):
    """The options of this experiment."""

    initializer: tuple[str, ...] = option(
        (
            "zeros",
            "constant(value=0.1)",
            "normal(stddev=0.01)",
            "normal(stddev=0.3)",
            "xavier_normal",
            "he_normal",
            "orthogonal",
            "looks_linear",
            "fixup",
        ),
        "initialisers, as in depth_scaling",
    )
    activation: tuple[str, ...] = option(("relu", "tanh"), "activations, names of jax.nn")
    steps: int = option(100, "training steps", minimum=1)
    accuracy: float = option(0.8, "training accuracy that counts as trained", minimum=0)
    evaluate_every: int = option(20, "steps between looks at the training accuracy", minimum=1)
    max_depth: int = option(256, "where the search ends", minimum=1)
    precision: float = option(0.4, "bisection stops at this relative uncertainty of the depth", minimum=0)
    variances: tuple[float, ...] = option((0.6, 0.8, 0.9, 1.2, 1.5, 2.0, 3.0), "σ_w² of the tanh networks", minimum=0)
    scale_width: int = option(400, "their width", minimum=1)
    scale_depth: int = option(62, "their depth", minimum=20)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def families(config: Config) -> list[dict]:
    """The kinds of network, each with all that its initialiser comes with."""
    found = []  # residual: the user's block itself
    connection = "residual" if config.block else "plain"
    for initializer, activation, seed in itertools.product(config.initializer, config.activation, range(config.seeds)):
        usual = {"initializer": initializer, "activation": activation, "connection": connection, "seed": seed}
        family = usual | OWN.get(initializer, {})
        found += [family] if family not in found else []
    return found


def run(config: Config):
    """Finds every frontier and scale that is not known yet, then writes the tables and the figure."""
    kinds = families(config)
    points = [Point.of(config, norm="none", depth=config.max_depth, **family) for family in kinds]
    for point in points:
        resjax.lab.plan.plan(dataclasses.replace(point, depth=resjax.lab.registry.depths(point)[0]))
    tanh = [
        Probed(
            branch="dense(layers=1)", activation="tanh", initializer=f"variance_scaling(scale={variance})", seed=seed,
            width=config.scale_width, depth=config.scale_depth, connection="plain", norm="none", pairs=8,
        )
        for variance, seed in itertools.product(config.variances, range(config.seeds))
    ]  # fmt: skip
    work = resjax.lab.workdir.WorkDirectory.open("initialization", config, {"results": RESULTS, "scales": SCALES})
    if not config.plot_only:
        from resjax.lab import initial as reading

        with resjax.lab.session.session(work, total=len(points) + len(tanh)) as session:
            rows = [frontier(config, session, work, point) for point in points]
            grown = [
                session.measure(point, lambda point: reading.read(point, ("gradient_mean_square",))) for point in tanh
            ]
        work.write_table("results", rows)
        variances = [variance for variance in config.variances for _ in range(config.seeds)]
        work.write_table("scales", [scale(*each) for each in zip(variances, tanh, grown, strict=True)])
    results = work.read_table("results")
    scales = work.read_table("scales")
    plot(config, results, scales, work.path / "figure")
    resjax.lab.session.show(results.drop(columns=["tried", "seed"]), title="deepest network that trains")
    resjax.lab.session.show(scales.drop(columns=["width", "seed"]), title="depth scale of tanh networks")
    print(f"tables: {work.path / 'results.csv'}, scales.csv\nfigure: {work.path / 'figure.png'}")


def frontier(config: Config, session, work, point: Point) -> dict:
    """A row of `results`."""
    from experiments.depth_frontier import search

    depths = resjax.lab.registry.depths(point)
    tried = []
    goal = resjax.lab.trial.Goal(config.accuracy, config.evaluate_every)

    def trains(depth: int) -> bool:
        result = session.train(dataclasses.replace(point, depth=depth), goal)
        tried.append(f"{depth}:{result['train_accuracy']:.3f}")
        return result["train_accuracy"] >= config.accuracy

    deepest = search(trains, depths, config.precision)
    shallowest = dataclasses.replace(point, depth=depths[0])  # the first that was tried
    lost = work.finished(shallowest)[0]["diverged"] is not None
    ranks = {} if lost else unit_ranks(shallowest, work.folder(shallowest))
    session.advance(1)
    return dataclasses.asdict(point) | {"frontier_depth": deepest, "tried": " ".join(tried)} | ranks


def unit_ranks(point: Point, folder: pathlib.Path) -> dict[str, float]:
    """Effective rank of the last block's stream over images, before and after training."""
    import jax

    from resjax.probes.forward import effective_rank
    from resjax.random_streams import stream

    network, carry, dataset = resjax.lab.trial.trained(point, folder)
    images, _ = next(iter(dataset.train.all(IMAGES)))
    start, state = jax.jit(network.init)(stream(jax.random.key(point.seed), "weights"), images[:1])

    def rank(params, state):
        ranks = network.apply(params, state, images, probe=lambda seen: effective_rank(seen.y))[2]
        return float(ranks[-1])

    return {"rank_start": rank(start, state), "rank_trained": rank(carry.params, carry.state)}


def scale(variance: float, point: Probed, found: dict) -> dict:
    """A row of `scales`: the slope of the gradient's logarithm over the second half of the way back."""
    squares = np.array(found["gradient_mean_square"])
    rows = np.arange(len(squares))[5 : len(squares) // 2]  # the first blocks are still on their way to q*
    chi = float(np.exp(-np.polyfit(rows, np.log(squares[rows]), 1)[0]))
    _, theory = resjax.theory.mean_field(variance)
    return dataclasses.asdict(point) | {
        "weight_variance": variance,
        "chi": chi,
        "chi_theory": float(theory),
        "depth_scale": resjax.theory.depth_scale(chi),
        "depth_scale_theory": resjax.theory.depth_scale(theory),
    }


def plot(config: Config, results, scales, path: pathlib.Path):
    """Frontier (bars), how different the units are (dots), and the depth scale with its formula."""
    with resjax.lab.figures.figure(path, panels=3, height=3.2, width_ratios=(1.2, 0.8, 1)) as (bars, ranks, right):
        kinds = list(results.groupby(["initializer", "activation"], sort=False))
        color = dict(zip(results["activation"].unique(), itertools.cycle(resjax.lab.figures.COLORS), strict=False))
        for place, ((_, activation), rows) in enumerate(kinds):
            depth = rows["frontier_depth"].median()
            bars.barh(place, max(depth, 1), 0.6, color=color[activation], alpha=0.6)
            ranks.plot(rows["rank_start"].mean(), place, "o", color=color[activation], markerfacecolor="none")
            ranks.plot(rows["rank_trained"].mean(), place, "o", color=color[activation])
        bars.set_yticks(range(len(kinds)), [f"{initializer}, {activation}" for (initializer, activation), _ in kinds])
        bars.set(xscale="log", xlim=(1, 1.5 * config.max_depth), xlabel="deepest that trains")
        bars.axvline(config.max_depth, color="k", linewidth=0.5)
        ranks.set(
            xlabel="rank of the units\n○ start  ● trained", xscale="log", yticks=range(len(kinds)), yticklabels=[]
        )
        for axis in (bars, ranks):
            axis.set_ylim(len(kinds) - 0.5, -0.5)
        line = np.linspace(min(config.variances), max(config.variances), 200)
        right.plot(
            line, [resjax.theory.depth_scale(resjax.theory.mean_field(v)[1]) for v in line], "k--", label="theory"
        )
        right.plot(scales["weight_variance"], scales["depth_scale"], "o", label="measured")
        right.set(yscale="log", xlabel="σ_w² of tanh layers", ylabel="depth scale ξ (layers)")
        right.legend()


if __name__ == "__main__":
    resjax.lab.flags.main(Config, run)
