"""english_speech: its table, words and sounds."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import datasets
from datasets import CorpusError, cmudict
from datasets.english_speech import english_speech_dataset_builder as builder

DUMMY = Path(builder.__file__).with_name("dummy_data")
WORDS = "the DH AH0\nthe(2) DH IY1\ncat K AE1 T\na AH0\na(2) EY1\nt T IY1\n"


@pytest.fixture
def copy(tmp_path, monkeypatch):
    (tmp_path / "data" / "cmudict").mkdir(parents=True)
    (tmp_path / "data" / "cmudict" / "cmudict.dict").write_text(WORDS)
    monkeypatch.setenv("QUATRAIN_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path / "prepared"))
    cmudict.load_dictionary.cache_clear()
    yield Path(shutil.copytree(DUMMY, tmp_path / "copy"))
    cmudict.load_dictionary.cache_clear()


def test_records_have_all_pronunciations_of_their_words(copy, capsys):
    train = datasets.load("english_speech", "train", copy)
    assert "dev: 1 with words that CMUdict lacks left out" in capsys.readouterr().err
    first, _, letters = train
    assert first["words"] == ["the\tdh ah\tdh iy\tdh ih", "cat\tk ae t\tk ae dx", "zyx"]  # a word without pronunciation
    assert first["phones"] == "dh ah k ae t"
    assert letters["words"] == ["a.\tey", "t\tt iy"]
    names = "name", "source", "speaker", "native", "sex", "text"
    assert [letters[name] for name in names] == ["an4/an1-aa", "an4", "an4_aa", "en-US", "M", "a. t"]
    assert letters["audio"].dtype == np.int16
    assert letters["audio"].shape == (1_920,)
    assert 7_000 < np.abs(letters["audio"]).max() < 10_000
    (dev,), test = (datasets.load("english_speech", split, copy) for split in ("dev", "test"))
    assert (dev["text"], len(test)) == ("the cat", 2)


def test_north_americans_flap_in_train():
    dictionary = {"water": [("w", "ao1", "t", "er0")]}
    accents = ("train", "en-US"), ("train", "en (US/Canadian voice talent)"), ("train", "en-GB"), ("dev", "en-US")
    cells = [{"file": "a.wav", "split": split, "native": native, "transcript": "Water"} for split, native in accents]
    words = [builder._utterance(Path(), each, dictionary).words for each in cells]
    careful, flap = ("w", "ao", "t", "er"), ("w", "ao", "dx", "er")
    assert [word.pronunciations for (word,) in words] == [(flap,), (flap,), (careful, flap), (careful, flap)]


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("transcript\n", "words\n", "has no column 'transcript'; columns file, speaker"),
        (
            "\ttrain\t",
            "\ttrian\t",
            "line 2: 9 cells, a file, a speaker, a transcript and one of train, dev, test",
        ),
        ("\tM\tdev", "\tM\tx\tdev", "line 5: 9 cells"),
        ("a. t", "", "line 4: 9 cells"),
        ("a. t", "a. t\tb", "line 4: 9 cells"),
        ("an4/an1-aa.opus", "", "line 4: 9 cells"),
        ("1-0002.", "1-0001.", "line 3: librispeech/1-0001.opus occurs twice"),
        ("\ttest\t", "\ttrain\t", "has no utterance of test"),
        ("vf_b", "ls_2", "line 7: speaker ls_2 is in test and in dev; one split was expected"),
    ],
)
def test_a_table_that_is_not_complete_is_refused(copy, before, after, message):
    path = copy / "transcripts.tsv"
    path.write_text(path.read_text().replace(before, after))
    with pytest.raises(CorpusError, match=message):
        datasets.load("english_speech", "dev", copy)


def test_empty_cells_at_the_end_of_a_line_may_be_missing(copy):
    path = copy / "transcripts.tsv"
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    columns = [8, 0, 1, 2, 3, 4, 5, 6, 7]  # the missing words, most of them empty, are last
    path.write_text("\n".join("\t".join(row[i] for i in columns).rstrip() for row in rows))
    train = datasets.load("english_speech", "train", copy)
    assert [record["text"] for record in train] == ["the cat zyx", "a cat", "a. t"]


def test_a_sound_that_is_missing_is_counted(copy, monkeypatch, capsys):
    (copy / "an4" / "an1-aa.opus").unlink()
    with pytest.raises(CorpusError, match="more than 1% of 3 records are bad"):
        datasets.load("english_speech", "train", copy)
    monkeypatch.setattr(builder, "MAX_BAD", 0.5)
    assert len(datasets.load("english_speech", "train", copy)) == 2
    assert "skipped an4/an1-aa:" in capsys.readouterr().err


def test_a_copy_is_expected(copy):
    with pytest.raises(
        CorpusError, match=r"no copy was found, and nothing is downloaded\. Get https://www\.openslr\.org/31"
    ):
        datasets.load("english_speech", "train")
