"""Layers that change spectra in training."""

import keras
import numpy as np

from tasks.phoneme_recognizer.spectrum import SpectrumMask, VocalTract


def test_vocal_tracts_differ_between_utterances_in_training_alone():
    features = np.random.default_rng(0).standard_normal((3, 4, 20)).astype(np.float32)
    layer = VocalTract(0.2)
    np.testing.assert_array_equal(layer(features), features)
    warped = np.asarray(layer(features, training=True))
    assert warped.shape == features.shape
    assert all(np.abs(one - other).max() > 1e-3 for one, other in zip(warped, features, strict=True))
    np.testing.assert_array_equal(VocalTract(0.0)(features, training=True), features)


def test_masks_zero_bands_and_frames_in_training_alone():
    keras.utils.set_random_seed(1)
    layer = SpectrumMask(bands=3, frames=5)
    features = np.ones((2, 40, 20), np.float32)
    np.testing.assert_array_equal(layer(features), features)
    masked = np.asarray(layer(features, training=True))
    zero_frames, zero_bands = (masked == 0).all(axis=2).sum(1), (masked == 0).all(axis=1).sum(1)
    assert np.all(zero_frames <= 2 * 6)
    assert np.all(zero_bands <= 2 * 4)
    assert 0 < (masked == 0).sum() < masked.size / 2
    assert len(np.unique(masked)) == 2
