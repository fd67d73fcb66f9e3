"""From a command line to a table and a figure."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "config",
        "figures",
        "flags",
        "initial",
        "names",
        "optimizer",
        "other_runs",
        "plan",
        "presets",
        "registry",
        "session",
        "trial",
        "workdir",
    ],
)
