"""Compile time: programs that run only once or a few times, and programs that the next process need not compile."""

import functools
import sys
import warnings
from collections.abc import Callable
from typing import Any

import jax
from etils import epath
from jax._src import compilation_cache  # JAX has no option for it

from resjax.system.files import absolute, writable


@functools.cache
def jit_unoptimized(function: Callable, static_argnums: int | tuple[int, ...] = ()) -> Any:
    """`jax.jit` of a function, on a CPU without XLA's optimisation, which takes a third of the time."""
    options = {"xla_backend_optimization_level": 0} if jax.default_backend() == "cpu" else None
    return jax.jit(function, static_argnums=static_argnums, compiler_options=options)


def keep(folder: epath.Path) -> None:
    """Keeps compiled programs in a folder, from which a restarted run loads them.

    The user's own choice (`JAX_COMPILATION_CACHE_DIR`) stands. Damaged programs are compiled again, with one line.
    """
    config: Any = jax.config  # of whose options JAX 0.10 says no types
    if own := not config.jax_compilation_cache_dir:
        config.update("jax_compilation_cache_dir", str(absolute(folder)))
        config.update("jax_persistent_cache_min_compile_time_secs", 0)
        config.update("jax_persistent_cache_min_entry_size_bytes", -1)
        # zstd, which JAX takes where it is there, has no checksum, and a flipped bit would be run; zlib has one
        compilation_cache.zstd = compilation_cache.zstandard = None
    usual = warnings.showwarning
    named: list[str] = []

    def show(message: Any, *arguments: Any, **options: Any) -> None:
        if "persistent compilation cache" not in str(message):
            usual(message, *arguments, **options)
        elif "Error reading" in str(message) and not named and writable(folder):  # else others say what is wrong
            named.append(str(message))
            print(f"{folder} is damaged: compiling again what cannot be read", file=sys.stderr)
            for path in folder.glob("*-cache") if own else ():
                path.unlink(missing_ok=True)  # JAX would leave it as it is, and say so again at every start

    warnings.showwarning = show
