"""Goodness of pronunciation from CTC, without a segmentation (GOP-CTC-SF; Cao et al. 2025, arXiv 2507.16838).

How much better do the phones of a text explain a sound than the same phones with anything at one index?

    dh ah k ae t          log p(phones)
    dh ah * ae t          * is each phone, or nothing: log p(phones with another phone there), log p(without it)

    GOP = log p(phones) - log sum over * of p(phones with * there)    at most 0; exp(GOP) is the posterior of the phone
                                                                      if all alternatives are equally probable before
Each p sums over all paths of CTC (Graves et al. 2006), so nothing depends on where a phone starts or ends. With
forward probabilities of everything before an index and backward probabilities of everything after it, one pass over the
frames gives the probabilities of all alternatives at all indices. Shapes and ids are those of `shared/ctc.py`.
"""

from typing import Any, NamedTuple

import keras

from shared.ctc import emissions_of
from shared.labels import BLANK, LOG_ZERO

ops: Any = keras.ops  # Keras declares no result types for its operations


class Alternatives(NamedTuple):
    """Log-probabilities of label sequences that differ in one label from a given one, relative to that one.

    Values for padding are without meaning.
    """

    replaced: Any  # (batch, target, vocab): with another label at an index; 0 for its own, id 0 is without any
    extended: Any  # (batch, target + 1, vocab): with one more label before the first or after each; id 0: none, thus 0
    occupancies: Any  # (batch, target): expected number of frames of each label
    log_probs: Any  # (batch,), of the given sequence; about LOG_ZERO if it does not fit the frames

    @property
    def goodness(self) -> Any:
        """The goodness of each label `(batch, target)`, at most 0."""
        return -ops.logsumexp(self.replaced, axis=-1)


def alternatives(log_probs: Any, lengths: Any, labels: Any, label_lengths: Any) -> Alternatives:
    """Compare labels with all sequences that have one label more, less or another one; exact.

    Args:
        log_probs, lengths: `(batch, time, vocab)` and `(batch,)`.
        labels, label_lengths: `(batch, target)`, 0 for padding, and `(batch,)`.
    """
    lattice = _lattice(log_probs, lengths, labels)
    before, after = _prefixes(lattice), _suffixes(lattice, label_lengths)
    last = 2 * label_lengths[:, None]  # a path ends in the last blank or the last label
    is_final = (lattice.states == last) | (lattice.states == last - 1)
    total = ops.logsumexp(ops.where(is_final, before[-1], LOG_ZERO), axis=-1)

    # A gap is before the first label, between two, or after the last: (time + 1, batch, target + 1).
    from_blank, from_label = before[..., 0::2], _shifted(before[..., 1::2], 1, 0)
    to_blank, to_label = after[..., 0::2], _shifted(after[..., 1::2], 0, 1)
    previous = ops.pad(labels, ((0, 0), (1, 0)), constant_values=-1)
    following = ops.pad(labels, ((0, 0), (0, 1)), constant_values=-1)

    # A new label is entered from one gap and left to another: the next one if it replaces a label, else the same.
    entered = [ops.concatenate([x[..., :-1], x], axis=-1) for x in (from_blank, from_label, previous)]
    left = [ops.concatenate([x[..., 1:], x], axis=-1) for x in (to_blank, to_label, following)]
    new = _through_new_label(log_probs, lattice.real, entered, left)  # (batch, 2 target + 1, vocab)
    of_new = new - total[:, None, None]

    # Without a label: from the gap before it to the label after it or, if it is the last one, to the end.
    adjacent = ops.where(previous[:, :-1] == following[:, 1:], LOG_ZERO, from_label[..., :-1])
    without = ops.logsumexp(ops.logaddexp(from_blank[..., :-1], adjacent) + to_label[..., 1:], axis=0)
    at_end = ops.logaddexp(from_blank[-1], from_label[-1])[:, :-1]
    count = ops.shape(labels)[1]
    without = ops.where(ops.arange(count) == label_lengths[:, None] - 1, at_end, without) - total[:, None]

    is_blank = ops.arange(log_probs.shape[-1]) == BLANK
    replaced = ops.where(is_blank, without[..., None], of_new[:, :count])
    extended = ops.where(is_blank, 0.0, of_new[:, count:])
    posteriors = (before[1:] + after[:-1] - lattice.emissions)[..., 1::2] - total[:, None]
    posteriors = ops.where(lattice.real[..., None], ops.exp(ops.minimum(posteriors, 0.0)), 0.0)
    return Alternatives(replaced, extended, ops.sum(posteriors, axis=0), total)


class _Lattice(NamedTuple):
    """The states blank, label, blank ... blank of labels; a path stays, moves by one, or skips a blank."""

    states: Any  # (states,)
    emissions: Any  # (time, batch, states), log-probabilities
    skips: Any  # (batch, states), whether the blank before a state may be skipped
    real: Any  # (time, batch)


def _lattice(log_probs: Any, lengths: Any, labels: Any) -> _Lattice:
    states = ops.arange(2 * ops.shape(labels)[1] + 1)
    emitting = ops.where(states % 2 == 1, ops.pad(ops.repeat(labels, 2, axis=1), ((0, 0), (1, 0))), BLANK)
    skips = (states % 2 == 1) & (emitting != ops.pad(emitting[:, :-2], ((0, 0), (2, 0))))
    emissions = emissions_of(log_probs, emitting)
    return _Lattice(states, emissions, skips, ops.arange(ops.shape(log_probs)[1])[:, None] < lengths)


def _shifted(x: Any, before: int, after: int) -> Any:
    """`x` with impossible entries before the first and after the last of its last axis."""
    edge = ops.full_like(x[..., :1], LOG_ZERO)
    return ops.concatenate([edge] * before + [x] + [edge] * after, axis=-1)


def _prefixes(lattice: _Lattice) -> Any:
    """Log-probability of being in a state after a number of frames, `(time + 1, batch, states)`.

    After the last real frame it stays the same.
    """

    def step(scores, frame):
        one, two = _shifted(scores[..., :-1], 1, 0), _shifted(scores[..., :-2], 2, 0)
        moved = ops.logaddexp(ops.logaddexp(scores, one), ops.where(lattice.skips, two, LOG_ZERO))
        scores = ops.where(lattice.real[frame][:, None], moved + lattice.emissions[frame], scores)
        return scores, scores

    return _scanned(step, lattice, lattice.states == 0)


def _suffixes(lattice: _Lattice, label_lengths: Any) -> Any:
    """Log-probability of all frames from one on for a path that is in a state there, `(time + 1, batch, states)`.

    After the last real frame a path is in the last blank.
    """
    next_skips = ops.pad(lattice.skips[:, 2:], ((0, 0), (0, 2)))

    def step(scores, frame):
        one, two = _shifted(scores[..., 1:], 0, 1), _shifted(scores[..., 2:], 0, 2)
        moved = ops.logaddexp(ops.logaddexp(scores, one), ops.where(next_skips, two, LOG_ZERO))
        scores = ops.where(lattice.real[frame][:, None], moved + lattice.emissions[frame], scores)
        return scores, scores

    return _scanned(step, lattice, lattice.states == 2 * label_lengths[:, None], reverse=True)


def _scanned(step: Any, lattice: _Lattice, is_initial: Any, reverse: bool = False) -> Any:
    """The scores before all frames and after each, or after all frames and from each on."""
    is_initial = ops.broadcast_to(is_initial, ops.shape(lattice.emissions)[1:])
    initial = ops.where(is_initial, 0.0, LOG_ZERO)
    _, scores = ops.scan(step, initial, ops.arange(ops.shape(lattice.emissions)[0]), reverse=reverse)
    return ops.concatenate([scores, initial[None]] if reverse else [initial[None], scores], axis=0)


def _through_new_label(log_probs: Any, real: Any, entered: list[Any], left: list[Any]) -> Any:
    """Log-probability of all paths that enter a label, of each id, from one gap and leave it to another.

    Args:
        real: `(time, batch)`.
        entered, left: of each gap, the scores in its blank and in the label next to it `(time + 1, batch, gaps)`, and
            that label `(batch, gaps)`: equal labels need the blank between them.

    Returns:
        `(batch, gaps, vocab)`; about LOG_ZERO for the blank.
    """
    ids = ops.arange(log_probs.shape[-1])

    def at_gap(frame, in_blank, in_label, label):
        by_label = ops.where(label[..., None] == ids, LOG_ZERO, in_label[frame][..., None])
        return ops.logaddexp(in_blank[frame][..., None], by_label)

    def step(frame, scores):
        """Scores of paths within the new label, and of those that have left it."""
        within, after = scores
        inside = ops.logaddexp(within, at_gap(frame, *entered)) + log_probs[:, frame, None, :]
        outside = ops.logaddexp(after, inside + at_gap(frame + 1, *left))
        is_real = real[frame][:, None, None]
        return ops.where(is_real, inside, within), ops.where(is_real, outside, after)

    none = ops.full_like(ops.zeros_like(entered[0][0])[..., None] + log_probs[:, :1], LOG_ZERO)
    _, through = ops.fori_loop(0, ops.shape(log_probs)[1], step, (none, none))
    return ops.where(ids == BLANK, LOG_ZERO, through)
