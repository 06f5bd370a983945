"""Averaged SGD against means by hand."""

import keras
import numpy as np
import pytest

from shared.averaging import AveragedSGD


@pytest.mark.any_backend
def test_averages_the_weights_since_begin_averaging():
    variable = keras.Variable(np.array([1.0, 2.0], "float32"))
    optimizer = AveragedSGD(0.5)
    optimizer.build([variable])
    gradients = [np.array(g, "float32") for g in ([1, 0], [2, -2], [4, 2], [-2, 6])]
    history = []
    for step, gradient in enumerate(gradients):
        if step == 2:
            optimizer.begin_averaging()
        optimizer.apply([gradient], [variable])
        history.append(variable.numpy().copy())
        (average,) = optimizer._model_variables_moving_average
        averaged = history[2:] or history[-1:]
        np.testing.assert_allclose(average, np.mean(averaged, axis=0), rtol=1e-6)
    np.testing.assert_allclose(history[-1], [1 - 2.5, 2 - 3], rtol=1e-6)
