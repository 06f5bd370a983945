"""Adaptive attention against its equations in NumPy, with a different size for each axis."""

import keras
import numpy as np
import pytest

from shared.attention import AdaptiveAttention

pytestmark = pytest.mark.any_backend
BATCH, QUERIES, POSITIONS, UNITS, QUERY_WIDTH, MEMORY_WIDTH = 2, 3, 5, 4, 6, 7


@pytest.fixture
def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    shapes = {
        "queries": (BATCH, QUERIES, QUERY_WIDTH),
        "memory": (BATCH, POSITIONS, MEMORY_WIDTH),
        "sentinels": (BATCH, QUERIES, MEMORY_WIDTH),
    }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


@pytest.fixture
def layer() -> AdaptiveAttention:
    layer = AdaptiveAttention(UNITS, name="attention")
    memory = (None, None, MEMORY_WIDTH)
    layer.build((None, None, QUERY_WIDTH), memory, memory)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    return layer


def weights_of(layer: AdaptiveAttention) -> list[np.ndarray]:
    """W_g, W_v, W_s and the bias of the sentinel."""
    projections = layer.query_projection, layer.key_projection, layer.sentinel_projection
    weights = [*(projection.kernel for projection in projections), layer.sentinel_bias]
    return [keras.ops.convert_to_numpy(weight) for weight in weights]


def contexts_and_weights(layer, arrays) -> tuple[np.ndarray, np.ndarray]:
    contexts, weights = layer(**arrays)
    return keras.ops.convert_to_numpy(contexts), keras.ops.convert_to_numpy(weights)


def test_equals_the_equations(layer, arrays):
    query, key, sentinel, bias = (np.asarray(weight, np.float64) for weight in weights_of(layer))
    contexts, weights = contexts_and_weights(layer, arrays)
    assert contexts.shape == (BATCH, QUERIES, MEMORY_WIDTH)
    assert weights.shape == (BATCH, QUERIES, POSITIONS + 1)
    for b in range(BATCH):
        for t in range(QUERIES):
            projected_query = arrays["queries"][b, t] @ query
            values = [*arrays["memory"][b], arrays["sentinels"][b, t]]
            projections = [*[key] * POSITIONS, sentinel]
            scores = [projected_query @ (v @ projection) / 2 for v, projection in zip(values, projections, strict=True)]
            scores[-1] += bias
            expected = np.exp(scores) / np.sum(np.exp(scores))
            np.testing.assert_allclose(weights[b, t], expected, rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(contexts[b, t], expected @ values, rtol=1e-5, atol=1e-6)


def test_weights_sum_to_one_and_end_with_the_sentinel(layer, arrays):
    _, weights = contexts_and_weights(layer, arrays)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
    # A sentinel with a high score for each query gets all the attention and is the context.
    query, _, sentinel, _ = weights_of(layer)
    strong = 100 * arrays["queries"] @ query @ np.linalg.pinv(sentinel)
    contexts, weights = contexts_and_weights(layer, {**arrays, "sentinels": strong.astype(np.float32)})
    np.testing.assert_allclose(weights[..., -1], 1, atol=1e-5)
    np.testing.assert_allclose(contexts, strong, rtol=1e-4, atol=1e-3)


def test_queries_are_independent(layer, arrays):
    """So training on whole sequences computes the same as decoding word by word."""
    contexts, weights = contexts_and_weights(layer, arrays)
    for t in range(QUERIES):
        one = {name: array if name == "memory" else array[:, t : t + 1] for name, array in arrays.items()}
        context, weight = contexts_and_weights(layer, one)
        np.testing.assert_allclose(context[:, 0], contexts[:, t], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(weight[:, 0], weights[:, t], rtol=1e-5, atol=1e-7)


def test_config_round_trip(layer, arrays):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(copy, AdaptiveAttention)
    assert (copy.units, copy.name) == (UNITS, "attention")
    contexts_and_weights(copy, arrays)
    assert float(copy.sentinel_bias.numpy()) == -5.0
    assert [weight.path for weight in copy.weights] == [weight.path for weight in layer.weights]
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(contexts_and_weights(copy, arrays)[0], contexts_and_weights(layer, arrays)[0])
