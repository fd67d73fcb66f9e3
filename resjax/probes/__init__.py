"""Reading a network: functions of its `apply` and its parameters that ride the scan.

However deep the network, a probe costs about a pass over it, and its program does not grow.
"""

from resjax.probes import (
    blocks,
    gradients,
    hessian,
    inverse,
    jacobian,
    landscape,
    lesions,
    lipschitz,
    paths,
    reading,
    signals,
    whiteness,
)

__all__ = (
    "blocks",
    "gradients",
    "hessian",
    "inverse",
    "jacobian",
    "landscape",
    "lesions",
    "lipschitz",
    "paths",
    "reading",
    "signals",
    "whiteness",
)
