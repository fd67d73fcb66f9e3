"""From what was seen and trained of a network to the rows of a report's tables."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from resjax.reporting import checks, learned, limits
from resjax.reporting.calibrated import LIMITS
from resjax.reporting.indicators import indicators

TRAINS = "trains"
FAILS = "does not train"
OPEN = "cannot tell"
Rows = Sequence[Mapping[str, Any]]


def assessed(
    seen: Mapping[str, Any], trained: Rows, curves: Rows, depth: int, steps: int
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Tables and their rows: `rates`, `curves`, `checks`, `results`.

    Args:
      seen: what `start.read` found at the depth asked for, and constant_loss, see `learned.constant_loss`.
      trained: a row a network: depth, seed, learning_rate, steps, train_loss, parameters.
      curves: a row every so many steps of each of these: depth, seed, learning_rate, step, loss.
      depth, steps: what is asked for.
    """
    constant = float(seen["constant_loss"])
    rates = [dict(row) | {"share": learned.share(row["train_loss"], constant)} for row in trained]
    depths = sorted({row["depth"] for row in rates})
    best = {own: checks.best_of(rates, own) for own in depths}
    for row in rates:
        row["chosen"] = row["learning_rate"] == best[row["depth"]]
        yield "rates", row
    chosen = [dict(row) for row in curves if row["learning_rate"] == best[row["depth"]]]
    for row in chosen:
        row["share"] = learned.share(row["loss"], constant)
        yield "curves", row
    shallowest = checks.mean_share(rates, depths[0], best[depths[0]])
    share = checks.mean_share(rates, depth, best[depth])
    frontiers = {count: checks.frontier(chosen, depths, count, shallowest) for count in (steps // 2, steps)}
    judged = [*checks.of_training(rates, depth), checks.of_frontiers(frontiers, depth), *checks.of_start(seen)]
    for check in judged:
        yield "checks", check._asdict()
    yield (
        "results",
        {
            "depth": depth,
            "parameters": next(row["parameters"] for row in rates if row["depth"] == depth),
            "trains": checks.trains(share, shallowest),
            "told": {True: TRAINS, False: FAILS, None: OPEN}[limits.told(LIMITS, indicators(seen))],
            "share": share,
        },
    )
