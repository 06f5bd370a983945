"""Search over a step function: greedy, beam and sampled decoding, for any model, inside a graph or not.

A model is known only through its step, which reads one token per hypothesis and says what may follow:

    log_probs, state, extras = step(token_ids, state)

    token_ids  (batch, beam) int32, the tokens just emitted; the start token first
    log_probs  (batch, beam, vocab), natural logarithms
    state      any nest of tensors (batch, beam, ...): what the next step needs, e.g. h and c
    extras     any nest of tensors (batch, beam, ...) to record with the token that is now chosen, e.g. attention

States and extras follow their hypotheses when the search reorders them; a step without them gives `()`. What all
hypotheses of an example share, such as the encoder's output `(batch, positions, units)`, belongs in the step's closure,
never in the state: it is not repeated. The initial state has no beam axis, `(batch, ...)`; the search adds it.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np

ops: Any = keras.ops  # Keras declares no result types for its operations
map_structure = keras.tree.map_structure

Step = Callable[[Any, Any], tuple[Any, Any, Any]]


class Hypotheses(NamedTuple):
    """What a search found, best first; a hypothesis cut off by `max_length` comes after all complete ones.

    Where an example has fewer than `beam` hypotheses the rest are all padding: length 0, `log_probs` -inf.
    """

    token_ids: Any  # (batch, beam, max_length) int32: without the start, with the end token, then padding
    lengths: Any  # (batch, beam) int32, the end token included
    log_probs: Any  # (batch, beam): of the whole hypothesis under the step, the end token included
    scores: Any  # (batch, beam): what they are sorted by
    token_log_probs: Any  # (batch, beam, max_length), 0 for padding
    extras: Any  # nest of (batch, beam, max_length, ...), 0 for padding


def _allowed(log_probs: Any, forbidden_ids: Sequence[int]) -> Any:
    """float32 log-probabilities with the forbidden tokens at -inf."""
    log_probs = ops.cast(log_probs, "float32")
    if not forbidden_ids:
        return log_probs
    forbidden = np.isin(np.arange(log_probs.shape[-1]), list(forbidden_ids))
    return log_probs + np.where(forbidden, -np.inf, 0.0).astype("float32")  # a sum is twice as fast as a choice


def _largest(x: Any, count: int) -> tuple[Any, Any]:
    """`ops.top_k` of `x` `(batch, width)`, several times as fast where it is wide.

    What is among the `count` largest stands in one of the `count` blocks with the largest maxima.
    """
    width = x.shape[-1]
    block = max((size for size in range(1, 257) if width % size == 0), default=1)
    if width < 4096 or block < 16 or width // block < count:
        return ops.top_k(x, count)
    blocks = ops.reshape(x, (-1, width // block, block))
    _, chosen = ops.top_k(ops.max(blocks, axis=-1), count)
    chosen = ops.sort(chosen, axis=-1)  # so that of equal ones the first is taken, as by top_k itself
    values, places = ops.top_k(ops.reshape(_pick(blocks, chosen), (-1, count * block)), count)
    return values, ops.take_along_axis(chosen, places // block, axis=-1) * block + places % block


def _with_beam(state: Any, beam: int) -> Any:
    """`(batch, ...)` -> `(batch, beam, ...)`, the same for every place of the beam."""
    return map_structure(lambda x: ops.repeat(ops.expand_dims(x, 1), beam, axis=1), state)


def _pick(x: Any, places: Any) -> Any:
    """`x` `(batch, width, ...)` at `places` `(batch, beam)` of the second axis -> `(batch, beam, ...)`."""
    batch, width, *rest = ops.shape(x)
    rows = ops.arange(batch)[:, None] * width + places
    return ops.take(ops.reshape(x, (-1, *rest)), rows, axis=0)


def _room(x: Any, max_length: Any) -> Any:
    """Zeros for `max_length` tensors like `x`."""
    return ops.zeros((max_length, *ops.shape(x)), x.dtype)


def _write(record: Any, t: Any, new: Any) -> Any:
    """`record` with `new` at step `t`."""
    return ops.scatter_update(record, ops.reshape(t, (1, 1)), ops.cast(new, record.dtype)[None])


def _masked(x: Any, kept: Any) -> Any:
    """`x` `(batch, beam, ...)`, zero where `kept` `(batch, beam)` is False."""
    kept = ops.reshape(kept, (*ops.shape(kept), *(1 for _ in x.shape[2:])))
    return ops.where(kept, x, ops.zeros_like(x))


def _roll_out(
    step, initial_state, choose, rows, batch_size, start_id, end_id, pad_id, max_length, forbidden_ids
) -> Hypotheses:
    """Extend `rows` independent hypotheses per example by the tokens `choose(log_probs, t)` until all have ended."""

    def advance(t, tokens, lengths, records, step_result):
        log_probs, state, extras = step_result
        log_probs = _allowed(log_probs, forbidden_ids)
        # Still open: no end token yet.
        open_ = lengths == t
        chosen = ops.cast(choose(log_probs, t), "int32")
        token_log_probs = ops.squeeze(ops.take_along_axis(log_probs, chosen[:, :, None], axis=-1), -1)
        tokens = ops.where(open_, chosen, pad_id)
        news = tokens, ops.where(open_, token_log_probs, 0.0), map_structure(lambda x: _masked(x, open_), extras)
        records = map_structure(lambda x, new: _write(x, t, new), records, news)
        lengths = ops.where(ops.logical_and(open_, tokens != end_id), lengths + 1, lengths)
        return tokens, lengths, records, state

    def goes_on(t, _tokens, lengths, *_):
        return ops.logical_and(t < max_length, ops.any(lengths == t))

    def body(t, tokens, lengths, records, state):
        return t + 1, *advance(t, tokens, lengths, records, step(tokens, state))

    start = ops.full((batch_size, rows), start_id, "int32")
    step_result = step(start, _with_beam(initial_state, rows))
    records = (
        ops.full((max_length, batch_size, rows), pad_id, "int32"),
        ops.zeros((max_length, batch_size, rows), "float32"),
        map_structure(lambda x: _room(x, max_length), step_result[2]),
    )
    # `lengths` counts tokens before the end token until the loop is over.
    first = advance(0, start, ops.zeros_like(start), records, step_result)
    _, _, lengths, records, _ = ops.while_loop(goes_on, body, (1, *first))
    lengths = ops.minimum(lengths + 1, max_length)
    token_ids, token_log_probs = (ops.transpose(x, (1, 2, 0)) for x in records[:2])
    log_probs = ops.sum(token_log_probs, axis=-1)
    extras = map_structure(lambda x: ops.moveaxis(x, 0, 2), records[2])
    return Hypotheses(token_ids, lengths, log_probs, log_probs, token_log_probs, extras)


def greedy(
    step: Step,
    initial_state: Any,
    *,
    batch_size: Any,
    start_id: int,
    end_id: int,
    pad_id: int,
    max_length: Any,
    forbidden_ids: Sequence[int] = (),
) -> Hypotheses:
    """The most probable token at each step. Arguments and result as in `beam_search`, with a beam of 1."""

    def most_probable(log_probs, _t):
        return ops.argmax(log_probs, axis=-1)

    return _roll_out(
        step, initial_state, most_probable, 1, batch_size, start_id, end_id, pad_id, max_length, forbidden_ids
    )


def choose(
    log_probs: Any, uniform: Any, temperature: Any = 1.0, top_k: Any = 0, top_p: Any = 1.0, min_p: Any = 0.0
) -> Any:
    """A token for each row, `(rows,)` int32, drawn with one uniform number each.

    Args:
        log_probs: `(rows, vocab)`.
        uniform: `(rows, 1)`, from 0 to below 1.
        temperature: divides the log-probabilities; what follows looks at the result.
        top_k: draw among so many most probable tokens, and those as probable as the last; 0: among all.
        top_p: draw among the most probable tokens that together have this probability (Holtzman et al. 2020).
        min_p: draw among tokens with at least this share of the most probable one's probability.
    """
    probability = ops.softmax(ops.cast(log_probs, "float32") / temperature, axis=-1)
    if not all(isinstance(x, (int, float)) and x == off for x, off in ((top_k, 0), (top_p, 1), (min_p, 0))):
        vocab = log_probs.shape[-1]
        falling = -ops.sort(-probability, axis=-1)
        # The least probable token that each rule lets in; the first one always.
        few = ops.where(ops.equal(top_k, 0), vocab, ops.minimum(top_k, vocab))
        enough = ops.sum(ops.cast(ops.cumsum(falling, axis=-1) - falling < top_p, "int32"), axis=-1)
        enough = ops.where(ops.equal(top_p, 1), vocab, enough)  # rounding reaches 1 before the last token does
        last = ops.maximum(ops.minimum(enough, ops.cast(few, "int32")), 1) - 1
        least = ops.take_along_axis(falling, last[:, None], axis=-1)
        least = ops.maximum(least, ops.cast(min_p, "float32") * falling[:, :1])
        probability = ops.where(probability >= least, probability, 0.0)
    cumulative = ops.cumsum(probability, axis=-1)
    # At most as far as the last token with a probability, lest rounding goes beyond it.
    below = cumulative <= ops.minimum(ops.cast(uniform, "float32"), 1 - 1e-6) * cumulative[:, -1:]
    return ops.sum(ops.cast(below, "int32"), axis=-1)


def sample(
    step: Step,
    initial_state: Any,
    *,
    batch_size: Any,
    start_id: int,
    end_id: int,
    pad_id: int,
    max_length: Any,
    samples: int = 1,
    temperature: Any = 1.0,
    top_k: Any = 0,
    top_p: Any = 1.0,
    min_p: Any = 0.0,
    seed: keras.random.SeedGenerator | int | Callable[[Any], Any],
    forbidden_ids: Sequence[int] = (),
) -> Hypotheses:
    """Ancestral samples, independent of one another, in the order drawn; otherwise as `beam_search`.

    Args:
        samples: how many for each example; they take the place of the beam.
        temperature: divides the log-probabilities before the draw: below 1 is bolder, above 1 more even. The result's
            `log_probs` are the model's own all the same.
        top_k, top_p, min_p: what is drawn from, see `choose`.
        seed: a generator draws anew at each call; the same int draws the same; or a function that makes uniform
            numbers of a shape.

    Raises:
        ValueError: `samples` below 1, or a temperature that is not above 0.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1. Received: samples={samples}")
    if isinstance(temperature, (int, float)) and not temperature > 0:
        raise ValueError(
            f"temperature must be above 0; greedy() is its limit at 0. Received: temperature={temperature}"
        )
    # One uniform number a token, drawn before the loop, since a seed generator cannot advance inside every backend's.
    shape = (max_length, batch_size, samples, 1)
    uniform = seed(shape) if callable(seed) else keras.random.uniform(shape, dtype="float32", seed=seed)

    def draw(log_probs, t):
        vocab = log_probs.shape[-1]
        # In two dimensions because TensorFlow's cumsum is half as fast in three.
        flat, number = ops.reshape(log_probs, (-1, vocab)), ops.reshape(uniform[t], (-1, 1))
        return ops.reshape(choose(flat, number, temperature, top_k, top_p, min_p), (-1, samples))

    return _roll_out(
        step, initial_state, draw, samples, batch_size, start_id, end_id, pad_id, max_length, forbidden_ids
    )


class _Open(NamedTuple):
    """Hypotheses that may be continued, best first."""

    tokens: Any  # (batch, beam) int32, the last of each
    log_probs: Any  # (batch, beam), -inf for an empty place
    state: Any  # nest of (batch, beam, ...)
    limits: Any  # (batch,) int32, most tokens


class _Complete(NamedTuple):
    """Hypotheses that have ended, best first, all `(batch, beam)`."""

    scores: Any  # -inf for an empty place
    log_probs: Any
    lengths: Any
    parents: Any  # which open hypothesis it was before its end token
    end_log_probs: Any


class _Records(NamedTuple):
    """What happened at each step, `(max_length, batch, beam, ...)`; hypotheses are read off backwards at the end.

    So no history is moved when hypotheses are reordered. Extras stand where the open hypothesis stood before the step,
    all else where it stood after.
    """

    tokens: Any
    parents: Any
    token_log_probs: Any
    extras: Any


def _trace_back(best: _Complete, ended: Any, records: _Records, end_id: int, pad_id: int, max_length: Any):
    """Follow each hypothesis from its last token to its first."""

    def body(t, places, path):
        """`places` (batch, beam): where each hypothesis stood after step t."""
        inside = t < best.lengths
        at_end = ops.logical_and(ended, t == best.lengths - 1)
        tokens = ops.where(at_end, end_id, _pick(records.tokens[t], places))
        token_log_probs = ops.where(at_end, best.end_log_probs, _pick(records.token_log_probs[t], places))
        moves = ops.logical_and(inside, ops.logical_not(at_end))
        places = ops.where(moves, _pick(records.parents[t], places), places)
        news = ops.where(inside, tokens, pad_id), ops.where(inside, token_log_probs, 0.0), places
        return t - 1, places, tuple(_write(x, t, new) for x, new in zip(path, news, strict=True))

    path = tuple(ops.zeros_like(x) for x in (records.tokens, records.token_log_probs, records.parents))
    first = ops.convert_to_tensor(max_length, "int32") - 1
    _, _, path = ops.while_loop(lambda t, *_: t >= 0, body, (first, best.parents, path))
    token_ids, token_log_probs, places = (ops.transpose(x, (1, 2, 0)) for x in path)

    inside = ops.arange(max_length) < best.lengths[:, :, None]

    def read(extra):
        """`(max_length, batch, beam, ...)` -> `(batch, beam, max_length, ...)` along each hypothesis."""
        time, batch, beam, *rest = ops.shape(extra)
        at = (ops.arange(time) * batch + ops.arange(batch)[:, None, None]) * beam + places
        along = ops.take(ops.reshape(extra, (-1, *rest)), at, axis=0)
        kept = ops.reshape(inside, (batch, beam, time, *(1 for _ in rest)))
        return ops.where(kept, along, ops.zeros_like(along))

    extras = map_structure(read, records.extras)
    return Hypotheses(token_ids, best.lengths, best.log_probs, best.scores, token_log_probs, extras)


def beam_search(
    step: Step,
    initial_state: Any,
    *,
    batch_size: Any,
    start_id: int,
    end_id: int,
    pad_id: int,
    max_length: Any,
    beam: int = 4,
    length_penalty: float = 0.0,
    forbidden_ids: Sequence[int] = (),
    limits: Any = None,
    certain: int | None = None,
    step_for: Callable[[Any], Step] | None = None,
) -> Hypotheses:
    """The `beam` best hypotheses of each example, all different.

    Complete and open hypotheses are kept apart, so that `beam` open ones always remain. The search ends early when all
    examples have `beam` complete ones, of which no open one could still beat the last that is to be certain. A beam of
    1 without length penalty is `greedy`.

    Args:
        step: see the head of this file.
        initial_state: nest of tensors `(batch, ...)`.
        batch_size: int or scalar tensor, the batch of `initial_state`.
        start_id: the token that the first step reads; it is no part of the result.
        end_id: the token that completes a hypothesis.
        pad_id: fills `token_ids` after the end.
        max_length: most tokens of a hypothesis, the end token included; int, or on TensorFlow a scalar tensor.
        beam: number of hypotheses kept, and returned.
        length_penalty: α of Wu et al. 2016, section 7: score = log_prob / ((5 + length) / 6)^α. 0 ranks by
            probability, which favours short hypotheses; 0.6 to 1 are usual.
        forbidden_ids: never emitted; usually padding, start and unknown. Other probabilities are left as they are.
        limits: `(batch,)` int32, most tokens of each example's hypotheses, at most `max_length`; there they end, for
            what the end token costs. With a length penalty the search stops the sooner, the shorter they may become.
        certain: how many of the best are to be what a search to the very end would find; by default all `beam`.
        step_for: the step for some of the examples alone, from their places `(some,)` int32. With it examples that are
            closed leave the batch whenever they are a quarter of it, where a tensor's shape may depend on that: on
            TensorFlow. Nothing is found that is not found without.

    Raises:
        ValueError: `beam` below 1, or a length penalty below 0 (early stopping would be wrong).
    """
    if beam < 1:
        raise ValueError(f"beam must be at least 1. Received: beam={beam}")
    if not (math.isfinite(length_penalty) and length_penalty >= 0):
        raise ValueError(f"length_penalty must be 0 or more. Received: length_penalty={length_penalty}")

    def penalty(length):
        return ((5.0 + ops.cast(length, "float32")) / 6.0) ** length_penalty

    def has_hope(totals, complete, limits):
        """Of each example, whether what is open may still change what is certain to be found; else it is closed, so
        that nothing depends on how long the search goes on for others."""
        may_beat = totals[:, 0] / penalty(limits) > complete.scores[:, (certain or beam) - 1]
        return ops.logical_or(may_beat, complete.scores[:, -1] == -np.inf)

    def advance(t, open_, complete, records, step_result):
        """Choose among all continuations of the open hypotheses, then reorder all that belongs to them."""
        log_probs, state, extras = step_result
        vocab = log_probs.shape[-1]
        if limits is None:
            log_probs = _allowed(log_probs, forbidden_ids)
        else:
            is_short = ops.reshape(t + 1 < open_.limits, (-1, 1, 1))
            tokens = np.arange(vocab)
            may_follow = ~np.isin(tokens, list(forbidden_ids)) & (is_short | (tokens == end_id))
            log_probs = ops.cast(log_probs, "float32") + ops.where(may_follow, 0.0, -np.inf)
        candidates = ops.reshape(open_.log_probs[:, :, None] + log_probs, (-1, beam * vocab))
        # At most `beam` of the candidates end, so `beam` that do not end are left.
        totals, chosen = _largest(candidates, min(2 * beam, beam * vocab))
        parents, tokens = chosen // vocab, chosen % vocab
        token_log_probs = _pick(ops.reshape(log_probs, (-1, beam * vocab)), chosen)
        ends = tokens == end_id

        # As much as greedy search takes an end token only when it is the best, here it must be among the best `beam`.
        ended = _Complete(
            scores=ops.where(ends, totals, -np.inf)[:, :beam] / penalty(t + 1),
            log_probs=totals[:, :beam],
            lengths=ops.full_like(parents, t + 1)[:, :beam],
            parents=parents[:, :beam],
            end_log_probs=token_log_probs[:, :beam],
        )
        both = [ops.concatenate(pair, axis=1) for pair in zip(complete, ended, strict=True)]
        _, best = ops.top_k(both[0], beam)
        complete = _Complete(*(_pick(x, best) for x in both))

        totals, best = ops.top_k(ops.where(ends, -np.inf, totals), beam)
        totals = ops.where(has_hope(totals, complete, open_.limits)[:, None], totals, -np.inf)
        parents, tokens = _pick(parents, best), _pick(tokens, best)
        records = _Records(
            *(
                _write(x, t, new)
                for x, new in zip(records[:3], (tokens, parents, _pick(token_log_probs, best)), strict=True)
            ),
            extras=map_structure(lambda x, new: _write(x, t, new), records.extras, extras),
        )
        state = map_structure(lambda x: _pick(x, parents), state)
        return _Open(tokens, totals, state, open_.limits), complete, records

    def is_open(open_):
        return open_.log_probs[:, 0] > -np.inf

    def goes_on(t, open_, _complete, _records):
        return ops.logical_and(t < max_length, ops.any(is_open(open_)))

    def search(t, open_, complete, records, step=step, goes_on=goes_on):
        def body(t, open_, complete, records):
            return t + 1, *advance(t, open_, complete, records, step(open_.tokens, open_.state))

        return ops.while_loop(goes_on, body, (t, open_, complete, records))

    def search_among_few(step_for, t, open_, complete, records):
        """Searches among the open examples alone, until a quarter of them are closed."""
        still_open = is_open(open_)
        places = ops.cast(ops.nonzero(still_open)[0], "int32")
        few = ops.shape(places)[0]

        def goes_on(t, open_, _complete, _records):
            count = ops.sum(ops.cast(is_open(open_), "int32"))
            return ops.logical_and(t < max_length, 4 * count > 3 * few)

        def take(nest, axis=0):
            return map_structure(lambda x: ops.take(x, places, axis=axis), nest)

        def put_back(nest, news, axis=0):
            rank = ops.cumsum(ops.cast(still_open, "int32")) - 1
            rows = ops.where(still_open, batch_size + rank, ops.arange(batch_size))
            return map_structure(
                lambda x, new: ops.take(ops.concatenate([x, new], axis=axis), rows, axis=axis), nest, news
            )

        t, *found = search(t, take(open_), take(complete), take(records, axis=1), step_for(places), goes_on)
        return t, put_back(open_, found[0]), put_back(complete, found[1]), put_back(records, found[2], axis=1)

    # All hypotheses of an example start alike, so only the first may be continued.
    first = ops.where(ops.arange(beam) == 0, 0.0, -np.inf)
    open_ = _Open(
        tokens=ops.full((batch_size, beam), start_id, "int32"),
        log_probs=ops.broadcast_to(first, (batch_size, beam)),
        state=_with_beam(initial_state, beam),
        limits=ops.broadcast_to(max_length if limits is None else limits, (batch_size,)),
    )
    nothing, zeros = ops.full((batch_size, beam), -np.inf, "float32"), ops.zeros((batch_size, beam), "int32")
    complete = _Complete(nothing, nothing, zeros, zeros, nothing)
    # The first step stands before the loop because it tells the shapes of the extras.
    step_result = step(open_.tokens, open_.state)
    records = _Records(
        tokens=ops.zeros((max_length, batch_size, beam), "int32"),
        parents=ops.zeros((max_length, batch_size, beam), "int32"),
        token_log_probs=ops.zeros((max_length, batch_size, beam), "float32"),
        extras=map_structure(lambda x: _room(x, max_length), step_result[2]),
    )
    begun = (1, *advance(0, open_, complete, records, step_result))
    if step_for is None or keras.backend.backend() != "tensorflow":
        _, open_, complete, records = search(*begun)
    else:
        _, open_, complete, records = ops.while_loop(goes_on, partial(search_among_few, step_for), begun)

    # Complete hypotheses first; open ones, cut off by max_length, fill the places left.
    place = ops.arange(beam)
    cut = _Complete(
        scores=open_.log_probs / penalty(max_length),
        log_probs=open_.log_probs,
        lengths=ops.where(open_.log_probs > -np.inf, max_length, 0),
        parents=ops.broadcast_to(place, (batch_size, beam)),
        end_log_probs=ops.zeros_like(open_.log_probs),
    )
    found = ops.sum(ops.cast(complete.scores > -np.inf, "int32"), axis=1, keepdims=True)
    order = ops.where(place < found, place, beam + place - found)
    both = [ops.concatenate(pair, axis=1) for pair in zip(complete, cut, strict=True)]
    return _trace_back(_Complete(*(_pick(x, order) for x in both)), place < found, records, end_id, pad_id, max_length)
