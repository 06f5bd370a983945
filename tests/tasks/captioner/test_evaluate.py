"""Metrics of scenes, whose true captions are known, and the metrics that a run saves."""

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import datasets
from datasets.photo_folder import read_photos
from datasets.scenes.scenes_dataset_builder import make_record
from shared.errors import UserError
from tasks.captioner.config import PRESETS, Config
from tasks.captioner.data import Split, check_photos, load_split, open_records
from tasks.captioner.evaluate import Arguments, main, measure, part_of, scene_metrics, split_metrics
from tasks.captioner.inference import Caption
from tasks.captioner.model import load_model
from tests.tasks.captioner.conftest import CONFIG

pytestmark = pytest.mark.any_backend

GRID = 12


def scene(index: int, novel: bool = False) -> dict:
    """A record as `datasets.load` returns it."""
    record = make_record("test", 2 * index + novel)
    return record | json.loads(record["annotations"])


def caption(words: str, record: dict, attend_to_objects: bool = True) -> Caption:
    """A caption whose attention at a shape word peaks in the centre of that object, or in a corner of the image."""
    tokens = words.split()
    attention = np.full((len(tokens), GRID, GRID), 0.001, np.float32)
    for word, weights in zip(tokens, attention, strict=True):
        row = column = 0
        if attend_to_objects and word in record["shapes"]:
            top, left, bottom, right = record["boxes"][record["shapes"].index(word)]
            row, column = int((top + bottom) / 2 * GRID), int((left + right) / 2 * GRID)
        weights[row, column] = 1
    zeros = np.zeros(len(tokens))
    found = {"log_prob": -1.0, "score": -0.5, "confidence": None, "probabilities": zeros, "word_confidences": None}
    return Caption(text=words, tokens=tokens, **found, attention=attention, sentinel=zeros)


def split_of(records: list[dict]) -> Split:
    return Split(records=records, captions=[record["captions_en"] for record in records], inputs=np.zeros(0))


def test_perfect_captions_are_all_true():
    records = [scene(index, novel) for index in range(6) for novel in (False, True)]
    for reference in range(5):
        captions = [[caption(record["captions_en"][reference], record)] for record in records]
        metrics = scene_metrics(captions, split_of(records))
        assert [metrics[name] for name in ("true", "true_seen", "true_novel", "pointing")] == [1, 1, 1, 1]
        assert metrics["related"] > 0


def test_a_wrong_colour_is_not_true():
    records = [scene(index) for index in range(6)]
    swap = {"red": "blue"}
    captions = []
    for record in records:
        words = record["captions_en"][0].split()
        wrong = " ".join(swap.get(word, "red") if word in record["colours"] else word for word in words)
        captions.append([caption(wrong, record)])
    assert scene_metrics(captions, split_of(records)) == {"true": 0, "true_seen": 0}


def test_seen_and_novel_pairs_are_separate():
    seen, novel = scene(0), scene(1, novel=True)
    captions = [[caption(seen["captions_en"][0], seen, attend_to_objects=False)], [caption("a star", novel)]]
    metrics = scene_metrics(captions, split_of([seen, novel]))
    assert (metrics["true"], metrics["true_seen"], metrics["true_novel"]) == (0.5, 1, 0)
    assert metrics["pointing"] == 0  # the corner is always empty


def test_nonsense_and_empty_captions_are_not_true():
    record = scene(0)
    for words in ("", ".", "the the the", "<unk> purple"):
        assert scene_metrics([[caption(words, record)]], split_of([record]))["true"] == 0


def test_only_the_best_caption_counts():
    records = [scene(index) for index in range(4)]
    good = [caption(record["captions_en"][0], record) for record in records]
    bad = [caption("nothing", record) for record in records]
    split = split_of(records)
    assert split_metrics([list(pair) for pair in zip(good, bad, strict=True)], split, CONFIG)["true"] == 1
    metrics = split_metrics([list(pair) for pair in zip(bad, good, strict=True)], split, CONFIG)
    assert metrics["true"] == 0
    assert metrics["distinct"] == 0.25


def test_evaluating_again_gives_the_metrics_of_the_training(trained, tmp_path, capsys):
    saved = json.loads((trained.run.path / "metrics.json").read_text())["dev"]
    run = shutil.copytree(trained.run.path, tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints"))
    assert main(["--model", str(run), "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert {name: record[name] for name in saved} == saved
    assert (record["run"], record["split"], record["images"]) == ("copy", "dev", 4)
    assert 0 <= saved["novelty"] <= 1

    assert main(["--model", str(run), "--split", "test", "--beam", "1"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (lines["split"], lines["beam"], lines["images"]) == ("test", "1", "4")
    assert {"true_seen", "true_novel", "CIDEr-D", "novelty"} <= lines.keys()
    assert json.loads((run / "metrics.json").read_text()).keys() == {"dev"}  # those of the run's own beam alone
    assert main(["--model", str(run), "--split", "test"]) == 0
    capsys.readouterr()
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics.keys() == {"dev", "test"}
    assert metrics["dev"] == {name: value for name, value in record.items() if name not in ("run", "split")}
    card = (run / "README.md").read_text()
    assert "| | this model, dev | this model, test |" in card
    assert f"| true_novel |  | {metrics['test']['true_novel']} |" in card


def test_a_model_in_memory_gives_the_same_metrics(trained):
    saved = json.loads((trained.run.path / "metrics.json").read_text())
    assert measure(trained.run, Arguments(), load_model(trained.run)) == saved["dev"]
    assert json.loads((trained.run.path / "metrics.json").read_text()) == saved


def test_a_finder_is_measured_with_its_captioner(found):
    record = measure(found, Arguments())
    assert record["finder text_to_image R@5"] == 1  # there are 4 photos
    assert 1 <= record["finder image_to_text median rank"] <= 20
    assert 0 <= record["finder pointing"] <= 1
    assert "tasks.captioner.find --model found" in (found.path / "README.md").read_text()


def test_a_released_model_keeps_its_metrics(trained, tmp_path, capsys):
    run = shutil.copytree(trained.run.path, tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints"))
    config = json.loads((run / "config.json").read_text())
    config["weights_sha256"] = hashlib.sha256((run / "weights.safetensors").read_bytes()).hexdigest()
    (run / "config.json").write_text(json.dumps(config))
    before = {name: (run / name).read_bytes() for name in ("metrics.json", "README.md")}
    assert main(["--model", str(run), "--beam", "2"]) == 0
    assert {name: (run / name).read_bytes() for name in before} == before
    (run / "weights.safetensors").write_bytes((run / "weights.safetensors").read_bytes()[:-1] + b"\0")
    assert main(["--model", str(run)]) == 2
    assert "SHA-256" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "none"], "none: neither a folder nor a run"),
        (["--model", "tiny", "--beam", "0"], "--beam 0"),
        (["--model", "tiny", "--output", "none/x.txt"], "none/x.txt cannot be written: there is no folder none"),
        (["--model", "tiny", "--data-dir", "none"], "none is not a folder with files"),
    ],
)
def test_wrong_usage_is_reported_in_one_line(trained, capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_novelty_does_not_compute_training_grids(monkeypatch, trained, tmp_path, capsys):
    run = shutil.copytree(trained.run.path, tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints"))
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path / "prepared"))
    assert main(["--model", str(run), "--split", "dev"]) == 0
    cached = {path.parent.name for path in datasets.prepared_folder().rglob("inputs.npy")}
    assert cached == {"dev-1"}
    assert load_split(CONFIG, "dev").inputs.shape == (4, 1, 32, 32, 3)


def album(folder: Path, splits: str, first: int = 0) -> Config:
    """Photos, each with a caption, in folders that name their splits; the configuration of a training on them."""
    for i, split in enumerate(splits.split(), first):
        path = folder / ("" if split == "made" else split) / f"{i}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(f"photo {i}".encode())
        path.with_suffix(".txt").write_text("a dog")
    return replace(PRESETS["photos"], corpus=str(folder))


def checked(config: Config, **options) -> tuple[int, str]:
    """The number of photos that are measured, and what part of the corpus they are."""
    read_photos.cache_clear()
    arguments = Arguments(**options)
    measured = arguments.corpus_of(config)
    check_photos(config, measured, arguments.split)
    return len(open_records(measured, arguments.split)), part_of(arguments, config)


def test_a_folder_that_was_trained_on_is_measured_on_its_split(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    config = album(tmp_path / "mine", "made " * 40)
    count = len(open_records(config, "test"))
    assert 0 < count < 20
    assert checked(config, corpus="mine", split="test") == (count, "test")
    assert checked(config, corpus="~/mine", split="test") == (count, "test")
    album(tmp_path / "others", "made " * 3, first=40)
    assert checked(config, corpus="others", split="test") == (3, "all")


def test_photos_that_were_trained_on_are_not_measured(tmp_path):
    config = album(tmp_path / "mine", "made " * 40)
    album(tmp_path / "copies", "made " * 10, first=38)
    with pytest.raises(UserError, match=r"copies: the model was trained on [12] of these 10 photos; others were"):
        checked(config, corpus=str(tmp_path / "copies"))
    others = replace(config, test_corpus=str(tmp_path / "others"))  # so all photos are trained on, or of dev
    album(tmp_path / "others", "made " * 3, first=60)
    with pytest.raises(UserError, match="mine: the model was trained on"):
        checked(others, corpus=config.corpus, split="test")
    shutil.rmtree(tmp_path / "mine")
    assert checked(config, corpus=str(tmp_path / "copies")) == (10, "all")


def test_a_split_that_a_corpus_gives_was_not_trained_on(tmp_path):
    config = album(tmp_path / "mine", "train train train val test test")
    other = album(tmp_path / "others", "made " * 3, first=60)
    assert checked(replace(config, test_corpus=other.corpus), corpus=config.corpus, split="test") == (2, "test")
