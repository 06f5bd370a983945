"""Connectionist temporal classification against all paths, one by one."""

from itertools import groupby, product

import keras
import numpy as np
import pytest

from shared import ctc
from shared.ngrams import NGrams

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
    """The probability of everything that (time, classes) can spell."""
    found: dict[tuple[int, ...], float] = {}
    for path in product(range(log_probs.shape[1]), repeat=len(log_probs)):
        probability = np.exp(log_probs[np.arange(len(path)), path].sum())
        found[spelling(path)] = found.get(spelling(path), 0) + probability
    return found


def best_path(log_probs: np.ndarray, labels: tuple[int, ...]) -> tuple[int, ...]:
    paths = [path for path in product(range(log_probs.shape[1]), repeat=len(log_probs)) if spelling(path) == labels]
    return max(paths, key=lambda path: log_probs[np.arange(len(path)), path].sum())


LABELS = np.array([[2, 2, 1], [3, 0, 0], [0, 0, 0]], np.int32)
LABEL_LENGTHS = np.array([3, 1, 0], np.int32)


def test_loss_equals_the_sum_over_all_paths():
    logits = random_logits()
    found = np.asarray(ctc.loss(LABELS[:2], LABEL_LENGTHS[:2], logits[:2], LENGTHS[:2]))
    for row in range(2):
        labels = tuple(LABELS[row, : LABEL_LENGTHS[row]])
        wanted = all_spellings(log_softmax(logits)[row, : LENGTHS[row]])[labels]
        np.testing.assert_allclose(np.exp(-found[row]), wanted, rtol=1e-5)


def test_loss_is_that_of_keras():
    logits = random_logits()
    ours = ctc.loss(LABELS[:2], LABEL_LENGTHS[:2], logits[:2], LENGTHS[:2])
    theirs = keras.ops.ctc_loss(LABELS[:2], logits[:2], LABEL_LENGTHS[:2], LENGTHS[:2], mask_index=0)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_what_lies_beyond_the_lengths_changes_nothing():
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
        wanted = spelling(log_probs[row, :length].argmax(-1))
        assert tuple(labels[row, : label_lengths[row]]) == wanted
        assert not np.any(labels[row, label_lengths[row] :])


def test_alignment_is_the_most_probable_path():
    for _ in range(20):
        log_probs = log_softmax(random_logits())
        starts, ends, totals = ctc.align(log_probs, LENGTHS, LABELS, LABEL_LENGTHS)
        for row, length in enumerate(LENGTHS):
            real, labels = log_probs[row, :length], tuple(LABELS[row, : LABEL_LENGTHS[row]])
            path, at = best_path(real, labels), 0
            for label, frames in groupby(path):
                count = len(list(frames))
                if label:
                    place = sum(1 for end in ends[row] if 0 < end <= at)
                    assert (starts[row, place], ends[row, place]) == (at, at + count)
                at += count
            assert not np.any(ends[row, len(labels) :])
            np.testing.assert_allclose(np.exp(totals[row]), all_spellings(real)[labels], rtol=1e-5)


def test_labels_that_do_not_fit_are_never_found():
    found = ctc.align(log_softmax(random_logits()), np.array([2, 2, 1]), LABELS, LABEL_LENGTHS)
    assert np.asarray(found.log_probs)[0] < ctc.NEVER / 2
    assert ctc.frames_needed([2, 2, 1]) == 4
    assert ctc.frames_needed([]) == 0


def test_a_label_is_as_probable_as_the_paths_of_its_window():
    log_probs = log_softmax(random_logits())
    labels = np.array([[2, 1], [3, 0], [0, 0]], np.int32)
    # Frames 1 and 4: the first window takes two of the three frames from the one to the other, rounded up.
    alignment = ctc.Alignment(*np.array([[[1, 4], [1, 0], [0, 0]], [[2, 5], [2, 0], [0, 0]]], np.int32), None)
    found = np.asarray(ctc.label_log_probs(log_probs, LENGTHS, labels, alignment))
    np.testing.assert_allclose(np.exp(found[0, 0]), all_spellings(log_probs[0, :3])[(2,)], rtol=1e-5)
    np.testing.assert_allclose(np.exp(found[0, 1]), all_spellings(log_probs[0, 3:])[(1,)], rtol=1e-5)
    np.testing.assert_allclose(np.exp(found[1, 0]), all_spellings(log_probs[1, :3])[(3,)], rtol=1e-5)
    np.testing.assert_array_equal(found[[1, 2, 2], [1, 0, 1]], 0)


def test_a_wide_beam_is_exhaustive():
    log_probs = log_softmax(random_logits())
    found = ctc.beam_search(log_probs, LENGTHS, 400)
    for row, length in enumerate(LENGTHS):
        wanted = all_spellings(log_probs[row, :length])
        ranked = sorted(wanted, key=lambda labels: -wanted[labels])
        for place, labels in enumerate(ranked):
            count = int(found.label_lengths[row, place])
            assert tuple(np.asarray(found.labels[row, place, :count])) == labels
            np.testing.assert_allclose(np.exp(found.log_probs[row, place]), wanted[labels], rtol=1e-4)
        assert np.all(np.asarray(found.scores)[row, len(ranked) :] < ctc.NEVER / 2)


def test_a_wide_beam_is_exhaustive_with_ngrams_too():
    log_probs = log_softmax(random_logits())
    states = 7
    following = RNG.integers(states, size=(states, CLASSES)).astype(np.int32)
    ngrams = NGrams(log_softmax(RNG.normal(size=(states, CLASSES)).astype(np.float32)), following)
    found = ctc.beam_search(log_probs, LENGTHS, 400, ngrams, ngram_weight=0.7, label_bonus=0.3)
    for row, length in enumerate(LENGTHS):
        wanted = {}
        for labels, probability in all_spellings(log_probs[row, :length]).items():
            state, prior = 0, 0.0
            for label in labels:
                prior, state = prior + ngrams.log_probs[state, label], following[state, label]
            wanted[labels] = np.log(probability) + 0.7 * prior + 0.3 * len(labels)
        best = max(wanted, key=lambda labels: wanted[labels])
        assert tuple(np.asarray(found.labels[row, 0, : int(found.label_lengths[row, 0])])) == best
        np.testing.assert_allclose(found.scores[row, 0], wanted[best], rtol=1e-4)


def test_a_pause_takes_no_time():
    log_probs, silence = log_softmax(random_logits())[:1], log_softmax(np.array([[9.0, 0, 1, 2]], np.float32))[None]
    often = np.concatenate([silence, silence, log_probs[:, :2], silence, silence, silence, log_probs[:, 2:]], axis=1)
    once = np.concatenate([silence, log_probs[:, :2], silence, log_probs[:, 2:]], axis=1)
    found, wanted = (ctc.beam_search(x, np.array([x.shape[1]], np.int32), 7) for x in (often, once))
    np.testing.assert_array_equal(found.labels, wanted.labels)
    np.testing.assert_allclose(found.log_probs, wanted.log_probs + 3 * silence[0, 0, 0], rtol=1e-5)
    assert wanted.labels.shape[-1] == TIME + 2


def test_a_beam_of_one_follows_one_prefix_and_none_is_refused():
    found = ctc.beam_search(log_softmax(random_logits()), LENGTHS, 1)
    assert found.labels.shape == (3, 1, TIME)
    with pytest.raises(ValueError, match="beam must be at least 1"):
        ctc.beam_search(log_softmax(random_logits()), LENGTHS, 0)
