"""Masks of padded sequences."""

from typing import Any

import keras

ops: Any = keras.ops  # Keras declares no result types for its operations


def is_real(x: Any, lengths: Any) -> Any:
    """Mask `(batch, time)` of the steps of x `(batch, time, ...)` that are within the lengths `(batch,)`."""
    return ops.arange(ops.shape(x)[1]) < lengths[:, None]
