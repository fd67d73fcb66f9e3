"""What convolutional networks and transformers are compared with: the same function, or as many parameters."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.others import linen, pytorch
from resjax import models
from resjax.cost import parameter_count

DEPTH = 8  # a stem, and three blocks, of which two change the shape
NETWORK = models.resnet(DEPTH)
X = jax.random.normal(jax.random.key(0), (4, 8, 8, 3))  # B H W C


@functools.cache
def weights():
    """Random parameters of the ResNet, norms and biases among them, and its state, of which training reads nothing."""
    params, state = jax.eval_shape(NETWORK.init, jax.random.key(1), X)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    drawn = [jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, drawn), empty(state)


def empty(state):
    """Zeros of these shapes."""
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), state)


def logits():
    """Of the ResNet in training."""
    return jax.jit(lambda params, state: NETWORK.apply(params, state, X, train=True)[0])(*weights())


def in_order():
    """(kernels, norms) of the ResNet, each a list in the order of the network."""
    params, _ = weights()
    parts = [params["stem"]]
    for (block,) in params["stages"]:
        branches = block["branch"]
        length = len(branches["Conv_0"]["kernel"])
        parts += [jax.tree.map(lambda leaf, at=at: leaf[at], branches) for at in range(length)]
    names = [(part, at) for part in parts for at in range(len(part) // 2)]
    return [part[f"Conv_{at}"]["kernel"] for part, at in names], [part[f"BatchNorm_{at}"]["norm"] for part, at in names]


def test_the_unrolled_resnet_is_the_same_function():
    kernels, norms = in_order()
    params = {f"Conv_{at}": {"kernel": own} for at, own in enumerate(kernels)}
    params |= {f"BatchNorm_{at}": own for at, own in enumerate(norms)}
    params["Dense_0"] = weights()[0]["head"]["Dense_0"]
    network = linen.Linen(linen.UnrolledResNet(DEPTH))
    shapes, state = jax.eval_shape(network.init, jax.random.key(4), X)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, shapes)
    theirs = jax.jit(lambda params, state: network.apply(params, state, X, None, train=True)[0])(params, empty(state))
    np.testing.assert_allclose(theirs, logits(), rtol=1e-9)


def test_the_resnet_in_torch_is_the_same_function():
    torch = pytest.importorskip("torch")
    network = pytorch.resnet(DEPTH).double()
    assert sum(own.numel() for own in network.parameters()) == parameter_count(weights()[0])
    kernels, norms = map(iter, in_order())
    head = weights()[0]["head"]["Dense_0"]
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.Conv2d):
                module.weight.copy_(torch.tensor(np.array(next(kernels)).transpose(3, 2, 0, 1)))
            elif isinstance(module, torch.nn.BatchNorm2d):
                own = next(norms)
                module.weight.copy_(torch.tensor(np.array(own["scale"])))
                module.bias.copy_(torch.tensor(np.array(own["bias"])))
            elif isinstance(module, torch.nn.Linear):
                module.weight.copy_(torch.tensor(np.array(head["kernel"].T)))
                module.bias.copy_(torch.tensor(np.array(head["bias"])))
        theirs = network(torch.tensor(np.array(X).transpose(0, 3, 1, 2)))
    np.testing.assert_allclose(theirs, logits(), rtol=1e-9)


def test_the_decoder_in_torch_has_as_many_parameters():
    pytest.importorskip("torch")
    blocks, width, heads, tokens = 3, 16, 4, 8
    network = models.transformer(4 * blocks + 2, width, heads)
    ours, _ = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((1, tokens), jnp.int32))
    theirs = pytorch.transformer(blocks, width, heads, tokens)
    assert sum(own.numel() for own in theirs.parameters()) == parameter_count(ours)
