"""Adam against that of Keras; averaged SGD against means by hand."""

import keras
import numpy as np
import pytest

from shared.optimizers import Adam, AveragedSGD


@pytest.mark.any_backend
def test_adam_is_that_of_keras():
    rng = np.random.default_rng(0)
    begin = [rng.standard_normal(shape).astype("float32") for shape in ((5, 3), (4,))]
    gradients = [[rng.standard_normal(x.shape).astype("float32") for x in begin] for _ in range(4)]
    results = []
    for kind in (Adam, keras.optimizers.Adam):
        variables = [keras.Variable(x, name=f"weight_{x.ndim}") for x in begin]
        optimizer = kind(0.1, global_clipnorm=2.0, weight_decay=0.05, use_ema=True, ema_momentum=0.7)
        optimizer.build(variables)
        for index, of_step in enumerate(gradients):
            optimizer.learning_rate = 0.1 / (index + 1)
            optimizer.apply([keras.ops.convert_to_tensor(x) for x in of_step], variables)
        paths = [x.path.replace(optimizer.name, "", 1) for x in optimizer.variables]
        results.append(([kind.__name__, *paths], [*variables, *optimizer.variables]))
    (paths, ours), (of_keras, theirs) = results
    assert paths == of_keras  # a checkpoint of one is one of the other
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(np.asarray(one), np.asarray(other), rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="other backends have no sparse gradients")
def test_adam_of_an_embedding_moves_all_rows():
    """Rows without a gradient go on by their momentum; a row with two gradients gets their sum."""
    import tensorflow as tf

    results = []
    for sparse in (True, False):
        table = keras.Variable(np.ones((4, 2), "float32"))
        optimizer = Adam(0.1)
        optimizer.build([table])
        for rows in ([1, 1, 3], [0, 2, 2]):
            gradient = tf.IndexedSlices(tf.constant([[1.0, -1], [2, 1], [0.5, 3]]), tf.constant(rows), (4, 2))
            optimizer.apply([gradient if sparse else tf.convert_to_tensor(gradient)], [table])
        results.append(np.asarray(table))
    np.testing.assert_allclose(results[0], results[1], rtol=1e-6)
    assert (results[0] != 1).sum() == 7  # of row 3, of row 0, and so on; the gradients of row 1 sum to (3, 0)


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
