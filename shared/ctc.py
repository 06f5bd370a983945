"""Connectionist temporal classification (Graves et al. 2006): label sequences from frames without alignment.

A model gives a distribution over labels and the blank (id 0) at each frame. A path is one choice per frame. It spells
what remains after merging repeats and then deleting blanks: `a a _ a b b` spells `a a b`. The probability of a label
sequence is the sum over its paths. All functions run inside a graph on a batch:

    log_probs      `(batch, time, vocab)` natural logarithms, index 0 the blank
    lengths        `(batch,)` int32, number of real frames
    labels         `(batch, target)` int32, 0 for padding
    label_lengths  `(batch,)` int32
"""

from typing import Any, NamedTuple

import keras
import numpy as np

from shared.gathering import take, take_each
from shared.labels import BLANK, LOG_ZERO
from shared.masks import is_real
from shared.ngrams import NGrams

ops: Any = keras.ops  # Keras declares no result types for its operations

CERTAIN = -0.02  # a blank with a log-probability above this is certain
_FACTORS, _LABEL_FACTORS = np.array([[747_796_405, 1_664_525], [277_803_737, 1_013_904_223]], np.int32)


def loss(labels: Any, label_lengths: Any, logits: Any, lengths: Any) -> Any:
    """-log p(labels) in nats, `(batch,)` (section 4.1), from logits `(batch, time, vocab)`.

    Every sequence needs at least `labels.min_frames` frames; otherwise the result depends on the backend. On TensorFlow
    this is the compiled operation, ten times as fast as the one that `keras.ops` uses.
    """
    # Neither operation takes a sequence without labels, whose paths have blanks alone.
    is_empty = label_lengths == 0
    labels = ops.pad(labels, ((0, 0), (0, 1)))  # a column for the label that they are given, if none has any
    real = is_real(logits, lengths)
    blanks = ops.where(real, ops.log_softmax(ops.cast(logits, "float32"), axis=-1)[:, :, BLANK], 0.0)
    first = ops.cast(ops.arange(ops.shape(labels)[1]) == 0, labels.dtype)
    labels, label_lengths = ops.where(is_empty[:, None], first, labels), ops.maximum(label_lengths, 1)
    nats = _loss_of_labels(labels, label_lengths, logits, lengths)
    return ops.where(is_empty, -ops.sum(blanks, axis=1), nats)


def _loss_of_labels(labels: Any, label_lengths: Any, logits: Any, lengths: Any) -> Any:
    """`loss` of sequences with at least one label."""
    if keras.backend.backend() != "tensorflow":
        return ops.ctc_loss(labels, logits, label_lengths, lengths, mask_index=BLANK)
    import tensorflow as tf

    indices = tf.where(tf.sequence_mask(label_lengths, tf.shape(labels)[1]))
    sparse: Any = tf.SparseTensor(indices, tf.gather_nd(labels, indices), tf.shape(labels, tf.int64))
    logits, lengths = ops.cast(logits, "float32"), ops.cast(lengths, "int32")
    return tf.nn.ctc_loss(sparse, logits, label_lengths, lengths, logits_time_major=False, blank_index=BLANK)


def best_path(log_probs: Any, lengths: Any) -> tuple[Any, Any]:
    """The labels `(batch, time)` that the most probable path spells (section 3.2), and their lengths `(batch,)`."""
    frames = ops.arange(ops.shape(log_probs)[1])
    ids = ops.cast(ops.argmax(log_probs, axis=-1), "int32")
    previous = ops.pad(ids[:, :-1], ((0, 0), (1, 0)))
    kept = (ids != BLANK) & (ids != previous) & (frames < lengths[:, None])
    order, count = _kept_first(kept)
    return take_each(ops.where(kept, ids, 0), order), count


def trimmed(x: Any, lengths: Any) -> Any:
    """`x` `(..., time)` without what is beyond all `lengths`; JAX, where no shape depends on data, keeps it."""
    return x if keras.backend.backend() == "jax" else x[..., : ops.maximum(ops.max(lengths), 1)]


def _kept_first(kept: Any) -> tuple[Any, Any]:
    """Frame indices `(batch, time)` in order, but the kept ones first; and the number of kept frames `(batch,)`."""
    frames = ops.arange(ops.shape(kept)[1])
    order = ops.argsort(ops.where(kept, frames, frames + ops.shape(frames)[0]), axis=-1)
    return order, ops.sum(ops.cast(kept, "int32"), axis=-1)


class Alignment(NamedTuple):
    """Label times on the most probable path, and the log-probability over all paths."""

    starts: Any  # (batch, target) int32, first frame of each label; 0 for padding
    ends: Any  # (batch, target) int32, frame after its last; 0 for padding
    log_probs: Any  # (batch,), of the labels; about LOG_ZERO if they do not fit the frames


def align(
    log_probs: Any,
    lengths: Any,
    labels: Any,
    label_lengths: Any,
    outside: tuple[Any, Any, float] | None = None,
    sums: bool = True,
) -> Alignment:
    """Find the most probable path that spells the labels (Viterbi), and sum over all paths that spell them.

    The states are blank, label, blank, label ... blank (figure 3). A path stays, moves to the next state, or skips a
    blank between different labels.

    Args:
        outside: the first frame of each label's range and the frame after its last, `(batch, target)`, and the nats
            that a label costs in each frame outside of its range; by default they cost nothing.
        sums: whether `log_probs` of the result sums over all paths; else it is that of the best one, sooner.
    """
    states = ops.arange(2 * ops.shape(labels)[1] + 1)
    emitting = ops.pad(ops.repeat(labels, 2, axis=1), ((0, 0), (1, 0)))  # _ a a b b
    emitting = ops.where(states % 2 == 1, emitting, BLANK)
    can_skip = (states % 2 == 1) & (emitting != ops.pad(emitting[:, :-2], ((0, 0), (2, 0))))
    emissions = emissions_of(log_probs, emitting)
    if outside is not None:
        first, after = (ops.pad(ops.repeat(x, 2, axis=1), ((0, 0), (1, 0))) for x in outside[:2])
        frame = ops.arange(ops.shape(log_probs)[1])[:, None, None]
        is_outside = (emitting != BLANK) & ((frame < first) | (frame >= after))
        emissions = emissions - outside[2] * ops.cast(is_outside, emissions.dtype)
    real = ops.arange(ops.shape(log_probs)[1])[:, None, None] < lengths[:, None]  # (time, batch, 1)

    def moved(scores):
        """Scores by the state that a path reaches when it stays, moves by one, and skips a blank."""
        one, two = (ops.concatenate([ops.full_like(scores[..., :n], LOG_ZERO), scores[..., :-n]], -1) for n in (1, 2))
        return scores, one, ops.where(can_skip, two, LOG_ZERO)

    def forward(scores, frame):
        best, *total = scores
        emission, is_within = emissions[frame], real[frame]
        stay, step, skip = moved(best)
        best = ops.where(is_within, ops.maximum(ops.maximum(stay, step), skip) + emission, best)
        total = [ops.where(is_within, ops.logsumexp(ops.stack(moved(x)), axis=0) + emission, x) for x in total]
        return (best, *total), (best, *total)

    initial = ops.where(ops.broadcast_to(states == 0, ops.shape(emitting)), 0.0, LOG_ZERO)
    # Over frame indices only: on TensorFlow, `scan` over several arrays of unknown length fails.
    frames = ops.arange(ops.shape(emissions)[0])
    (best, *total), (bests, *_) = ops.scan(forward, (initial,) * (2 if sums else 1), frames)
    previous = ops.concatenate([initial[None], bests[:-1]], axis=0)
    moves = ops.where(real, ops.argmax(ops.stack(moved(previous)), axis=0), 0)  # (time, batch, states)

    last = 2 * label_lengths[:, None]  # a path ends in the last blank or the last label
    is_final = (states == last) | (states == last - 1)
    final = ops.argmax(ops.where(is_final, best, 2 * LOG_ZERO), axis=-1, keepdims=True)

    def backward(state, frame):
        return state - ops.cast(take_each(moves[frame], state), state.dtype), state

    _, path = ops.scan(backward, final, frames, reverse=True)  # (time, batch, 1)
    on_label = (ops.cast(path, "int32") == states[1::2]) & real  # (time, batch, target)
    ends = ops.max(ops.where(on_label, frames[:, None, None] + 1, 0), axis=0)
    starts = ends - ops.sum(ops.cast(on_label, "int32"), axis=0)
    finals = ops.where(is_final, total[0] if sums else best, LOG_ZERO)
    return Alignment(starts, ends, ops.logsumexp(finals, axis=-1) if sums else ops.max(finals, axis=-1))


def emissions_of(log_probs: Any, labels: Any) -> Any:
    """The log-probabilities `(time, batch, states)` of the labels of states `(batch, states)` in every frame."""
    return ops.transpose(take_each(ops.transpose(log_probs, (0, 2, 1)), labels, axis=1), (2, 0, 1))


def label_log_probs(log_probs: Any, lengths: Any, labels: Any, alignment: Alignment, margin: int | None = None) -> Any:
    """The log-probability of each aligned label within its window, `(batch, target)`; 0 for padding.

    A window extends half way to the neighbouring labels, or `margin` frames if that is less. The result sums over all
    paths of the window that spell this label alone.
    """
    frames = ops.arange(ops.shape(log_probs)[1])
    next_label, next_start = (ops.pad(x[:, 1:], ((0, 0), (0, 1))) for x in (labels, alignment.starts))
    ends = ops.where(next_label != BLANK, (alignment.ends + next_start + 1) // 2, lengths[:, None])  # exclusive
    window = ops.sum(ops.cast(ends[:, None, :] <= frames[:, None], "int32"), axis=-1)  # index of each frame's window
    window = ops.minimum(window, ops.shape(labels)[1] - 1)
    windows = ops.transpose(window)
    is_first = ops.pad(windows[1:] != windows[:-1], ((1, 0), (0, 0)), constant_values=True)  # (time, batch)
    label = take_each(log_probs, take_each(labels, window))
    blank = log_probs[:, :, BLANK]
    if margin is not None:
        starts, stops = (take_each(x, window) for x in (alignment.starts, alignment.ends))
        is_near = (frames >= starts - margin) & (frames < stops + margin)
        label, blank = ops.where(is_near, label, LOG_ZERO), ops.where(is_near, blank, 0.0)

    def step(scores, frame):
        """Scores of paths before, within and after the label."""
        blank, emission, starts = (x[frame] for x in by_time)
        initial = (0.0, LOG_ZERO, LOG_ZERO)
        before, within, after = (ops.where(starts, *pair) for pair in zip(initial, scores, strict=True))
        scores = before + blank, ops.logaddexp(before, within) + emission, ops.logaddexp(within, after) + blank
        return scores, scores

    zeros = ops.zeros_like(log_probs[:, 0, 0])
    by_time = ops.transpose(blank), ops.transpose(label), is_first
    _, (_, within, after) = ops.scan(step, (zeros, zeros, zeros), frames)
    totals = ops.transpose(ops.logaddexp(within, after))
    at_end = take_each(totals, ops.maximum(ends - 1, 0))
    return ops.where(labels != BLANK, at_end, 0.0)


class Hypotheses(NamedTuple):
    """The n-best list of a search, best first."""

    labels: Any  # (batch, beam, time) int32
    label_lengths: Any  # (batch, beam) int32
    log_probs: Any  # (batch, beam), of the labels, summed over the paths that the search visited
    scores: Any  # (batch, beam), the sort key; about LOG_ZERO for an empty entry


def beam_search(
    log_probs: Any,
    lengths: Any,
    beam: int,
    ngrams: NGrams | None = None,
    ngram_weight: float = 0.5,
    label_bonus: float = 0.0,
) -> Hypotheses:
    """Prefix beam search (section 3.2; with a language model, Hannun et al. 2014), which sums over paths.

    Keeps `beam` prefixes at each frame; raises ValueError if that is below 1. The score of a prefix is
    log p(labels) + ngram_weight x log p_ngrams(labels) + label_bonus x number of labels. Of consecutive certain blanks
    only the first is searched, so pauses cost no time.
    """
    if beam < 1:
        raise ValueError(f"beam must be at least 1. Received: {beam}")
    log_probs, lengths, pauses = _without_pauses(ops.cast(log_probs, "float32"), lengths)
    (batch, time, _), vocab = ops.shape(log_probs), log_probs.shape[-1]
    positions = ops.arange(time)
    ngrams = ngrams or NGrams(np.zeros((1, vocab), np.float32), np.zeros((1, vocab), np.int32))
    label_scores = ngram_weight * ops.convert_to_tensor(ngrams.log_probs, "float32") + label_bonus
    following = ops.reshape(ops.convert_to_tensor(ngrams.following, "int32"), (-1,))

    def flat(x):
        return ops.reshape(x, (batch, beam * vocab))

    def step(frame, state):
        emission, is_within = log_probs[:, frame], (frame < lengths)[:, None]  # (batch, vocab), (batch, 1)
        prefix, length, key, parent_key, in_blank, in_label, lm, context = state
        last = take_each(prefix, ops.maximum(length - 1, 0))
        total = ops.logaddexp(in_blank, in_label)  # paths that end in a blank, and in the last label
        repeated = ops.where(length > 0, in_label + take_each(emission, last), LOG_ZERO)
        is_last = ops.arange(vocab) == last[:, :, None]
        extended = ops.where(is_last, in_blank[:, :, None], total[:, :, None]) + emission[:, None, :]
        extended = ops.where(ops.arange(vocab) == BLANK, LOG_ZERO, extended)  # (batch, beam, vocab)

        # An extended prefix that is in the beam already takes over the paths of the extension.
        is_parent = ops.all(parent_key[:, :, None] == key[:, None, :], axis=-1)  # child x parent
        is_parent = is_parent & (total[:, :, None] > LOG_ZERO / 2)
        parent = ops.cast(ops.argmax(is_parent, axis=-1), "int32")
        of_parent = take_each(take_each(extended, parent, axis=1), last)
        repeated = ops.where(ops.any(is_parent, axis=-1), ops.logaddexp(repeated, of_parent), repeated)
        is_duplicate = ops.any(is_parent[:, :, :, None] & is_last[:, :, None, :], axis=1)
        extended = ops.where(is_duplicate, LOG_ZERO, extended)

        paused = total + emission[:, None, BLANK]
        extended_lm = lm[:, :, None] + take(label_scores, context)
        kept_scores, extended_scores = ops.logaddexp(paused, repeated) + lm, flat(extended + extended_lm)
        _, chosen = ops.top_k(ops.concatenate([kept_scores, extended_scores], axis=1), beam)
        chosen = ops.cast(chosen, "int32")
        grows = chosen >= beam
        origin = ops.where(grows, (chosen - beam) // vocab, chosen)
        label = ops.where(grows, (chosen - beam) % vocab, 0)

        def pick(x):
            return take_each(x, origin, axis=1)

        def pick_extended(x):
            return take_each(flat(x), ops.maximum(chosen - beam, 0))

        at_end = (positions == pick(length)[:, :, None]) & grows[:, :, None]
        new = (
            ops.where(at_end, label[:, :, None], pick(prefix)),
            pick(length) + ops.cast(grows, "int32"),
            ops.where(_expanded(grows, key), _extended_key(pick(key), label), pick(key)),
            ops.where(_expanded(grows, key), pick(key), pick(parent_key)),
            ops.where(grows, LOG_ZERO, pick(paused)),
            ops.where(grows, pick_extended(extended), pick(repeated)),
            ops.where(grows, pick_extended(extended_lm), pick(lm)),
            ops.where(grows, take(following, pick(context) * vocab + label), pick(context)),
        )
        state = zip(new, state, strict=True)
        return frame + 1, tuple(ops.where(_expanded(is_within, x), x, before) for x, before in state)

    zeros = ops.zeros((batch, beam), "int32")
    in_blank = ops.where(ops.broadcast_to(ops.arange(beam) == 0, (batch, beam)), 0.0, LOG_ZERO)
    in_label, lm = ops.full_like(in_blank, LOG_ZERO), ops.zeros_like(in_blank)
    no_key = ops.zeros((batch, beam, 2), "int32")
    state = ops.zeros((batch, beam, time), "int32"), zeros, no_key + 1, no_key, in_blank, in_label, lm, zeros
    longest = ops.max(lengths)
    _, state = ops.while_loop(lambda frame, _: frame < longest, step, (0, state))
    labels, label_lengths, _, _, in_blank, in_label, lm, _ = state
    total = ops.logaddexp(in_blank, in_label) + pauses[:, None]
    return Hypotheses(labels, label_lengths, total, total + lm)


def _without_pauses(log_probs: Any, lengths: Any) -> tuple[Any, Any, Any]:
    """Remove certain blanks after certain blanks; also return the log-probability `(batch,)` of those removed."""
    blank = log_probs[:, :, BLANK]
    is_certain = ops.pad(blank > CERTAIN, ((0, 0), (1, 0)))
    real = is_real(blank, lengths)
    kept = real & ~(is_certain[:, 1:] & is_certain[:, :-1])
    order, lengths = _kept_first(kept)
    order = trimmed(order, lengths)
    pauses = ops.sum(ops.where(real & ~kept, blank, 0.0), axis=1)
    return take_each(log_probs, order, axis=1), lengths, pauses


def _expanded(x: Any, like: Any) -> Any:
    """`x` `(batch, beam)`, with the further axes of `like` of size 1."""
    return ops.reshape(x, (*ops.shape(x), *[1] * (len(like.shape) - 2)))


def _extended_key(key: Any, label: Any) -> Any:
    """Two hashes, int32 `(batch, beam, 2)`, of a prefix and one more label; that both collide is negligible.

    JAX has no 64-bit integers unless it is configured.
    """
    return key * _FACTORS + label[:, :, None] * _LABEL_FACTORS + 1
