"""Commands in processes that cannot import Keras, with a cache of functions of their own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.runs import Run

ROOT = Path(__file__).parents[1]
PROGRAM = """
import sys
import shared
module, packages, saved_models, *arguments = sys.argv[1:]
sys.modules |= dict.fromkeys(packages.split())  # none can be imported
import importlib
import shared.runs
from pathlib import Path
shared.runs.ROOT = Path(saved_models)
sys.exit(importlib.import_module(module).main(arguments))
"""


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: Any) -> Iterator[None]:
    """A cache of the user for the tests of the module that imports this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def run_without(packages: str, module: str, run: Run, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs the command of a module, among the runs beside `run`, where these packages cannot be imported."""
    command = [sys.executable, "-c", PROGRAM, module, packages, str(run.path.parent.parent), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
