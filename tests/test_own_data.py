"""Data of one's own: arrays in a file, what a function gives; and the addresses of networks."""

import sys

import numpy as np
import pytest

from resjax import data
from resjax.lab import datasets, plan
from resjax.lab.trial import Trial, address
from resjax.system.errors import UserError
from tests.small_sets import address_of
from tests.torture.commands import here

RNG = np.random.default_rng(0)
X = RNG.integers(0, 256, (24, 6, 5), np.uint8)
Y = np.arange(24) % 3
WANTED = data.Wanted(image_size=8)


def save(folder, **arrays):
    np.savez(folder / "own.npz", **arrays)
    return folder / "own.npz"


def test_floating_labels_of_a_file_are_the_targets_of_a_regression(tmp_path):
    targets = RNG.normal(size=(24, 2))
    found = data.npz(save(tmp_path, x_train=X[:18], y_train=targets[:18], x_test=X[18:], y_test=targets[18:]))
    wanted = (targets[18:] - targets[:18].mean(0)) / targets[:18].std(0)
    assert found.classes == 2
    np.testing.assert_allclose(found.test.labels, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "arrays",
    (
        {"x_train": X[:18], "y_train": Y[:18], "x_test": X[18:], "y_test": Y[18:]},  # Keras
        {
            "train_images": X[:18], "train_labels": Y[:18, None], "val_images": X[:2], "val_labels": Y[:2, None],
            "test_images": X[18:], "test_labels": Y[18:, None],
        },  # MedMNIST
        {"x_train": X[:18], "y_train": Y[:18], "x_test": X[:3], "y_test": Y[:3] * 0 - 1, "val_images": X[18:],
         "val_labels": Y[18:]},  # the test split has no labels
    ),
)  # fmt: skip
def test_splits_in_a_file_of_arrays_are_those_arrays(tmp_path, arrays):
    found = data.npz(save(tmp_path, **arrays))
    for split, images, labels in ((found.train, X[:18], Y[:18]), (found.test, X[18:], Y[18:])):
        assert np.array_equal(split.images, images[..., None]) and np.array_equal(split.labels, labels)
    assert found.classes == 3 and found.name == f"npz:{tmp_path}/own.npz"


def test_of_arrays_without_splits_a_sixth_is_held_out_and_it_is_said(tmp_path, capsys):
    found = data.npz(save(tmp_path, images=X, labels=Y))
    assert (len(found.train), len(found.test)) == (20, 4)
    assert "own.npz has no test split: 4 of the 24 examples of train are held out\n" in capsys.readouterr().err


def test_a_row_of_numbers_is_an_image_of_one_pixel(tmp_path):
    rows = RNG.normal(size=(24, 7))
    found = data.npz(save(tmp_path, x=rows, y=Y), "train[:20]", "train[20:]")
    assert found.train.shape == (1, 1, 7) and found.train.mean.shape == (7,)
    np.testing.assert_allclose(found.test.images[:, 0, 0], rows[20:], rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "says"),
    (
        (
            {"pictures": X, "labels": Y},
            r"own\.npz: holds labels, pictures: it must hold images and labels; x and y; x_t",
        ),
        (
            {"x": X, "y": Y, "x_train": X[:9], "y_train": Y[:9]},
            r"own\.npz: holds x_train and x, which are both train: leave one out",
        ),
        (
            {"images": X, "labels": Y, "x": X, "y": Y},
            r"own\.npz: holds images and x, which are both train",
        ),
        ({"x": np.float32(3), "y": Y}, r"own\.npz: train images must be N H W C or N …: their shape is \(\)"),
        ({"images": X, "labels": Y[:9]}, r"own\.npz: there are 24 train images and 9 train labels"),
        ({"images": X, "labels": Y - 1}, r"own\.npz: labels must be from 0 to 1: that of example \d+ is -1"),
        ({"images": X, "labels": Y + 1}, r"own\.npz: no label is 0, but labels must be from 0 to K - 1"),
        ({"images": X, "labels": Y.astype(str)}, r"own\.npz: train labels must be integers, not <U21"),
        ({"images": X, "labels": Y.astype(object)}, r"own\.npz: cannot be read: Object arrays cannot be loaded"),
        ({"images": X.astype(int), "labels": Y}, r"own\.npz: images must be uint8 or floating point, not int64"),
        ({"images": np.zeros((0, 4, 4)), "labels": Y[:0]}, r"own\.npz: train has no examples"),
        ({"images": X / 0.0, "labels": Y}, r"own\.npz: images have values that are not finite: example 0"),
        ({"images": X, "labels": Y * 0 - 1}, r"own\.npz: no label is 0"),
    ),
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_a_file_of_arrays_that_cannot_be(tmp_path, content, says):
    with pytest.raises(ValueError, match=says):
        data.npz(save(tmp_path, **content))


@pytest.mark.parametrize(
    "damage", (lambda content: b"", lambda content: content[:200], lambda content: b"PK" + content)
)
def test_a_damaged_file_of_arrays(tmp_path, damage):
    path = save(tmp_path, images=X, labels=Y)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"own\.npz: (cannot be read: |holds)"):
        data.npz(path)


def test_one_array_alone(tmp_path):
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(ValueError, match="holds one array without a name: it must hold images and labels"):
        data.npz(tmp_path / "x.npy")


def write(folder, monkeypatch, code):
    (folder / "my_data.py").write_text(f"import numpy as np\nfrom resjax import data\n{code}")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "my_data", raising=False)


@pytest.mark.parametrize(
    ("code", "shape", "examples"),
    (
        ("load = lambda: (np.ones((12, 4, 4), np.uint8), np.arange(12) % 2)", (4, 4, 1), (10, 2)),
        ("load = lambda: 2 * [(np.ones((12, 4, 4, 3)), np.arange(12) % 2)]", (4, 4, 3), (12, 12)),
        ("load = lambda: ((np.eye(2), np.arange(2)), (np.eye(2)[:1], [1]))", (1, 1, 2), (2, 1)),
        ("load = data.digits", (8, 8, 1), (1500, 297)),
    ),
)
def test_a_function_of_ones_own_gives_arrays_or_a_data_set(tmp_path, monkeypatch, code, shape, examples):
    write(tmp_path, monkeypatch, code)
    found = datasets.load("my_data:load", "", WANTED)
    assert found.train.shape == shape and (len(found.train), len(found.test)) == examples


@pytest.mark.parametrize(
    ("code", "says"),
    (
        ("load = lambda: 5", "my_data:load: must give .images, labels., .* or a Dataset, not int"),
        ("load = lambda: (np.ones((12, 4)), np.ones(12) > 0)", "my_data:load: train labels must be integers, not bool"),
        ("load = lambda: data.Dataset(data.digits().train, data.mnist1d().test, 10)", "its test has examples of shape"),
        ("load = lambda: data.Dataset(data.digits().train, data.digits().test, 9)", "labels must be from 0 to 8: that"),
        (
            "load = lambda: data.Dataset(5, data.digits().test, 10)",
            "its train must be a split with examples|Type-check error",
        ),
        ("other = 5", "my_data has no 'load'"),
    ),
)
def test_a_function_that_gives_something_else_is_refused(tmp_path, monkeypatch, code, says):
    write(tmp_path, monkeypatch, code)
    with pytest.raises(UserError, match=says):
        datasets.load("my_data:load", "", WANTED)


def test_a_tilde_is_the_home_directory(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    save(tmp_path, images=X, labels=Y)
    assert len(datasets.load("npz:~/own.npz", "", WANTED).train) == 20
    assert address(Trial(dataset="npz:~/own.npz")) == address(Trial(dataset=f"npz:{tmp_path}/own.npz"))


def test_the_content_of_a_file_is_part_of_the_address_and_its_place_is_not(tmp_path):
    path = save(tmp_path, images=X, labels=Y)
    first = address_of("npz", path)
    assert address_of("npz", path.rename(tmp_path / "moved.npz")) == first != address(Trial())
    assert address_of("npz", save(tmp_path, images=X, labels=2 - Y)) != first


def test_the_code_that_gives_the_data_is_part_of_the_address(tmp_path, monkeypatch):
    found = []
    for code in ("load = lambda: 5", "load = lambda: 6"):
        write(tmp_path, monkeypatch, code)
        found.append(address(Trial(dataset="my_data:load")))
    assert found[0] != found[1]


def test_splits_and_versions_are_no_code():
    chosen = [Trial(dataset="mnist"), Trial(dataset="mnist:3.0.1"), Trial(dataset="mnist", train_split="train[:80%]")]
    assert len({address(trial) for trial in chosen}) == 3


@pytest.mark.parametrize("name", ("npz:", "folder:", "npz:/nowhere.npz", "folder:/nowhere"))
def test_what_is_not_there_is_refused(name):
    for refused in (lambda: plan.load(Trial(dataset=name)), lambda: address(Trial(dataset=name))):
        with pytest.raises(UserError, match=name.partition(":")[2] or f"--dataset={name}: must be {name}PATH"):
            refused()


def test_a_network_takes_rows_of_numbers(tmp_path):
    path = save(tmp_path, x=RNG.normal(size=(24, 7)), y=Y)
    planned = plan.plan(Trial(dataset=f"npz:{path}", batch_size=4))
    assert planned.dataset.train.shape == (1, 1, 7)


@pytest.mark.parametrize("kind", ("good", "bad"))
def test_the_command_takes_a_file_and_refuses_a_wrong_one_in_a_line(tmp_path, kind):
    path = save(tmp_path, images=X, labels=Y if kind == "good" else Y - 1)
    small = ("--depths=4", "--connections=residual", "--norms=none", "--width=4", "--steps=20", "--batch_size=4")
    options = (*small, "--train_split=train[:16]", "--test_split=train[16:]", "--learning_rate=0.05")
    code, _, err = here("depth_scaling", f"--dataset=npz:{path}", *options, f"--workdir={tmp_path}/run")
    if kind == "good":
        assert (code, err) == (0, "") and (tmp_path / "run/results.csv").exists()
    else:
        assert (code, err.count("\n")) == (2, 1) and "own.npz: labels must be from 0 to 1" in err, err
        assert not (tmp_path / "run").exists()
