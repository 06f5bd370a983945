"""The campaigns in short, which `make campaigns` runs, and a few cases of each; `make fuzz` and `make kill` run them at
length."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.robustness import commands, files, kills, tiny
from tests.robustness.workers import ANSWERED, REFUSED, TRACEBACK, Outcome

ROOT = Path(__file__).parents[2]
HARMLESS = {ANSWERED, REFUSED, kills.SAME}


@pytest.fixture(scope="module")
def campaigns(tmp_path_factory):
    """The counts of verdicts of each campaign, and what the campaigns print."""
    folder = tmp_path_factory.mktemp("campaigns") / "own"
    command = [sys.executable, "-m", "tests.robustness", str(folder)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads((folder / "short.json").read_text()), done.stdout


@pytest.mark.campaign
@pytest.mark.parametrize(("name", "least"), [("files", 55), ("commands", 10), ("kills", 2)])
def test_no_case_fails(campaigns, name, least):
    counts, output = campaigns
    assert sum(counts[name].values()) >= least
    assert not counts[name].keys() - HARMLESS, output
    assert len(counts[name]) == (1 if name == "kills" else 2)  # some are answered, some are refused


def test_files_of_each_kind(capfd):
    kinds = [kind for kind in files.KINDS if kind not in files.NEED_RUNS]
    with capfd.disabled():  # standard error is that of the process, which a campaign reads
        outcomes = [files.judge_in_fresh_folder(1, (kind, index)) for kind in kinds for index in range(3)]
    assert {outcome.verdict for outcome in outcomes} == {ANSWERED, REFUSED}, outcomes


def ends_with(code: int, words: str = ""):
    """The `main` of a command that writes words to standard error."""
    return lambda arguments: print(words, end="", file=sys.stderr) or code


def fails(arguments: list[str]) -> int:
    raise KeyError("a")


def overwrites(arguments: list[str]) -> int:
    Path("lines.txt").write_text("lost")
    return 0


@pytest.mark.parametrize(
    ("main", "verdict"),
    [
        (ends_with(0), ANSWERED),
        (ends_with(2, "error: x was expected\n"), REFUSED),
        (ends_with(2), commands.WRONG_CODE),
        (ends_with(3, "error: x\n"), commands.WRONG_CODE),
        (ends_with(0, "W0000 a log\n"), commands.STRAY),
        (fails, TRACEBACK),
        (overwrites, commands.CHANGED),
    ],
)
def test_a_command(tmp_path, monkeypatch, main, verdict):
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("tasks.doctor.main", main)
    assert commands.judge(1, ("doctor", 0), tmp_path / "own").verdict == verdict


def write_parts(task: str, remembers: bool) -> None:
    """A training of two parts, each complete or missing; one that remembers counts its beginnings too."""
    import shared.runs

    run = shared.runs.ROOT / task / tiny.RUN
    run.mkdir(parents=True, exist_ok=True)
    if remembers:
        (run / f"begun-{len(list(run.iterdir()))}").touch()
    for name in ("first", "second"):
        if not (run / name).exists():
            (run / f".{name}").write_text(name)
            os.rename(run / f".{name}", run / name)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize(("remembers", "verdict"), [(False, kills.SAME), (True, kills.DIFFERENT)])
def test_kills_of_a_training(tmp_path, monkeypatch, remembers, verdict):
    import shared.training  # noqa: F401 - with TensorFlow, once for all forked processes

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(kills, "TIMED", 0)
    monkeypatch.setattr(tiny, "train", lambda task: write_parts(task, remembers))
    outcomes: list[Outcome] = []
    chain = kills.Chain("translator", "cold training", 0)
    count = kills.Kills(tmp_path, seed=1).run(chain, 3, lambda outcome, phase: outcomes.append(outcome))
    assert count == len(outcomes) > 0
    assert {outcome.verdict for outcome in outcomes} == {verdict}, outcomes
