"""Pronunciations and times that a recognizer adds to utterances, on tones that stand for phones."""

import numpy as np
import pytest

from shared.audio import SAMPLE_RATE
from shared.phones import SpokenWord
from tasks.phoneme_recognizer.aligner import add_times, with_nearest
from tasks.phoneme_recognizer.data import read_split
from tests.tasks.phoneme_recognizer.conftest import CONFIG, VOCABULARY, say

pytestmark = pytest.mark.any_backend


def record(text: str, *words: str) -> dict:
    said = [word.split("\t")[1].split() for word in words]
    return {"audio": say(text).samples, "words": list(words), "phones": [phone for own in said for phone in own]}


def test_the_pronunciation_that_was_said_becomes_the_label(recognizer):
    records = [
        record("aim sima", "aim\taa m\taa iy m\tiy", "sima\tm aa\ts iy m aa"),
        record("mis", "mis\tm iy s"),
        record("sam", "sam\ts aa m\ts iy m"),
    ]
    split = read_split(CONFIG, records)
    assert split.utterances[0].phones == ("aa", "m", "m", "aa")
    timed = add_times(split, recognizer)
    first, second, third = timed.utterances
    assert first.phones == ("aa", "iy", "m", "s", "iy", "m", "aa")
    assert first.words[0] == SpokenWord("aim", (("aa", "iy", "m"), ("aa", "m"), ("iy",)))
    assert (second.phones, third.phones) == (("m", "iy", "s"), ("s", "aa", "m"))
    for utterance, text in zip(timed.utterances, ("aim sima", "mis", "sam"), strict=True):
        speech = say(text)
        expected = [times for *times, phone in zip(*speech[2:], speech.phones, strict=True) if phone != "sil"]
        spans = utterance.spans[utterance.spans[:, 0] > 0]
        assert tuple(VOCABULARY.decode(spans[:, 0])) == utterance.phones
        np.testing.assert_allclose(spans[:, 1:], expected, atol=0.03 * SAMPLE_RATE)


def test_a_pronunciation_that_is_too_long_is_not_chosen(recognizer):
    (utterance,) = read_split(CONFIG, [record("a", "a\taa\t" + "aa iy " * 9)]).utterances
    log_probs = np.log(np.full((4, len(VOCABULARY)), 1 / len(VOCABULARY), np.float32))
    assert with_nearest(utterance, log_probs, recognizer).phones == ("aa",)
