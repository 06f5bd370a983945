"""The mean and deviation of mel bands, which do not depend on the level of a recording and the silence in it.

Silence is most of many recordings, and its level is that of the room or the device: statistics of all frames depend on
how much of it there is. Loud frames are speech, or nothing is.
"""

from typing import Any

import keras
import numpy as np

from shared.features import FLOOR
from shared.frames import FRAMES_PER_SECOND

ops: Any = keras.ops  # Keras declares no result types for its operations

SPEECH_RANGE = 8.0  # nats below the loudest frames, by the mean of the bands, in which frames count as speech
CLICK = 10  # frames that may be louder than all speech
QUIETEST = -3.0  # standard deviations below the mean; silence is no quieter, however quiet it is
STEADY = 5  # frames; a shorter sound does not change the running peak
DECAY = 0.3 / FRAMES_PER_SECOND  # nats a frame, by which the running peak falls until the next loud frame
LEAST_PEAK = -16.0  # running peak of a silent recording: that of speech recorded 35 dB too quietly
DOUBLINGS = 15  # of frames whose number is unknown: 2^15 are more than the longest sound of one call
_SILENT = float(np.log(FLOOR))  # loudness of digital silence


def over_frames(bands: Any, counted: Any) -> Any:
    """Bands `(batch, frames, mels)` with mean 0 and standard deviation 1 where `counted`, `(batch, frames, 1)`."""
    counted = ops.cast(counted, bands.dtype)
    count = ops.maximum(ops.sum(counted, axis=1, keepdims=True), 1)
    mean = ops.sum(counted * bands, axis=1, keepdims=True) / count
    variance = ops.sum(counted * ops.square(bands - mean), axis=1, keepdims=True) / count
    return (bands - mean) / ops.sqrt(variance + 1e-2)  # so that constant bands, such as silence, are not amplified


def over_speech(bands: Any, real: Any) -> Any:
    """The same over the loud ones of the `real` frames, `(batch, frames, 1)`, and no less than `QUIETEST`.

    Loud frames are within `SPEECH_RANGE` of the tenth loudest: a click is louder than speech, and shorter.
    """
    loudness = ops.where(real[:, :, 0], loudness_of(bands), 2 * _SILENT)
    padded = ops.pad(loudness, ((0, 0), (0, CLICK)), constant_values=2 * _SILENT)
    loudest = ops.top_k(padded, CLICK)[0][:, -1:]
    is_loud = (loudness >= loudest - SPEECH_RANGE)[:, :, None]
    return ops.maximum(over_frames(bands, real & is_loud), QUIETEST)


def loudness_of(bands: Any) -> Any:
    """The loudness of each frame in nats, `(batch, frames)`: the mean of its bands."""
    return ops.mean(bands, axis=-1)


def initial_peak(batch: Any) -> tuple[Any, Any]:
    """The state of `running` before the first frame: the loudness of the last frames, and the peak."""
    return ops.full((batch, STEADY - 1), _SILENT), ops.full((batch, 1), LEAST_PEAK)


def below_peak(bands: Any, state: tuple[Any, Any] | None = None) -> tuple[Any, tuple[Any, Any]]:
    """Bands `(batch, frames, mels)` relative to the loudest frame until each, and the state after them.

    The peak of a frame depends on no later one, so a stream in pieces has the results of the whole sound:

        peak_t = max(LEAST_PEAK, peak_{t-1} - DECAY, the least loud of the last STEADY frames)
    """
    batch, frames = ops.shape(bands)[:2]
    recent, peak = state or initial_peak(batch)
    loudness = ops.concatenate([recent, loudness_of(bands)], axis=1)
    steady = loudness[:, :frames]
    for shift in range(1, STEADY):
        steady = ops.minimum(steady, loudness[:, shift : shift + frames])
    # Without the decay, peaks are the running maximum of steady_t + DECAY t; twice as many frames with each round.
    fallen = DECAY * ops.cast(ops.arange(frames + 1), bands.dtype)
    peaks = ops.concatenate([peak, ops.maximum(steady, LEAST_PEAK)], axis=1) + fallen
    for doubling in range((frames + 1).bit_length() if isinstance(frames, int) else DOUBLINGS):
        before = ops.pad(peaks, ((0, 0), (2**doubling, 0)), constant_values=2 * _SILENT)[:, : frames + 1]
        peaks = ops.maximum(peaks, before)
    peaks = peaks - fallen
    return bands - peaks[:, 1:, None], (loudness[:, frames:], peaks[:, -1:])
