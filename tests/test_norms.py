import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double

from resjax import models, nn
from resjax.layers import Layers
from resjax.nn.norms import of_last_batch

X = 3 * jax.random.normal(jax.random.key(0), (16, 5), jnp.float64) + 2  # B D
EPSILON = 1e-5


def centred(x, axis):
    """x with mean 0 and variance 1 along an axis, by the formula."""
    return (x - x.mean(axis, keepdims=True)) / np.sqrt(x.var(axis, keepdims=True) + EPSILON)


@pytest.mark.parametrize(
    ("norm", "expected"),
    (
        (nn.NoNorm(), X),
        (nn.BatchNorm(), centred(X, 0)),
        (nn.Center(), X - X.mean(0)),
        (nn.LayerNorm(), centred(X, 1)),
        (nn.RMSNorm(), X / jnp.sqrt((X**2).mean(1, keepdims=True) + EPSILON)),
    ),
)
def test_formula(norm, expected):
    variables = double(norm.init(jax.random.key(0), X, True))
    y, _ = norm.apply(variables, X, True, mutable=["batch_stats"])
    close(y, expected, 1e-9)


@pytest.mark.parametrize("shape", ((3, 6), (3, 4, 5, 6)))
def test_group_norm_is_its_formula_group_by_group(shape):
    x = 3 * jax.random.normal(jax.random.key(1), shape, jnp.float64) + 2
    norm = nn.GroupNorm(groups=2)
    y = norm.apply(double(norm.init(jax.random.key(0), x, True)), x, True)
    for example in range(3):
        for group in (slice(0, 3), slice(3, 6)):
            own = np.asarray(x[example, ..., group])
            close(y[example, ..., group], (own - own.mean()) / np.sqrt(own.var() + EPSILON), 1e-9)


@pytest.mark.parametrize(
    "kind",
    (nn.BatchNorm, nn.LayerNorm, *(pytest.param(kind, marks=pytest.mark.slow) for kind in (nn.GroupNorm, nn.RMSNorm))),
)
def test_a_branch_whose_last_norm_starts_at_zero_starts_as_nothing(kind):
    images = jax.random.normal(jax.random.key(0), (4, 8, 8, 1))
    network = models.resnet(8, width=8, norm=kind(zero_last=True))
    params, state = network.init(jax.random.key(1), images)
    whole, _, _ = network.apply(params, state, images, train=True)
    without, _, _ = network.apply(params, state, images, Layers(branch_scale=jnp.zeros(network.length)), train=True)
    np.testing.assert_array_equal(whole, without)
    scales = [
        leaf for path, leaf in jax.tree_util.tree_leaves_with_path(params) if "scale" in jax.tree_util.keystr(path)
    ]
    assert sum(int((scale == 0).all()) for scale in scales) == 3 and len(scales) == 7  # stem, and two a block


def test_a_last_norm_in_front_of_an_activation_is_refused():
    for order in (nn.PRE, nn.ACTIVATION_BEFORE_ADDITION):
        with pytest.raises(ValueError, match="zero_last: goes with an order whose branches end with a norm"):
            models.resnet(8, norm=nn.BatchNorm(zero_last=True), order=order)


def test_center_in_evaluation_takes_the_running_mean_away():
    norm = nn.Center(momentum=0.5)
    variables = double(norm.init(jax.random.key(0), X, True))
    _, updated = norm.apply(variables, X, True, mutable=["batch_stats"])
    close(norm.apply(updated, X, False), X - 0.5 * X.mean(0), 1e-9)


def test_batch_norm_in_evaluation_uses_the_running_statistics():
    norm = nn.BatchNorm(momentum=0.5)
    variables = double(norm.init(jax.random.key(0), X, True))
    _, updated = norm.apply(variables, X, True, mutable=["batch_stats"])
    mean = 0.5 * X.mean(0)
    var = 0.5 + 0.5 * X.var(0)  # halfway from (0, 1)
    close(norm.apply(variables | updated, X, False), (X - mean) / jnp.sqrt(var + EPSILON), 1e-9)


@pytest.mark.parametrize("ratio", (1e3, 1e4))
@pytest.mark.parametrize(("norm", "axis"), ((nn.BatchNorm(), 0), (nn.LayerNorm(), 1)))
def test_a_mean_far_larger_than_the_deviation_costs_no_precision(norm, axis, ratio):
    noise = jax.random.normal(jax.random.key(0), (256, 256), jnp.float32)
    x = noise + jnp.float32(ratio)  # rounded here, so that both precisions normalise the same numbers
    y, _ = norm.init_with_output(jax.random.key(0), x, True)
    np.testing.assert_allclose(y, centred(np.asarray(x, np.float64), axis), atol=4e-7 * ratio)


def test_statistics_of_the_last_batch_keep_the_norms_other_fields():
    assert of_last_batch(nn.BatchNorm()) == nn.BatchNorm(momentum=0.0)
    assert of_last_batch(nn.BatchNorm(0.5, 0.1)) == nn.BatchNorm(0.0, 0.1)
    assert of_last_batch(nn.Center()) == nn.Center(momentum=0.0)
    assert of_last_batch(nn.LayerNorm(0.1)) == nn.LayerNorm(0.1)
