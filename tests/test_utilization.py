"""What blocks are good for, against a loop over the blocks of small networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import resjax as rj
from resjax.layers import Layers
from resjax.probes import utilization


def small(**options):
    network = rj.models.transformer(10, 8, 2, vocabulary=7, **options)  # four blocks
    x = jax.random.randint(jax.random.key(1), (3, 5), 0, 7)
    params, state = network.init(jax.random.key(0), x)
    return network, jax.tree.map(lambda leaf: leaf.astype(jnp.float64), params), state, x


def test_the_table_is_that_of_a_loop():
    network, params, state, x = small()
    table = rj.probes.depth_use(network, params, state, x, x)
    streams, branches = (np.asarray(network.apply(params, state, x, probe=read)[2]) for read in (stream, branch))
    for block in range(4):
        f = branches[block]
        before = streams[block]
        behind = before + f
        size = np.linalg.norm(f, axis=-1) / np.linalg.norm(before, axis=-1)
        keep = jnp.arange(4) != block
        without = np.asarray(network.apply(params, state, x, Layers(keep=keep), probe=branch)[2])
        changes = [length(without[at] - branches[at]) / length(branches[at]) for at in range(block + 1, 4)]
        logits = network.run_head(params, state, jnp.asarray(behind))
        log_p = np.asarray(jax.nn.log_softmax(logits))
        lens = -np.mean([log_p[b, t, x[b, t]] for b, t in np.ndindex(3, 5)])
        expected = [size.mean(), cosine(f, before), 1 - cosine(before, behind), np.mean(changes or [0]), lens]
        np.testing.assert_allclose(table.loc[block, list(utilization.USE)].to_list(), expected, rtol=1e-6, atol=1e-9)


def stream(trace):
    return trace.x


def branch(trace):
    return trace.f


def length(f):
    return np.linalg.norm(f, axis=-1).mean()


def cosine(a, b):
    return ((a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)).mean()


def test_the_lens_behind_the_last_block_is_the_networks_own_loss():
    network, params, state, x = small(tied=True)
    logits = network.apply(params, state, x)[0]
    loss = float(rj.training.losses.loss(logits, x).mean())
    assert rj.probes.depth_use(network, params, state, x, x)["lens_loss"].iloc[-1] == pytest.approx(loss, rel=1e-9)


def test_branches_that_start_at_zero_use_no_depth():
    network, params, state, x = small(order=rj.nn.REZERO)
    table = rj.probes.depth_use(network, params, state, x, x)
    assert (table[["alignment", "influence", "skip_effect"]].abs() < 1e-7).all(axis=None)


def test_with_a_norm_behind_the_sum_it_is_what_the_stream_would_lack():
    network, params, state, x = small(order=rj.nn.POST_NORM)
    table = rj.probes.depth_use(network, params, state, x, x)
    streams, branches = (np.asarray(network.apply(params, state, x, probe=read)[2]) for read in (stream, branch))
    normed = [(v - v.mean(-1, keepdims=True)) / v.std(-1, keepdims=True) for v in (streams + branches, streams)]
    sizes = np.linalg.norm(normed[0] - normed[1], axis=-1) / np.linalg.norm(normed[1], axis=-1)
    np.testing.assert_allclose(table["contribution"], sizes.reshape(4, -1).mean(1), rtol=1e-3)  # but for its ε


def test_the_score_is_the_mean_block():
    assert rj.probes.depth_score([0.0, 1.0, 0.0, 3.0]) == (2 + 3 * 4) / 4
    assert np.isnan(rj.probes.depth_score([0.0, 0.0]))


def test_a_network_of_several_sizes_is_refused():
    network = rj.models.resnet(8, width=4)
    with pytest.raises(ValueError, match="use a network of one stage"):
        rj.probes.depth_use(network, {}, {}, jnp.zeros((1, 8, 8, 1)), jnp.zeros(1, int))
