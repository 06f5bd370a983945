"""JAX's compiled functions are kept for the next start of a command, in a cache folder of the user.

Files of the folder that are damaged, or cannot be written, cost a compilation and nothing else.
"""

import os
import warnings
from pathlib import Path

from shared.machine import instructions, user_cache

MIN_SECONDS = 0.1  # a compilation that takes less is not kept


def cache_folder() -> Path:
    """The folder for this processor."""
    return user_cache() / f"jax-{instructions()}"


def install() -> None:
    """Sets JAX's options that are not set; they have an effect if JAX is imported later."""
    try:
        folder = str(cache_folder())
    except RuntimeError:  # no home
        return
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", folder)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", str(MIN_SECONDS))
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
