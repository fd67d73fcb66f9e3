import jax
import jax.numpy as jnp
import pytest
from helpers import close, stack

from resjax import architectures, branches, connections, normalizers, parts
from resjax.config import Point
from resjax.errors import UserError
from resjax.stack import Block, Layers, Stack

X = jnp.arange(1.0, 7.0).reshape(2, 3)
F = jnp.cos(X)


def join(text, length=1, f=F):
    connection = connections.build(text, length=length)
    return connection.apply(connection.init(jax.random.key(0), X, f, False), X, f, False)


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    (
        ("plain", 1, F),
        ("residual", 1, X + F),
        ("scaled(alpha=0.5,beta=0.1)", 7, 0.5 * X + 0.1 * F),
        ("scaled(power=0.5)", 100, X + F / 10),
        ("scaled(power=1)", 100, X + F / 100),
        ("scaled(beta=3,power=1)", 100, X + 3 * F / 100),
        ("rezero", 1, X),
        ("rezero(alpha=0.25)", 1, X + 0.25 * F),
    ),
)
def test_formula(text, length, expected):
    close(join(text, length), expected)


def test_projection_joins_different_sizes():
    f = jnp.ones((2, 5))
    connection = connections.build("projection", length=1)
    variables = connection.init(jax.random.key(0), X, f, False)
    kernel = variables["params"]["joint"]["Dense_0"]["kernel"]
    assert kernel.shape == (3, 5)
    close(connection.apply(variables, X, f, False), X @ kernel + f, 1e-6)


def gated(text):
    """The connection's output and its gate, computed from its parameters."""
    connection = connections.build(text, length=1)
    variables = connection.init(jax.random.key(0), X, F, False)
    weights = variables["params"]["gate"]
    gate = 1 / (1 + jnp.exp(-(X @ weights["kernel"] + weights["bias"])))
    return connection.apply(variables, X, F, False), gate, weights["bias"]


@pytest.mark.parametrize("bias", (0, -6))
def test_gates(bias):
    y, gate, found = gated(f"shortcut_gate(bias={bias})")
    close(y, (1 - gate) * X + F, 1e-6)
    y, gate, found = gated(f"exclusive_gate(bias={bias})")
    close(y, (1 - gate) * X + gate * F, 1e-6)
    assert (found == bias).all()


def test_dropout_of_the_shortcut_keeps_its_mean_and_stops_in_evaluation():
    connection, ones = connections.build("dropout(rate=0.25)", length=1), jnp.ones((200, 200))
    y = connection.apply({}, ones, 0 * ones, True, rngs={"dropout": jax.random.key(0)})
    assert set(y.ravel().tolist()) == {0.0, 1 / 0.75}
    assert abs((y == 0).mean() - 0.25) < 5 * (0.25 * 0.75 / y.size) ** 0.5
    close(connection.apply({}, ones, ones, False), 2 * ones)


def test_rezero_starts_as_the_identity_and_can_leave_it():
    built, params, state, x = stack(connection="rezero")
    params["connection"]["alpha"] = jnp.zeros(3)
    close(built.apply(params, state, x)[0], x, 0)
    gradient = jax.grad(lambda params: built.apply(params, state, x)[0].sum())(params)
    assert (gradient["connection"]["alpha"] != 0).all()


def test_plain_and_residual_have_the_same_parameters():
    (_, plain, _, _), (_, residual, _, _) = stack(connection="plain"), stack(connection="residual")
    close(plain, residual, 0)


@pytest.mark.parametrize("order", parts.ORDERS)
@pytest.mark.parametrize("norm", normalizers.NORMS)
def test_every_norm_and_order_builds_and_learns(norm, order):
    learns(Point(depth=6, width=4, norm=norm, order=order))


@pytest.mark.parametrize("connection", connections.CONNECTIONS)
@pytest.mark.parametrize("network", ("dense", pytest.param("resnet", marks=pytest.mark.slow)))
def test_every_connection_builds_and_learns(network, connection):
    branch = {"dense": "dense(layers=1)", "resnet": "basic(layers=1)"}[network]  # one layer a block: quick to compile
    learns(Point(network=network, branch=branch, depth=5, connection=connection))


@pytest.mark.slow
def test_bottlenecks_build_and_learn():
    learns(Point(network="bottleneck", depth=11))


def learns(point):
    network = architectures.build(point, classes=3)
    images = jax.random.normal(jax.random.key(0), (5, 4, 4, 1), jnp.float32)

    @jax.jit
    def gradient(key):
        params, state = network.init(key, images)
        layers = Layers(key=key)
        return jax.value_and_grad(lambda params: network.apply(params, state, images, layers, train=True)[0].var())(
            params
        )

    value, slopes = gradient(jax.random.key(1))
    assert jnp.isfinite(value) and any((leaf != 0).any() for leaf in jax.tree.leaves(slopes))


def test_branches_of_two_and_of_three_layers_fill_a_depth():
    assert architectures.build(Point(depth=20), 10).length == 9
    assert architectures.build(Point(depth=20, branch="dense(layers=3)"), 10).length == 6


def test_a_connection_from_a_fork():
    assert join("test_connections:Doubled(factor=3)").sum() == (X + 3 * F).sum()


class Doubled(connections.Connection):
    factor: float = 2.0

    def __call__(self, x, f, train):
        return x + self.factor * f


@pytest.mark.parametrize("text", ("residul", "scaled(betta=1)", "no.such.module:Name", "test_connections:Nothing"))
def test_bad_names_are_refused(text):
    with pytest.raises(UserError, match=text.split(":")[0].split("(")[0]):
        connections.build(text, length=1)


def test_a_block_with_a_scaled_branch_is_still_a_stack():
    block = Block(branches.build("dense"), connections.build("scaled(power=0.5)", length=4))
    assert Stack(block, 4) == Stack(Block(branches.build("dense"), connections.build("scaled(power=0.5)", length=4)), 4)
