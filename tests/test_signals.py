"""Probes of the way forward, against NumPy on the streams themselves."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, stack

from resjax import models, nn
from resjax.layers import BlockTrace
from resjax.probes import forward, signals


@pytest.mark.parametrize("cosine", (-1.0, 0.0, 0.3, 1.0))
def test_pairs_have_their_cosine_and_mean_square_one(cosine):
    x = np.asarray(forward.pairs(jax.random.key(0), 5, (4, 3, 2), cosine, jnp.float64))
    first, second = x.reshape(2, 5, 24)
    np.testing.assert_allclose((first * second).mean(-1), cosine, atol=1e-12)
    np.testing.assert_allclose((x.reshape(10, -1) ** 2).mean(-1), 1, rtol=1e-12)


@pytest.mark.parametrize("connection", (nn.Plain(), nn.Residual()))
def test_signals_of_a_stack_are_those_of_its_streams(connection):
    built, params, state, x = stack(connection=connection, norm=nn.LayerNorm())
    found = built.apply(params, state, x, probe=forward.statistics)[2]
    seen = built.apply(params, state, x, probe=lambda trace: trace._replace(at=None))[2]
    for place in range(built.length):
        stream, branch = np.asarray(seen.x[place]), np.asarray(seen.f[place])  # B D
        half = len(stream) // 2
        unit = stream / np.sqrt((stream**2).sum(1, keepdims=True))
        values = np.linalg.svd(stream)[1]
        shares = values / values.sum()
        expected = {
            "activation_mean_square": (stream**2).sum() / stream.size,
            "branch_mean_square": (branch**2).sum() / branch.size,
            "input_cosine": sum(unit[b] @ unit[b + half] for b in range(half)) / half,
            "dead_fraction": np.mean([np.all(np.asarray(a[place]) == 0, axis=0).mean() for a in seen.activations]),
            "effective_rank": np.prod(shares**-shares),
        }
        close({name: found[name][place] for name in expected}, expected)
        assert all(np.isnan(found[name][place]) for name in found.keys() - expected.keys())  # what tokens have


def test_a_probe_sees_what_the_activation_functions_return():
    built, params, state, x = stack(norm=nn.NoNorm(), length=1)
    (first, second), f = built.apply(params, state, x, probe=lambda trace: (trace.activations, trace.f))[2]
    dense = jax.tree.map(lambda leaf: leaf[0], params[0]["branch"])
    hidden = np.maximum(x, 0) @ dense["Dense_0"]["kernel"] + dense["Dense_0"]["bias"]
    close(first[0], jnp.maximum(x, 0))
    close(second[0], jnp.maximum(hidden, 0))
    close(f[0], second[0] @ dense["Dense_1"]["kernel"] + dense["Dense_1"]["bias"])


def test_dead_units_are_those_that_no_input_switches_on():
    a = jnp.array([[0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0]])
    assert forward.dead_fraction((a, a[:, :2])) == (0.5 + 0.5) / 2
    assert jnp.isnan(forward.dead_fraction(()))


def test_pairs_with_a_zero_vector_have_no_cosine():
    x = jnp.array([[1.0, 0.0], [0.0, 0.0], [0.6, 0.8], [1.0, 0.0]])
    assert forward.cosine(x) == pytest.approx(0.6)
    assert jnp.isnan(forward.cosine(0 * x))


def test_inputs_of_an_odd_number_are_no_pairs():
    assert jnp.isnan(forward.cosine(jnp.ones((3, 2))))


def test_the_effective_rank_counts_equal_directions():
    x = jnp.zeros((6, 5), jnp.float64).at[0, 1].set(2).at[3, 2].set(-2).at[4, 4].set(2)
    assert forward.effective_rank(x) == pytest.approx(3, rel=1e-12)
    assert forward.effective_rank(jnp.ones((6, 5))) == pytest.approx(1, rel=1e-6)


def test_statistics_of_a_bfloat16_stream_are_float32():
    x = jnp.ones((4, 3), jnp.bfloat16)
    assert {value.dtype for value in forward.statistics(BlockTrace(x, x, (x,), (), x, None)).values()} == {
        jnp.dtype("float32")
    }


@pytest.mark.parametrize("network", (models.dense(8, width=5, classes=3), models.preact(8, width=2, classes=3)))
def test_the_table_has_a_row_a_block(network):
    x = forward.pairs(jax.random.key(0), 3, (4, 4, 1), 0.5, jnp.float64)
    params, state = jax.jit(network.init)(jax.random.key(1), x)
    for train in (True, False):
        table = signals(network, params, state, x, train=train)
        assert table["block"].tolist() == list(range(network.length))
        expected = network.apply(params, state, x, train=train, probe=forward.statistics)[2]
        assert list(table.columns) == ["block", *forward.SIGNALS] and set(expected) == set(forward.SIGNALS)
        for name, values in expected.items():
            np.testing.assert_allclose(table[name], values, rtol=1e-5)  # weights are float32
    assert signals(network, params, state, x[:5])["input_cosine"].isna().all()
