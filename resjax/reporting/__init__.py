"""What the depth report sees of a network and thinks of it: will this block train at that depth, and why?"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        *("asked", "assess", "calibrated", "checks", "indicators", "laws", "learned", "limits", "start", "trained"),
    ],
)
