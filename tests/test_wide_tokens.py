"""What a transformer is as numbers, for theory, and theory against wide networks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import resjax as rj
from resjax.lab import wide_tokens
from resjax.lab.trial import Start
from resjax.probes import backward, forward
from resjax.theory import sublayers
from resjax.training.compilation import jit_unoptimized

ORDERS = "pre", "post", "deepnorm", "keel", "lns", "peri", "mix_ln", "rezero", "scaled", "layerscale", "complete_p"


def network_of(order, blocks, width=16):
    return wide_tokens.start.plan(trial_of(order, blocks, width))


def trial_of(order, blocks, width=16):
    return Start(
        network="transformer(heads=4)",
        norm="layer",
        order=order,
        depth=2 + 4 * blocks,
        width=width,
        inputs=(16,),
        pairs=1,
    )


@pytest.mark.parametrize("blocks", (4, 20))
@pytest.mark.parametrize("order", ORDERS)
def test_a_network_as_numbers_is_the_papers_order(order, blocks):
    found = wide_tokens.sublayers(network_of(order, blocks))
    wanted = sublayers.named(order, blocks)
    for one, other in zip(found, wanted, strict=True):
        assert (one.before, one.end, one.after) == (other.before, other.end, other.after)
        assert (one.carry, one.branch, one.gain) == pytest.approx((other.carry, other.branch, other.gain), rel=1e-12)


@pytest.mark.parametrize(
    "options",
    (
        {"activation": "gelu"},
        {"initializer": "he_normal"},
        {"norm": "batch"},
        {"connection": "shortcut_gate"},
        {"network": "transformer(parallel=True)", "depth": 10},
        {"network": "transformer(gated=True)"},
        {"network": "dense", "inputs": (8, 8, 1), "norm": "batch"},
    ),
)
def test_theory_says_nothing_of_other_networks(options):
    known = {"network": "transformer", "norm": "layer", "depth": 10, "inputs": (16,), "width": 16}
    assert wide_tokens.line(Start(**known | options), "token_cosine") is None


def read(order, blocks, width):
    """Of a network whose queries start at zero, so that its attention is uniform as the theory has it."""
    network = network_of(order, blocks, width)
    x = forward.token_pairs(jax.random.key(1), 2, 16, 256)
    params, state = jit_unoptimized(rj.Network.init, 0)(network, jax.random.key(0), x)
    for attention, _ in params["stages"]:
        attention["branch"]["Dense_0"]["kernel"] = jnp.zeros_like(attention["branch"]["Dense_0"]["kernel"])
    loss = backward.readout(jax.random.key(2))
    found = jax.jit(backward.read, static_argnums=(0, 4))(network, params, state, x, loss)
    return {name: np.asarray(values) for name, values in found.items()}


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
def test_a_wide_transformer_is_the_theorys(order):
    blocks = 6
    trial = trial_of(order, blocks, 1024)
    found = read(order, blocks, 1024)
    gradient = found["gradient_mean_square"] / found["gradient_mean_square"][-1]
    halves = slice(None, None, 2)  # before attention, where theory has a value of its own
    for values, quantity, tolerance in (
        (found["activation_mean_square"], "activation_mean_square", 0.05),
        (gradient, "gradient_mean_square", 0.25 if order in ("post", "mix_ln") else 0.12),  # whose tokens become one
    ):
        np.testing.assert_allclose(values[halves], wide_tokens.line(trial, quantity)[halves], rtol=tolerance)
    line = wide_tokens.line(trial, "token_cosine")
    np.testing.assert_allclose(found["token_cosine"][halves], line[halves], atol=0.03)


def test_uniform_attention_has_the_entropy_of_the_tokens_that_it_sees():
    found = read("pre", 2, 16)["attention_entropy"]
    np.testing.assert_allclose(found[::2], np.log(np.arange(1, 17)).mean(), rtol=1e-6)
    assert np.isnan(found[1::2]).all()  # of MLPs


def test_the_cosine_of_tokens_is_the_mean_over_pairs():
    x = jax.random.normal(jax.random.key(0), (3, 5, 4))
    expected = [
        x[b, t] @ x[b, s] / (jnp.linalg.norm(x[b, t]) * jnp.linalg.norm(x[b, s]))
        for b in range(3)
        for t in range(5)
        for s in range(t)
    ]
    assert forward.token_cosine(x) == pytest.approx(np.mean(expected), rel=1e-9)
    assert np.isnan(forward.token_cosine(x[:, 0]))


def test_tokens_of_a_sequence_are_different():
    found = np.asarray(forward.token_pairs(jax.random.key(0), 3, 9, 10))
    assert found.shape == (6, 9) and all(len(set(row)) == 9 for row in found.tolist())
    with pytest.raises(ValueError, match="11 tokens: must be at most 10"):
        forward.token_pairs(jax.random.key(0), 1, 11, 10)
