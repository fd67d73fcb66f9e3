"""From a network and its data to trained weights."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        *("checkpoint", "compilation", "evaluation", "fit", "loop", "losses", "metrics", "optimizers", "search"),
        *("step", "tasks"),
    ],
)
