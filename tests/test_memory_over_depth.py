"""Blocks that read all that was written before, against a Python loop; and the memory that their gradient takes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import close, double, layer

from resjax import models, nn, probes, transformers
from resjax.layers import Layers
from resjax.nn.place import Place

KEY = jax.random.key(0)
B, D, LENGTH = 3, 6, 12
REMAT = jax.checkpoint_policies.nothing_saveable
X = jnp.asarray(np.random.default_rng(0).normal(size=(B, 2, 2, 1)))


def made(connection):
    """A dense network of 12 blocks whose numbers are drawn at random: (network, params, state)."""
    network = models.dense(2 * LENGTH + 2, width=D, connection=connection, norm=nn.LayerNorm(), remat=REMAT)
    params, state = double(jax.jit(network.init)(KEY, X))
    draw = np.random.default_rng(1)
    return network, jax.tree.map(lambda leaf: leaf + 0.3 * draw.normal(size=leaf.shape), params), state


def softmax_read(sources, query):
    """Σ_i softmax_i(wᵀ RMS(v_i)) v_i, of each example."""
    sources = jnp.stack(sources)  # K B D
    scores = (sources / jnp.sqrt((sources**2).mean(-1, keepdims=True) + 1e-6)) @ query
    shares = jnp.exp(scores) / jnp.exp(scores).sum(0)
    return (shares[..., None] * sources).sum(0)


def full(stem, branches, numbers, last):
    sources = [stem]
    for branch, own in zip(branches, numbers, strict=True):
        sources.append(branch(softmax_read(sources, own["query"])))
    return softmax_read(sources, last["query"])


def grouped(groups):
    def run(stem, branches, numbers, last):
        done, running = [stem], None
        for at, (branch, own) in enumerate(zip(branches, numbers, strict=True)):
            f = branch(softmax_read(done if running is None else [*done, running], own["query"]))
            running = f if running is None else running + f
            if (at + 1) * groups // LENGTH > at * groups // LENGTH:  # the last of its group
                done.append(running)
                running = None
        return softmax_read(done, last["query"])

    return run


def averaged(stem, branches, numbers, last):
    streams = [stem]
    for branch, own in zip(branches, numbers, strict=True):
        y = sum(alpha * x for alpha, x in zip(own["alpha"], reversed(streams), strict=False))
        streams.append(y + branch(y))
    return sum(alpha * x for alpha, x in zip(last["alpha"], reversed(streams), strict=True))


LOOPS = (
    (nn.AttentionResidual(blocks=0), full),
    pytest.param(nn.AttentionResidual(blocks=4), grouped(4), marks=pytest.mark.slow),
    (nn.AttentionResidual(blocks=5), grouped(5)),  # groups of 2 and of 3 blocks
    (nn.DenseFormer(), averaged),
)


def loop(network, run):
    """The network as a Python loop: (params, x) -> logits."""
    (stack,) = network.stages
    (block,) = stack.blocks

    def logits(params, x):
        own = [layer(params["stages"][0][0], at) for at in range(LENGTH)]

        def branch(at):
            return lambda z: block.branch.apply({"params": own[at]["branch"]}, z, True, Place(at + 1, LENGTH))

        stem = network.stem.apply({"params": params["stem"]}, x, train=True)
        branches = [branch(at) for at in range(LENGTH)]
        stream = run(stem, branches, [each["connection"] for each in own], params["narrow"])
        return network.head.apply({"params": params["head"]}, stream, train=True)

    return logits


@pytest.mark.parametrize(("connection", "run"), LOOPS)
def test_outputs_and_gradients_are_those_of_a_loop(connection, run):
    network, params, state = made(connection)
    by_hand = loop(network, run)

    def outputs_and_gradients(run):
        def loss(params, x):
            logits = run(params, x)
            return (logits**3).sum(), logits

        (_, logits), gradients = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))(params, X)
        return logits, gradients

    found = outputs_and_gradients(lambda params, x: network.apply(params, state, x, train=True)[0])
    close(found, outputs_and_gradients(by_hand), 1e-9)


MODELS = {
    "patches": lambda **parts: transformers.vit(14, width=8, heads=2, patch=4, **parts),
    "text": lambda **parts: transformers.transformer(14, width=8, heads=2, vocabulary=7, **parts),
}
INPUTS = {
    "patches": jnp.asarray(np.random.default_rng(4).normal(size=(2, 8, 8, 1))),
    "text": jnp.asarray(np.random.default_rng(5).integers(0, 7, (2, 6))),
}


STARTS = (nn.AttentionResidual(), nn.AttentionResidual(blocks=0), nn.DenseFormer())


@pytest.mark.parametrize(
    ("kind", "connection"),
    [
        pytest.param(kind, connection, marks=pytest.mark.slow if kind == "patches" and at else [])
        for kind in MODELS
        for at, connection in enumerate(STARTS)
    ],
)
def test_it_starts_as_the_residual_network(kind, connection):
    norm = nn.LayerNorm(epsilon=1e-12)
    residual, network = (MODELS[kind](connection=each, norm=norm) for each in (nn.Residual(), connection))
    (shared, state), (own, _) = (double(jax.jit(each.init)(KEY, INPUTS[kind])) for each in (residual, network))
    own |= {"stem": shared["stem"], "head": shared["head"]}
    for stage, wanted in zip(own["stages"], shared["stages"], strict=True):
        for block, branch in zip(stage, wanted, strict=True):
            block |= branch
    found = jax.jit(network.apply)(own, state, INPUTS[kind])[0]
    close(found, jax.jit(residual.apply)(shared, state, INPUTS[kind])[0], 1e-10)


def gradient(connection, depth):
    """The compiled gradient of a dense network."""
    network = models.dense(depth, width=16, connection=connection, norm=nn.LayerNorm(), remat=REMAT)
    x = jnp.zeros((64, 4, 4, 1), jnp.float32)
    params, state = jax.eval_shape(network.init, KEY, x)
    run = jax.grad(lambda params, x: (network.apply(params, state, x, train=True)[0] ** 2).sum())
    return jax.jit(run).lower(params, x)


@pytest.mark.parametrize("freedom", ("moved", "looped"))
def test_blocks_that_move_or_share_weights_start_as_those_of_the_residual_network(freedom):
    layers = Layers(order=jnp.array([0, 2, 1, 3])) if freedom == "moved" else Layers()
    parts = {"width": D, "norm": nn.LayerNorm(), "looped": freedom == "looped"}
    residual, network = (models.dense(10, connection=each, **parts) for each in (nn.Residual(), nn.DenseFormer()))
    logits = [network.apply(*double(network.init(KEY, X)), X, layers)[0] for network in (residual, network)]
    close(*logits, 1e-9)


@pytest.mark.parametrize("connection", (nn.AttentionResidual(blocks=0), nn.DenseFormer()))
def test_a_thousand_blocks_need_one_memory_and_the_program_of_ten(connection):
    deep, shallow = gradient(connection, 2002), gradient(connection, 22)
    lines = [len(each.as_text().splitlines()) for each in (deep, shallow)]
    assert lines[0] == lines[1]
    stored = 1000 * 64 * 16 * 4  # the input of every block, B D in float32: what the residual network keeps
    numbers = 1000 * 1001 * 4 if isinstance(connection, nn.DenseFormer) else 0  # α and its gradient
    assert deep.compile().memory_analysis().temp_size_in_bytes < 4 * stored + 2 * numbers


def test_lesions_leave_an_empty_entry_or_the_stream_before():
    for connection in (nn.AttentionResidual(blocks=0), nn.DenseFormer()):
        place = Place(jnp.asarray(2), 3)
        memory = connection.widen(jnp.ones((1, 2)), Place(0, 3)).at[:, 1].set(3.0)
        c = jnp.array([0.5, 2.0, 0, 0])
        left = connection.carry(memory, c, place)
        close(left[:, 2], jnp.full((1, 2), 6.5 if isinstance(connection, nn.DenseFormer) else 0.0))
        close(left[:, :2], memory[:, :2])


def test_a_norm_behind_the_sum_is_refused():
    with pytest.raises(ValueError, match="connection AttentionResidual: goes with an order that has nothing behind"):
        models.dense(10, connection=nn.AttentionResidual(), order=nn.POST)


def test_stages_and_projections_are_refused():
    for build in (models.preact, lambda depth, **parts: models.dense(depth, projections=1, **parts)):
        with pytest.raises(ValueError, match="connection DenseFormer: its memory goes with blocks that all keep"):
            build(8, connection=nn.DenseFormer())


def test_who_reads_whom():
    network, params, state = made(nn.AttentionResidual(blocks=0))
    found = probes.reads(network, params, state, X)
    sources = [network.run_stem(params, state, X)[:, 0]]
    traces = network.apply(params, state, X, probe=lambda trace: trace.f)[2]
    for reader in range(LENGTH + 1):
        own = params["narrow"] if reader == LENGTH else layer(params["stages"][0][0]["connection"], reader)
        scores = jnp.stack([v / jnp.sqrt((v**2).mean(-1, keepdims=True) + 1e-6) for v in sources]) @ own["query"]
        shares = jnp.exp(scores) / jnp.exp(scores).sum(0)  # K B
        close(found[reader, : reader + 1], shares.mean(1), 1e-9)
        assert (found[reader, reader + 1 :] == 0).all()
        sources.append(traces[reader] if reader < LENGTH else None)


def test_who_reads_whom_takes_one_memory():
    network = models.dense(202, width=8, connection=nn.AttentionResidual(blocks=0), norm=nn.LayerNorm())
    compiled = probes.reads.lower(network, *jax.eval_shape(network.init, KEY, X), X).compile()
    entries = network.length + 1
    table, memory = 8 * entries**2, 8 * B * entries * 8  # bytes; a memory a block would be a hundred
    assert compiled.memory_analysis().temp_size_in_bytes < 2 * (table + memory)


def test_probes_read_the_residual_stream():
    network, residual = (
        models.dense(12, width=D, connection=each, norm=nn.LayerNorm(epsilon=1e-12))
        for each in (nn.AttentionResidual(blocks=0), nn.Residual())
    )
    tables = []
    for each in (network, residual):
        params, state = double(jax.jit(each.init)(KEY, X))
        tables.append(probes.signals(each, params, state, X))
    np.testing.assert_allclose(*tables, rtol=1e-6)


def test_its_hessian_has_eigenvalues():
    network, params, state = made(nn.AttentionResidual(blocks=0))
    key = jax.random.key(1)
    found, _ = probes.curvature.eigenvalues(network, params, state, X, jnp.arange(B), key, 3, batch_statistics=True)
    assert np.isfinite(found).all()


def test_what_has_no_inverse_and_no_use_says_so():
    network, params, state = made(nn.DenseFormer())
    with pytest.raises(ValueError, match="connection DenseFormer: its blocks write to a memory, which has no inverse"):
        probes.inversion.check(network)
    with pytest.raises(ValueError, match="connection DenseFormer: its blocks write to a memory, which no branch"):
        probes.depth_use(network, params, state, X, jnp.arange(B))
