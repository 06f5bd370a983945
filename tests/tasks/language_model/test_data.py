"""Lines to streams to batches."""

import numpy as np
import pytest

from shared.vocabulary import WordVocabulary
from tasks.language_model.data import StreamBatches, WordSampler, to_stream

START = 2


def test_a_stream_has_the_end_of_each_line():
    vocabulary = WordVocabulary.build(["a b", "b"])
    assert [vocabulary.table[i] for i in to_stream(["a b", "", "c b"], vocabulary)] == [
        *("a", "b", "</s>"),
        "</s>",
        *("<unk>", "b", "</s>"),
    ]


def test_batches_go_on_where_the_one_before_ended():
    stream = np.arange(10, 33, dtype=np.int32)  # 23 tokens: 3 rows of 7, two left over
    batches = StreamBatches(stream, 3, 4, START)
    (first, first_targets), (second, second_targets) = batches
    np.testing.assert_array_equal(first["token_ids"], [[START, 10, 11, 12], [16, 17, 18, 19], [23, 24, 25, 26]])
    np.testing.assert_array_equal(first_targets, [[10, 11, 12, 13], [17, 18, 19, 20], [24, 25, 26, 27]])
    np.testing.assert_array_equal(second["token_ids"], [[13, 14, 15], [20, 21, 22], [27, 28, 29]])
    np.testing.assert_array_equal(second_targets, [[14, 15, 16], [21, 22, 23], [28, 29, 30]])
    assert first["goes_on"].tolist() == [False] * 3
    assert second["goes_on"].tolist() == [True] * 3
    assert [batches.share(number) for number in (0, 1)] == [1, 1]
    np.testing.assert_array_equal(first["target_ids"], first_targets)


def test_lengths_drawn_at_random_cover_the_stream_and_follow_from_seed_and_epoch():
    stream = np.arange(4000, dtype=np.int32)
    batches, same, other = (StreamBatches(stream, 2, 50, START, seed, random_length=True) for seed in (1, 1, 2))
    lengths = {}
    for epoch in (0, 1):
        batches.epoch = same.epoch = other.epoch = epoch
        np.testing.assert_array_equal(
            np.concatenate([targets for _, targets in batches], axis=1), stream.reshape(2, -1)
        )
        lengths[epoch] = [targets.shape[1] for _, targets in batches]
        assert lengths[epoch] == [targets.shape[1] for _, targets in same]
        assert lengths[epoch] != [targets.shape[1] for _, targets in other]
        assert batches.share(3) == lengths[epoch][3] / 50
        by_length = [batches[number][1].shape[1] for number in batches.by_length()]
        assert by_length == sorted(lengths[epoch])
    assert lengths[0] != lengths[1]
    assert min(lengths[0][:-1]) >= 5
    assert 45 < np.mean(lengths[0][:-1]) < 55


def test_too_few_tokens():
    with pytest.raises(ValueError, match="3 tokens are too few for 4 streams"):
        StreamBatches(np.zeros(3, np.int32), 4, 5, START)


def test_words_are_drawn_with_the_chances_that_are_told():
    counts = np.array([1000, 500, 30, 20, 10, 10, 1, 0])
    sampler = WordSampler(counts, 4)
    assert sampler.chances.sum() == pytest.approx(4)
    # The two frequent ones are certain; the others share the rest by count^(3/4), one never seen counting as seen once.
    weights = np.array([30, 20, 10, 10, 1, 1]) ** 0.75
    np.testing.assert_allclose(sampler.chances, [1, 1, *(2 * weights / weights.sum())], rtol=1e-6)
    rng, drawn = np.random.default_rng(0), np.zeros(8)
    for _ in range(4000):
        words = sampler.draw(rng)
        assert len(set(words.tolist())) == len(words) == 4
        drawn[words] += 1
    np.testing.assert_allclose(drawn / 4000, sampler.chances, atol=0.03)


def test_what_is_drawn_is_decided_by_epoch_and_number():
    sampler = WordSampler(np.ones(50), 10)
    batches = StreamBatches(np.arange(40, dtype=np.int32), 2, 5, 2, seed=3, sampler=sampler)
    first, again, other = batches[0][0], batches[0][0], batches[1][0]
    np.testing.assert_array_equal(first["drawn"], again["drawn"])
    np.testing.assert_allclose(first["chances"], 0.2)
    assert (first["drawn"] != other["drawn"]).any()
    batches.epoch = 1
    assert (first["drawn"] != batches[0][0]["drawn"]).any()
    other = StreamBatches(np.arange(40, dtype=np.int32), 2, 5, 2, seed=4, sampler=sampler)
    assert (first["drawn"] != other[0][0]["drawn"]).any()


def test_some_streams_begin_anew():
    batches = StreamBatches(np.arange(4000, dtype=np.int32), 100, 4, 2, seed=3, reset_chance=0.25)
    goes_on = np.array([batches[number][0]["goes_on"] for number in range(len(batches))])
    assert not goes_on[0].any()
    assert 0.7 < goes_on[1:].mean() < 0.8
    np.testing.assert_array_equal(batches[3][0]["goes_on"], goes_on[3])
