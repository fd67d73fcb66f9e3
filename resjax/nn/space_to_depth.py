"""Squares of pixels as channels: a smaller image, and no number lost (i-RevNet, Jacobsen et al. 2018, 1802.07088)."""

from jaxtyping import Array, Shaped


def space_to_depth(x: Shaped[Array, "B H W C"], side: int) -> Shaped[Array, "B H//{side} W//{side} C*{side}**2"]:
    """B H W C -> B H/side W/side side²·C.

    Raises:
      ValueError: sides that are no multiples of it.
    """
    batch, height, width, channels = x.shape
    if height % side or width % side:
        raise ValueError(f"images of {height}×{width} pixels: both sides must be multiples of {side} here")
    x = x.reshape(batch, height // side, side, width // side, side, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // side, width // side, -1)


def depth_to_space(x: Shaped[Array, "B H W C"], side: int) -> Shaped[Array, "B H*{side} W*{side} C//{side}**2"]:
    """The inverse: B H W C -> B H·side W·side C/side²."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, side, side, channels // side**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height * side, width * side, -1)
