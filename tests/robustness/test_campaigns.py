"""The campaigns in short; `make fuzz` and `make kill` run them at length."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HARMLESS = {"answered", "refused in one line", "resumed, nothing lost"}


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory):
    """The counts of verdicts of each campaign, and what the campaigns print."""
    folder = tmp_path_factory.mktemp("campaigns") / "own"
    command = [sys.executable, "-m", "tests.robustness", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "short.json").read_text()), done.stdout


@pytest.mark.slow
@pytest.mark.parametrize(("name", "least"), [("files", 55), ("commands", 10), ("kills", 2)])
def test_no_case_fails(campaigns, name, least):
    counts, output = campaigns
    assert sum(counts[name].values()) >= least
    assert not counts[name].keys() - HARMLESS, output
    assert len(counts[name]) == (1 if name == "kills" else 2)  # some are answered, some are refused
