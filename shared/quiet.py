"""Keeps the start-up messages of TensorFlow and JAX out of standard error, but not their errors.

`import tensorflow`, and `import jax` with its CUDA plugin, write to file descriptor 2 from C++ before any log level
applies. TensorFlow's first search for a GPU, and the first use of some operations, log errors without consequences.
`install` adds import hooks that capture descriptor 2 during all of these and write back every line that is not one of
their messages. JAX must not look for devices yet: that comes after its processes are connected. A program that imports
either before this package sees the messages.
"""

import importlib.abc
import importlib.util
import logging
import os
import re
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

STARTUP = re.compile(
    rb"All log messages before absl::InitializeLog|port\.cc:\d+\] oneDNN custom operations|cudart_stub\.cc:\d+\]"
    rb"|cpu_feature_guard\.cc|^To enable the following instructions|cuda_platform\.cc:\d+\] failed call to cuInit"
    rb"|Unable to register cu\w+ factory|TF-TRT Warning|oneDNN supports DT_\w+ only on platforms"
)
# Of a loaded SavedModel, which is not trained; of a TFDS builder with a configuration, as intended; of several models
# in one process, each of which is traced once.
HARMLESS = re.compile(
    "with ops with unsaved custom gradients|^Using custom data configuration|triggered tf.function retracing"
)
# Of JAX's CUDA plugin on a machine without a GPU; where there is one, it says why it is not used.
WITHOUT_GPU = re.compile("^Jax plugin configuration error: Exception when calling")


class QuietImport(importlib.abc.MetaPathFinder):
    """Finds a package once and captures what its import, and then `start`, writes to standard error."""

    def __init__(self, package: str, start: Callable[[Any], None] = lambda module: None):
        self.package, self.start = package, start

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != self.package:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                with startup_messages_dropped():
                    execute(module)
                    self.start(module)
                filter_logs()

            spec.loader.exec_module = exec_module
        return spec


def start_tensorflow(tf: Any) -> None:
    """Searches for a GPU; and transposes integers, because the first time logs that oneDNN does not have it."""
    tf.config.list_physical_devices()
    tf.transpose(tf.zeros((2, 2), tf.int32))


_DESCRIPTOR = threading.Lock()  # one capture at a time: each puts back what it found


@contextmanager
def standard_error_captured() -> Iterator[list[bytes]]:
    """Captures file descriptor 2 within the block, whatever the language that writes to it.

    Yields a list that has the lines after the block.
    """
    lines: list[bytes] = []
    with _DESCRIPTOR:
        try:
            stderr = os.dup(2)
        except OSError:  # standard error is closed
            yield lines
            return
        with tempfile.TemporaryFile() as captured:
            os.dup2(captured.fileno(), 2)
            try:
                yield lines
            finally:
                os.dup2(stderr, 2)
                os.close(stderr)
                captured.seek(0)
                lines += captured


@contextmanager
def startup_messages_dropped() -> Iterator[None]:
    """Captures file descriptor 2 within the block; afterwards writes the lines that do not match `STARTUP` to it."""
    lines: list[bytes] = []
    try:
        with standard_error_captured() as lines:
            yield
    finally:
        for line in lines:
            if not STARTUP.search(line):
                with suppress(OSError):  # standard error cannot be written to
                    os.write(2, line)


def filter_logs() -> None:
    """Drops the harmless messages from the Python loggers of TensorFlow, TFDS and JAX."""
    import absl.logging  # noqa: F401  # replaces the class of the logger "absl", so it must come first

    for name in ("tensorflow", "absl", "jax._src.xla_bridge"):
        logger = logging.getLogger(name)
        if _is_meaningful not in logger.filters:
            logger.addFilter(_is_meaningful)


def _is_meaningful(record: logging.LogRecord) -> bool:
    message = str(record.msg)
    return not HARMLESS.search(message) and (has_gpu() or not WITHOUT_GPU.search(message))


def has_gpu() -> bool:
    """Whether the machine has a GPU of NVIDIA, by the files of its driver."""
    return any(Path("/dev").glob("nvidia[0-9]*"))


def install() -> None:
    """Sets the log level of both to errors, unless it is set, and hooks the imports that are still to come."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # JAX reads it too
    if not any(isinstance(finder, QuietImport) for finder in sys.meta_path):
        finders = QuietImport("tensorflow", start_tensorflow), QuietImport("jax")
        sys.meta_path[:0] = [finder for finder in finders if finder.package not in sys.modules]
