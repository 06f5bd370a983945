"""speechocean762: its lists, phones and sounds."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import datasets
from datasets import CorpusError
from datasets.speechocean762 import speechocean762_dataset_builder as builder

DUMMY = Path(builder.__file__).with_name("dummy_data")


@pytest.fixture
def copy(tmp_path, monkeypatch):
    monkeypatch.setattr(builder, "EXPECTED", {"train": (4,), "test": (2,)})
    monkeypatch.setattr(builder, "DEV_PERIOD", 3)
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path / "prepared"))
    return Path(shutil.copytree(DUMMY, tmp_path / "copy"))


def test_phones_have_no_stress_and_no_position(copy):
    first, *_, last = builder.read_split(copy, "train")
    assert (first.name, first.speaker, first.text) == ("000010011", "0001", "WE CALL")
    assert first.phones == "W IY K AO L"
    assert last.phones == "T EH N"


def test_records_contain_the_samples(copy):
    (dev,) = datasets.load("speechocean762", "dev", copy)  # the third of three speakers
    assert dev["speaker"] == "0003"
    assert dev["audio"].dtype == np.int16
    assert dev["audio"].shape == (1_100,)
    assert 7_000 < np.abs(dev["audio"]).max() <= 8_000
    names = [record["name"] for record in datasets.load("speechocean762", "train", copy)]
    assert names == ["000010011", "000010035", "000020011"]


def test_records_say_who_speaks_and_how_well(copy):
    first, _, third = datasets.load("speechocean762", "train", copy)
    names = "sex", "age", "native", "accuracy", "phone_score"
    assert [first[name] for name in names] == ["m", 6, "zh", -1, 1.5]
    assert [third[name] for name in names] == ["f", 19, "zh", -1, -1]


def test_scores_of_the_original(copy):
    """Of utterances too; they are in `resource`, or beside it."""
    words = [
        {"phones": "W IY0", "phones-accuracy": [2.0, 1.0], "accuracy": 7},
        {"phones": "K AO1 L", "phones-accuracy": [0.0, 2.0, 2.0], "accuracy": 6},
    ]
    (copy / "scores.json").write_text(json.dumps({"000010011": {"accuracy": 8, "words": words}}))
    first = builder.read_split(copy, "train")[0]
    assert (first.accuracy, first.phone_score) == (8, 1.4)
    (copy / "scores.json").rename(copy / "resource" / "scores.json")
    assert builder.read_split(copy, "train")[0].accuracy == 8
    (copy / "resource" / "scores.json").write_text('{"000010011": {"words": []}}')
    with pytest.raises(CorpusError, match=r"resource/scores\.json: .*; an object of speechocean762's scores"):
        builder.read_split(copy, "train")


def test_copies_without_ages_and_scores(copy):
    for path in [*copy.glob("t*/spk2*"), copy / "resource" / "phone_scores.tsv"]:
        path.unlink()
    first = builder.read_split(copy, "train")[0]
    assert (first.sex, first.age, first.accuracy, first.phone_score) == ("", 0, -1, -1)


def test_an_unexpected_number_of_utterances_is_refused(copy, monkeypatch):
    monkeypatch.setattr(builder, "EXPECTED", {"train": (2_500,), "test": (2,)})
    with pytest.raises(CorpusError, match=r"train/wav.scp has 4 utterances, expected 2,500"):
        datasets.load("speechocean762", "dev", copy)


def test_a_damaged_sound_is_skipped_and_counted(copy, monkeypatch, capsys):
    path = copy / "WAVE" / "SPEAKER0001" / "000010035.WAV"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CorpusError, match="more than 1% of 3 records are bad"):
        datasets.load("speechocean762", "train", copy)
    monkeypatch.setattr(builder, "MAX_BAD", 0.5)
    assert len(datasets.load("speechocean762", "train", copy)) == 2
    assert "skipped 000010035: is cut short" in capsys.readouterr().err
