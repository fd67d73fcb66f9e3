"""What a block computes: F(x). A branch is one small Linen module in a file of its own."""

from resjax import names
from resjax.branches.dense import Dense
from resjax.parts import Branch

BRANCHES = {"dense": Dense}


def build(text: str, **choices) -> Branch:
    """The branch that `text` names; `choices` are the fields of `Part` that flags set."""
    return names.build(text, "branch", BRANCHES, **choices)
