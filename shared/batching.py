"""Batches of sequences of similar length, in an order derived from (seed, epoch) alone.

No random state is shared, so batch 17 of epoch 3 holds the same examples with the same augmentation in a resumed run as
in an uninterrupted one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

MAX_BUCKETS = 5  # sizes of batches, besides that of the last one, which may have fewer rows
QUANTILES = 200  # of the lengths, that may bound a bucket


def bucketed(lengths: Sequence[Any] | np.ndarray, batch_size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Return shuffled batches of example indices, each of examples of similar length.

    Examples are sorted by length, ties broken at random: lengths [3, 9, 4, 8] and batch_size 2 give [[1, 3], [0, 2]] or
    its reverse. Lengths `(examples, axes)` are sorted by their sum, then axis by axis, so a batch has little padding on
    all axes. The batch of the longest examples may be smaller.
    """
    axes = np.asarray(lengths).reshape(len(lengths), -1)
    order = np.lexsort((rng.random(len(lengths)), *axes.T[::-1], axes.sum(axis=1)))
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    rng.shuffle(batches)
    return batches


def in_runs(batches: Sequence[Any], sizes: Sequence[Any], length: int, rng: np.random.Generator) -> list[Any]:
    """The batches in another order: runs of `length` batches of one size, as far as there are, shuffled."""
    by_size: dict[Any, list[Any]] = {}
    for batch, size in zip(batches, sizes, strict=True):
        by_size.setdefault(size, []).append(batch)
    runs = [group[start : start + length] for group in by_size.values() for start in range(0, len(group), length)]
    return [batch for index in rng.permutation(len(runs)) for batch in runs[index]]


def bucket_bounds(lengths: Sequence[int], count: int) -> list[int]:
    """At most `count` bounds, ascending, that cost the least padding if each length is padded to the next bound.

    By dynamic programming over the distinct lengths, of which 200 quantiles are tried.
    """
    sizes, counts = np.unique(np.asarray(lengths), return_counts=True)
    if len(sizes) > QUANTILES:
        chosen = np.unique(np.quantile(lengths, np.linspace(0, 1, QUANTILES), method="higher"))
        counts = np.diff(np.searchsorted(np.sort(lengths), chosen, side="right"), prepend=0)
        sizes = chosen
    before = np.concatenate([[0], np.cumsum(counts)])
    # cost[i, j]: the sum of the lengths i to j - 1 when they are padded to the last of them
    cost = np.full((len(sizes) + 1, len(sizes) + 1), np.inf)
    for start in range(len(sizes)):
        cost[start, start + 1 :] = (before[start + 1 :] - before[start]) * sizes[start:]
    best, choices = cost[0].copy(), []
    best[0] = 0
    for _ in range(min(count, len(sizes)) - 1):
        totals = best[:, None] + cost
        choices.append(totals.argmin(axis=0))
        best = totals.min(axis=0)
        best[0] = 0
    bounds, end = [], len(sizes)
    for choice in [*reversed(choices), np.zeros(len(sizes) + 1, int)]:
        if end == 0:
            break
        bounds.append(int(sizes[end - 1]))
        end = int(choice[end])
    return bounds[::-1]


class Part(NamedTuple):
    """The part of every batch that one process makes: the rows of part `index` of `count` equal parts."""

    index: int = 0
    count: int = 1

    def of(self, rows: Any) -> Any:
        """Its rows of a sequence with one entry for each row of the batch."""
        size = len(rows) // self.count
        return rows[self.index * size : (self.index + 1) * size]


class BucketedBatches(keras.utils.PyDataset):
    """The batches of one epoch; set `epoch` before each pass.

    Args:
        lengths: of the examples, `(examples,)`, or `(examples, axes)` if more than one axis is padded, used for
            bucketing, see `bucketed`; raises ValueError if there are none.
        batch_size: examples per batch.
        make_batch: (indices `(batch,)`, rngs, sizes) -> a batch, any nest of NumPy arrays. `rngs` has a generator for
            each example, for augmentation. `sizes` has the length to which each axis is padded; if it lacks an axis,
            that is the longest example's.
        seed: seeds all random draws, together with `epoch`, the index of the batch and the row.
        sizes: for each axis that `make_batch` pads, the greatest length of each example after augmentation.
        joint: the rows of a batch depend on each other, so every process makes all of them and keeps its part.

    Attributes:
        part: the rows of each batch that this process makes.
        multiple: the number of rows is a multiple of it; the rows that the last batch lacks repeat its first ones.
        without_rows: names of inputs that have no rows.
    """

    without_rows = ()

    def __init__(
        self,
        lengths: Sequence[Any] | np.ndarray,
        batch_size: int,
        make_batch: Callable[[np.ndarray, Sequence[np.random.Generator], Mapping[str, int]], Any],
        seed: int,
        sizes: Mapping[str, Sequence[int]] | None = None,
        *,
        joint: bool = False,
    ):
        super().__init__()
        if not len(lengths):
            raise ValueError("there are no examples; at least one was expected")
        self._axes = np.asarray(lengths).reshape(len(lengths), -1)
        self.lengths = self._axes.sum(axis=1)
        self.batch_size, self.make_batch, self.seed = batch_size, make_batch, seed
        self.sizes, self.joint = sizes or {}, joint
        self.part, self.multiple = Part(), 1
        self._run = 1  # batches of one size that follow each other
        self._bounds: list[int] = []  # of lengths
        self._bucket_sizes: list[dict[str, int]] = []
        self.epoch = 0

    @property
    def epoch(self) -> int:
        return self._epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._epoch, rng = epoch, np.random.default_rng([self.seed, epoch])
        self._order = bucketed(self._axes, self.batch_size, rng)
        if self._run > 1:
            self._order = in_runs(self._order, [self.size(i) for i in range(len(self))], self._run, rng)

    def limit_sizes(self, run: int) -> None:
        """From now on pads each batch to one of a few sizes, so that a compiler meets few shapes.

        From the next epoch that is set, batches of one size follow each other in runs, so that one call takes them.
        """
        self._run = run
        longest = np.sort(self.lengths)[self.batch_size - 1 :: self.batch_size]
        self._bounds = bucket_bounds([*longest, self.lengths.max()], MAX_BUCKETS)
        self._bucket_sizes = [
            {name: int(np.max(np.asarray(sizes)[self.lengths <= bound])) for name, sizes in self.sizes.items()}
            for bound in self._bounds
        ]

    def size(self, index: int) -> tuple[int, int]:
        """Bucket and number of rows of a batch; batches that agree in both have equal shapes."""
        bucket = np.searchsorted(self._bounds, self.lengths[self._order[index]].max())
        return int(bucket), len(self._order[index])

    def by_length(self) -> list[int]:
        """The indices of the epoch's batches, shortest first."""
        return sorted(range(len(self)), key=lambda index: self.lengths[self._order[index]].max())

    def rate_scale(self, index: int) -> float:
        """Learning-rate factor of a batch: always 1."""
        del index
        return 1.0

    def __len__(self) -> int:
        return len(self._order)

    def __getitem__(self, index: int) -> Any:
        indices = self._order[index]
        rows = np.arange(len(indices) + -len(indices) % self.multiple)
        chosen = np.resize(indices, len(rows))
        if not self.joint:
            rows, chosen = self.part.of(rows), self.part.of(chosen)
        # + 1, because NumPy seeds [seed, epoch] and [seed, epoch, 0] alike and the former shuffles the epoch.
        rngs = [np.random.default_rng([self.seed, self.epoch, index + 1, row + 1]) for row in rows.tolist()]
        sizes = self._bucket_sizes[self.size(index)[0]] if self._bounds else {}
        batch = self.make_batch(chosen, rngs, sizes)
        return keras.tree.map_structure(self.part.of, batch) if self.joint else batch
