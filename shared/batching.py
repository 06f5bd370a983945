"""Batches of similar length, in an order that (seed, epoch) alone decides.

Nothing is drawn from a shared random state, so any batch can be named: batch 17 of epoch 3 holds the same examples,
with the same augmentation, in a run that was killed and resumed as in one that was not.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np


def pad(sequences: Sequence[Sequence[int]], length: int | None = None) -> np.ndarray:
    """Right-pads with zeros: (batch, length) int32, `length` being the longest sequence unless told."""
    length = max(map(len, sequences), default=0) if length is None else length
    padded = np.zeros((len(sequences), length), np.int32)
    for row, sequence in zip(padded, sequences, strict=True):
        row[: len(sequence)] = sequence
    return padded


def bucketed(lengths: Sequence[int], batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Shuffles example indices into batches of similar length, shuffled in turn.

    Sorted by length with ties broken at random, e.g. lengths [3, 9, 4, 8], batch_size 2 -> [[1, 3], [0, 2]] or its
    reverse: a batch is padded to little more than its own mean. The last batch of the sorted order may be short.
    """
    order = np.lexsort((rng.random(len(lengths)), np.asarray(lengths)))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    rng.shuffle(batches)
    return batches


def packed(lengths: Sequence[int], room: int) -> Iterator[list[int]]:
    """Places of sequences of about the same length, shortest first, as many at a time as fit into `room` when padded.

    One that is longer than that stands by itself.
    """
    batch: list[int] = []
    for place in np.argsort(lengths, kind="stable").tolist():
        if batch and (len(batch) + 1) * lengths[place] > room:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


class BucketedBatches(keras.utils.PyDataset):
    """The batches of one epoch; set `epoch` before each pass.

    Args:
        lengths: the length of each example, by which they are bucketed.
        batch_size: examples per batch.
        make_batch: (indices (batch,), rng) -> a batch, any nest of NumPy arrays; `rng` is for augmentation.
        seed: with `epoch` and the batch's number it decides everything random.
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
            raise ValueError("no examples to make batches of")
        self.lengths, self.batch_size, self.make_batch, self.seed = lengths, batch_size, make_batch, seed
        self.epoch = 0

    @property
    def epoch(self) -> int:
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int):
        self._epoch = epoch
        self._order = bucketed(self.lengths, self.batch_size, np.random.default_rng([self.seed, epoch]))

    def by_length(self) -> list[int]:
        """The numbers of the epoch's batches, shortest first."""
        return sorted(range(len(self)), key=lambda number: max(self.lengths[i] for i in self._order[number]))

    def share(self, number: int) -> float:
        """What the rate of a batch is multiplied with: they all count alike."""
        del number
        return 1.0

    def __len__(self):
        return len(self._order)

    def __getitem__(self, index):
        # NumPy does not tell [seed, epoch] and [seed, epoch, 0] apart, so batches count from one.
        return self.make_batch(self._order[index], np.random.default_rng([self.seed, self.epoch, index + 1]))
