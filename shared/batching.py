"""Batches of sequences of similar length, in an order derived from (seed, epoch) alone.

No random state is shared, so batch 17 of epoch 3 holds the same examples with the same augmentation in a resumed run as
in an uninterrupted one.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np


def pad(sequences: Sequence[Sequence[int]], length: int | None = None) -> np.ndarray:
    """Right-pad with zeros to int32 `(batch, length)`; default length: that of the longest sequence."""
    length = max(map(len, sequences), default=0) if length is None else length
    padded = np.zeros((len(sequences), length), np.int32)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return padded


def bucketed(lengths: Sequence[int], batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return shuffled batches of example indices, each of examples of similar length.

    Examples are sorted by length, ties broken at random: lengths [3, 9, 4, 8] and batch_size 2 give [[1, 3], [0, 2]] or
    its reverse. The batch of the longest examples may be smaller.
    """
    order = np.lexsort((rng.random(len(lengths)), np.asarray(lengths)))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    rng.shuffle(batches)
    return batches


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


class BucketedBatches(keras.utils.PyDataset):
    """The batches of one epoch; set `epoch` before each pass.

    Args:
        lengths: the length of each example, used for bucketing; raises ValueError if there are none.
        batch_size: examples per batch.
        make_batch: (indices `(batch,)`, rng) -> a batch, any nest of NumPy arrays; `rng` is for augmentation.
        seed: seeds all random draws, together with `epoch` and the batch index.
    """

    def __init__(
        self,
        lengths: Sequence[int],
        batch_size: int,
        make_batch: Callable[[np.ndarray, np.random.Generator], Any],
        seed: int,
    ):
        super().__init__()
        if not len(lengths):
            raise ValueError("there are no examples; at least one was expected")
        self.lengths, self.batch_size, self.make_batch, self.seed = lengths, batch_size, make_batch, seed
        self.epoch = 0

    @property
    def epoch(self) -> int:
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch = epoch
        self._order = bucketed(self.lengths, self.batch_size, np.random.default_rng([self.seed, epoch]))

    def by_length(self) -> list[int]:
        """The indices of the epoch's batches, shortest first."""
        return sorted(range(len(self)), key=lambda index: max(self.lengths[i] for i in self._order[index]))

    def rate_scale(self, index: int) -> float:
        """Learning-rate factor of a batch: always 1."""
        del index
        return 1.0

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> Any:
        # + 1, because NumPy seeds [seed, epoch] and [seed, epoch, 0] alike and the former shuffles the epoch.
        return self.make_batch(self._order[index], np.random.default_rng([self.seed, self.epoch, index + 1]))
