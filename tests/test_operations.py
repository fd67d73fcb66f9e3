"""What a step is made of: FLOPs and bytes against closed forms, and the times between operations by hand."""

import jax
import jax.numpy as jnp
import pytest

from benchmarks import hlo, kinds, profiles
from resjax.nn.convolution import convolve


def program(function, *arguments):
    return hlo.operations(jax.jit(function).lower(*arguments).compile().as_text()).values()


def test_the_flops_of_a_product():
    found = program(jnp.dot, jnp.ones((32, 48)), jnp.ones((48, 80)))
    assert max(operation.flops for operation in found) == 2 * 32 * 48 * 80


@pytest.mark.parametrize(("stride", "size"), ((1, 3), (2, 1)))
def test_the_flops_of_a_convolution(stride, size):
    x = jnp.ones((2, 8, 8, 16))
    w = jnp.ones((size, size, 16, 32))
    found = program(lambda x, w: convolve(x, w, stride), x, w)
    assert max(operation.flops for operation in found) == 2 * 2 * (8 // stride) ** 2 * 32 * size**2 * 16
    assert "convolution" in {operation.opcode for operation in found}


def test_the_bytes_of_a_sum():
    found = program(jnp.add, *2 * [jnp.ones((10, 7), "float32")])
    assert max(operation.bytes for operation in found) == 3 * 4 * 10 * 7


def test_an_operation_takes_until_the_next_one_begins():
    events = [("c", 5.0, 9.0), ("a", 0.0, 1.0), ("b", 2.0, 2.5)]  # of several threads, in no order
    assert profiles.extents(events) == [("a", 2.0), ("b", 3.0), ("c", 4.0)]


def test_the_rows_of_a_small_resnet():
    batch = 2
    forwards = 0
    size = 32
    channels = 3
    for features in (16, 16, 16, 32, 32, 64, 64):  # ResNet-8: a stem, and two in each stage
        size = 32 * 16 // features
        forwards += 2 * batch * size**2 * 9 * channels * features
        channels = features
    with jax.enable_x64(False):
        rows = {row["kind"]: row for row in profiles.rows(8, batch, 1)}
    assert list(rows) == list(kinds.KINDS)
    assert rows["convolutions"]["gigaflops"] == pytest.approx(forwards / 1e9)
    assert sum(row["share"] for row in rows.values()) == pytest.approx(1)
    # towards the weights as many, but for rows of zeros between images; where there is a stride no rows are added
    assert forwards / 1e9 <= rows["weight gradients"]["gigaflops"] < 1.3 * forwards / 1e9
