"""Elements at indices that are never negative.

Keras' `take` and `take_along_axis` count negative indices from the end and broadcast all axes, which takes 10 to 30
operations of TensorFlow in every step of a search. Each function here is one operation.
"""

from functools import partial
from typing import Any

import keras

ON_TENSORFLOW = keras.backend.backend() == "tensorflow"
ops: Any = keras.ops  # Keras declares no result types for its operations


def take(x: Any, indices: Any, axis: int = 0) -> Any:
    """`x` at indices of an axis, the same along all other axes; the axes of `indices` replace that axis.

    On TensorFlow the gradient of a variable has a row for each index, and equal indices stay apart in an optimizer;
    that of a tensor is dense.
    """
    if not ON_TENSORFLOW:
        return ops.take(x, indices, axis=axis)
    import tensorflow as tf

    return tf.gather(x, indices, axis=axis)


def take_each(x: Any, indices: Any, axis: int = -1) -> Any:
    """`x` at indices of an axis, others for each element of the axes before it.

    Args:
        x: `(*before, size, *after)`.
        indices: `(*before, *shape)`.
        axis: that of `size`.

    Returns:
        `(*before, *shape, *after)`.
    """
    before = axis % len(x.shape)
    if ON_TENSORFLOW:
        import tensorflow as tf

        return tf.gather(x, indices, axis=before, batch_dims=before)
    import jax

    function = partial(jax.numpy.take, axis=0, mode="clip")
    for _ in range(before):
        function = jax.vmap(function)
    return function(x, indices)
