"""Keeps TensorFlow's start-up messages out of standard error, but not its errors.

`import tensorflow` writes to file descriptor 2 from C++ before any log level applies. The first search for a GPU, and
the first use of some operations, log errors without consequences. `install` adds an import hook that captures
descriptor 2 during all of these and writes back every line that is not one of their messages. A program that imports
TensorFlow before this package sees the messages.
"""

import importlib.abc
import importlib.util
import logging
import os
import re
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
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


class QuietImport(importlib.abc.MetaPathFinder):
    """Finds `tensorflow` once and captures what its import writes to standard error."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                with startup_messages_dropped():
                    execute(module)
                    module.config.list_physical_devices()
                    # The first transposition of integers logs that oneDNN does not have it.
                    module.transpose(module.zeros((2, 2), module.int32))
                filter_logs()

            spec.loader.exec_module = exec_module
        return spec


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
    """Drops the messages in `HARMLESS` from the Python loggers of TensorFlow and TFDS."""
    import absl.logging  # noqa: F401  # replaces the class of the logger "absl", so it must come first

    for name in ("tensorflow", "absl"):
        logger = logging.getLogger(name)
        if _is_meaningful not in logger.filters:
            logger.addFilter(_is_meaningful)


def _is_meaningful(record: logging.LogRecord) -> bool:
    return not HARMLESS.search(str(record.msg))


def install() -> None:
    """Sets TensorFlow's log level to errors, unless it is set, and hooks its import, unless it is imported."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" not in sys.modules and not any(isinstance(finder, QuietImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, QuietImport())
