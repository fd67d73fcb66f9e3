"""Files, signals, processes and devices."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["distributed", "errors", "files", "interrupts", "lock", "memory", "platform", "sharding"],
)
