import itertools
from functools import partial

import jax
import jax.numpy as jnp
import pytest
from helpers import close
from jax import lax

from resjax.nn.convolution import convolve, traced_for_elsewhere

CASES = [
    *itertools.product((1, 2), (1, 3), ((8, 7),)),
    (2, 3, (7, 8)),
    (2, 7, (8, 9)),
    (1, 2, (1, 4)),
]  # stride, kernel, image


def reference(x, w, stride=1):
    """JAX's own convolution, with its own derivatives, outside of any loop."""
    pads = [((size - 1) // 2, size // 2) for size in w.shape[:2]]
    return lax.conv_general_dilated(x, w, (stride, stride), pads, dimension_numbers=("NHWC", "HWIO", "NHWC"))


def operands(size, image, dtype=jnp.float64):
    keys = jax.random.split(jax.random.key(0), 2)
    return jax.random.normal(keys[0], (6, *image, 3), dtype), jax.random.normal(keys[1], (size, size, 3, 4), dtype)


@partial(jax.jit, static_argnums=0)
def derivatives(convolution, x, w):
    """The value, both gradients and a directional derivative."""
    y, pull = jax.vjp(convolution, x, w)
    cotangent = jnp.cos(jnp.arange(y.size)).reshape(y.shape).astype(y.dtype)
    return y, *pull(cotangent), jax.jvp(convolution, (x, w), (jnp.sin(x), jnp.cos(w)))[1]


@pytest.mark.parametrize(
    ("dtype", "tolerance"), ((jnp.float64, 1e-12), pytest.param(jnp.float32, 1e-5, marks=pytest.mark.slow))
)
def test_value_gradients_and_forward_mode_are_those_of_jax(dtype, tolerance):
    for stride, size, image in CASES:
        x, w = operands(size, image, dtype)
        found = derivatives(partial(convolve, stride=stride), x, w)
        for one, other in zip(found, derivatives(partial(reference, stride=stride), x, w), strict=True):
            assert one.dtype == other.dtype == dtype
            assert jnp.abs(one - other).max() <= tolerance * jnp.abs(other).max(), (stride, size, image)


def test_bfloat16_is_float32_rounded():
    for stride, size, image in CASES[::3]:
        x, w = operands(size, image, jnp.bfloat16)
        found = derivatives(partial(convolve, stride=stride), x, w)
        exact = derivatives(partial(reference, stride=stride), *(leaf.astype(jnp.float64) for leaf in (x, w)))
        for one, other in zip(found, exact, strict=True):
            assert one.dtype == jnp.bfloat16
            assert jnp.abs(one - other).max() <= 2e-2 * jnp.abs(other).max(), (stride, size, image)


@pytest.mark.parametrize("stride", (1, 2))
@pytest.mark.parametrize("outer", (jax.jacfwd, jax.jacrev))
def test_second_derivatives(stride, outer):
    x, w = operands(3, (4, 5))

    def hessian(convolution):
        return outer(jax.grad(lambda x, w: jnp.tanh(convolution(x, w, stride)).sum(), (0, 1)), (0, 1))(x[:2], w)

    close(hessian(convolve), hessian(reference))


@pytest.mark.parametrize("axes", ((0, None), (None, 0), (0, 0), (1, 3)))
def test_vmap_over_images_and_kernels(axes):
    keys = jax.random.split(jax.random.key(1), 2)
    x = jax.random.normal(keys[0], (6, 5, 5, 3) if axes[0] is None else (2, 6, 5, 5, 3), jnp.float64)
    w = jax.random.normal(keys[1], (3, 3, 3, 4) if axes[1] is None else (2, 3, 3, 3, 4), jnp.float64)
    x, w = (leaf if axis is None else jnp.moveaxis(leaf, 0, axis) for leaf, axis in zip((x, w), axes, strict=True))

    def mapped(convolution):
        gradient = jax.grad(lambda x, w: (convolution(x, w) ** 2).sum(), (0, 1))
        return jax.vmap(convolution, axes)(x, w), jax.vmap(gradient, axes)(x, w)

    close(mapped(convolve), mapped(reference), 1e-11)


@pytest.mark.parametrize("policy", (None, "nothing_saveable"))
def test_gradients_through_a_scan_are_those_of_a_loop(policy):
    x = jax.random.normal(jax.random.key(2), (4, 6, 6, 3), jnp.float64)
    kernels = jax.random.normal(jax.random.key(3), (5, 3, 3, 3, 3), jnp.float64) / 5

    def scanned(kernels):
        body = lambda x, w: (jnp.tanh(convolve(x, w)), None)  # noqa: E731
        body = jax.checkpoint(body, policy=getattr(jax.checkpoint_policies, policy)) if policy else body
        return (lax.scan(body, x, kernels)[0] ** 2).sum()

    def looped(kernels):
        y = x
        for w in kernels:
            y = jnp.tanh(reference(y, w))
        return (y**2).sum()

    close(jax.grad(scanned)(kernels), jax.grad(looped)(kernels), 1e-11)


def test_what_is_traced_for_elsewhere_has_the_convolution_of_jax():
    def primitives():
        traced = jax.make_jaxpr(lambda x, w: convolve(x, w))(*operands(3, (4, 4)))
        return {equation.primitive for equation in traced.eqns}

    with traced_for_elsewhere():
        assert primitives() == {lax.conv_general_dilated_p}
    assert lax.conv_general_dilated_p not in primitives()


@pytest.mark.parametrize(("stride", "sizes"), ((1, (1, 3)), (1, (3, 1)), (1, (2, 5)), (2, (2, 5))))
def test_kernels_that_are_not_square(stride, sizes):
    x, _ = operands(1, (6, 7))
    w = jax.random.normal(jax.random.key(2), (*sizes, 3, 4), jnp.float64)
    for one, other in zip(*(derivatives(partial(f, stride=stride), x, w) for f in (convolve, reference)), strict=True):
        assert jnp.abs(one - other).max() <= 1e-12 * jnp.abs(other).max()
