"""The commands of docs/your_data.md that start from a released run are understood as the page says."""

import re
import shlex
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from shared.runs import Run

PAGE = (Path(__file__).parents[2] / "docs" / "your_data.md").read_text(encoding="utf-8")
SECTION = PAGE.split("## Start from a trained run")[1].split("\n## ")[0]
COMMANDS = re.findall(r"^quatrain train (.+ --from .+)$", SECTION, re.M)


def test_every_task_has_one():
    assert {command.split()[0] for command in COMMANDS} == {
        "captioner", "language_model", "phoneme_recognizer", "translator",
    }  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_the_configuration_has_the_sizes_of_the_run(command, monkeypatch):
    task, *arguments = shlex.split(command)
    module, config = import_module(f"tasks.{task}.train"), import_module(f"tasks.{task}.config")
    received: list[Any] = []
    monkeypatch.setattr(module, "compile_ahead", lambda cell: None)
    monkeypatch.setattr(module, "train", lambda config, options: received.append(config))
    assert module.main(arguments) == 0
    (found,) = received
    run = Run.find(found.initial_run, task, "none").read_config(config.Config)
    found.check_inherited(run)
    base = run if arguments[0].startswith("-") else config.PRESETS[arguments[0]]
    assert (found.optimizer, found.weight_average, found.seed) == (base.optimizer, base.weight_average, base.seed)
    assert f"--from {found.initial_run}" in command
