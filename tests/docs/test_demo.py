"""`make demo`, with few scenes and a small model."""

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from datasets.scenes import scenes_dataset_builder
from docs import demo
from shared import runs
from shared.runs import Run
from tasks.captioner.config import PRESETS, SCENES

SMALL = replace(SCENES, units=8, encoder_epochs=1, epochs=1)


@pytest.mark.campaign
def test_the_demo_ends_with_the_address_of_the_picture_of_all_tasks(tmp_path, monkeypatch, capsys):
    root = tmp_path / "saved_models"
    for path in runs.ROOT.glob("*/*/"):
        if (path / "config.json").exists() and Run(path).is_released:
            folder = root / path.relative_to(runs.ROOT)
            folder.parent.mkdir(parents=True, exist_ok=True)
            folder.symlink_to(path)
    monkeypatch.setattr(runs, "ROOT", root)
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path / "prepared"))
    for split, count in {"train": 64, "dev": 6, "test": 8}.items():
        monkeypatch.setitem(scenes_dataset_builder.SPLITS, split, count)
    monkeypatch.setitem(PRESETS, "scenes", SMALL)

    assert demo.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    folder = root / "demo"
    assert lines[-1] == (folder / "overview.png").as_uri()
    assert [line.partition(" ")[0] for line in lines if " of 5, " in line] == ["1", "2", "3", "4", "5"]
    names = [f"test-{index:05d}.png" for index in range(8)]
    captions = [line for line in lines if line.startswith(f"{folder}/images/")]
    assert [Path(line.partition(": ")[0]).name for line in captions] == names
    assert {path.name for path in folder.iterdir()} == {
        "overview.png", "gallery.html", "images", *(f"attention-{i + 1}.png" for i in range(8)),
    }  # fmt: skip
    with Image.open(folder / "overview.png") as picture:
        assert picture.size == (1650, 1050)
    run = Run.find("demo", "captioner", "")
    assert {"true_seen", "true_novel"} <= run.load_metrics()["test"].keys()
    assert (run.path / "export" / "1" / "saved_model.pb").exists()


def test_the_demo_takes_no_arguments(capsys):
    assert demo.main(["--epochs"]) == 2
    assert capsys.readouterr().err == "error: --epochs: no arguments were expected\n"
