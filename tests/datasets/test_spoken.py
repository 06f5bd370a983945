"""The spoken corpora: phone times from the engine's events; disjoint sentences and speakers of the splits."""

import importlib.util
import time

import numpy as np
import pytest

import datasets
from datasets import CorpusError, speech, spoken
from datasets.speech import ACCENTS, PHONES, SPEAKERS, Request, align_phones, synthesize_all
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


def test_phones_and_silences_are_contiguous():
    silence = np.zeros(400, np.int16)
    samples = np.concatenate([noise(1000), silence, noise(600), np.zeros(800, np.int16)])
    utterance = align_phones(samples, [(0, "a"), (1400, "t"), (2000, "_:")], RATE)
    assert utterance.phones == ["ae", "sil", "t", "sil"]  # the closure is not part of the vowel
    assert utterance.starts == [0, 1000, 1400, 2000]
    assert utterance.ends == [1000, 1400, 2000, 2800]
    assert len(utterance.samples) == 2800


def test_a_short_silence_joins_the_phone_before():
    samples = np.concatenate([noise(1000), np.zeros(200, np.int16), noise(800)])
    utterance = align_phones(samples, [(0, "s"), (1200, "m")], RATE)
    assert (utterance.phones, utterance.starts, utterance.ends) == (["s", "m"], [0, 1200], [1200, 2000])


def test_a_phoneme_of_zero_samples_takes_the_end_of_the_phone_before():
    samples = np.concatenate([noise(1000), np.zeros(400, np.int16), noise(600)])
    utterance = align_phones(samples, [(0, "O:"), (1000, "l"), (1400, "r")], RATE)
    assert (utterance.phones, utterance.starts) == (["ao", "l", "sil", "r"], [0, 600, 1000, 1400])
    assert utterance.ends == [600, 1000, 1400, 2000]


def test_one_phoneme_may_be_two_phones():
    utterance = align_phones(noise(2000), [(500, "A@"), (1500, "n")], RATE)
    assert (utterance.phones, utterance.starts) == (["sil", "aa", "r", "n"], [0, 500, 1100, 1500])
    assert utterance.ends == [500, 1100, 1500, 2000]


def test_times_refer_to_the_resampled_samples():
    utterance = align_phones(noise(22_050), [(0, "s"), (11_025, "m")], 22_050)
    assert (utterance.starts, utterance.ends, len(utterance.samples)) == ([0, 8000], [8000, 16_000], 16_000)


def test_an_unknown_phoneme_is_refused():
    with pytest.raises(CorpusError, match="phoneme 'zz' has no ARPAbet phone"):
        align_phones(noise(100), [(0, "zz")], RATE)


def test_all_phones_fold_to_the_39_classes():
    for phones in PHONES.values():
        assert {fold(phone, 39) for phone in phones} <= set(PHONES_39)


@pytest.mark.parametrize("corpus", [builder, manual])
def test_splits_have_disjoint_sentences_and_speakers(corpus, monkeypatch):
    monkeypatch.setattr(builder, "SPLITS", {"train": 40, "dev": 10, "test": 10})
    requests = corpus.make_requests()
    assert requests.keys() == builder.SPLITS.keys()
    assert all(len(requests[split]) >= count for split, count in builder.SPLITS.items())
    for part in (lambda request: request.text, lambda request: request.voice.split("+")[1]):
        train, dev, test = ({part(request) for request in requests[split]} for split in ("train", "dev", "test"))
        assert not train & dev
        assert not dev & test
        assert not train & test
    assert sorted(voice for voices in spoken.VOICES.values() for voice in voices) == sorted(SPEAKERS)


def test_manual_sentences_are_plain_words():
    paragraphs = [
        "The power operator binds, it says, more tightly than unary ones (on its left side). In x**2 there is code.",
        "Python's built-in types don't change. Too short. But 3 numbers are left out.",
    ]
    assert list(manual.sentences(paragraphs)) == [
        "The power operator binds", "more tightly than unary ones", "on its left side",
        "Python's built-in types don't change",
    ]  # fmt: skip


def test_tatoeba_sentences_are_plain_and_distinct():
    texts = [
        "I don't know, Tom.",
        "No.",
        "It's 5 o'clock now.",
        "I don't know, Tom.",
        "Wait! Stop it now!",
        "Is it you?",
    ]
    assert tatoeba.sentences(texts) == ["I don't know, Tom.", "Is it you?"]


def test_the_error_without_the_engine_names_the_install_command(tmp_path, monkeypatch):
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path))
    monkeypatch.setattr(speech, "ENGINE", "espeakng-loader 9.9.9")
    with pytest.raises(CorpusError, match=r"run: pip install -e '\.\[speech-synthesis\]'") as error:
        datasets.load("spoken_scenes", "train")
    assert "\n" not in str(error.value)


@needs_engine
def test_synthesis_is_reproducible_in_a_new_process():
    requests = [
        Request("a small red circle.", f"{ACCENTS[0]}+f1", 150, 50, 50),
        Request("stars.", "en-029+m3", 200, 40, 60),
        Request("a blue star.", "en-029+whisper", 200, 40, 60),  # the engine seeds its noise with the time in seconds
    ]
    (first,) = synthesize_all([requests])
    time.sleep(1.1)
    (again,) = synthesize_all([requests])
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.samples, two.samples)
        assert one[1:] == two[1:]
    phones = [phone for phone in first[0].phones if phone != "sil"]
    assert phones == ["ah", "s", "m", "ao", "l", "r", "eh", "d", "s", "er", "k", "ah", "l"]
    assert first[0].starts[1:] == first[0].ends[:-1]
    assert first[0].ends[-1] == pytest.approx(len(first[0].samples), abs=1)


@needs_engine
def test_an_unknown_voice_is_refused():
    with pytest.raises(CorpusError, match="espeak-ng has no voice xx"):
        list(synthesize_all([[Request("a", "xx", 150, 50, 50)]]))


@needs_engine
def test_a_spoken_corpus_from_end_to_end(tmp_path, monkeypatch):
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path))
    monkeypatch.setattr(builder, "SPLITS", {"train": 3, "dev": 1, "test": 1})
    records = datasets.load("spoken_scenes", "train")
    assert len(records) == 3
    for record in records:
        assert record["audio"].dtype == np.int16
        assert len(record["phones"]) == len(record["starts"]) == len(record["ends"])
        assert set(record["phones"]) <= set(PHONES_39) | {"ao", "zh"}
        assert record["ends"][-1] <= len(record["audio"])
