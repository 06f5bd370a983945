"""Layers that change spectra in training: masks, and vocal tracts of other lengths."""

from typing import Any

import keras

from shared.features import warp_frequencies

ops: Any = keras.ops  # Keras declares no result types for its operations

MASKS = 2  # masks per axis


class SpectrumMask(keras.layers.Layer):
    """SpecAugment in training (Park et al. 2019, section 2): zeroes ranges of up to `bands` and of up to `frames`."""

    def __init__(self, bands: int, frames: int, **kwargs):
        super().__init__(**kwargs)
        self.bands, self.frames = bands, frames
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, features, training: bool = False):
        """Normalised `(batch, frames, mels)` -> the same, masked with 0, the mean."""
        if not training:
            return features
        for axis, max_width in ((1, self.frames), (2, self.bands)) * MASKS:
            batch, size = ops.shape(features)[0], ops.shape(features)[axis]
            uniform = keras.random.uniform((2, batch, 1), seed=self.seed_generator)
            width = uniform[0] * max_width
            start = uniform[1] * (ops.cast(size, "float32") - width)
            index = ops.cast(ops.arange(size), "float32")
            kept = ops.cast((index < start) | (index >= start + width), features.dtype)  # (batch, size)
            features = features * ops.expand_dims(kept, 3 - axis)
        return features


class VocalTract(keras.layers.Layer):
    """Vocal tract length perturbation in training (Jaitly and Hinton 2013): scales frequencies by 1 +- `max_shift`."""

    def __init__(self, max_shift: float, **kwargs):
        super().__init__(**kwargs)
        self.max_shift = max_shift
        self.seed_generator = keras.random.SeedGenerator()

    def call(self, features, training: bool = False):
        """`(batch, frames, mels)` -> the same shape, by one random factor per utterance."""
        if not training or not self.max_shift:
            return features
        batch = ops.shape(features)[:1]
        factors = keras.random.uniform(batch, 1 - self.max_shift, 1 + self.max_shift, seed=self.seed_generator)
        return warp_frequencies(features, factors)
