"""Photos of one's own: from files to an exported model, by the commands of docs/your_data.md."""

import csv
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import shared.runs
from datasets.photo_folder import read_photos
from shared.runs import Run
from tasks import __main__ as tasks
from tasks.captioner import data, encoder, features
from tasks.captioner.confidence import Calibration, Confidence
from tasks.captioner.config import PRESETS

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "your_data.md").read_text(encoding="utf-8").split("## Captioner")[1].split("\n## ")[0]
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall("```\n(.+?)```", PAGE, re.S)
    for line in block.splitlines()
    if line.startswith("quatrain ")
]
COLOURS = {"red": (220, 30, 30), "green": (30, 200, 40), "blue": (30, 40, 220)}


def colour_means(image_size: int) -> keras.Model:
    """In place of MobileNetV2: images -> the mean colour of each cell, `(batch, rows, columns, 3)`."""
    inputs = keras.Input((image_size, image_size, 3))
    return keras.Model(inputs, keras.layers.Rescaling(1 / 128, -1)(keras.layers.AveragePooling2D(32)(inputs)))


def photos(folder: Path, count: int, first: int = 0) -> None:
    """Pictures of one colour each, and a file of their captions."""
    folder.mkdir(exist_ok=True)
    rows = [("image", "caption")]
    rng = np.random.default_rng(first)
    for i in range(first, first + count):
        name, colour = list(COLOURS.items())[i % 3]
        pixels = np.clip(np.array(colour) + rng.integers(-25, 25, (20, 30, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
        rows += [(f"{i}.png", f"A {name} square."), (f"{i}.png", f"this is a {name} thing")]
    with (folder / "captions.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def test_features_are_computed_once_for_each_photo(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path / "prepared"))
    counts = []

    class Encoder:
        def predict_on_batch(self, images):
            counts.append(len(images))
            return images.reshape(-1, 2, 32, 2, 32, 3).mean(axis=(2, 4))

    monkeypatch.setattr(features, "build_fixed_part", lambda _: Encoder())
    photos(tmp_path / "a", 24)
    (tmp_path / "a" / "5.png").write_bytes(b"none")
    config = replace(PRESETS["photos"], corpus=str(tmp_path / "a"), image_size=64)
    read_photos.cache_clear()
    splits = {split: data.load_split(config, split) for split in ("train", "dev", "test")}
    assert sum(len(split.records) for split in splits.values()) == 23
    assert "5.png: it is not an image that can be read" in capsys.readouterr().err
    assert splits["train"].inputs.shape == (len(splits["train"].records), 2, 2, 2, 3)  # mirrored too
    assert splits["dev"].inputs.shape[1:] == (1, 2, 2, 3)
    np.testing.assert_allclose(splits["train"].inputs[0][1], splits["train"].inputs[0][0][:, ::-1], atol=0.2)
    before = sum(counts)
    assert before == 23 + len(splits["train"].records)
    photos(tmp_path / "a", 26)
    read_photos.cache_clear()
    again = {split: data.load_split(config, split) for split in splits}
    assert 2 + 1 <= sum(counts) - before <= 2 * 3  # two new photos, and the one that can be read now
    assert all(len(again[split].records) >= len(splits[split].records) for split in splits)


@pytest.mark.parametrize(
    ("captions", "chosen", "fields"),
    [
        (240, {}, (8, 30, 5)),
        (3000, {}, (60, 30, 5)),
        (30_000, {}, (64, 5, 2)),
        (240, {"epochs": 3, "batch_size": 20}, (20, 3, 5)),
        (240, {"corpus": "flickr8k"}, (64, 5, 2)),
    ],
)
def test_batches_and_epochs_suit_the_number_of_captions(captions, chosen, fields):
    config = replace(PRESETS["photos"], **{"corpus": "x", **chosen})
    split = data.Split(records=[], captions=[["a"] * captions], inputs=np.zeros(0))
    fitted = data.fitted(config, split)
    assert (fitted.batch_size, fitted.epochs, fitted.patience) == fields


def test_rare_words_of_few_captions_are_kept_and_scripts_without_spaces_refused():
    def vocabulary(captions):
        split = data.Split(records=[], captions=[captions], inputs=np.zeros(0))
        return data.build_vocabulary(replace(PRESETS["photos"], corpus="x"), split)

    assert "once" in vocabulary(["a word that is here once"]).table
    assert "once" not in vocabulary(["once", *["a dog"] * 5001]).table
    assert "дом" in vocabulary(["дом"]).table
    assert "一只" in vocabulary(["一只 狗 在 草地 上"]).table
    with pytest.raises(data.datasets.CorpusError, match="have no spaces between words, which were expected"):
        vocabulary(["一只狗在草地上", "两个人"])


def test_the_confidence_is_the_share_of_right_captions_at_a_score():
    rng = np.random.default_rng(0)
    scores = rng.normal(-5, 2, 5000)
    is_right = rng.random(5000) < 1 / (1 + np.exp(-(scores + 6)))
    confidence = Confidence.fit(scores, is_right)
    np.testing.assert_allclose([confidence.slope, confidence.offset], [1, 6], rtol=0.1)
    assert confidence(-6.0) == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose(
        confidence.of_tensor(np.array([-6.0, -np.inf], "float32")), [confidence(-6.0), 0], rtol=1e-4
    )
    flat = Confidence.fit(scores, ~is_right)  # a score that misleads
    assert (flat.slope, flat(-6.0)) == (0, pytest.approx((~is_right).mean(), abs=0.01))
    for few in (scores[:19], scores[:19].repeat(2) * 1e-5):  # too few, and too much alike
        found = Confidence.fit(few, few > np.median(few))
        assert (found.slope, found(-6.0)) == (0, pytest.approx(0.5, abs=0.05))
    assert Confidence.fit(scores[:0], is_right[:0])(-6.0) == 0.5


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with photos in it, where the commands of the page have run; each command's exit code."""
    folder = tmp_path_factory.mktemp("photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(shared.runs, "ROOT", folder / "saved_models")
        patch.setenv("QUATRAIN_PREPARED", str(folder / "prepared"))
        patch.setattr(encoder, "_mobilenet_v2", colour_means)
        small = {"units": 16, "encoder_words": 12, "image_size": 64, "learning_rate": 0.02, "dropout": 0.0}
        patch.setitem(PRESETS, "photos", replace(PRESETS["photos"], **small))
        patch.setattr(data, "MAX_EPOCHS", 8)
        photos(folder / "holiday", 40)
        photos(folder / "other-photos", 5, first=100)
        (folder / "new").mkdir()
        (folder / "holiday" / "3.png").rename(folder / "new" / "3.png")  # named in the file, without a photo now
        (folder / "captions.csv").write_bytes((folder / "other-photos" / "captions.csv").read_bytes())
        codes = [tasks.run(command) for command in COMMANDS]
        yield folder, codes


@pytest.mark.campaign
def test_the_commands_of_the_page_lead_from_photos_to_a_saved_model(workplace):
    folder, codes = workplace
    assert len(COMMANDS) == 6
    assert codes == [0] * 6
    run = Run(folder / "saved_models" / "captioner" / "holiday")
    assert (run.path / "export" / "1" / "saved_model.pb").exists()
    metrics = run.load_metrics()
    assert metrics.keys() == {"dev", "test", "other-photos all"}
    assert metrics["other-photos all"]["images"] == 5
    assert metrics["test"]["BLEU-1"] > 0.8
    assert run.config["config"]["corpus"] == str(folder / "holiday")
    assert "its terms apply to the weights" in (run.path / "README.md").read_text()
    ((header, *_), (name, caption, *_)) = csv.reader((folder / "new.csv").read_text().splitlines())
    assert (header, name, "red" in caption or "green" in caption or "blue" in caption) == ("image", "new/3.png", True)
    assert Calibration.load(run) is not None


@pytest.mark.campaign
def test_captions_of_anybody_are_scored(workplace, capsys):
    """References as captions: BLEU is 1. By name, in any order, as lines, and with one missing."""
    folder, _ = workplace
    given = ["evaluate", "captioner", "--corpus", "other-photos", "--json", "--outputs"]
    assert tasks.run([*given, "captions.csv"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["images"], record["BLEU-3"], record["ROUGE-L"]) == (5, 1, 1)
    assert record["split"] == "all"
    rows = [{"image": f"/elsewhere/{i}.jpg", "captions": [{"text": "a red square"}]} for i in reversed(range(99, 105))]
    (folder / "ours.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    assert tasks.run([*given, "ours.jsonl"]) == 0
    output = capsys.readouterr()
    assert 0.5 < json.loads(output.out)["BLEU-1"] < 0.9
    assert output.err == "ours.jsonl: 1 captions of other photos are not measured\n"
    (folder / "lines.txt").write_text("this is a green thing\n" * 5)
    assert tasks.run([*given, "lines.txt"]) == 0
    (folder / "lines.txt").write_text("one\n" * 4)
    assert tasks.run([*given, "lines.txt"]) == 2
    assert "or 5 lines, one for each photo; it has 4" in capsys.readouterr().err
    (folder / "ours.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows[2:]))
    assert tasks.run([*given, "ours.jsonl"]) == 2
    assert "ours.jsonl has no caption of 2 of 5 photos, such as 103.png, 104.png;" in capsys.readouterr().err
