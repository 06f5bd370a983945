"""Sequences of different lengths in batches, without a backend."""

from collections.abc import Iterator, Sequence

import numpy as np


def pad(sequences: Sequence[Sequence[int]], length: int | None = None) -> np.ndarray:
    """Right-pad with zeros to int32 `(batch, length)`; default length: that of the longest sequence."""
    length = max(map(len, sequences), default=0) if length is None else length
    padded = np.zeros((len(sequences), length), np.int32)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return padded


def packed(lengths: Sequence[int], max_size: int) -> Iterator[list[int]]:
    """Yield batches of indices, shortest sequences first; a padded batch has at most `max_size` elements.

    A sequence longer than `max_size` is a batch of its own.
    """
    batch: list[int] = []
    for index in np.argsort(lengths, kind="stable").tolist():
        if batch and (len(batch) + 1) * lengths[index] > max_size:
            yield batch
            batch = []
        batch.append(index)
    if batch:
        yield batch
