"""A release is small, signed and complete, or the run stays as it was."""

import dataclasses
import hashlib
import itertools
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import shared.atomic
import shared.runs
from shared.atomic import atomic_folder
from shared.cli import command
from shared.errors import UserError
from shared.runs import Run, RunError, read_tensors, write_json, write_tensors
from tasks.__main__ import EXAMPLES
from tasks.release import main, release


@dataclasses.dataclass(frozen=True)
class Config:
    units: int = 3


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    """A run of a task `poet`, whose `evaluate` writes one metric into the run that it is given."""
    monkeypatch.setattr(shared.runs, "ROOT", tmp_path)
    package, config, evaluate = (ModuleType(f"tasks.poet{name}") for name in ("", ".config", ".evaluate"))
    config.RELEASED_FILES = ("vocabulary.json", "weights.safetensors", "encoder.safetensors")

    def measure(arguments: list[str]) -> int:
        split, options = arguments[3], arguments[4:]
        copy = Run(Path(arguments[1]))
        with copy.training():  # leaves its lock in the copy
            copy.save_metrics(split, {"verses": 4, "options": options})
        return 0

    evaluate.main = measure
    for name, value in ((package.__name__, package), (config.__name__, config), (evaluate.__name__, evaluate)):
        monkeypatch.setitem(sys.modules, name, value)
    monkeypatch.setitem(EXAMPLES, "poet", {})
    run = Run.create("poet", "sonnets", Config(), {"verse": "abc"})
    run.save_weights({"kernel": np.full((2, 5), 1 / 3, np.float32), "step": np.array(7)})
    run.save_weights({"bias": np.full(3, 1e-3, np.float32)}, "encoder")
    run.save_history([{"epoch": 1, "minutes": 2.0}])
    write_json(run.path / "vocabulary.json", {})
    (run.path / "export" / "1").mkdir(parents=True)
    (run.path / "plots").mkdir()
    (run.path / "plots" / "history.png").write_bytes(b"png")
    write_tensors(
        run.path / ".weights.11111111.safetensors", {"kernel": np.zeros(2, np.float32)}
    )  # of a killed training
    return run


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_released_run_is_rounded_measured_and_signed(run, capsys):
    release("poet", "sonnets", ["--cache"])
    assert capsys.readouterr().out == f"{run.path}\n"
    names = {"config.json", "vocabulary.json", "weights.safetensors", "encoder.safetensors", "metrics.json"}
    assert {path.name for path in run.path.iterdir()} == {*names, "history.csv", "plots"}
    assert run.is_released
    weights = read_tensors(run.path / "weights.safetensors")
    assert (weights["kernel"].dtype, weights["step"].dtype) == (np.float16, np.int64)
    np.testing.assert_array_equal(run.load_weights()["kernel"], np.float32(np.float16(1 / 3)) * np.ones((2, 5)))
    for name in ("weights", "encoder"):
        content = (run.path / f"{name}.safetensors").read_bytes()
        assert run.config[f"{name}_sha256"] == hashlib.sha256(content).hexdigest()
    assert json.loads((run.path / "metrics.json").read_text()) == {
        split: {"verses": 4, "options": ["--cache"]} for split in ("dev", "test")
    }
    with pytest.raises(RunError, match="released already"):
        release("poet", "sonnets")
    assert not list(run.path.parent.glob(".*"))


def test_matrices_of_eight_bits(run, capsys):
    kernel = np.random.default_rng(0).normal(size=(64, 70)).astype(np.float32)
    run.save_weights({"kernel": kernel, "bias": np.full(3, 1 / 3, np.float32)})
    assert main(["poet", "sonnets", "--int8", "--cache"]) == 0
    types = {name: x.dtype.name for name, x in read_tensors(run.path / "weights.safetensors").items()}
    assert types == {"kernel": "int8", "kernel.scale": "float32", "bias": "float16"}
    np.testing.assert_allclose(run.load_weights()["kernel"], kernel, atol=np.abs(kernel).max() / 2 / 127 * 1.001)
    assert run.load_metrics()["test"]["options"] == ["--cache"]
    assert main(["poet", "--int8"]) == 2
    assert "usage: python -m tasks.release TASK RUN [--int8]" in capsys.readouterr().err


def visible(folder: Path) -> dict[str, bytes]:
    return {name: value for name, value in content(folder).items() if not Path(name).name.startswith(".")}


@pytest.mark.parametrize("failure", ["exit code", "exception", "missing corpus", "wrong option", "interruption"])
def test_a_failed_release_leaves_the_run_as_it_was(run, failure, monkeypatch):
    before, evaluate = visible(run.path), sys.modules["tasks.poet.evaluate"]
    errors = {
        "exception": ValueError("no verses"),
        "missing corpus": UserError(f"{run.path}: the corpus is missing"),
        "wrong option": SystemExit(2),
        "interruption": KeyboardInterrupt(),
    }

    def fail(arguments: list[str]) -> int:
        if arguments[3] == "test" and failure in errors:
            raise errors[failure]
        return 2 if arguments[3] == "test" else 0

    measure = evaluate.main
    evaluate.main = fail
    with pytest.raises(UserError if failure == "exit code" else type(errors[failure])):
        release("poet", "sonnets")
    assert visible(run.path) == before
    assert not run.is_released
    assert not list(run.path.parent.glob(".*"))
    evaluate.main = measure
    release("poet", "sonnets")
    assert run.is_released


def test_what_cannot_be_measured_is_said_in_one_line_about_the_run_itself(run, capsys):
    def fail(arguments: list[str]) -> int:
        raise UserError(f"{arguments[1]}: another corpus")

    sys.modules["tasks.poet.evaluate"].main = command(fail)
    assert main(["poet", "sonnets"]) == 2
    reason = f"not released, because it cannot be measured: {run.path}: another corpus"
    assert capsys.readouterr().err == f"error: {run.path}: {reason}\n"


def test_weights_beyond_the_range_of_float16_stay_float32(run):
    weights = {"large": np.array([1e5, 1], np.float32), "small": np.array([65_503, 1 / 3], np.float32)}
    run.save_weights(weights)
    release("poet", "sonnets")
    assert run.load_weights()["large"].tolist() == [1e5, 1]
    assert read_tensors(run.path / "weights.safetensors")["small"].dtype == np.float16


def test_a_linked_run_is_replaced_where_it_is(run, tmp_path):
    elsewhere = tmp_path / "elsewhere" / "sonnets"
    elsewhere.parent.mkdir()
    run.path.rename(elsewhere)
    run.path.symlink_to(elsewhere)
    release("poet", "sonnets")
    assert run.path.is_symlink()
    assert Run(elsewhere).is_released
    assert [path.name for path in elsewhere.parent.iterdir()] == ["sonnets"]


def test_a_run_that_is_released_meanwhile_is_not_trained(run):
    (run.path / ".training").touch()
    with open(run.path / ".training", "rb") as opened:  # by a training that has not locked it yet
        release("poet", "sonnets")
        assert not run._holds(opened)
    with pytest.raises(RunError, match="was just released"), run.training():
        pass


# --- killed ----------------------------------------------------------------------------------------------------------


def is_killed(event: int, action: Callable[[], None]) -> bool:
    """Runs an action in a child process, which is killed just before its n-th operation on files, if it has as many."""
    child = os.fork()
    if not child:
        events = itertools.count()

        def hook(name: str, _: object) -> None:
            if name.startswith(("open", "os.", "shutil.")) and next(events) == event:
                os.kill(os.getpid(), signal.SIGKILL)

        try:
            sys.addaudithook(hook)
            action()
            os._exit(0)
        finally:
            os._exit(1)
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0
    return os.WIFSIGNALED(status)


def fail(*_: object) -> None:
    raise OSError("not supported")


@pytest.mark.campaign
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("exchanges", [True, False], ids=["exchange", "two steps"])
def test_a_release_killed_at_any_moment_can_be_repeated(run, exchanges, tmp_path, monkeypatch):
    if not exchanges:
        monkeypatch.setattr(shared.atomic, "_exchange", fail)
    before, safe = visible(run.path), tmp_path / "safe"
    shutil.copytree(run.path, safe)

    def is_released_when_killed_at(moment: int) -> bool | None:
        """None if the release has fewer operations."""
        shutil.rmtree(run.path)
        shutil.copytree(safe, run.path)
        if not is_killed(moment, lambda: release("poet", "sonnets")):
            return None
        assert [run.name for run in Run.trained("poet")] == ["sonnets"]
        is_released = Run.find("sonnets", "poet", "sonnets").is_released
        if is_released:
            has_leftovers = any(path.name.startswith(".") for path in run.path.parent.iterdir())
            with nullcontext() if has_leftovers else pytest.raises(RunError, match="released already"):
                release("poet", "sonnets")
        else:
            assert visible(run.path) == before
            assert is_killed(10_000, lambda: release("poet", "sonnets")) is False
        assert set(run.load_weights()) == {"kernel", "step"}  # the SHA-256 is checked
        assert set(run.load_metrics()) == {"dev", "test"}
        assert [path.name for path in run.path.parent.iterdir()] == ["sonnets"]
        return is_released

    step = 17  # of the moments, but each of those just before the replacement is seen
    outcomes: dict[int, bool] = {}
    for moment in itertools.count(step=step):
        outcome = is_released_when_killed_at(moment)
        if outcome is None:
            break
        outcomes[moment] = outcome
    first = min(moment for moment, is_released in outcomes.items() if is_released)
    outcomes |= {moment: bool(is_released_when_killed_at(moment)) for moment in range(first - step + 1, first)}
    assert max(outcomes) > 50
    in_order = [outcomes[moment] for moment in sorted(outcomes)]
    assert in_order == sorted(in_order)  # as before until the replacement, released afterwards
    assert {False, True} == set(in_order)


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_the_next_command_that_locks_the_run_removes_what_a_killed_one_left(run):
    assert is_killed(60, lambda: release("poet", "sonnets"))
    assert list(run.path.parent.glob(".sonnets.*"))
    with atomic_folder(run.path.with_name("odes")), run.training():  # a living process keeps its folder
        assert not list(run.path.parent.glob(".sonnets.*"))
        assert not list(run.path.glob(".weights.*"))
        assert list(run.path.parent.glob(".odes.*"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["poet"], "usage: python -m tasks.release TASK RUN"),
        (["painter", "sonnets"], "painter: no such task"),
        (["poet", "odes"], "odes: neither a folder nor a run of task poet; there are sonnets"),
        (["poet", "sonnets", "--split", "test"], "--split: the run itself is measured, on dev and test"),
        (["poet", "sonnets", "--model=odes"], "--model=odes: the run itself is measured, on dev and test"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(run, arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
