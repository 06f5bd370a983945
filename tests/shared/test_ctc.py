"""Connectionist temporal classification against an enumeration of all paths."""

from itertools import groupby, product

import keras
import numpy as np
import pytest

from shared import ctc
from shared.labels import min_frames
from shared.ngrams import NGrams
from tests.backend import compiled, gradient

pytestmark = pytest.mark.any_backend

RNG = np.random.default_rng(3)
TIME, CLASSES = 5, 4
LENGTHS = np.array([5, 3, 1], np.int32)


def random_logits(scale: float = 2.0) -> np.ndarray:
    return RNG.normal(size=(len(LENGTHS), TIME, CLASSES), scale=scale).astype(np.float32)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)


def spelling(path) -> tuple[int, ...]:
    return tuple(label for label, _ in groupby(path) if label)


def all_spellings(log_probs: np.ndarray) -> dict[tuple[int, ...], float]:
    """The probability of every label sequence, given `(time, vocab)`."""
    probabilities: dict[tuple[int, ...], float] = {}
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        probability = np.exp(log_probs[np.arange(len(path)), path].sum())
        probabilities[spelling(path)] = probabilities.get(spelling(path), 0) + probability
    return probabilities


def best_path(log_probs: np.ndarray, labels: tuple[int, ...]) -> tuple[int, ...]:
    paths = [path for path in product(range(log_probs.shape[1]), repeat=len(log_probs)) if spelling(path) == labels]
    return max(paths, key=lambda path: log_probs[np.arange(len(path)), path].sum())


LABELS = np.array([[2, 2, 1], [3, 0, 0], [0, 0, 0]], np.int32)
LABEL_LENGTHS = np.array([3, 1, 0], np.int32)


def test_loss_equals_the_sum_over_all_paths():
    logits = random_logits()
    losses = np.asarray(ctc.loss(LABELS, LABEL_LENGTHS, logits, LENGTHS))
    for row in range(3):  # the last has no labels
        labels = tuple(LABELS[row, : LABEL_LENGTHS[row]])
        expected = all_spellings(log_softmax(logits)[row, : LENGTHS[row]])[labels]
        np.testing.assert_allclose(np.exp(-losses[row]), expected, rtol=1e-5)


def test_a_batch_without_labels_has_the_loss_of_blanks():
    logits = np.random.default_rng(1).normal(size=(2, 4, 3)).astype(np.float32)
    labels, none = np.zeros((2, 0), np.int32), np.zeros(2, np.int32)
    nats = ctc.loss(labels, none, logits, np.array([4, 2], np.int32))
    blanks = np.asarray(keras.ops.log_softmax(logits, axis=-1)[:, :, ctc.BLANK])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(nats), [-blanks[0].sum(), -blanks[1, :2].sum()], rtol=1e-5)


def test_loss_equals_keras():
    logits = random_logits()
    loss = ctc.loss(LABELS[:2], LABEL_LENGTHS[:2], logits[:2], LENGTHS[:2])
    expected = keras.ops.ctc_loss(LABELS[:2], logits[:2], LABEL_LENGTHS[:2], LENGTHS[:2], mask_index=0)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)


def test_gradient_of_the_loss_equals_differences():
    logits, step = random_logits(), 1e-4
    lengths, labels, label_lengths = np.array([5, 3, 1], np.int32), LABELS, np.array([3, 1, 0], np.int32)
    labels = np.where(np.arange(3) < label_lengths[:, None], np.maximum(labels, 1), 0).astype(np.int32)
    weights = np.array([1.0, -2.0, 0.5], np.float32)
    found = gradient(lambda x: keras.ops.sum(weights * ctc.loss(labels, label_lengths, x, lengths)), logits)
    found = np.asarray(found)

    def cost(logits: np.ndarray, row: int) -> float:
        spelled = all_spellings(log_softmax(logits)[row, : lengths[row]])
        return -float(weights[row] * np.log(spelled[tuple(labels[row, : label_lengths[row]])]))

    for row, frame, label in np.ndindex(logits.shape):
        change = np.zeros(logits.shape)
        change[row, frame, label] = step
        expected = (cost(logits + change, row) - cost(logits - change, row)) / (2 * step)
        assert found[row, frame, label] == pytest.approx(expected, abs=1e-4)


@pytest.mark.slow
def test_compiled_functions_give_the_same_results():
    log_probs = log_softmax(random_logits())
    ngrams = NGrams(log_probs[0, :2], RNG.integers(2, size=(2, CLASSES)).astype(np.int32))
    alignment = ctc.align(log_probs, LENGTHS, LABELS, LABEL_LENGTHS)
    for function, arguments in (
        (ctc.best_path, ()),
        (ctc.align, (LABELS, LABEL_LENGTHS)),
        (lambda *x: ctc.label_log_probs(*x[:3], ctc.Alignment(*x[3])), (LABELS, tuple(alignment))),
        (lambda *x: ctc.beam_search(*x, 3, ngrams), ()),
    ):
        arguments = (log_probs, LENGTHS, *arguments)
        expected, found = (keras.tree.flatten(f(*arguments)) for f in (function, compiled(function)))
        for one, two in zip(found, expected, strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-5)


def test_padding_changes_nothing():
    logits, other = random_logits(), random_logits()
    is_real = np.arange(TIME) < LENGTHS[:, None]
    other = np.where(is_real[:, :, None], logits, other)
    for function in (
        lambda x: ctc.loss(LABELS[:2], LABEL_LENGTHS[:2], x[:2], LENGTHS[:2]),
        lambda x: ctc.best_path(log_softmax(x), LENGTHS),
        lambda x: ctc.align(log_softmax(x), LENGTHS, LABELS, LABEL_LENGTHS),
        lambda x: ctc.beam_search(log_softmax(x), LENGTHS, 4),
    ):
        for one, two in zip(keras.tree.flatten(function(logits)), keras.tree.flatten(function(other)), strict=True):
            np.testing.assert_array_equal(one, two)


def test_best_path_is_the_most_probable_choice_of_each_frame():
    log_probs = log_softmax(random_logits())
    labels, label_lengths = ctc.best_path(log_probs, LENGTHS)
    for row, length in enumerate(LENGTHS):
        expected = spelling(log_probs[row, :length].argmax(-1))
        assert tuple(labels[row, : label_lengths[row]]) == expected
        assert not np.any(labels[row, label_lengths[row] :])


def test_alignment_is_the_most_probable_path():
    align = compiled(ctc.align)
    for _ in range(20):
        log_probs = log_softmax(random_logits())
        starts, ends, totals = map(np.asarray, align(log_probs, LENGTHS, LABELS, LABEL_LENGTHS))
        for row, length in enumerate(LENGTHS):
            real, labels = log_probs[row, :length], tuple(LABELS[row, : LABEL_LENGTHS[row]])
            path, start = best_path(real, labels), 0
            for label, frames in groupby(path):
                count = len(list(frames))
                if label:
                    index = sum(1 for end in ends[row] if 0 < end <= start)
                    assert (starts[row, index], ends[row, index]) == (start, start + count)
                start += count
            assert not np.any(ends[row, len(labels) :])
            np.testing.assert_allclose(np.exp(totals[row]), all_spellings(real)[labels], rtol=1e-5)


def test_labels_that_do_not_fit_have_no_probability():
    alignment = ctc.align(log_softmax(random_logits()), np.array([2, 2, 1]), LABELS, LABEL_LENGTHS)
    assert np.asarray(alignment.log_probs)[0] < ctc.LOG_ZERO / 2
    assert min_frames([2, 2, 1]) == 4
    assert min_frames([]) == 0


def test_the_probability_of_a_label_sums_over_the_paths_of_its_window():
    log_probs = log_softmax(random_logits())
    labels = np.array([[2, 1], [3, 0], [0, 0]], np.int32)
    # Labels at frames 1 and 4: the first window ends at frame 3, half way and rounded up.
    alignment = ctc.Alignment(*np.array([[[1, 4], [1, 0], [0, 0]], [[2, 5], [2, 0], [0, 0]]], np.int32), None)
    result = np.asarray(ctc.label_log_probs(log_probs, LENGTHS, labels, alignment))
    np.testing.assert_allclose(np.exp(result[0, 0]), all_spellings(log_probs[0, :3])[(2,)], rtol=1e-5)
    np.testing.assert_allclose(np.exp(result[0, 1]), all_spellings(log_probs[0, 3:])[(1,)], rtol=1e-5)
    np.testing.assert_allclose(np.exp(result[1, 0]), all_spellings(log_probs[1, :3])[(3,)], rtol=1e-5)
    np.testing.assert_array_equal(result[[1, 2, 2], [1, 0, 1]], 0)


def test_a_label_stays_near_its_range_unless_it_is_much_more_probable_elsewhere():
    ratio = np.array([2.0, 2.0, 2.0, 2.0, 2.0, 30.0])  # of label 1 to the blank in each frame
    log_probs = np.log(np.stack([1 / (1 + ratio), ratio / (1 + ratio)], axis=-1))[None].astype(np.float32)
    lengths, labels, counts = (np.array(x, np.int32) for x in ([6], [[1, 0]], [1]))

    def span(*outside):
        alignment = ctc.align(log_probs, lengths, labels, counts, *outside)
        return int(alignment.starts[0, 0]), int(alignment.ends[0, 0])

    near = np.array([[2, 0]], np.int32), np.array([[4, 0]], np.int32)
    assert span() == (0, 6)
    assert span((*near, 1.0)) == (2, 6)  # frame 4 costs 1 - log 2, frame 5 gains log 30 - 1
    assert span((*near, 3.0)) == (2, 4)


def test_the_probability_of_a_label_may_be_that_of_its_own_segment():
    """Frame 0 has another label for certain, which is none of the sequence."""
    log_probs = np.log(np.array([[[1, 1, 98], [98, 1, 1], [20, 80, 0.01], [98, 1, 1], [98, 1, 1]]], np.float32) / 100)
    lengths, labels = np.array([5], np.int32), np.array([[1]], np.int32)
    alignment = ctc.Alignment(np.array([[2]], np.int32), np.array([[3]], np.int32), np.zeros(1, np.float32))
    whole, own = (
        float(np.exp(ctc.label_log_probs(log_probs, lengths, labels, alignment, margin)[0, 0])) for margin in (None, 0)
    )
    assert own == pytest.approx(0.8, abs=1e-4)
    assert whole < 0.02


def test_a_wide_beam_is_exhaustive():
    log_probs = log_softmax(random_logits())
    result = ctc.beam_search(log_probs, LENGTHS, 400)
    for row, length in enumerate(LENGTHS):
        expected = all_spellings(log_probs[row, :length])
        ranked = sorted(expected, key=lambda labels: -expected[labels])
        for rank, labels in enumerate(ranked):
            count = int(result.label_lengths[row, rank])
            assert tuple(np.asarray(result.labels[row, rank, :count])) == labels
            np.testing.assert_allclose(np.exp(result.log_probs[row, rank]), expected[labels], rtol=1e-4)
        assert np.all(np.asarray(result.scores)[row, len(ranked) :] < ctc.LOG_ZERO / 2)


def test_a_wide_beam_is_exhaustive_with_ngrams_too():
    log_probs = log_softmax(random_logits())
    states = 7
    following = RNG.integers(states, size=(states, CLASSES)).astype(np.int32)
    ngrams = NGrams(log_softmax(RNG.normal(size=(states, CLASSES)).astype(np.float32)), following)
    result = ctc.beam_search(log_probs, LENGTHS, 400, ngrams, ngram_weight=0.7, label_bonus=0.3)
    for row, length in enumerate(LENGTHS):
        expected = {}
        for labels, probability in all_spellings(log_probs[row, :length]).items():
            state, prior = 0, 0.0
            for label in labels:
                prior, state = prior + ngrams.log_probs[state, label], following[state, label]
            expected[labels] = np.log(probability) + 0.7 * prior + 0.3 * len(labels)
        best = max(expected, key=lambda labels: expected[labels])
        assert tuple(np.asarray(result.labels[row, 0, : int(result.label_lengths[row, 0])])) == best
        np.testing.assert_allclose(result.scores[row, 0], expected[best], rtol=1e-4)


def test_certain_blanks_are_searched_once():
    log_probs, silence = log_softmax(random_logits())[:1], log_softmax(np.array([[9.0, 0, 1, 2]], np.float32))[None]
    often = np.concatenate([silence, silence, log_probs[:, :2], silence, silence, silence, log_probs[:, 2:]], axis=1)
    once = np.concatenate([silence, log_probs[:, :2], silence, log_probs[:, 2:]], axis=1)
    result, expected = (ctc.beam_search(x, np.array([x.shape[1]], np.int32), 7) for x in (often, once))
    np.testing.assert_array_equal(result.labels[..., : once.shape[1]], expected.labels)
    np.testing.assert_allclose(result.log_probs, expected.log_probs + 3 * silence[0, 0, 0], rtol=1e-5)
    assert expected.labels.shape[-1] == TIME + 2


def test_a_beam_of_one_keeps_one_prefix_and_a_beam_of_zero_is_refused():
    result = ctc.beam_search(log_softmax(random_logits()), LENGTHS, 1)
    assert result.labels.shape == (3, 1, TIME)
    with pytest.raises(ValueError, match="beam must be at least 1"):
        ctc.beam_search(log_softmax(random_logits()), LENGTHS, 0)


def test_without_sums_the_log_probability_is_that_of_the_best_path():
    log_probs = log_softmax(random_logits())
    alone, summed = (ctc.align(log_probs, LENGTHS, LABELS, LABEL_LENGTHS, sums=sums) for sums in (False, True))
    np.testing.assert_array_equal(alone.starts, summed.starts)
    np.testing.assert_array_equal(alone.ends, summed.ends)
    for row, length in enumerate(LENGTHS):
        real = log_probs[row, :length]
        path = best_path(real, tuple(LABELS[row, : LABEL_LENGTHS[row]]))
        expected = real[np.arange(length), path].sum()
        assert np.asarray(alone.log_probs)[row] == pytest.approx(expected, rel=1e-5)
