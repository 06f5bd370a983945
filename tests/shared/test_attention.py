"""Adaptive attention against the equations in plain NumPy, a different size on each axis."""

import keras
import numpy as np
import pytest

from shared.attention import AdaptiveAttention

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
    layer.build((None, None, QUERY_WIDTH), memory, (None, None, UNITS), memory)
    rng = np.random.default_rng(1)
    layer.set_weights([rng.normal(size=weight.shape) for weight in layer.weights])
    return layer


def weights_of(layer: AdaptiveAttention) -> list[np.ndarray]:
    """W_g, W_v, W_s and the sentinel's bias."""
    projections = layer.query_projection, layer.key_projection, layer.sentinel_projection
    weights = [*(projection.kernel for projection in projections), layer.sentinel_bias]
    return [keras.ops.convert_to_numpy(weight) for weight in weights]


def attended(layer, arrays) -> tuple[np.ndarray, np.ndarray]:
    keys = layer.keys(arrays["memory"])
    contexts, weights = layer(arrays["queries"], arrays["memory"], keys, arrays["sentinels"])
    return keras.ops.convert_to_numpy(contexts), keras.ops.convert_to_numpy(weights)


def test_equals_the_equations(layer, arrays):
    query, key, sentinel, bias = (np.asarray(weight, np.float64) for weight in weights_of(layer))
    contexts, weights = attended(layer, arrays)
    assert contexts.shape == (BATCH, QUERIES, MEMORY_WIDTH)
    assert weights.shape == (BATCH, QUERIES, POSITIONS + 1)
    for b in range(BATCH):
        for t in range(QUERIES):
            asked = arrays["queries"][b, t] @ query
            looked_at = [*arrays["memory"][b], arrays["sentinels"][b, t]]
            projections = [*[key] * POSITIONS, sentinel]
            scores = [asked @ (v @ projection) / 2 for v, projection in zip(looked_at, projections, strict=True)]
            scores[-1] += bias
            shares = np.exp(scores) / np.sum(np.exp(scores))
            np.testing.assert_allclose(weights[b, t], shares, rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(contexts[b, t], shares @ looked_at, rtol=1e-5, atol=1e-6)


def test_rows_sum_to_one_and_the_last_column_is_the_sentinel(layer, arrays):
    _, weights = attended(layer, arrays)
    np.testing.assert_allclose(weights.sum(-1), 1, rtol=1e-6)
    # A sentinel that answers each query loudly takes all the attention, and its state becomes the context.
    query, _, sentinel, _ = weights_of(layer)
    loud = 100 * arrays["queries"] @ query @ np.linalg.pinv(sentinel)
    contexts, weights = attended(layer, {**arrays, "sentinels": loud.astype(np.float32)})
    np.testing.assert_allclose(weights[..., -1], 1, atol=1e-5)
    np.testing.assert_allclose(contexts, loud, rtol=1e-4, atol=1e-3)


def test_each_query_is_answered_alone(layer, arrays):
    """What makes a training step over whole sequences equal to decoding word by word."""
    contexts, weights = attended(layer, arrays)
    for t in range(QUERIES):
        one = {name: array if name == "memory" else array[:, t : t + 1] for name, array in arrays.items()}
        context, weight = attended(layer, one)
        np.testing.assert_allclose(context[:, 0], contexts[:, t], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(weight[:, 0], weights[:, t], rtol=1e-5, atol=1e-7)


def test_config_round_trip(layer, arrays):
    copy = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(copy, AdaptiveAttention)
    assert (copy.units, copy.name) == (UNITS, "attention")
    attended(copy, arrays)
    assert float(copy.sentinel_bias.numpy()) == -5.0
    assert [weight.path for weight in copy.weights] == [weight.path for weight in layer.weights]
    copy.set_weights(layer.get_weights())
    np.testing.assert_array_equal(attended(copy, arrays)[0], attended(layer, arrays)[0])
