"""Where norm and activation stand in a residual unit. No JAX here.

The first five are those of He et al. 2016 (arXiv 1603.05027, figure 4). `BETWEEN` is none of theirs: the unit begins
and ends with weights. The last three are those of transformers, whose branches have one norm, or two.
"""

from typing import NamedTuple


class Order(NamedTuple):
    """Steps at the four places of a unit x -> after(x + F(x)): `norm`, `activation`, or `by_depth`.

    The last divides by √l in the l-th block (Sun et al. 2025, arXiv 2502.05795).
    """

    before: tuple[str, ...] = ()  # in front of F's first weights
    between: tuple[str, ...] = ("norm", "activation")  # between two layers of weights
    end: tuple[str, ...] = ()  # behind F's last weights
    after: tuple[str, ...] = ()  # behind the addition

    @property
    def stem(self) -> tuple[str, ...]:
        """Behind the network's first weights: what the blocks do not do before theirs."""
        return tuple(step for step in ("norm", "activation") if step not in self.before)


STEPS = "norm", "activation", "by_depth"


def check(order: Order) -> None:
    """Raises ValueError for a step that there is not, and for a place that is no tuple of steps."""
    for place, steps in order._asdict().items():
        if not isinstance(steps, tuple) or not set(steps) <= set(STEPS):
            raise ValueError(f"order {place}={steps!r}: must be a tuple of {', '.join(STEPS)}")


PRE = Order(before=("norm", "activation"))  # full pre-activation
POST = Order(end=("norm",), after=("activation",))  # the original unit of He et al. 2015
NORM_AFTER_ADDITION = Order(after=("norm", "activation"))
ACTIVATION_BEFORE_ADDITION = Order(end=("norm", "activation"))
ACTIVATION_ONLY_PRE = Order(before=("activation",), end=("norm",))
BETWEEN = Order()

ORDERS = {
    "pre": PRE,
    "post": POST,
    "norm_after_addition": NORM_AFTER_ADDITION,
    "activation_before_addition": ACTIVATION_BEFORE_ADDITION,
    "activation_only_pre": ACTIVATION_ONLY_PRE,
    "between": BETWEEN,
}

_ONE = ("activation",)
PRE_NORM = Order(before=("norm",), between=_ONE)  # Xiong et al. 2020, arXiv 2002.04745, figure 1b
POST_NORM = Order(between=_ONE, after=("norm",))  # Vaswani et al. 2017, arXiv 1706.03762
SANDWICH = Order(before=("norm",), between=_ONE, end=("norm",))  # Peri-LN, Kim et al. 2025, arXiv 2502.02732
