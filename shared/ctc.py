"""Connectionist temporal classification (Graves et al. 2006): labels without times, from frames.

At each frame a model tells how probable each label is, and nothing, the blank, id 0. A path is one choice for each
frame; labels in a row are one, then blanks go: `a a _ a b b` spells `a a b`. The probability of labels is that of all
their paths together. Everything here runs inside a graph, for a whole batch:

    log_probs      (batch, time, classes), natural logarithms, class 0 the blank
    lengths        (batch,) int32, frames that are real
    labels         (batch, places) int32, 0 where there are no more
    label_lengths  (batch,) int32
"""

from typing import Any, NamedTuple

import keras
import numpy as np

from shared.ngrams import NGrams

ops: Any = keras.ops  # Keras declares no result types for its operations

BLANK = 0
SURELY = -0.02  # the logarithm of how probable a blank is that nobody doubts
NEVER = -1e30  # the logarithm of what cannot be; infinity would make its own differences not numbers


def frames_needed(labels: Any) -> int:
    """Frames that a sequence of labels takes at least: one for each, and a blank between two that are alike."""
    labels = np.asarray(labels)
    return len(labels) + int(np.count_nonzero(labels[1:] == labels[:-1]))


def loss(labels: Any, label_lengths: Any, logits: Any, lengths: Any) -> Any:
    """-log p(labels) in nats, `(batch,)` (section 4.1); `logits` `(batch, time, classes)`.

    There must be a label, and they must fit their frames, see `frames_needed`: what backends make of others differs. On
    TensorFlow it is the compiled operation, ten times as fast as the one that Keras takes.
    """
    if keras.backend.backend() != "tensorflow":
        return ops.ctc_loss(labels, logits, label_lengths, lengths, mask_index=BLANK)
    import tensorflow as tf

    places = tf.where(tf.sequence_mask(label_lengths, tf.shape(labels)[1]))
    sparse: Any = tf.SparseTensor(places, tf.gather_nd(labels, places), tf.shape(labels, tf.int64))
    return tf.nn.ctc_loss(
        sparse,
        ops.cast(logits, "float32"),
        label_length=label_lengths,
        logit_length=ops.cast(lengths, "int32"),
        logits_time_major=False,
        blank_index=BLANK,
    )


def best_path(log_probs: Any, lengths: Any) -> tuple[Any, Any]:
    """What the most probable path spells (section 3.2): labels `(batch, time)`, and how many."""
    frames = ops.arange(ops.shape(log_probs)[1])
    ids = ops.cast(ops.argmax(log_probs, axis=-1), "int32")
    before = ops.pad(ids[:, :-1], ((0, 0), (1, 0)))
    kept = (ids != BLANK) & (ids != before) & (frames < lengths[:, None])
    order, count = _first(kept)
    return ops.take_along_axis(ops.where(kept, ids, 0), order, axis=-1), count


def _first(kept: Any) -> tuple[Any, Any]:
    """The places `(batch, time)` of frames that are kept, in order, then those of the others; and how many are kept."""
    frames = ops.arange(ops.shape(kept)[1])
    order = ops.argsort(ops.where(kept, frames, frames + ops.shape(frames)[0]), axis=-1)
    return order, ops.sum(ops.cast(kept, "int32"), axis=-1)


class Alignment(NamedTuple):
    """Where labels are on their most probable path, and how probable they are on all paths."""

    starts: Any  # (batch, places) int32, the first frame of each label
    ends: Any  # (batch, places) int32, the frame after its last; where there is no label, both are 0
    log_probs: Any  # (batch,), of the labels; about NEVER if they do not fit the frames


def align(log_probs: Any, lengths: Any, labels: Any, label_lengths: Any) -> Alignment:
    """Finds the most probable path among those that spell the labels (Viterbi), and sums over all of them.

    States are blank, label, blank, label ... blank (figure 3 of the paper): a path stays, goes on to the next state,
    or passes a blank over between labels that differ.
    """
    states = 2 * ops.shape(labels)[1] + 1
    number = ops.arange(states)
    spelt = ops.pad(ops.repeat(labels, 2, axis=1), ((0, 0), (1, 0)))  # _ a a b b
    spelt = ops.where(number % 2 == 1, spelt, BLANK)
    passes = (number % 2 == 1) & (spelt != ops.pad(spelt[:, :-2], ((0, 0), (2, 0))))
    emitted = ops.transpose(ops.take_along_axis(log_probs, spelt[:, None, :], axis=-1), (1, 0, 2))  # time first
    real = ops.transpose(ops.arange(ops.shape(log_probs)[1]) < lengths[:, None])[:, :, None]

    def reached(scores):
        """Scores before a step by the state that it leads to, having stayed, gone on, passed over."""
        first, second = (ops.concatenate([ops.full_like(scores[..., :n], NEVER), scores[..., :-n]], -1) for n in (1, 2))
        return scores, first, ops.where(passes, second, NEVER)

    def forward(scores, frame):
        best, total = scores
        emission, is_real = emitted[frame], real[frame]
        stayed, gone, passed = reached(best)
        scores = (
            ops.where(is_real, ops.maximum(ops.maximum(stayed, gone), passed) + emission, best),
            ops.where(is_real, ops.logsumexp(ops.stack(reached(total)), axis=0) + emission, total),
        )
        return scores, scores

    begin = ops.where(ops.broadcast_to(number == 0, ops.shape(spelt)), 0.0, NEVER)
    # Of frame numbers alone: on TensorFlow, `scan` over several arrays of a length that is not known yet fails.
    frames = ops.arange(ops.shape(emitted)[0])
    (best, total), (bests, _) = ops.scan(forward, (begin, begin), frames)
    before = ops.concatenate([begin[None], bests[:-1]], axis=0)
    moves = ops.where(real, ops.argmax(ops.stack(reached(before)), axis=0), 0)  # (time, batch, states)

    last = 2 * label_lengths[:, None]  # a path ends in the last blank or in the label before
    ending = (number == last) | (number == last - 1)
    final = ops.argmax(ops.where(ending, best, 2 * NEVER), axis=-1, keepdims=True)

    def back(state, frame):
        return state - ops.cast(ops.take_along_axis(moves[frame], state, axis=-1), state.dtype), state

    _, path = ops.scan(back, final, frames, reverse=True)  # (time, batch, 1)
    is_there = (ops.cast(path, "int32") == number[1::2]) & real  # (time, batch, places)
    ends = ops.max(ops.where(is_there, frames[:, None, None] + 1, 0), axis=0)
    starts = ends - ops.sum(ops.cast(is_there, "int32"), axis=0)
    return Alignment(starts, ends, ops.logsumexp(ops.where(ending, total, NEVER), axis=-1))


def label_log_probs(log_probs: Any, lengths: Any, labels: Any, alignment: Alignment) -> Any:
    """How probable each label is where it was found, `(batch, places)`: what its own window says.

    A window reaches half way to the neighbours on either side. Told is the probability of all paths within it that
    spell this label and nothing else; 0 is told for a place without one.
    """
    frames = ops.arange(ops.shape(log_probs)[1])
    has_next = ops.pad(labels[:, 1:], ((0, 0), (0, 1))) != BLANK
    turns = (alignment.ends + ops.pad(alignment.starts[:, 1:], ((0, 0), (0, 1))) + 1) // 2
    turns = ops.where(has_next, turns, lengths[:, None])  # the frame after each window
    window = ops.sum(ops.cast(turns[:, None, :] <= frames[:, None], "int32"), axis=-1)
    window = ops.minimum(window, ops.shape(labels)[1] - 1)
    begins = ops.pad(window[:, 1:] != window[:, :-1], ((0, 0), (1, 0)), constant_values=True)
    label = ops.take_along_axis(log_probs, ops.take_along_axis(labels, window, axis=-1)[:, :, None], axis=-1)[..., 0]

    def step(scores, frame):
        """Paths before, within and after the label."""
        blank, spelt, is_first = (x[frame] for x in by_time)
        before, within, after = (
            ops.where(is_first, fresh, score) for fresh, score in zip((0.0, NEVER, NEVER), scores, strict=True)
        )
        scores = before + blank, ops.logaddexp(before, within) + spelt, ops.logaddexp(within, after) + blank
        return scores, scores

    nothing = ops.zeros_like(log_probs[:, 0, 0])
    by_time = tuple(ops.transpose(x) for x in (log_probs[:, :, BLANK], label, begins))
    _, (_, within, after) = ops.scan(step, (nothing, nothing, nothing), frames)
    told = ops.transpose(ops.logaddexp(within, after))
    at_end = ops.take_along_axis(told, ops.maximum(turns - 1, 0), axis=-1)
    return ops.where(labels != BLANK, at_end, 0.0)


class Spellings(NamedTuple):
    """The best of a search, best first."""

    labels: Any  # (batch, beam, time) int32
    label_lengths: Any  # (batch, beam) int32
    log_probs: Any  # (batch, beam), of the labels, of those of their paths that the search met
    scores: Any  # (batch, beam), what they are sorted by; about NEVER for a place that is empty


def beam_search(
    log_probs: Any,
    lengths: Any,
    beam: int,
    ngrams: NGrams | None = None,
    ngram_weight: float = 0.5,
    label_bonus: float = 0.0,
) -> Spellings:
    """Prefix search (section 3.2; with a language model, Hannun et al. 2014): it sums over paths, best path does not.

    Of blanks in a row that nobody doubts only the first is searched: a pause leads to nothing, and takes no time.

    Args:
        beam: prefixes kept at each frame.
        ngrams: what labels are like after others.
        ngram_weight, label_bonus: score = log p(labels) + weight x log p_ngrams(labels) + bonus x labels.

    Raises:
        ValueError: `beam` is below 1.
    """
    if beam < 1:
        raise ValueError(f"beam must be at least 1. Received: {beam}")
    log_probs, lengths, pauses = _without_pauses(ops.cast(log_probs, "float32"), lengths)
    (batch, time, _), classes = ops.shape(log_probs), log_probs.shape[-1]
    places = ops.arange(time)
    ngrams = ngrams or NGrams(np.zeros((1, classes), np.float32), np.zeros((1, classes), np.int32))
    prior = ngram_weight * ops.convert_to_tensor(ngrams.log_probs, "float32") + label_bonus
    following = ops.reshape(ops.convert_to_tensor(ngrams.following, "int32"), (-1,))

    def step(frame, state):
        emission, is_real = log_probs[:, frame], (frame < lengths)[:, None]  # (batch, classes), (batch, 1)
        prefix, length, name, parent, ended, open_, lm, context = state
        last = ops.take_along_axis(prefix, ops.maximum(length - 1, 0)[:, :, None], axis=-1)[..., 0]
        whole = ops.logaddexp(ended, open_)  # `ended` in a blank, `open_` in the last label
        again = ops.where(length > 0, open_ + ops.take_along_axis(emission, last, axis=-1), NEVER)
        longer = ops.where(ops.arange(classes) == last[:, :, None], ended[:, :, None], whole[:, :, None])
        longer = longer + emission[:, None, :]
        longer = ops.where(ops.arange(classes) == BLANK, NEVER, longer)  # (batch, beam, classes)

        # A prefix made longer may be another of the beam: those paths are its own.
        is_parent = (parent[:, :, None] == name[:, None, :]) & (whole[:, :, None] > NEVER / 2)  # (batch, child, parent)
        of_parent = ops.take_along_axis(longer, ops.cast(ops.argmax(is_parent, axis=-1), "int32")[:, :, None], axis=1)
        joined = ops.take_along_axis(of_parent, last[:, :, None], axis=-1)[..., 0]
        again = ops.where(ops.any(is_parent, axis=-1), ops.logaddexp(again, joined), again)
        is_last = ops.arange(classes) == last[:, :, None]
        taken = ops.any(is_parent[:, :, :, None] & is_last[:, :, None, :], axis=1)
        longer = ops.where(taken, NEVER, longer)

        stayed = whole + emission[:, None, BLANK]
        longer_lm = lm[:, :, None] + ops.take(prior, context, axis=0)
        scores = ops.concatenate(
            [ops.logaddexp(stayed, again) + lm, ops.reshape(longer + longer_lm, (batch, beam * classes))], axis=1
        )
        scores, chosen = ops.top_k(scores, beam)
        chosen = ops.cast(chosen, "int32")
        grows = chosen >= beam
        origin = ops.where(grows, (chosen - beam) // classes, chosen)
        label = ops.where(grows, (chosen - beam) % classes, 0)

        def pick(x):
            return ops.take_along_axis(x, origin, axis=1)

        def pick_longer(x):
            return ops.take_along_axis(ops.reshape(x, (batch, beam * classes)), ops.maximum(chosen - beam, 0), axis=1)

        moved = ops.take_along_axis(prefix, origin[:, :, None], axis=1)
        at_end = (places == pick(length)[:, :, None]) & grows[:, :, None]
        new = (
            ops.where(at_end, label[:, :, None], moved),
            pick(length) + ops.cast(grows, "int32"),
            ops.where(grows, _named(pick(name), label), pick(name)),
            ops.where(grows, pick(name), pick(parent)),
            ops.where(grows, NEVER, pick(stayed)),
            ops.where(grows, pick_longer(longer), pick(again)),
            ops.where(grows, pick_longer(longer_lm), pick(lm)),
            ops.where(grows, ops.take(following, pick(context) * classes + label), pick(context)),
        )
        is_real = is_real[:, :, None], *[is_real] * (len(new) - 1)
        return frame + 1, tuple(ops.where(*choice) for choice in zip(is_real, new, state, strict=True))

    zeros = ops.zeros((batch, beam), "int32")
    empty = ops.where(ops.broadcast_to(ops.arange(beam) == 0, (batch, beam)), 0.0, NEVER)
    nobody = ops.zeros_like(ops.cast(zeros, "int64"))
    state = (
        ops.zeros((batch, beam, time), "int32"),
        zeros,
        nobody + 1,
        nobody,
        empty,
        ops.full_like(empty, NEVER),
        ops.zeros_like(empty),
        zeros,
    )
    _, state = ops.while_loop(lambda frame, _: frame < time, step, (0, state))
    labels, label_lengths, _, _, ended, open_, lm, _ = state
    whole = ops.logaddexp(ended, open_) + pauses[:, None]
    return Spellings(labels, label_lengths, whole, whole + lm)


def _without_pauses(log_probs: Any, lengths: Any) -> tuple[Any, Any, Any]:
    """The same without blanks that follow blanks, both beyond doubt; and the logarithm of how probable these were."""
    blank = log_probs[:, :, BLANK]
    surely = ops.pad(blank > SURELY, ((0, 0), (1, 0)))
    real = ops.arange(ops.shape(blank)[1]) < lengths[:, None]
    kept = real & ~(surely[:, 1:] & surely[:, :-1])
    order, lengths = _first(kept)
    order = order[:, : ops.maximum(ops.max(lengths), 1)]
    pauses = ops.sum(ops.where(real & ~kept, blank, 0.0), axis=1)
    return ops.take_along_axis(log_probs, order[:, :, None], axis=1), lengths, pauses


def _named(name: Any, label: Any) -> Any:
    """A number for a prefix and one more label, another one for every other prefix as good as surely (64 bits)."""
    return name * 6_364_136_223_846_793_005 + ops.cast(label, "int64") * 1_442_695_040_888_963_407 + 1
