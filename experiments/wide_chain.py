"""Are wide residual networks nearly invertible, is their landscape simpler for it, and does SGD find a minimum sooner?

    python -m experiments.wide_chain
    python -m experiments.wide_chain --learning_rates=0.001,0.003,0.01,0.03,0.1,0.3 --seeds=5

Of the same networks κ: the condition number of the Jacobian of all blocks before training, in float64; λ: the largest
eigenvalue of the Hessian where the training loss has come down to --matched_loss; and the steps until all training
images are right and their mean loss is --global_loss, at the rate with which that is soonest. Who never gets there
ranks last. The claim is a chain, wide → small κ → small λ → few steps: each link has Spearman's rank correlation ρ.

Found, with the second command, in ten minutes on 2 CPU cores, five seeds, 95 % intervals: κ → λ and λ → steps hold over
the 84 of 100 networks that come to the matched loss, with ρ = 0.89 (0.82–0.93) and 0.56 (0.38–0.70), but within no kind
of connection is either seen. The connection decides, not the width: κ is 3 with branches over L, 10³–10⁹ with unscaled
ones. Wider residual networks have larger κ, not smaller (ρ = 0.87, 0.69–0.95), and need fewer steps all the same.

Not shown: a cause; λ depends on the rate, too, though no best one lies at an edge of those tried.
"""

import dataclasses
import itertools

import numpy as np

from resjax import lab, probes
from resjax.lab.config import Running, Training, Tuning
from resjax.lab.options import option
from resjax.lab.study import Study
from resjax.lab.tables import columns, number, truth
from resjax.lab.trial import Trial
from resjax.lab.tuning import RATES

KEY = columns("connection", "norm", "width", "depth", "seed", "learning_rate", "at_edge", "parameters")
MEASURED = columns(
    "matched",
    condition=number("κ of the Jacobian of all blocks before training, geometric mean over the images"),
    invertible_share=number("of the blocks before training, whose Lipschitz constant is certified to be below 1"),
    lambda_max=number("the largest eigenvalue of the Hessian there, over all training images"),
    reached=truth("whether training came to --global_loss with all images right"),
)
TABLES = {"results": KEY | MEASURED | columns("steps", "train_loss", "diverged"), "rates": RATES}
LINKS = (("width", "condition"), ("condition", "lambda_max"), ("lambda_max", "steps"), ("condition", "steps"))
LABELS = {"width": "width", "condition": "κ before training", "lambda_max": "λ at matched loss", "steps": "steps"}
NEVER = 10  # times the steps: where who never gets there is drawn


@dataclasses.dataclass(frozen=True)
class Config(Running, Tuning, Training):
    """The options of this experiment."""

    depths: tuple[int, ...] = option((18,), "weighted layers of each network", minimum=1)
    connections: tuple[str, ...] = option(
        ("plain", "residual", "scaled(power=0.5)", "scaled(power=1)"), "connections, as in depth_scaling"
    )
    norms: tuple[str, ...] = option(("none",), "normalisations, as in depth_scaling")
    width: tuple[int, ...] = option((8, 16, 32, 64, 128), "units or filters of the stem", minimum=1)
    examples: int = option(256, "train on the first so many images only; 0: on all", minimum=0)
    steps: int = option(1000, "training steps, at most", minimum=1)
    matched_loss: float = option(0.1, "mean training loss at which the curvature is measured", minimum=0)
    global_loss: float = option(0.01, "mean training loss that counts as a global minimum", minimum=0)
    evaluate_every: int = option(10, "steps between looks at the training loss", minimum=1)
    images: int = option(4, "training images at which the Jacobian is taken", minimum=1)
    lanczos: int = option(20, "steps of Lanczos' algorithm for the Hessian", minimum=2)
    seeds: int = option(3, "seeds of each network: 0, 1, …", minimum=1)


def trials(config: Config) -> list[Trial]:
    """The networks, which are trained until they come to a minimum."""
    goal = {"stop_accuracy": 1.0, "stop_loss": config.global_loss, "stop_every": config.evaluate_every}
    varied = itertools.product(config.connections, config.norms, config.depths, config.width, range(config.seeds))
    return [
        Trial.of(config, connection=connection, norm=norm, depth=depth, width=width, seed=seed, **goal)
        for connection, norm, depth, width, seed in varied
    ]


def rows(bench, trial: Trial, config: Config):
    """κ at the start, λ on the way, steps to the end."""
    trained = bench.train(trial)
    row = trained | {"reached": bool(trained["train_loss"] <= config.global_loss and trained["train_accuracy"] == 1)}
    row |= bench.once(condition, trial, when="start", images=config.images)
    on_the_way = dataclasses.replace(trial, stop_accuracy=1e-9, stop_loss=config.matched_loss)
    row["matched"] = bool(bench.train(on_the_way)["train_loss"] <= config.matched_loss)
    if row["matched"]:
        row |= bench.once(curvature, on_the_way, when="trained", lanczos=config.lanczos)
    yield "results", row


def condition(trial: Trial, snapshot, images: int) -> dict[str, float]:
    """κ and the certified share, at the first training images, in float64."""
    import jax

    batch, _ = next(snapshot.data.train.all(max(images, trial.batch_size)))
    with jax.enable_x64(True):
        x = batch.astype("float64")
        state = lab.start.settled(trial, snapshot.network, snapshot.params, snapshot.state, x)
        found, _ = probes.undoing.undoing(
            snapshot.network, snapshot.params, state, x[:images], jax.random.key(trial.seed)
        )
    return {name: found[name] for name in ("condition", "invertible_share")}


def curvature(trial: Trial, snapshot, lanczos: int) -> dict[str, float]:
    """The largest eigenvalue of the Hessian over all training images, in evaluation."""
    import jax

    place = snapshot.network, snapshot.params, snapshot.state, *next(snapshot.data.train.all(len(snapshot.data.train)))
    values, _ = probes.curvature.eigenvalues(*place, jax.random.key(trial.seed), lanczos)
    return {"lambda_max": float(values[0])}


def summary(tables):
    """The rank correlation of every link, over all networks and within each connection."""
    import pandas as pd

    results = ranked(tables["results"])
    groups = [("all", results), *results.groupby("connection", sort=False)]
    shown = [
        {"over": name, "link": f"{LABELS[x]} → {LABELS[y]}", "networks": len(own[[x, y]].dropna())}
        | dict(zip(("from", "ρ", "to"), lab.statistics.rank_correlation(own[x], own[y]), strict=True))
        for name, own in groups
        for x, y in LINKS
    ]
    return pd.DataFrame(shown), "rank correlations, with 95 % intervals"


def ranked(results):
    """The results, where a network that does not come to a minimum has needed more steps than all that do."""
    return results.assign(steps=results["steps"].where(results["reached"], NEVER * results["steps"].max()))


def draw(tables, canvas):
    """A panel a link: a dot a network, by connection, larger with the width; ρ over all networks in the title."""
    results = ranked(tables["results"])
    color = lab.figures.colors(results["connection"])
    with canvas.figure(panels=2, rows=2, height=5.2, note="dots: networks, larger with the width; ×: never") as axes:
        for axis, (x, y) in zip(axes, LINKS, strict=True):
            for connection, own in results.groupby("connection", sort=False):
                for marker, chosen in (("o", own[own["reached"]]), ("x", own[~own["reached"]])):
                    look = {"color": color[connection], "marker": marker, "alpha": 0.7}
                    axis.scatter(chosen[x], chosen[y], s=3 * np.sqrt(chosen["width"]), label=connection, **look)
            low, rho, high = lab.statistics.rank_correlation(results[x], results[y])
            axis.set(xscale="log", yscale="log", xlabel=LABELS[x], ylabel=LABELS[y])
            axis.set_title(f"ρ = {rho:.2f} ({low:.2f} to {high:.2f})")
        lab.legends.legend(axes, columns=4)


STUDY = Study(Config, TABLES, trials, rows, draw, summary, counts="images", tuned=True, images=True)

if __name__ == "__main__":
    STUDY.main()
