"""Batches: every example once per epoch, similar lengths, determined by (seed, epoch, index)."""

import functools
import operator

import numpy as np
import pytest

from shared.batching import BucketedBatches, Part, bucket_bounds, bucketed
from shared.packing import packed, pad

LENGTHS = [int(length) for length in np.random.default_rng(0).integers(1, 30, size=23)]


def batches(seed: int = 1, batch_size: int = 4, lengths=LENGTHS) -> BucketedBatches:
    return BucketedBatches(lengths, batch_size, lambda indices, rngs, sizes: (indices, rngs[0].random()), seed)


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


def test_bucketed_has_little_padding_on_all_axes():
    lengths = [[1, 4], [4, 1], [2, 9], [3, 2], [1, 4], [4, 1], [9, 2], [3, 2]]  # the sums are 5 and 11
    result = bucketed(lengths, 2, np.random.default_rng(0))
    assert sorted(sorted(batch.tolist()) for batch in result) == [[0, 4], [1, 5], [2, 6], [3, 7]]


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


@pytest.mark.parametrize(
    ("lengths", "count", "bounds"),
    [
        ([3], 4, [3]),
        ([2, 2, 9, 3], 9, [2, 3, 9]),
        ([1, 2, 10, 11, 12], 2, [2, 12]),  # 1 + 2 + 1 of padding
        ([1, 2, 10, 11, 12], 1, [12]),
        ([1, 7, 7, 7, 8], 2, [1, 8]),  # 3 of padding; with the bound 7 it is 6
    ],
)
def test_bounds_cost_the_least_padding(lengths, count, bounds):
    assert bucket_bounds(lengths, count) == bounds


def test_bounds_of_many_lengths_are_near_the_best():
    lengths = np.random.default_rng(0).integers(1, 5000, size=3000)
    bounds = bucket_bounds(lengths.tolist(), 5)
    assert len(bounds) == 5
    assert bounds[-1] == lengths.max()
    padded = np.array(bounds)[np.searchsorted(bounds, lengths)]
    assert (padded - lengths).mean() < 1.03 * 500  # for equal distances


WHOLE = Part()


def padded_batches(part: Part = WHOLE, multiple: int = 1, joint: bool = False) -> BucketedBatches:
    """Sequences of their own index and length, with a random last column; the second axis is as long as a third."""

    def make_batch(indices, rngs, sizes):
        drawn = np.array([rng.random() for rng in rngs]) + (rngs[0].random() if joint else 0)
        thirds = pad([[1] * (LENGTHS[i] // 3) for i in indices], sizes.get("third"))
        return {"ids": pad([[i + 1] * LENGTHS[i] for i in indices], sizes.get("time")), "drawn": drawn}, thirds

    sizes = {"time": LENGTHS, "third": [length // 3 for length in LENGTHS]}
    made = BucketedBatches(LENGTHS, 4, make_batch, 1, sizes, joint=joint)
    made.part, made.multiple = part, multiple
    made.limit_sizes(1)
    return made


def test_limited_sizes_are_few_and_change_nothing_else():
    data = padded_batches()
    shapes = set()
    for epoch in range(9):
        data.epoch = epoch
        for index in range(len(data)):
            inputs, thirds = data[index]
            shapes.add((data.size(index), inputs["ids"].shape, thirds.shape))
            rows = [[i for i in row if i] for row in inputs["ids"].tolist()]
            assert all(len(row) == LENGTHS[row[0] - 1] for row in rows)
            assert (thirds.sum(axis=1) == [len(row) // 3 for row in rows]).all()
    assert len(shapes) == len({size for size, *_ in shapes}) <= 6  # five buckets, and the batch with three rows


@pytest.mark.parametrize(("count", "joint"), [(2, False), (4, False), (2, True)])
def test_the_parts_of_processes_make_up_the_batch(count, joint):
    whole = padded_batches(multiple=4, joint=joint)
    parts = [padded_batches(Part(i, count), 4, joint) for i in range(count)]
    sizes = set()
    for index in range(len(whole)):
        (inputs, thirds), made = whole[index], [part[index] for part in parts]
        np.testing.assert_array_equal(np.concatenate([thirds for _, thirds in made]), thirds)
        for name in inputs:
            np.testing.assert_array_equal(np.concatenate([inputs[name] for inputs, _ in made]), inputs[name])
        sizes.add((len(np.unique(inputs["ids"][:, 0])), len(thirds)))
    assert sizes == {(4, 4), (3, 4)}  # the batch of three examples repeats its first one


def test_batches_of_one_size_follow_each_other_in_runs():
    lengths = [3] * 20 + [9] * 13
    data = BucketedBatches(lengths, 2, lambda indices, rngs, sizes: indices, seed=3)
    data.limit_sizes(run=4)
    orders = []
    for epoch in (1, 2):
        data.epoch = epoch
        sizes = [data.size(index) for index in range(len(data))]
        changes = [i for i in range(1, len(sizes)) if sizes[i] != sizes[i - 1]]
        # Ten batches of length 3 are runs of 4, 4 and 2, seven of length 9 of 4 and 2, and one with a single example.
        assert len(sizes) == 17
        assert all(
            (stop - start) in (1, 2, 4, 6, 8, 10) for start, stop in zip([0, *changes], [*changes, 17], strict=True)
        )
        assert sorted(i for index in range(len(data)) for i in data[index].tolist()) == list(range(33))
        orders.append([data[index].tolist() for index in range(len(data))])
    assert orders[0] != orders[1]
