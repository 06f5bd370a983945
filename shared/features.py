"""What a recognizer hears: the logarithm of a sound's energy in bands as wide as the ear's, in any graph."""

from functools import cache
from typing import Any

import keras
import numpy as np

from shared.audio import SAMPLE_RATE

ops: Any = keras.ops  # Keras declares no result types for its operations

WINDOW, HOP, TRANSFORM = 400, 160, 512  # samples: 25 ms of sound every 10 ms, with zeros to a power of two
FLOOR = 1e-10  # of energy: the logarithm of silence
FRAMES_PER_SECOND = SAMPLE_RATE // HOP
# Slaney's scale ("Auditory Toolbox", 1998, `mfcc`): 15 steps to a kHz below 1 kHz, above it 27 to a factor of 6.4.
_LINEAR, _STEP = 15, float(np.log(6.4)) / 27
_TOP = _LINEAR + float(np.log(SAMPLE_RATE / 2 / 1000)) / _STEP  # the highest frequency


def frame_count(samples: Any) -> Any:
    """Frames of so many samples; 0 where they do not fill a window."""
    return ops.maximum(samples - WINDOW + HOP, 0) // HOP


def log_mel(samples: Any, mels: int) -> Any:
    """Samples `(batch, samples)` in -1..1 -> `(batch, frames, mels)`, natural logarithms.

    A Hann window, power, triangles evenly spaced on Slaney's mel scale and of area 1: what `librosa.feature` gives with
    these sizes and `center=False` (a test). Frame i is of the samples from 160 i on. Less than a window has no frame.
    """
    missing = ops.maximum(WINDOW - ops.shape(samples)[1], 0)
    edge = (TRANSFORM - WINDOW) // 2  # the window lies in the middle of a transform
    whole = ops.pad(samples, [[0, 0], [edge, edge + missing]])  # a transform of no frame is refused
    real, imaginary = ops.stft(whole, WINDOW, HOP, TRANSFORM, window="hann", center=False)
    energy = ops.matmul(ops.square(real) + ops.square(imaginary), mel_filters(mels))
    frames = ops.log(ops.maximum(energy, FLOOR))
    return frames[:, : frame_count(ops.shape(samples)[1])]


def stretched(bands: Any, factors: Any) -> Any:
    """Bands `(batch, frames, mels)` as if all frequencies were `factors` `(batch,)` times as high.

    Which is how a shorter vocal tract says the same (Jaitly and Hinton 2013). Linear between bands; what would come
    from beyond the outermost is as they are.
    """
    mels = bands.shape[-1]
    hertz = _band_edges(mels)[1:-1].astype(np.float32) / factors[:, None]  # where a band finds what it will hold
    steps = ops.where(hertz < 1000, hertz / 1000 * _LINEAR, _LINEAR + ops.log(hertz / 1000) / _STEP)
    places = ops.clip(steps / _TOP * (mels + 1) - 1, 0, mels - 1)
    shares = ops.relu(1 - ops.abs(places[:, None, :] - ops.arange(mels, dtype=places.dtype)[:, None]))
    return ops.matmul(bands, shares)  # (batch, from, to)


def _band_edges(mels: int) -> np.ndarray:
    """Hertz, `(mels + 2,)`: each band begins at one of them, is highest at the next and ends at the one after."""
    steps = np.linspace(0, _TOP, mels + 2)
    return np.where(steps < _LINEAR, steps / _LINEAR * 1000, 1000 * np.exp(_STEP * np.maximum(steps - _LINEAR, 0)))


@cache
def mel_filters(mels: int) -> np.ndarray:
    """The triangles, float32 `(frequencies, mels)`."""
    edges = _band_edges(mels)
    frequencies = np.linspace(0, SAMPLE_RATE / 2, TRANSFORM // 2 + 1)[:, None]
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequencies - lower) / (centre - lower), (upper - frequencies) / (upper - centre)
    return (np.maximum(0, np.minimum(rising, falling)) * 2 / (upper - lower)).astype(np.float32)
