"""Search over a step function: greedy, beam and sampled decoding, for any model, inside a graph or not.

A model is known only by its step, which reads one token of each hypothesis and scores all continuations:

    log_probs, state, extras = step(token_ids, state)

    token_ids  `(batch, beam)` int32, the last tokens; the start token first
    log_probs  `(batch, beam, vocab)`, natural logarithms
    state      a nest of tensors `(batch, beam, ...)` for the next step, e.g. h and c
    extras     a nest of tensors `(batch, beam, ...)` to record with the next token, e.g. attention

The search reorders states and extras with their hypotheses; a step without them returns `()`. Tensors that all
hypotheses of an example use, such as the encoder's output `(batch, source, units)`, belong in the step's closure, so
that they are not repeated. The initial state has no beam axis, `(batch, ...)`; the search adds it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np

from shared.gathering import take, take_each
from shared.repeats import Recent, Repeats

ops: Any = keras.ops  # Keras declares no result types for its operations
map_structure = keras.tree.map_structure

Step = Callable[[Any, Any], tuple[Any, Any, Any]]


class SearchSpace(NamedTuple):
    """The model and the tokens of a search."""

    step: Step
    initial_state: Any  # nest of tensors (batch, ...)
    batch_size: Any  # int or scalar tensor
    start_id: int  # the token that the first step reads; not part of the result
    end_id: int  # the token that completes a hypothesis
    pad_id: int  # fills `token_ids` after the end
    max_length: Any  # maximum number of tokens, end token included; int, or on TensorFlow a scalar tensor
    forbidden_ids: Sequence[int] = ()  # never emitted, e.g. padding; the other probabilities are not renormalised
    # (batch, prefix) int32, then padding: tokens that the hypotheses of each example begin with, and that count in
    # their log-probabilities. After the end token, which may be their last, nothing follows; after `max_length` others
    # hypotheses are cut off.
    prefix_ids: Any = None


class Hypotheses(NamedTuple):
    """The result of a search, best hypothesis first; those cut off by `max_length` come after all complete ones.

    An example with fewer than `beam` hypotheses has padding for the rest: length 0, `log_probs` -inf.
    """

    token_ids: Any  # (batch, beam, max_length) int32: without the start token, with the end token, then padding
    lengths: Any  # (batch, beam) int32, end token included
    log_probs: Any  # (batch, beam): log-probability of the whole hypothesis, end token included
    scores: Any  # (batch, beam): the sort key
    token_log_probs: Any  # (batch, beam, max_length), 0 for padding
    extras: Any  # nest of (batch, beam, max_length, ...), 0 for padding


def length_penalty(length: Any, exponent: float) -> Any:
    """((5 + length) / 6)^exponent, by which a log-probability is divided (Wu et al. 2016, section 7)."""
    return ((5.0 + length) / 6.0) ** exponent


def _allowed(log_probs: Any, forbidden_ids: Sequence[int]) -> Any:
    """float32 log-probabilities with the forbidden tokens at -inf."""
    log_probs = ops.cast(log_probs, "float32")
    if not forbidden_ids:
        return log_probs
    forbidden = np.isin(np.arange(log_probs.shape[-1]), list(forbidden_ids))
    return log_probs + np.where(forbidden, -np.inf, 0.0).astype("float32")  # a sum is twice as fast as `where`


def _whole_prefix(space: SearchSpace) -> Any:
    """The prefixes, `(batch, max_length)`; () without any."""
    if space.prefix_ids is None:
        return ()
    rest = ops.full((space.batch_size, space.max_length), space.pad_id, "int32")
    return ops.concatenate([ops.cast(space.prefix_ids, "int32"), rest], axis=1)[:, : space.max_length]


def _within_prefix(log_probs: Any, allowed: Any, prefix_ids: Any, t: Any, pad_id: int) -> Any:
    """`allowed` `(batch, beam, vocab)` after the prefix; within it that of its token alone, whatever is allowed."""
    if isinstance(prefix_ids, tuple):
        return allowed
    token_ids = take(prefix_ids, t, axis=1)[:, None, None]
    of_prefix = ops.where(ops.arange(log_probs.shape[-1]) == token_ids, ops.cast(log_probs, "float32"), -np.inf)
    return ops.where(token_ids == pad_id, allowed, of_prefix)


def _top_k(x: Any, k: int) -> tuple[Any, Any]:
    """`ops.top_k` of `x` `(batch, width)`, several times as fast for a large width.

    The `k` largest values are in the `k` blocks with the largest maxima.
    """
    width = x.shape[-1]
    block = max((size for size in range(1, 257) if width % size == 0), default=1)
    if width < 4096 or block < 16 or width // block < k:
        return ops.top_k(x, k)
    blocks = ops.reshape(x, (-1, width // block, block))
    _, chosen = ops.top_k(ops.max(blocks, axis=-1), k)
    chosen = ops.sort(chosen, axis=-1)  # so that of equal values the first is taken, as by `top_k` itself
    values, indices = ops.top_k(ops.reshape(take_each(blocks, chosen, axis=1), (-1, k * block)), k)
    return values, take_each(chosen, indices // block) * block + indices % block


def _with_beam(state: Any, beam: int) -> Any:
    """`(batch, ...)` -> `(batch, beam, ...)`, repeated."""
    return map_structure(lambda x: ops.repeat(ops.expand_dims(x, 1), beam, axis=1), state)


def _empty_records(x: Any, max_length: Any) -> Any:
    """Zeros `(max_length, *x.shape)`."""
    return ops.zeros((max_length, *ops.shape(x)), x.dtype)


def _write(records: Any, t: Any, value: Any) -> Any:
    """`records` with `value` at step `t`."""
    return ops.scatter_update(records, ops.reshape(t, (1, 1)), ops.cast(value, records.dtype)[None])


def _masked(x: Any, mask: Any) -> Any:
    """`x` `(batch, beam, ...)`, zero where `mask` `(batch, beam)` is False."""
    mask = ops.reshape(mask, (*ops.shape(mask), *(1 for _ in x.shape[2:])))
    return ops.where(mask, x, ops.zeros_like(x))


# --- independent hypotheses: greedy search and sampling ------------------------------------------------------------


def _roll_out(space: SearchSpace, next_token: Callable[[Any, Any], Any], rows: int) -> Hypotheses:
    """Extends `rows` independent hypotheses per example by `next_token(log_probs, t)` until all have ended."""
    step, initial_state, batch_size, start_id, end_id, pad_id, max_length, forbidden_ids, _ = space
    prefix_ids = _whole_prefix(space)

    def advance(t, tokens, lengths, records, step_result):
        log_probs, state, extras = step_result
        log_probs = _within_prefix(log_probs, _allowed(log_probs, forbidden_ids), prefix_ids, t, pad_id)
        is_open = lengths == t  # no end token yet
        chosen = ops.cast(next_token(log_probs, t), "int32")
        token_log_probs = take_each(log_probs, chosen)
        tokens = ops.where(is_open, chosen, pad_id)
        values = tokens, ops.where(is_open, token_log_probs, 0.0), map_structure(lambda x: _masked(x, is_open), extras)
        records = map_structure(lambda x, value: _write(x, t, value), records, values)
        lengths = ops.where(ops.logical_and(is_open, tokens != end_id), lengths + 1, lengths)
        return tokens, lengths, records, state

    def is_unfinished(t, _tokens, lengths, *_):
        return ops.logical_and(t < max_length, ops.any(lengths == t))

    def body(t, tokens, lengths, records, state):
        return t + 1, *advance(t, tokens, lengths, records, step(tokens, state))

    start = ops.full((batch_size, rows), start_id, "int32")
    step_result = step(start, _with_beam(initial_state, rows))
    records = (
        ops.full((max_length, batch_size, rows), pad_id, "int32"),
        ops.zeros((max_length, batch_size, rows), "float32"),
        map_structure(lambda x: _empty_records(x, max_length), step_result[2]),
    )
    # Within the loop `lengths` counts the tokens before the end token.
    first = advance(0, start, ops.zeros_like(start), records, step_result)
    _, _, lengths, records, _ = ops.while_loop(is_unfinished, body, (1, *first))
    lengths = ops.minimum(lengths + 1, max_length)
    token_ids, token_log_probs = (ops.transpose(x, (1, 2, 0)) for x in records[:2])
    log_probs = ops.sum(token_log_probs, axis=-1)
    extras = map_structure(lambda x: ops.moveaxis(x, 0, 2), records[2])
    return Hypotheses(token_ids, lengths, log_probs, log_probs, token_log_probs, extras)


def greedy(space: SearchSpace) -> Hypotheses:
    """The most probable token at each step; the result is that of a beam search with a beam of 1."""
    return _roll_out(space, lambda log_probs, t: ops.argmax(log_probs, axis=-1), 1)


def choose(
    log_probs: Any, uniform: Any, temperature: Any = 1.0, top_k: Any = 0, top_p: Any = 1.0, min_p: Any = 0.0
) -> Any:
    """Draws one token per row, `(rows,)` int32.

    Args:
        log_probs: `(rows, vocab)`.
        uniform: `(rows, 1)`, a uniform random number per row, from 0 to below 1.
        temperature: divides the log-probabilities, before the rules below apply.
        top_k: keep the `top_k` most probable tokens, and those as probable as the last of them; 0 keeps all.
        top_p: keep the most probable tokens whose total probability reaches `top_p` (Holtzman et al. 2020).
        min_p: keep tokens with at least this fraction of the highest probability.
    """
    probability = ops.softmax(ops.cast(log_probs, "float32") / temperature, axis=-1)
    if not all(isinstance(x, (int, float)) and x == off for x, off in ((top_k, 0), (top_p, 1), (min_p, 0))):
        vocab = log_probs.shape[-1]
        descending = -ops.sort(-probability, axis=-1)
        # The least probable token that every rule keeps; the first one is always kept.
        by_k = ops.where(ops.equal(top_k, 0), vocab, ops.minimum(top_k, vocab))
        by_p = ops.sum(ops.cast(ops.cumsum(descending, axis=-1) - descending < top_p, "int32"), axis=-1)
        by_p = ops.where(ops.equal(top_p, 1), vocab, by_p)  # rounded sums reach 1 before the last token
        last = ops.maximum(ops.minimum(by_p, ops.cast(by_k, "int32")), 1) - 1
        threshold = take_each(descending, last[:, None])
        threshold = ops.maximum(threshold, ops.cast(min_p, "float32") * descending[:, :1])
        probability = ops.where(probability >= threshold, probability, 0.0)
    cumulative = ops.cumsum(probability, axis=-1)
    # Below 1 by more than rounding, so that the index stays within the tokens that have a probability.
    below = cumulative <= ops.minimum(ops.cast(uniform, "float32"), 1 - 1e-6) * cumulative[:, -1:]
    return ops.sum(ops.cast(below, "int32"), axis=-1)


def sample(
    space: SearchSpace,
    *,
    samples: int = 1,
    temperature: Any = 1.0,
    top_k: Any = 0,
    top_p: Any = 1.0,
    min_p: Any = 0.0,
    seed: keras.random.SeedGenerator | int | Callable[[Any], Any],
) -> Hypotheses:
    """Draws independent ancestral samples, returned in the order drawn; otherwise as `beam_search`.

    Args:
        samples: number per example, on the beam axis of the result.
        temperature: divides the log-probabilities before the draw: below 1 sharpens, above 1 flattens the distribution.
            `log_probs` of the result are the model's own.
        top_k, top_p, min_p: restrict the draw, see `choose`.
        seed: a generator draws anew at each call; an int draws the same each time; a function makes uniform random
            numbers of a given shape.

    Raises:
        ValueError: `samples` below 1, or a temperature that is not above 0.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1. Received: samples={samples}")
    if isinstance(temperature, (int, float)) and not temperature > 0:
        raise ValueError(
            f"temperature must be above 0; greedy() is its limit at 0. Received: temperature={temperature}"
        )
    # All random numbers are drawn before the loop: a seed generator cannot advance inside every backend's loop.
    shape = (space.max_length, space.batch_size, samples, 1)
    uniform = seed(shape) if callable(seed) else keras.random.uniform(shape, dtype="float32", seed=seed)

    def draw(log_probs, t):
        vocab = log_probs.shape[-1]
        # In two dimensions, where TensorFlow's cumsum is twice as fast as in three.
        flat, numbers = ops.reshape(log_probs, (-1, vocab)), ops.reshape(uniform[t], (-1, 1))
        return ops.reshape(choose(flat, numbers, temperature, top_k, top_p, min_p), (-1, samples))

    return _roll_out(space, draw, samples)


# --- beam search ---------------------------------------------------------------------------------------------------


class _Open(NamedTuple):
    """Hypotheses without an end token, best first."""

    tokens: Any  # (batch, beam) int32, the last token of each
    log_probs: Any  # (batch, beam), -inf for an unused entry
    state: Any  # nest of (batch, beam, ...)
    max_lengths: Any  # (batch,) int32
    recent: Any  # `Recent` tokens, or () if repeats are allowed
    prefix_ids: Any  # (batch, max_length) int32, or () without a prefix


class _Complete(NamedTuple):
    """Hypotheses that have ended, best first, all `(batch, kept)`."""

    scores: Any  # -inf for an unused entry
    log_probs: Any
    lengths: Any
    parents: Any  # index of the open hypothesis that the end token was added to
    end_log_probs: Any


class _Candidates(NamedTuple):
    """The best continuations of the open hypotheses of an example, all `(batch, 2 * beam)`, best first."""

    log_probs: Any  # of the whole hypothesis
    parents: Any  # index of the open hypothesis that is continued
    tokens: Any
    token_log_probs: Any
    is_end: Any


class _Records(NamedTuple):
    """The choices of each step, `(max_length, batch, beam, ...)`, from which hypotheses are read backwards at the end.

    So no history is copied when hypotheses are reordered. Extras have the order of the open hypotheses before the step,
    all else the order after it.
    """

    tokens: Any
    parents: Any
    token_log_probs: Any
    log_probs: Any  # of the whole hypotheses; () unless the tree is kept
    extras: Any


class SearchTree(NamedTuple):
    """All hypotheses that a beam search has kept at any step, all `(batch, max_length, beam)`, best first.

    `read_tree` of `search_trees` makes nodes of it.
    """

    token_ids: Any  # int32, the token of the step
    parents: Any  # int32, index of the hypothesis of the step before that it extends
    log_probs: Any  # of the hypothesis up to this step; -inf for an unused entry


@dataclass(frozen=True, kw_only=True)
class _BeamSearch:
    """The settings of a beam search, and its parts: start, expand, end, select, trace back."""

    space: SearchSpace
    beam: int
    kept: int
    exponent: float
    max_lengths: Any
    num_exact: int
    step_for_subset: Callable[[Any], Step] | None
    repeats: Repeats | None
    keeps_tree: bool = False

    def __post_init__(self):
        if self.beam < 1:
            raise ValueError(f"beam must be at least 1. Received: beam={self.beam}")
        if self.kept < self.beam:
            raise ValueError(f"kept must be at least the beam, {self.beam}. Received: kept={self.kept}")
        if not (math.isfinite(self.exponent) and self.exponent >= 0):
            raise ValueError(f"length_penalty must be 0 or more. Received: length_penalty={self.exponent}")

    def search(self) -> tuple[Hypotheses, Any]:
        """The whole search, and its `SearchTree` if that is kept, else None."""
        open_, complete = self.start()
        step_result = self.space.step(
            open_.tokens, open_.state
        )  # before the loop, because it gives the shapes of the extras
        first = (1, *self.advance(0, open_, complete, self.empty_records(step_result[2]), step_result))
        if self.step_for_subset is None or keras.backend.backend() != "tensorflow":
            _, open_, complete, records = self.loop(self.space.step, self.is_unfinished, first)
        else:
            _, open_, complete, records = ops.while_loop(
                self.is_unfinished, partial(self.loop_on_subset, self.step_for_subset), first
            )
        found = self.trace_back(*self.with_cut_off(open_, complete), records)
        if not self.keeps_tree:
            return found, None
        kept = records.tokens, records.parents, records.log_probs
        return found, SearchTree(*(ops.transpose(x, (1, 0, 2)) for x in kept))

    def penalty(self, length: Any) -> Any:
        return length_penalty(ops.cast(length, "float32"), self.exponent)

    def start(self) -> tuple[_Open, _Complete]:
        """One open hypothesis per example: all start alike, so only the first entry of the beam is used."""
        shape = self.space.batch_size, self.beam
        first = ops.where(ops.arange(self.beam) == 0, 0.0, -np.inf)
        max_lengths = self.space.max_length if self.max_lengths is None else self.max_lengths
        open_ = _Open(
            tokens=ops.full(shape, self.space.start_id, "int32"),
            log_probs=ops.broadcast_to(first, shape),
            state=_with_beam(self.space.initial_state, self.beam),
            max_lengths=ops.broadcast_to(max_lengths, (self.space.batch_size,)),
            recent=Recent.of_start(shape) if self.repeats else (),
            prefix_ids=_whole_prefix(self.space),
        )
        shape = self.space.batch_size, self.kept
        unused, zeros = ops.full(shape, -np.inf, "float32"), ops.zeros(shape, "int32")
        return open_, _Complete(unused, unused, zeros, zeros, unused)

    def empty_records(self, extras: Any) -> _Records:
        shape = self.space.max_length, self.space.batch_size, self.beam
        return _Records(
            tokens=ops.zeros(shape, "int32"),
            parents=ops.zeros(shape, "int32"),
            token_log_probs=ops.zeros(shape, "float32"),
            log_probs=ops.full(shape, -np.inf, "float32") if self.keeps_tree else (),
            extras=map_structure(lambda x: _empty_records(x, self.space.max_length), extras),
        )

    def advance(self, t: Any, open_: _Open, complete: _Complete, records: _Records, step_result: Any):
        """One step of the search: open, complete and records after step `t`."""
        log_probs, state, extras = step_result
        candidates = self.expand(t, open_, log_probs)
        complete = self.end(t, complete, candidates)
        chosen = self.select(open_, complete, candidates)
        values = chosen.tokens, chosen.parents, chosen.token_log_probs
        records = _Records(
            *(_write(x, t, value) for x, value in zip(records[:3], values, strict=True)),
            log_probs=_write(records.log_probs, t, chosen.log_probs) if self.keeps_tree else (),
            extras=map_structure(lambda x, value: _write(x, t, value), records.extras, extras),
        )
        state = map_structure(lambda x: take_each(x, chosen.parents, axis=1), state)
        recent: Any = map_structure(lambda x: take_each(x, chosen.parents, axis=1), open_.recent)
        recent = recent.after(chosen.tokens) if self.repeats else recent
        open_ = _Open(chosen.tokens, chosen.log_probs, state, open_.max_lengths, recent, open_.prefix_ids)
        return open_, complete, records

    def expand(self, t: Any, open_: _Open, log_probs: Any) -> _Candidates:
        """The `2 * beam` best continuations: at most `beam` of them end, so `beam` that do not end remain."""
        beam, vocab = self.beam, log_probs.shape[-1]
        if self.max_lengths is None:
            allowed = _allowed(log_probs, self.space.forbidden_ids)
        else:  # the last token of a hypothesis is the end token
            has_room = ops.reshape(t + 1 < open_.max_lengths, (-1, 1, 1))
            tokens = np.arange(vocab)
            is_allowed = ~np.isin(tokens, list(self.space.forbidden_ids)) & (has_room | (tokens == self.space.end_id))
            allowed = ops.cast(log_probs, "float32") + ops.where(is_allowed, 0.0, -np.inf)
        if self.repeats:
            allowed += open_.recent.penalties(self.repeats, vocab)
        log_probs = _within_prefix(log_probs, allowed, open_.prefix_ids, t, self.space.pad_id)
        totals = ops.reshape(open_.log_probs[:, :, None] + log_probs, (-1, beam * vocab))
        totals, chosen = _top_k(totals, min(2 * beam, beam * vocab))
        tokens = chosen % vocab
        return _Candidates(
            log_probs=totals,
            parents=chosen // vocab,
            tokens=tokens,
            token_log_probs=take_each(ops.reshape(log_probs, (-1, beam * vocab)), chosen),
            is_end=tokens == self.space.end_id,
        )

    def end(self, t: Any, complete: _Complete, candidates: _Candidates) -> _Complete:
        """The best complete hypotheses, with the candidates that end at step `t`.

        An end token counts only among the best `beam` candidates, as in greedy search it must be the best.
        """
        best = slice(self.beam)
        ended = _Complete(
            scores=ops.where(candidates.is_end, candidates.log_probs, -np.inf)[:, best] / self.penalty(t + 1),
            log_probs=candidates.log_probs[:, best],
            lengths=ops.full_like(candidates.parents, t + 1)[:, best],
            parents=candidates.parents[:, best],
            end_log_probs=candidates.token_log_probs[:, best],
        )
        both = [ops.concatenate(pair, axis=1) for pair in zip(complete, ended, strict=True)]
        _, order = ops.top_k(both[0], self.kept)
        return _Complete(*(take_each(x, order) for x in both))

    def select(self, open_: _Open, complete: _Complete, candidates: _Candidates) -> _Candidates:
        """The `beam` best candidates that do not end; none (-inf) in an example that is finished."""
        log_probs, order = ops.top_k(ops.where(candidates.is_end, -np.inf, candidates.log_probs), self.beam)
        is_promising = self.is_promising(log_probs, complete, open_.max_lengths)
        parents, tokens = take_each(candidates.parents, order), take_each(candidates.tokens, order)
        log_probs = ops.where(is_promising[:, None], log_probs, -np.inf)
        return _Candidates(log_probs, parents, tokens, take_each(candidates.token_log_probs, order), is_end=None)

    def is_promising(self, log_probs: Any, complete: _Complete, max_lengths: Any) -> Any:
        """Whether an open hypothesis of each example may still change the best `num_exact` results, `(batch,)`.

        Otherwise the example is finished, so that its result does not depend on how long others are searched.
        """
        may_win = log_probs[:, 0] / self.penalty(max_lengths) > complete.scores[:, self.num_exact - 1]
        return ops.logical_or(may_win, complete.scores[:, self.beam - 1] == -np.inf)

    @staticmethod
    def has_open(open_: _Open) -> Any:
        """Whether each example is still searched, `(batch,)`."""
        return open_.log_probs[:, 0] > -np.inf

    def is_unfinished(self, t: Any, open_: _Open, _complete: Any, _records: Any) -> Any:
        return ops.logical_and(t < self.space.max_length, ops.any(self.has_open(open_)))

    def loop(self, step: Step, condition: Callable[..., Any], state: Any) -> Any:
        """Advances by `step` while `condition` holds."""

        def body(t, open_, complete, records):
            return t + 1, *self.advance(t, open_, complete, records, step(open_.tokens, open_.state))

        return ops.while_loop(condition, body, state)

    def loop_on_subset(
        self, step_for_subset: Callable[[Any], Step], t: Any, open_: _Open, complete: _Complete, records: _Records
    ) -> Any:
        """Advances the unfinished examples alone, until a quarter of them are finished."""
        is_kept = self.has_open(open_)
        kept = ops.cast(ops.nonzero(is_kept)[0], "int32")
        count = ops.shape(kept)[0]

        def condition(t, open_, _complete, _records):
            unfinished = ops.sum(ops.cast(self.has_open(open_), "int32"))
            return ops.logical_and(t < self.space.max_length, 4 * unfinished > 3 * count)

        def take_out(nest, axis=0):
            return map_structure(lambda x: take(x, kept, axis), nest)

        def put_back(nest, values, axis=0):
            rank = ops.cumsum(ops.cast(is_kept, "int32")) - 1
            rows = ops.where(is_kept, self.space.batch_size + rank, ops.arange(self.space.batch_size))
            return map_structure(
                lambda x, value: take(ops.concatenate([x, value], axis=axis), rows, axis), nest, values
            )

        step = step_for_subset(kept)
        t, *found = self.loop(step, condition, (t, take_out(open_), take_out(complete), take_out(records, axis=1)))
        return t, put_back(open_, found[0]), put_back(complete, found[1]), put_back(records, found[2], axis=1)

    def with_cut_off(self, open_: _Open, complete: _Complete) -> tuple[_Complete, Any]:
        """The complete hypotheses, then open ones cut off by `max_length`; and which of them have ended."""
        index = ops.arange(self.kept)
        cut_off = _Complete(
            scores=open_.log_probs / self.penalty(self.space.max_length),
            log_probs=open_.log_probs,
            lengths=ops.where(open_.log_probs > -np.inf, self.space.max_length, 0),
            parents=ops.broadcast_to(ops.arange(self.beam), (self.space.batch_size, self.beam)),
            end_log_probs=ops.zeros_like(open_.log_probs),
        )
        count = ops.sum(ops.cast(complete.scores > -np.inf, "int32"), axis=1, keepdims=True)
        following = ops.where(index - count < self.beam, self.kept + index - count, count)  # else an unused entry
        order = ops.where(index < count, index, following)
        both = [ops.concatenate(pair, axis=1) for pair in zip(complete, cut_off, strict=True)]
        return _Complete(*(take_each(x, order) for x in both)), index < count

    def trace_back(self, best: _Complete, ended: Any, records: _Records) -> Hypotheses:
        """Follows each hypothesis from its last token to its first."""

        def body(t, indices, path):
            """`indices` `(batch, kept)`: the entry of each hypothesis after step t."""
            inside = t < best.lengths
            at_end = ops.logical_and(ended, t == best.lengths - 1)
            tokens = ops.where(at_end, self.space.end_id, take_each(records.tokens[t], indices))
            token_log_probs = ops.where(at_end, best.end_log_probs, take_each(records.token_log_probs[t], indices))
            moves = ops.logical_and(inside, ops.logical_not(at_end))
            indices = ops.where(moves, take_each(records.parents[t], indices), indices)
            values = ops.where(inside, tokens, self.space.pad_id), ops.where(inside, token_log_probs, 0.0), indices
            return t - 1, indices, tuple(_write(x, t, value) for x, value in zip(path, values, strict=True))

        shape = self.space.max_length, self.space.batch_size, self.kept
        path = tuple(ops.zeros(shape, dtype) for dtype in ("int32", "float32", "int32"))
        last = ops.convert_to_tensor(self.space.max_length, "int32") - 1
        _, _, path = ops.while_loop(lambda t, *_: t >= 0, body, (last, best.parents, path))
        token_ids, token_log_probs, indices = (ops.transpose(x, (1, 2, 0)) for x in path)

        inside = ops.arange(self.space.max_length) < best.lengths[:, :, None]

        def read(extra):
            """`(max_length, batch, beam, ...)` -> `(batch, kept, max_length, ...)` along each hypothesis."""
            time, batch, beam, *rest = ops.shape(extra)
            rows = (ops.arange(time) * batch + ops.arange(batch)[:, None, None]) * beam + indices
            along = take(ops.reshape(extra, (-1, *rest)), rows)
            mask = ops.reshape(inside, (batch, self.kept, time, *(1 for _ in rest)))
            return ops.where(mask, along, ops.zeros_like(along))

        extras = map_structure(read, records.extras)
        return Hypotheses(token_ids, best.lengths, best.log_probs, best.scores, token_log_probs, extras)


def beam_search(
    space: SearchSpace,
    *,
    beam: int = 4,
    length_penalty: float = 0.0,
    max_lengths: Any = None,
    num_exact: int | None = None,
    step_for_subset: Callable[[Any], Step] | None = None,
    repeats: Repeats | None = None,
    kept: int | None = None,
) -> Hypotheses:
    """The `kept` best hypotheses of each example, all different.

    Complete and open hypotheses are kept apart, so that `beam` open ones always remain. The search ends when every
    example has `beam` complete ones and no open one can change the best `num_exact`. A beam of 1 without length penalty
    is `greedy`.

    Args:
        beam: number of hypotheses that are continued at each step.
        length_penalty: exponent α of score = log_prob / ((5 + length) / 6)^α. 0 ranks by probability, which favours
            short hypotheses; 0.6 to 1 are usual.
        max_lengths: `(batch,)` int32, maximum number of tokens for each example, at most `space.max_length`; the last
            token is then the end token. With a length penalty, smaller values end the search earlier.
        num_exact: number of best results that equal those of an exhaustive loop; default: `beam`.
        step_for_subset: indices `(subset,)` int32 of examples -> the step for them alone. With it, on TensorFlow, where
            shapes may depend on data, finished examples leave the batch when they are a quarter of it. Results do not
            change.
        repeats: the phrases that are refused after themselves; default: none. The other probabilities are not
            renormalised.
        kept: number of hypotheses returned; default and least: `beam`. More, which have ended at any step, cost little.

    Raises:
        ValueError: `beam` below 1, `kept` below `beam`, or a length penalty below 0, with which ending early would be
            wrong.
    """
    return _BeamSearch(
        space=space,
        beam=beam,
        kept=kept or beam,
        exponent=length_penalty,
        max_lengths=max_lengths,
        num_exact=num_exact or beam,
        step_for_subset=step_for_subset,
        repeats=repeats,
    ).search()[0]


def beam_search_with_tree(
    space: SearchSpace,
    *,
    beam: int,
    length_penalty: float = 0.0,
    max_lengths: Any = None,
    repeats: Repeats | None = None,
    kept: int | None = None,
) -> tuple[Hypotheses, SearchTree]:
    """The result of `beam_search` with these arguments, and all hypotheses that the search has kept on its way."""
    found, tree = _BeamSearch(
        space=space,
        beam=beam,
        kept=kept or beam,
        exponent=length_penalty,
        max_lengths=max_lengths,
        num_exact=beam,
        step_for_subset=None,
        repeats=repeats,
        keeps_tree=True,
    ).search()
    return found, tree
