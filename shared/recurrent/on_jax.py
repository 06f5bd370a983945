"""The functions of `on_tensorflow` for JAX, whose compiler fuses the operations of a step around one large product."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import keras


def tensor(x: Any) -> Any:
    return keras.ops.convert_to_tensor(x)


def loop(
    step: Callable, state: Sequence[Any], sequences: Sequence[Any], templates: Sequence[Any], *, backwards: bool = False
) -> tuple[Any, Any]:
    def body(state, at_t):
        return step(state, *at_t)

    return jax.lax.scan(body, list(state), list(sequences), reverse=backwards)


def stack(output: Any) -> Any:
    return output


def products_by(kernel: Any, gates: int, dtype: str, time: int | None = None) -> Callable[[Any], Sequence[Any]]:
    def products(x):
        return jnp.split(jnp.matmul(x.astype(kernel.dtype), kernel, preferred_element_type=dtype), gates, axis=-1)

    return products


def product_by_transposed(kernel: Any, gates: int, dtype: str) -> Callable[[Sequence[Any]], Any]:
    def product(gradients):
        factors = jnp.concatenate(gradients, axis=-1).astype(kernel.dtype)
        return jnp.matmul(factors, kernel.T, preferred_element_type=dtype)

    return product


def transposed_product(x: Any, y: Any) -> Any:
    return x.T @ y


def add_bias(x: Any, bias: Any) -> Any:
    return x + bias


def select(condition: Any, then: Any, otherwise: Any) -> Any:
    return jnp.where(condition[:, None], then, otherwise)


def sigmoid_gradient(y: Any, d_y: Any) -> Any:
    return d_y * (y - y * y)


def tanh_gradient(y: Any, d_y: Any) -> Any:
    return d_y * (1 - y * y)
