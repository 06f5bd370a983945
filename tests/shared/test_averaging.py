"""The mean of the weights since averaging began, by hand."""

import keras
import numpy as np

from shared.averaging import AveragedSGD


def test_the_mean_of_the_weights_since_it_began():
    variable = keras.Variable(np.array([1.0, 2.0], "float32"))
    optimizer = AveragedSGD(0.5)
    optimizer.build([variable])
    gradients = [np.array(g, "float32") for g in ([1, 0], [2, -2], [4, 2], [-2, 6])]
    seen = []
    for step, gradient in enumerate(gradients):
        if step == 2:
            optimizer.begin_averaging()
        optimizer.apply([gradient], [variable])
        seen.append(variable.numpy().copy())
        (average,) = optimizer._model_variables_moving_average
        begun = seen[2:] or seen[-1:]
        np.testing.assert_allclose(average, np.mean(begun, axis=0), rtol=1e-6)
    np.testing.assert_allclose(seen[-1], [1 - 2.5, 2 - 3], rtol=1e-6)
