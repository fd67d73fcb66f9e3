import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close

from resjax import architectures, initializers, steps, train
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
        ("variance_scaling(scale=1.7)", 1.7 / FAN_IN),
    ),
)
def test_variance(name, variance):
    assert np.isclose(draw(name).var(), variance, rtol=0.02)  # 120,000 draws: standard error below 0.5 %


def test_orthogonal_columns():
    close(draw("orthogonal").T @ draw("orthogonal"), jnp.eye(FAN_OUT), 1e-10)


def test_zeros_and_constant():
    assert (draw("zeros") == 0).all() and (draw("constant(value=0.2)") == 0.2).all()


@pytest.mark.parametrize("shape", ((3, 3, 4, 6), (3, 3, 6, 4), (2, 2, 4, 4), (4, 6)))
def test_delta_orthogonal_is_an_orthogonal_matrix_in_the_middle(shape):
    kernel = np.array(
        initializers.build("delta_orthogonal", initializers.Place())(jax.random.key(0), shape, jnp.float64)
    )
    middle = tuple((size - 1) // 2 for size in shape[:-2])
    matrix = kernel[middle].copy()
    kernel[middle] = 0
    assert not kernel.any()
    gram = matrix @ matrix.T if shape[-2] < shape[-1] else matrix.T @ matrix
    close(gram, np.eye(4), 1e-10)


def test_looks_linear_weights_are_mirrored_but_for_the_stem():
    place = initializers.Place("branch")
    kernel = initializers.build("looks_linear", place)(jax.random.key(0), (12, 6), jnp.float64)
    close(kernel[:6], -kernel[6:])
    close(kernel[:6].T @ kernel[:6], jnp.eye(6), 1e-10)
    stem = initializers.build("looks_linear", initializers.Place("stem"))(jax.random.key(0), (6, 6), jnp.float64)
    close(stem.T @ stem, jnp.eye(6), 1e-10)


def test_fixup_scales_a_branch_by_its_formula():
    """m = 3 layers, L = 16 blocks: He's weights × 16^(−1/4) = ½, the last layer and the classifier zero."""

    def deviation(role, layer=0):
        place = initializers.Place(role, layer, layers=3, length=16)
        return initializers.build("fixup", place)(jax.random.key(0), (FAN_IN, FAN_OUT), jnp.float64).std()

    he = (2 / FAN_IN) ** 0.5
    found = [
        deviation("stem"),
        deviation("branch", 0),
        deviation("branch", 1),
        deviation("branch", 2),
        deviation("head"),
    ]
    np.testing.assert_allclose(found, [he, he / 2, he / 2, 0, 0], rtol=0.02)


def test_every_layer_of_a_network_knows_its_place():
    point = Point(depth=6, width=8, norm="none", initializer="fixup", branch="dense(layers=2)")
    params, _ = jax.jit(architectures.build(point, 3).init)(jax.random.key(0), jnp.zeros((1, 2, 2, 1)))
    branch = params["stages"][0]["branch"]
    kernels = params["stem"]["Dense_0"], branch["Dense_0"], branch["Dense_1"], params["head"]["Dense_0"]
    assert [bool(layer["kernel"].any()) for layer in kernels] == [True, True, False, False]


@pytest.mark.parametrize("initializer", ("zeros", "constant(value=0.05)"))
@pytest.mark.parametrize("connection", ("plain", "residual"))
def test_without_randomness_all_units_of_a_layer_stay_equal(initializer, connection):
    point = Point(depth=6, width=8, norm="none", initializer=initializer, connection=connection, learning_rate=0.01)
    network, optimizer, dataset = train.plan(point)
    carry = steps.initialize(network, optimizer, jax.random.key(0), jnp.zeros((1, *dataset.train.shape)))
    batches = dataset.train.batches(64, ("none",), seed=0)
    for step in range(10):
        carry, loss, _ = steps.train_step(network, optimizer, carry, batches.at(step))
    images, _ = dataset.train.take(jnp.arange(50))
    _, _, streams = network.apply(carry.params, carry.state, images, Layers(), probe=lambda seen: seen.y)  # L B D
    assert np.isfinite(loss) and np.abs(streams - streams[..., :1]).max() <= 1e-6 * np.abs(streams).max()
