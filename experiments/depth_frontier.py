"""What is the deepest network of each kind that still trains, and how does that move with the steps?

    python -m experiments.depth_frontier
    python -m experiments.depth_frontier --connections=plain,residual --norms=none,batch --seeds=5
    python -m experiments.depth_frontier --connections=plain --initializer=orthogonal --activation=tanh

Grows the depth until a network misses the accuracy within the steps at every one of the learning rates, then bisects.
A success is taken to imply success with fewer layers and more steps; `tried` lists all depths with the best accuracy.

Found, with the second command, in 13 minutes on 2 CPU cores, medians of five seeds: the frontier moves with the steps.
Without a norm plain networks train to 14 layers in 100 steps and to 28 in 300. Batch norm adds 5 ± 3 layers at 100
steps without clipping (95 % t interval, seed by seed). With clipping it is not seen to add any, and at 300 steps it
takes 2.4 ± 2.1 away. Skips alone train to 16 and 24 layers, with clipped gradients to 34 and 70. With skips and batch
norm all train, up to 512. On a text (`depth_frontier_text`, transformers, 300 steps, three seeds) those with post-norm
come below 4.2 bits a byte up to 26 to 30 layers, at the lowest of three rates, 0.001; with pre-norm all do, to 102.

Not shown: lower rates for post-norm; larger images.
"""

import dataclasses
import itertools
from typing import Any

from resjax import lab, training
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, text, truth, whole
from resjax.lab.trial import Trial

SEARCHED = {
    "steps": whole("within which it is to train"),
    "frontier_depth": whole("of the deepest network that trains; 0 if even the shallowest one failed"),
    "ended": truth("whether the search ended, at --max_depth, before a network failed"),
    "tried": text("depth:learning rate at which it trains, or depth:the best accuracy of all rates if none does"),
}
RESULTS = columns("connection", "norm", "initializer", "optimizer", "clip_norm", "seed", **SEARCHED)
CLAIMS = {"plain, said: 10–12": (10, 12), "plain + norm, said: 20–30": (20, 30)}  # what is commonly said
TICKS = 3, 10, 30, 100, 300, 1000, 3000, 10_000


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    connections: tuple[str, ...] = option(("plain", "residual", "rezero"), "connections, as in depth_scaling")
    norms: tuple[str, ...] = option(("none", "batch", "layer"), "normalisations, as in depth_scaling")
    clip_norm: tuple[float, ...] = option((0.0, 1.0), "clip the gradient's global norm; 0 does not clip", minimum=0)
    steps: tuple[int, ...] = option((100, 300), "training steps, at most: a frontier for each", minimum=1)
    accuracy: float = option(0.9, "training accuracy that counts as trained, at least", minimum=1e-9)
    loss: float = option(float("inf"), "training loss that counts as trained, in nats, at most", minimum=0)
    evaluate_every: int = option(
        20, "steps between looks at the training accuracy; training stops when it is reached", minimum=1
    )
    max_depth: int = option(512, "where the search ends", minimum=1)
    precision: float = option(0.15, "bisection stops at this relative uncertainty of the depth", minimum=0)
    seeds: int = option(1, "seeds of each network: 0, 1, …", minimum=1)


def trials(config: Config) -> list[Trial]:
    """The shallowest network of every family."""
    goal = {"stop_loss": config.loss, "steps": max(config.steps)}
    names = "connection", "norm", "clip_norm", "seed"
    varied = itertools.product(config.connections, config.norms, config.clip_norm, range(config.seeds))
    return [shallowest(config, **dict(zip(names, values, strict=True)), **goal) for values in varied]


def shallowest(config: Running, **choices: Any) -> Trial:
    """The shallowest network with these options, whose training ends once it is as accurate as the search asks.

    Raises:
      UserError: it is deeper than --max_depth.
    """
    goal = {"stop_accuracy": config.accuracy, "stop_every": config.evaluate_every}
    deepest = Trial.of(config, depth=config.max_depth, **goal, **choices)
    return dataclasses.replace(deepest, depth=lab.building.depths(deepest)[0])


def rows(bench, trial: Trial, config: Config):
    """A search for each number of steps, from the frontier of fewer steps on."""
    floor = 0
    for steps in sorted(config.steps):
        found = search(bench, dataclasses.replace(trial, steps=steps), config, floor)
        floor = found["frontier_depth"]
        yield "results", found


def search(bench, trial: Trial, config: Running, floor: int = 0) -> dict[str, Any]:
    """`frontier_depth`, `ended` and `tried` of the networks like this one; those up to `floor` are known to train."""
    tried = []
    rates = list(config.rates)

    def trains(depth: int) -> bool:
        if depth <= floor:
            return True
        accuracies = [0.0]
        for rate in rates:
            found = bench.train(dataclasses.replace(trial, depth=depth, learning_rate=rate))
            accuracies.append(found["train_accuracy"])
            if accuracies[-1] >= trial.stop_accuracy and found["train_loss"] <= trial.stop_loss:
                tried.append(f"{depth}:{rate:g}")
                rates.sort(key=lambda other: other != rate)  # which is likely to do at the next depth, too
                return True
        tried.append(f"{depth}:{max(value for value in accuracies if value == value):.3f}")  # but for nan
        return False

    depths = [d for d in lab.building.depths(dataclasses.replace(trial, depth=config.max_depth)) if d >= floor]
    deepest = training.search.frontier(trains, depths, config.precision)
    ended = deepest == depths[-1]
    return {"frontier_depth": deepest, "ended": ended, "tried": " ".join(tried), "steps": trial.steps}


def summary(tables):
    """Families down, steps across."""
    families = ["connection", "norm", "clip_norm"]
    shown = tables["results"].pivot_table("frontier_depth", families, "steps", "median", sort=False)
    return shown.reset_index(), "deepest network that trains, by steps: median over the seeds"


def draw(tables, canvas):
    """The frontier against the steps: a panel a clip, a line a family."""
    results = tables["results"].assign(frontier_depth=lambda table: table["frontier_depth"].clip(lower=1))
    style = lab.figures.styles(results["norm"])
    clips = list(results["clip_norm"].unique())
    claims = CLAIMS.items() if "plain" in set(results["connection"]) else ()
    note = "means, 95 % bands; ▲: search ended"
    with canvas.figure(panels=len(clips), height=3.2, sharey=True, note=note) as axes:
        for axis, clip in zip(axes, clips, strict=True):
            for (label, (low, high)), shade in zip(claims, ("0.45", "0.75"), strict=False):
                axis.axhspan(low, high, color=shade, alpha=0.5, linewidth=0, zorder=0, label=label)
            own = results[results["clip_norm"] == clip]
            for label, color, family in canvas.families(own, "connection"):
                for norm, found in family.groupby("norm", sort=False):
                    frontier = found.groupby("steps")["frontier_depth"]
                    lab.figures.line(axis, frontier, f"o{style[norm]}", log=True, color=color, label=f"{label}, {norm}")
                ended = family[family["ended"]]
                axis.plot(ended["steps"], ended["frontier_depth"], "^", color=color, markersize=6)
            lab.figures.log_ticks(axis, results["steps"])
            axis.set(title=f"gradient clipped at {clip:g}" if clip else "no clipping", xlabel="steps")
            axis.set(yscale="log", ylim=(2, 2 * max(results["frontier_depth"].max(), 2)))
            axis.set_yticks([tick for tick in TICKS if tick < 2 * results["frontier_depth"].max()])
            axis.yaxis.set_major_formatter("{x:g}")
        axes[0].set_ylabel("deepest network that trains")
        lab.legends.legend(axes, columns=3)


STUDY = Study(Config, {"results": RESULTS}, trials, rows, draw, summary, colored=True)

if __name__ == "__main__":
    STUDY.main()
