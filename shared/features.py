"""Log-mel energies of sound, computed inside a graph."""

from functools import cache
from typing import Any

import keras
import numpy as np

from shared.audio import SAMPLE_RATE
from shared.dense import product
from shared.frames import HOP, TRANSFORM, WINDOW, at_least_zero, frame_count

ops: Any = keras.ops  # Keras declares no result types for its operations

FLOOR = 1e-10  # minimum energy before the logarithm
# Slaney's mel scale ("Auditory Toolbox", 1998, `mfcc`): 15 mels per kHz up to 1 kHz, then 27 mels per factor of 6.4.
_LINEAR, _STEP = 15, float(np.log(6.4)) / 27
_TOP = _LINEAR + float(np.log(SAMPLE_RATE / 2 / 1000)) / _STEP  # mels at half the sample rate


def log_mel(samples: Any, mels: int) -> Any:
    """Natural logarithms of mel energies, `(batch, frames, mels)`, of samples `(batch, samples)` in -1..1.

    Power spectrum with a Hann window, triangular filters of area 1 on Slaney's mel scale: equal to `librosa.feature`
    with these sizes and `center=False` (tested). Frame i starts at sample 160 i. Less than a window gives no frame.
    """
    missing = at_least_zero(WINDOW - ops.shape(samples)[1])
    edge = (TRANSFORM - WINDOW) // 2  # the window is centred in the transform
    padded = ops.pad(samples, [[0, 0], [edge, edge + missing]])  # to one window at least: `stft` needs a frame
    real, imaginary = ops.stft(padded, WINDOW, HOP, TRANSFORM, window="hann", center=False)
    energy = product(ops.square(real) + ops.square(imaginary), mel_filters(mels))
    frames = ops.log(ops.maximum(energy, FLOOR))
    return frames[:, : frame_count(ops.shape(samples)[1])]


def warp_frequencies(bands: Any, factors: Any) -> Any:
    """Scale all frequencies of bands `(batch, frames, mels)` by `factors` `(batch,)`.

    Vocal tract length perturbation (Jaitly and Hinton 2013). Linear between bands, constant beyond the outermost.
    """
    mels = bands.shape[-1]
    hertz = _band_edges(mels)[1:-1].astype(np.float32) / factors[:, None]  # source frequency of each new band
    steps = ops.where(hertz < 1000, hertz / 1000 * _LINEAR, _LINEAR + ops.log(hertz / 1000) / _STEP)
    sources = ops.clip(steps / _TOP * (mels + 1) - 1, 0, mels - 1)
    weights = ops.relu(1 - ops.abs(sources[:, None, :] - ops.arange(mels, dtype=sources.dtype)[:, None]))
    return ops.matmul(bands, weights)  # weights: (batch, old band, new band)


def _band_edges(mels: int) -> np.ndarray:
    """Frequencies in Hz, `(mels + 2,)`: band i rises from i to a peak at i + 1 and falls to i + 2."""
    steps = np.linspace(0, _TOP, mels + 2)
    return np.where(steps < _LINEAR, steps / _LINEAR * 1000, 1000 * np.exp(_STEP * np.maximum(steps - _LINEAR, 0)))


def band_of(hertz: Any, mels: int) -> np.ndarray:
    """The position of frequencies among the bands: i at the peak of band i, fractions between two peaks."""
    return np.interp(hertz, _band_edges(mels)[1:-1], np.arange(mels))


@cache
def mel_filters(mels: int) -> np.ndarray:
    """The triangular filters, float32 `(frequencies, mels)`."""
    edges = _band_edges(mels)
    frequencies = np.linspace(0, SAMPLE_RATE / 2, TRANSFORM // 2 + 1)[:, None]
    lower, centre, upper = edges[:-2], edges[1:-1], edges[2:]
    rising, falling = (frequencies - lower) / (centre - lower), (upper - frequencies) / (upper - centre)
    return (np.maximum(0, np.minimum(rising, falling)) * 2 / (upper - lower)).astype(np.float32)
