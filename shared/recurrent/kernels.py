"""Whole recurrent sequences in one pass in each direction, by TensorFlow's operations alone, for a CPU.

They are for models that are saved and served, and for types other than float32; `compiled` trains in machine code.

Forward, one matrix product projects the whole input, and the loop over time computes `h @ U` and the gates. Backward,
the loop computes `dz @ U.T` and the derivatives of a step; after it, the gradient of each weight is one matrix product.
A step multiplies each gate's part of U separately: TensorFlow computes a small product on one core, but several
products in parallel.

Arguments and results are `(batch, time, ...)`; the loops are time-major. With 16-bit inputs the products are 16-bit;
gates, states and sums are float32. Two options are common to all kernels: `backwards` takes the steps from the last to
the first; `keep` stores what the gradient needs of each step. Without it, as in inference, a gradient repeats the
forward pass.
"""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from shared.attention import MASKED_SCORE

# At this input a sigmoid is exactly 1, and exactly 0 at its negative, in every float type.
_SATURATED = 6e4


def _gate_dtype(dtype: tf.DType) -> tf.DType:
    return tf.float32 if dtype.size == 2 else dtype


def _loop(
    step: Callable, state: Sequence[Any], sequences: Sequence[Any], templates: Sequence[Any], *, backwards: bool = False
) -> tuple[Any, Any]:
    """Repeats `state, outputs = step(state, *sequences at t)` over time.

    Args:
        step: the function of a step.
        state: the initial state, a list of tensors.
        sequences: tensors `(time, ...)` or arrays that another loop returned; the first is a tensor.
        templates: for each output of a step, a tensor of the same shape and type.
        backwards: from the last step to the first.

    Returns:
        The last state, and for each output a `tf.TensorArray` in order of time.
    """
    first: Any = sequences[0]
    time = first.shape[0] or tf.shape(first)[0]
    outputs = [tf.TensorArray(x.dtype, size=time, element_shape=x.shape, clear_after_read=False) for x in templates]

    def body(t, state, outputs):
        # A slice of a tensor is a view; a tensor array of its steps would be a copy.
        state, results = step(state, *(x.read(t) if isinstance(x, tf.TensorArray) else x[t] for x in sequences))
        return t + (-1 if backwards else 1), state, [y.write(t, x) for y, x in zip(outputs, results, strict=True)]

    _, state, outputs = tf.while_loop(
        lambda t, *_: t >= 0 if backwards else t < time,
        body,
        (time - 1 if backwards else 0, list(state), outputs),
        maximum_iterations=time,
        parallel_iterations=4,
    )
    return state, outputs


def _rows(x: Any) -> Any:
    return tf.reshape(x, [-1, x.shape[-1]])


def _kernel_gradient(hidden: Any, hiddens: Any, d_products: Any, backwards: bool) -> Any:
    """dL/dU: the sum over time and batch of h' d, from the h before each step and its dL/d(h U)."""
    if backwards:
        hiddens, d_first, d_products = hiddens[1:], d_products[-1], d_products[:-1]
    else:
        hiddens, d_first, d_products = hiddens[:-1], d_products[0], d_products[1:]
    later = tf.matmul(_rows(hiddens), _rows(d_products), transpose_a=True)
    return later + tf.matmul(hidden, d_first, transpose_a=True)


def _select(condition: Any, then: Any, otherwise: Any) -> Any:
    """Rows of `then` where `condition` `(batch,)` is True, else of `otherwise`.

    The Select op copies whole rows; `tf.where` broadcasts the condition to every element.
    """
    return tf.raw_ops.Select(condition=condition, x=then, y=otherwise)


def _sigmoid_gradient(y: Any, d_y: Any) -> Any:
    """d (y - y^2), in one op."""
    return tf.raw_ops.SigmoidGrad(y=y, dy=d_y)


def _tanh_gradient(y: Any, d_y: Any) -> Any:
    """d (1 - y^2), in one op."""
    return tf.raw_ops.TanhGrad(y=y, dy=d_y)


def _swap(x: Any) -> Any:
    """`(batch, time, ...)` <-> `(time, batch, ...)`"""
    return None if x is None else tf.transpose(x, [1, 0, *range(2, x.shape.rank)])


def _project(inputs: Any, kernel: Any, bias: Any) -> Any:
    """x W + b for all steps: `(batch, time, features)` -> `(time, batch, width)`."""
    inputs = _swap(inputs)
    projected = tf.matmul(_rows(inputs), kernel)
    if bias is not None:
        projected = tf.nn.bias_add(projected, bias)  # fused with the product, unlike `+`
    time, batch = (size or tf.shape(inputs)[axis] for axis, size in enumerate(inputs.shape[:2]))
    return tf.reshape(projected, [time, batch, kernel.shape[-1]])


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
    dtype, gate = projected.dtype, _gate_dtype(projected.dtype)
    mask = _swap(mask)
    masks = [] if mask is None else [mask]

    def run(projected, hidden, kernel):
        def forward(state, z, *real):
            (before,) = state
            after = tf.cast(z, gate) + tf.cast(tf.matmul(before, kernel), gate)
            after = tf.cast(tf.nn.relu(after) if relu else tf.tanh(after), dtype)
            for real_t in real:
                after = _select(real_t, after, before)
            return [after], [after]

        hiddens = _loop(forward, [hidden], [projected, *masks], [hidden], backwards=backwards)[1][0].stack()

        def gradient(d_hiddens):
            transposed = tf.transpose(kernel)

            def backward(state, d_hidden, after, *real):
                d_hidden, after = state[0] + tf.cast(d_hidden, gate), tf.cast(after, gate)
                dz = d_hidden * tf.cast(after > 0, gate) if relu else _tanh_gradient(after, d_hidden)
                for real_t in real:
                    dz = _select(real_t, dz, tf.zeros_like(dz))
                dz = tf.cast(dz, dtype)
                d_before = tf.cast(tf.matmul(dz, transposed), gate)
                for real_t in real:
                    d_before = _select(real_t, d_before, d_hidden)
                return [d_before], [dz]

            (d_hidden,), (dz,) = _loop(
                backward,
                [tf.zeros_like(hidden, gate)],
                [_swap(d_hiddens), hiddens, *masks],
                [hidden],
                backwards=not backwards,
            )
            dz = dz.stack()
            return dz, tf.cast(d_hidden, dtype), _kernel_gradient(hidden, hiddens, dz, backwards)

        return _swap(hiddens), gradient

    return tf.custom_gradient(run)(projected, hidden, tf.convert_to_tensor(recurrent_kernel))


def lstm(
    inputs: Any, kernel: Any, bias: Any, hidden: Any, cell: Any, mask: Any, recurrent_kernel: Any, *,
    every_cell: bool = False, backwards: bool = False, keep: bool = True,
) -> tuple[Any, Any]:  # fmt: skip
    """The LSTM (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

        x_t W + b + h_{t-1} U      split into i, f, g, o as Keras does
        c_t = σ(f) c_{t-1} + σ(i) tanh(g)
        h_t = σ(o) tanh(c_t)

    Where the mask is False, h_t = h_{t-1} and c_t = c_{t-1}.

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
    dtype, gate = projected.dtype, _gate_dtype(projected.dtype)
    mask = _swap(mask)
    masks = [] if mask is None else [mask]
    units = hidden.shape[-1]
    num_outputs = 6 if keep else 2 if every_cell else 1

    def run(projected, hidden, cell, kernel):
        if mask is not None:
            # i = o = 0, f = 1: c is unchanged and the gates get no gradient. The loop keeps h.
            unchanged = tf.repeat(tf.constant([-_SATURATED, _SATURATED, 0, -_SATURATED], dtype), units)
            projected = tf.where(mask[..., None], projected, unchanged)
        kernels = tf.split(kernel, 4, axis=-1)

        def forward(num_outputs):
            def step(state, z, *real):
                before, cell = state
                i, f, g, o = (
                    tf.cast(x, gate) + tf.cast(tf.matmul(before, gate_kernel), gate)
                    for x, gate_kernel in zip(tf.split(z, 4, axis=-1), kernels, strict=True)
                )
                i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
                new_cell = f * cell + i * g
                after = tf.cast(o * tf.tanh(new_cell), dtype)
                for real_t in real:
                    after = _select(real_t, after, before)
                return [after, new_cell], [after, cell, i, f, g, o][:num_outputs]

            templates = [hidden, cell, cell, cell, cell, cell][:num_outputs]
            (_, last_cell), outputs = _loop(step, [hidden, cell], [projected, *masks], templates, backwards=backwards)
            return last_cell, outputs

        last_cell, outputs = forward(num_outputs)
        hiddens, cells = outputs[0].stack(), last_cell[None]
        if every_cell:
            before = outputs[1].stack()  # the cell before each step, in order of time
            cells = tf.concat([cells, before[:-1]] if backwards else [before[1:], cells], axis=0)

        def gradient(d_hiddens, d_cells):
            _, cells, *gates = outputs if keep else forward(6)[1]
            transposed = [tf.transpose(gate_kernel) for gate_kernel in kernels]
            # dL/dc of every cell is added at its step; that of the last cell is the initial value of the loop.
            d_every_cell = [_swap(d_cells)] if every_cell else []
            d_cell = tf.zeros_like(cell) if every_cell else d_cells[:, 0]

            def backward(state, d_hidden, before_cell, i, f, g, o, *others):
                d_before, d_cell, cell = state
                d_hidden = d_before + tf.cast(d_hidden, gate)
                tanh_cell = tf.tanh(cell)
                d_cell += _tanh_gradient(tanh_cell, d_hidden * o)
                if every_cell:
                    d_cell += others[-1]
                d_i, d_f = _sigmoid_gradient(i, d_cell * g), _sigmoid_gradient(f, d_cell * before_cell)
                d_g, d_o = _tanh_gradient(g, d_cell * i), _sigmoid_gradient(o, d_hidden * tanh_cell)
                dz = [tf.cast(x, dtype) for x in (d_i, d_f, d_g, d_o)]
                d_before = tf.cast(tf.add_n([tf.matmul(x, u) for x, u in zip(dz, transposed, strict=True)]), gate)
                if mask is not None:
                    d_before = _select(others[0], d_before, d_hidden)
                return [d_before, d_cell * f, before_cell], [tf.concat(dz, axis=-1)]

            (d_hidden, d_cell, _), (dz,) = _loop(
                backward,
                [tf.zeros_like(cell), d_cell, last_cell],
                [_swap(d_hiddens), cells, *gates, *masks, *d_every_cell],
                [projected[0]],
                backwards=not backwards,
            )
            dz = dz.stack()
            return dz, tf.cast(d_hidden, dtype), d_cell, _kernel_gradient(hidden, hiddens, dz, backwards)

        return (_swap(hiddens), _swap(cells)), gradient

    return tf.custom_gradient(run)(projected, hidden, tf.cast(cell, gate), tf.convert_to_tensor(recurrent_kernel))


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
    dtype, gate = projected.dtype, _gate_dtype(projected.dtype)
    mask, units = _swap(mask), hidden.shape[-1]
    if candidate_bias is None:
        candidate_bias = tf.zeros([units], dtype)
    num_outputs = (6 if reset_after else 5) if keep else 1

    def run(projected, hidden, kernel, bias):
        if mask is not None:
            # u = 1: h is unchanged and the gates get no gradient.
            unchanged = tf.repeat(tf.constant([_SATURATED, 0, 0], dtype), units)
            projected = tf.where(mask[..., None], projected, unchanged)
        hidden, bias = tf.cast(hidden, gate), tf.cast(bias, gate)
        kernel_u, kernel_r, kernel_g = tf.split(kernel, 3, axis=-1)

        def multiplied(x, kernel):
            return tf.cast(tf.matmul(tf.cast(x, dtype), kernel), gate)

        def forward(num_outputs):
            def step(state, z):
                (before,) = state
                z_u, z_r, z_g = (tf.cast(x, gate) for x in tf.split(z, 3, axis=-1))
                u = tf.sigmoid(z_u + multiplied(before, kernel_u))
                r = tf.sigmoid(z_r + multiplied(before, kernel_r))
                if reset_after:
                    product = multiplied(before, kernel_g) + bias
                    g = tf.tanh(z_g + r * product)
                else:
                    product = None
                    g = tf.tanh(z_g + multiplied(r * before, kernel_g))
                after = g + u * (before - g)
                return [after], [after, before, u, r, g, product][:num_outputs]

            return _loop(step, [hidden], [projected], [hidden] * num_outputs, backwards=backwards)[1]

        outputs = forward(num_outputs)
        hiddens = tf.cast(outputs[0].stack(), dtype)

        def gradient(d_hiddens):
            _, befores, *gates = outputs if keep else forward(6 if reset_after else 5)
            transposed_u, transposed_r, transposed_g = (tf.transpose(x) for x in (kernel_u, kernel_r, kernel_g))

            def backward(state, d_hidden, before, u, r, g, product=None):
                d_hidden = state[0] + tf.cast(d_hidden, gate)
                d_direct = d_hidden * u
                d_g = _tanh_gradient(g, d_hidden - d_direct)
                d_u = _sigmoid_gradient(u, d_hidden * (before - g))
                if reset_after:
                    d_product = d_g * r
                    d_r = _sigmoid_gradient(r, d_g * product)
                    d_before = d_direct + multiplied(d_product, transposed_g)
                    factors = tf.cast(tf.concat([d_u, d_r, d_product], axis=-1), dtype)
                else:
                    d_reset = multiplied(d_g, transposed_g)
                    d_r = _sigmoid_gradient(r, d_reset * before)
                    d_before = d_direct + d_reset * r
                    factors = tf.cast(r * before, dtype)
                d_before += multiplied(d_u, transposed_u) + multiplied(d_r, transposed_r)
                return [d_before], [tf.cast(tf.concat([d_u, d_r, d_g], axis=-1), dtype), factors]

            (d_hidden,), d_outputs = _loop(
                backward,
                [tf.zeros_like(hidden)],
                [_swap(d_hiddens), befores, *gates],
                [projected[0], projected[0] if reset_after else tf.cast(hidden, dtype)],
                backwards=not backwards,
            )
            dz, factors = (x.stack() for x in d_outputs)
            first = tf.cast(hidden, dtype)
            if reset_after:
                d_kernel, d_product = _kernel_gradient(first, hiddens, factors, backwards), factors[..., 2 * units :]
                d_bias = tf.cast(tf.reduce_sum(tf.cast(d_product, gate), axis=[0, 1]), dtype)
            else:
                d_gates, d_candidate = tf.split(dz, [2 * units, units], axis=-1)
                d_kernel_g = tf.matmul(_rows(factors), _rows(d_candidate), transpose_a=True)
                d_kernel = tf.concat([_kernel_gradient(first, hiddens, d_gates, backwards), d_kernel_g], axis=-1)
                d_bias = tf.zeros_like(candidate_bias)
            return dz, tf.cast(d_hidden, dtype), d_kernel, d_bias

        return _swap(hiddens), gradient

    return tf.custom_gradient(run)(
        projected, hidden, tf.convert_to_tensor(recurrent_kernel), tf.convert_to_tensor(candidate_bias)
    )


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
    units = hidden.shape[-1]
    masked_score = tf.constant(MASKED_SCORE, projected.dtype)

    def gru_step(z, before, kernel, bias):
        """The next state of a GRU, and what its derivative needs."""
        product = tf.matmul(before, kernel)
        gates = tf.sigmoid(z[:, : 2 * units] + product[:, : 2 * units])
        candidate = product[:, 2 * units :] + bias
        g = tf.tanh(z[:, 2 * units :] + gates[:, units:] * candidate)
        return g + gates[:, :units] * (before - g), gates, candidate, g

    def gru_step_gradient(d_after, before, gates, candidate, g):
        """dL/dz, dL/d(before U), and the part of dL/dbefore that does not pass through that product."""
        u, r = gates[:, :units], gates[:, units:]
        d_before = d_after * u
        d_g = _tanh_gradient(g, d_after - d_before)
        d_gates = _sigmoid_gradient(gates, tf.concat([d_after * (before - g), d_g * candidate], axis=-1))
        return tf.concat([d_gates, d_g], axis=-1), tf.concat([d_gates, d_g * r], axis=-1), d_before

    def run(projected, memory, keys, hidden, *weights):
        kernel_1, bias_1, query_kernel, query_bias, score, kernel_c, bias_c, kernel_2, bias_2 = weights

        def forward(keep):
            def step(state, z):
                (before,) = state
                middle, *gates_1 = gru_step(z, before, kernel_1, bias_1)
                query = tf.nn.bias_add(tf.matmul(middle, query_kernel), query_bias)
                energy = tf.tanh(keys + query[:, None])
                scores = tf.reshape(tf.matmul(_rows(energy), score[:, None]), tf.shape(mask))
                attention = tf.nn.softmax(tf.where(mask, scores, masked_score))
                context = tf.matmul(attention[:, None], memory)[:, 0]
                z = tf.nn.bias_add(tf.matmul(context, kernel_c), bias_c)
                after, *gates_2 = gru_step(z, middle, kernel_2, bias_2)
                outputs = [after, context, attention, before, middle, energy, *gates_1, *gates_2]
                return [after], outputs if keep else outputs[:3]

            gates = tf.zeros([tf.shape(hidden)[0], 2 * units], hidden.dtype)
            context, attention = memory[:, 0], keys[:, :, 0]
            templates = [hidden, context, attention, hidden, hidden, keys, *[gates, hidden, hidden] * 2]
            return _loop(step, [hidden], [_swap(projected)], templates if keep else templates[:3])[1]

        outputs = forward(keep)
        states, contexts, attentions = (x.stack() for x in outputs[:3])

        def gradient(d_states, d_contexts, d_attentions):
            kept = (outputs if keep else forward(keep=True))[1:]
            transposed = [tf.transpose(x) for x in (kernel_1, query_kernel, kernel_c, kernel_2)]
            to_before, to_middle_by_query, to_context, to_middle = transposed

            def backward(state, d_state, d_context, d_attention, context, attention, before, middle, energy, *gates):
                d_after, d_keys = state
                d_z2, d_product_2, d_middle = gru_step_gradient(d_after + d_state, middle, *gates[3:])
                d_middle += tf.matmul(d_product_2, to_middle)
                d_context += tf.matmul(d_z2, to_context)
                d_attention += tf.matmul(memory, d_context[:, :, None])[:, :, 0]
                d_scores = attention * (d_attention - tf.reduce_sum(attention * d_attention, -1, keepdims=True))
                d_energy = _tanh_gradient(energy, d_scores[:, :, None] * score)
                d_query = tf.reduce_sum(d_energy, axis=1)
                d_middle += tf.matmul(d_query, to_middle_by_query)
                d_z1, d_product_1, d_before = gru_step_gradient(d_middle, before, *gates[:3])
                d_before += tf.matmul(d_product_1, to_before)
                d_score = tf.matmul(_rows(energy), tf.reshape(d_scores, [-1, 1]), transpose_a=True)[:, 0]
                outputs = [d_z1, d_product_1, d_z2, d_product_2, d_query, d_context, d_score]
                return [d_before, d_keys + d_energy], outputs

            z = projected[:, 0]
            templates = [z, z, z, z, query_bias[None] + tf.zeros_like(hidden[:, :1]), memory[:, 0], score]
            (d_hidden, d_keys), d_outputs = _loop(
                backward,
                [tf.zeros_like(hidden), tf.zeros_like(keys)],
                [*(_swap(x) for x in (d_states, d_contexts, d_attentions)), *kept],
                templates,
                backwards=True,
            )
            d_z1, d_product_1, d_z2, d_product_2, d_query, d_context, d_score = (x.stack() for x in d_outputs)
            befores, middles = kept[2].stack(), kept[3].stack()

            def kernel_gradient(inputs, d_products):
                return tf.matmul(_rows(inputs), _rows(d_products), transpose_a=True)

            def bias_gradient(d_sums):
                return tf.reduce_sum(d_sums, axis=[0, 1])

            d_memory = tf.matmul(tf.transpose(attentions, [1, 2, 0]), _swap(d_context))
            return (
                _swap(d_z1),
                d_memory,
                d_keys,
                d_hidden,
                kernel_gradient(befores, d_product_1),
                bias_gradient(d_product_1[..., 2 * units :]),
                kernel_gradient(middles, d_query),
                bias_gradient(d_query),
                tf.reduce_sum(d_score, axis=0),
                kernel_gradient(contexts, d_z2),
                bias_gradient(d_z2),
                kernel_gradient(middles, d_product_2),
                bias_gradient(d_product_2[..., 2 * units :]),
            )

        return tuple(_swap(x) for x in (states, contexts, attentions)), gradient

    weights = (
        first_kernel, first_bias, query_kernel, query_bias, score, context_kernel, context_bias, second_kernel,
        second_bias,
    )  # fmt: skip
    return tf.custom_gradient(run)(projected, memory, keys, hidden, *map(tf.convert_to_tensor, weights))
