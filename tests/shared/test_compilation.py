"""JAX's compiled functions are kept for the next start."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared import compilation
from shared.backend import is_installed

pytestmark = pytest.mark.any_backend

PROGRAM = """
import shared
import jax
import jax.monitoring
hits = []
jax.monitoring.register_event_listener(lambda event, **_: hits.append(event) if event.endswith("cache_hits") else None)
jax.jit(lambda x: x * 2 + 1)(3.0)
print(len(hits))
"""


def start(folder: Path) -> subprocess.CompletedProcess:
    """Compiles a function in a new process; the output is the number of functions that it found."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("JAX_")}
    environment |= {"XDG_CACHE_HOME": str(folder), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    return subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)


@pytest.mark.slow
@pytest.mark.skipif(not is_installed("jax") or sys.platform != "linux", reason="JAX is not installed")
def test_a_second_start_finds_what_the_first_has_compiled(tmp_path):
    first, second = start(tmp_path), start(tmp_path)
    assert int(first.stdout) == 0
    assert int(second.stdout) > 0
    for path in tmp_path.rglob("*-cache"):
        path.write_bytes(b"damaged")
    third = start(tmp_path)
    assert int(third.stdout) == 0
    assert third.stderr == ""


def test_what_is_set_is_kept(monkeypatch, tmp_path):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "/elsewhere")
    monkeypatch.delenv("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", raising=False)
    compilation.install()
    assert os.environ["JAX_COMPILATION_CACHE_DIR"] == "/elsewhere"
    assert float(os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"]) == compilation.MIN_SECONDS


def test_without_a_home_nothing_is_kept(monkeypatch):
    def no_home():
        raise RuntimeError

    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("LOCALAPPDATA", raising=False)
    monkeypatch.setattr(compilation.Path, "home", no_home)
    compilation.install()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ
