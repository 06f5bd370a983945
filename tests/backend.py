"""Compilation and differentiation by the backend that runs, TensorFlow or JAX."""

from collections.abc import Callable
from typing import Any

import keras
import pytest

on_tensorflow = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="a part of TensorFlow alone")


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, compiled for the shapes of its arguments."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function, autograph=False)


def gradient(function: Callable[[Any], Any], x: Any) -> Any:
    """The gradient of a scalar function at x, compiled."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(jax.grad(function))(x)
    import tensorflow as tf

    @tf.function(autograph=False)
    def differentiate(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = function(x)
        return tape.gradient(value, x)

    return differentiate(tf.convert_to_tensor(x))
