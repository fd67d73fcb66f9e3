"""What was found, a sentence each, with one number of the published tables."""

from collections.abc import Mapping

import pandas as pd

Tables = Mapping[str, pd.DataFrame]


def frontier(tables: Tables) -> str:
    """depth_frontier."""
    results = tables["results"]
    depth = results.groupby(["connection", "norm"])["frontier_depth"].median()
    return (
        f"With batch norm plain networks train to **{depth['plain', 'batch']:.0f}** layers; residual ones train to "
        f"{depth['residual', 'batch']:.0f}, where [the search](docs/gallery.md#depth_frontier) ends."
    )


def identity(tables: Tables) -> str:
    """identity."""
    results = tables["results"]
    deepened = results[results["network"] == "plain, deepened"]
    return (
        f"A good plain network of {deepened['depth'].iloc[0]} layers exists: a shallow one keeps its loss of "
        f"**{deepened['train_loss'].mean():.3f}** when [identity layers](docs/gallery.md#identity) are added."
    )


def normalization(tables: Tables) -> str:
    """normalization."""
    results = tables["results"]
    chosen = (results["connection"] == "plain") & (results["norm"] == "batch") & (results["order"] == "pre")
    deepest = results[chosen].sort_values("depth").iloc[-1]
    return (
        "Without skips, batch norm lets gradients explode: [their square](docs/gallery.md#normalization) grows "
        f"**{_power(deepest['gradient_growth'])}**-fold in {deepest['depth']} layers."
    )


def lesions(tables: Tables) -> str:
    """lesions."""
    results = tables["results"]
    one = results[(results["kind"] == "delete") & (results["survival"] == "none")]
    error = 100 * (1 - one.groupby("connection")["accuracy"].median())
    return (
        f"Without [one of its blocks](docs/gallery.md#lesions) a residual network of 56 layers gets "
        f"**{error['residual']:.1f} %** of the held-out digits wrong (median)."
    )


def ensembles(tables: Tables) -> str:
    """ensembles."""
    results = tables["results"]
    deepest = results[(results["depth"] == results["depth"].max()) & (results["connection"] == "residual")]
    error = 100 * (1 - deepest.groupby(["system", "members"])["accuracy"].mean())
    most = deepest["members"].max()
    return (
        f"{most} shallow residual networks, averaged, get **{error['ensemble', most]:.1f} %** wrong; "
        f"[one deep network](docs/gallery.md#ensembles) with as many blocks gets {error['deep', 1]:.1f} %."
    )


def shortcuts(tables: Tables) -> str:
    """shortcuts."""
    results = tables["results"]
    chosen = (results["study"] == "projections") & (results["stage"] == "start") & (results["shortcut"] != "orthogonal")
    condition = results[chosen].groupby("projections")["condition"].median()
    factor = (condition[4] / condition[0]) ** (1 / 4)
    return (
        "Every Gaussian [projection](docs/gallery.md#shortcuts) among the skips multiplies the condition number by "
        f"about **{factor:.0f}**, geometric mean over four."
    )


def _power(value: float) -> str:
    digits = str(int(f"{value:e}".partition("e")[2])).translate(str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻"))
    return f"10{digits}"


FOUND = (
    ("depth_frontier", frontier),
    ("identity", identity),
    ("normalization", normalization),
    ("lesions", lesions),
    ("ensembles", ensembles),
    ("shortcuts", shortcuts),
)
