"""Searches over a toy trigram model, small enough to enumerate every sentence."""

import itertools
from typing import Any

import keras
import numpy as np
import pytest

from shared.decoding import (
    Hypotheses,
    SearchSpace,
    _top_k,
    beam_search,
    beam_search_with_tree,
    choose,
    greedy,
    sample,
)
from shared.search_trees import read_tree
from tests.backend import compiled, on_tensorflow

pytestmark = pytest.mark.any_backend
ops: Any = keras.ops

PAD, START, END, UNKNOWN, VOCAB = 0, 1, 2, 3, 7
FORBIDDEN = (PAD, START, UNKNOWN)
LENGTH = 4
COMMON: dict[str, Any] = {
    "start_id": START,
    "end_id": END,
    "pad_id": PAD,
    "max_length": LENGTH,
    "forbidden_ids": FORBIDDEN,
}


def trigrams(batch: int, seed: int = 0, sharpness: float = 1.5) -> np.ndarray:
    """log P(next | before, last), another table for each example: `(batch, vocab, vocab, vocab)`."""
    logits = sharpness * np.random.default_rng(seed).standard_normal((batch, VOCAB, VOCAB, VOCAB))
    return (logits - np.log(np.exp(logits).sum(-1, keepdims=True))).astype("float32")


def step_of(table):
    """State: the token before and all tokens so far (a number in base VOCAB). Extras: that number and a vector."""
    flat = ops.reshape(ops.convert_to_tensor(table), (-1, VOCAB))

    def step(token_ids, state):
        before, history = state
        batch = ops.shape(token_ids)[0]
        rows = (ops.arange(batch)[:, None] * VOCAB + before) * VOCAB + token_ids
        history = history * VOCAB + token_ids
        vector = ops.stack([ops.cast(token_ids, "float32"), ops.cast(before, "float32")], axis=-1)
        return ops.take(flat, rows, axis=0), (token_ids, history), {"history": history, "vector": vector}

    return step


def start_state(batch):
    return ops.zeros((batch,), "int32"), ops.zeros((batch,), "int32")


def space_of(table, batch=None, **changes) -> SearchSpace:
    """The search space of a batch of tables."""
    batch = len(table) if batch is None else batch
    return SearchSpace(step_of(table), start_state(batch), batch, **(COMMON | changes))


def search(decode, table, **options) -> Any:
    """The search, compiled, its result in NumPy."""
    names = "max_length", "forbidden_ids", "prefix_ids"
    changes = {name: options.pop(name) for name in names if name in options}
    run = compiled(lambda: decode(space_of(table, **changes), **options))
    return keras.tree.map_structure(np.asarray, run())


def rescore(table, tokens) -> list[float]:
    """Each token's log-probability, the tokens given."""
    before, last, scores = 0, START, []
    for token in tokens:
        scores.append(float(table[before, last, token]))
        before, last = last, token
    return scores


def all_sentences(table, length_penalty) -> list[tuple[float, tuple[int, ...]]]:
    """(score, tokens) of every complete sentence, best first."""
    words = [token for token in range(VOCAB) if token not in (*FORBIDDEN, END)]
    sentences = [(*body, END) for n in range(LENGTH) for body in itertools.product(words, repeat=n)]
    scored = [(sum(rescore(table, s)) / ((5 + len(s)) / 6) ** length_penalty, s) for s in sentences]
    return sorted(scored, reverse=True)


def tokens_of(found: Hypotheses, row: int, place: int) -> tuple[int, ...]:
    return tuple(found.token_ids[row, place, : found.lengths[row, place]].tolist())


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0, 3.0])
def test_wide_beam_is_exhaustive(length_penalty):
    """3 words, up to 3 of them and an end: 40 sentences. A beam of 108 drops none of the last 27 × 4 candidates."""
    tables = trigrams(2)
    found = search(beam_search, tables, beam=108, length_penalty=length_penalty)
    for row, table in enumerate(tables):
        expected = all_sentences(table, length_penalty)
        assert len(expected) == 40
        assert [tokens_of(found, row, place) for place in range(40)] == [tokens for _, tokens in expected]
        np.testing.assert_allclose(found.scores[row, :40], [score for score, _ in expected], rtol=1e-5)
        # Then the 81 that were cut off, as far as there is room.
        assert not (found.token_ids[row, 40:] == END).any()
        assert (found.lengths[row, 40:] == LENGTH).all()


@pytest.mark.parametrize(
    ("decode", "options", "beam"),
    [
        (greedy, {}, 1),
        (sample, {"samples": 5, "seed": 3}, 5),
        (beam_search, {"beam": 1, "length_penalty": 1.0}, 1),
        (beam_search, {"beam": 2}, 2),
        (beam_search, {"beam": 5, "length_penalty": 0.7}, 5),
        (beam_search, {"beam": 5, "length_penalty": 3.0, "kept": 6}, 6),
    ],
)
def test_all_fields_of_a_hypothesis(decode, options, beam):
    """Log-probabilities equal rescoring, extras belong to their tokens, padding is clean, hypotheses differ."""
    tables = trigrams(6, seed=beam, sharpness=1.0)
    found = search(decode, tables, **options)
    assert found.token_ids.shape == (6, beam, LENGTH)
    assert found.extras["vector"].shape == (6, beam, LENGTH, 2)
    for row, place in itertools.product(range(6), range(beam)):
        tokens = tokens_of(found, row, place)
        assert END not in tokens[:-1]
        assert tokens[-1] == END or len(tokens) == LENGTH
        assert not set(tokens) & set(FORBIDDEN)
        assert (found.token_ids[row, place, len(tokens) :] == PAD).all()
        expected = rescore(tables[row], tokens)
        padding = [0.0] * (LENGTH - len(tokens))
        np.testing.assert_allclose(found.token_log_probs[row, place], expected + padding, rtol=1e-5)
        np.testing.assert_allclose(found.log_probs[row, place], sum(expected), rtol=1e-5)
        score = sum(expected) / ((5 + len(tokens)) / 6) ** options.get("length_penalty", 0)
        np.testing.assert_allclose(found.scores[row, place], score, rtol=1e-5)
        read = [START, *tokens[:-1]]
        history = list(itertools.accumulate(read, lambda number, token: number * VOCAB + token))
        assert found.extras["history"][row, place].tolist() == history + [0] * len(padding)
        vectors = [[last, before] for before, last in itertools.pairwise([0, *read])] + [[0, 0]] * len(padding)
        assert found.extras["vector"][row, place].tolist() == vectors
    if decode is beam_search:
        assert all(len({tokens_of(found, row, place) for place in range(beam)}) == beam for row in range(6))


def test_best_first_and_complete_before_cut_off():
    found = search(beam_search, trigrams(20, seed=4), beam=5, max_length=3, length_penalty=0.8)
    complete = (found.token_ids == END).any(-1)
    assert complete.any()
    assert not complete.all()
    assert (complete[:, :-1] >= complete[:, 1:]).all()
    for row in range(20):
        for kind in (complete[row], ~complete[row]):
            assert (np.diff(found.scores[row][kind]) <= 0).all()


@pytest.mark.slow
def test_beam_of_one_is_greedy():
    tables = trigrams(50, seed=5)
    one, other = search(beam_search, tables, beam=1), search(greedy, tables)
    assert len(set(one.lengths[:, 0].tolist())) > 2
    for a, b in zip(keras.tree.flatten(one), keras.tree.flatten(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.slow
def test_cut_off_at_max_length():
    """A model that never emits the end token: all hypotheses have the maximum length."""
    tables = trigrams(2, seed=6)
    tables[..., END] = -1e4
    for decode, options in ((beam_search, {"beam": 3}), (greedy, {}), (sample, {"samples": 3, "seed": 1})):
        found = search(decode, tables, **options)
        assert (found.lengths == LENGTH).all()
        assert not (found.token_ids == END).any()
    assert (search(beam_search, tables, beam=3, max_length=1).lengths == 1).all()


def test_each_example_ends_at_its_own_limit():
    """Sentences of the maximum length end there, with the probability of the end token."""
    table = trigrams(3)
    found = search(
        beam_search, table, beam=VOCAB**LENGTH, length_penalty=0.5, max_lengths=np.array([2, 4, 3], np.int32)
    )
    for row, limit in enumerate((2, 4, 3)):
        fitting = [one for one in all_sentences(table[row], 0.5) if len(one[1]) <= limit]
        count = int((found.lengths[row] > 0).sum())
        assert count == len(fitting)
        assert {tokens_of(found, row, place) for place in range(count)} == {tokens for _, tokens in fitting}
        assert all(tokens_of(found, row, place)[-1] == END for place in range(count))
        np.testing.assert_allclose(
            found.scores[row, :count], sorted((one[0] for one in fitting), reverse=True), rtol=1e-5
        )


@pytest.mark.slow
@pytest.mark.slow
def test_num_exact_ends_earlier_with_the_same_best_hypothesis():
    table = trigrams(40)
    all_, one = (search(beam_search, table, beam=4, length_penalty=1.0, num_exact=count) for count in (None, 1))
    np.testing.assert_array_equal(all_.token_ids[:, 0], one.token_ids[:, 0])
    np.testing.assert_allclose(all_.scores[:, 0], one.scores[:, 0], rtol=1e-6)
    assert np.all((one.token_ids == END).sum(axis=-1) == (all_.token_ids == END).sum(axis=-1))  # none left open
    for row in range(0, 40, 13):  # the others, too, are what they are alone
        alone = search(beam_search, table[row : row + 1], beam=4, length_penalty=1.0, num_exact=1)
        np.testing.assert_array_equal(alone.token_ids[0], one.token_ids[row])


@pytest.mark.parametrize("width", [4096, 5000, 4099, 60])
def test_top_k_equals_that_of_keras(width):
    rng = np.random.default_rng(width)
    x = rng.normal(size=(3, width)).astype(np.float32)
    x[1] = np.round(x[1])  # many are equal
    x[2, 7:] = -np.inf
    for ours, theirs in zip(_top_k(ops.convert_to_tensor(x), 9), ops.top_k(x, 9), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_fewer_hypotheses_than_the_beam():
    """Only the end token may follow the start: one hypothesis, the other entries are unused."""
    tables = np.full((2, VOCAB, VOCAB, VOCAB), -np.inf, "float32")
    tables[..., END] = 0
    found = search(beam_search, tables, beam=3)
    assert found.lengths.tolist() == [[1, 0, 0]] * 2
    assert found.token_ids[0].tolist() == [[END, PAD, PAD, PAD]] + [[PAD] * 4] * 2
    assert found.log_probs.tolist() == [[0, -np.inf, -np.inf]] * 2
    assert not np.isnan(found.scores).any()


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.slow
def test_the_rest_of_the_batch_changes_nothing(length_penalty):
    """An example decoded alone and in a batch that keeps the search going gives the same hypotheses."""
    tables = trigrams(20, seed=7)
    together = search(beam_search, tables, beam=3, max_length=9, length_penalty=length_penalty)
    for row in (3, 11):
        alone = search(beam_search, tables[row : row + 1], beam=3, max_length=9, length_penalty=length_penalty)
        for a, b in zip(keras.tree.flatten(together), keras.tree.flatten(alone), strict=True):
            np.testing.assert_array_equal(a[row], b[0])


def test_stops_early():
    """Sentences of one word with probability 1: the step is called twice, whatever the maximum length."""
    asked = []

    def step(token_ids, state):
        asked.append(1)
        after_start = np.log([1e-9, 1e-9, 1e-9, 1e-9, 0.6, 0.3, 0.1])
        after_word = np.log([1e-9, 1e-9, 0.99, 1e-9, 1e-3, 1e-3, 1e-3])
        return ops.where(ops.equal(token_ids, START)[:, :, None], after_start, after_word), state, ()

    found = beam_search(SearchSpace(step, (), 2, **(COMMON | {"max_length": 50})), beam=3)
    assert len(asked) == 2
    np.testing.assert_array_equal(found.token_ids[0, :, :3], [[4, END, PAD], [5, END, PAD], [6, END, PAD]])


def test_samples_follow_the_distribution():
    tables = trigrams(1, seed=8, sharpness=1.0)
    found = search(sample, tables, samples=20_000, seed=9, forbidden_ids=(UNKNOWN,), max_length=1)
    probability = np.exp(tables[0, 0, START])
    probability[UNKNOWN] = 0
    frequency = np.bincount(found.token_ids[0, :, 0], minlength=VOCAB) / 20_000
    np.testing.assert_allclose(frequency, probability / probability.sum(), atol=0.015)
    cold = search(sample, tables, samples=100, seed=9, temperature=0.01)
    assert (cold.token_ids[0] == search(greedy, tables).token_ids[0]).all()


@pytest.mark.slow
def test_seeds():
    tables = trigrams(3, seed=10)
    one, again = (search(sample, tables, samples=6, seed=1).token_ids for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert (search(sample, tables, samples=6, seed=2).token_ids != one).any()
    generator = keras.random.SeedGenerator(1)
    first, second = (sample(space_of(tables), samples=6, seed=generator).token_ids for _ in range(2))
    assert np.any(first != second)


def test_eager_equals_compiled():
    tables = trigrams(2, seed=11)
    eager = beam_search(space_of(tables), beam=3)
    for a, b in zip(keras.tree.flatten(eager), keras.tree.flatten(search(beam_search, tables, beam=3)), strict=True):
        np.testing.assert_array_equal(a, b)


@on_tensorflow
@pytest.mark.parametrize(("length", "limits"), [(9, None), (9, [2, 9, 1, 7, 4, 9, 5])])
@pytest.mark.slow
def test_examples_that_leave_the_batch_change_nothing(length, limits):
    """Examples that end at different steps, the last one alone; states, extras and maximum lengths must follow."""
    tables = trigrams(7, seed=13)
    tables[..., END] += 1.5 * np.arange(-3, 4)[:, None, None]  # some end late, others early
    asked = []

    def step_for(places):
        asked.append(places)
        return step_of(ops.take(tables, places, axis=0))

    options = {"beam": 3, "length_penalty": 0.5, "max_lengths": limits and np.array(limits, np.int32)}
    whole = search(beam_search, tables, max_length=length, **options)
    eager = beam_search(space_of(tables, max_length=length), step_for_subset=step_for, **options)
    assert len(asked[0]) >= 6
    assert len(asked[-1]) <= 3
    for few in (eager, search(beam_search, tables, max_length=length, step_for_subset=step_for, **options)):
        for expected, found in zip(keras.tree.flatten(whole), keras.tree.flatten(few), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-5)


@on_tensorflow
@pytest.mark.slow
def test_saved_model_with_dynamic_batch_and_length(tmp_path):
    import tensorflow as tf

    class Server(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec((None, VOCAB, VOCAB, VOCAB)), tf.TensorSpec((), tf.int32)])
        def decode(self, table, max_length):
            batch = ops.shape(table)[0]
            space = space_of(table, batch, max_length=max_length)
            return {
                "beam": beam_search(space, beam=3),
                "greedy": greedy(space),
                "sample": sample(space, samples=2, seed=1),
            }

    server = Server()
    tf.saved_model.save(server, str(tmp_path))
    loaded: Any = tf.saved_model.load(str(tmp_path))
    for batch, length in ((1, 6), (5, 3)):
        tables = trigrams(batch, seed=12)
        result = loaded.decode(tf.constant(tables), tf.constant(length))
        for name, decode, options in (("beam", beam_search, {"beam": 3}), ("greedy", greedy, {})):
            expected = search(decode, tables, max_length=length, **options)
            for a, b in zip(tf.nest.flatten(result[name]), tf.nest.flatten(expected), strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5)
        assert result["sample"][0].shape == (batch, 2, length)


@pytest.mark.parametrize(
    ("decode", "options", "message"),
    [
        (beam_search, {"beam": 0}, "beam must be at least 1"),
        (beam_search, {"length_penalty": -0.5}, "length_penalty must be 0 or more"),
        (sample, {"samples": 0, "seed": 1}, "samples must be at least 1"),
        (sample, {"temperature": 0.0, "seed": 1}, "temperature must be above 0"),
    ],
)
def test_refuses(decode, options, message):
    with pytest.raises(ValueError, match=message):
        decode(space_of(trigrams(1)), **options)


# Falling: .5, .25, .15, .1, not in this order.
PROBABILITIES = np.array([[0.15, 0.5, 0.1, 0.25]], "float32")


@pytest.mark.parametrize(
    ("rule", "kept"),
    [
        ({}, {0, 1, 2, 3}),
        ({"top_k": 1}, {1}),
        ({"top_k": 3}, {0, 1, 3}),
        ({"top_k": 9}, {0, 1, 2, 3}),
        ({"top_p": 0.49}, {1}),
        ({"top_p": 0.51}, {1, 3}),
        ({"top_p": 1e-6}, {1}),
        ({"min_p": 0.29}, {0, 1, 3}),
        ({"min_p": 1.0}, {1}),
        ({"top_k": 3, "min_p": 0.4}, {1, 3}),
        ({"top_k": np.int32(2), "top_p": np.float32(0.99), "min_p": np.float32(0)}, {1, 3}),
    ],
)
def test_tokens_that_a_rule_keeps(rule, kept):
    uniform = np.linspace(0, 1, 2001, dtype="float32")[:, None]
    log_probs = np.log(np.repeat(PROBABILITIES, len(uniform), axis=0))
    chosen = np.asarray(choose(log_probs, uniform, **rule))
    assert set(chosen.tolist()) == kept
    total = sum(PROBABILITIES[0, token] for token in kept)
    for token in kept:
        assert np.mean(chosen == token) == pytest.approx(PROBABILITIES[0, token] / total, abs=0.002)


def test_temperature_applies_before_the_rules():
    """At temperature 2 the probabilities are proportional to their square roots: the two best sum to .632, not .75."""
    uniform = np.linspace(0, 0.999, 500, dtype="float32")[:, None]
    log_probs = np.log(np.repeat(PROBABILITIES, len(uniform), axis=0))
    assert set(np.asarray(choose(log_probs, uniform, 2.0, top_p=0.7)).tolist()) == {0, 1, 3}
    assert set(np.asarray(choose(log_probs, uniform, 1.0, top_p=0.7)).tolist()) == {1, 3}


# --- prefixes and trees --------------------------------------------------------------------------------------------

PREFIXES = np.array([[5, UNKNOWN], [PAD, PAD], [6, PAD]], np.int32)  # of two tokens, one forbidden; none; one


@pytest.mark.parametrize("max_lengths", [None, np.array([4, 2, 3], np.int32)])
def test_search_from_a_prefix_is_exhaustive_among_the_sentences_that_begin_with_it(max_lengths):
    """Each example has its own prefix; its tokens count as the model scores them, whatever is forbidden elsewhere."""
    tables = trigrams(3, seed=8)
    found = search(beam_search, tables, beam=108, length_penalty=0.7, prefix_ids=PREFIXES, max_lengths=max_lengths)
    words = [token for token in range(VOCAB) if token not in (*FORBIDDEN, END)]
    for row, table in enumerate(tables):
        prefix = tuple(token for token in PREFIXES[row].tolist() if token != PAD)
        limit = LENGTH if max_lengths is None else max_lengths[row]
        bodies = [b for n in range(limit - len(prefix)) for b in itertools.product(words, repeat=n)]
        sentences = [(*prefix, *body, END) for body in bodies]
        expected = sorted(((sum(rescore(table, s)) / ((5 + len(s)) / 6) ** 0.7, s) for s in sentences), reverse=True)
        assert [tokens_of(found, row, place) for place in range(len(expected))] == [tokens for _, tokens in expected]
        np.testing.assert_allclose(found.scores[row, : len(expected)], [score for score, _ in expected], rtol=1e-5)


@pytest.mark.parametrize(("decode", "options"), [(greedy, {}), (sample, {"samples": 4, "seed": 2})])
def test_each_roll_out_begins_with_the_prefix(decode, options):
    tables = trigrams(3, seed=9)
    found, free = (search(decode, tables, **options, **more) for more in ({"prefix_ids": PREFIXES}, {}))
    for row, place in itertools.product(range(3), range(found.lengths.shape[1])):
        prefix = [token for token in PREFIXES[row].tolist() if token != PAD]
        tokens = tokens_of(found, row, place)
        assert list(tokens[: len(prefix)]) == prefix
        expected = rescore(tables[row], tokens)
        np.testing.assert_allclose(found.token_log_probs[row, place, : len(tokens)], expected, rtol=1e-5)
    np.testing.assert_array_equal(found.token_ids[1], free.token_ids[1])  # that of the example without a prefix


@pytest.mark.slow
def test_prefix_stays_with_its_example_when_others_leave_the_batch():
    tables = trigrams(5, seed=10)
    tables[:3, :, :, END] += 3  # soon finished
    prefix_ids = np.array([[4], [5], [6], [4], [5]], np.int32)

    def with_subsets(space, **options):
        return beam_search(
            space,
            step_for_subset=lambda rows: step_of(ops.take(ops.convert_to_tensor(tables), rows, axis=0)),
            **options,
        )

    results = [search(decode, tables, beam=3, prefix_ids=prefix_ids) for decode in (beam_search, with_subsets)]
    np.testing.assert_array_equal(results[0].token_ids, results[1].token_ids)
    assert (results[0].token_ids[..., 0] == prefix_ids).all()


def test_more_hypotheses_than_the_beam_are_kept():
    """They have ended at any step of the same search. Behind them are those that were cut off, and unused entries."""
    tables = trigrams(5, seed=4, sharpness=1.0)
    few = search(beam_search, tables, beam=3, length_penalty=0.7)
    many = search(beam_search, tables, beam=3, length_penalty=0.7, kept=14)
    assert many.token_ids.shape == (5, 14, LENGTH)
    for row, table in enumerate(tables):
        of_score = {tokens: score for score, tokens in all_sentences(table, 0.7)}
        found = [tokens_of(many, row, i) for i in range(14)]
        complete = [tokens for tokens in found if END in tokens]
        used = int((many.lengths[row] > 0).sum())
        assert len(complete) <= used <= len(complete) + 3
        assert found[: len(complete)] == complete
        assert [tokens_of(few, row, i) for i in range(3)] == found[:3]
        scores = [of_score[tokens] for tokens in complete]
        assert scores == sorted(scores, reverse=True)
        np.testing.assert_allclose(many.scores[row, : len(complete)], scores, rtol=1e-5)
        assert len(set(found[:used])) == used
        assert (many.scores[row, used:] == -np.inf).all()
        assert (many.token_ids[row, used:] == PAD).all()
    assert (many.lengths > 0).sum() > (few.lengths > 0).sum()


def test_fewer_hypotheses_than_the_beam_are_refused():
    with pytest.raises(ValueError, match="kept must be at least the beam, 3"):
        beam_search(space_of(trigrams(1)), beam=3, kept=2)


@pytest.mark.slow
def test_tree_has_every_hypothesis_that_was_kept():
    """A beam that drops nothing keeps all beginnings of all sentences; a narrow one those that it reports, and more."""
    tables = trigrams(2, seed=11)
    whole = search(beam_search_with_tree, tables, beam=36, max_length=3)
    beginnings = {s[:n] for _, s in all_sentences(tables[1], 0.0) if len(s) <= 3 for n in range(1, len(s) + 1)}
    cut_off = set(itertools.product((4, 5, 6), repeat=3))
    assert set(paths(whole, 1)) == beginnings | cut_off

    found, tree = narrow = search(beam_search_with_tree, tables, beam=2, length_penalty=0.9)
    plain = search(beam_search, tables, beam=2, length_penalty=0.9)
    for a, b in zip(keras.tree.flatten(found), keras.tree.flatten(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)
    for row, table in enumerate(tables):
        of_paths = paths(narrow, row)
        for tokens, node in of_paths.items():
            scores = rescore(table, tokens)
            np.testing.assert_allclose([node.log_prob, node.probability], [sum(scores), np.exp(scores[-1])], rtol=1e-5)
        assert (tree.log_probs[row] > -np.inf).sum(axis=1).max() == 2
        results = [tokens_of(found, row, place) for place in range(2)]
        for tokens, node in of_paths.items():
            assert node.ranks == [rank for rank in range(2) if results[rank][: len(tokens)] == tokens]


def paths(result, row) -> dict[tuple[int, ...], Any]:
    """The nodes of a tree by the tokens that lead to them."""
    nodes, tokens = read_tree(result[1], result[0], row), []
    for node in nodes:
        tokens.append((*(tokens[node.parent] if node.parent >= 0 else ()), node.token_id))
    assert len(set(tokens)) == len(tokens)
    return dict(zip(tokens, nodes, strict=True))
