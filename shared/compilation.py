"""JAX's compiled functions are kept for the next start of a command, in a cache folder of the user.

Files of the folder that are damaged, or cannot be written, cost a compilation and nothing else.
"""

import hashlib
import os
import sys
import warnings
from pathlib import Path

from shared.machine import processor_fields

MIN_SECONDS = 0.1  # a compilation that takes less is not kept


def user_cache() -> Path:
    """The folder of this project among the user's caches; RuntimeError if there is no home."""
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root, "quatrain")


def cache_folder() -> Path:
    """The folder for this processor, whose instructions the functions use: a home may be that of many machines."""
    fields = processor_fields()
    instructions = fields.get("flags") or fields.get("Features") or ""  # on x86 and ARM
    return user_cache() / f"jax-{hashlib.sha256(instructions.encode()).hexdigest()[:16]}"


def install() -> None:
    """Sets JAX's options that are not set; they have an effect if JAX is imported later."""
    try:
        folder = str(cache_folder())
    except RuntimeError:  # no home
        return
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", folder)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", str(MIN_SECONDS))
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache")
