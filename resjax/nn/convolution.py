"""Convolution of images, fast inside a scan on every backend.

XLA:CPU rewrites convolutions into the layout of its fast kernel (NHWC · HWIO -> NHWC) only outside of
loops, and the derivatives of `lax.conv_general_dilated` have other layouts: inside a scan they take
some hundred times as long. On a CPU this module therefore brings a primitive of its own. It is
bilinear, and its two transposes are written with the fast layout: towards x a convolution of the
same kind, towards w a sum of small matrix products. So all of JAX's transformations work on it:
reverse and forward mode, any order of derivatives, `vmap`, `remat`. Elsewhere it is the plain convolution.
"""

import contextlib
import contextvars
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir
from jaxtyping import Array, Float

PATCH_BYTES = 2.5e6  # what of the patches is in memory at a time: about a core's share of the cache
_elsewhere = contextvars.ContextVar("_elsewhere", default=False)


@contextlib.contextmanager
def traced_for_elsewhere() -> Iterator[None]:
    """Within this context what is traced on a CPU is for another device, and has the plain convolution."""
    before = _elsewhere.set(True)
    try:
        yield
    finally:
        _elsewhere.reset(before)


def convolve(
    x: Float[Array, "B H W C"], w: Float[Array, "h w C D"], stride: int = 1
) -> Float[Array, "B (H-1)//{stride}+1 (W-1)//{stride}+1 D"]:
    """Convolves x (B H W C) with w (h w C D): B ⌈H/stride⌉ ⌈W/stride⌉ D.

    Zero padding is that of the ResNet papers' code, (h − 1)/2 on both sides, whatever the stride
    (XLA's `SAME` pads a side less where the stride is 2 and the size even).
    """
    padding = tuple(((size - 1) // 2, size // 2) for size in w.shape[:2])
    geometry: dict[str, Any] = dict(strides=(stride, stride), padding=padding, lhs_dilation=(1, 1), rhs_dilation=(1, 1))
    own = jax.default_backend() == "cpu" and not _elsewhere.get()
    run = convolution_p.bind if own else plain
    return run(x, w, **geometry)


def plain(
    x: Float[Array, "B H W C"],
    w: Float[Array, "h w C D"],
    *,
    strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int],
    rhs_dilation: Sequence[int],
) -> Float[Array, "B _H _W D"]:
    """`lax.conv_general_dilated` in the fast layout, with its own derivatives."""
    layout = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(x, w, strides, padding, lhs_dilation, rhs_dilation, layout)


def counted(policy: Callable[..., bool]) -> Callable[..., bool]:
    """A checkpoint policy (`jax.checkpoint_policies`) for which this convolution is as JAX's own."""
    return lambda primitive, *args, **params: policy(
        lax.conv_general_dilated_p if primitive is convolution_p else primitive, *args, **params
    )


def _abstract(x, w, **geometry):
    out = jax.eval_shape(partial(plain, **geometry), x, w)
    return jax.core.ShapedArray(out.shape, out.dtype)


def _towards_x(dy, x, w, *, strides, padding, lhs_dilation, rhs_dilation):
    """Correlates dy, with zeros between its entries where there was a stride, with the mirrored kernel."""
    pads = []
    for axis in (0, 1):
        image, kernel, result = _spans(x.aval, w, dy, axis, strides, lhs_dilation, rhs_dilation)
        low = kernel - 1 - padding[axis][0]
        pads.append((low, image + kernel - 1 - result - low))
    # without the barrier XLA folds the transpose into the convolution, which then has a slow layout
    mirrored = lax.optimization_barrier(jnp.flip(w, (0, 1)).swapaxes(2, 3))  # h w C′ C
    geometry = dict(strides=lhs_dilation, padding=tuple(pads), lhs_dilation=strides, rhs_dilation=rhs_dilation)
    return convolution_p.bind(dy, mirrored, **geometry)


@jax.named_scope("towards_w")  # by which a profile tells its operations
def _towards_w(dy, x, w, *, strides, padding, lhs_dilation, rhs_dilation):
    """Patchesᵀ · dy, a few images at a time, so that all of it stays in the cache.

    Patches are of one row, columns side by side; dy stands as often as the kernel has rows, a row further down each
    time. So 2·3 copies are made in place of 3·3. Where there is a stride, patches have all rows.
    """
    batch, height, width, _ = dy.shape
    kernel_rows, kernel_columns, channels, features = w.aval.shape
    edges = [(low, high, gap - 1) for (low, high), gap in zip(padding, lhs_dilation, strict=True)]
    rows, columns = (
        [slice(at * gap, at * gap + (length - 1) * stride + 1, stride) for at in range(size)]
        for size, gap, length, stride in zip(w.aval.shape[:2], rhs_dilation, (height, width), strides, strict=True)
    )
    further = 0  # rows, by which dy moves at most
    if strides[0] == 1:
        further = (kernel_rows - 1) * rhs_dilation[0]
        shifts = [slice(further - tap.start, 2 * further + height - tap.start) for tap in rows]
        rows = [slice(0, height + further)]
    else:
        shifts = [slice(0, height)]

    def sides(x, dy):  # b H W C, b H′ W′ C′ -> b·R·W′ …·C, b·R·W′ …·C′
        x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
        dy = jnp.pad(dy, ((0, 0), (further, further), (0, 0), (0, 0)))
        x, dy = lax.optimization_barrier((x, dy))  # else XLA pads once for every slice
        patches = jnp.concatenate([x[:, row, column] for row in rows for column in columns], axis=-1)
        shifted = jnp.concatenate([dy[:, row] for row in shifts], axis=-1)
        return patches.reshape(-1, patches.shape[-1]), shifted.reshape(-1, shifted.shape[-1])

    taps = len(rows) * kernel_columns * channels, len(shifts) * features
    image_bytes = (height + further) * width * sum(taps) * x.dtype.itemsize
    images = math.gcd(batch, 2 ** int(math.log2(max(1, PATCH_BYTES / image_bytes))))
    groups = jax.tree.map(lambda leaf: leaf.reshape(-1, images, *leaf.shape[1:]), (x, dy))
    accumulate = jnp.promote_types(x.dtype, jnp.float32)

    def add(total, group):
        patches, shifted = sides(*group)
        return total + jnp.matmul(patches.T, shifted, preferred_element_type=accumulate), None

    total, _ = lax.scan(add, jnp.zeros(taps, accumulate), groups)
    total = total.reshape(len(rows), kernel_columns, channels, len(shifts), features)
    total = jnp.moveaxis(total, 3, 1).reshape(w.aval.shape)  # rows shifts … is rows of the kernel, for one of them is 1
    return total.astype(w.aval.dtype)


def _spans(x, w, y, axis, strides, lhs_dilation, rhs_dilation):
    """The extents of image, kernel and result along an axis, the gaps counted in."""
    image = (x.shape[axis + 1] - 1) * lhs_dilation[axis] + 1
    kernel = (w.shape[axis] - 1) * rhs_dilation[axis] + 1
    return image, kernel, (y.shape[axis + 1] - 1) * strides[axis] + 1


def _batch(operands, axes, **geometry):
    """Many images under one kernel are a larger batch; many kernels go one after the other."""
    (x, w) = operands
    (x_axis, w_axis) = axes
    if w_axis is None:
        x = jnp.moveaxis(x, x_axis, 0)
        y = convolution_p.bind(x.reshape(-1, *x.shape[2:]), w, **geometry)
        return y.reshape(*x.shape[:2], *y.shape[1:]), 0
    w = jnp.moveaxis(w, w_axis, 0)
    x = jnp.broadcast_to(x, (len(w), *x.shape)) if x_axis is None else jnp.moveaxis(x, x_axis, 0)
    return lax.map(lambda pair: convolution_p.bind(*pair, **geometry), (x, w)), 0


convolution_p = Primitive("convolution")
convolution_p.def_impl(plain)
convolution_p.def_abstract_eval(_abstract)
mlir.register_lowering(convolution_p, mlir.lower_fun(plain, multiple_results=False))
ad.defbilinear(convolution_p, _towards_x, _towards_w)
batching.primitive_batchers[convolution_p] = _batch
