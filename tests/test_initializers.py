import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close

from resjax import initializers, train
from resjax.config import Point
from resjax.stack import Layers

FAN_IN, FAN_OUT = 400, 300


def draw(text):
    return initializers.build(text, initializers.Place())(jax.random.key(0), (FAN_IN, FAN_OUT), jnp.float64)


@pytest.mark.parametrize(
    ("name", "variance"),
    (
        ("he_normal", 2 / FAN_IN),
        ("he_uniform", 2 / FAN_IN),
        ("xavier_normal", 2 / (FAN_IN + FAN_OUT)),
        ("glorot_uniform", 2 / (FAN_IN + FAN_OUT)),
        ("lecun_normal", 1 / FAN_IN),
        ("lecun_uniform", 1 / FAN_IN),
        ("normal(stddev=0.3)", 0.09),
    ),
)
def test_variance(name, variance):
    assert np.isclose(draw(name).var(), variance, rtol=0.02)  # 120,000 draws: standard error below 0.5 %


def test_orthogonal_columns():
    close(draw("orthogonal").T @ draw("orthogonal"), jnp.eye(FAN_OUT), 1e-10)


def test_zeros_and_constant():
    assert (draw("zeros") == 0).all() and (draw("constant(value=0.2)") == 0.2).all()


@pytest.mark.parametrize("initializer", ("zeros", "constant(value=0.05)"))
@pytest.mark.parametrize("connection", ("plain", "residual"))
def test_without_randomness_all_units_of_a_layer_stay_equal(initializer, connection):
    point = Point(depth=6, width=8, norm="none", initializer=initializer, connection=connection, learning_rate=0.01)
    network, optimizer, dataset = train.plan(point)
    carry = train.initialize(network, optimizer, jax.random.key(0), jnp.zeros((1, *dataset.train.shape)))
    batches = dataset.train.batches(64, ("none",), seed=0)
    for step in range(10):
        carry, loss, _ = train.train_step(network, optimizer, carry, batches.at(step))
    images, _ = dataset.train.take(jnp.arange(50))
    _, _, streams = network.apply(carry.params, carry.state, images, Layers(), probe=lambda seen: seen.y)  # L B D
    assert np.isfinite(loss) and np.abs(streams - streams[..., :1]).max() <= 1e-6 * np.abs(streams).max()
