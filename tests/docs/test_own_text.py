"""The example of docs/your_data.md for a text of one's own, from a file to a SavedModel, with a smaller model."""

import csv
import re
import shlex
from pathlib import Path

import pytest

import shared.runs
from tasks.__main__ import run

PAGE = (Path(__file__).parents[2] / "docs" / "your_data.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line.removeprefix("quatrain "))
    for line in re.findall(r"```\n(.+?)```", PAGE.split("## Language model")[1], re.S)[0].splitlines()
]
SMALLER = shlex.split("--epochs 1 --units 8 --embedding-units 8 --batch-size 4")


@pytest.mark.campaign
def test_example(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(shared.runs, "ROOT", tmp_path / "saved_models")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text("".join(f"It was dog {number}, she said.\n" for number in range(120)))
    (tmp_path / "new.txt").write_text('"It was a dog," she said.\n' * 2)
    assert [command[0] for command in COMMANDS] == ["train", "generate", "score", "evaluate", "export"]
    for command in COMMANDS:
        assert run([*command, *(SMALLER if command[0] == "train" else [])]) == 0
    output = capsys.readouterr().out
    assert "unknown words: " in output
    assert "\nIt was" in output
    with open("surprisal.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["word"] for row in rows] == ['"It', "was", "a", 'dog,"', "she", "said."] * 2
    assert (tmp_path / "saved_models" / "language_model" / "book" / "export" / "1" / "saved_model.pb").exists()
