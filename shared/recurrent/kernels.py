"""Whole recurrent sequences in one pass in each direction, for TensorFlow's graph and JAX, with gradients of their own.

On TensorFlow they are for models that are saved and served, and for float64 and float16; `compiled` trains in machine
code on a CPU. On JAX they compute everything that cuDNN does not.

Forward, one matrix product projects the whole input, and the loop over time computes `h @ U` and the gates. Backward,
the loop computes `dz @ U.T` and the derivatives of a step; after it, the gradient of each weight is one matrix product.

Arguments and results are `(batch, time, ...)`; the loops are time-major. With 16-bit inputs the products are 16-bit;
gates, sums and the states that a step adds to are float32. Two options are common to all kernels: `backwards` takes the
steps from the last to the first; `keep` stores what the gradient needs of each step. Without it, as in inference, a
gradient repeats the forward pass.
"""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from shared.attention import MASKED_SCORE

if keras.backend.backend() == "jax":
    from shared.recurrent import on_jax as on
else:
    from shared.recurrent import on_tensorflow as on

ops: Any = keras.ops  # Keras declares no result types for its operations

# At this input a sigmoid is exactly 1, and exactly 0 at its negative, in every float type.
_SATURATED = 6e4

NAME = "a scan on JAX" if keras.backend.backend() == "jax" else "TensorFlow operations"


def _dtypes(x: Any) -> tuple[str, str]:
    """The type of x, and that of gates and sums."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    return dtype, "float32" if dtype in ("float16", "bfloat16") else dtype


def _rows(x: Any) -> Any:
    return ops.reshape(x, (-1, x.shape[-1]))


def _product_gradient(inputs: Any, d_products: Any) -> Any:
    """dL/dW of products x W of all steps: the sum over time and batch of x' d."""
    return on.transposed_product(_rows(inputs), _rows(d_products))


def _kernel_gradient(hidden: Any, hiddens: Any, d_products: Any, backwards: bool) -> Any:
    """dL/dU: the sum over time and batch of h' d, from the h before each step and its dL/d(h U)."""
    if backwards:
        hiddens, d_first, d_products = hiddens[1:], d_products[-1], d_products[:-1]
    else:
        hiddens, d_first, d_products = hiddens[:-1], d_products[0], d_products[1:]
    return _product_gradient(hiddens, d_products) + on.transposed_product(hidden, d_first)


def _swap(x: Any) -> Any:
    """`(batch, time, ...)` <-> `(time, batch, ...)`"""
    return None if x is None else ops.transpose(x, (1, 0, *range(2, len(x.shape))))


def _project(inputs: Any, kernel: Any, bias: Any) -> Any:
    """x W + b for all steps: `(batch, time, features)` -> `(time, batch, width)`."""
    inputs = _swap(inputs)
    projected = ops.matmul(_rows(inputs), kernel)
    if bias is not None:
        projected = on.add_bias(projected, bias)
    return ops.reshape(projected, (*ops.shape(inputs)[:2], kernel.shape[-1]))


def _where_real(mask: Any, projected: Any, unchanged: Sequence[float], units: int) -> Any:
    """The projected inputs, at masked steps those with which the gates leave a state unchanged and get no gradient."""
    values = ops.cast(np.repeat(unchanged, units), projected.dtype)
    return ops.where(mask[..., None], projected, values)


def simple_rnn(
    inputs: Any, kernel: Any, bias: Any, hidden: Any, mask: Any, recurrent_kernel: Any, *, relu: bool = False,
    backwards: bool = False, keep: bool = True,
) -> Any:  # fmt: skip
    """h_t = f(x_t W + b + h_{t-1} U), f is tanh or relu; where the mask is False, h_t = h_{t-1}.

    Args:
        inputs: x, `(batch, time, features)`.
        kernel: W, `(features, units)`.
        bias: b, `(units,)`, or None.
        hidden: the initial h, `(batch, units)`.
        mask: bool `(batch, time)`, True = real, any pattern; or None.
        recurrent_kernel: `(units, units)`.
        relu: instead of tanh.
        backwards, keep: see the module; `keep` has no effect here.

    Returns:
        h after each step, `(batch, time, units)`.
    """
    projected = _project(inputs, kernel, bias)
    dtype, gate = _dtypes(projected)
    mask = _swap(mask)
    masks = [] if mask is None else [mask]

    def run(projected, hidden, kernel):
        product_by = on.products_by(kernel, 1, gate)

        def forward(state, z, *real):
            (before,) = state
            after = ops.cast(z, gate) + product_by(before)[0]
            after = ops.cast(ops.relu(after) if relu else ops.tanh(after), dtype)
            for real_t in real:
                after = on.select(real_t, after, before)
            return [after], [after]

        hiddens = on.stack(on.loop(forward, [hidden], [projected, *masks], [hidden], backwards=backwards)[1][0])

        def gradient(d_hiddens):
            product_by_transposed = on.product_by_transposed(kernel, 1, gate)

            def backward(state, d_hidden, after, *real):
                d_hidden, after = state[0] + ops.cast(d_hidden, gate), ops.cast(after, gate)
                dz = d_hidden * ops.cast(after > 0, gate) if relu else on.tanh_gradient(after, d_hidden)
                for real_t in real:
                    dz = on.select(real_t, dz, ops.zeros_like(dz))
                d_before = product_by_transposed([dz])
                for real_t in real:
                    d_before = on.select(real_t, d_before, d_hidden)
                return [d_before], [ops.cast(dz, dtype)]

            (d_hidden,), (dz,) = on.loop(
                backward,
                [ops.zeros_like(hidden, gate)],
                [_swap(d_hiddens), hiddens, *masks],
                [hidden],
                backwards=not backwards,
            )
            dz = on.stack(dz)
            return dz, ops.cast(d_hidden, dtype), _kernel_gradient(hidden, hiddens, dz, backwards)

        return _swap(hiddens), gradient

    return ops.custom_gradient(run)(projected, hidden, on.tensor(recurrent_kernel))


def lstm(
    inputs: Any, kernel: Any, bias: Any, hidden: Any, cell: Any, mask: Any, recurrent_kernel: Any, *,
    every_cell: bool = False, backwards: bool = False, keep: bool = True,
) -> tuple[Any, Any]:  # fmt: skip
    """The LSTM (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

        x_t W + b + h_{t-1} U      split into i, f, g, o as Keras does
        c_t = σ(f) c_{t-1} + σ(i) tanh(g)
        h_t = σ(o) tanh(c_t)

    Where the mask is False, h_t = h_{t-1} and c_t = c_{t-1}. A step uses h as a factor of a product only, so h is kept
    in the type of the inputs; c is at least float32.

    Args:
        inputs: x, `(batch, time, features)`.
        kernel: W, `(features, 4 units)`.
        bias: b, `(4 units,)`, or None.
        hidden, cell: the initial h and c, `(batch, units)`.
        mask: bool `(batch, time)`, True = real, any pattern; or None.
        recurrent_kernel: `(units, 4 units)`.
        every_cell: return c after each step instead of the last only.
        backwards, keep: see the module.

    Returns:
        h after each step, `(batch, time, units)`; c, `(batch, time or 1, units)`, at least float32.
    """
    projected = _project(inputs, kernel, bias)
    dtype, gate = _dtypes(projected)
    mask = _swap(mask)
    masks = [] if mask is None else [mask]
    num_outputs = 6 if keep else 2 if every_cell else 1

    def run(projected, hidden, cell, kernel):
        if mask is not None:
            # i = o = 0, f = 1: c is unchanged. The loop keeps h.
            projected = _where_real(mask, projected, (-_SATURATED, _SATURATED, 0, -_SATURATED), hidden.shape[-1])

        def forward(num_outputs):
            products_by = on.products_by(kernel, 4, gate, projected.shape[0])

            def step(state, z, *real):
                before, cell = state
                z = ops.split(z, 4, axis=-1)
                i, f, g, o = (ops.cast(x, gate) + y for x, y in zip(z, products_by(before), strict=True))
                i, f, g, o = ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)
                new_cell = f * cell + i * g
                after = ops.cast(o * ops.tanh(new_cell), dtype)
                for real_t in real:
                    after = on.select(real_t, after, before)
                return [after, new_cell], [after, cell, i, f, g, o][:num_outputs]

            templates = [hidden, cell, cell, cell, cell, cell][:num_outputs]
            (_, last_cell), outputs = on.loop(step, [hidden, cell], [projected, *masks], templates, backwards=backwards)
            return last_cell, outputs

        last_cell, outputs = forward(num_outputs)
        hiddens, cells = on.stack(outputs[0]), last_cell[None]
        if every_cell:
            before = on.stack(outputs[1])  # the cell before each step, in order of time
            cells = ops.concatenate([cells, before[:-1]] if backwards else [before[1:], cells], axis=0)

        def gradient(*gradients):
            d_hiddens, d_cells = keras.tree.flatten(gradients)  # on JAX one tuple, on TensorFlow several arguments
            _, cells, *gates = outputs if keep else forward(6)[1]
            product_by_transposed = on.product_by_transposed(kernel, 4, gate)
            # dL/dc of every cell is added at its step; that of the last cell is the initial value of the loop.
            d_every_cell = [_swap(d_cells)] if every_cell else []
            d_cell = ops.zeros_like(cell) if every_cell else d_cells[:, 0]

            def backward(state, d_hidden, before_cell, i, f, g, o, *others):
                d_before, d_cell, cell = state
                d_hidden = d_before + ops.cast(d_hidden, gate)
                tanh_cell = ops.tanh(cell)
                d_cell += on.tanh_gradient(tanh_cell, d_hidden * o)
                if every_cell:
                    d_cell += others[-1]
                d_i, d_f = on.sigmoid_gradient(i, d_cell * g), on.sigmoid_gradient(f, d_cell * before_cell)
                d_g, d_o = on.tanh_gradient(g, d_cell * i), on.sigmoid_gradient(o, d_hidden * tanh_cell)
                dz = [ops.cast(x, dtype) for x in (d_i, d_f, d_g, d_o)]
                d_before = product_by_transposed(dz)
                if mask is not None:
                    d_before = on.select(others[0], d_before, d_hidden)
                return [d_before, d_cell * f, before_cell], [ops.concatenate(dz, axis=-1)]

            (d_hidden, d_cell, _), (dz,) = on.loop(
                backward,
                [ops.zeros_like(cell), d_cell, last_cell],
                [_swap(d_hiddens), cells, *gates, *masks, *d_every_cell],
                [projected[0]],
                backwards=not backwards,
            )
            dz = on.stack(dz)
            return dz, ops.cast(d_hidden, dtype), d_cell, _kernel_gradient(hidden, hiddens, dz, backwards)

        return (_swap(hiddens), _swap(cells)), gradient

    return ops.custom_gradient(run)(projected, hidden, ops.cast(cell, gate), on.tensor(recurrent_kernel))


def gru(
    inputs: Any, kernel: Any, bias: Any, hidden: Any, mask: Any, recurrent_kernel: Any, candidate_bias: Any, *,
    reset_after: bool, backwards: bool = False, keep: bool = True,
) -> Any:  # fmt: skip
    """The GRU (Cho et al. 2014).

        z = x_t W + b, z + h_{t-1} U    split into u (update), r (reset), g (candidate) as Keras does
        g = tanh(z_g + σ(r) (h U_g + b'))    with `reset_after`, as cuDNN does
        g = tanh(z_g + (σ(r) h) U_g)         without
        h_t = σ(u) h_{t-1} + (1 - σ(u)) g

    Where the mask is False, h_t = h_{t-1}.

    Args:
        inputs: x, `(batch, time, features)`.
        kernel: W, `(features, 3 units)`.
        bias: b, `(3 units,)`, or None.
        hidden: the initial h, `(batch, units)`.
        mask: bool `(batch, time)`, True = real, any pattern; or None.
        recurrent_kernel: `(units, 3 units)`.
        candidate_bias: b', `(units,)`, or None; used with `reset_after` only.
        reset_after: whether the reset gate multiplies the product or h.
        backwards, keep: see the module.

    Returns:
        h after each step, `(batch, time, units)`.
    """
    projected = _project(inputs, kernel, bias)
    dtype, gate = _dtypes(projected)
    mask, units = _swap(mask), hidden.shape[-1]
    if candidate_bias is None:
        candidate_bias = ops.zeros([units], dtype)
    num_outputs = (6 if reset_after else 5) if keep else 1

    def run(projected, hidden, kernel, bias):
        if mask is not None:
            projected = _where_real(mask, projected, (_SATURATED, 0, 0), units)  # u = 1: h is unchanged
        hidden, bias = ops.cast(hidden, gate), ops.cast(bias, gate)
        # Without `reset_after` the candidate needs the reset gate first: a product of its own.
        num_factors = 3 if reset_after else 2
        kernel_gates, kernel_g = kernel[:, : num_factors * units], kernel[:, 2 * units :]

        def forward(num_outputs):
            products_by = on.products_by(kernel_gates, num_factors, gate, projected.shape[0])
            product_by = on.products_by(kernel_g, 1, gate)

            def step(state, z):
                (before,) = state
                z_u, z_r, z_g = (ops.cast(x, gate) for x in ops.split(z, 3, axis=-1))
                u, r, *product = products_by(before)
                u, r = ops.sigmoid(z_u + u), ops.sigmoid(z_r + r)
                if reset_after:
                    product = [product[0] + bias]
                    g = ops.tanh(z_g + r * product[0])
                else:
                    g = ops.tanh(z_g + product_by(r * before)[0])
                after = g + u * (before - g)
                return [after], [after, before, u, r, g, *product][:num_outputs]

            return on.loop(step, [hidden], [projected], [hidden] * num_outputs, backwards=backwards)[1]

        outputs = forward(num_outputs)
        hiddens = ops.cast(on.stack(outputs[0]), dtype)

        def gradient(d_hiddens):
            _, befores, *gates = outputs if keep else forward(6 if reset_after else 5)
            product_by_transposed = on.product_by_transposed(kernel_gates, num_factors, gate)
            candidate_by_transposed = on.product_by_transposed(kernel_g, 1, gate)

            def backward(state, d_hidden, before, u, r, g, *product):
                d_hidden = state[0] + ops.cast(d_hidden, gate)
                d_direct = d_hidden * u
                d_g = on.tanh_gradient(g, d_hidden - d_direct)
                d_u = on.sigmoid_gradient(u, d_hidden * (before - g))
                if reset_after:
                    d_r = on.sigmoid_gradient(r, d_g * product[0])
                    d_sums = [d_u, d_r, d_g * r]
                    factors = ops.concatenate(d_sums, axis=-1)
                else:
                    d_reset = candidate_by_transposed([d_g])
                    d_r = on.sigmoid_gradient(r, d_reset * before)
                    d_direct += d_reset * r
                    d_sums, factors = [d_u, d_r], r * before
                dz = ops.concatenate([d_u, d_r, d_g], axis=-1)
                return [d_direct + product_by_transposed(d_sums)], [ops.cast(dz, dtype), ops.cast(factors, dtype)]

            (d_hidden,), d_outputs = on.loop(
                backward,
                [ops.zeros_like(hidden)],
                [_swap(d_hiddens), befores, *gates],
                [projected[0], projected[0] if reset_after else ops.cast(hidden, dtype)],
                backwards=not backwards,
            )
            dz, factors = (on.stack(x) for x in d_outputs)
            first = ops.cast(hidden, dtype)
            if reset_after:
                d_kernel, d_product = _kernel_gradient(first, hiddens, factors, backwards), factors[..., 2 * units :]
                d_bias = ops.cast(ops.sum(ops.cast(d_product, gate), axis=(0, 1)), dtype)
            else:
                d_kernel_gates = _kernel_gradient(first, hiddens, dz[..., : 2 * units], backwards)
                d_kernel_g = _product_gradient(factors, dz[..., 2 * units :])
                d_kernel, d_bias = ops.concatenate([d_kernel_gates, d_kernel_g], axis=-1), ops.zeros_like(bias, dtype)
            return dz, ops.cast(d_hidden, dtype), d_kernel, d_bias

        return _swap(hiddens), gradient

    return ops.custom_gradient(run)(projected, hidden, on.tensor(recurrent_kernel), on.tensor(candidate_bias))


def mogrifier_lstm(
    inputs: Any, kernel: Any, bias: Any, hidden: Any, cell: Any, mask: Any, recurrent_kernel: Any,
    factors: Sequence[Sequence[Any]], *, backwards: bool = False, keep: bool = True,
) -> tuple[Any, Any]:  # fmt: skip
    """An LSTM whose x and h gate each other before each step; `shared.recurrent.mogrifier` has the equations.

    Args:
        inputs, kernel, bias, hidden, cell, mask, recurrent_kernel: as in `lstm`.
        factors: for each gating the matrices whose product is Q_i or R_i.
        backwards, keep: see the module.

    Returns:
        h after each step, `(batch, time, units)`; the last c, `(batch, 1, units)`, at least float32.
    """
    dtype, gate = _dtypes(inputs)
    rounds, features = [len(matrices) for matrices in factors], inputs.shape[-1]
    mask = _swap(mask)
    masks = [] if mask is None else [mask]
    if bias is None:
        bias = ops.zeros(kernel.shape[-1:], dtype)

    def run(inputs, hidden, cell, kernel, recurrent_kernel, bias, *flat):
        flat = list(flat)
        factors = [[flat.pop(0) for _ in range(count)] for count in rounds]
        inputs = _swap(inputs)
        if mask is not None:
            inputs = ops.where(mask[..., None], inputs, ops.zeros_like(inputs))
        both_kernels, bias = ops.concatenate([kernel, recurrent_kernel], axis=0), ops.cast(bias, gate)

        def versions(x, h, gates):
            """x and h before each gating and after the last, in `gates`' type."""
            pairs = [(ops.cast(x, gate), ops.cast(h, gate))]
            for i, s in enumerate(gates):
                x, h = pairs[-1]
                pairs.append((s * x, h) if i % 2 == 0 else (x, s * h))
            return pairs

        def forward(keep):
            products_by = on.products_by(both_kernels, 4, gate, inputs.shape[0])
            gatings = [[on.products_by(matrix, 1, gate) for matrix in matrices] for matrices in factors]

            def step(state, x, *real):
                before, cell = state
                gates: list[Any] = []
                for i, products in enumerate(gatings):
                    gated = versions(x, before, gates)[-1][1 - i % 2]
                    for product in products:
                        gated = product(gated)[0]
                    gates.append(2 * ops.sigmoid(gated))
                sums = products_by(ops.concatenate(versions(x, before, gates)[-1], axis=-1))
                i, f, g, o = (y + b for y, b in zip(sums, ops.split(bias, 4), strict=True))
                i, f, g, o = ops.sigmoid(i), ops.sigmoid(f), ops.tanh(g), ops.sigmoid(o)
                new_cell = f * cell + i * g
                after = ops.cast(o * ops.tanh(new_cell), dtype)
                for real_t in real:
                    after, new_cell = on.select(real_t, after, before), on.select(real_t, new_cell, cell)
                return [after, new_cell], [after, before, cell, i, f, g, o, *gates][: None if keep else 1]

            widths = [ops.cast(inputs[0], gate), cell]  # of the gates of x and of h
            templates = [hidden, hidden, cell, cell, cell, cell, cell, *(widths[i % 2] for i in range(len(factors)))]
            return on.loop(
                step, [hidden, cell], [inputs, *masks], templates[: None if keep else 1], backwards=backwards
            )

        (_, last_cell), outputs = forward(keep)
        hiddens = on.stack(outputs[0])

        def gradient(*gradients):
            d_hiddens, d_last_cell = keras.tree.flatten(gradients)
            _, befores, cells, i, f, g, o, *gates = outputs if keep else forward(keep=True)[1]
            product_by_transposed = on.product_by_transposed(both_kernels, 4, gate)
            gatings = [[on.product_by_transposed(matrix, 1, gate) for matrix in matrices] for matrices in factors]

            def backward(state, d_hidden, x, before, before_cell, i, f, g, o, *others):
                gates, real = others[: len(factors)], others[len(factors) :]
                d_before, d_cell, cell = state
                d_hidden = d_before + ops.cast(d_hidden, gate)
                tanh_cell = ops.tanh(cell)
                d_new_cell = d_cell + on.tanh_gradient(tanh_cell, d_hidden * o)
                d_i, d_f = on.sigmoid_gradient(i, d_new_cell * g), on.sigmoid_gradient(f, d_new_cell * before_cell)
                d_g, d_o = on.tanh_gradient(g, d_new_cell * i), on.sigmoid_gradient(o, d_hidden * tanh_cell)
                dz = [d_i, d_f, d_g, d_o]
                for real_t in real:
                    dz = [on.select(real_t, d, ops.zeros_like(d)) for d in dz]
                d_both = product_by_transposed(dz)
                d_pair = [d_both[:, :features], d_both[:, features:]]  # dL/dx and dL/dh
                d_gates = []
                pairs = versions(x, before, gates)
                for k in reversed(range(len(factors))):
                    which, s = k % 2, gates[k]  # whether x or h is gated; by 2 σ
                    d_gate = on.sigmoid_gradient(s / 2, 2 * d_pair[which] * pairs[k][which])
                    d_pair[which] *= s
                    d_gates.insert(0, d_gate)
                    for product in reversed(gatings[k]):
                        d_gate = product([d_gate])
                    d_pair[1 - which] += d_gate
                d_x, d_before = d_pair
                d_cell_before = d_new_cell * f
                for real_t in real:
                    d_before = on.select(real_t, d_before, d_hidden)
                    d_cell_before = on.select(real_t, d_cell_before, d_cell)
                results = [ops.concatenate(dz, axis=-1), d_x, *d_gates]
                return [d_before, d_cell_before, before_cell], [ops.cast(x, dtype) for x in results]

            widths = [inputs[0], hidden]
            (d_hidden, d_cell, _), d_outputs = on.loop(
                backward,
                [ops.zeros_like(cell), d_last_cell[:, 0], last_cell],
                [_swap(d_hiddens), inputs, befores, cells, i, f, g, o, *gates, *masks],
                [ops.tile(hidden, (1, 4)), inputs[0], *(widths[i % 2] for i in range(len(factors)))],
                backwards=not backwards,
            )
            dz, d_x, *d_gates = (on.stack(x) for x in d_outputs)
            pairs = versions(inputs, on.stack(befores), [on.stack(x) for x in gates])
            pairs = [[ops.cast(x, dtype) for x in pair] for pair in pairs]
            d_both_kernels = _product_gradient(ops.concatenate(pairs[-1], axis=-1), dz)
            d_factors = []
            for k, (matrices, d_gate) in enumerate(zip(factors, d_gates, strict=True)):
                d_factors += _chain_gradients(_rows(pairs[k][1 - k % 2]), matrices, _rows(d_gate))
            return (
                _swap(d_x),
                ops.cast(d_hidden, dtype),
                d_cell,
                d_both_kernels[:features],
                d_both_kernels[features:],
                ops.cast(ops.sum(ops.cast(dz, gate), axis=(0, 1)), dtype),
                *d_factors,
            )

        return (_swap(hiddens), last_cell[:, None]), gradient

    weights = [kernel, recurrent_kernel, bias, *(matrix for matrices in factors for matrix in matrices)]
    return ops.custom_gradient(run)(inputs, hidden, ops.cast(cell, gate), *map(on.tensor, weights))


def _chain_gradients(x: Any, matrices: Sequence[Any], d_product: Any) -> list[Any]:
    """The gradients of the matrices of x A B .., from that of the product."""
    sources = [x]
    for matrix in matrices[:-1]:
        sources.append(ops.matmul(sources[-1], matrix))
    gradients = []
    for source, matrix in zip(reversed(sources), reversed(matrices), strict=True):
        gradients.insert(0, on.transposed_product(source, d_product))
        d_product = ops.matmul(d_product, ops.transpose(matrix))
    return gradients


def conditional_gru(
    projected: Any, memory: Any, keys: Any, mask: Any, hidden: Any, first_kernel: Any, first_bias: Any,
    query_kernel: Any, query_bias: Any, score: Any, context_kernel: Any, context_bias: Any, second_kernel: Any,
    second_bias: Any, *, keep: bool = True,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """Two GRUs with attention between them; `shared.recurrent.conditional` has the equations.

    Args:
        projected: x W + b of the first GRU, `(batch, target, 3 units)`.
        memory, keys: H and K, `(batch, source, width)` and `(batch, source, attention)`.
        mask: bool `(batch, source)`, True = real.
        hidden: the initial s, `(batch, units)`.
        first_kernel, first_bias, second_kernel, second_bias: the recurrent kernels, `(units, 3 units)`, and the biases
            of the candidates, `(units,)`.
        query_kernel, query_bias: W_a and its bias, `(units, attention)`, `(attention,)`.
        score: v, `(attention,)`.
        context_kernel, context_bias: kernel and bias of the second GRU, `(width, 3 units)`, `(3 units,)`.
        keep: see the module.

    Returns:
        s `(batch, target, units)`, c `(batch, target, width)`, α `(batch, target, source)`.
    """
    dtype, gate = _dtypes(projected)
    units = hidden.shape[-1]

    def product(x, kernel):
        return ops.cast(ops.matmul(ops.cast(x, dtype), kernel), gate)

    def gru_step(z, before, kernel, bias):
        """The next state of a GRU, and what its derivative needs."""
        sums = product(before, kernel)
        gates = ops.sigmoid(z[:, : 2 * units] + sums[:, : 2 * units])
        candidate = sums[:, 2 * units :] + bias
        g = ops.tanh(z[:, 2 * units :] + gates[:, units:] * candidate)
        return g + gates[:, :units] * (before - g), gates, candidate, g

    def gru_step_gradient(d_after, before, gates, candidate, g):
        """dL/dz, dL/d(before U), and the part of dL/dbefore that does not pass through that product."""
        u, r = gates[:, :units], gates[:, units:]
        d_before = d_after * u
        d_g = on.tanh_gradient(g, d_after - d_before)
        d_gates = on.sigmoid_gradient(gates, ops.concatenate([d_after * (before - g), d_g * candidate], axis=-1))
        return ops.concatenate([d_gates, d_g], axis=-1), ops.concatenate([d_gates, d_g * r], axis=-1), d_before

    def run(projected, memory, keys, hidden, *weights):
        kernel_1, bias_1, query_kernel, query_bias, score, kernel_c, bias_c, kernel_2, bias_2 = weights
        hidden, bias_1, query_bias, bias_c, bias_2 = (
            ops.cast(x, gate) for x in (hidden, bias_1, query_bias, bias_c, bias_2)
        )

        def forward(keep):
            def step(state, z):
                (before,) = state
                middle, *gates_1 = gru_step(ops.cast(z, gate), before, kernel_1, bias_1)
                query = on.add_bias(product(middle, query_kernel), query_bias)
                energy = ops.tanh(keys + ops.cast(query, dtype)[:, None])
                scores = ops.reshape(product(_rows(energy), score[:, None]), ops.shape(mask))
                attention = ops.softmax(ops.where(mask, scores, ops.cast(MASKED_SCORE, gate)))
                context = product(attention[:, None], memory)[:, 0]
                after, *gates_2 = gru_step(on.add_bias(product(context, kernel_c), bias_c), middle, kernel_2, bias_2)
                outputs = [after, context, attention, before, middle, energy, *gates_1, *gates_2]
                return [after], outputs if keep else outputs[:3]

            gates = ops.tile(hidden, (1, 2))
            context, attention = ops.cast(memory[:, 0], gate), ops.cast(keys[:, :, 0], gate)
            templates = [hidden, context, attention, hidden, hidden, keys, *[gates, hidden, hidden] * 2]
            return on.loop(step, [hidden], [_swap(projected)], templates if keep else templates[:3])[1]

        outputs = forward(keep)
        states, contexts, attentions = (ops.cast(on.stack(x), dtype) for x in outputs[:3])

        def gradient(*gradients):
            kept = (outputs if keep else forward(keep=True))[1:]
            transposed = [ops.transpose(x) for x in (kernel_1, query_kernel, kernel_c, kernel_2)]
            to_before, to_middle_by_query, to_context, to_middle = transposed

            def backward(state, d_state, d_context, d_attention, context, attention, before, middle, energy, *gates):
                d_after, d_keys = state
                d_state, d_context, d_attention = (ops.cast(x, gate) for x in (d_state, d_context, d_attention))
                d_z2, d_product_2, d_middle = gru_step_gradient(d_after + d_state, middle, *gates[3:])
                d_middle += product(d_product_2, to_middle)
                d_context += product(d_z2, to_context)
                d_attention += product(memory, ops.cast(d_context, dtype)[:, :, None])[:, :, 0]
                d_scores = attention * (d_attention - ops.sum(attention * d_attention, -1, keepdims=True))
                d_energy = on.tanh_gradient(ops.cast(energy, gate), d_scores[:, :, None] * ops.cast(score, gate))
                d_query = ops.sum(d_energy, axis=1)
                d_middle += product(d_query, to_middle_by_query)
                d_z1, d_product_1, d_before = gru_step_gradient(d_middle, before, *gates[:3])
                d_before += product(d_product_1, to_before)
                outputs = [d_z1, d_product_1, d_z2, d_product_2, d_query, d_context, d_scores]
                return [d_before, d_keys + d_energy], [ops.cast(x, dtype) for x in outputs]

            z = projected[:, 0]
            query = ops.matmul(ops.cast(hidden, dtype), query_kernel)
            (d_hidden, d_keys), d_outputs = on.loop(
                backward,
                [ops.zeros_like(hidden), ops.zeros_like(keys, gate)],
                [*(_swap(x) for x in keras.tree.flatten(gradients)), *kept],
                [z, z, z, z, query, memory[:, 0], keys[:, :, 0]],
                backwards=True,
            )
            d_z1, d_product_1, d_z2, d_product_2, d_query, d_context, d_scores = (on.stack(x) for x in d_outputs)
            befores, middles, energies = (ops.cast(on.stack(x), dtype) for x in kept[2:5])

            def bias_gradient(d_sums):
                return ops.cast(ops.sum(ops.cast(d_sums, gate), axis=(0, 1)), dtype)

            d_memory = ops.matmul(ops.transpose(attentions, (1, 2, 0)), _swap(d_context))
            return (
                _swap(d_z1),
                d_memory,
                ops.cast(d_keys, dtype),
                ops.cast(d_hidden, dtype),
                _product_gradient(befores, d_product_1),
                bias_gradient(d_product_1[..., 2 * units :]),
                _product_gradient(middles, d_query),
                bias_gradient(d_query),
                ops.matmul(ops.reshape(d_scores, (1, -1)), _rows(energies))[0],
                _product_gradient(contexts, d_z2),
                bias_gradient(d_z2),
                _product_gradient(middles, d_product_2),
                bias_gradient(d_product_2[..., 2 * units :]),
            )

        return tuple(_swap(x) for x in (states, contexts, attentions)), gradient

    weights = (
        first_kernel, first_bias, query_kernel, query_bias, score, context_kernel, context_bias, second_kernel,
        second_bias,
    )  # fmt: skip
    return ops.custom_gradient(run)(projected, memory, keys, hidden, *map(on.tensor, weights))
