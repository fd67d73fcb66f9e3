"""What to try, by what was seen: a rule a line, with the work that it is from."""

import dataclasses
from collections.abc import Callable, Mapping

from resjax.reporting.checks import Check
from resjax.reporting.limits import BAD, WATCH

Seen = Mapping[str, Check]  # by the check's name


@dataclasses.dataclass(frozen=True)
class Advice:
    """One thing to try."""

    why: str
    attempt: str
    flags: str
    source: str


DECADES = 2.0  # from which activations or gradients grow or vanish
MERGED = -1.0  # decades of 1 − cosine, from which inputs or tokens become one


def _grows(seen: Seen, name: str) -> bool:
    return name in seen and seen[name].value > DECADES


def _vanishes(seen: Seen, name: str, decades: float = -DECADES) -> bool:
    return name in seen and seen[name].value < decades


def _edge(seen: Seen) -> bool:
    return "best rate" in seen and seen["best rate"].status == WATCH


RULES: tuple[tuple[Callable[[Seen], bool], Advice], ...] = (
    (
        lambda seen: _grows(seen, "activations") and _grows(seen, "gradients"),
        Advice(
            "activations and gradients both grow with the depth",
            "a branch over √L",
            "--connections='scaled(power=0.5)'",
            "Hanin & Rolnick 2018, arXiv 1803.01719",
        ),
    ),
    (
        lambda seen: _grows(seen, "activations") and _grows(seen, "gradients"),
        Advice(
            "activations and gradients both grow with the depth",
            "branches that start at zero",
            "--connections=rezero",
            "Bachlechner et al. 2020, arXiv 2003.04887",
        ),
    ),
    (
        lambda seen: _grows(seen, "gradients") and not _grows(seen, "activations"),
        Advice(
            "gradients grow on their way back though activations stay: the norm stands in the stream",
            "a path past the norm",
            "--connections=residual --order=pre",
            "Yang et al. 2019, arXiv 1902.08129; Xiong et al. 2020, arXiv 2002.04745",
        ),
    ),
    (
        lambda seen: _vanishes(seen, "gradients") or _vanishes(seen, "activations"),
        Advice(
            "activations or gradients vanish with the depth",
            "a skip over every block, and a norm",
            "--connections=residual --norms=batch",
            "He et al. 2015, arXiv 1512.03385; De & Smith 2020, arXiv 2002.10444",
        ),
    ),
    (
        lambda seen: _vanishes(seen, "inputs", MERGED),
        Advice(
            "two inputs become one",
            "a skip, or a network that starts linear",
            "--activation=crelu --initializer=looks_linear",
            "Balduzzi et al. 2017, arXiv 1702.08591",
        ),
    ),
    (
        lambda seen: _vanishes(seen, "tokens", MERGED),
        Advice(
            "the tokens of a sequence become one",
            "skips whose branches get smaller with the depth",
            "--order=lns",
            "Dong et al. 2021, arXiv 2103.03404; Noci et al. 2022, arXiv 2206.03126",
        ),
    ),
    (
        _edge,
        Advice(
            "the best rate is the lowest or highest of those tried",
            "more of them",
            "--learning_rates=0.0001,0.0003,0.001,0.003,0.01,0.03,0.1",
            "the tables of learning_rate",
        ),
    ),
    (
        lambda seen: "learned" in seen and seen["learned"].status == BAD,
        Advice(
            "it does not train, whatever the start looks like",
            "more steps, for the frontier moves with them",
            "--steps=1000",
            "the tables of depth_frontier",
        ),
    ),
)


def advice(checks: Seen) -> list[Advice]:
    """What the rules say of these checks, by name; nothing where none of them is bad or to be watched."""
    if not {BAD, WATCH} & {check.status for check in checks.values()}:
        return []
    return [found for applies, found in RULES if applies(checks)]
