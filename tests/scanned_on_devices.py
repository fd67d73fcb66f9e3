"""Prints the texts of two programs, compiled for devices: in a process of its own, for their number.

python scanned_on_devices.py DEVICES TURNS OUTER ROWS WIDTH

The first is the gradient of a scan of products whose batch is split: every turn sums the gradient of its matrix. The
second is a scan within a scan, of products whose columns are split: every turn gathers them.
"""

import json
import sys

import jax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec

DEVICES, TURNS, OUTER, ROWS, WIDTH = map(int, sys.argv[1:])
jax.config.update("jax_num_cpu_devices", DEVICES)
mesh = jax.make_mesh((DEVICES,), ("data",), axis_types=(AxisType.Auto,))
whole = NamedSharding(mesh, PartitionSpec())


def summed(weights, x):
    """The gradient with respect to the matrices."""
    run = lambda weights: jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, weights)[0].sum()  # noqa: E731
    return jax.grad(run)(weights)


def gathered(weights, x):
    """All products, and all of them again."""
    turn = lambda x, w: (jax.lax.with_sharding_constraint(jnp.tanh(x @ w), whole), None)  # noqa: E731
    return jax.lax.scan(lambda x, _: (jax.lax.scan(turn, x, weights)[0], None), x, None, length=OUTER)[0]


def program(function, *places):
    """The text of it, for matrices and rows that lie in these places."""
    shapes = (TURNS, WIDTH, WIDTH), (ROWS, WIDTH)
    arrays = [
        jax.ShapeDtypeStruct(shape, "float32", sharding=NamedSharding(mesh, PartitionSpec(*place)))
        for shape, place in zip(shapes, places, strict=True)
    ]
    return jax.jit(function).lower(*arrays).compile().as_text()


print(json.dumps([program(summed, (), ("data",)), program(gathered, (None, None, "data"), ())]))
