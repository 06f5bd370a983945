"""Normalisation of bands, against values computed by hand, and of sounds with silence, clicks and other levels."""

from dataclasses import replace

import numpy as np
import pytest

from shared.features import log_mel
from tasks.phoneme_recognizer.model import build_model, measure_bands
from tasks.phoneme_recognizer.normalisation import DECAY, LEAST_PEAK, below_peak, over_frames, over_speech
from tests.tasks.phoneme_recognizer.conftest import CONFIG, VOCABULARY

pytestmark = pytest.mark.any_backend

RATE, MELS = 16_000, CONFIG.mels
QUIET = np.zeros(RATE, np.float32)
HISS = 1e-4 * np.random.default_rng(0).normal(size=RATE).astype(np.float32)
CLICK = QUIET.copy()
CLICK[8_000:8_020] = 1


def voice(seconds: float = 0.75) -> np.ndarray:
    """A voiced sound with all frequencies, whose level rises and falls."""
    times = np.arange(int(seconds * RATE)) / RATE
    partials = sum(np.sin(2 * np.pi * 120 * partial * times) / partial for partial in range(1, 66))
    return (0.1 * partials * np.sin(2 * np.pi * 2 * times) ** 2).astype(np.float32)


def features(model, samples: np.ndarray) -> np.ndarray:
    return np.asarray(model.features(samples[None], np.array([len(samples)]))[0])[0]


def test_statistics_are_those_of_the_counted_frames():
    bands = np.array([[[1.0, 5], [3, 5], [100, -100]], [[7, 0], [0, 0], [0, 0]]], np.float32)
    counted = np.array([[True, True, False], [True, False, False]])[:, :, None]
    normalised = np.asarray(over_frames(bands, counted))
    deviation = np.sqrt(1 + 1e-2)  # of 1 and 3; that of a constant band is 0.1
    np.testing.assert_allclose(normalised[0, :, 0], np.array([-1, 1, 98]) / deviation, rtol=1e-6)
    np.testing.assert_allclose(normalised[0, :, 1], [0, 0, -1050], rtol=1e-6)
    np.testing.assert_allclose(normalised[1], [[0, 0], [-70, 0], [-70, 0]], rtol=1e-6)


def test_frames_below_the_tenth_loudest_by_more_than_the_range_do_not_count():
    loudness = np.array([50.0, *[2.0] * 6, *[0.0] * 4, -5.9, -6.1, -20, 90])
    bands = np.repeat(loudness[None, :, None], 3, axis=2).astype(np.float32)
    real = np.arange(15)[None, :, None] < 14
    normalised = np.asarray(over_speech(bands, real))[0, :, 0]
    counted = loudness[:11]  # the tenth loudest is 0: 8 below it are -8
    counted = np.array([*counted, -5.9, -6.1])
    expected = (loudness - counted.mean()) / np.sqrt(counted.var() + 1e-2)
    np.testing.assert_allclose(normalised, np.maximum(expected, -3), rtol=1e-5)


@pytest.mark.parametrize(("silence", "near"), [(QUIET, 0.02), (HISS, 0.02), (CLICK, 0.2)])
def test_silence_around_speech_does_not_change_its_features(silence, near):
    """A click is among the loud frames, so its effect is small and not zero."""
    model = build_model(CONFIG, VOCABULARY)
    alone = features(model, voice())
    assert alone.min() == -3
    loud = alone.mean(1) > 0
    assert 20 < loud.sum() < len(alone) == 73
    around = features(model, np.concatenate([silence, voice(), silence]))
    np.testing.assert_allclose(around[100 : 100 + len(alone)][loud], alone[loud], atol=near)
    assert around[:40].max() < 0


def test_short_and_silent_sounds():
    model = build_model(CONFIG, VOCABULARY)
    assert np.all(np.isfinite(features(model, voice()[3_000:4_000])))  # four frames
    np.testing.assert_allclose(features(model, QUIET), np.zeros((98, MELS)), atol=1e-3)


def test_the_running_peak_by_hand():
    loudness = np.array([-12, -12, -12, -12, -12, -5, -5, -5, -5, -5, -9, -30], np.float32)
    bands = np.repeat(loudness[None, :, None], 4, axis=2)
    below, _ = below_peak(bands)
    peaks = loudness - np.asarray(below)[0, :, 0]
    # Five frames in a row reach a level; before them it is that of a silent recording.
    expected = [LEAST_PEAK] * 4 + [-12.0] * 5 + [-5 - DECAY * i for i in range(3)]
    np.testing.assert_allclose(peaks, expected, rtol=1e-6)


def test_a_stream_in_pieces_has_the_peaks_of_the_whole():
    rng = np.random.default_rng(4)
    bands = rng.normal(-10, 4, size=(2, 300, 3)).astype(np.float32)
    whole, _ = below_peak(bands)
    state, pieces = None, []
    for start, stop in ((0, 1), (1, 3), (3, 3), (3, 160), (160, 300)):
        piece, state = below_peak(bands[:, start:stop], state)
        pieces.append(np.asarray(piece))
    np.testing.assert_allclose(np.concatenate(pieces, axis=1), whole, atol=1e-5)


def test_neither_level_nor_silence_before_changes_running_features():
    model = build_model(replace(CONFIG, normalisation="running", bidirectional=False), VOCABULARY)
    measure_bands(model, [voice()])
    alone = features(model, voice())
    quiet = features(model, 0.1 * voice())
    np.testing.assert_allclose(quiet[30:], alone[30:], atol=0.05)
    np.testing.assert_allclose(features(model, np.concatenate([QUIET, voice()]))[105:], alone[5:], atol=0.05)
    assert alone.min() == -3
    below, _ = below_peak(log_mel(voice()[None], MELS))
    loud = np.asarray(below)[np.asarray(below).mean(axis=-1) >= -8]
    np.testing.assert_allclose(model.mean, loud.mean(0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(model.deviation, loud.std(0), rtol=1e-4)
