"""What a connection multiplies stream and branch with, where that is known: y = ax + bF(x)."""

from typing import Any

import numpy as np
from jaxtyping import Float

from resjax.nn.connection import Connection, Factors
from resjax.nn.place import Place


def known(connection: Connection, place: Place, params: Any = None) -> Factors:
    """a and b of ax + bF(x), at the start or for these parameters of the connection.

    None where the connection says that it is none such, and where the branch gets something else than x.
    """
    kind = type(connection)
    reads = kind.read is not Connection.read or kind.widen is not Connection.widen
    return None if reads else connection.factors(place, params)


def paths(
    connection: Connection, length: int, kinds: int = 1
) -> tuple[Float[np.ndarray, " L"], Float[np.ndarray, " L"]] | None:
    """The squares of the factors with which x and F(x) enter each of `length` blocks at the start; or None.

    `kinds` of blocks take turns, as attention and MLP do.
    """
    factors = known(connection, Place(np.arange(1, length + 1), length, kinds))
    if factors is None:
        return None
    direct, branch = (np.broadcast_to(np.asarray(factor**2, float), length) for factor in factors)
    return direct, branch
