"""Projections in skips: where they stand, what they do to the stream, and the Jacobian of all blocks."""

import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
from commands import run
from helpers import close, double, jitter

from experiments import shortcuts as experiment
from experiments import shortcuts_measure
from resjax import architectures, connections, networks, normalizers, shortcuts, theory
from resjax.config import Untrained
from resjax.errors import UserError
from resjax.probes.whiteness import without_ends
from resjax.stack import Layers

IMAGE, HALF = jnp.zeros((2, 7, 7, 3)), jnp.zeros((2, 4, 4, 5))  # x, and F(x) behind a stride of 2
HEADER = (
    "study,network,connection,shortcut,projections,layers,depth,norm,seed,blocks,stage,gradient_norm,condition,sigma_max,"
    "sigma_min,train_loss,train_accuracy,test_accuracy,diverged,paper_error"
)
SMALL = (
    "--depth=6", "--projections=0,1,-1", "--layers=2,4", "--table1_depth=4", "--connections=residual,dropout",
    "--image_depth=8", "--image_width=2", "--image_shortcut=pad,max_pool", "--width=4", "--steps=10",
    "--batch_size=32", "--jacobians=2",
)  # fmt: skip


def projected(network):
    """By block, L: whether its skip is the shortcut though the size stays."""
    return [
        stack.block.connection.always and not stack.block.branch.shared
        for stack in network.stages
        for _ in range(stack.length)
    ]


def build(**choices):
    return architectures.build(Untrained(**choices), 10)


@pytest.mark.parametrize("count", range(19))
def test_so_many_blocks_are_projected_and_spread_evenly(count):
    network = build(depth=38, projections=count)
    has = np.flatnonzero(projected(network))
    assert network.length == 18 and len(has) == count
    gaps = np.diff(np.concatenate([has - 18, has])) if count else [0]  # around a circle
    assert max(gaps) - min(gaps) <= 1


@pytest.mark.parametrize("count", range(8))
def test_blocks_that_change_the_size_are_not_counted(count):
    network = build(network="resnet", depth=20, projections=count)
    assert sum(projected(network)) == count and network.lengths == (3, 3, 3)
    assert network.changes_shape == (False,) * 3 + ((True,) + (False,) * 2) * 2


@pytest.mark.parametrize(("count", "stacks"), ((0, 1), (1, 3), (18, 1)))
def test_neighbours_of_one_kind_are_one_stack(count, stacks):
    assert len(build(depth=38, projections=count).stages) == stacks


@pytest.mark.parametrize("count", (0, 1, 5, 18))
def test_a_projection_of_a_dense_stream_adds_a_square_of_weights(count):
    def parameters(count):
        shapes = jax.eval_shape(build(depth=38, width=8, projections=count).init, jax.random.key(0), IMAGE)
        return networks.parameter_count(shapes[0])

    assert parameters(count) - parameters(0) == 8 * 8 * count


@pytest.mark.parametrize(
    ("point", "says"),
    (
        ({"projections": 10}, "--projections=10: at most 9, the blocks of depth 20 that keep the size"),
        ({"projections": 8, "network": "resnet"}, "--projections=8: at most 7, the blocks of depth 20"),
        ({"projections": 1, "connection": "plain"}, "of the blocks of --connection=plain none has a skip; use 0"),
        (
            {"projections": 1, "connection": "projection"},
            "blocks of --connection=projection all have one; use 0",
        ),
        ({"projections": -1}, "--projections=-1: must be at least 0"),
        ({"shortcut": "max_pool"}, "--shortcut=max_pool: not for --network=dense, whose stream is no image"),
        ({"shortcut": "maxpool"}, "unknown shortcut 'maxpool': known are pad, projection, orthogonal, max_pool"),
    ),
)
def test_shortcuts_that_cannot_be(point, says):
    with pytest.raises(UserError, match=re.escape(says)) as error:
        build(**{"depth": 20} | point)
    assert "\n" not in str(error.value)


def shortcut(kind, x, f):
    """The shortcut's output and its parameters, at the start."""
    made = shortcuts.build(kind)
    return made.init_with_output(jax.random.key(0), x, f, False)


def windows(x, stride):
    """The maximum over 3×3 pixels of an image H W C, by a loop."""
    height, width, _ = x.shape
    rows, columns = (range(0, size, stride) for size in (height, width))
    return np.array([[x[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2].max((0, 1)) for c in columns] for r in rows])


@pytest.mark.parametrize("f", (HALF, IMAGE))
def test_max_pool_takes_the_maximum_over_three_by_three_pixels(f):
    x = jax.random.normal(jax.random.key(1), IMAGE.shape) - 3  # below the zeros that are no pixels
    y, variables = shortcut("max_pool", x, f)
    pooled = np.stack([windows(np.asarray(one), 2 if f is HALF else 1) for one in x])
    close(y, np.pad(pooled, [(0, 0)] * 3 + [(0, f.shape[-1] - 3)]), 0)
    assert not variables


@pytest.mark.parametrize("x", (jnp.ones((2, 5)), IMAGE + 1))
def test_pad_is_the_identity_where_the_size_stays(x):
    close(shortcut("pad", x, x)[0], x, 0)


@pytest.mark.parametrize(("x", "f"), ((jnp.ones((2, 6)), jnp.ones((2, 6))), (IMAGE, HALF), (HALF, HALF)))
def test_an_orthogonal_projection_keeps_lengths(x, f):
    x = jax.random.normal(jax.random.key(1), x.shape)
    y, variables = shortcut("orthogonal", x, f)
    (kernel,) = jax.tree.leaves(variables)
    matrix = kernel.reshape(kernel.shape[-2:])
    np.testing.assert_allclose(np.linalg.svd(matrix, compute_uv=False), 1, rtol=1e-6)
    seen = x if x.shape == f.shape else x[:, ::2, ::2]
    np.testing.assert_allclose(jnp.linalg.norm(y, axis=-1), jnp.linalg.norm(seen, axis=-1), rtol=1e-6)


@pytest.mark.parametrize(("kind", "share"), (("projection", 1.0), ("projection(weights='he_normal')", 2.0)))
def test_variance_of_a_projection_of_a_dense_stream(kind, share):  # LeCun's: the stream stays as large as it is
    x = jnp.ones((1, 400))
    _, variables = shortcut(kind, x, x)
    (kernel,) = jax.tree.leaves(variables)
    assert kernel.var() * 400 == pytest.approx(share, rel=5 * (2 / kernel.size) ** 0.5)


@pytest.mark.parametrize("connection", ("residual", "scaled(alpha=0.5)", "shortcut_gate(bias=0)"))
def test_always_is_the_connection_behind_the_shortcut(connection):
    x, f = jax.random.normal(jax.random.key(1), (2, 3, 6))
    joined = connections.build(connection, shortcut="orthogonal", always=True)
    variables = joined.init(jax.random.key(0), x, f, False)
    kernel = variables["params"]["joint"]["Dense_0"]["kernel"]
    rest = {"params": {name: leaf for name, leaf in variables["params"].items() if name != "joint"}}
    expected = connections.build(connection).apply(rest, x @ kernel, f, False)
    close(joined.apply(variables, x, f, False), expected, 1e-6)


def test_theory_has_no_constant_for_a_skip_that_is_a_projection():
    def paths(text, **choices):
        return theory.paths(connections.build(text, **choices))

    assert paths("residual", always=True, shortcut="pad") == paths("residual", shortcut="projection") == (1.0, 1.0)
    for text in ("residual", "scaled(alpha=0.5)", "rezero"):
        assert paths(text, always=True, shortcut="orthogonal") is None
    assert paths("projection", shortcut="pad") is None


@pytest.mark.parametrize("width", (2, 8))
def test_a_gaussian_factor_parts_the_singular_values_by_the_spread_of_its_exponents(width):
    random, factors, basis, logs = np.random.default_rng(0), 4000, np.eye(width), []
    for _ in range(factors):
        basis, triangle = np.linalg.qr(random.normal(size=(width, width)) @ basis)
        logs.append(np.log(abs(np.diag(triangle))))
    first, *_, last = np.mean(logs, axis=0)
    error = (np.var(logs, axis=0)[[0, -1]].sum() / factors) ** 0.5
    assert first - last == pytest.approx(theory.gaussian_spread(width), abs=4 * error)


def made(size=1, **choices):
    """A small network with random parameters and state, images and labels, all in float64."""
    point = Untrained(**{"depth": 8, "width": 5, "norm": "batch(momentum=0.0)"} | choices)
    network = architectures.build(point, 3)
    images = jax.random.normal(jax.random.key(0), (6, size, size, 3), jnp.float64)
    params, state = jax.jit(network.init)(jax.random.key(1), images)
    return network, jitter(double(params), 2), jitter(double(state), 3), images, jnp.arange(6) % 3


@pytest.mark.parametrize(
    "choices",
    (
        {"depth": 6, "projections": 1, "shortcut": "orthogonal", "connection": "dropout"},
        pytest.param(
            {"network": "resnet", "depth": 14, "shortcut": "max_pool", "projections": 1, "size": 4, "width": 2},
            marks=pytest.mark.slow,
        ),
    ),
)
def test_what_is_read_is_the_jacobian_of_all_blocks(choices):
    network, params, state, images, labels = made(**choices)
    noise = jax.random.key(4)
    found = shortcuts_measure.read(network, params, state, images, labels, noise, 2)

    @jax.jit
    def whole(params):
        _, settled, _ = network.apply(params, state, images, Layers(key=noise), train=True)
        x = network.stem.apply({"params": params["stem"], **settled["stem"]}, images, train=False)[:2]
        through = lambda one: without_ends(network).apply(params, settled, one[None])[0].ravel()  # noqa: E731
        loss = lambda y: -jax.nn.log_softmax(head(y))[jnp.arange(2), labels[:2]].sum()  # noqa: E731
        head = lambda y: network.head.apply({"params": params["head"], **settled["head"]}, y, train=False)  # noqa: E731
        y, pull = jax.vjp(lambda x: without_ends(network).apply(params, settled, x)[0], x)
        outer = jax.grad(loss)(y)
        return jax.vmap(jax.jacrev(through))(x), outer, pull(outer)[0]

    matrices, outer, inner = whole(params)
    sigma = np.linalg.svd(np.asarray(matrices).reshape(2, outer[0].size, -1), compute_uv=False)
    assert found["sigma_max"] == pytest.approx(np.median(sigma[:, 0]), rel=1e-9)
    assert found["sigma_min"] == pytest.approx(np.median(sigma[:, -1]), rel=1e-6, abs=1e-12)
    assert found["gradient_norm"] == pytest.approx(np.linalg.norm(inner) / np.linalg.norm(outer), rel=1e-9)
    if found["sigma_min"] > 1e-9:  # else it is rounding
        assert found["condition"] == pytest.approx(np.median(sigma[:, 0] / sigma[:, -1]), rel=1e-6)


def test_blocks_without_branches_are_the_product_of_their_skips():
    linear = {"norm": "none", "connection": "scaled(beta=0)", "branch": "dense(layers=1)"}
    network, params, state, images, labels = made(shortcut="projection", projections=6, **linear)
    found = shortcuts_measure.read(network, params, state, images, labels, jax.random.key(4), 2)
    kernels = params["stages"][0]["connection"]["joint"]["Dense_0"]["kernel"]  # L D D
    product = np.linalg.multi_dot(np.asarray(kernels))
    assert found["condition"] == pytest.approx(np.linalg.cond(product), rel=1e-9)
    assert found["sigma_max"] == pytest.approx(np.linalg.norm(product, 2), rel=1e-9)


def test_a_norm_that_settles_keeps_its_other_arguments():
    assert normalizers.of_last_batch("batch") == "batch(momentum=0.0)"
    assert normalizers.of_last_batch("batch(epsilon=0.1,momentum=0.5)") == "batch(epsilon=0.1,momentum=0.0)"
    assert normalizers.of_last_batch("layer(epsilon=0.1)") == "layer(epsilon=0.1)"


def test_the_studies_and_their_networks():
    todo = experiment.points(experiment.Config(depth=14, projections=(0, 2, -1), seeds=2))
    assert len(set(todo)) == len(todo)
    by_study = {study: [point for _, point in of] for study, of in itertools.groupby(todo, lambda each: each[0])}
    assert {study: len(points) // 2 for study, points in by_study.items()} == {
        "projections": 1 + 2 * 2, "kinds": 4 + 3, "table1": 9, "skip_length": 5,
    }  # fmt: skip
    assert {point.projections for point in by_study["projections"]} == {0, 2, 6}
    assert all((point.shortcut == "pad") == (point.projections == 0) for point in by_study["projections"])
    assert [point.connection for point in by_study["table1"][::2]] == list(experiment.PAPER)


@pytest.mark.parametrize(
    ("flags", "says"),
    (
        ({"projections": (0, 25)}, "--projections=25: at most 24, the blocks of depth 50 that keep the size"),
        ({"projections": (-2,)}, "--projections=-2: must be at least -1"),
        ({"connection": "plain"}, "--projections=1: of the blocks of --connection=plain none has a skip"),
        ({"shortcut": ("max_pool",)}, "--shortcut=max_pool: not for --network=dense"),
        ({"layers": (5,)}, "depth 50: --network=dense with 5 layers a branch has depth 2 + 5·n; nearest: 47 and 52"),
        ({"connections": ("residul",)}, "unknown connection 'residul'"),
    ),
)
def test_what_cannot_be_is_refused_before_anything_is_written(tmp_path, flags, says):
    with pytest.raises(UserError, match=re.escape(says)) as error:
        experiment.run(experiment.Config(workdir=f"{tmp_path}/run", **flags))
    assert error.value.exit_code == 2 and "\n" not in str(error.value) and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_the_same_command_leaves_the_same_table_and_a_figure(tmp_path):
    tables = []
    for name in ("run", "again"):
        code, out, err = run("shortcuts", *SMALL, f"--workdir={tmp_path}/{name}")
        assert (code, err) == (0, ""), err
        assert f"figure: {tmp_path}/{name}/figure.png" in out and (tmp_path / name / "figure.pdf").exists()
        tables.append((tmp_path / name / "results.csv").read_text())
    assert tables[0] == tables[1] and tables[0].splitlines()[0] == HEADER
    table = pd.read_csv(tmp_path / "run/results.csv")
    assert set(table["study"]) == {"projections", "kinds", "table1", "skip_length"}
    assert table[table["study"] == "table1"]["paper_error"].dropna().tolist() == [6.61, 6.61]


@pytest.mark.slow
def test_a_network_that_diverges_is_read_at_its_start(tmp_path):
    code, _, err = run("shortcuts", *SMALL, "--norm=none", "--learning_rate=1e20", f"--workdir={tmp_path}/run")
    table = pd.read_csv(tmp_path / "run/results.csv")
    assert (code, err) == (0, "") and (table["diverged"].notna() <= (table["stage"] == "start")).all()
