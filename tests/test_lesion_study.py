"""Every lesion of a network, as rows: each is the network evaluated with these blocks, in this order."""

import re

import jax
import jax.numpy as jnp
import pytest

from resjax import data, models, nn
from resjax.layers import Layers
from resjax.probes import lesion_study
from resjax.probes.lesion_study import Lesions
from resjax.training.evaluation import evaluate, evaluate_batch

KEY = jax.random.key(3)


def study(network, lesions, key=KEY):
    """The rows of a network that is not trained, and it: rows, params, state, held-out split."""
    split = data.digits().test
    params, state = jax.jit(network.init)(jax.random.key(0), jnp.zeros((1, *split.shape)))
    return lesion_study.measure(network, params, state, split, key, lesions), params, state, split


def test_a_row_is_the_network_with_its_lesion_and_all_run_in_one_program():
    network = models.dense(8, width=8)
    compiled = evaluate_batch._cache_size()
    rows, params, state, split = study(
        network, Lesions(deletions=(1, 2), swapped=(1, 3), draws=3, permutation=(0, 2, 1))
    )
    kinds = ["none", *["delete"] * 3, "permutation", *["delete_random"] * 6, *["swap"] * 6]
    assert [row["kind"] for row in rows] == kinds and evaluate_batch._cache_size() == compiled + 1
    lesions = {0: Layers(), 2: Layers(keep=jnp.array([True, False, True])), 4: Layers(order=jnp.array([0, 2, 1]))}
    for at, layers in lesions.items():
        loss, accuracy = evaluate(network, params, state, split, layers)
        assert rows[at]["loss"] == pytest.approx(loss, rel=1e-6) and rows[at]["accuracy"] == accuracy
    moved = ("swap", "permutation")
    assert all((row["kendall_tau"] < 1) == (row["kind"] in moved) for row in rows if row["count"] == 1)


def test_random_lesions_depend_on_the_key_alone():
    lesions = Lesions(deletions=(2,), swapped=(1,), draws=4)
    one, again, other = (study(models.dense(12, width=4), lesions, key)[0] for key in (KEY, KEY, jax.random.key(4)))
    assert one == again and [row["loss"] for row in one] != [row["loss"] for row in other]


@pytest.mark.parametrize(
    ("connection", "kinds"),
    ((nn.Residual(), ["none", "delete", "branch", "branch"]), (nn.Plain(), ["none", "delete"])),
)
def test_branches_are_left_out_where_a_skip_leads_past_them(connection, kinds):
    rows, *_ = study(models.resnet(14, width=2, connection=connection), Lesions(blocks=(1,)))
    assert [row["kind"] for row in rows] == kinds


def test_without_more_words_each_block_is_deleted():
    rows, *_ = study(models.dense(10, width=4), Lesions())
    assert [(row["kind"], row["block"]) for row in rows] == [("none", None), *(("delete", at) for at in range(4))]


@pytest.mark.parametrize(
    ("lesions", "says"),
    (
        (Lesions(blocks=(0, 3)), "blocks=3: block 3 changes the shape"),
        (Lesions(deletions=(1, 8)), "deletions=8: the network has 7 blocks that can be deleted"),
        (Lesions(permutation=(0, 1)), "permutation=(0, 1): is no permutation of the blocks 0 to 8"),
    ),
)
def test_what_cannot_be_is_refused(lesions, says):
    with pytest.raises(ValueError, match=f"^{re.escape(says)}"):
        lesion_study.check(models.resnet(20, width=2), lesions)


def test_two_blocks_that_could_be_swapped_must_be_there():
    with pytest.raises(ValueError, match=r"^swapped=\(1,\): the network has no two blocks in one stage"):
        lesion_study.check(models.resnet(8, width=2), Lesions(swapped=(1,)))
