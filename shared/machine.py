"""What the machine has: its processor, the user's cache folder, and the ImageNet weights in Keras' cache."""

import hashlib
import os
import platform
import sys
from pathlib import Path

VECTOR_INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16")


def keras_folder() -> Path:
    """Keras' own folder, also for a user without a home."""
    return Path(os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras"))


def imagenet_folder() -> Path:
    """The folder where Keras keeps pretrained weights."""
    return keras_folder() / "models"


def has_imagenet_weights() -> bool:
    """Whether the weights of MobileNetV2, the captioner's encoder, are in Keras' cache; else Keras fetches them."""
    return any(imagenet_folder().glob("mobilenet_v2*"))


def processor_fields() -> dict[str, str]:
    """The fields of the first core in /proc/cpuinfo; empty where the system has no such file."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return dict(reversed([[part.strip() for part in line.split(":", 1)] for line in lines if ":" in line]))


def processor_name() -> str:
    """The processor as its maker calls it."""
    return processor_fields().get("model name") or platform.processor() or platform.machine()


def vector_instructions() -> str:
    """The processor's instructions for matrix products, as Linux calls them; "unknown" without /proc/cpuinfo."""
    flags = processor_fields().get("flags", "").split()
    return " ".join(name for name in VECTOR_INSTRUCTIONS if name in flags) or "unknown"


def instructions() -> str:
    """A hash of the processor's instructions, to name a folder of machine code: a home may be that of many machines."""
    fields = processor_fields()
    return hashlib.sha256((fields.get("flags") or fields.get("Features") or "").encode()).hexdigest()[:16]


def user_cache() -> Path:
    """The folder of this project among the user's caches; RuntimeError if there is no home."""
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        root = Path.home() / "Library" / "Caches"
    else:
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root, "quatrain")
