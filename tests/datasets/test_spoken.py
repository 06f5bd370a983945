"""The spoken corpora: what the engine tells becomes phones with times; nothing is heard in two splits."""

import importlib.util

import numpy as np
import pytest

import datasets
from datasets import CorpusError, speech, spoken
from datasets.speech import ACCENTS, PHONES, SPEAKERS, Request, say_all, timed
from datasets.spoken_manual import spoken_manual_dataset_builder as manual
from datasets.spoken_scenes import spoken_scenes_dataset_builder as builder
from datasets.spoken_tatoeba import spoken_tatoeba_dataset_builder as tatoeba
from shared.phones import PHONES_39, fold

needs_engine = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None, reason="needs the extra speech-synthesis"
)
RATE = 16_000


def noise(length: int) -> np.ndarray:
    return np.full(length, 100, np.int16)


def test_phones_and_silences_follow_on_one_another():
    silence = np.zeros(400, np.int16)
    samples = np.concatenate([noise(1000), silence, noise(600), np.zeros(800, np.int16)])
    said = timed(samples, [(0, "a"), (1400, "t"), (2000, "_:")], RATE)
    assert said.phones == ["ae", "sil", "t", "sil"]  # the closure at the end of the vowel is none of it
    assert said.starts == [0, 1000, 1400, 2000]
    assert said.ends == [1000, 1400, 2000, 2800]
    assert len(said.samples) == 2800


def test_a_short_gap_belongs_to_the_phone_before():
    samples = np.concatenate([noise(1000), np.zeros(200, np.int16), noise(800)])
    said = timed(samples, [(0, "s"), (1200, "m")], RATE)
    assert (said.phones, said.starts, said.ends) == (["s", "m"], [0, 1200], [1200, 2000])


def test_what_nothing_is_heard_of_was_heard_before():
    samples = np.concatenate([noise(1000), np.zeros(400, np.int16), noise(600)])
    said = timed(samples, [(0, "O:"), (1000, "l"), (1400, "r")], RATE)
    assert (said.phones, said.starts) == (["ao", "l", "sil", "r"], [0, 600, 1000, 1400])
    assert said.ends == [600, 1000, 1400, 2000]


def test_one_phoneme_may_be_two_phones():
    said = timed(noise(2000), [(500, "A@"), (1500, "n")], RATE)
    assert (said.phones, said.starts) == (["sil", "aa", "r", "n"], [0, 500, 1100, 1500])
    assert said.ends == [500, 1100, 1500, 2000]


def test_times_are_those_of_what_is_written():
    said = timed(noise(22_050), [(0, "s"), (11_025, "m")], 22_050)
    assert (said.starts, said.ends, len(said.samples)) == ([0, 8000], [8000, 16_000], 16_000)


def test_an_unknown_phoneme_is_told():
    with pytest.raises(CorpusError, match="'zz', which is no phoneme of English"):
        timed(noise(100), [(0, "zz")], RATE)


def test_phones_are_of_the_sets_that_are_scored():
    for phones in PHONES.values():
        assert {fold(phone, 39) for phone in phones} <= set(PHONES_39)


@pytest.mark.parametrize("corpus", [builder, manual])
def test_no_sentence_and_no_speaker_is_heard_in_two_splits(corpus, monkeypatch):
    monkeypatch.setattr(builder, "SPLITS", {"train": 40, "dev": 10, "test": 10})
    requests = corpus.make_requests()
    assert requests.keys() == builder.SPLITS.keys()
    assert all(len(requests[split]) >= count for split, count in builder.SPLITS.items())
    for part in (lambda request: request.text, lambda request: request.voice.split("+")[1]):
        heard = [{part(request) for request in requests[split]} for split in ("train", "dev", "test")]
        assert not heard[0] & heard[1]
        assert not heard[1] & heard[2]
        assert not heard[0] & heard[2]
    assert sorted(voice for voices in spoken.VOICES.values() for voice in voices) == sorted(SPEAKERS)


def test_sentences_are_plain_words():
    paragraphs = [
        "The power operator binds, it says, more tightly than unary ones (on its left side). In x**2 there is code.",
        "Python's built-in types don't change. Too short. But 3 numbers are left out.",
    ]
    assert list(manual.sentences(paragraphs)) == [
        "The power operator binds", "more tightly than unary ones", "on its left side",
        "Python's built-in types don't change",
    ]  # fmt: skip


def test_sentences_of_everyday_life_are_plain_and_told_once():
    texts = [
        "I don't know, Tom.",
        "No.",
        "It's 5 o'clock now.",
        "I don't know, Tom.",
        "Wait! Stop it now!",
        "Is it you?",
    ]
    assert tatoeba.sentences(texts) == ["I don't know, Tom.", "Is it you?"]


def test_without_the_engine_one_line_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path))
    monkeypatch.setattr(speech, "ENGINE", "espeakng-loader 9.9.9")
    with pytest.raises(CorpusError, match=r"get it with: pip install '\.\[speech-synthesis\]'") as error:
        datasets.load("spoken_scenes", "train")
    assert "\n" not in str(error.value)


@needs_engine
def test_the_same_sentences_in_the_same_order_sound_the_same():
    requests = [
        Request("a small red circle.", f"{ACCENTS[0]}+f1", 150, 50, 50),
        Request("stars.", "en-029+m3", 200, 40, 60),
    ]
    first, again = say_all([requests, requests])
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.samples, two.samples)
        assert one[1:] == two[1:]
    phones = [phone for phone in first[0].phones if phone != "sil"]
    assert phones == ["ah", "s", "m", "ao", "l", "r", "eh", "d", "s", "er", "k", "ah", "l"]
    assert first[0].starts[1:] == first[0].ends[:-1]
    assert first[0].ends[-1] == pytest.approx(len(first[0].samples), abs=1)


@needs_engine
def test_a_voice_that_is_none_is_told():
    with pytest.raises(CorpusError, match="espeak-ng has no voice xx"):
        list(say_all([[Request("a", "xx", 150, 50, 50)]]))


@needs_engine
def test_a_corpus_from_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path))
    monkeypatch.setattr(builder, "SPLITS", {"train": 3, "dev": 1, "test": 1})
    records = datasets.load("spoken_scenes", "train")
    assert len(records) == 3
    for record in records:
        assert record["audio"].dtype == np.int16
        assert len(record["phones"]) == len(record["starts"]) == len(record["ends"])
        assert set(record["phones"]) <= set(PHONES_39) | {"ao", "zh"}
        assert record["ends"][-1] <= len(record["audio"])
