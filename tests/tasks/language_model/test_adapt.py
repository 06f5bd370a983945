"""Temperature, cache and dynamic evaluation against results by hand and brute force."""

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

pytestmark = pytest.mark.any_backend

START = VOCABULARY.end_id
RNG = np.random.default_rng(0)


def stream(count: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).integers(4, len(VOCABULARY), size=count).astype("int32")


def brute_force(outputs, targets, window, flatness):
    probabilities = []
    for now, target in enumerate(targets):
        then = range(max(0, now - window), now)
        weights = [np.exp(flatness * float(outputs[now] @ outputs[i])) for i in then]
        equal = sum(weight for i, weight in zip(then, weights, strict=True) if targets[i] == target)
        probabilities.append(equal / sum(weights) if weights else 0.0)
    return probabilities


def test_cache_probabilities_by_brute_force(monkeypatch):
    monkeypatch.setattr(adapt, "SCORED", 7)  # several parts
    outputs, targets = RNG.standard_normal((23, 5)).astype("float32"), stream(23)
    result = cache_probabilities(outputs, targets, [3, 9, 50], [0.0, 0.8])
    assert len(result) == 6
    for (window, flatness), probabilities in result.items():
        expected = brute_force(outputs, targets, window, flatness)
        np.testing.assert_allclose(probabilities, expected, rtol=1e-4, atol=1e-7)
        assert probabilities[0] == 0  # the cache is empty


def test_the_cache_does_not_use_later_tokens():
    outputs, targets = RNG.standard_normal((20, 5)).astype("float32"), stream(20)
    nats, cache = RNG.random(20), Cache(window=8, flatness=0.5, share=0.3)
    whole = cached_nats(outputs, targets, nats, cache)
    np.testing.assert_allclose(cached_nats(outputs[:12], targets[:12], nats[:12], cache), whole[:12], rtol=1e-6)


def test_the_weight_of_the_cache_is_fitted():
    """It is high for a text that repeats one word, and 0 for a text in which no word recurs."""
    outputs, nats = np.zeros((300, 5), np.float32), np.full(300, np.log(4))
    assert fit_cache(outputs, np.full(300, 7, np.int32), nats).share > 0.9
    useless = fit_cache(outputs, np.arange(300, dtype=np.int32), nats)
    assert useless.share == 0
    np.testing.assert_allclose(cached_nats(outputs, np.arange(300), nats, useless), nats)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_sampled_targets_is_recovered(temperature):
    logits = 2 * RNG.standard_normal((4000, 6)).astype("float32")
    gumbel = -np.log(-np.log(RNG.random(logits.shape)))
    targets = (logits / temperature + gumbel).argmax(axis=1).astype("int32")
    model = SimpleNamespace(logits=keras.ops.convert_to_tensor)
    fitted = fit_temperature(model, logits, targets)
    assert fitted == pytest.approx(temperature, rel=0.1)
    costs = [token_nats(model, logits, targets, fitted * factor).mean() for factor in (0.97, 1.0, 1.03)]
    assert costs[1] == min(costs)


@pytest.fixture(scope="module")
def reader() -> DynamicReader:
    """A configuration with dropout and penalties, which dynamic evaluation must not apply."""
    keras.utils.set_random_seed(1)
    config = replace(PLAIN, output_dropout=0.5, weight_drop=0.5, activation_penalty=2.0, batch_size=3)
    return DynamicReader(config, build_model(config, VOCABULARY), stream(200), VOCABULARY)


def test_dynamic_evaluation_at_rate_0_is_static(reader):
    text = stream(47, seed=2)
    expected = stream_nats(reader.model, text, START).mean()
    assert reader.mean_nats(text, Dynamic(rate=0.0, decay=0.0)) == pytest.approx(expected, rel=1e-5)


def test_dynamic_evaluation_learns_a_text_and_then_restores_the_weights(reader):
    text = np.tile(stream(10, seed=3), 40)
    before = [weight.copy() for weight in reader.model.get_weights()]
    static, fast = Dynamic(rate=0.0, decay=0.0), Dynamic(rate=2e-3, decay=1e-3)
    at_first = reader.mean_nats(text, static)
    assert reader.mean_nats(text, fast) < at_first - 0.1
    segment = text[: adapt.SEGMENT]  # predicted before it is learned from
    assert reader.mean_nats(segment, fast) == pytest.approx(reader.mean_nats(segment, static), rel=1e-5)
    assert reader.mean_nats(text, static) == pytest.approx(at_first, rel=1e-6)
    for weight, own in zip(reader.model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, own)


def test_reading_gives_what_the_mean_is_of(reader):
    """With the states of the weights that learn, for a cache."""
    text, settings = np.tile(stream(10, seed=3), 6), Dynamic(rate=2e-3, decay=1e-3)
    outputs, nats = reader.read(text, settings)
    assert outputs.shape == (60, PLAIN.widths[-1])
    assert nats.mean() == pytest.approx(reader.mean_nats(text, settings), rel=1e-5)
    segment = slice(adapt.SEGMENT)
    outputs_at_first, nats_at_first = reader.read(text, Dynamic(rate=0.0, decay=0.0))
    np.testing.assert_allclose(nats_at_first, stream_nats(reader.model, text, START), rtol=1e-4)
    np.testing.assert_allclose(outputs[segment], outputs_at_first[segment], rtol=1e-4, atol=1e-6)
    assert np.abs(outputs - outputs_at_first).max() > 1e-3


def test_a_step_of_the_dynamic_rule():
    rule = adapt._DynamicRule([np.array([1.0, 3.0], np.float32)])
    weight = keras.Variable(np.array([5.0, 5.0], np.float32))
    rule.build([weight])
    rule.start(Dynamic(rate=0.1, decay=0.5))
    gradient = keras.ops.convert_to_tensor(np.array([2.0, -6.0], np.float32))
    rule.apply([gradient])
    np.testing.assert_allclose(weight, [4.8, 5.2], atol=1e-4)  # 5 -+ 0.1 * 2; no decay yet
    rule.apply([gradient])
    # Decay by 0.5 * (1, 3) / 2: 4.8 + 0.25 * 0.2 - 0.2 and 5.2 - 0.75 * 0.2 + 0.2.
    np.testing.assert_allclose(weight, [4.65, 5.25], atol=1e-4)


def test_the_settings_are_fitted(reader):
    text = np.tile(stream(10, seed=3), 6)
    settings = reader.fit(text)
    assert reader.mean_nats(text, settings) < reader.mean_nats(text, Dynamic(rate=0.0, decay=0.0))
