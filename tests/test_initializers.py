import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close

from resjax import models, nn
from resjax.nn import initializers
from resjax.nn.initializers import Site

FAN_IN = 400
FAN_OUT = 300


def draw(initializer, site=Site(), shape=(FAN_IN, FAN_OUT)):  # noqa: B008
    return initializers.at(initializer, site)(jax.random.key(0), shape, jnp.float64)


@pytest.mark.parametrize(
    ("initializer", "variance"),
    (
        (initializers.he_normal(), 2 / FAN_IN),
        (initializers.he_uniform(), 2 / FAN_IN),
        (initializers.xavier_normal(), 2 / (FAN_IN + FAN_OUT)),
        (initializers.glorot_uniform(), 2 / (FAN_IN + FAN_OUT)),
        (initializers.lecun_normal(), 1 / FAN_IN),
        (initializers.lecun_uniform(), 1 / FAN_IN),
        (initializers.normal(stddev=0.3), 0.09),
        (initializers.variance_scaling(scale=1.7), 1.7 / FAN_IN),
        (jax.nn.initializers.he_normal(), 2 / FAN_IN),  # JAX's own are taken as they are
    ),
)
def test_variance(initializer, variance):
    assert np.isclose(draw(initializer).var(), variance, rtol=0.02)  # 120,000 draws: standard error below 0.5 %


@pytest.mark.parametrize(("mode", "fan"), (("fan_out", 9 * 150), ("fan_in", 9 * 100)))
def test_torch_resnet_draws_convolutions_as_the_papers_codes_do(mode, fan):
    kernel = draw(initializers.torch_resnet(mode), shape=(3, 3, 100, 150))
    assert np.isclose(kernel.var(), 2 / fan, rtol=0.02)
    assert np.isclose((kernel**4).mean() / kernel.var() ** 2, 3, rtol=0.05)  # Gaussian, with its tails


@pytest.mark.parametrize("mode", ("fan_out", "fan_in"))
def test_torch_resnet_draws_dense_layers_uniformly_by_fan_in(mode):
    kernel = draw(initializers.torch_resnet(mode))
    assert np.isclose(np.abs(kernel).max(), FAN_IN**-0.5, rtol=1e-3) and np.abs(kernel).max() <= FAN_IN**-0.5
    assert np.isclose(kernel.var(), 1 / (3 * FAN_IN), rtol=0.02)


@pytest.mark.parametrize(
    ("factory", "arguments", "word"),
    (
        (initializers.torch_resnet, {"mode": "fan_up"}, "fan_up"),
        (initializers.variance_scaling, {"mode": "out"}, "out"),
        (initializers.variance_scaling, {"distribution": "gauss"}, "gauss"),
    ),
)
def test_unknown_words_are_refused_before_weights_are_drawn(factory, arguments, word):
    with pytest.raises(ValueError, match=f"^[a-z]+='{word}': must be one of [a-z_, ']+$"):
        factory(**arguments)


def test_orthogonal_columns():
    matrix = draw(initializers.orthogonal())
    close(matrix.T @ matrix, jnp.eye(FAN_OUT), 1e-10)


def test_zeros_and_constant():
    assert (draw(initializers.zeros()) == 0).all() and (draw(initializers.constant(value=0.2)) == 0.2).all()


@pytest.mark.parametrize("shape", ((3, 3, 4, 6), (3, 3, 6, 4), (2, 2, 4, 4), (4, 6)))
def test_delta_orthogonal_is_an_orthogonal_matrix_in_the_middle(shape):
    kernel = np.array(draw(initializers.delta_orthogonal(), shape=shape))
    middle = tuple((size - 1) // 2 for size in shape[:-2])
    matrix = kernel[middle].copy()
    kernel[middle] = 0
    assert not kernel.any()
    gram = matrix @ matrix.T if shape[-2] < shape[-1] else matrix.T @ matrix
    close(gram, np.eye(4), 1e-10)


def test_looks_linear_weights_are_mirrored_but_for_the_stem():
    kernel = draw(initializers.LooksLinear(), Site("branch"), (12, 6))
    close(kernel[:6], -kernel[6:])
    close(kernel[:6].T @ kernel[:6], jnp.eye(6), 1e-10)
    stem = draw(initializers.LooksLinear(), Site("stem"), (6, 6))
    close(stem.T @ stem, jnp.eye(6), 1e-10)


def test_fixup_scales_a_branch_by_its_formula():
    """m = 3 layers, L = 16 blocks: He's weights × 16^(−1/4) = ½, the last layer and the classifier zero."""

    def deviation(role, layer=0):
        return draw(initializers.Fixup(), Site(role, layer, layers=3, place=nn.Place(1, 16))).std()

    he = (2 / FAN_IN) ** 0.5
    found = [
        deviation("stem"),
        deviation("branch", 0),
        deviation("branch", 1),
        deviation("branch", 2),
        deviation("head"),
    ]
    np.testing.assert_allclose(found, [he, he / 2, he / 2, 0, 0], rtol=0.02)


def test_every_layer_of_a_network_knows_its_site():
    network = models.dense(6, 8, norm=nn.NoNorm(), initializer=initializers.Fixup())
    params, _ = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, 2, 2, 1)))
    branch = params["stages"][0][0]["branch"]
    kernels = params["stem"]["Dense_0"], branch["Dense_0"], branch["Dense_1"], params["head"]["Dense_0"]
    assert [bool(layer["kernel"].any()) for layer in kernels] == [True, True, False, False]


@pytest.mark.parametrize(
    "initializer", (initializers.zeros(), initializers.constant(value=0.05)), ids=("zeros", "constant")
)
@pytest.mark.parametrize("connection", (nn.Plain(), nn.Residual()), ids=repr)
def test_without_randomness_all_units_of_a_layer_stay_equal(initializer, connection):
    network = models.dense(6, 8, norm=nn.NoNorm(), initializer=initializer, connection=connection)
    images = jax.random.normal(jax.random.key(1), (50, 4))
    labels = jnp.arange(50) % 10
    params, state = jax.jit(network.init)(jax.random.key(0), images)

    @jax.jit
    def step(params):
        def loss(params):
            logits = network.apply(params, state, images, train=True)[0]
            return -jax.nn.log_softmax(logits)[jnp.arange(50), labels].mean()

        value, slopes = jax.value_and_grad(loss)(params)
        return value, jax.tree.map(lambda weight, slope: weight - 0.01 * slope, params, slopes)

    for _ in range(10):
        loss, params = step(params)
    _, _, streams = network.apply(params, state, images, probe=lambda seen: seen.y)  # L B D
    assert np.isfinite(loss) and np.abs(streams - streams[..., :1]).max() <= 1e-6 * np.abs(streams).max()


def test_equal_initialisers_are_one_object():
    assert initializers.he_normal() is initializers.he_normal()
    assert initializers.variance_scaling(1.7) is initializers.variance_scaling(1.7)
    assert initializers.torch_resnet("fan_in") is initializers.torch_resnet("fan_in")
    assert initializers.Fixup() == initializers.Fixup() and hash(initializers.Fixup()) == hash(initializers.Fixup())


def test_orthogonal_matrices_of_many_layers_are_those_of_jax_alone():
    keys = jax.random.split(jax.random.key(0), 3)
    together = jax.vmap(lambda key: initializers.orthogonal(2.0)(key, (6, 4), jnp.float64))(keys)
    alone = [jax.nn.initializers.orthogonal(2.0)(key, (6, 4), jnp.float64) for key in keys]
    np.testing.assert_array_equal(together, alone)
