"""`SoundRecognizer` and its results."""

import keras
import numpy as np
import pytest

from shared.audio import SAMPLE_RATE
from shared.errors import UserError
from shared.phones import SpokenWord
from tasks.phoneme_recognizer import inference
from tasks.phoneme_recognizer.inference import Phone, Recognition, SoundRecognizer, cut, cut_between
from tests.tasks.phoneme_recognizer.conftest import LETTERS, VOCABULARY, say, sound

pytestmark = pytest.mark.any_backend


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


def test_a_long_sound_is_cut_in_the_first_pause_after_three_seconds():
    rng = np.random.default_rng(0)

    def noise(seconds, level=0.1):
        return (level * rng.standard_normal(int(seconds * SAMPLE_RATE))).astype(np.float32)

    # A pause that is too early, one that is too short, one that is loud, and one of half a second from 6.5 to 7.
    early = [noise(1), noise(0.5, 1e-4), noise(3), noise(0.2, 1e-4), noise(1), noise(0.5, 0.01), noise(0.3)]
    samples = np.concatenate([*early, noise(0.5, 1e-4), noise(33)])
    (start, first), (second, piece), (third, last) = cut(samples)
    assert (start, second) == (0, len(first))
    assert second == pytest.approx(6.75 * SAMPLE_RATE, abs=800)
    assert 20 * SAMPLE_RATE <= len(piece) <= inference.MAX_PIECE
    assert third + len(last) == len(samples)
    assert second % 160 == third % 160 == 0
    assert [len(piece) for _, piece in cut(np.zeros(90 * SAMPLE_RATE, np.float32))] == [15 * SAMPLE_RATE] * 4 + [
        30 * SAMPLE_RATE
    ]


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


def spoken(text):
    """The words of a text of tones; each may also be said backwards."""
    phones = [tuple(LETTERS[letter] for letter in word) for word in text.split()]
    return [SpokenWord(word, (said[::-1], said)) for word, said in zip(text.split(), phones, strict=True)]


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="the tiny model that JAX trains takes another sound for the first phone"
)
def test_a_long_sound_is_aligned_in_pieces_with_all_its_words(recognizer, monkeypatch):
    monkeypatch.setattr(inference, "MAX_PIECE", 3 * SAMPLE_RATE)
    monkeypatch.setattr(inference, "CUT_RANGE", 2 * SAMPLE_RATE)
    monkeypatch.setattr(inference, "MARGIN", SAMPLE_RATE // 10)
    words = "aims misa siam asim mais sami imsa"
    speech = say(f"isi  {words}  ma", seed=3)  # the first and the last word are not in the transcript
    found = recognizer.align_words(speech.samples.astype(np.float32) / 32_768, spoken(words))
    assert [word.word for word in found.words] == words.split()
    assert [[phone.phone for phone in word.phones] for word in found.words] == [
        [LETTERS[letter] for letter in word] for word in words.split()
    ]
    said = [(start, end) for phone, start, end in zip(*speech[1:], strict=True) if phone != "sil"][3:-2]
    expected = np.array([(said[4 * i][0], said[4 * i + 3][1]) for i in range(7)]) / SAMPLE_RATE
    np.testing.assert_allclose([(word.start, word.end) for word in found.words], expected, atol=0.04)
    assert found.seconds == len(speech.samples) / SAMPLE_RATE


def test_pieces_have_all_words_and_end_in_pauses():
    second = SAMPLE_RATE
    ends = [4 * i + (3 if i == 5 else 4) for i in range(12)]  # a pause after six words
    times = [(4 * i * second, end * second) for i, end in enumerate(ends)]
    pieces = list(cut_between(times, ["x"] * 12, 60 * second))
    assert [words for *_, words in pieces] == [range(6), range(6, 12)]
    assert [piece[:2] for piece in pieces] == [(0, 23.5 * second), (23.5 * second, 48.5 * second)]
    with pytest.raises(UserError, match="has 'x' within 40 s only; its words do not fit it"):
        list(cut_between([(second, 41 * second)], ["x"], 60 * second))


def test_sounds_that_cannot_be_aligned_are_refused(recognizer):
    with pytest.raises(UserError, match=r"lasts 0\.\d\d s, too short for 90 phones"):
        recognizer.align(sound("a"), ["aa"] * 90)
    with pytest.raises(UserError, match="has no phones to be aligned with"):
        recognizer.align(sound("a"), ["sil"])


def test_several_hypotheses_need_a_beam(trained):
    recognizer = SoundRecognizer.load("tiny", n_best=3)
    assert recognizer.beam == 3
    (hypotheses,) = recognizer([sound("aims")])
    assert len(hypotheses) == 3
    assert SoundRecognizer.load(str(trained.run.path), beam=5, n_best=2).beam == 5
