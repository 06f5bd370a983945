"""Steps on JAX: several in one call equal single ones; calls depend on the sizes of batches alone."""

import keras
import numpy as np
import pytest

from shared.losses import SequenceCrossEntropy, nats_per_token
from shared.steps import JAXSteps, steps_of

pytestmark = pytest.mark.any_backend
on_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="steps of JAX")

VOCAB = 5


def tagger() -> keras.Model:
    keras.utils.set_random_seed(2)
    token_ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Dropout(0.4)(keras.layers.Embedding(VOCAB, 3)(token_ids))
    model = keras.Model(token_ids, keras.layers.Dense(VOCAB)(x))
    model.compile(keras.optimizers.Adam(global_clipnorm=1.0), SequenceCrossEntropy(), metrics=[nats_per_token])
    model.optimizer.build(model.trainable_variables)
    return model


def batches(count: int, rows: int = 2, time: int = 4) -> list:
    rng = np.random.default_rng(0)
    return [(rng.integers(1, VOCAB, (rows, time)), rng.integers(0, VOCAB, (rows, time))) for _ in range(count)]


def weights(model: keras.Model) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(weight) for weight in model.trainable_variables]


RATES = [0.1, 0.02, 0.3]


def trained(calls: list[int], **options) -> tuple[list[np.ndarray], list, int]:
    """The weights, results and compilations after three steps in calls of these lengths."""
    model = tagger()
    steps = JAXSteps(model, **options) if options else steps_of(model)
    data, rates = batches(3), list(RATES)
    for count in calls:
        steps.run(steps.load(data[:count]), rates[:count])
        data, rates = data[count:], rates[count:]
    results = steps.read()
    steps.synchronize()
    return weights(model), results, steps.compilations


def test_results_are_those_of_train_on_batch():
    model, expected = tagger(), []
    for (inputs, targets), rate in zip(batches(3), RATES, strict=True):
        model.optimizer.learning_rate = rate
        logs = model.train_on_batch(inputs, targets, return_dict=True)
        expected.append((logs["loss"], logs["nats_per_token"], np.count_nonzero(targets)))
    found, results, _ = trained([1, 1, 1])
    np.testing.assert_allclose(results, expected, rtol=1e-6)
    for weight, other in zip(found, weights(model), strict=True):
        np.testing.assert_allclose(weight, other, atol=1e-6)


@on_jax
def test_several_steps_in_one_call_equal_single_steps():
    single, results, compilations = trained([1, 1, 1])
    several, of_call, _ = trained([3], steps_per_call=3)
    assert compilations == 1
    np.testing.assert_allclose(of_call, results, rtol=1e-5)
    for one, other in zip(single, several, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


class Sized(list):
    def size(self, index: int) -> int:
        return self[index]


@on_jax
def test_a_call_takes_steps_of_one_size():
    steps = JAXSteps(tagger(), steps_per_call=3)
    sizes = Sized([7, 7, 5, 5, 5, 5, 5, 5, 7, 7])
    assert [steps.count(sizes, index) for index in range(10)] == [1, 1, 3, 3, 3, 3, 1, 1, 1, 1]
    assert JAXSteps(tagger(), steps_per_call=1).count(sizes, 2) == 1


@on_jax
def test_weights_that_are_assigned_between_calls_are_used():
    model = tagger()
    steps = steps_of(model)
    (batch, *_), before = batches(1), weights(model)
    steps.run(steps.load([batch]), [0.1])
    steps.synchronize()
    for weight, value in zip(model.trainable_variables, before, strict=True):
        weight.assign(value)
    steps.run(steps.load([batch]), [0.0])
    steps.synchronize()
    for weight, value in zip(weights(model), before, strict=True):
        np.testing.assert_array_equal(weight, value)
    assert steps.compilations == 1
