"""How a probe of a whole network is compiled that runs once: where compiling takes longer than computing."""

from collections.abc import Callable

import jax

from resjax.network import Network
from resjax.nn.stems import DenseStem
from resjax.training.compilation import jit_unoptimized


def jit_once(function: Callable, network: Network) -> Callable:
    """`jax.jit` of a function whose first argument is the network; for dense ones without XLA's optimisation on a CPU.

    For images with it, for without it XLA's float64 convolutions crawl.
    """
    return jit_unoptimized(function, 0) if isinstance(network.stem, DenseStem) else jax.jit(function, static_argnums=0)
