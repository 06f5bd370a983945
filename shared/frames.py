"""The frames of a sound: their number and sizes; `features` computes what is in them."""

from typing import Any

from shared.audio import SAMPLE_RATE

WINDOW, HOP, TRANSFORM = 400, 160, 512  # samples: 25 ms every 10 ms, zero-padded to a power of two
FRAMES_PER_SECOND = SAMPLE_RATE // HOP


def frame_count(samples: Any) -> Any:
    """The number of frames in a number of samples; 0 for less than a window."""
    return at_least_zero(samples - WINDOW + HOP) // HOP


def at_least_zero(x: Any) -> Any:
    """The size, or 0 for a negative one; of a tensor too."""
    if isinstance(x, int):  # JAX needs sizes as ints
        return max(x, 0)
    import keras

    ops: Any = keras.ops  # Keras declares no result types for its operations
    return ops.maximum(x, 0)
