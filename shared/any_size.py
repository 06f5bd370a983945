"""A model that is compiled once for batches of any size."""

from typing import Any

import keras
import numpy as np


class AnySize(keras.Model):
    """A model for inference; call `predict_on_batch` with NumPy arrays.

    Keras compiles for the shapes of the first batch, and again when another shape arrives. On TensorFlow this class
    compiles once with all sizes unknown, so `call` must not depend on a static size.
    """

    def predict_on_batch(self, x: Any) -> Any:
        """Return the outputs of `call` for a nest of arrays, as a nest of NumPy arrays."""
        if keras.backend.backend() != "tensorflow":
            return super().predict_on_batch(x)
        import tensorflow as tf

        if not hasattr(self, "_compiled"):
            specs = tf.nest.map_structure(lambda a: tf.TensorSpec([None] * np.ndim(a), np.asarray(a).dtype), x)
            function = tf.function(lambda x: self(x, training=False), [specs], autograph=False)
            self._compiled = function.get_concrete_function()  # `function` itself would warn of retracing across models
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), self._compiled(x))
