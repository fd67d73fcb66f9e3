"""From a command line to a table and a figure."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "bench",
        "config",
        "environment",
        "figures",
        "flags",
        "names",
        "optimizer",
        "options",
        "papers",
        "part",
        "pictures",
        "plan",
        "presets",
        "registry",
        "running",
        "start",
        "statistics",
        "store",
        "study",
        "surfaces",
        "sweep",
        "tables",
        "train",
        "trial",
        "tuning",
        "view",
        "wide_limit",
        "workdir",
        "workers",
    ],
)
