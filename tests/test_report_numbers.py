"""The numbers of a report: laws, indicators, shares and checks, against closed forms and small examples by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from resjax import data, models, nn, transformers
from resjax.data.from_arrays import arrays
from resjax.probes import blocks, forward
from resjax.random_streams import stream
from resjax.reporting import checks, indicators, laws, learned, start
from tests.helpers import close

BLOCKS = np.arange(1, 41.0)
ONE = jax.ShapeDtypeStruct((3, 3, 1), jnp.float32)


@pytest.mark.parametrize("power", (-1.5, 0.5, 2.0))
def test_a_power_of_the_depth_is_told_with_its_exponent(power):
    found = laws.law(3.0 * BLOCKS**power)
    assert found.kind == "power" and found.number == pytest.approx(power)


@pytest.mark.parametrize("factor", (0.5, 1.1, 3.0))
def test_an_exponential_is_told_with_its_factor(factor):
    found = laws.law(0.1 * factor**BLOCKS)
    assert found.kind == "exponential" and found.number == pytest.approx(factor)


def test_noise_around_a_level_is_constant():
    noise = np.random.default_rng(0).uniform(0.5, 1.0, 40)
    assert laws.law(noise).kind == "constant" and laws.law(np.ones(40)).misfit == pytest.approx(0)


def test_a_curve_ends_where_it_leaves_the_range_of_numbers():
    grows = 10.0**BLOCKS
    assert laws.law([*grows[:20], math.inf, math.nan, 5.0]).number == pytest.approx(10)
    assert laws.law([1.0, 0.0, 1.0, 1.0, 1.0]).kind == "none"


def test_the_start_has_the_condition_number_of_the_blocks_jacobian():
    network = models.dense(8, width=6, connection=nn.Residual(), norm=nn.NoNorm())
    key = jax.random.key(3)
    found = start.read(network, ONE, 0, key)
    x = start.inputs(key, ONE, 0)
    params, state = forward.started(network, stream(key, "weights"), x, True)
    before = blocks.before(network, params, state, x[:1])
    jacobian = jax.jacobian(lambda x: blocks.run(network, params, state, x[None])[0][0])(before[0])
    assert found["condition"] == pytest.approx(np.linalg.cond(jacobian), rel=1e-6)


def test_running_statistics_settle_where_many_passes_take_them():
    network = models.dense(6, width=4, norm=nn.BatchNorm())
    key = jax.random.key(0)
    x = jax.random.normal(jax.random.key(1), (8, 3, 3, 1), jnp.float64)
    params, state = forward.started(network, key, x, True)
    once = jax.jit(lambda state: network.apply(params, state, x, train=True)[1])
    passed = state
    for _ in range(300):
        passed = once(passed)
    close(start._settled(network, params, state, x, None), passed, 1e-9)


def test_blocks_that_shrink_contract_and_those_of_hes_weights_do_not():
    shares = [
        start.read(
            models.dense(10, width=8, connection=nn.Scaled(beta=beta), norm=nn.NoNorm()), ONE, 0, jax.random.key(0)
        )
        for beta in (0.01, 4.0)
    ]
    assert [found["contracting"] for found in shares] == [1.0, 0.0]


def test_inputs_of_one_number_are_read_too():
    found = start.read(models.dense(6, width=8), jax.ShapeDtypeStruct((1,), jnp.float32), 0, jax.random.key(0))
    assert np.isfinite(found["activation_mean_square"]).all()
    with pytest.raises(ValueError, match="inputs of one number"):
        forward.pairs(jax.random.key(0), 2, (1, 1, 1), 0.5)


@pytest.mark.parametrize("connection", (nn.ValueResidual(), nn.DenseFormer()))
def test_blocks_without_an_inverse_have_no_condition_number(connection):
    network = transformers.transformer(6, 8, 2, vocabulary=11, connection=connection, dtype=jnp.bfloat16)
    found = start.read(network, jax.ShapeDtypeStruct((5,), jnp.int32), 11, jax.random.key(0))
    seen = indicators.indicators(found)
    assert math.isnan(seen["condition"]) and math.isfinite(seen["activations"]) and math.isfinite(seen["tokens"])


@pytest.mark.parametrize(
    ("end", "before", "found"),
    (
        (100.0, 1.0, 2.0),
        (1.0, 1000.0, -3.0),
        (0.0, 1.0, -math.inf),
        (math.inf, 1.0, math.inf),
        (math.nan, 1.0, math.inf),
    ),
)
def test_decades(end, before, found):
    assert indicators.decades(end, before) == found


def test_the_best_constant_answer_to_classes_has_their_entropy():
    labels = np.random.default_rng(0).choice(4, 400, p=(0.7, 0.1, 0.1, 0.1))
    split = arrays(np.zeros((400, 2, 2, 1), np.float32), labels).train
    counts = np.bincount(np.concatenate([np.asarray(y) for _, y in split.all(len(split))]))
    assert learned.constant_loss(split) == pytest.approx(stats.entropy(counts))


def test_the_best_constant_answer_to_the_bytes_of_a_text_has_their_entropy(tmp_path):
    text = "to be or not to be, that is the question " * 200
    (tmp_path / "text.txt").write_text(text)
    train = data.text(tmp_path / "text.txt", window=16).train
    targets = np.concatenate([np.asarray(y).ravel() for _, y in train.all(len(train))])
    found = learned.constant_loss(train)
    assert found == pytest.approx(stats.entropy(np.bincount(targets)), rel=0.05)


def test_classes_that_stand_in_order_are_all_seen():
    labels = np.repeat([0, 1], 5000)
    images = np.zeros((10000, 1), np.uint8)
    assert learned.constant_loss(arrays(images, labels, (images, labels)).train) == pytest.approx(math.log(2))


def test_of_the_entropy_a_share_is_learned():
    assert learned.share(0.5, 2.0) == 0.75 and learned.share(0.0, 0.0) == 0
    assert [learned.share(loss, 2.0) for loss in (3.0, math.nan, math.inf)] == [0, 0, 0]


def trained(shares):
    """Rows of networks: {(depth, rate): share}, whose loss falls with the share."""
    return [
        {"depth": depth, "learning_rate": rate, "seed": 0, "steps": 10, "train_loss": 1 - share, "share": share}
        for (depth, rate), share in shares.items()
    ]


def test_a_network_trains_that_learns_half_of_what_its_shallow_one_does():
    rows = trained({(10, 0.1): 0.8, (10, 1.0): 0.2, (100, 0.1): 0.41, (100, 1.0): 0.0})
    found = {check.check: check for check in checks.of_training(rows, 100)}
    assert found["learned"].status == checks.WATCH and found["learned"].value == 0.41
    assert found["best rate"].value == 0.1 and found["largest stable rate"].value == 0.1
    rows = trained({(10, 0.1): 0.8, (100, 0.1): 0.39})
    found = {check.check: check for check in checks.of_training(rows, 100)}
    assert found["learned"].status == checks.BAD == found["largest stable rate"].status


DEPTHS = 4, 10, 100, 1000


def test_the_frontier_ends_before_the_first_depth_that_fails():
    curves = [
        {"depth": depth, "step": step, "share": share}
        for depth, shares in {4: (0.5, 0.8), 10: (0.1, 0.6), 100: (0.0, 0.3), 1000: (0.0, 0.7)}.items()
        for step, share in zip((5, 10), shares, strict=True)
    ]
    assert [checks.frontier(curves, DEPTHS, steps, 0.8) for steps in (5, 10)] == [4, 10]
    assert checks.frontier(curves, DEPTHS, 10, 2.0) == 0


def test_the_frontier_ends_before_a_depth_that_has_no_curve():
    curves = [{"depth": depth, "step": 5, "share": 0.9} for depth in (4, 100)]
    assert checks.frontier(curves, DEPTHS, 5, 0.8) == 4


def test_of_several_seeds_the_mean_reaches_the_frontier():
    curves = [{"depth": 4, "step": 5, "share": share} for share in (0.9, 0.0, 0.0)]
    assert checks.frontier(curves, (4,), 5, 0.8) == 0 and checks.frontier(curves[:1], (4,), 5, 0.8) == 4
