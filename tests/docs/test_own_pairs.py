"""The example of docs/your_data.md for sentence pairs, from files to a SavedModel, with a smaller model."""

import re
import shlex
from pathlib import Path

import pytest

import shared.runs
from tasks.__main__ import run

PAGE = (Path(__file__).parents[2] / "docs" / "your_data.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line.removeprefix("quatrain "))
    for line in re.findall(r"```\n(.+?)```", PAGE.split("## Translator")[1], re.S)[0].splitlines()
]
SMALLER = shlex.split(
    "--epochs 2 --units 8 --embedding-units 8 --alignment-weight 0 --vocabulary-size 300 --batch-size 64"
)


@pytest.mark.campaign
def test_example(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shared.runs, "ROOT", tmp_path / "saved_models")
    monkeypatch.chdir(tmp_path)
    numbers = range(300)
    (tmp_path / "a.en").write_text("".join(f"A dog {n} runs.\n" for n in numbers))
    (tmp_path / "a.de").write_text("".join(f"Ein Hund {n} läuft.\n" for n in numbers))
    assert [command[0] for command in COMMANDS] == ["train", "translate", "evaluate", "export"]
    for command in COMMANDS:
        assert run([*command, *(SMALLER if command[0] == "train" else [])]) == 0
    assert "pairs are too few to learn to translate from" in capsys.readouterr().err
    assert (tmp_path / "saved_models" / "translator" / "mine" / "export" / "1" / "saved_model.pb").exists()
