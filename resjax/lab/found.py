"""What is said of deep and residual networks, and what the published tables say: a bullet each, with one verdict."""

from collections.abc import Callable, Mapping

import pandas as pd

from resjax.lab import statistics

Tables = Mapping[str, pd.DataFrame]
HOLDS = "holds"
NOT = "does not hold"


def frontier(tables: Tables) -> tuple[str, str]:
    """depth_frontier."""
    results = tables["results"]
    plain = results[(results["connection"] == "plain") & (results["clip_norm"] == 0)]
    depth = plain.groupby(["norm", "steps"])["frontier_depth"].median()
    few, many = plain["steps"].min(), plain["steps"].max()
    verdict = f"holds under {few} to {many} steps, and moves with them"
    none, batch = (f"{depth[norm, few]:.0f} and {depth[norm, many]:.0f}" for norm in ("none", "batch"))
    return verdict, (
        f"In so many steps plain networks train to {none} layers without a norm, and to {batch} with batch norm, "
        "each at its best rate."
    )


def degradation(tables: Tables) -> tuple[str, str]:
    """depth_scaling: 20 and 56 plain layers with batch norm."""
    error = _training_error(tables["results"], "plain")
    low, _, high = statistics.interval(error[56] - error[20])
    verdict = f"{HOLDS}, in training error too" if low > 0 else f"{NOT} here" if high < 0 else "undecided"
    return verdict, (
        f"Plain networks with batch norm, each at its best rate, get {statistics.plus_minus(error[20])} % of the "
        f"training digits wrong with 20 layers and {statistics.plus_minus(error[56])} % with 56."
    )


def thousand(tables: Tables) -> tuple[str, str]:
    """depth_scaling: 1000 residual layers with batch norm."""
    error = _training_error(tables["results"], "residual")
    verdict = HOLDS if statistics.interval(error[1000])[2] < 10 else NOT
    shallow = tables["results"].query("connection == 'residual' and norm == 'batch'").groupby("depth")["test_accuracy"]
    return f"{verdict}; deeper is not better", (
        f"1000 residual layers with batch norm get {statistics.plus_minus(error[1000])} % of the training digits "
        f"wrong, and {100 * (1 - shallow.mean()[1000]):.1f} % of the held-out ones, where 20 layers get "
        f"{100 * (1 - shallow.mean()[20]):.1f} %."
    )


def lesions(tables: Tables) -> tuple[str, str]:
    """lesions."""
    results = tables["results"]
    residual = results[(results["connection"] == "residual") & (results["survival"] == "none")]
    kinds = residual.groupby(["kind", "seed"])["accuracy"]
    before, after = (100 * (1 - kinds.mean()[kind]) for kind in ("none", "delete"))
    low, _, high = statistics.interval(after.to_numpy() - before.to_numpy())
    return f"{HOLDS} for residual networks", (
        f"Without one of its 27 blocks a residual network gets {low:.1f} to {high:.1f} % more of the held-out digits "
        f"wrong, mean over the blocks."
    )


def chain(tables: Tables) -> tuple[str, str]:
    """wide_chain."""
    results = tables["results"]
    residual = results[results["connection"] != "plain"]
    wide = {name: _within(residual, name) for name in ("condition", "lambda_max", "steps")}
    said = ", ".join(f"{rho:+.2f} ({low:+.2f} to {high:+.2f})" for low, rho, high in wide.values())
    verdict = (
        "holds but for its first link" if wide["condition"][0] > 0 and wide["lambda_max"][2] < 0 else "holds in part"
    )
    return verdict, (
        f"Within residual networks, width has a rank correlation of {said} with the condition number, the curvature at "
        "equal loss and the steps to a minimum."
    )


def _within(results: pd.DataFrame, name: str) -> tuple[float, float, float]:
    """The rank correlation of a column with the width, of ranks within each connection."""
    ranks = results.groupby("connection")[["width", name]].rank()
    return statistics.rank_correlation(ranks["width"], ranks[name])


def _training_error(results: pd.DataFrame, connection: str) -> dict[int, "pd.Series[float]"]:
    """By depth the training errors of its seeds (%), with batch norm."""
    chosen = results[(results["connection"] == connection) & (results["norm"] == "batch")]
    error = 100 * (1 - chosen["train_accuracy"].fillna(0))
    return {int(depth): own.reset_index(drop=True) for depth, own in error.groupby(chosen["depth"])}


Found = Callable[[Tables], tuple[str, str]]
FOUND: tuple[tuple[str, str, Found], ...] = (  # what is said, the experiment, what it says
    ("without normalisation networks train up to 10–12 layers, with it 20–30", "depth_frontier", frontier),
    ("a network of 56 layers is worse than one of 20, during training, too", "depth_scaling", degradation),
    ("residual networks train with 1000 layers, and are better for it", "depth_scaling", thousand),
    ("performance remains strong when layers are removed", "lesions", lesions),
    (
        "wide residual networks are nearly invertible, so their landscape is simpler, and SGD finds minima",
        "wide_chain",
        chain,
    ),
)
