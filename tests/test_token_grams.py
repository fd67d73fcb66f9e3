"""The theory of transformers at the start against closed forms, and against sampled networks written out here."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resjax import theory
from resjax.theory.sublayers import named

BLOCKS = 12
TOKENS = 16
BLOCK = np.arange(BLOCKS + 1)
HARMONIC = np.concatenate([[0], np.cumsum(1 / BLOCK[1:])])
KEEPING = ("post", "deepnorm", "keel", "rezero")
# Of one token: attention adds 1 to the mean square, the MLP ½, and behind a norm each 1.
ONE_TOKEN = {
    **dict.fromkeys(KEEPING, np.ones(BLOCKS + 1)),
    "pre": 1 + 1.5 * BLOCK,
    "lns": 1 + 1.5 * HARMONIC,
    "peri": 1 + 2.0 * BLOCK,
    "mix_ln": 1 + 1.5 * np.maximum(BLOCK - 3, 0),
    "scaled": 1 + 1.5 * BLOCK / 24,
    "layerscale": 1 + 1.5 * BLOCK / 100,
    "complete_p": 1 + 1.5 * BLOCK / 36,
}
both = pytest.mark.parametrize("causal", (True, False))


@pytest.mark.parametrize("order", ONE_TOKEN)
def test_one_token_adds_up_numbers(order):
    """A sublayer makes Σ, and G on its way back, greater by the same factor: their product stays."""
    found = theory.tokens(order, BLOCKS, 1)
    np.testing.assert_allclose(found.mean_square, ONE_TOKEN[order], rtol=1e-12)
    np.testing.assert_allclose(found.gradient_mean_square, ONE_TOKEN[order][-1] / ONE_TOKEN[order], rtol=1e-12)
    assert np.isnan(found.cosine).all()


def test_without_norms_a_block_multiplies_by_three():
    found = theory.tokens((theory.Sublayer(),) * 5, 5, 1)
    np.testing.assert_allclose(found.mean_square, 3.0 ** np.arange(6))
    np.testing.assert_allclose(found.gradient_mean_square, 3.0 ** np.arange(5, -1, -1))


def test_xavier_weights_make_the_mlp_smaller():
    """Variance 2/(D + 4D), fan-in D and 4D: 2/5 · 8/5 · ½ = .32 instead of ½."""
    np.testing.assert_allclose(theory.tokens("pre", 3, 1, mlp=0.64).mean_square, 1 + 1.32 * np.arange(4))


@pytest.mark.parametrize(("power", "end"), ((0.5, 1.75), (1.0, 1 + 1.5 / 4 / BLOCKS)))
def test_what_scaled_branches_add_in_all(power, end):
    assert theory.tokens("scaled", BLOCKS, 1, power=power).mean_square[-1] == pytest.approx(end)


def test_complete_p_is_pre_at_its_base():
    np.testing.assert_allclose(theory.tokens("complete_p", BLOCKS, 1, base=BLOCKS).mean_square, ONE_TOKEN["pre"])


def test_the_first_causal_block_by_hand():
    """Σ is the identity: attention adds 1/t for token t, and the MLP ½."""
    own = 1 / np.arange(1, TOKENS + 1)
    assert theory.tokens("pre", 1, TOKENS).mean_square[1] == pytest.approx(1.5 + own.mean())


def test_pre_norm_without_a_mask_in_two_numbers():
    """All tokens have equal rights, so Σ and G have one number on the diagonal, another beside it, to go through."""
    blocks = 6
    square = 1.0
    product = 0.0
    squares = [square]
    cosines = [product]
    passed = []
    for _ in range(blocks):
        before_attention = square
        mean = (1 + (TOKENS - 1) * product / square) / TOKENS
        square, product = square + mean, product + mean
        passed.append((before_attention, square, product / square))
        square, product = square + 0.5, product + theory.kappa1(product / square) / 2
        squares.append(square)
        cosines.append(product / square)
    own = 1.0
    other = 0.0
    gradients = [own]
    for before_attention, before_mlp, cosine in reversed(passed):
        own, other = own * (1 + 0.5 / before_mlp), other * (1 + theory.kappa0(cosine) / 2 / before_mlp)
        mean = (own + (TOKENS - 1) * other) / TOKENS / before_attention
        own, other = own + mean, other + mean
        gradients.append(own)

    found = theory.tokens("pre", blocks, TOKENS, causal=False)
    np.testing.assert_allclose(found.mean_square, squares)
    np.testing.assert_allclose(found.cosine, cosines, atol=1e-12)
    np.testing.assert_allclose(found.gradient_mean_square, gradients[::-1])


@both
def test_pre_norm_is_between_the_bounds_of_the_paper(causal):
    square = theory.tokens("pre", BLOCKS, TOKENS, causal).mean_square
    assert (square >= 1 + BLOCK / 2).all() and (square <= 1 + 1.5 * BLOCK).all()


@both
def test_peri_adds_two_a_block_whatever_the_tokens(causal):
    np.testing.assert_allclose(theory.tokens("peri", BLOCKS, TOKENS, causal).mean_square, 1 + 2 * BLOCK)


@both
def test_lns_grows_like_a_logarithm(causal):
    square = theory.tokens("lns", BLOCKS, TOKENS, causal).mean_square
    assert (square >= 1 + HARMONIC / 2).all() and (square <= 1 + 1.5 * HARMONIC).all()


@both
@pytest.mark.parametrize("order", KEEPING)
def test_a_norm_behind_the_sum_keeps_the_mean_square(order, causal):
    np.testing.assert_allclose(theory.tokens(order, BLOCKS, TOKENS, causal).mean_square, 1)


@both
def test_rezero_changes_nothing(causal):
    found = theory.tokens("rezero", BLOCKS, TOKENS, causal)
    assert (found.cosine == 0).all() and (found.gradient_mean_square == 1).all()


@pytest.mark.parametrize(("blocks", "alpha", "beta"), ((100, 3.7606, 0.18803), (1000, 6.6874, 0.10574)))
def test_deepnorm_has_the_constants_of_the_paper(blocks, alpha, beta):
    sublayer = named("deepnorm", blocks)[-1]
    assert (sublayer.carry, sublayer.gain) == (pytest.approx(alpha, abs=5e-5), pytest.approx(beta, abs=5e-6))


@pytest.mark.parametrize(("blocks", "scale"), ((18, 0.1), (24, 1e-5), (36, 1e-6)))
def test_layerscale_follows_the_rule_of_cait(blocks, scale):
    assert {sublayer.branch for sublayer in named("layerscale", blocks)} == {scale}


@both
def test_tokens_become_one_behind_post_norm_sooner_than_behind_pre_norm(causal):
    post = theory.tokens("post", 100, TOKENS, causal).cosine
    pre = theory.tokens("pre", 100, TOKENS, causal).cosine
    assert 1 - post[50] < 1e-4 and 1 - post[100] < 1e-12
    assert 1 - pre[100] > 0.3 * (1 - pre[50])  # a power of l


def test_once_tokens_are_one_only_the_sum_of_their_gradients_is_left():
    """Independent gradients of mean square 1 have the mean 1/T, which all tokens get; the sum itself is not lost."""
    assert theory.tokens("post", 200, TOKENS, causal=False).gradient_mean_square[100] == pytest.approx(1 / TOKENS)


def test_the_first_of_causal_tokens_gets_the_whole_sum():
    """Mean square T at one token of T: post-norm does not lose the gradient."""
    assert theory.tokens("post", 200, TOKENS).gradient_mean_square[100] == pytest.approx(1)


@pytest.mark.parametrize(("arguments", "message"), (
    (("prae", 3, 4), "order 'prae': must be one of pre, post,"),
    (("pre", 0, 4), "0 blocks of 4 tokens: must be at least 1 each"),
    (("pre", 3, 0), "3 blocks of 0 tokens: must be at least 1 each"),
    (((theory.Sublayer(),) * 2, 3, 4), "order with sublayers for 2 blocks: must be 3, one a block"),
))  # fmt: skip
def test_what_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        theory.tokens(*arguments)


WIDTH = 1024
FEW = 8  # tokens
SEQUENCES = 8
WRITTEN = {  # the next stream, of a block from 1 on, with F(x, gain of its weights)
    "pre": lambda x, f, block: x + f(norm(x)),
    "post": lambda x, f, block: norm(x + f(x)),
    "deepnorm": lambda x, f, block: norm(8**0.25 * x + f(x, 32**-0.25)),
    "keel": lambda x, f, block: norm(8 * x + f(norm(x))),
    "lns": lambda x, f, block: x + f(norm(x) / np.sqrt(block)),
    "peri": lambda x, f, block: x + norm(f(norm(x))),
    "mix_ln": lambda x, f, block: norm(x + f(x)) if block == 1 else x + f(norm(x)),
}


def norm(x):
    """Layer norm."""
    x = x - x.mean(-1, keepdims=True)
    return x / jnp.sqrt((x**2).mean(-1, keepdims=True))


@pytest.fixture(scope="module")
def weights():
    """Xavier's, of value, output and both layers of an MLP with 4D hidden units: a tuple for each of 4 blocks."""
    random = np.random.default_rng(1)
    shapes = (WIDTH, WIDTH), (WIDTH, WIDTH), (WIDTH, 4 * WIDTH), (4 * WIDTH, WIDTH)
    draw = lambda shape: jnp.asarray(random.standard_normal(shape) * np.sqrt(2 / sum(shape)))  # noqa: E731
    return [tuple(map(draw, shapes)) for _ in range(4)]


@pytest.mark.parametrize(("order", "causal"), (*((order, True) for order in WRITTEN), ("pre", False), ("post", False)))
def test_a_sampled_network_is_near_its_theory(order, causal, weights):
    """The tolerances are twice the scatter from network to network."""
    reach = np.ones((FEW, FEW))
    attend = np.tril(reach) / np.arange(1, FEW + 1)[:, None] if causal else reach / FEW
    random = np.random.default_rng(2)
    streams = [random.standard_normal((SEQUENCES, FEW, WIDTH))]  # B T D
    gradients = [random.standard_normal((SEQUENCES, FEW, WIDTH))]
    ways_back = []
    for number, (value, output, first, second) in enumerate(weights, 1):

        def block(x, number=number, value=value, output=output, first=first, second=second):
            x = WRITTEN[order](x, lambda z, gain=1.0: gain**2 * (attend @ z @ value @ output), number)
            return WRITTEN[order](x, lambda z, gain=1.0: gain**2 * (jax.nn.relu(z @ first) @ second), number)

        stream, back = jax.vjp(block, streams[-1])
        streams.append(stream)
        ways_back.append(back)
    for back in reversed(ways_back):
        gradients.append(back(gradients[-1])[0])

    found = theory.tokens(order, len(weights), FEW, causal, mlp=0.64)
    np.testing.assert_allclose([(x**2).mean() for x in streams], found.mean_square, rtol=0.05)
    np.testing.assert_allclose([cosine(x) for x in streams], found.cosine, atol=0.03)
    np.testing.assert_allclose([(g**2).mean() for g in gradients[::-1]], found.gradient_mean_square, rtol=0.1)


def cosine(x):
    """The mean over pairs of different tokens of a sequence."""
    x = np.asarray(x) / np.linalg.norm(x, axis=-1, keepdims=True)
    return np.einsum("btd,bsd->bts", x, x)[:, ~np.eye(FEW, dtype=bool)].mean()
