"""The backend of Keras, TensorFlow or JAX, which is chosen when Keras is imported.

The first of these: `KERAS_BACKEND`; the backend in `keras.json`, if it is installed; TensorFlow; JAX. Keras alone takes
TensorFlow even where it is not installed, and writes that to `keras.json`.
"""

import importlib.abc
import importlib.machinery
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.machinery import ModuleSpec
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType
from typing import Any

from shared.errors import UserError
from shared.machine import keras_folder, limit_threads

BACKENDS = ("tensorflow", "jax")
INSTALL = "pip install -e '.[{}]'"


class BackendError(UserError):
    """Keras has no backend that can be used; the message says what to set or to install."""


def is_installed(package: str) -> bool:
    """Whether a package can be imported; it is not imported."""
    return importlib.machinery.PathFinder.find_spec(package) is not None  # `find_spec` would call `QuietImport`


def installed_version(package: str) -> str | None:
    """The version of a package, which may be installed as the distribution `<package>-cpu`; None if it is missing."""
    for distribution in (package, f"{package}-cpu"):
        with suppress(PackageNotFoundError):
            return version(distribution)
    return None


def choose() -> str:
    """The backend of this process; raises BackendError if there is none."""
    if named := os.environ.get("KERAS_BACKEND"):
        if named not in BACKENDS:
            raise BackendError(f"KERAS_BACKEND={named}: one of {', '.join(BACKENDS)} was expected")
        if not is_installed(named):
            raise BackendError(f"KERAS_BACKEND={named}: {named} is not installed; run {INSTALL.format(named)}")
        return named
    for name in (_saved(), *BACKENDS):
        if name in BACKENDS and is_installed(name):
            return name
    commands = " or ".join(INSTALL.format(name) for name in BACKENDS)
    raise BackendError(f"neither TensorFlow nor JAX is installed; run {commands}")


def _saved() -> str | None:
    """The backend in Keras' file of settings."""
    with suppress(OSError, ValueError, AttributeError):
        return json.loads(keras_folder().joinpath("keras.json").read_text(encoding="utf-8")).get("backend")
    return None


def require_tensorflow(purpose: str, as_backend: bool = False) -> None:
    """Raises BackendError unless TensorFlow is installed and, with `as_backend`, is the backend."""
    if not is_installed("tensorflow"):
        raise BackendError(f"{purpose} needs TensorFlow, which is not installed; run {INSTALL.format('tensorflow')}")
    if as_backend and (chosen := choose()) != "tensorflow":
        raise BackendError(f"{purpose} needs TensorFlow, and the backend is {chosen}; set KERAS_BACKEND=tensorflow")


class ChoiceAtImport(importlib.abc.MetaPathFinder):
    """Sets `KERAS_BACKEND` when Keras is imported; finds nothing."""

    def find_spec(self, fullname: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if fullname == "keras":
            os.environ["KERAS_BACKEND"] = choose()
            sys.meta_path.remove(self)
        return None


@contextmanager
def without_keras() -> Iterator[None]:
    """Within the block an import of Keras fails, unless it is imported already.

    `import tensorflow` imports Keras, for 40 % of its time, and does without it where it is not installed.
    """
    if "keras" in sys.modules:
        yield
        return
    sys.modules["keras"] = None  # pyright: ignore[reportArgumentType]
    try:
        yield
    finally:
        del sys.modules["keras"]


def install() -> None:
    """Chooses the backend when Keras is imported, and limits its threads to the cores that this process may use.

    Raises:
        BackendError: Keras is imported already, with another backend.
    """
    limit_threads()
    if "keras" in sys.modules:
        if (loaded := sys.modules["keras"].config.backend()) not in BACKENDS:
            raise BackendError(f"Keras runs on {loaded}; set KERAS_BACKEND to one of {', '.join(BACKENDS)}")
    elif not any(isinstance(finder, ChoiceAtImport) for finder in sys.meta_path):
        sys.meta_path.insert(0, ChoiceAtImport())
