"""Weight initialisers by the names that JAX gives them.

`normal(stddev=0.02)` and `constant(value=0.1)` take their argument from the command line.
"""

from jax.nn import initializers

from resjax import names


def zeros():
    """All weights zero; `jax.nn.initializers.zeros` is the initialiser itself, not a factory."""
    return initializers.zeros


INITIALIZERS = {
    name: getattr(initializers, name)
    for name in (
        "he_normal", "he_uniform", "xavier_normal", "xavier_uniform", "glorot_normal", "glorot_uniform",
        "lecun_normal", "lecun_uniform", "orthogonal", "normal", "constant",
    )
} | {"zeros": zeros}  # fmt: skip


def build(text: str):
    """The initialiser that `text` names: a function (key, shape, dtype) -> array."""
    return names.build(text, "initializer", INITIALIZERS)
