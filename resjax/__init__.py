"""resjax: how deep can a network go, and why?

Submodules load when first used (`resjax.networks`, `resjax.train`, …), so a command can answer
`--help` or refuse a bad flag without paying for the import of JAX.
"""

import importlib
import pkgutil

_SUBMODULES = tuple(module.name for module in pkgutil.iter_modules(__path__))


def __getattr__(name):
    if name in _SUBMODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_SUBMODULES])
