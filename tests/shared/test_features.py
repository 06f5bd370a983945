"""Log-mel energies: equal to librosa, in TensorFlow's graph, of any length."""

import keras
import librosa
import numpy as np
import pytest

from shared.audio import SAMPLE_RATE
from shared.features import log_mel, mel_filters, warp_frequencies
from shared.frames import HOP, TRANSFORM, WINDOW, frame_count

pytestmark = pytest.mark.any_backend
RNG = np.random.default_rng(0)
SOUND = (0.1 * RNG.standard_normal((2, 5_000))).astype("float32")
SOUND[1] = 0.5 * np.sin(2 * np.pi * 700 * np.arange(5_000) / SAMPLE_RATE) + 0.03 * SOUND[1]  # 50 dB apart


@pytest.mark.parametrize("mels", [40, 80])
def test_filters_equal_librosa(mels):
    expected = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=TRANSFORM, n_mels=mels)
    np.testing.assert_allclose(mel_filters(mels), expected.T, atol=1e-7)


def test_energies_equal_librosa():
    """Power spectra as librosa defines them; its own take 11 s, since its modules compile functions when imported."""
    filters = librosa.filters.mel(sr=SAMPLE_RATE, n_fft=TRANSFORM, n_mels=40)
    window = np.hanning(WINDOW + 1)[:-1]  # periodic
    energies = keras.ops.convert_to_numpy(log_mel(SOUND, 40))
    assert energies.shape == (2, 29, 40)
    for sound, frames in zip(SOUND, energies, strict=True):
        windows = np.lib.stride_tricks.sliding_window_view(sound, WINDOW)[::HOP]
        power = np.abs(np.fft.rfft(window * windows, TRANSFORM)) ** 2
        np.testing.assert_allclose(frames, np.log(np.maximum(power @ filters.T, 1e-10)), atol=1e-4)


@pytest.fixture(scope="module")
def seven_mels():
    """`log_mel` of 7 mels; on TensorFlow one graph for all lengths."""
    if keras.backend.backend() != "tensorflow":
        return lambda samples: log_mel(samples, 7)
    import tensorflow as tf

    return tf.function(lambda samples: log_mel(samples, 7), input_signature=[tf.TensorSpec([None, None])])


@pytest.mark.parametrize("samples", [0, 1, 399, 400, 559, 560, 5_000])
def test_frames_of_any_length(samples, seven_mels):
    frames = np.asarray(seven_mels(SOUND[:, :samples]))
    expected = len(range(0, samples - WINDOW + 1, HOP))
    assert frames.shape == (2, expected, 7)
    assert int(frame_count(samples)) == expected
    np.testing.assert_allclose(frames, log_mel(SOUND, 7)[:, :expected], atol=1e-4)


def test_silence_has_the_minimum_energy():
    assert np.asarray(log_mel(np.zeros((1, 400), np.float32), 5)) == pytest.approx(np.full((1, 1, 5), np.log(1e-10)))


@pytest.mark.parametrize("hertz", [400, 1500, 3000])
def test_warped_bands_equal_those_of_a_higher_sound(hertz):
    seconds = np.arange(800) / SAMPLE_RATE
    low, high = (np.float32([np.sin(2 * np.pi * f * seconds)]) for f in (hertz, 1.2 * hertz))
    bands = np.asarray(log_mel(np.concatenate([low, low]), 64))
    warped = np.asarray(warp_frequencies(bands, np.float32([1.2, 1])))
    assert warped.shape == (2, 3, 64)
    assert warped[0].argmax(-1) == pytest.approx(np.asarray(log_mel(high, 64))[0].argmax(-1), abs=0)
    np.testing.assert_allclose(warped[1], bands[1], atol=1e-4)
