"""More of what is said of deep networks, and what the published tables say: for docs/index.html (see `found`)."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from resjax.lab import statistics
from resjax.lab.site.found import HOLDS, NOT, Found

Tables = Mapping[str, pd.DataFrame]
PART = "holds in part"


def _by_seed(results: pd.DataFrame, column: str, **chosen: object) -> np.ndarray:
    """The column of the rows with these values, a number a seed, seeds in order."""
    for name, value in chosen.items():
        results = results[results[name] == value]
    return results.sort_values("seed")[column].to_numpy(float)


def initial_weights(tables: Tables) -> tuple[str, str]:
    """initialization."""
    results = tables["results"]
    equal = results[results["initializer"].isin(["zeros", "constant(value=0.1)"])]
    random = results.query("initializer == 'he_normal' and activation == 'relu'")["frontier_depth"]
    return HOLDS if (equal["frontier_depth"] == 0).all() and random.min() > 0 else NOT, (
        f"In all {len(equal)} runs zero and constant weights fail at the least depth, 4. He's random ones, with ReLUs, "
        f"train to {random.median():.0f} layers (median), without a norm and without skips."
    )


def identity_layers(tables: Tables) -> tuple[str, str]:
    """identity."""
    loss = [
        _by_seed(tables["results"], "train_loss", network=network, depth=depth)
        for network, depth in (("plain, trained", 20), ("plain, deepened", 56), ("plain, trained", 56))
    ]
    worse = statistics.interval(loss[2] - loss[1])[0] > 0
    return HOLDS if worse and np.allclose(loss[0], loss[1], rtol=1e-4) else NOT, (
        f"20 plain layers, trained, and then deepened to 56 by layers that are the identity keep their training loss, "
        f"{statistics.plus_minus(loss[1])} nats. 56 plain layers from scratch end at {statistics.plus_minus(loss[2])}."
    )


def projections(tables: Tables) -> tuple[str, str]:
    """shortcuts: Gaussian projections in place of identities."""
    own = tables["results"].query("study == 'projections' and stage == 'trained' and shortcut != 'orthogonal'")
    none, few, many = (_by_seed(own, "train_loss", projections=count) for count in (0, 4, own["projections"].max()))
    few_cost = statistics.interval(few - none)[0] > 0
    many_cost = statistics.interval(many - none)[0] > 0
    return HOLDS if many_cost and not few_cost else PART if many_cost else NOT, (
        f"With {own['projections'].max()} projections the training loss is {statistics.plus_minus(many)} nats, with 4 "
        f"{statistics.plus_minus(few)}, with none {statistics.plus_minus(none)}."
    )


def dropped_layers(tables: Tables) -> tuple[str, str]:
    """stochastic_depth."""
    results = tables["results"]
    test = [
        100 * (1 - _by_seed(results, "test_accuracy", **chosen))
        for chosen in ({"survival": "none"}, {"survival": "linear(last=0.5)", "drop": "sample"})
    ]
    low, _, high = statistics.interval(test[0] - test[1])
    return HOLDS if low > 0 else "undecided" if high > 0 else NOT, (
        "Dropping blocks for each example, by the linear schedule to 0.5, takes "
        f"{statistics.plus_minus(test[0] - test[1])} points off the held-out error of 56 residual layers, "
        f"{statistics.plus_minus(test[0])} %."
    )


def ensemble(tables: Tables) -> tuple[str, str]:
    """ensembles."""
    results = tables["results"]
    own = results[results["system"].isin(["deep", "longer"]) | (results["members"] == results["members"].max())]
    error = {name: 100 * (1 - _by_seed(own, "accuracy", system=name)) for name in ("deep", "longer", "ensemble")}
    same, more = (error[name] - error["ensemble"] for name in ("deep", "longer"))
    beaten = statistics.interval(same)[0] > 0
    longer = statistics.interval(more)[0] > 0
    return (
        HOLDS if longer else "holds at equal compute; with four times as much they are not told apart"
    ) if beaten else NOT, (
        f"A residual network of 66 layers errs on {statistics.plus_minus(same)} % more of the held-out digits than "
        "eight shallow ones of its blocks together; with four times their steps on "
        f"{statistics.plus_minus(more)} % more."
    )


def shattering(tables: Tables) -> tuple[str, str]:
    """shattered_gradients: the correlation of the gradients at independent inputs, 50 layers."""
    results = tables["results"].query("depth == 50")
    plain, damped = (
        statistics.interval(_by_seed(results, "gradient_correlation", connection=connection, norm="batch"))
        for connection in ("plain", "scaled(beta=0.1)")
    )
    return HOLDS if plain[2] < 0.1 < damped[0] else NOT, (
        f"The gradients of 50 plain layers with batch norm at two independent inputs have a correlation of "
        f"{plain[1]:.2g} ({plain[0]:.2g} to {plain[2]:.2g}), those of residual ones with β = 0.1 of {damped[1]:.2g} "
        f"({damped[0]:.2g} to {damped[2]:.2g})."
    )


def nothing_vanishes(tables: Tables) -> tuple[str, str]:
    """normalization: a norm inside the branch, and skips."""
    results = tables["results"]
    deepest = results["depth"].max()
    own = results.query("depth == @deepest and order == 'pre' and activation == 'relu'")
    growth = {
        (connection, norm): statistics.interval(
            _by_seed(own, "gradient_growth", connection=connection, norm=norm), True
        )
        for connection, norm in (("residual", "batch"), ("residual", "layer"), ("plain", "batch"), ("residual", "none"))
    }
    kept = all(growth["residual", norm][0] > 0.1 for norm in ("batch", "layer"))
    said = " and ".join(f"{growth['residual', norm][1]:.2g} with {norm} norm" for norm in ("batch", "layer"))
    return HOLDS if kept else NOT, (
        f"At {deepest} residual layers the gradient's mean square grows on its way back by {said}. It does not vanish. "
        f"With skips alone it grows by {_size(growth['residual', 'none'][1])}."
    )


def _size(value: float) -> str:
    return f"10^{np.log10(value):.0f}" if np.isfinite(value) else "more than float64 holds"


def too_high_a_rate(tables: Tables) -> tuple[str, str]:
    """learning_rate."""
    results = tables["results"].query("depth == depth.max()")
    borne = results.groupby(["connection", "norm"])["largest_rate"].median()
    highest = tables["rates"]["learning_rate"].max()
    bounded = borne["residual", "batch"] < highest
    return HOLDS if bounded else NOT, (
        f"128 residual layers with batch norm bear a rate of {borne['residual', 'batch']:g} and none above it; with "
        f"branches over √L and no norm {borne['scaled(power=0.5)', 'none']:g}, with ReZero {borne['rezero', 'none']:g}."
    )


def language(tables: Tables) -> tuple[str, str]:
    """depth_scaling_text: held-out bits a byte, 10 layers against 202."""
    held = tables["held_out"]
    bits = {
        (order, depth): _by_seed(held, "test_loss", order=order, depth=depth) / np.log(2)
        for order in ("rezero", "pre", "post")
        for depth in (10, 202)
    }
    better = statistics.interval(bits["rezero", 202] - bits["rezero", 10])[2] < 0
    said = ", ".join(
        f"{statistics.plus_minus(bits[order, 202] - bits[order, 10])} with {order}"
        for order in ("rezero", "pre", "post")
    )
    return "holds for branches that start at zero" if better else NOT, (
        f"From 10 to 202 layers of a transformer the held-out loss changes, in bits a byte, by {said}."
    )


CLAIMS: tuple[tuple[str, tuple[str, ...], Found], ...] = (
    ("zero or constant initial weights cannot learn", ("initialization",), initial_weights),
    ("identity layers would make the deep network as good as the shallow one", ("identity",), identity_layers),
    ("a linear projection on the skip is fine a few times, costly often", ("shortcuts",), projections),
    ("layers may be dropped while a network trains", ("stochastic_depth",), dropped_layers),
    ("an ensemble of shallow networks beats one very deep network", ("ensembles",), ensemble),
    ("the gradients of plain networks shatter into white noise", ("shattered_gradients",), shattering),
    ("with normalisation and residuals nothing vanishes", ("normalization",), nothing_vanishes),
    ("too high a learning rate still explodes", ("learning_rate",), too_high_a_rate),
    ("this carried language, too", ("depth_scaling_text",), language),
)
