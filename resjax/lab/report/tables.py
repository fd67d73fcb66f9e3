"""The tables of a report, and the one that the terminal shows."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from resjax.lab.tables import columns, number, text, truth, whole
from resjax.reporting.asked import SIGNALS, THEORY

if TYPE_CHECKING:
    import pandas as pd

SUBJECT = {
    "subject": text("the network: block or branch if they are one's own, connection, norm, order"),
    "beside": truth("whether it is what the others are compared with"),
}
SHARE = number("of what there is to learn: 1 − loss / the loss of the best constant answer; 0 if that is better")
SEED = columns("depth", "seed", "learning_rate")
TABLES = {
    "results": SUBJECT
    | columns("depth", "parameters", trains=truth("whether it trains at this depth"))
    | {
        "told": text("what its start alone says: trains, does not train, cannot tell"),
        "share": SHARE,
        "flops": number("of a forward pass, one input"),
        "memory": whole("bytes of a training step: weights, momenta, data, what is kept for the way back"),
    },
    "checks": SUBJECT
    | {
        "check": text("what is looked at"),
        "value": number("in the unit of what is shown"),
        "shown": text("the same in words"),
        "status": text("ok, watch, bad, or seen: without a judgement"),
        "threshold": text("from where on"),
        "reason": text("of the threshold"),
        "experiment": text("which has the whole of it"),
    },
    "signals": SUBJECT
    | {"layer": whole("weighted layers before the block")}
    | {name: number("as in signal_propagation") for name in SIGNALS}
    | {name: number("what the theory of wide networks says") for name in THEORY.values()},
    "rates": SUBJECT | SEED | columns("steps", "train_loss", "train_accuracy", "diverged", "chosen", share=SHARE),
    "curves": SUBJECT | SEED | columns("step", "loss", "accuracy", share=SHARE),
    "timings": SUBJECT | columns("depth", "first_step_seconds", "step_milliseconds", "total_seconds"),
}


def summary(tables: Mapping[str, "pd.DataFrame"]) -> tuple["pd.DataFrame", str]:
    """A check a row, a network a column."""
    from resjax.lab.report import trials
    from resjax.reporting.checks import NONE

    found = tables["checks"]
    judged = "[" + found["status"] + "]"
    seen = found["shown"] + judged.where(found["status"] != NONE, "").radd(" ").str.rstrip()
    shown = found.assign(seen=seen).pivot_table("seen", "check", "subject", "first", sort=False)
    return shown.fillna("–").reset_index(), " ".join(trials.verdicts(tables)).removesuffix(".")
