"""True training steps of every task, in every precision, on either backend."""

import functools

import keras
import numpy as np
import pytest

from shared import batching
from shared.steps import steps_of
from shared.training import weights_as_arrays
from tests.tiny_trainings import TRAININGS

pytestmark = pytest.mark.any_backend


@functools.cache
def train(task: str, epochs: int, precision: str = "float32"):
    """The model, its steps and the nats per token of each epoch."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        keras.utils.set_random_seed(1)
        model, batches = TRAININGS[task]()
        model.optimizer.build(model.trainable_variables)
        steps, nats = steps_of(model), []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batching, "MAX_BUCKETS", 2)  # JAX compiles for seconds
            steps.prepare(batches)
        for epoch in range(epochs):
            batches.epoch = epoch
            for index in range(len(batches)):
                steps.run(steps.load([batches[index]]), [0.02])
            results = steps.read()
            nats.append(sum(x.nats * x.tokens for x in results) / sum(x.tokens for x in results))
        steps.synchronize()
    finally:
        keras.config.set_dtype_policy(before)
    return model, steps, nats


@pytest.mark.parametrize("task", TRAININGS)
@pytest.mark.slow
def test_a_model_learns_in_few_compilations(task):
    model, steps, nats = train(task, 5)
    assert nats[-1] < 0.9 * nats[0]
    assert 1 <= steps.compilations <= 6
    assert {weight.dtype for weight in model.trainable_variables} == {"float32"}


@pytest.mark.parametrize("task", TRAININGS)
@pytest.mark.slow
def test_16_bits_give_about_the_same_losses(task):
    _, _, nats = train(task, 5)
    model, _, rounded = train(task, 1, "mixed_bfloat16")
    np.testing.assert_allclose(rounded, nats[:1], rtol=0.05)
    assert {weight.dtype for weight in model.trainable_variables} == {"float32"}
    assert all(np.isfinite(weight).all() for weight in weights_as_arrays(model).values())
