"""What a block computes: F(x). A branch is one small Linen module in a file of its own."""

from resjax import names
from resjax.branches.convolutional import Basic, Bottleneck
from resjax.branches.dense import Dense
from resjax.parts import Branch

BRANCHES = {"dense": Dense, "basic": Basic, "bottleneck": Bottleneck}


def build(text: str, **choices) -> Branch:
    """The branch that `text` names; `choices` are the fields of `Branch` that are not in the text."""
    return names.build(text, "branch", BRANCHES, **choices)
