"""Where norm and activation stand in a residual unit (He et al. 2016, arXiv 1603.05027, figure 4). No JAX here.

`BETWEEN` is none of theirs: the unit begins and ends with weights.
"""

from typing import NamedTuple


class Order(NamedTuple):
    """Steps, each `norm` or `activation`, at the four places of a unit x -> after(x + F(x))."""

    before: tuple[str, ...] = ()  # in front of F's first weights
    between: tuple[str, ...] = ("norm", "activation")  # between two layers of weights
    end: tuple[str, ...] = ()  # behind F's last weights
    after: tuple[str, ...] = ()  # behind the addition

    @property
    def stem(self) -> tuple[str, ...]:
        """Behind the network's first weights: what the blocks do not do before theirs."""
        return tuple(step for step in ("norm", "activation") if step not in self.before)


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
