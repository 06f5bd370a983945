"""What the machine has: its processor, the user's cache folder, and the ImageNet weights in Keras' cache."""

import hashlib
import math
import os
import platform
import sys
from pathlib import Path

VECTOR_INSTRUCTIONS = ("avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16")


def cores(root: Path = Path("/")) -> int:
    """The cores that this process may use at a time: those of its affinity, or fewer by the quota of a container.

    `root` is the folder with `proc/` and `sys/`.
    """
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(allowed, _quota(root))))


def _quota(root: Path) -> float:
    """Cores' worth of time that Linux gives to the control groups of this process; infinite without a limit."""
    groups, quotas = root / "sys/fs/cgroup", [math.inf]
    try:
        lines = (root / "proc/self/cgroup").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return math.inf
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, colon, path = rest.partition(":")
        if not colon or (controllers and "cpu" not in controllers.split(",")):
            continue
        folder = groups / controllers  # version 1 has one for its controllers, version 2 names none
        group = folder / path.lstrip("/")
        for within in (group, *group.parents):
            if not within.is_relative_to(folder):
                break
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if controllers else ("cpu.max",)
            try:  # the root has no file; `max` is no limit
                quota, period = " ".join((within / name).read_text() for name in names).split()
                quotas.append(int(quota) / int(period) if int(quota) > 0 else math.inf)
            except (OSError, ValueError, ZeroDivisionError):
                continue
    return min(quotas)


def thread_limit() -> int | None:
    """The number of threads for a library that counts the cores of the machine; None if they are all for this process.

    With more threads than the quota of a container has cores, Linux stops them all by turns.
    """
    count = cores()
    return count if count < (os.cpu_count() or 1) else None


def limit_threads() -> None:
    """Makes TensorFlow and JAX, if they are imported later, start no more threads than `thread_limit`."""
    if (count := thread_limit()) is not None:
        for name in ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "NPROC"):  # the last is for JAX
            os.environ.setdefault(name, str(count))


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
