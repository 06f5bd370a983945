"""Batches: every example once an epoch, similar lengths together, each batch nameable by (seed, epoch, number)."""

import functools
import operator

import numpy as np
import pytest

from shared.batching import BucketedBatches, bucketed, pad

LENGTHS = [int(length) for length in np.random.default_rng(0).integers(1, 30, size=23)]


def batches(seed: int = 1, batch_size: int = 4, lengths=LENGTHS) -> BucketedBatches:
    return BucketedBatches(lengths, batch_size, lambda indices, rng: (indices, rng.random()), seed)


def test_pad():
    padded = pad([[1, 2], [], [3, 4, 5]])
    assert padded.dtype == np.int32
    assert padded.tolist() == [[1, 2, 0], [0, 0, 0], [3, 4, 5]]
    assert pad([[1, 2]], 4).tolist() == [[1, 2, 0, 0]]
    assert pad([]).shape == (0, 0)
    with pytest.raises(ValueError, match="broadcast"):
        pad([[1, 2, 3]], 2)


def test_bucketed_as_drawn_in_its_docstring():
    found = bucketed([3, 9, 4, 8], 2, np.random.default_rng(0))
    assert sorted(sorted(batch.tolist()) for batch in found) == [[0, 2], [1, 3]]


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_every_example_is_seen_once_an_epoch(epoch):
    data = batches()
    data.epoch = epoch
    assert len(data) == 6
    seen = np.concatenate([data[i][0] for i in range(len(data))])
    assert sorted(seen.tolist()) == list(range(23))


def test_a_batch_holds_neighbours_in_length():
    data = batches()
    found = sorted(sorted(LENGTHS[i] for i in data[number][0]) for number in range(len(data)))
    assert functools.reduce(operator.iadd, found, []) == sorted(LENGTHS)


def test_by_length_names_the_shortest_first():
    data = batches()
    data.epoch = 2
    longest = [max(LENGTHS[i] for i in data[number][0]) for number in data.by_length()]
    assert longest == sorted(longest)
    assert sorted(data.by_length()) == list(range(6))


def test_seed_and_epoch_alone_decide_and_any_batch_can_be_named():
    first, second = batches(), batches()
    for epoch in (0, 3, 1):  # in whatever order
        first.epoch = epoch
        wanted = [first[number] for number in range(len(first))]
        second.epoch = epoch
        for number in (4, 0, 5, 2):
            np.testing.assert_array_equal(second[number][0], wanted[number][0])
            assert second[number][1] == wanted[number][1]


def test_other_seeds_epochs_and_numbers_differ():
    def order(seed: int, epoch: int) -> list[int]:
        data = batches(seed)
        data.epoch = epoch
        return [int(i) for number in range(len(data)) for i in data[number][0]]

    orders = [order(seed, epoch) for seed, epoch in [(1, 0), (1, 1), (2, 0), (0, 1)]]
    assert len({tuple(found) for found in orders}) == len(orders)
    data = batches()
    drawn = [data[number][1] for number in range(len(data))]
    assert len(set(drawn)) == len(drawn)
    assert np.random.default_rng([1, 0]).random() not in drawn  # what decided the order is not drawn again


def test_equal_lengths_are_shuffled_between_batches():
    data = batches(lengths=[5] * 12)
    together = []
    for epoch in range(3):
        data.epoch = epoch
        together.append({frozenset(data[number][0].tolist()) for number in range(len(data))})
    assert together[0] != together[1] != together[2]


def test_no_examples():
    with pytest.raises(ValueError, match="no examples"):
        batches(lengths=[])
