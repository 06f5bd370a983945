"""`SoundRecognizer` and its results."""

import numpy as np
import pytest

from shared.audio import SAMPLE_RATE
from shared.errors import UserError
from tasks.phoneme_recognizer import inference
from tasks.phoneme_recognizer.inference import Phone, Recognition, SoundRecognizer, cut
from tests.tasks.phoneme_recognizer.conftest import VOCABULARY, sound

pytestmark = pytest.mark.any_backend


@pytest.fixture(scope="module")
def recognizer(trained):
    return SoundRecognizer.load("tiny")


def test_a_long_sound_is_cut_where_it_is_quiet(recognizer, monkeypatch):
    monkeypatch.setattr(inference, "MAX_PIECE", 3 * SAMPLE_RATE)
    monkeypatch.setattr(inference, "CUT_RANGE", 2 * SAMPLE_RATE)
    text = "aims  misa  siam  asim  mais"
    samples = sound(text)
    pieces = list(cut(samples))
    assert len(pieces) > 1
    np.testing.assert_array_equal(np.concatenate([piece for _, piece in pieces]), samples)
    assert all(start % 160 == 0 and len(piece) <= 3 * SAMPLE_RATE for start, piece in pieces)
    (best,), short = recognizer([samples, sound("ai")])[0], recognizer([sound("ai")])[0][0]
    assert best.seconds == len(samples) / SAMPLE_RATE
    assert len(best.phones) == pytest.approx(len(text.replace(" ", "")), abs=2)
    starts = [phone.start for phone in best.phones]
    assert starts == sorted(starts)
    assert starts[-1] > 2.5
    assert recognizer.posteriors(samples).shape == (1 + (len(samples) - 400) // 160, 39)
    batched = recognizer([samples, sound("ai")])[1][0]
    assert [phone.phone for phone in batched.phones] == [phone.phone for phone in short.phones]


def test_silences_fill_the_gaps_between_phones():
    phones = [Phone("b", 0.1, 0.2, 0.9), Phone("zh", 0.2, 0.3, 0.9), Phone("ao", 0.4, 0.5, 0.9)]
    recognition = Recognition(phones=phones, log_prob=-1.0, seconds=0.6)
    assert [span.phone for span in recognition.with_silence()] == ["sil", "b", "zh", "sil", "ao", "sil"]
    assert recognition.scored() == ["b", "sh", "aa"]
    assert recognition.scored(silence=True) == ["sil", "b", "sh", "sil", "aa", "sil"]
    np.testing.assert_allclose(recognition.boundaries(), [0.1, 0.2, 0.3, 0.4, 0.5])
    # Times are rounded to 32 bits; a gap of a millionth of a second is not a silence.
    rounded = [Phone("b", 0.0, float(np.float32(0.3)), 1.0), Phone("s", 0.3, float(np.float32(0.7)), 1.0)]
    whole = Recognition(phones=rounded, log_prob=0.0, seconds=0.7)
    assert [span.phone for span in whole.with_silence()] == ["b", "s"]
    empty = Recognition(phones=[], log_prob=0.0, seconds=1.0)
    assert [span.phone for span in empty.with_silence()] == ["sil"]


def test_alignments_in_a_batch_equal_single_ones(recognizer):
    sounds, phones = [sound("aims"), sound("si")], [["aa", "iy", "m", "s"], ["s", "sil", "iy"]]
    ids = [np.array(VOCABULARY.encode(each), np.int32) for each in phones]
    for one, other in zip(recognizer.align_batch(sounds, ids), map(recognizer.align, sounds, phones), strict=True):
        assert [phone.phone for phone in one.phones] == [phone.phone for phone in other.phones]
        times = [[phone[1:] for phone in recognition.phones] for recognition in (one, other)]
        np.testing.assert_allclose(*times, atol=1e-4)


def test_sounds_that_cannot_be_aligned_are_refused(recognizer):
    with pytest.raises(UserError, match="lasts 31 s; at most 30 s can be aligned at once"):
        recognizer.align(np.zeros(31 * SAMPLE_RATE, np.float32), ["aa"])
    with pytest.raises(UserError, match="has no phones to be aligned with"):
        recognizer.align(sound("a"), ["sil"])


def test_several_hypotheses_need_a_beam(trained):
    recognizer = SoundRecognizer.load("tiny", n_best=3)
    assert recognizer.beam == 3
    (hypotheses,) = recognizer([sound("aims")])
    assert len(hypotheses) == 3
    assert SoundRecognizer.load(str(trained.run.path), beam=5, n_best=2).beam == 5
