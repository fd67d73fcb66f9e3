"""Squares of pixels as channels: a smaller image, and no number lost (i-RevNet, Jacobsen et al. 2018, 1802.07088)."""


def squeeze(x, side: int):
    """B H W C -> B H/side W/side side²·C; a stream without an image (side 1) as it is."""
    if side == 1:
        return x
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // side, side, width // side, side, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // side, width // side, -1)


def spread(x, side: int):
    """The inverse of `squeeze`."""
    if side == 1:
        return x
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height, width, side, side, channels // side**2)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height * side, width * side, -1)
