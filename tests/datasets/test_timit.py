"""TIMIT in its four layouts, made of a tiny copy."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import datasets
from datasets import CorpusError
from datasets.timit import timit_dataset_builder as builder
from datasets.timit.mending import mended
from shared.phones import PHONES_61

DUMMY = Path(builder.__file__).with_name("dummy_data")


def discs(folder: Path) -> None:
    """LDC93S1: capitals, NIST SPHERE."""
    shutil.copytree(DUMMY, folder, dirs_exist_ok=True)
    for path in folder.rglob("*.WAV"):
        samples, rate = soundfile.read(path, dtype="int16")
        soundfile.write(path, samples, rate, format="NIST", subtype="PCM_16")


def lower_case(folder: Path) -> None:
    for path in DUMMY.rglob("*.*"):
        target = folder / str(path.relative_to(DUMMY)).lower()
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target)


def with_riff_beside(folder: Path) -> None:
    """Another level, both kinds of sound; the one that is not RIFF cannot even be read."""
    shutil.copytree(DUMMY, folder / "data")
    for path in (folder / "data").rglob("*.WAV"):
        path.rename(path.with_name(f"{path.name}.wav"))
        path.write_bytes(b"NIST_1A, broken")
    (folder / "train_data.csv").write_text("index,path\n")


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path / "prepared"))
    for split, count in {"train": 2, "dev": 1, "test": 1}.items():
        monkeypatch.setitem(builder.EXPECTED, split, count)
    return tmp_path


@pytest.mark.parametrize("layout", [discs, lower_case, with_riff_beside])
def test_a_whole_copy(layout, prepared):
    layout(prepared / "copy")
    names = {
        split: [record["name"] for record in datasets.load("timit", split, prepared / "copy")]
        for split in ("train", "dev", "test")
    }
    # Without the sentence that everybody reads, nor the test speakers who are in neither set.
    assert names == {"train": ["fcjf0-sx37", "mabc0-si648"], "dev": ["faks0-sx43"], "test": ["mdab0-sx49"]}
    record = datasets.load("timit", "test", prepared / "copy")[0]
    assert record["phones"] == ["h#", "q", "ih", "h#"]
    np.testing.assert_array_equal(record["starts"], [0, 300, 600, 900])
    np.testing.assert_array_equal(record["ends"], [300, 600, 900, 1200])
    assert record["audio"].shape == (1200,)
    assert record["text"] == "She had sx49."
    assert record["speaker"] == "mdab0"


def test_the_sample_is_all_test(prepared):
    folder = prepared / "copy" / "dr1-fcjf0"
    folder.mkdir(parents=True)
    for path in (DUMMY / "TRAIN" / "DR1" / "FCJF0").iterdir():
        shutil.copy(path, folder / path.name.lower())
    (record,) = datasets.load("timit", "test", prepared / "copy")
    assert (record["name"], record["speaker"]) == ("fcjf0-sx37", "fcjf0")
    with pytest.raises(CorpusError, match="timit has no split 'train'; there are test"):
        datasets.load("timit", "train", prepared / "copy")


def test_another_number_of_utterances_stops_it(prepared):
    shutil.copytree(DUMMY / "TRAIN", prepared / "copy" / "TRAIN")
    with pytest.raises(CorpusError, match=r"train 2, dev 0, test 0\) than the corpus has \(train 2, dev 1, test 1"):
        datasets.load("timit", "train", prepared / "copy")


@pytest.mark.parametrize(
    ("transcription", "message"),
    [
        ("0 300 h#\n300 600 xx\n", "has the label 'xx', none of the 61"),
        ("0 300 h#\n200 600 ih\n", "has times that are not in order"),
        ("0 h#\n", "has a transcription of another form"),
        ("", "has a transcription of another form"),
    ],
)
def test_a_bad_transcription_is_told_and_skipped(transcription, message, prepared, monkeypatch, capsys):
    monkeypatch.setattr(builder, "MAX_BAD", 0.5)
    lower_case(prepared / "copy")
    (prepared / "copy" / "train" / "dr1" / "fcjf0" / "sx37.phn").write_text(transcription)
    assert [record["name"] for record in datasets.load("timit", "train", prepared / "copy")] == ["mabc0-si648"]
    assert f"timit: skipped fcjf0-sx37: {message}" in capsys.readouterr().err


def test_without_a_copy_it_says_where_one_is_had(prepared, monkeypatch):
    monkeypatch.delenv("QUATRAIN_DATA", raising=False)
    with pytest.raises(CorpusError, match="may not be downloaded") as caught:
        datasets.load("timit", "train")
    assert "Get https://catalog.ldc.upenn.edu/LDC93S1" in str(caught.value)
    assert "register_checksums" not in str(caught.value)


def test_the_sample_at_hand(prepared):
    folder = Path(os.environ.get("QUATRAIN_DATA", "")) / "timit_sample"
    if not folder.is_dir():
        pytest.skip("QUATRAIN_DATA does not hold timit_sample")
    utterances = builder.find_utterances(folder)["test"]
    assert len(utterances) == 96  # 12 speakers, 8 sentences of their own
    record = builder.read_utterance(utterances[0])
    assert record["audio"].dtype == np.int16
    assert set(record["phones"]) <= set(PHONES_61)
    assert record["ends"][-1] <= len(record["audio"])


def test_a_sound_that_was_copied_as_text_is_mended():
    seconds = np.arange(16_000) / 16_000
    sound = np.round(2_600 * np.sin(900 * seconds) + 2_400 * np.sin(2_900 * seconds + 3)).astype(np.int16)
    whole = sound.astype("<i2").tobytes()
    assert whole.count(b"\r\n") == 5
    copied = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    damaged = np.frombuffer(copied[: len(copied) // 2 * 2], "<i2").astype(np.int16)

    def wrong(found):  # share of samples; a low byte of 13 that stays 10 is not heard
        return np.mean(np.abs(found - sound[: len(found)].astype(int)) > 3)

    found, lost = mended(damaged)
    assert lost == 5
    assert abs(len(found) - len(sound)) <= 1
    assert wrong(damaged) > 0.3
    assert wrong(found) < 0.001


@pytest.mark.parametrize("sound", [np.zeros(3_000, np.int16), np.arange(9_000, dtype=np.int16)])
def test_other_sounds_stay_as_they_are(sound):
    found, lost = mended(sound)
    np.testing.assert_array_equal(found, sound)
    assert lost == 0
