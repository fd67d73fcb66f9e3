"""From a data set to a batch: one's own arrays, what is built in, TensorFlow Datasets; in memory, drawn or streamed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["augment", "crop"],  # augmentations of data in memory, and of streamed data
    submod_attrs={
        "batches": ["Batches", "Examples", "Source"],
        "curves": ["mnist1d"],
        "dataset": ["Dataset"],
        "draws": ["Generated"],
        "from_arrays": ["arrays", "digits"],
        "from_folder": ["folder"],
        "from_npz": ["npz"],
        "from_splits": ["given"],
        "from_text": ["text", "text_digest"],
        "from_tokens": ["sequences"],
        "in_memory": ["Split"],
        "induction_heads": ["induction"],
        "loading": ["BUILT_IN", "load"],
        "prepared": ["NotPrepared"],
        "sources": ["Wanted"],
        "streaming": ["Stream"],
        "tasks": ["generated", "hops", "iterated"],
    },
)
