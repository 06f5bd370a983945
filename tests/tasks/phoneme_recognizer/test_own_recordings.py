"""The example of docs/your_data.md for recordings of one's own, from files to a SavedModel, from a tiny initial run."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from shared.backend import is_installed
from tasks.__main__ import run

PAGE = (Path(__file__).parents[3] / "docs" / "your_data.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line.removeprefix("quatrain "))
    for line in re.findall(r"```\n(.+?)```", PAGE.split("## Phoneme recognizer")[1], re.S)[0].splitlines()
]
SIZES = "--initial-run tiny --mels 16 --front-channels 4 --step-ms 20 --units 32 --num-layers 1"
SMALLER = shlex.split(f"{SIZES} --consistency-weight 0 --learning-rate 1e-4 --epochs 1 --beam 0")


@pytest.mark.campaign
def test_example(trained, spoken_words, monkeypatch, capsys):
    folder = spoken_words.parent
    monkeypatch.chdir(folder)
    spoken_words.rename("recordings")
    (folder / "more").mkdir()
    for name in ("04.wav", "04.txt", "17.wav", "17.txt"):
        shutil.copy(folder / "recordings" / name, folder / "more" / name)
    verbs = [command[0] for command in COMMANDS]
    assert verbs == ["train", "evaluate", "recognize", "recognize", "evaluate", "export"]
    for command in COMMANDS:
        if command[0] != "export" or is_installed("tensorflow"):
            assert run([*command, *(SMALLER if command[0] == "train" else [])]) == 0
    output = capsys.readouterr().out
    assert "trained: " in output
    assert {path.name for path in Path("grids").iterdir()} == {"04.TextGrid", "17.TextGrid"}
    words = [line.split()[4] for line in Path("words.ctm").read_text().splitlines()]
    assert words == [Path("more/04.txt").read_text(), Path("more/17.txt").read_text()]
    mine = trained.run.path.with_name("mine")
    measured = json.loads((mine / "metrics.json").read_text())["more all"]
    assert f"PER           {measured['PER']}" in output.split("phones.txt")[-1]
    assert (mine / "export" / "1" / "saved_model.pb").exists() == is_installed("tensorflow")
