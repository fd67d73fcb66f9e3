"""Parts that would mean something else than they say are refused in one line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from resjax import models, nn, transformers

KEY = jax.random.key(0)
IMAGES = jnp.ones((2, 30, 30, 3))


def started(network, x=IMAGES):
    network.init(KEY, x)


@pytest.mark.parametrize(
    ("make", "says"),
    (
        (lambda: transformers.transformer(6, width=16, heads=2, norm=nn.GroupNorm()), "norm GroupNorm: sees tokens to"),
        (lambda: transformers.vit(6, patch=0), "patch=0: must be at least 1"),
        (lambda: models.dense(6, norm=nn.LayerNorm), r"norm=.*LayerNorm'>: must be made: LayerNorm\(\)"),
        (lambda: models.dense(6, connection=nn.Plain), r"connection=.*Plain'>: must be made: Plain\(\)"),
        (lambda: nn.BatchNorm(epsilon=np.float64(-1)), r"epsilon=np\.float64\(-1\.0\): must be at least 0"),
        (lambda: models.resnet(8, order=nn.Order(before=("nrom",))), r"order before=\('nrom',\): must be a tuple of"),
        (lambda: models.resnet(8, order=nn.Order(before="norm")), "order before='norm': must be a tuple of norm, act"),
        (lambda: models.dense(22, looped=True, projections=3), "projections=3: go without looped=True"),
        (
            lambda: transformers.transformer(42, looped=True, order=nn.arrangements.mix_ln(0.5)),
            "looped=True: goes without an order whose first blocks have another",
        ),
        (lambda: started(models.iresnet(10)), "images of 15×15 pixels: both sides must be multiples of 2"),
        (lambda: models.dense(6, branch=nn.Attention(rotary=False)), "branch Attention: goes with tokens"),
    ),
)
def test_parts_that_cannot_be(make, says):
    with pytest.raises(ValueError, match=says):
        make()


def test_patches_may_have_norms_over_all_of_them():
    started(transformers.vit(6, width=16, heads=2, patch=10, norm=nn.GroupNorm()))
