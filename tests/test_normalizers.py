import jax
import jax.numpy as jnp
import pytest
from helpers import close, double

from resjax import normalizers

X = 3 * jax.random.normal(jax.random.key(0), (16, 5), jnp.float64) + 2  # B D
EPSILON = 1e-5

EXPECTED = {
    "none": X,
    "batch": (X - X.mean(0)) / jnp.sqrt(X.var(0) + EPSILON),
    "center": X - X.mean(0),
    "layer": (X - X.mean(1, keepdims=True)) / jnp.sqrt(X.var(1, keepdims=True) + EPSILON),
    "rms": X / jnp.sqrt((X**2).mean(1, keepdims=True) + EPSILON),
}


@pytest.mark.parametrize("name", normalizers.NORMS)
def test_formula(name):
    norm = normalizers.build(name)
    variables = double(norm.init(jax.random.key(0), X, True))
    y, _ = norm.apply(variables, X, True, mutable=["batch_stats"])
    close(y, EXPECTED[name], 1e-9)


def test_center_in_evaluation_takes_the_running_mean_away():
    norm = normalizers.build("center(momentum=0.5)")
    variables = double(norm.init(jax.random.key(0), X, True))
    _, updated = norm.apply(variables, X, True, mutable=["batch_stats"])
    close(norm.apply(updated, X, False), X - 0.5 * X.mean(0), 1e-9)


def test_batch_norm_in_evaluation_uses_the_running_statistics():
    norm = normalizers.build("batch(momentum=0.5)")
    variables = double(norm.init(jax.random.key(0), X, True))
    _, updated = norm.apply(variables, X, True, mutable=["batch_stats"])
    mean, var = 0.5 * X.mean(0), 0.5 + 0.5 * X.var(0)  # halfway from (0, 1)
    close(norm.apply(variables | updated, X, False), (X - mean) / jnp.sqrt(var + EPSILON), 1e-9)
