"""Outputs and gradients of a function of layers, on TensorFlow or in a compiled function of JAX."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

if keras.backend.backend() == "jax":
    import jax

    jax.config.update("jax_default_matmul_precision", "highest")


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng((seed, *shape)).standard_normal(shape).astype("float32")


def weighted_sum(outputs: Any) -> Any:
    """A sum in which each number of the outputs has a weight of its own."""
    ops = keras.ops
    terms = [
        ops.sum(ops.cast(x * ops.cast(normal(*x.shape, seed=i), x.dtype), "float32")) for i, x in enumerate(outputs)
    ]
    return sum(terms[1:], terms[0])


def outputs_and_gradients(
    function: Callable, sources: Sequence[Any], variables: Sequence[Any], in_graph: bool = False
) -> list[np.ndarray]:
    """What `function(*sources)` returns, flat, and the gradients of its `weighted_sum` for sources and variables.

    TensorFlow runs it eagerly, which takes a tenth of the time that tracing takes, or `in_graph`, as a training does.
    """
    sources = [keras.ops.convert_to_tensor(x) for x in sources]
    on_tensorflow = _in_a_graph_of_tensorflow if in_graph else _on_tensorflow
    run = _on_jax if keras.backend.backend() == "jax" else on_tensorflow
    return [keras.ops.convert_to_numpy(x) for x in run(function, sources, list(variables))]


def _on_jax(function, sources, variables):
    def loss(sources, values):
        with keras.StatelessScope(list(zip(variables, values, strict=True))):
            outputs = keras.tree.flatten(function(*sources))
        return weighted_sum(outputs), outputs

    compiled = jax.jit(jax.grad(loss, argnums=(0, 1), has_aux=True))
    gradients, outputs = compiled(sources, [variable.value for variable in variables])
    return keras.tree.flatten([outputs, gradients])


def _on_tensorflow(function, sources, variables):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(sources)
        outputs = tf.nest.flatten(function(*sources))
        loss = weighted_sum(outputs)
    return [*outputs, *tape.gradient(loss, [*sources, *(variable.value for variable in variables)])]


def _in_a_graph_of_tensorflow(function, sources, variables):
    import tensorflow as tf

    return tf.function(lambda: _on_tensorflow(function, sources, variables), jit_compile=False)()


def assert_all_close(tested: Sequence[Any], reference: Sequence[Any], tolerance: float = 1e-5) -> None:
    assert len(tested) == len(reference)
    for one, other in zip(tested, reference, strict=True):
        np.testing.assert_allclose(
            np.asarray(one, "float64"), np.asarray(other, "float64"), rtol=tolerance, atol=tolerance
        )
