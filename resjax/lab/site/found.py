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
    few = plain["steps"].min()
    many = plain["steps"].max()
    moves = min(depth[norm, many] / depth[norm, few] for norm in ("none", "batch")) > 1.25
    verdict = f"{NOT} as a number, which moves with the steps" if moves else "holds"
    none, batch = (f"{depth[norm, few]:.0f} and {depth[norm, many]:.0f}" for norm in ("none", "batch"))
    return verdict, (
        f"In {few} and {many} steps plain networks train to {none} layers without a norm, and to {batch} with batch "
        "norm (medians over the seeds, without clipping, each at its best rate)."
    )


def degradation(tables: Tables, converged: Tables) -> tuple[str, str]:
    """depth_scaling: 20 and 56 plain layers with batch norm, dense ones, and convolutional ones that converged."""
    dense = _training_error(tables["results"], "plain")
    steps = converged["results"]["steps"].max()
    images = _training_error(converged["results"].query("steps == @steps"), "plain")
    lows = [statistics.interval(error[56] - error[20])[0] for error in (dense, images)]
    verdict = HOLDS if min(lows) > 0 else "undecided"
    said = [[statistics.plus_minus(error[depth]) for depth in (20, 56)] for error in (dense, images)]
    return verdict, (
        f"Plain networks with batch norm, each at its best rate, get {said[0][0]} % of the training digits wrong with "
        f"20 layers and {said[0][1]} % with 56. Convolutional ones, trained for {steps} steps on MNIST-1D, get "
        f"{said[1][0]} and {said[1][1]} %."
    )


def thousand(tables: Tables) -> tuple[str, str]:
    """depth_scaling: 1000 residual layers with batch norm."""
    error = _training_error(tables["results"], "residual")
    verdict = HOLDS if statistics.interval(error[1000])[2] < 10 else NOT
    shallow = tables["results"].query("connection == 'residual' and norm == 'batch'").groupby("depth")["test_accuracy"]
    return f"{verdict} with batch norm", (
        f"1000 residual layers with batch norm get {statistics.plus_minus(error[1000])} % of the training digits "
        f"wrong, and {100 * (1 - shallow.mean()[1000]):.1f} % of the held-out ones, where 20 layers get "
        f"{100 * (1 - shallow.mean()[20]):.1f} %."
    )


def generalisation(tables: Tables) -> tuple[str, str]:
    """depth_pays."""
    results = tables["results"]
    best = _best(results)
    shallow = results[
        (results["depth"] == results["depth"].min()) & (results["connection"] == best["connection"].iloc[0])
    ]
    same, other = (_best(own) for _, own in shallow.groupby(shallow["compared"] != best["compared"].iloc[0]))
    low = statistics.interval(best["test_accuracy"])[0]
    pays = all(low > statistics.interval(own["test_accuracy"])[2] for own in (same, other))
    verdict = "holds for residual networks, where the task composes" if pays else "undecided"
    right = [statistics.plus_minus(100 * own["test_accuracy"]) for own in (best, same, other)]
    fewer = best["parameters"].iloc[0] / other["parameters"].iloc[0]
    deep, few = (f"{own['depth'].iloc[0]} {own['connection'].iloc[0]} layers" for own in (best, same))
    return verdict, (
        f"{deep} get {right[0]} % of the new points of an iterated map right. {few} of as many parameters get "
        f"{right[1]} %. The best residual network of so few layers at about equal compute has {fewer:.1f} times fewer "
        f"parameters, and gets {right[2]} %."
    )


def lesions(tables: Tables) -> tuple[str, str]:
    """lesions."""
    results = tables["results"]
    residual = results[(results["connection"] == "residual") & (results["survival"] == "none")]
    kinds = dict(iter(residual.assign(error=100 * (1 - residual["accuracy"])).groupby("kind")))
    before = kinds["none"].groupby("seed")["error"].mean()
    more = kinds["delete"].pivot_table("error", "seed", "block").sub(before, axis=0)  # a row a seed, a column a block
    worst = int(more.mean().idxmax())
    mean, most = (statistics.plus_minus(values) for values in (more.mean(axis=1), more[worst]))
    verdict = HOLDS if statistics.interval(more.mean(axis=1))[2] < 2 else NOT
    alone = statistics.interval(more[worst])[0] > 2
    return f"{verdict} for residual networks{f', but for block {worst + 1}' if alone else ''}", (
        f"A residual network of {residual['depth'].iloc[0]} layers gets {statistics.plus_minus(before)} % of the "
        f"held-out digits wrong. Without one block it gets {mean} points more wrong, in the mean over its "
        f"{more.shape[1]} blocks. Block {worst + 1} costs most: {most} points."
    )


def chain(tables: Tables) -> tuple[str, str]:
    """wide_chain."""
    results = tables["results"]
    residual = results[results["connection"] != "plain"]
    wide = {name: _within(residual, name) for name in ("condition", "lambda_max", "steps")}
    said = ", ".join(f"{rho:+.2f} ({low:+.2f} to {high:+.2f})" for low, rho, high in wide.values())
    sooner = wide["steps"][2] < 0
    verdict = "holds for the steps, not for the reason" if sooner and wide["condition"][0] > 0 else "holds in part"
    return verdict, (
        f"Within residual networks, width has a rank correlation of {said} with the condition number, the curvature at "
        f"equal loss, of the {residual['lambda_max'].count()} of {len(residual)} that come to it, and the steps to a "
        "minimum."
    )


def _best(results: pd.DataFrame) -> pd.DataFrame:
    """The seeds of the network with the highest held-out accuracy, in the mean."""
    families = results.groupby(["compared", "connection", "depth", "width"])
    return max((own for _, own in families), key=lambda own: own["test_accuracy"].mean())


def _within(results: pd.DataFrame, name: str) -> tuple[float, float, float]:
    """The rank correlation of a column with the width, of ranks within each connection."""
    ranks = results.groupby("connection")[["width", name]].rank()
    return statistics.rank_correlation(ranks["width"], ranks[name])


def _training_error(results: pd.DataFrame, connection: str) -> dict[int, "pd.Series[float]"]:
    """By depth the training errors of its seeds (%), with batch norm."""
    chosen = results[(results["connection"] == connection) & (results["norm"] == "batch")]
    error = 100 * (1 - chosen["train_accuracy"].fillna(0))
    return {int(depth): own.reset_index(drop=True) for depth, own in error.groupby(chosen["depth"])}


Found = Callable[..., tuple[str, str]]
FOUND: tuple[tuple[str, tuple[str, ...], Found], ...] = (  # what is said, folders of results, what their tables say
    ("without normalisation networks train up to 10–12 layers, with it 20–30", ("depth_frontier",), frontier),
    (
        "a network of 56 layers is worse than one of 20, during training, too",
        ("depth_scaling", "depth_scaling_converged"),
        degradation,
    ),
    ("residual networks train with 1000 layers", ("depth_scaling",), thousand),
    ("depth enables better generalisation", ("depth_pays",), generalisation),
    ("performance remains strong when layers are removed", ("lesions",), lesions),
    (
        "wide residual networks are nearly invertible, so their landscape is simpler, and SGD finds minima",
        ("wide_chain",),
        chain,
    ),
)
