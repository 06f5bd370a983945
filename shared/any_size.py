"""A model that is compiled once for batches of any size."""

from typing import Any

import keras
import numpy as np


class AnySize(keras.Model):
    """Sequences in, whatever a subclass computes out: call `predict_on_batch` with NumPy arrays.

    Keras compiles for the sizes of the first batch, and once more for all sizes when it meets others; on TensorFlow
    this compiles for all at once. No size may matter to `call` before it runs.
    """

    def predict_on_batch(self, x: Any) -> Any:
        """What `call` makes of a nest of arrays, as a nest of NumPy arrays."""
        if keras.backend.backend() != "tensorflow":
            return super().predict_on_batch(x)
        import tensorflow as tf

        if not hasattr(self, "_compiled"):
            forms = tf.nest.map_structure(lambda a: tf.TensorSpec([None] * np.ndim(a), np.asarray(a).dtype), x)
            self._compiled = tf.function(lambda x: self(x, training=False), [forms], autograph=False)
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), self._compiled(x))
