"""Loss landscapes: each part of them against a loop, a dense matrix or a closed form, in float64."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from commands import run
from helpers import close, double, jitter
from jax.flatten_util import ravel_pytree
from scipy.special import logsumexp

from experiments import landscape as experiment
from resjax import architectures, config, flags, steps, train
from resjax.checkpoint import Checkpoints
from resjax.config import Point, Untrained
from resjax.errors import Failure, UserError
from resjax.networks import Network
from resjax.probes import hessian, landscape

CLASSES = 3
IMAGES = {"network": "resnet", "depth": 8, "width": 2, "size": 4}
PRODUCTS = 30  # of the Hessian with a vector
apply = jax.jit(lambda *args: Network.apply(*args)[0], static_argnums=0)
init = jax.jit(Network.init, static_argnums=0)


def made(size=1, **choices):
    """A network with random parameters and state, images and labels, all in float64."""
    network = architectures.build(Untrained(**{"depth": 6, "width": 3, "norm": "batch"} | choices), CLASSES)
    images = jax.random.normal(jax.random.key(0), (8, size, size, 3), jnp.float64)
    params, state = map(double, init(network, jax.random.key(1), images))
    return network, jitter(params, 2), jitter(state, 3), images, jnp.arange(len(images)) % CLASSES


def leaves(tree):
    """The path of every leaf, as its keys, and the leaf."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    return [
        ([getattr(key, "key", getattr(key, "idx", None)) for key in path], np.asarray(leaf)) for path, leaf in found
    ]


def kernels(tree):
    """All kernels in one vector."""
    return np.concatenate([leaf.ravel() for path, leaf in leaves(tree) if path[-1] == "kernel"])


def cross_entropy(logits, labels):
    """The loss of each example."""
    return logsumexp(logits, axis=-1) - np.asarray(logits)[np.arange(len(labels)), labels]


def test_filters_of_a_direction_are_as_long_as_those_of_the_weights():
    draw = np.random.default_rng(0)
    params = {  # a dense and a convolutional stack, of 3 and 2 blocks
        "stem": {"Conv_0": {"kernel": draw.normal(size=(3, 3, 2, 4)), "bias": draw.normal(size=4)}},
        "stages": [
            {"Dense_0": {"kernel": draw.normal(size=(3, 4, 5)), "bias": draw.normal(size=(3, 5))}},
            {"Conv_0": {"kernel": draw.normal(size=(2, 3, 3, 4, 5))}, "norm": {"scale": draw.normal(size=(2, 4))}},
        ],
        "head": {"Dense_0": {"kernel": draw.normal(size=(5, 3)), "bias": draw.normal(size=3)}, "alpha": draw.normal()},
    }
    direction, other = (landscape.filter_normalized(jax.random.key(seed), params) for seed in (0, 1))
    for (path, drawn), (_, wanted) in zip(leaves(direction), leaves(params), strict=True):
        if path[-1] != "kernel":
            assert (drawn == 0).all()
            continue
        for block in range(len(wanted)) if path[0] == "stages" else [...]:
            for unit in range(wanted.shape[-1]):
                length = np.linalg.norm(wanted[block][..., unit].ravel())
                assert np.linalg.norm(drawn[block][..., unit].ravel()) == pytest.approx(length, rel=1e-12)
    assert abs(np.corrcoef(kernels(direction), kernels(other))[0, 1]) < 0.3


@pytest.mark.parametrize("choices", ({}, pytest.param(IMAGES, marks=pytest.mark.slow)))
def test_losses_on_a_plane_are_those_of_the_networks_there(choices):
    network, params, state, images, labels = made(**choices)
    first, second = (landscape.filter_normalized(jax.random.key(seed), params) for seed in (0, 1))
    points = np.random.default_rng(0).uniform(-1, 1, (4, 2))
    found = landscape.losses(network, params, state, images, labels, (first, second), points)
    for (x, y), loss, accuracy in zip(points, *found, strict=True):
        there = jax.tree.map(lambda leaf, one, other, x=x, y=y: leaf + x * one + y * other, params, first, second)
        logits = apply(network, there, state, images)
        assert loss == pytest.approx(cross_entropy(logits, labels).mean(), rel=1e-10)
        assert accuracy == np.mean(np.argmax(logits, -1) == np.asarray(labels))


@pytest.mark.parametrize(("limit", "value", "batch"), (("TOGETHER", 3, 3), ("BATCH_BYTES", 1, 1)))
def test_a_plane_that_is_cut_into_batches_is_the_same(monkeypatch, limit, value, batch):
    made_up = made()
    directions = [landscape.filter_normalized(jax.random.key(seed), made_up[1]) for seed in (0, 1)]
    points = np.random.default_rng(0).uniform(-1, 1, (7, 2))
    whole = landscape.losses(*made_up, directions, points)
    monkeypatch.setattr(landscape, limit, value)
    assert landscape.together(*made_up[:4]) == batch
    close(landscape.losses(*made_up, directions, points), whole)


def test_principal_directions_are_those_of_the_explicit_matrix():
    _, params, *_ = made()
    trajectory = [jitter(params, seed) for seed in range(4, 9)]
    directions, coordinates, explained = landscape.principal_directions(trajectory, params)
    matrix = np.stack([kernels(before) - kernels(params) for before in trajectory])
    _, sizes, right = np.linalg.svd(matrix, full_matrices=False)
    found = np.stack([kernels(direction) for direction in directions])
    np.testing.assert_allclose(found @ found.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(np.abs(found @ right.T), np.eye(2, 5), atol=1e-10)
    np.testing.assert_allclose(coordinates, matrix @ found.T, rtol=1e-10)
    np.testing.assert_allclose(explained, sizes**2 / (sizes**2).sum(), rtol=1e-10)
    assert (coordinates[0] >= 0).all()
    assert all((leaf == 0).all() for tree in directions for path, leaf in leaves(tree) if path[-1] != "kernel")


def test_a_trajectory_in_a_plane_is_found_there():
    _, params, *_ = made()
    plane = [landscape.filter_normalized(jax.random.key(seed), params) for seed in (0, 1)]
    points = np.array([(3.0, 1.0), (2.0, -1.0), (1.0, 0.5)])
    trajectory = [landscape.displaced(params, plane, point) for point in points]
    directions, coordinates, explained = landscape.principal_directions(trajectory, params)
    assert explained[:2].sum() == pytest.approx(1)
    for before, point in zip(trajectory, coordinates, strict=True):
        np.testing.assert_allclose(kernels(landscape.displaced(params, directions, point)), kernels(before), rtol=1e-9)


def dense_hessian(network, params, state, images, labels):
    """The eigenvalues, smallest first, of the matrix of central differences of the gradient."""
    flat, unravel = ravel_pytree(params)

    def loss(flat):
        logits = network.apply(unravel(flat), state, images)[0]
        return -jnp.take_along_axis(jax.nn.log_softmax(logits), labels[:, None], 1).mean()

    gradient, steps = jax.jit(jax.grad(loss)), 1e-5 * np.eye(flat.size)
    matrix = np.stack([(gradient(flat + step) - gradient(flat - step)) / 2e-5 for step in steps])
    return np.linalg.eigvalsh((matrix + matrix.T) / 2)


@pytest.mark.parametrize("choices", ({}, pytest.param(IMAGES, marks=pytest.mark.slow)))
def test_lanczos_finds_the_ends_of_the_spectrum_of_the_hessian(choices):
    made_up = made(**choices)
    exact = dense_hessian(*made_up)
    values, errors = hessian.eigenvalues(*made_up, jax.random.key(0), PRODUCTS)
    np.testing.assert_allclose(values[[0, 1, -1]], exact[[-1, -2, 0]], rtol=1e-5)
    nearest, rounding = np.abs(values[:, None] - exact).min(1), 1e-6 * exact[-1]
    assert (np.diff(values) < 0).all() and (nearest <= errors + rounding).all() and errors[0] < rounding


def test_lanczos_ends_where_the_hessian_has_no_further_direction():
    network, params, *rest = made()

    def no_kernels(path, leaf):
        return leaf * (path[-1].key != "kernel") * (path[-1].key != "bias")

    # only the head's biases curve: with K equal logits the Hessian is diag(p) − ppᵀ, p = 1/K
    values, _ = hessian.eigenvalues(
        network, jax.tree_util.tree_map_with_path(no_kernels, params), *rest, jax.random.key(0), PRODUCTS
    )
    np.testing.assert_allclose(values, [1 / CLASSES, 0], atol=1e-12)


def test_a_loss_that_is_not_finite_has_no_curvature():
    network, params, *rest = made()
    values, _ = hessian.eigenvalues(
        network, jax.tree.map(lambda leaf: 1e200 * leaf, params), *rest, jax.random.key(0), PRODUCTS
    )
    assert np.isnan(values).all()


def test_convexity_of_functions_where_it_is_known():
    x = np.arange(-25, 26)
    assert landscape.convexity(x**2) == landscape.convexity(np.abs(x)) == landscape.convexity(3 + 0.0 * x) == 1
    assert landscape.convexity(-(x**2)) == 0
    assert landscape.convexity(x**3) == pytest.approx(26 / 50)  # chords with their middle at x ≥ 0: (m + 1) / 2m
    assert landscape.convexity(np.stack([x**2, -(x**2)])) == 0.5
    assert landscape.convexity(-(x**2), highest=-1) == 0 and np.isnan(landscape.convexity(x**2, highest=-1))
    hill = np.where(np.abs(x) < 5, 20 - x**2, 1000)
    assert landscape.convexity(hill, highest=20) == 0 < landscape.convexity(hill)


def test_the_share_of_a_paraboloid_within_a_level():
    x, y = np.meshgrid(*[np.linspace(-1, 1, 401)] * 2)
    loss = 3 + x**2 + y**2
    assert landscape.share_within(loss, 3, 0.5) == pytest.approx(np.pi * 0.5 / 4, abs=2e-3)
    loss[:200] = np.nan
    loss[-200:] = np.inf
    assert landscape.share_within(loss, 3, 0.5) < 0.01


def test_steps_that_are_kept_stay_beside_the_newest_two(tmp_path):
    checkpoints = Checkpoints(tmp_path, "cafe", keep=range(2, 6, 2))
    for step in range(1, 9):
        checkpoints.save(step, {"params": jnp.full(3, step)})
    assert checkpoints.steps() == [2, 4, 7, 8]
    assert checkpoints.read(4, {"params": jnp.zeros(3, int)})["params"].tolist() == [4, 4, 4]


def test_a_step_is_read_as_strictly_as_the_newest(tmp_path):
    carry = {"params": jnp.zeros(3)}
    Checkpoints(tmp_path, "cafe").save(1, carry)
    with pytest.raises(Failure, match="checkpoints/2 is damaged"):
        Checkpoints(tmp_path, "cafe").read(2, carry)
    with pytest.raises(Failure, match="configuration is cafe, expected beef"):
        Checkpoints(tmp_path, "beef").read(1, carry)
    file = next(path for path in tmp_path.glob("checkpoints/1/carry/**/*") if path.is_file() and path.stat().st_size)
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(Failure, match="differs from its checksum"):
        Checkpoints(tmp_path, "cafe").read(1, carry)


def test_what_is_kept_is_the_way_of_the_training(tmp_path):
    point = Point(depth=4, width=4, steps=5)
    result, _ = train.fit(point, tmp_path / "kept", keep=range(2, 5, 2))
    saved = Checkpoints(tmp_path / "kept", config.digest(point))
    assert saved.steps() == [2, 4, 5]
    network, optimizer, dataset = train.plan(point)
    images, _ = dataset.train.take(jnp.arange(1))
    carry = steps.initialize(network, optimizer, steps.key_of(0), images)
    for step in range(2):
        carry, *_ = steps.train_step(network, optimizer, carry, dataset.train.batches(64, ("none",), 0).at(step))
    close(saved.read(2, carry).params, carry.params, tolerance=0)
    assert train.fit(point, tmp_path / "plain")[0] == result


def test_every_row_of_a_plane_is_in_one_piece():
    wanted = experiment.pieces(experiment.Config(resolution=21), Point(depth=4))
    for plane in experiment.PLANES:
        own = [piece for piece in wanted if (piece.table, piece.plane) == ("surface", plane)]
        assert [row for piece in own for row in range(21)[piece.row :][: piece.rows]] == list(range(21))
    assert len({config.digest(piece) for piece in wanted}) == len(wanted)


@pytest.mark.parametrize(
    ("arguments", "says"),
    (
        (["--radius=0"], "--radius=0.0: must be at least 0.001"),
        (["--resolution=2"], "--resolution=2: must be at least 3"),
        (["--planes=random,hessian"], "--planes=hessian: must be one of random, pca"),
        (["--level=-1"], "--level=-1.0: must be at least 0"),
        (["--lines=0"], "--lines=0: must be at least 1"),
        (["--lanczos=1"], "--lanczos=1: must be at least 2"),
        (["--images=1501"], "--images=1501: digits has 1500 training images"),
        (["--trajectory_every=400"], "--trajectory_every=400: must be less than --steps=400"),
        (["--depths=5"], "depth 5: --network=dense with 2 layers a branch has depth 2 + 2·n; nearest: 4 and 6"),
        (["--width=8,0"], "--width=0: must be at least 1"),
    ),
)
def test_bad_input_is_refused_before_anything_is_written(tmp_path, arguments, says):
    with pytest.raises(UserError, match=re.escape(says)) as error:
        experiment.run(flags.parse(experiment.Config, ["landscape", *arguments, f"--workdir={tmp_path}/run"]))
    assert error.value.exit_code == 2 and "\n" not in str(error.value) and not any(tmp_path.iterdir())


SMALL = ("--depths=8", "--width=8", "--steps=20", "--batch_size=32", "--trajectory_every=4", "--resolution=11")
FEW = ("--lines=2", "--images=32", "--curvature_points=3", "--lanczos=5", "--eigenvalues=2")
FIGURES = {"figure", "pca", "surface", "lines", "curvature"}
HEADERS = {
    "results": "connection,norm,depth,width,seed,plane,parameters,diverged,train_loss,train_accuracy,test_accuracy,"
    "centre_loss,share_within,convexity,negative_curvature,negative_curvature_max,lambda_max,lambda_min,explained",
    "surface": "connection,norm,depth,width,seed,plane,x,y,loss,accuracy",
    "lines": "connection,norm,depth,width,seed,line,x,loss",
    "curvature": "connection,norm,depth,width,seed,plane,x,y,lambda_max,lambda_min",
    "eigenvalues": "connection,norm,depth,width,seed,rank,eigenvalue,error",
    "trajectory": "connection,norm,depth,width,seed,step,x,y",
}


def finish(workdir, *arguments):
    """Runs the experiment to its end; its tables, and the names of its figures."""
    code, _, err = run("landscape", *SMALL, *FEW, *arguments, f"--workdir={workdir}")
    assert (code, err) == (0, ""), err
    figures = {path.stem for path in workdir.glob("*.png")}
    assert figures == {path.stem for path in workdir.glob("*.pdf")}
    return {name: pd.read_csv(workdir / f"{name}.csv") for name in HEADERS}, figures


@pytest.mark.slow
def test_the_experiment_leaves_its_tables_and_figures_and_goes_on_where_it_was_killed(tmp_path):
    tables, figures = finish(tmp_path)
    assert {name: ",".join(table.columns) for name, table in tables.items()} == HEADERS and figures == FIGURES
    results, surface, key = tables["results"], tables["surface"], experiment.KEY
    assert len(results) == 2 * 2 and len(surface) == 11 * 11 * len(results)
    centres = surface[(surface["plane"] == "random") & (surface["x"] == 0) & (surface["y"] == 0)]
    random = results[results["plane"] == "random"]
    np.testing.assert_allclose(centres["loss"], random["centre_loss"], rtol=1e-5)
    assert (tables["trajectory"].groupby(list(key))[["x", "y"]].last() == 0).all(axis=None)
    curved = tables["curvature"].query("plane == 'random' and x == 0 and y == 0")
    np.testing.assert_allclose(curved["lambda_max"], random["lambda_max"], rtol=0.1)

    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.suffix in (".csv", ".png")}
    pieces = [path for path in tmp_path.glob("points/*/config.json") if (path.parent / "checkpoints").exists()]
    done = sorted(set(tmp_path.glob("points/*/done.json")) - {path.parent / "done.json" for path in pieces})
    for path in done[::3]:
        path.unlink()
    for path in before:
        path.unlink()
    finish(tmp_path)
    assert {path: path.read_bytes() for path in before} == before
    (tmp_path / "figure.png").unlink()
    finish(tmp_path, "--plot_only")
    assert (tmp_path / "figure.png").read_bytes() == before[tmp_path / "figure.png"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "diverged", "expected"),
    (
        (["--norms=none", "--learning_rate=1e20"], True, set()),
        (["--initializer=zeros"], False, FIGURES - {"pca"}),  # the kernels never move
        (["--planes=random", "--network=resnet", "--width=2"], False, FIGURES - {"pca"}),
    ),
)
def test_networks_without_a_landscape_or_a_trajectory(tmp_path, arguments, diverged, expected):
    tables, figures = finish(tmp_path, *arguments, "--connections=residual")
    assert figures == expected and len(tables["results"])
    assert (tables["results"]["diverged"].notna() == diverged).all()
    assert tables["results"]["centre_loss"].isna().all() == diverged
