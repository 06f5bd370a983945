"""The LSTM by cuDNN, for JAX on an NVIDIA GPU: all steps, or both directions of `Bidirectional`, in one call.

Keras uses cuDNN only for sequences without a mask. cuDNN also takes lengths, so right-padded sequences need no loop.
Whether a mask is one of right padding is known at run time; any other mask takes the scan of `kernels`. cuDNN computes
in float32, with TF32 products unless `jax_default_matmul_precision` is "highest"; 16-bit inputs are cast.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import keras

from shared.recurrent import kernels, on_jax

NAME = "cuDNN"

# How an array is laid out on several devices: split at its first axis, at its second, or not.
ROWS, STATES, WHOLE = "rows", "states", "whole"


def obstacle() -> str:
    """Why cuDNN does not compute here; empty if it does."""
    if "cuda" not in getattr(jax.devices()[0].client, "platform_version", ""):
        return "no NVIDIA GPU"
    try:
        from jax.experimental import rnn  # noqa: F401
    except ImportError:
        return "this release of JAX has no jax.experimental.rnn"
    return ""


class Direction(NamedTuple):
    """The weights and initial states of one direction, as in `kernels.lstm`."""

    kernel: Any  # (features, 4 units)
    bias: Any  # (4 units,), or None
    hidden: Any  # (batch, units)
    cell: Any  # (batch, units)
    recurrent_kernel: Any  # (units, 4 units)


def lstm(
    inputs: Any, kernel: Any, bias: Any, hidden: Any, cell: Any, mask: Any, recurrent_kernel: Any, *,
    every_cell: bool = False, backwards: bool = False, keep: bool = True,
) -> tuple[Any, Any]:  # fmt: skip
    """As `kernels.lstm`, without `every_cell`: cuDNN does not return its cells."""
    if every_cell:
        raise ValueError("cuDNN returns the last cell only. Received: every_cell=True")
    direction = Direction(kernel, bias, hidden, cell, recurrent_kernel)
    return _sequences(inputs, mask, [direction], [backwards])[0]


def bidirectional_lstm(inputs: Any, mask: Any, forward: Direction, backward: Direction) -> list[tuple[Any, Any]]:
    """`lstm` forwards and backwards in one call, for each the results of `kernels.lstm`; units have to be equal."""
    return _sequences(inputs, mask, [forward, backward], [False, True])


def _sequences(
    inputs: Any, mask: Any, directions: Sequence[Direction], backwards: Sequence[bool]
) -> list[tuple[Any, Any]]:
    from jax.experimental import rnn

    batch, time, features = inputs.shape
    units, dtype = directions[0].hidden.shape[-1], inputs.dtype
    precise = jax.config.jax_default_matmul_precision in ("highest", "float32")
    options = {
        "input_size": features,
        "hidden_size": units,
        "num_layers": 1,
        "dropout": 0.0,
        "bidirectional": len(directions) == 2,
        "precision": jax.lax.Precision.HIGHEST if precise else jax.lax.Precision.HIGH,
    }
    steps = jnp.arange(time)
    lengths = jnp.full([batch], time, "int32") if mask is None else jnp.sum(mask, axis=1, dtype="int32")
    padding: Any = None if mask is None else steps >= lengths[:, None]
    reverse = backwards == [True]  # cuDNN has no layer that goes backwards only
    lengths_of_call = jnp.maximum(lengths, 1)  # cuDNN has no empty sequences

    def choose(by_cudnn, by_scan, *arguments):
        if mask is None:
            return by_cudnn(*arguments)
        return jax.lax.cond(jnp.all(mask != padding), by_cudnn, by_scan, *arguments)

    def arguments_of_call(inputs, directions):
        """What cuDNN takes: x, h_0, c_0 and the weights, in float32."""
        if mask is not None:
            inputs = jnp.where(padding[..., None], 0, inputs)
        if reverse:
            inputs = _reversed(inputs, lengths)
        states = (jnp.stack([direction[i] for direction in directions]) for i in (2, 3))
        return [x.astype("float32") for x in (inputs, *states, packed(directions))]

    def results_of_call(y, last_hidden, last_cell, hidden, cell):
        """The results of `kernels.lstm` for each direction from those of cuDNN, which puts out zeros at padding."""
        results = []
        for i, is_backwards in enumerate(backwards):
            h = y[..., i * units : (i + 1) * units]
            last_h, last_c, before = last_hidden[i], last_cell[i], hidden[i]
            if reverse:
                h = _reversed(h, lengths)
            if mask is not None:
                empty = lengths[:, None] == 0
                last_h, last_c = jnp.where(empty, before, last_h), jnp.where(empty, cell[i], last_c)
                at_padding = before if is_backwards else last_h  # the padding comes before or after the real steps
                h = jnp.where(padding[..., None], at_padding[:, None], h)
            results.append((h.astype(dtype), last_c[:, None]))
        return results

    def by_scan(inputs, directions):
        results = []
        for direction, is_backwards in zip(directions, backwards, strict=True):
            kernel, bias, hidden, cell, recurrent_kernel = direction
            options = {"backwards": is_backwards, "keep": True}
            results.append(kernels.lstm(inputs, kernel, bias, hidden, cell, mask, recurrent_kernel, **options))
        return results

    def call(axis, *arguments):
        outputs, residuals = rnn.lstm_fwd(*arguments, **options)
        return *outputs, residuals[-1]

    def call_gradient(axis, *arguments):
        *residuals, d_y, d_hidden, d_cell = arguments
        *d_sources, d_weights, _ = rnn.lstm_bwd(*options.values(), tuple(residuals), (d_y, d_hidden, d_cell))
        return *d_sources, d_weights if axis is None else jax.lax.psum(d_weights, axis)

    def run(inputs, directions):
        def by_cudnn(inputs, directions):
            x, hidden, cell, weights = arguments_of_call(inputs, directions)
            sources = ROWS, STATES, STATES, WHOLE, ROWS
            call_on_devices = _on_each_device(call, batch, sources, [ROWS, STATES, STATES, ROWS])
            y, last_hidden, last_cell, reserve = call_on_devices(x, hidden, cell, weights, lengths_of_call)
            return results_of_call(y, last_hidden, last_cell, hidden, cell), reserve

        reserve = jax.eval_shape(by_cudnn, inputs, directions)[1]

        def without_reserve(inputs, directions):
            return by_scan(inputs, directions), jnp.zeros(reserve.shape, reserve.dtype)

        results, reserve = choose(by_cudnn, without_reserve, inputs, directions)

        def gradient(d_results):
            def by_cudnn(inputs, directions, results, reserve, d_results):
                arguments, to_sources = jax.vjp(arguments_of_call, inputs, directions)
                x, hidden, cell, weights = arguments
                y = jnp.concatenate([h for h, _ in results], axis=-1).astype("float32")
                y = y if mask is None else jnp.where(padding[..., None], 0, y)
                y = _reversed(y, lengths) if reverse else y
                # The results are linear in those of cuDNN, so their values do not matter.
                _, to_call = jax.vjp(results_of_call, y, hidden, cell, hidden, cell)
                *d_call, d_hidden, d_cell = to_call(d_results)
                sources = ROWS, STATES, STATES, WHOLE
                layouts = *sources, ROWS, ROWS, ROWS, ROWS, STATES, STATES
                residuals = x, hidden, cell, weights, lengths_of_call, y, reserve
                call_on_devices = _on_each_device(call_gradient, batch, layouts, sources)
                d_x, d_h, d_c, d_weights = call_on_devices(*residuals, *d_call)
                return to_sources([d_x, d_h + d_hidden, d_c + d_cell, d_weights])

            def by_scan_again(inputs, directions, results, reserve, d_results):
                return jax.vjp(by_scan, inputs, directions)[1](d_results)

            return choose(by_cudnn, by_scan_again, inputs, directions, results, reserve, d_results)

        return results, gradient

    return jax.custom_gradient(run)(inputs, jax.tree.map(on_jax.tensor, [*directions]))


def _on_each_device(function: Callable, batch: int, arguments: Sequence[str], results: Sequence[str]) -> Callable:
    """`function(axis, *arguments)` for each device's part of the batch, since XLA does not split a call of cuDNN.

    Args:
        function: its `axis` is the name of the devices' axis; None if nothing is split.
        batch: the number of rows.
        arguments, results: their layouts.
    """
    distribution = keras.distribution.distribution()
    axis = None if distribution is None else distribution.batch_dim_name
    mesh = None if distribution is None else distribution.device_mesh.backend_mesh
    if mesh is None or batch % mesh.shape[axis]:
        return partial(function, None)
    spec = jax.sharding.PartitionSpec
    layouts = {ROWS: spec(axis), STATES: spec(None, axis), WHOLE: spec()}
    in_specs, out_specs = (tuple(layouts[x] for x in sides) for sides in (arguments, results))
    return jax.shard_map(partial(function, axis), mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


def packed(directions: Sequence[Direction]) -> Any:
    """The weights of all directions as cuDNN takes them: all matrices, transposed, then for each two biases."""
    matrices, biases = [], []
    for kernel, bias, _, _, recurrent_kernel in directions:
        zeros = jnp.zeros(kernel.shape[-1], kernel.dtype)
        matrices += [kernel.T, recurrent_kernel.T]
        biases += [zeros if bias is None else bias, zeros]
    return jnp.concatenate([jnp.ravel(x) for x in (*matrices, *biases)])


def _reversed(x: Any, lengths: Any) -> Any:
    """The first `lengths` steps of each row in reverse order, then the others; also its inverse and its gradient."""

    def reverse(x):
        steps, ends = jnp.arange(x.shape[1]), lengths[:, None]
        return jnp.take_along_axis(x, jnp.where(steps < ends, ends - 1 - steps, steps)[..., None], axis=1)

    return jax.custom_gradient(lambda x: (reverse(x), reverse))(x)
