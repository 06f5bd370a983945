"""TIMIT in its four layouts, and the repair of converted newlines, on a tiny copy."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

import datasets
from datasets import CorpusError
from datasets.timit import timit_dataset_builder as builder
from datasets.timit.repair import repair
from shared.phones import PHONES_61

DUMMY = Path(builder.__file__).with_name("dummy_data")


def discs(folder: Path) -> None:
    """The layout of LDC93S1: upper case, NIST SPHERE."""
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
    """One more folder level and both kinds of sound files; those that are not RIFF are unreadable."""
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
def test_a_complete_copy(layout, prepared):
    layout(prepared / "copy")
    names = {
        split: [record["name"] for record in datasets.load("timit", split, prepared / "copy")]
        for split in ("train", "dev", "test")
    }
    # SA sentences and test speakers outside both sets are skipped.
    assert names == {"train": ["fcjf0-sx37", "mabc0-si648"], "dev": ["faks0-sx43"], "test": ["mdab0-sx49"]}
    record = datasets.load("timit", "test", prepared / "copy")[0]
    assert record["phones"] == ["h#", "q", "ih", "h#"]
    np.testing.assert_array_equal(record["starts"], [0, 300, 600, 900])
    np.testing.assert_array_equal(record["ends"], [300, 600, 900, 1200])
    assert record["audio"].shape == (1200,)
    assert record["text"] == "She had sx49."
    assert record["speaker"] == "mdab0"


def test_all_of_the_nltk_sample_is_test(prepared):
    folder = prepared / "copy" / "dr1-fcjf0"
    folder.mkdir(parents=True)
    for path in (DUMMY / "TRAIN" / "DR1" / "FCJF0").iterdir():
        shutil.copy(path, folder / path.name.lower())
    (record,) = datasets.load("timit", "test", prepared / "copy")
    assert (record["name"], record["speaker"], record["sex"]) == ("fcjf0-sx37", "fcjf0", "f")
    with pytest.raises(CorpusError, match="timit has no split 'train'; expected one of test"):
        datasets.load("timit", "train", prepared / "copy")


def test_an_unexpected_number_of_utterances_is_refused(prepared):
    shutil.copytree(DUMMY / "TRAIN", prepared / "copy" / "TRAIN")
    with pytest.raises(CorpusError, match="has the utterances train 2, dev 0, test 0; expected train 2, dev 1, test 1"):
        datasets.load("timit", "train", prepared / "copy")


@pytest.mark.parametrize(
    ("transcription", "message"),
    [
        ("0 300 h#\n300 600 xx\n", "has the label 'xx', which is not one of the 61"),
        ("0 300 h#\n200 600 ih\n", "has times that are not in order"),
        ("0 h#\n", "has a transcription whose lines are not: start end label"),
        ("", "has a transcription whose lines are not: start end label"),
    ],
)
def test_a_bad_transcription_is_reported_and_skipped(transcription, message, prepared, monkeypatch, capsys):
    monkeypatch.setattr(builder, "MAX_BAD", 0.5)
    lower_case(prepared / "copy")
    (prepared / "copy" / "train" / "dr1" / "fcjf0" / "sx37.phn").write_text(transcription)
    assert [record["name"] for record in datasets.load("timit", "train", prepared / "copy")] == ["mabc0-si648"]
    assert f"timit: skipped fcjf0-sx37: {message}" in capsys.readouterr().err


def test_the_error_without_a_copy_names_the_licensor(prepared, monkeypatch):
    monkeypatch.delenv("QUATRAIN_DATA", raising=False)
    with pytest.raises(CorpusError, match="no copy was found, and nothing is downloaded") as caught:
        datasets.load("timit", "train")
    assert "Get https://catalog.ldc.upenn.edu/LDC93S1" in str(caught.value)
    assert "register_checksums" not in str(caught.value)


def test_the_real_nltk_sample(prepared):
    folder = Path(os.environ.get("QUATRAIN_DATA", "")) / "timit_sample"
    if not folder.is_dir():
        pytest.skip("QUATRAIN_DATA does not hold timit_sample")
    utterances = builder.find_utterances(folder)["test"]
    assert len(utterances) == 96  # 12 speakers, 8 sentences each without SA1 and SA2
    record = builder.read_utterance(utterances[0])
    assert record["audio"].dtype == np.int16
    assert set(record["phones"]) <= set(PHONES_61)
    assert record["ends"][-1] <= len(record["audio"])


def test_a_newline_conversion_is_repaired():
    seconds = np.arange(16_000) / 16_000
    sound = np.round(2_600 * np.sin(900 * seconds) + 2_400 * np.sin(2_900 * seconds + 3)).astype(np.int16)
    whole = sound.astype("<i2").tobytes()
    assert whole.count(b"\r\n") == 5
    converted = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    damaged = np.frombuffer(converted[: len(converted) // 2 * 2], "<i2").astype(np.int16)

    def error_rate(samples: np.ndarray) -> float:
        """Fraction of wrong samples; low bytes of 13 that remain 10 are negligible."""
        return np.mean(np.abs(samples - sound[: len(samples)].astype(int)) > 3)

    repaired, restored = repair(damaged)
    assert restored == 5
    assert abs(len(repaired) - len(sound)) <= 1
    assert error_rate(damaged) > 0.3
    assert error_rate(repaired) < 0.001


@pytest.mark.parametrize("sound", [np.zeros(3_000, np.int16), np.arange(9_000, dtype=np.int16)])
def test_repair_preserves_other_sounds(sound):
    repaired, restored = repair(sound)
    np.testing.assert_array_equal(repaired, sound)
    assert restored == 0
