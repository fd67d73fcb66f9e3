import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, stack

from resjax import models, nn
from resjax.layers import Layers
from resjax.nn.order import ORDERS

X = jnp.arange(1.0, 7.0).reshape(2, 3)
F = jnp.cos(X)
CONNECTIONS = (
    nn.Plain(),
    nn.Residual(),
    nn.Projected(),
    nn.Scaled(power=0.5),
    nn.ReZero(),
    nn.ShortcutGate(),
    nn.ExclusiveGate(),
    nn.Dropout(),
)
NORMS = (nn.NoNorm(), nn.BatchNorm(), nn.Center(), nn.LayerNorm(), nn.RMSNorm())
IMAGES = jax.random.normal(jax.random.key(0), (5, 4, 4, 1), jnp.float32)


def joined(connection, x=X, f=F, length=1, train=False, key=0):
    """What a connection writes and what it carries, at its start, and its parameters."""
    place = nn.Place(1, length)

    def both(module):
        c = module.coefficients(x, place, train)
        return module.write(x, f, c, place), module.carry(x, c, place)

    rngs = {"params": jax.random.key(0), "dropout": jax.random.key(key)}
    (written, carried), variables = connection.init_with_output(rngs, method=both)
    return written, carried, dict(variables).get("params", {})


@pytest.mark.parametrize(
    ("connection", "length", "written", "carried"),
    (
        (nn.Plain(), 1, F, X),
        (nn.Residual(), 1, X + F, X),
        (nn.Scaled(alpha=0.5, beta=0.1), 7, 0.5 * X + 0.1 * F, 0.5 * X),
        (nn.Scaled(power=0.5), 100, X + F / 10, X),
        (nn.Scaled(power=1), 100, X + F / 100, X),
        (nn.Scaled(beta=3, power=1), 100, X + 3 * F / 100, X),
        (nn.ReZero(), 1, X, X),
        (nn.ReZero(alpha=0.25), 1, X + 0.25 * F, X),
        (nn.Dropout(), 1, X + F, X),
    ),
    ids=repr,
)
def test_formula(connection, length, written, carried):
    close(joined(connection, length=length)[:2], (written, carried))


@pytest.mark.parametrize("connection", CONNECTIONS, ids=repr)
def test_factors_are_what_stream_and_branch_are_multiplied_with(connection):
    written, _, params = joined(connection, length=9)
    factors = connection.factors(nn.Place(1, 9), params or None)
    if factors is None:
        assert isinstance(connection, nn.Projected | nn.ShortcutGate | nn.Dropout)
    else:
        stream, branch = factors
        close(written, stream * X + branch * F)


@pytest.mark.parametrize("size", (0.0, 1.0, 1e6))
@pytest.mark.parametrize("bias", (0, -6))
@pytest.mark.parametrize("kind", (nn.ShortcutGate, nn.ExclusiveGate))
def test_gates_are_open_as_their_bias_says_at_the_start_on_any_stream(kind, bias, size):
    gate = kind(bias=bias)
    c, _ = gate.init_with_output(jax.random.key(0), size * X, nn.Place(1, 1), False, method="coefficients")
    assert c.shape == X.shape and (c == jax.nn.sigmoid(jnp.asarray(bias, c.dtype))).all()
    close(c, jnp.full(X.shape, 1 / (1 + np.exp(-bias)), c.dtype), 1e-6)


@pytest.mark.parametrize("kind", (nn.ShortcutGate, nn.ExclusiveGate))
def test_gates_of_any_weights(kind):
    weights = {"kernel": jnp.sin(jnp.arange(9.0)).reshape(3, 3), "bias": jnp.asarray([-1.0, 0.0, 2.0])}

    def both(module):
        c = module.coefficients(X, nn.Place(1, 1), False)
        return module.write(X, F, c, nn.Place(1, 1)), module.carry(X, c, nn.Place(1, 1))

    written, carried = kind().apply({"params": {"gate": weights}}, method=both)
    gate = 1 / (1 + np.exp(-(X @ weights["kernel"] + weights["bias"])))
    close(written, (1 - gate) * X + (gate if kind is nn.ExclusiveGate else 1) * F, 1e-6)
    close(carried, (1 - gate) * X, 1e-6)


@pytest.mark.parametrize("kind", (nn.ShortcutGate, nn.ExclusiveGate))
def test_gates_leave_their_start(kind):
    built, params, state, x = stack(connection=kind(bias=0))
    params[0]["connection"]["gate"]["kernel"] = jnp.zeros_like(params[0]["connection"]["gate"]["kernel"])
    gradient = jax.grad(lambda params: built.apply(params, state, x)[0].sum())(params)
    assert (gradient[0]["connection"]["gate"]["kernel"] != 0).all()


def test_dropout_of_the_shortcut_keeps_its_mean_and_stops_in_evaluation():
    ones = jnp.ones((200, 200))
    written, carried, _ = joined(nn.Dropout(rate=0.25), ones, 0 * ones, train=True)
    assert set(written.ravel().tolist()) == {0.0, 1 / 0.75}
    assert abs((written == 0).mean() - 0.25) < 5 * (0.25 * 0.75 / written.size) ** 0.5
    close(carried, written, 0)
    close(joined(nn.Dropout(rate=0.25), ones, ones)[0], 2 * ones)


@pytest.mark.parametrize("inner", (nn.Residual(), nn.Scaled(alpha=0.5), nn.ShortcutGate(bias=0)), ids=repr)
def test_projected_is_the_connection_behind_the_shortcut(inner):
    written, carried, params = joined(nn.Projected(inner, nn.orthogonal()))
    kernel = params["shortcut"]["Dense_0"]["kernel"]
    place = nn.Place(1, 1)

    def both(module, x):
        c = module.coefficients(x, place, False)
        return module.write(x, F, c, place), module.carry(x, c, place)

    expected = inner.apply({"params": params.get("inner", {})}, X @ kernel, method=both)
    close((written, carried), expected, 1e-6)


def test_rezero_starts_as_the_identity_and_can_leave_it():
    built, params, state, x = stack(connection=nn.ReZero())
    params[0]["connection"]["alpha"] = jnp.zeros(3)
    close(built.apply(params, state, x)[0], x, 0)
    gradient = jax.grad(lambda params: built.apply(params, state, x)[0].sum())(params)
    assert (gradient[0]["connection"]["alpha"] != 0).all()


def test_plain_and_residual_have_the_same_parameters():
    _, plain, _, _ = stack(connection=nn.Plain())
    _, residual, _, _ = stack(connection=nn.Residual())
    close(plain, residual, 0)


@pytest.mark.parametrize(("norm", "order"), tuple(zip(itertools.cycle(NORMS), ORDERS)))
def test_every_norm_and_every_order_builds_and_learns(norm, order):
    learns(models.dense(6, 4, norm=norm, order=ORDERS[order]))


@pytest.mark.slow
@pytest.mark.parametrize(("norm", "order"), tuple(itertools.product(NORMS, ORDERS)))
def test_every_norm_builds_and_learns_in_every_order(norm, order):
    learns(models.dense(6, 4, norm=norm, order=ORDERS[order]))


@pytest.mark.parametrize("connection", CONNECTIONS, ids=repr)
def test_every_connection_builds_and_learns(connection):
    learns(models.dense(5, 4, branch=nn.Dense(layers=1), connection=connection))  # quick to compile


@pytest.mark.slow
@pytest.mark.parametrize("connection", CONNECTIONS, ids=repr)
def test_every_connection_of_images_builds_and_learns(connection):
    learns(models.resnet(5, branch=nn.Basic(layers=1), connection=connection))


@pytest.mark.slow
def test_bottlenecks_build_and_learn():
    learns(models.bottleneck(11))


def learns(network):
    @jax.jit
    def gradient(key):
        params, state = network.init(key, IMAGES)
        layers = Layers(key=key)
        return jax.value_and_grad(lambda params: network.apply(params, state, IMAGES, layers, train=True)[0].var())(
            params
        )

    value, slopes = gradient(jax.random.key(1))
    assert jnp.isfinite(value) and any((leaf != 0).any() for leaf in jax.tree.leaves(slopes))


class Doubled(nn.Connection):
    """y = x + factor · F(x)."""

    factor: float = 2.0

    def write(self, x, f, c, place):
        return x + self.factor * f


def test_a_connection_of_ones_own_is_one_method():
    twice = models.dense(6, 4, connection=Doubled())
    params, state = jax.jit(twice.init)(jax.random.key(0), IMAGES)
    layers = Layers(branch_scale=jnp.full(2, 2.0))
    found = twice.apply(params, state, IMAGES)[0]
    close(found, models.dense(6, 4).apply(params, state, IMAGES, layers)[0], 1e-6)


def test_a_connection_without_write_says_so():
    with pytest.raises(NotImplementedError, match=r"Connection has no write\(x, f, c, place\)"):
        joined(nn.Connection())
