"""The backend that Keras gets, and the one line when there is none; each case is a new process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import backend
from shared.backend import BackendError, choose, require_tensorflow

pytestmark = pytest.mark.any_backend
ROOT = Path(__file__).parents[2]


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Sets what is installed; neither `KERAS_BACKEND` nor `keras.json` says anything."""
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def install(*packages: str) -> None:
        monkeypatch.setattr(backend, "is_installed", lambda package: package in packages)

    return install


@pytest.mark.parametrize(
    ("saved", "packages", "expected"),
    [
        ("", ("tensorflow", "jax"), "tensorflow"),
        ("", ("jax",), "jax"),
        ('{"backend": "jax"}', ("tensorflow", "jax"), "jax"),
        ('{"backend": "tensorflow"}', ("jax",), "jax"),  # Keras writes it wherever it is imported first
        ('{"backend": "torch"}', ("torch", "jax"), "jax"),
        ('{"backend": ', ("tensorflow",), "tensorflow"),
        ("[]", ("tensorflow",), "tensorflow"),
    ],
)
def test_the_backend_is_the_saved_one_or_an_installed_one(installed, tmp_path, saved, packages, expected):
    installed(*packages)
    if saved:
        (tmp_path / "keras.json").write_text(saved)
    assert choose() == expected


def test_keras_backend_decides(installed, monkeypatch, tmp_path):
    installed("tensorflow", "jax")
    (tmp_path / "keras.json").write_text('{"backend": "tensorflow"}')
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    assert choose() == "jax"
    monkeypatch.setenv("KERAS_BACKEND", "")  # as Keras reads it
    assert choose() == "tensorflow"


@pytest.mark.parametrize(
    ("named", "packages", "message"),
    [
        ("torch", ("torch", "jax"), "KERAS_BACKEND=torch: one of tensorflow, jax was expected"),
        ("numpy", ("jax",), "KERAS_BACKEND=numpy: one of tensorflow, jax was expected"),
        ("jax", ("tensorflow",), "KERAS_BACKEND=jax: jax is not installed; run pip install -e '.[jax]'"),
        (
            "",
            ("numpy",),
            "neither TensorFlow nor JAX is installed; run pip install -e '.[tensorflow]' or pip install -e '.[jax]'",
        ),
    ],
)
def test_without_a_backend_one_line_says_what_to_do(installed, monkeypatch, named, packages, message):
    installed(*packages)
    monkeypatch.setenv("KERAS_BACKEND", named)
    with pytest.raises(BackendError) as error:
        choose()
    assert str(error.value) == message


def test_what_needs_tensorflow_says_so(installed, monkeypatch):
    installed("jax")
    with pytest.raises(BackendError, match=r"^a SavedModel needs TensorFlow, which is not installed; run pip install"):
        require_tensorflow("a SavedModel")
    installed("jax", "tensorflow")
    require_tensorflow("a SavedModel", as_backend=True)
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    require_tensorflow("a SavedModel")
    with pytest.raises(BackendError, match=r"TensorFlow, and the backend is jax; set KERAS_BACKEND=tensorflow$"):
        require_tensorflow("a SavedModel", as_backend=True)


def python(program: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.slow
def test_importing_keras_chooses_the_backend(tmp_path):
    """Whichever is installed here; `shared` itself imports neither."""
    program = """
import sys, shared
assert not {"keras", "tensorflow", "jax"} & sys.modules.keys()
import keras, os
print(keras.backend.backend(), os.environ["KERAS_BACKEND"])
"""
    done = python(program, KERAS_BACKEND="", KERAS_HOME=str(tmp_path))
    expected = "tensorflow" if backend.is_installed("tensorflow") else "jax"
    assert (done.stderr, done.stdout) == ("", f"{expected} {expected}\n")


def test_a_command_with_another_backend_ends_with_one_line():
    done = python(
        "import sys; from tasks.__main__ import run; sys.exit(run(['generate', '--prompt', 'a']))",
        KERAS_BACKEND="torch",
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: KERAS_BACKEND=torch: one of tensorflow, jax was expected\n"
