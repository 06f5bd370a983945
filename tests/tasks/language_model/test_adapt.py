"""What adapts while it reads: by hand and by brute force, and never with a look ahead."""

from dataclasses import replace
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from tasks.language_model import adapt
from tasks.language_model.adapt import (
    Cache,
    Dynamic,
    DynamicReader,
    cache_probabilities,
    cached_nats,
    fit_cache,
    fit_temperature,
    stream_nats,
    token_nats,
)
from tasks.language_model.model import build_model
from tests.tasks.language_model.test_model import PLAIN, VOCABULARY

START = 2
RNG = np.random.default_rng(0)


def stream(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(4, VOCABULARY, size=count).astype("int32")


def one_word_after_the_other(outputs, targets, window, flatness):
    found = []
    for now, target in enumerate(targets):
        then = range(max(0, now - window), now)
        weights = [np.exp(flatness * float(outputs[now] @ outputs[i])) for i in then]
        equal = sum(weight for i, weight in zip(then, weights, strict=True) if targets[i] == target)
        found.append(equal / sum(weights) if weights else 0.0)
    return found


def test_the_cache_counts_words_in_like_states(monkeypatch):
    monkeypatch.setattr(adapt, "SCORED", 7)  # several parts
    outputs, targets = RNG.standard_normal((23, 5)).astype("float32"), stream(23)
    found = cache_probabilities(outputs, targets, [3, 9, 50], [0.0, 0.8])
    assert len(found) == 6
    for (window, flatness), probabilities in found.items():
        expected = one_word_after_the_other(outputs, targets, window, flatness)
        np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-7)
        assert probabilities[0] == 0  # nothing is remembered yet


def test_the_cache_looks_at_nothing_to_come():
    outputs, targets = RNG.standard_normal((20, 5)).astype("float32"), stream(20)
    nats, cache = RNG.random(20), Cache(window=8, flatness=0.5, share=0.3)
    whole = cached_nats(outputs, targets, nats, cache)
    np.testing.assert_allclose(cached_nats(outputs[:12], targets[:12], nats[:12], cache), whole[:12], rtol=1e-6)


def test_the_cache_is_trusted_as_often_as_it_is_right():
    """A text of one word, and a model that gives it 1/4: the cache alone is sure of it. A text of which no word comes
    again: no cache helps."""
    outputs, nats = np.zeros((300, 5), np.float32), np.full(300, np.log(4))
    assert fit_cache(outputs, np.full(300, 7, np.int32), nats).share > 0.9
    useless = fit_cache(outputs, np.arange(300, dtype=np.int32), nats)
    assert useless.share == 0
    np.testing.assert_allclose(cached_nats(outputs, np.arange(300), nats, useless), nats)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_is_found_that_the_targets_were_drawn_with(temperature):
    logits = 2 * RNG.standard_normal((4000, 6)).astype("float32")
    gumbel = -np.log(-np.log(RNG.random(logits.shape)))
    targets = (logits / temperature + gumbel).argmax(axis=1).astype("int32")
    model = SimpleNamespace(logits=keras.ops.convert_to_tensor)
    found = fit_temperature(model, logits, targets)
    assert found == pytest.approx(temperature, rel=0.1)
    costs = [token_nats(model, logits, targets, found * factor).mean() for factor in (0.97, 1.0, 1.03)]
    assert costs[1] == min(costs)


@pytest.fixture(scope="module")
def reader() -> DynamicReader:
    """The model drops much in training; nothing of that may happen here."""
    keras.utils.set_random_seed(1)
    config = replace(PLAIN, output_dropout=0.5, weight_drop=0.5, activation_penalty=2.0, batch_size=3)
    return DynamicReader(config, build_model(config, VOCABULARY), stream(200), START)


def test_dynamic_evaluation_without_steps_is_static(reader):
    text = stream(47, seed=2)
    expected = stream_nats(reader.model, text, START).mean()
    assert reader.mean_nats(text, Dynamic(rate=0.0, decay=0.0)) == pytest.approx(expected, rel=1e-5)


def test_dynamic_evaluation_learns_a_text_and_forgets_it_again(reader):
    text = np.tile(stream(10, seed=3), 40)
    before = [weight.copy() for weight in reader.model.get_weights()]
    static, fast = Dynamic(rate=0.0, decay=0.0), Dynamic(rate=2e-3, decay=1e-3)
    at_first = reader.mean_nats(text, static)
    assert reader.mean_nats(text, fast) < at_first - 0.1
    assert (
        reader.mean_nats(text[: adapt.SEGMENT], fast)
        == pytest.approx(  # told before it is learned from
            reader.mean_nats(text[: adapt.SEGMENT], static), rel=1e-5
        )
    )
    assert reader.mean_nats(text, static) == pytest.approx(at_first, rel=1e-6)
    for weight, own in zip(reader.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, own)


def test_a_step_of_the_dynamic_rule():
    usual = [np.array([1.0, 3.0], np.float32)]
    rule = adapt._DynamicRule(usual)
    weight = keras.Variable(np.array([5.0, 5.0], np.float32))
    rule.build([weight])
    rule.start(Dynamic(rate=0.1, decay=0.5))
    gradient = keras.ops.convert_to_tensor(np.array([2.0, -6.0], np.float32))
    rule.apply([gradient])
    np.testing.assert_allclose(weight, [4.8, 5.2], atol=1e-4)  # 5 -+ 0.1 * 2; there is nothing to be drawn back from
    rule.apply([gradient])
    # Drawn back by 0.5 * (1, 3) / 2: 4.8 + 0.25 * 0.2 - 0.2 and 5.2 - 0.75 * 0.2 + 0.2.
    np.testing.assert_allclose(weight, [4.65, 5.25], atol=1e-4)


def test_its_numbers_are_fitted(reader):
    text = np.tile(stream(10, seed=3), 6)
    how = reader.fit(text)
    assert reader.mean_nats(text, how) < reader.mean_nats(text, Dynamic(rate=0.0, decay=0.0))
