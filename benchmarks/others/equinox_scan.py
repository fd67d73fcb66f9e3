"""The dense network in Equinox: blocks made by `filter_vmap`, run by one scan over their arrays.

That is how Equinox' documentation says to compile faster ("improve compilation speed"), and what haliax does: a fold of
its `Stacked` with checkpoints is this scan. Layers and batch norm are Equinox' own. A module is for one example, and
`vmap` makes it one for a batch, over whose axis batch norm takes its means.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.nn.initializers import he_normal


@dataclasses.dataclass(frozen=True, eq=False)
class Scanned:
    """An Equinox model with the `init` and `apply` of `resjax.network.Network`: parameters are the model's arrays."""

    make: Callable  # key -> the model and its state
    static: Any  # all of the model but its arrays

    def init(self, key, x):
        import equinox as eqx  # an extra

        model, state = self.make(key)
        return eqx.filter(model, eqx.is_array), state

    def apply(self, params, state, x, layers, *, train, hold=None):
        import equinox as eqx

        model = eqx.nn.inference_mode(eqx.combine(params, self.static), not train)
        run = jax.vmap(model, in_axes=(0, None), out_axes=(0, None), axis_name="batch")
        logits, state = run(x.reshape(x.shape[0], -1), state)  # B K
        return logits, state, None


def dense(depth: int, width: int, inputs: int = 64, classes: int = 10) -> Scanned:
    """The pre-activation dense network, for inputs of so many numbers.

    Raises:
      ModuleNotFoundError: Equinox is not installed.
    """
    import equinox as eqx

    def weights(of, features, key):
        layer = eqx.nn.Linear(of, features, key=key)
        kernel = he_normal(in_axis=1, out_axis=0)(key, layer.weight.shape)
        start = kernel, jax.numpy.zeros_like(layer.bias)
        return eqx.tree_at(lambda layer: (layer.weight, layer.bias), layer, start)

    norm = functools.partial(eqx.nn.BatchNorm, width, "batch", momentum=0.9, mode="batch")

    class Block(eqx.Module):
        norms: list
        layers: list

        def __init__(self, key):
            self.norms = [norm(), norm()]
            self.layers = [weights(width, width, key) for key in jax.random.split(key)]

        def __call__(self, x, state):
            f = x  # D
            for norm, layer in zip(self.norms, self.layers, strict=True):
                f, state = norm(f, state)
                f = layer(jax.nn.relu(f))
            return x + f, state

    class Dense(eqx.Module):
        stem: eqx.nn.Linear
        blocks: Block  # whose arrays have a leading axis of L
        norm: eqx.nn.BatchNorm
        head: eqx.nn.Linear

        def __init__(self, key):
            stem, blocks, head = jax.random.split(key, 3)
            self.stem = weights(inputs, width, stem)
            self.blocks = eqx.filter_vmap(Block)(jax.random.split(blocks, (depth - 2) // 2))
            self.norm = norm()
            self.head = weights(width, classes, head)

        def __call__(self, x, state):
            arrays, static = eqx.partition(self.blocks, eqx.is_array)

            @functools.partial(eqx.filter_checkpoint, prevent_cse=False)  # a scan prevents it by itself
            def body(x, own):
                arrays, state = own
                return eqx.combine(arrays, static)(x, state)

            x, moved = lax.scan(body, self.stem(x), (arrays, state.substate(self.blocks)))  # D
            x, state = self.norm(x, state.update(moved))
            return self.head(jax.nn.relu(x)), state  # K

    make = eqx.nn.make_with_state(Dense)
    model, _ = eqx.filter_eval_shape(make, jax.random.key(0))
    return Scanned(make, eqx.filter(model, lambda leaf: isinstance(leaf, jax.ShapeDtypeStruct), inverse=True))
