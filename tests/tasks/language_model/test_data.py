"""Lines, streams and batches."""

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest

from shared.batching import Part
from shared.errors import UserError
from shared.vocabulary import SPECIALS, WordVocabulary
from tasks.language_model.data import (
    BlankBatches,
    Split,
    StreamBatches,
    WordSampler,
    build_vocabulary,
    to_stream,
    training_batches,
)
from tests.tasks.language_model.conftest import CONFIG

START = 2


def test_a_stream_has_an_end_token_after_each_line():
    vocabulary = WordVocabulary.build(["a b", "b"])
    assert [vocabulary.table[i] for i in to_stream(["a b", "", "c b"], vocabulary)] == [
        *("a", "b", "</s>"),
        "</s>",
        *("<unk>", "b", "</s>"),
    ]


def test_consecutive_batches_hold_consecutive_tokens():
    stream = np.arange(10, 33, dtype=np.int32)  # 23 tokens: 3 rows of 7, 2 tokens left
    batches = StreamBatches(stream, 3, 4, START)
    (first, first_targets), (second, second_targets) = batches
    np.testing.assert_array_equal(first["token_ids"], [[START, 10, 11, 12], [16, 17, 18, 19], [23, 24, 25, 26]])
    np.testing.assert_array_equal(first_targets, [[10, 11, 12, 13], [17, 18, 19, 20], [24, 25, 26, 27]])
    np.testing.assert_array_equal(second["token_ids"], [[13, 14, 15], [20, 21, 22], [27, 28, 29]])
    np.testing.assert_array_equal(second_targets, [[14, 15, 16], [21, 22, 23], [28, 29, 30]])
    assert first["continues"].tolist() == [False] * 3
    assert second["continues"].tolist() == [True] * 3
    assert [batches.rate_scale(index) for index in (0, 1)] == [1, 1]
    np.testing.assert_array_equal(first["target_ids"], first_targets)


def test_random_lengths_cover_the_stream_and_depend_on_seed_and_epoch():
    stream = np.arange(4000, dtype=np.int32)
    batches, same, other = (StreamBatches(stream, 2, 50, START, seed, random_length=True) for seed in (1, 1, 2))
    lengths = {}
    for epoch in (0, 1):
        batches.epoch = same.epoch = other.epoch = epoch
        lengths[epoch] = [targets.shape[1] for _, targets in batches]
        read = sum(lengths[epoch])
        assert 2000 - 60 < read <= 2000
        np.testing.assert_array_equal(
            np.concatenate([targets for _, targets in batches], axis=1), stream.reshape(2, -1)[:, :read]
        )
        assert [batches.size(index) for index in range(len(batches))] == lengths[epoch]
        assert lengths[epoch] == [targets.shape[1] for _, targets in same]
        assert lengths[epoch] != [targets.shape[1] for _, targets in other]
        assert batches.rate_scale(3) == lengths[epoch][3] / 50
        by_length = [batches[index][1].shape[1] for index in batches.by_length()]
        assert by_length == sorted(lengths[epoch])
    assert lengths[0] != lengths[1]
    assert {*lengths[0], *lengths[1]} <= {15, 25, 35, 40, 50, 60}
    assert 45 < np.mean(lengths[0]) < 55


@pytest.mark.parametrize("count", [2, 3])
def test_the_parts_of_processes_make_up_the_batches_of_streams(count):
    def batches(part: Part):
        sampler = WordSampler(np.arange(1, 8), 3)
        made = StreamBatches(np.arange(60), 6, 4, START, 5, sampler=sampler, state_reset_probability=0.5)
        made.part = part
        return made

    whole, parts = batches(Part()), [batches(Part(i, count)) for i in range(count)]
    for index in range(len(whole)):
        inputs, targets = whole[index]
        made = [part[index] for part in parts]
        np.testing.assert_array_equal(np.concatenate([targets for _, targets in made]), targets)
        for name in ("token_ids", "target_ids", "continues"):
            np.testing.assert_array_equal(np.concatenate([inputs[name] for inputs, _ in made]), inputs[name])
        for part, _ in made:
            np.testing.assert_array_equal(part["sampled_ids"], inputs["sampled_ids"])


def test_the_parts_of_processes_make_up_the_batches_of_blanks():
    def batches(part: Part):
        made = BlankBatches(np.arange(4, 53), 4, 5, WordVocabulary(SPECIALS), 0.4, seed=3)
        made.part, made.multiple = part, 2
        return made

    whole, parts = batches(Part()), [batches(Part(i, 2)) for i in range(2)]
    assert whole.size(len(whole) - 1) == 1  # filled up to two rows
    for index in range(len(whole)):
        inputs, targets = whole[index]
        assert len(targets) % 2 == 0
        made = [part[index] for part in parts]
        np.testing.assert_array_equal(np.concatenate([targets for _, targets in made]), targets)
        for name in inputs:
            np.testing.assert_array_equal(np.concatenate([inputs[name] for inputs, _ in made]), inputs[name])


def test_too_few_tokens():
    with pytest.raises(ValueError, match="3 tokens are too few for 4 streams"):
        StreamBatches(np.zeros(3, np.int32), 4, 5, START)


def test_words_are_sampled_with_their_inclusion_probabilities():
    counts = np.array([1000, 500, 30, 20, 10, 10, 1, 0])
    sampler = WordSampler(counts, 4)
    assert sampler.probabilities.sum() == pytest.approx(4)
    # The two frequent words are certain; the rest is proportional to count^(3/4), with a count of at least 1.
    weights = np.array([30, 20, 10, 10, 1, 1]) ** 0.75
    np.testing.assert_allclose(sampler.probabilities, [1, 1, *(2 * weights / weights.sum())], rtol=1e-6)
    rng, counted = np.random.default_rng(0), np.zeros(8)
    for _ in range(4000):
        words = sampler.draw(rng)
        assert len(set(words.tolist())) == len(words) == 4
        counted[words] += 1
    np.testing.assert_allclose(counted / 4000, sampler.probabilities, atol=0.03)


def test_samples_depend_on_seed_epoch_and_index():
    sampler = WordSampler(np.ones(50), 10)
    batches = StreamBatches(np.arange(40, dtype=np.int32), 2, 5, 2, seed=3, sampler=sampler)
    first, again, other = batches[0][0], batches[0][0], batches[1][0]
    np.testing.assert_array_equal(first["sampled_ids"], again["sampled_ids"])
    np.testing.assert_allclose(first["sampling_probabilities"], 0.2)
    assert (first["sampled_ids"] != other["sampled_ids"]).any()
    batches.epoch = 1
    assert (first["sampled_ids"] != batches[0][0]["sampled_ids"]).any()
    other = StreamBatches(np.arange(40, dtype=np.int32), 2, 5, 2, seed=4, sampler=sampler)
    assert (first["sampled_ids"] != other[0][0]["sampled_ids"]).any()


def test_some_states_are_reset():
    batches = StreamBatches(np.arange(4000, dtype=np.int32), 100, 4, 2, seed=3, state_reset_probability=0.25)
    continues = np.array([batches[index][0]["continues"] for index in range(len(batches))])
    assert not continues[0].any()
    assert 0.7 < continues[1:].mean() < 0.8
    np.testing.assert_array_equal(batches[3][0]["continues"], continues[3])


SPECIAL = WordVocabulary(SPECIALS)
BLANK, END = SPECIAL.start_id, SPECIAL.end_id


def test_segments_have_blanks_at_their_indices():
    stream = np.random.default_rng(0).integers(2, 30, size=200).astype("int32")
    batches = BlankBatches(stream, 4, 11, SPECIAL, 0.25, seed=3)
    rows = []
    for inputs, targets in batches:
        assert inputs["blank_indices"].shape == targets.shape == (len(inputs["token_ids"]), 3)  # a quarter of 11
        assert (np.take_along_axis(inputs["token_ids"], inputs["blank_indices"], axis=1) == BLANK).all()
        assert (inputs["token_ids"] == BLANK).sum() == targets.size
        assert not (targets == END).any()  # each segment has enough words
        whole = inputs["token_ids"].copy()
        np.put_along_axis(whole, inputs["blank_indices"], targets, axis=1)
        rows += [tuple(row) for row in whole]
    segments = [tuple(stream[start : start + 11]) for start in range(len(stream) - 10)]
    starts = sorted(segments.index(row) for row in rows)
    assert starts[0] < 11
    assert starts == list(range(starts[0], len(segments), 11))  # consecutive, each once


def test_blanks_depend_on_seed_epoch_and_index():
    stream = np.arange(2, 202, dtype=np.int32)
    one, other = (BlankBatches(stream, 4, 11, SPECIAL, 0.25, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one[1][0]["token_ids"], other[1][0]["token_ids"])
    indices = [one[index][0]["blank_indices"].tolist() for index in range(4)]
    assert all(a != b for a, b in combinations(indices, 2))
    other.epoch = 1
    assert not np.array_equal(one[1][1], other[1][1])
    other = BlankBatches(stream, 4, 11, SPECIAL, 0.25, seed=4)
    assert not np.array_equal(one[1][1], other[1][1])


def test_an_end_token_is_masked_only_in_segments_with_too_few_words():
    batches = BlankBatches(np.array([END, 5, END, END] * 5, np.int32), 9, 4, SPECIAL, 0.5, seed=0)
    _, targets = batches[0]
    assert ((targets == 5).sum(axis=1) == 1).all()
    assert ((targets == END).sum(axis=1) == 1).all()


@pytest.mark.parametrize(("reads", "kind"), [("forwards", StreamBatches), ("both ways", BlankBatches)])
def test_training_batches(reads, kind):
    config = replace(CONFIG, reads=reads, sampled_softmax_size=500)
    split = Split(["a b c"] * 20)
    vocabulary = build_vocabulary(config, split)
    batches = training_batches(config, split, vocabulary)
    assert isinstance(batches, kind)
    inputs, targets = batches[0]
    assert targets.shape[0] == config.batch_size
    assert sorted(inputs["sampled_ids"]) == list(range(len(vocabulary)))  # at most the whole vocabulary
    with pytest.raises(UserError, match="4 tokens are too few for 5 streams"):
        training_batches(replace(config, batch_size=5), Split(["a b c"]), vocabulary)
