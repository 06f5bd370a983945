"""A release is small, signed and complete, or the run stays as it was."""

import dataclasses
import hashlib
import json
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import shared.runs
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
        Run(Path(arguments[1])).save_metrics(split, {"verses": 4, "options": options})
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
    write_tensors(run.path / ".weights.1.safetensors", {"kernel": np.zeros(2, np.float32)})  # of a killed training
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


@pytest.mark.parametrize("failure", ["exit code", "exception", "interruption"])
def test_a_failed_release_leaves_the_run_as_it_was(run, failure, monkeypatch):
    before = content(run.path)

    def fail(arguments: list[str]) -> int:
        if arguments[3] == "test":
            if failure == "exit code":
                return 2
            raise KeyboardInterrupt if failure == "interruption" else ValueError("no verses")
        return 0

    monkeypatch.setattr(sys.modules["tasks.poet.evaluate"], "main", fail)
    errors = {"exit code": UserError, "exception": ValueError, "interruption": KeyboardInterrupt}
    with pytest.raises(errors[failure]):
        release("poet", "sonnets")
    after = content(run.path)
    assert {name: after[name] for name in before if not name.startswith(".")} == {
        name: value for name, value in before.items() if not name.startswith(".")
    }
    assert not run.is_released
    monkeypatch.undo()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["poet"], "usage: python -m tasks.release TASK RUN"),
        (["painter", "sonnets"], "painter: no such task"),
        (["poet", "odes"], "odes: neither a folder nor a run of task poet"),
    ],
)
def test_wrong_arguments_are_refused_in_one_line(run, arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert message in error
