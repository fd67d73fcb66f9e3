"""Somebody's own block as a branch."""

import flax.linen as nn

from resjax import names
from resjax.errors import UserError
from resjax.normalizers import NoNorm
from resjax.parts import Branch


class Own(Branch):
    """F(x) = y − x of a block x -> y, so that the connection `residual` gives back the block itself.

    So the direct path, lesions, survival rates and all that is said of F hold for any block.
    """

    block: nn.Module = NoNorm()  # x -> y

    @nn.compact
    def __call__(self, x, train: bool):
        y = self.block(x, train)
        if y.shape != x.shape:
            raise UserError(f"--block: {type(self.block).__name__} makes {_shape(y)} of {_shape(x)}, not its own shape")
        return y - x


def build(text: str, **choices) -> Own:
    """The block that `text` names, as a branch.

    Raises:
      UserError: the path does not import, or leads to something that is no Linen module.
    """
    block = names.build(text, "block", {})
    if not isinstance(block, nn.Module):
        raise UserError(f"--block={text}: is no flax.linen.Module but {type(block).__name__}")
    return Own(block=block, layers=getattr(block, "layers", 1), **choices | {"order": "pre"})


def _shape(x) -> str:
    return " ".join(map(str, x.shape[1:]))
