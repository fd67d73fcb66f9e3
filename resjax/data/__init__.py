"""From a data set to a batch: arrays of one's own, digits, the sets of TensorFlow Datasets; in memory or streamed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["augment", "crop"],  # augmentations of data in memory, and of streamed data
    submod_attrs={
        "batches": ["Batches", "Examples", "Source"],
        "dataset": ["Dataset"],
        "from_arrays": ["arrays", "digits"],
        "in_memory": ["Split"],
        "loading": ["NotPrepared", "load"],
        "streaming": ["Stream"],
    },
)
