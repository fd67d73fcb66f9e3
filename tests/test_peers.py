"""What `throughput` compares with is the same network, and is left out with a line where it is not installed."""

import builtins
import functools
import math

import jax
import numpy as np
import pytest

from benchmarks import peers, throughput
from benchmarks.others import equinox_scan, first_step, linen, pytorch
from resjax import models
from resjax.cost import parameter_count

DEPTH = 8
BLOCKS = 3
WIDTH = 16
NETWORK = models.dense(DEPTH, WIDTH)
X = jax.random.normal(jax.random.key(0), (6, 8, 8, 1))  # B H W C


@functools.cache
def weights():
    """Random parameters of the network, norms and biases among them, and its state."""
    params, state = NETWORK.init(jax.random.key(1), X)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(2), len(leaves))
    moved = [leaf + 0.3 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
    return jax.tree.unflatten(tree, moved), state


def branch():
    """Those of the blocks' branches, with a leading axis of L; norms without the name that they have inside."""
    (block,) = weights()[0]["stages"][0]
    return {name: own.get("norm", own) for name, own in block["branch"].items()}


def in_order():
    """(norms, dense layers), each a list of trees in the order of the network."""
    params, _ = weights()
    blocks = [jax.tree.map(lambda leaf, at=at: leaf[at], branch()) for at in range(BLOCKS)]
    norms = [block[f"BatchNorm_{at}"] for block in blocks for at in range(2)]
    dense = [block[f"Dense_{at}"] for block in blocks for at in range(2)]
    head = params["head"]
    return [*norms, head["BatchNorm_0"]["norm"]], [params["stem"]["Dense_0"], *dense, head["Dense_0"]]


def unrolled():
    """The Python loop, and the weights in its names."""
    norms, dense = in_order()
    params = {f"BatchNorm_{at}": own for at, own in enumerate(norms)}
    params |= {f"Dense_{at}": own for at, own in enumerate(dense)}
    return linen.Linen(linen.Dense(DEPTH, WIDTH, scanned=False)), params


def nn_scan():
    """Flax's scan, and the weights in its names."""
    norms, dense = in_order()
    params = {"Dense_0": dense[0], "ScanCheckpointBlock_0": branch(), "BatchNorm_0": norms[-1], "Dense_1": dense[-1]}
    return linen.Linen(linen.Dense(DEPTH, WIDTH, scanned=True)), params


def equinox():
    """Equinox' scan, and the weights in its model."""
    eqx = pytest.importorskip("equinox")
    network = equinox_scan.dense(DEPTH, WIDTH)
    model, _ = network.init(jax.random.key(3), X)
    norms, dense = in_order()
    norms = [branch()["BatchNorm_0"], branch()["BatchNorm_1"], norms[-1]]
    dense = [dense[0], branch()["Dense_0"], branch()["Dense_1"], dense[-1]]

    def places(model):
        layers = [*model.blocks.norms, model.norm, model.stem, *model.blocks.layers, model.head]
        return [layer.weight for layer in layers] + [layer.bias for layer in layers]

    weights = [own["scale"] for own in norms] + [own["kernel"].mT for own in dense]
    return network, eqx.tree_at(places, model, weights + [own["bias"] for own in norms + dense])


PEERS = pytest.mark.parametrize("peer", [unrolled, nn_scan, equinox])


@PEERS
def test_a_peer_in_jax_has_as_many_parameters(peer):
    network, _ = peer()
    params, _ = jax.eval_shape(network.init, jax.random.key(4), X)
    assert parameter_count(params) == parameter_count(weights()[0])


@PEERS
def test_a_peer_in_jax_is_the_same_function(peer):
    network, params = peer()
    _, state = network.init(jax.random.key(4), X)
    theirs, _, _ = network.apply(params, state, X, None, train=True)
    ours, _, _ = NETWORK.apply(*weights(), X, train=True)
    np.testing.assert_allclose(theirs, ours, rtol=1e-9)


def test_the_peer_in_torch_is_the_same_function():
    torch = pytest.importorskip("torch")
    network = pytorch.dense(DEPTH, WIDTH).double()
    assert sum(own.numel() for own in network.parameters()) == parameter_count(weights()[0])
    norms, dense = map(iter, in_order())
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.Linear):
                own = next(norms if isinstance(module, torch.nn.BatchNorm1d) else dense)
                module.weight.copy_(torch.tensor(np.array(own["scale"] if "scale" in own else own["kernel"].T)))
                module.bias.copy_(torch.tensor(np.array(own["bias"])))
        theirs = network(torch.tensor(np.array(X)).flatten(1))
    ours, _, _ = NETWORK.apply(*weights(), X, train=True)
    np.testing.assert_allclose(theirs, ours, rtol=1e-9)


def test_a_first_step_that_was_stopped_took_at_least_the_limit(monkeypatch):
    monkeypatch.setattr(first_step, "seconds", lambda *_: None)
    row = peers.time_to_first_step("depth 8", 0.1, lambda: peers.LIMIT / 20, pytorch.dense_step, DEPTH, WIDTH, 64)
    assert row["what"].endswith(f", against torch.compile, at least {peers.LIMIT} s")
    assert row["reference"] == peers.LIMIT and math.isclose(row["ratio"], 1 / 20)


@pytest.mark.parametrize(
    ("measure", "missing"), [(peers.against_torch_compile, "torch"), (peers.against_equinox, "equinox")]
)
def test_a_peer_that_is_not_installed_is_left_out_with_a_line(monkeypatch, capsys, measure, missing):
    found = builtins.__import__

    def importing(name, *rest):
        if name == missing:
            raise ModuleNotFoundError(name=name)
        return found(name, *rest)

    monkeypatch.setattr(builtins, "__import__", importing)
    monkeypatch.setattr(peers, "MEASURES", (measure,))
    assert not list(throughput.rows(throughput.Config(networks=("peers",))))
    assert capsys.readouterr().out == f"{missing} is not installed (extra [peers]): not compared\n"
