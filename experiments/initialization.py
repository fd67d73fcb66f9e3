"""Which initial weights let a network without normalisation train, to which depth, and why?

    python -m experiments.initialization
    python -m experiments.initialization --network=resnet --initializer=he_normal,delta_orthogonal --activation=tanh

`results`: the deepest plain network that trains (see depth_frontier) by initialiser and activation, and how different
the units of its last layer are: the effective rank of their responses to 128 images. With equal weights all units are
equal, get equal gradients, and stay equal. looks_linear comes with crelu, Fixup with rezero(alpha=1). `scales`: over
how many layers the gradient of wide tanh networks falls or grows by e, beside ξ = 1/|ln χ1|.

Found, in 14 minutes on 2 CPU cores, five seeds (--seeds=5): zero and constant weights fail at 4 layers: the stream is
zero, or of rank 1. He's ReLU networks train to 18 layers (median). Orthogonal tanh and looks_linear train to 256, where
the search ends. ξ is its formula's within 4 %, but 19 ± 9 % less at a variance of .9, scattered at 1.2 and 1.5.

Not shown: more than 100 steps; other widths.
"""

import dataclasses
import functools
import itertools

import numpy as np

from experiments import depth_frontier
from resjax import lab, probes, theory, training
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number
from resjax.lab.trial import Start, Trial

TABLES = {
    "results": columns(
        "initializer", "activation", "connection", "seed", **depth_frontier.SEARCHED,
        rank_start=number("effective, of the shallowest network's last stream; empty if it is zero or diverged"),
        rank_trained=number("that after training"),
    ),
    "scales": columns(weight_variance=number("σ_w², times the fan-in")) | columns(
        "width", "seed",
        chi=number("what a layer multiplies the gradient's mean square by"), chi_theory=number("the mean field's"),
        depth_scale=number("ξ, layers in which it falls or grows by e"), depth_scale_theory=number("the mean field's"),
    ),
}  # fmt: skip
COMES_WITH = {"looks_linear": {"activation": "crelu"}, "fixup": {"activation": "relu", "connection": "rezero(alpha=1)"}}
TANH = Start(branch="dense(layers=1)", activation="tanh", connection="plain", norm="none", pairs=8)


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    initializer: tuple[str, ...] = option(
        ("zeros", "constant(value=0.1)", "normal(stddev=0.01)", "normal(stddev=0.3)", "xavier_normal", "he_normal",
         "orthogonal", "looks_linear", "fixup"), "initialisers, as in depth_scaling",
    )  # fmt: skip
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


def trials(config: Config) -> list[Trial | Start]:
    """The shallowest network of every kind, with all that its initialiser comes with; then the tanh networks."""
    usual = {"norm": "none", "connection": "residual" if config.block else "plain"}  # residual: the user's block itself
    seeds = range(config.seeds)
    kinds = [
        usual | {"initializer": initializer, "activation": activation, "seed": seed} | COMES_WITH.get(initializer, {})
        for initializer, activation, seed in itertools.product(config.initializer, config.activation, seeds)
    ]
    tanh = dataclasses.replace(TANH, width=config.scale_width, depth=config.scale_depth)
    scales = [
        dataclasses.replace(tanh, initializer=f"variance_scaling(scale={variance})", seed=seed)
        for variance, seed in itertools.product(config.variances, seeds)
    ]
    return [*dict.fromkeys(depth_frontier.shallowest(config, **kind) for kind in kinds), *scales]


def rows(bench, trial: Trial | Start, config: Config):
    """A search for the frontier, or a depth scale."""
    if isinstance(trial, Start):
        variance = lab.names.parse(trial.initializer, "initializer")[1]["scale"]
        found = bench.once(lab.start.read, trial, names=["gradient_mean_square"])
        yield "scales", scale(variance, np.array(found["gradient_mean_square"]))
        return
    found = depth_frontier.search(bench, trial, config)
    best = lab.tuning.tuned(bench, trial, config).trial
    if bench.train(best)["diverged"] is None:
        found |= bench.once(unit_ranks, best, when="trained")
    yield "results", found


def unit_ranks(trial: Trial, snapshot) -> dict[str, float]:
    """Effective rank of the last block's stream over the first 128 training images, before and after training."""
    from resjax.random_streams import stream

    inputs, _ = next(iter(snapshot.data.train.all(128)))
    key = stream(training.step.keys_of(trial.seed), "weights")
    start = probes.forward.started(snapshot.network, key, inputs[:1])
    weights = {"rank_start": start, "rank_trained": (snapshot.params, snapshot.state)}
    read = functools.partial(snapshot.network.apply, probe=lambda seen: probes.forward.effective_rank(seen.y))
    return {name: float(read(*found, inputs)[2][-1]) for name, found in weights.items()}


def scale(variance: float, squares: np.ndarray) -> dict[str, float]:
    """A row of `scales`: the slope of the gradient's logarithm over the second half of the way back."""
    blocks = np.arange(len(squares))[5 : len(squares) // 2]  # the first ones are still on their way to q*
    chi = np.exp(-np.polyfit(blocks, np.log(squares[blocks]), 1)[0])
    _, expected = theory.mean_field(variance)
    scales = {"depth_scale": theory.depth_scale(chi), "depth_scale_theory": theory.depth_scale(expected)}
    return {"weight_variance": variance, "chi": chi, "chi_theory": expected} | scales


def summary(tables):
    """A frontier a row."""
    return tables["results"].drop(columns=["tried", "seed"]), "deepest network that trains"


def draw(tables, canvas):
    """Frontier (bars), how different the units are (dots), and the depth scale with its formula."""
    kinds = tables["results"].groupby(["initializer", "activation"], sort=False)
    depth = kinds["frontier_depth"].median().clip(lower=1)
    labels = [", ".join(kind) for kind in depth.index]
    ends = len(labels) - 0.5, -0.5
    note = "bars: medians over the seeds, up to where the search ends; ranks: means; dashed: mean field"
    with canvas.figure(panels=3, height=3.3, note=note, width_ratios=(1.2, 0.8, 1)) as (bars, ranks, right):
        bars.barh(labels, depth, 0.6, color=lab.figures.COLORS[0], alpha=0.6)
        bars.set(xscale="log", xlim=(1, canvas.config.max_depth), ylim=ends, xlabel="deepest that trains")
        ranks.plot(kinds["rank_start"].mean(), labels, "o", color=lab.figures.COLORS[0], markerfacecolor="none")
        ranks.plot(kinds["rank_trained"].mean(), labels, "o", color=lab.figures.COLORS[0])
        ranks.set(xscale="log", ylim=ends, xlabel="rank of the units\n○ start  ● trained")
        ranks.tick_params(labelleft=False)
        line = np.linspace(min(canvas.config.variances), max(canvas.config.variances), 200)
        right.plot(line, [theory.depth_scale(theory.mean_field(v)[1]) for v in line], "k--")
        right.plot("weight_variance", "depth_scale", "o", data=tables["scales"])
        right.set(yscale="log", xlabel="σ_w² of tanh layers", ylabel="depth scale ξ (layers)")


STUDY = Study(
    Config, TABLES, trials, rows, draw, summary, images=True,
    refuse=lambda trial, config: (lab.start if isinstance(trial, Start) else lab.plan).plan(trial),
)  # fmt: skip

if __name__ == "__main__":
    STUDY.main()
