"""Batches: every example once per epoch, similar lengths, determined by (seed, epoch, index)."""

import functools
import operator

import numpy as np
import pytest

from shared.batching import BucketedBatches, bucketed, packed, pad

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


def test_bucketed_example_of_its_docstring():
    result = bucketed([3, 9, 4, 8], 2, np.random.default_rng(0))
    assert sorted(sorted(batch.tolist()) for batch in result) == [[0, 2], [1, 3]]


def test_packed_fills_batches_up_to_a_size():
    assert list(packed([3, 9, 4, 1, 2], 8)) == [[3, 4], [0, 2], [1]]


@pytest.mark.parametrize("epoch", [0, 1, 7])
def test_every_example_occurs_once_per_epoch(epoch):
    data = batches()
    data.epoch = epoch
    assert len(data) == 6
    indices = np.concatenate([data[i][0] for i in range(len(data))])
    assert sorted(indices.tolist()) == list(range(23))


def test_a_batch_has_similar_lengths():
    data = batches()
    lengths = sorted(sorted(LENGTHS[i] for i in data[index][0]) for index in range(len(data)))
    assert functools.reduce(operator.iadd, lengths, []) == sorted(LENGTHS)


def test_by_length_starts_with_the_shortest():
    data = batches()
    data.epoch = 2
    longest = [max(LENGTHS[i] for i in data[index][0]) for index in data.by_length()]
    assert longest == sorted(longest)
    assert sorted(data.by_length()) == list(range(6))


def test_seed_epoch_and_index_determine_a_batch():
    first, second = batches(), batches()
    for epoch in (0, 3, 1):  # in any order
        first.epoch = epoch
        expected = [first[index] for index in range(len(first))]
        second.epoch = epoch
        for index in (4, 0, 5, 2):
            np.testing.assert_array_equal(second[index][0], expected[index][0])
            assert second[index][1] == expected[index][1]


def test_other_seeds_epochs_and_indices_differ():
    def order(seed: int, epoch: int) -> list[int]:
        data = batches(seed)
        data.epoch = epoch
        return [int(i) for index in range(len(data)) for i in data[index][0]]

    orders = [order(seed, epoch) for seed, epoch in [(1, 0), (1, 1), (2, 0), (0, 1)]]
    assert len(set(map(tuple, orders))) == len(orders)
    data = batches()
    drawn = [data[index][1] for index in range(len(data))]
    assert len(set(drawn)) == len(drawn)
    assert np.random.default_rng([1, 0]).random() not in drawn  # the draw of the order is not repeated


def test_equal_lengths_are_shuffled_between_batches():
    data = batches(lengths=[5] * 12)
    groups = []
    for epoch in range(3):
        data.epoch = epoch
        groups.append({frozenset(data[index][0].tolist()) for index in range(len(data))})
    assert groups[0] != groups[1] != groups[2]


def test_the_learning_rate_factor_is_one():
    assert batches().rate_scale(2) == 1


def test_no_examples_are_refused():
    with pytest.raises(ValueError, match="no examples"):
        batches(lengths=[])
