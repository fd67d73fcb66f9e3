import random
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resjax.system import checksums
from resjax.system.errors import Failure
from resjax.training.checkpoint import Checkpoints


def tree(value=1.0):
    return {"params": value * jnp.arange(12.0).reshape(3, 4), "key": jax.random.key(7), "step": jnp.int32(5)}


def saved(tmp_path, steps=(10, 20)):
    checkpoints = Checkpoints(tmp_path, "cafe")
    for step in steps:
        checkpoints.save(step, tree(step))
    return checkpoints


def same(left, right):
    for one, other in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        if jnp.issubdtype(one.dtype, jax.dtypes.prng_key):
            one, other = jax.random.key_data(one), jax.random.key_data(other)
        assert one.dtype == other.dtype and np.array_equal(one, other)
    return True


def test_what_was_saved_comes_back(tmp_path):
    step, restored, _ = saved(tmp_path).restore(jax.eval_shape(tree))
    assert step == 20 and same(restored, tree(20))


def test_nothing_saved_is_nothing_restored(tmp_path):
    assert Checkpoints(tmp_path, "cafe").restore(tree()) is None


def test_the_newest_two_are_kept(tmp_path):
    saved(tmp_path, (1, 2, 3, 4))
    assert sorted(path.name for path in (tmp_path / "checkpoints").iterdir()) == ["3", "4"]


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size)


def test_every_flipped_bit_and_truncation_is_found_and_the_older_step_used(tmp_path, capsys):
    saved(tmp_path / "sound")
    draw = random.Random(0)
    for original in files(tmp_path / "sound/checkpoints/20"):
        for damage in ("flip", "truncate"):
            shutil.rmtree(tmp_path / "run", ignore_errors=True)
            shutil.copytree(tmp_path / "sound", tmp_path / "run")
            path = tmp_path / "run" / original.relative_to(tmp_path / "sound")
            content = bytearray(path.read_bytes())
            content[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
            path.write_bytes(content if damage == "flip" else content[: len(content) // 2])
            step, restored, _ = Checkpoints(tmp_path / "run", "cafe").restore(tree())
            assert step == 10 and same(restored, tree(10)), path
            assert "20 is damaged" in capsys.readouterr().err


def test_a_missing_file_is_found(tmp_path):
    checkpoints = saved(tmp_path)
    files(tmp_path / "checkpoints/20")[-1].unlink()
    assert checkpoints.restore(tree())[0] == 10


def test_a_damaged_step_is_removed_only_after_a_sound_one_was_restored(tmp_path):
    checkpoints = saved(tmp_path)
    for step in (10, 20):
        files(tmp_path / f"checkpoints/{step}")[0].unlink()
    with pytest.raises(Failure, match=r"every checkpoint .* is damaged"):
        checkpoints.restore(tree())
    assert (tmp_path / "checkpoints/10").exists() and (tmp_path / "checkpoints/20").exists()


def test_a_step_without_checksums_does_not_count_and_can_be_saved_again(tmp_path):
    checkpoints = saved(tmp_path)
    checksums.forget(tmp_path, "checkpoints/20")  # as a save that was killed leaves it
    assert checkpoints.restore(tree())[0] == 10
    checkpoints.save(20, tree(21))
    assert same(checkpoints.restore(tree())[1], tree(21))


def test_another_configuration_is_refused(tmp_path):
    saved(tmp_path)
    with pytest.raises(Failure, match="another run: configuration is cafe, expected beef"):
        Checkpoints(tmp_path, "beef").restore(tree())


@pytest.mark.parametrize(
    "other",
    (
        tree() | {"params": jnp.zeros((4, 4))},
        tree() | {"params": jnp.zeros((3, 4), jnp.float32)},
        tree() | {"more": jnp.zeros(1)},
        {"params": tree()["params"], "key": tree()["key"]},
    ),
    ids=("shape", "dtype", "leaf more", "leaf less"),
)
def test_another_architecture_is_refused(tmp_path, other):
    checkpoints = saved(tmp_path)
    with pytest.raises(Failure, match=r"another run: .* expected"):
        checkpoints.restore(other)


def test_every_file_of_the_steps_that_are_left_has_a_checksum_and_no_other(tmp_path):
    saved(tmp_path, (10, 20, 30))
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found - {checksums.NAME} == set(checksums.sums(tmp_path))


@pytest.mark.parametrize("damage", ("flip", "truncate"))
def test_damaged_checksums_never_let_a_damaged_step_pass(tmp_path, damage):
    saved(tmp_path / "sound")
    sound = (tmp_path / "sound" / checksums.NAME).read_bytes()
    draw = random.Random(0)
    for number in range(20):
        run = shutil.copytree(tmp_path / "sound", tmp_path / str(number))
        place = draw.randrange(len(sound))
        content = bytearray(sound[:place] if damage == "truncate" else sound)
        if damage == "flip":
            content[place] ^= 1 << draw.randrange(8)
        (run / checksums.NAME).write_bytes(content)
        try:
            step, found, _ = Checkpoints(run, "cafe").restore(tree()) or (0, None, None)
        except Failure as error:
            assert "damaged" in str(error)
        else:
            assert step == 0 or same(found, tree(step))


def test_the_steps_to_keep_stay_beside_the_newest_two(tmp_path):
    checkpoints = Checkpoints(tmp_path, "cafe", keep=(1,))
    for step in (1, 2, 3, 4):
        checkpoints.save(step, tree(step))
    assert checkpoints.steps() == [1, 3, 4] and same(checkpoints.read(1, tree()), tree(1))
