"""Arguments are checked when they are given."""

import dataclasses
import math
from typing import Annotated, Any, Literal

import flax.linen as linen
import jax
import pytest

from resjax import models, nn, stochastic_depth
from resjax.data import augment, crop
from resjax.nn import arguments, initializers
from resjax.nn.arguments import Checked, checked
from resjax.nn.kinds import Range, fault
from resjax.parts import Parts
from resjax.training import optimizers

REFUSED = (
    (nn.Dropout, {"rate": 1.5}, "rate=1.5: must be at least 0 and below 1"),
    (nn.BatchNorm, {"momentum": 2.0}, "momentum=2.0: must be at least 0 and below 1"),
    (nn.Bottleneck, {"strided": 7}, "strided=7: must be at least 0 and at most 2"),
    (nn.Bottleneck, {"layers": 5}, "layers=5: must be 3"),
    (nn.Dense, {"features": 7}, "features=7, stride=1: only for branches of images"),
    (nn.Basic, {"sizes": (3, 0)}, "sizes=(3, 0): must be made of what is at least 1"),
    (nn.Scaled, {"beta": math.inf}, "beta=inf: must be a number"),
    (nn.Head, {"classes": 0}, "classes=0: must be at least 1"),
    (Parts, {"width": 0}, "width=0: must be at least 1"),
    (models.wide_family, {"factor": 0.5}, "factor=0.5: must be a whole number, at least 1"),
    (initializers.normal, {"stddev": "a"}, "stddev='a': must be a number, at least 0"),
    (initializers.orthogonal, {"column_axis": 2}, "column_axis=2: must be at least -1 and at most 1"),
    (stochastic_depth.linear, {"lengths": (3,), "last": 0}, "last=0: must be above 0 and at most 1"),
    (augment.crop, {"pad": 2.5}, "pad=2.5: must be a whole number, at least 0"),
    (crop.resized_crop, {"area": ("a", 1)}, "area=('a', 1): must be made of what is a number, above 0 and at most 1"),
    (optimizers.sgd, {"learning_rate": 0.1, "momentum": 1}, "momentum=1: must be at least 0 and below 1"),
    (optimizers.step_schedule, {"peak": 1.0, "steps": 9, "at": (50, 75)}, "at=(50, 75): must be made of what is above"),
    (optimizers.step_schedule, {"peak": 1.0, "steps": 9, "at": 0.5}, "at=0.5: must be several in parentheses"),
)


@pytest.mark.parametrize(("factory", "given_", "says"), REFUSED)
def test_what_cannot_be_is_refused_where_it_is_given(factory, given_, says):
    with pytest.raises(ValueError) as error:
        factory(**given_)
    assert says in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("factory", "given_", "says"),
    (  # of classes; tests check their types in another way before this one
        (nn.Scaled, {"beta": "a"}, "beta='a': must be a number"),
        (nn.Projected, {"inner": 5}, "inner=5: must be of Connection"),
        (stochastic_depth.StochasticDepth, {"mode": "all"}, "mode='all': must be one of 'batch', 'sample', 'subset'"),
    ),
)
def test_other_types_are_refused_too(factory, given_, says):
    with pytest.raises(ValueError, match=f"^{says}$"):
        arguments.check(factory, given_)


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    (
        (float, (1, 0.5, jax.numpy.ones(())), (True, "1", None, math.nan, 10**400)),
        (int, (1, 10**400), (1.0, True, "1")),
        (bool, (True,), (1, None)),
        (str, ("a",), (1,)),
        (float | None, (None, 2.0), ("a",)),
        (Literal["a", "b"], ("a",), ("c", 1)),
        (tuple[int, ...], ((), (1, 2)), (1, (1.5,), [1])),
        (tuple[int, float], ((1, 2.5),), ((1,), (2.5, 1))),
        (Annotated[int, Range(least=1)], (1, 5), (0, 1.5)),
        (Any, (1, "a", None), ()),
        (linen.Module, (nn.Plain(),), (1, "a")),
    ),
)
def test_what_is_of_a_kind(kind, right, wrong):
    assert not any(fault(kind, value) for value in right)
    assert all(fault(kind, value) for value in wrong)


def test_ones_own_class_and_function_say_it_in_the_same_way():
    class Leaky(Checked, linen.Module):
        slope: Annotated[float, Range(least=0, below=1)] = 0.1

        def __call__(self, x):
            return x

    class Steeper(Leaky):
        pass

    @dataclasses.dataclass(frozen=True)
    class Noise(Checked):
        scale: float = 0.1

    @checked
    def ramp(peak, start: Annotated[float, Range(above=0)] = 0.1):
        return peak * start

    assert (Leaky(0.5).slope, Noise(0.2).scale, ramp(2, start=3)) == (0.5, 0.2, 6)
    for made in (lambda: Leaky(1.0), lambda: Steeper(-1), lambda: Noise("a"), lambda: ramp(1.0, 0)):
        with pytest.raises(ValueError, match="must be"):
            made()


def test_networks_with_parts_that_are_right_are_what_they_were():
    """Linen makes modules anew all the time: what is checked must not be in its way."""
    network = models.resnet(8, width=4, connection=nn.Projected(inner=nn.Scaled(beta=0.5)))
    params, state = jax.eval_shape(network.init, jax.random.key(0), jax.ShapeDtypeStruct((2, 8, 8, 3), "float32"))
    assert jax.eval_shape(network.apply, params, state, jax.ShapeDtypeStruct((2, 8, 8, 3), "float32"))[0].shape == (
        2,
        10,
    )
