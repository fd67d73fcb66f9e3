"""What users might bring that cannot work."""

import flax.linen as nn
import jax.numpy as jnp
import optax

import resjax as rj


class WithoutTrain(nn.Module):
    """Is not told whether it trains."""

    def __call__(self, x):
        return x


class WrongShape(nn.Module):
    """Multiplies matrices that do not fit."""

    def __call__(self, x, train):
        return x @ jnp.ones((3, 2))


class WrongType(nn.Module):
    """Shifts the bits of what has none."""

    def __call__(self, x, train):
        return jnp.left_shift(x, 2)


class Narrow(nn.Module):
    """Would be broadcast in silence."""

    def __call__(self, x, train):
        return x.mean(-1, keepdims=True)


class Single(nn.Module):
    """Makes float32 of all."""

    def __call__(self, x, train):
        return x.astype(jnp.float32)


class Faulty(nn.Module):
    """Has a bug."""

    def __call__(self, x, train):
        return {}["scale"] * x


class NoDouble(nn.Module):
    """Cannot do what networks that are only read are asked to."""

    def __call__(self, x, train):
        if x.dtype == jnp.float64:
            raise TypeError("has no float64")
        return x


class NoConnection:
    """Has the method, not the class."""

    def write(self, x, f, c, place):
        return x + f


class ShortWrite(rj.nn.Connection):
    """Wants less than it gets."""

    def write(self, x, f):
        return x + f


def rate_alone(learning_rate):
    """An optimiser that takes no weight decay."""
    return optax.sgd(learning_rate)


def no_optimizer(learning_rate, weight_decay):
    """Gives the class, not an object of it."""
    return optax.GradientTransformation


def one_argument(learning_rate, weight_decay):
    """Its update takes no weights."""
    return optax.GradientTransformation(lambda params: (), lambda gradient, state: (gradient, state))


def of_peak(peak):
    """A schedule that takes no steps."""
    return lambda step: peak


def negative(peak, steps):
    """Falls below zero."""
    return lambda step: peak - step


def nothing(peak, steps):
    """Never moves."""
    return lambda step: 0 * peak


def vector(peak, steps):
    """Several rates at a time."""
    return lambda step: peak * jnp.ones(3)


def branching(peak, steps):
    """Looks at what is traced."""
    return lambda step: peak if step > 3 else 0.0


def without_key():
    """An augmentation that draws nothing."""
    return lambda images: images


def cut():
    """An augmentation that changes the size."""
    return lambda key, images: images[:, :4]


def bare(x):
    """The activation itself, not a function that gives one."""
    return x


def shape_alone():
    """An initialiser that takes no type."""
    return lambda key, shape: jnp.zeros(shape)


def of_blocks(blocks):
    """A schedule of survival with another argument."""
    return [1] * blocks
