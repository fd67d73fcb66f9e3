"""How all blocks of a network stretch the stream, and whether what went through them can be computed back."""

import jax
from jaxtyping import Array, PRNGKeyArray, Shaped

from resjax.network import Network
from resjax.probes import determinants, recovery, total_jacobian
from resjax.probes.once import jit_once
from resjax.random_streams import stream


def undoing(
    network: Network, params: dict, state: dict, x: Shaped[Array, "B ..."], key: PRNGKeyArray
) -> tuple[dict[str, float], float]:
    """The measures of `total_jacobian.spread` and `recovery.measures`; and the stream's mean square before the blocks.

    And logdet, the mean of log |det| of the Jacobian of all blocks over the examples, with what the blocks' Lipschitz
    constants promise and allow: logdet_lower, logdet_upper (see `determinants.bounds`).

    Args:
      network, params, state: a network whose blocks keep the shape of the stream.
      x: inputs, in float64.
      key: of Lanczos' algorithm, by its stream.
    """
    key = stream(key, "lanczos")
    read = jit_once(total_jacobian.stretching, network)
    values, logdet, square = jax.device_get(read(network, params, state, x, key))
    back = recovery.recover(network, params, state, x, key)
    size = back.before[0].size
    lower, upper = determinants.bounds(back.upper, size)
    row = {"logdet": float(logdet.mean()), "logdet_lower": lower, "logdet_upper": upper}
    return row | total_jacobian.spread(values, size) | recovery.measures(back), float(square)
