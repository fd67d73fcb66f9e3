"""Will a block train, and why: from an experiment's trials, or from objects, to tables, a figure and a page."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["figures", "page", "tables", "trials"],
    submod_attrs={"library": ["Report", "report"]},
)
