"""Augmentation, against values computed by hand."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.phoneme_recognizer.augmentation import (
    add_noise,
    add_silence,
    augment,
    change_speed,
    crop,
    reverberate,
    telephone,
    without_speech,
)
from tests.tasks.phoneme_recognizer.conftest import CONFIG, say, sound

RATE = 16_000


def tone(hertz: float, seconds: float = 1.0) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def level(samples: np.ndarray) -> float:
    """In dB."""
    return 10 * np.log10(np.mean(np.square(samples)))


def test_speed_scales_length_times_and_pitch():
    spans = np.array([[1, 0, 8000], [2, 8000, RATE]], np.int32)
    resampled, moved = change_speed(tone(1000), spans, 1.25)
    assert len(resampled) == pytest.approx(RATE / 1.25, abs=2)
    np.testing.assert_array_equal(moved, [[1, 0, 6400], [2, 6400, 12800]])
    spectrum = np.abs(np.fft.rfft(resampled))
    assert np.argmax(spectrum) * RATE / len(resampled) == pytest.approx(1250, abs=3)
    assert change_speed(tone(1000), None, 0.9)[1] is None


def test_crop_cuts_fractions_of_the_outer_silences():
    samples = np.arange(100, dtype=np.float32)
    spans = np.array([[0, 0, 20], [5, 20, 50], [0, 50, 60], [7, 60, 70], [0, 70, 90]], np.int32)
    kept, moved = crop(samples, spans, 0.5, 0.4)
    np.testing.assert_array_equal(kept, np.arange(10, 88))
    np.testing.assert_array_equal(moved, [[0, 0, 10], [5, 10, 40], [0, 40, 50], [7, 50, 60], [0, 60, 78]])
    alone, inner = crop(samples, spans, 1, 1)
    np.testing.assert_array_equal(alone, np.arange(20, 70))
    np.testing.assert_array_equal(inner[1:4], [[5, 0, 30], [0, 30, 40], [7, 40, 50]])
    assert crop(samples, spans[:1], 1, 1)[0] is samples


@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_noise_has_the_given_ratio(snr):
    noise = add_noise(tone(2000), snr, np.random.default_rng(1)) - tone(2000)
    assert level(tone(2000)) - level(noise) == pytest.approx(snr, abs=0.1)
    silence = np.zeros(500, np.float32)
    assert np.all(np.isfinite(add_noise(silence, snr, np.random.default_rng(1))))


def test_silence_is_before_inside_and_after():
    samples = np.ones(1000, np.float32)
    spans = np.array([[7, 0, 400], [0, 400, 600], [5, 600, 1000]], np.int32)
    for seed in range(20):
        longer, moved = add_silence(samples, spans, 0.25, np.random.default_rng(seed))
        assert 4998 <= len(longer) <= 5000
        assert np.count_nonzero(np.abs(longer - 1) < 0.1) == 1000  # the silence is quieter than -45 dB
        np.testing.assert_array_equal(moved[:, 0], [0, 7, 0, 0, 0, 5, 0])
        assert moved[0, 1] == 0
        assert moved[-1, 2] == len(longer)
        np.testing.assert_array_equal(moved[1:, 1], moved[:-1, 2])
        lengths = moved[:, 2] - moved[:, 1]
        np.testing.assert_array_equal(lengths[[1, 2, 4, 5]], [400, 100, 100, 400])  # the pause is cut in the middle
        for _, start, end in moved[[1, 2, 4, 5]]:
            np.testing.assert_array_equal(longer[start:end], np.ones(end - start))


def test_silence_without_a_pause_is_at_a_boundary_and_without_times_outside():
    samples, rng = np.ones(500, np.float32), np.random.default_rng(0)
    longer, moved = add_silence(samples, np.array([[7, 0, 200], [5, 200, 500]], np.int32), 0.1, rng)
    np.testing.assert_array_equal(moved[:, 0], [0, 7, 0, 5, 0])
    np.testing.assert_array_equal((moved[:, 2] - moved[:, 1])[[1, 3]], [200, 300])
    longer, moved = add_silence(samples, None, 0.1, rng)
    assert moved is None
    assert np.all(np.diff(np.flatnonzero(np.abs(longer - 1) < 0.1)) == 1)


def test_reverberation_is_the_sound_and_a_tail_below_it_that_falls_by_60_db():
    click = np.zeros(RATE, np.float32)
    click[100] = 1
    room = reverberate(click, 0.4, 10.0, np.random.default_rng(0))
    np.testing.assert_allclose(room[:100], np.zeros(100), atol=1e-6)
    assert room[100] == pytest.approx(1, abs=1e-5)
    tail = room[101:]
    assert 10 * np.log10(np.square(tail).sum()) == pytest.approx(-10, abs=0.01)
    assert level(tail[:800]) - level(tail[3200:4000]) == pytest.approx(30, abs=2)  # 0.2 s later: half of the decay
    np.testing.assert_allclose(tail[6400:], 0, atol=1e-6)


def test_a_telephone_line_keeps_the_middle_frequencies():
    lost = {hertz: level(tone(hertz)) - level(telephone(tone(hertz), np.random.default_rng(2))) for hertz in (60, 1000)}
    assert lost[1000] == pytest.approx(0, abs=0.5)
    assert lost[60] > 15
    assert level(telephone(tone(5000), np.random.default_rng(2))) < -50
    assert len(np.unique(telephone(tone(440), np.random.default_rng(0)))) <= 255  # 8 bits


def test_sounds_without_speech_are_finite_and_differ():
    sounds = [without_speech(4321, np.random.default_rng(seed)) for seed in range(40)]
    for samples in sounds:
        assert samples.shape == (4321,)
        assert samples.dtype == np.float32
        assert np.all(np.abs(samples) <= 1)
    assert sum(not samples.any() for samples in sounds) < 12
    levels = [level(samples) for samples in sounds if samples.any()]
    assert max(levels) - min(levels) > 20


def test_an_augmented_sound_has_16_bits_and_spans_without_gaps():
    speech = say("mais")
    spans = np.stack([np.arange(len(speech.phones)), speech.starts, speech.ends], axis=1).astype(np.int32)
    everything = replace(
        CONFIG, max_crop=1.0, speed_range=0.2, max_silence=0.5, reverberation_probability=0.5, telephone_probability=0.5
    )
    for seed in range(30):
        samples, moved = augment(sound("mais"), spans, everything, np.random.default_rng(seed))
        assert samples.dtype == np.float32
        np.testing.assert_array_equal(samples * 32_768, np.round(samples * 32_768))
        np.testing.assert_array_equal(moved[1:, 1], moved[:-1, 2])
        assert len(samples) == pytest.approx(moved[-1, 2], abs=2)
        same, _ = augment(sound("mais"), spans, everything, np.random.default_rng(seed))
        np.testing.assert_array_equal(samples, same)
