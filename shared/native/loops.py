"""The recurrent loops in machine code: whole sequences, from inputs to states, and all their gradients.

Each thread computes some of the units: its part of the recurrent kernel, and the gates and derivatives of its units,
stay in the cache of its core. Each unit depends on the whole h of the step before, so the threads wait for each other
at a barrier once a step. `shared.recurrent.kernels` has the equations.

Arrays are C-contiguous float32, `(batch, time, ...)`; masks are bool `(batch, time)`, or empty. z, the sum of x W and
the bias, is overwritten by the gates. Arguments that the loops have in common:
    thread, num_threads, counter: as `run_on_threads` passes them.
    scratch: `(num_threads, numbers)`, of `scratch_shape`.
    hidden, cell: h and c before the first step, `(batch, units)`.
    backwards: whether the steps are taken from the last to the first.
    bfloat16: whether factors of products are rounded to it; what else there is remains float32.
    hiddens, cells: h and c after each step, `(batch, time, units)`.
"""

import numpy as np

from shared.native.precompile import wait_for_compilation
from shared.native.products import (
    ZERO_ROW,
    barrier,
    multiply,
    native,
    pack,
    pack_transposed,
    panel_width,
    partition,
    product,
    round_row,
    whole_tiles,
    words_of,
)

wait_for_compilation()

_PANELS_AT_ONCE = 4  # of each gate; their products are still in the nearest cache when the gates are computed


# Plain loops over the units of a row, each with few arrays, so that LLVM turns them into vector instructions.


@native
def _tanh(x):
    # x P(x^2) / Q(x^2), fitted to a relative error of 2e-8 up to 9, beyond which tanh is 1; in float32 within 4e-7.
    # The comparisons keep NaN.
    x = np.float32(9) if x > np.float32(9) else x
    x = np.float32(-9) if x < np.float32(-9) else x
    s = x * x
    p = np.float32(1.3354613860068603e-08) * s + np.float32(2.0609046694748036e-05)
    p = (p * s + np.float32(0.003495585927164975)) * s + np.float32(0.1338102377759349)
    p = p * s + np.float32(0.9999999794514252)
    q = np.float32(7.776538405730097e-07) * s + np.float32(0.00032856312418629827)
    q = (q * s + np.float32(0.025876973801113878)) * s + np.float32(0.4671433936934648)
    q = q * s + np.float32(1)
    y = x * p / q
    y = np.float32(1) if y > np.float32(1) else y
    return np.float32(-1) if y < np.float32(-1) else y


@native
def _copy(a, out):
    for j in range(out.size):
        out[j] = a[j]


@native
def _add(a, b, out):
    for j in range(out.size):
        out[j] = a[j] + b[j]


@native
def _times(a, b, out):
    for j in range(out.size):
        out[j] = a[j] * b[j]


@native
def _tanh_of_sum(a, z):
    """z <- tanh(a + z)"""
    for j in range(z.size):
        z[j] = _tanh(a[j] + z[j])


@native
def _sigmoid_of_sum(a, z):
    """z <- σ(a + z)"""
    half = np.float32(0.5)
    for j in range(z.size):
        z[j] = half + half * _tanh(half * (a[j] + z[j]))


@native
def _tanh_gradient(y, d):
    """y <- d (1 - y²), where y is a tanh"""
    for j in range(y.size):
        y[j] = d[j] * (1 - y[j] * y[j])


@native
def _sigmoid_gradient(y, d):
    """y <- d (y - y²), where y is a sigmoid"""
    for j in range(y.size):
        y[j] = d[j] * (y[j] - y[j] * y[j])


@native
def _split_3(row, start, end):
    """The units from `start` to before `end` of three gates in a row `(3 units,)`."""
    units = row.size // 3
    return row[start:end], row[units + start : units + end], row[2 * units + start : 2 * units + end]


@native
def _split_4(row, start, end):
    units = row.size // 4
    return (
        row[start:end],
        row[units + start : units + end],
        row[2 * units + start : 2 * units + end],
        row[3 * units + start : 3 * units + end],
    )


@native
def _thread_range(thread, num_threads, batch, units, bfloat16):
    """What a thread computes: its first panel, their number and width; its first unit, and the one after its last."""
    width = panel_width(batch, units, num_threads, bfloat16)
    first_panel, end_panel = partition(-(-units // width), thread, num_threads)
    num_panels = end_panel - first_panel
    return first_panel, num_panels, width, min(first_panel * width, units), min(end_panel * width, units)


@native
def _pack_gates(kernel, gates, first_panel, num_panels, width, bfloat16, scratch):
    """A thread's panels of each gate's recurrent kernel."""
    units = kernel.shape[0]
    size = words_of(units, bfloat16) * num_panels * width
    return [
        pack(kernel, gate * units, units, first_panel, num_panels, width, bfloat16, scratch[gate * size :])
        for gate in range(gates)
    ]


@native
def _order(time, backwards):
    """The first step, the last one, and the increment from a step to the next."""
    return (time - 1, 0, -1) if backwards else (0, time - 1, 1)


@native
def _all_rows():
    """`indices` of a product that takes the rows in order."""
    return np.empty(0, np.int64)


@native
def _flatten(x):
    return x.reshape(x.size)


@native
def _rows(x):
    """`(batch, time, width)` -> `(batch * time, width)`"""
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


@native
def _words(batch, depth, bfloat16):
    """The memory for the bfloat16 words of a step, `(batch, words)` in whole tiles; empty without `bfloat16`."""
    return np.zeros((whole_tiles(batch) if bfloat16 else 0, words_of(depth, True)), np.float32)


@native
def _round_step(x, t, start, end, words):
    """Writes x[:, t, start:end] as bfloat16 words, if there is memory for them."""
    if words.size:
        for row in range(x.shape[0]):
            round_row(x[row, t, start:end], words[row])


@native
def _multiply_step(x, t, start, words, panels, panel, end_panel, out):
    """`multiply` for x[:, t, start:] or, if there are, its bfloat16 words."""
    batch, time, width = x.shape
    if words.size:
        multiply(_flatten(words), 0, words.shape[1], batch, panels, panel, end_panel, True, out)
    else:
        multiply(_flatten(x), t * width + start, time * width, batch, panels, panel, end_panel, False, out)


@native
def _round_state(states, initial_state, t, backwards, words):
    """Writes the states before step t as bfloat16 words."""
    if words.size:
        for row in range(states.shape[0]):
            round_row(_state_before(states, initial_state, row, t, backwards, 0, states.shape[2]), words[row])


@native
def _multiply_state(states, initial_state, t, backwards, words, panels, panel, end_panel, out):
    """`multiply` for the states before step t or, if there are, their bfloat16 words."""
    batch, time, units = states.shape
    first, _, increment = _order(time, backwards)
    if t == first and not words.size:
        multiply(_flatten(initial_state), 0, units, batch, panels, panel, end_panel, False, out)
    else:
        _multiply_step(states, t - increment, 0, words, panels, panel, end_panel, out)


@native
def _state_before(states, initial_state, row, t, backwards, start, end):
    """Units of a row's state before step t."""
    first, _, increment = _order(states.shape[1], backwards)
    return initial_state[row, start:end] if t == first else states[row, t - increment, start:end]


@native
def _copy_masked(mask, t, d_h, d_before):
    """Copies the derivative of h to that of the h before where step t is masked."""
    if mask.size:
        for row in range(d_h.shape[0]):
            if not mask[row, t]:
                _copy(d_h[row], d_before[row])


@native
def _project(thread, num_threads, counter, scratch, inputs, kernel, bias, bfloat16, z):
    """z = x W + b for all steps."""
    start, end = partition(bias.size, thread, num_threads)
    for row in range(z.shape[0]):
        for t in range(z.shape[1]):
            _copy(bias[start:end], z[row, t, start:end])
    barrier(counter, num_threads)
    product(
        thread, num_threads, scratch, _rows(inputs), False, _all_rows(), kernel, False, 0, bias.size, bfloat16,
        _rows(z), True,
    )  # fmt: skip
    barrier(counter, num_threads)


@native
def _recurrent_gradient(thread, num_threads, scratch, hidden, hiddens, d_sums, backwards, columns, bfloat16, out):
    """dL/dU from dL/d(h U): the first `columns` of both."""
    batch, time, _ = hiddens.shape
    first, _, increment = _order(time, backwards)
    before = np.empty((batch, time), np.int64)
    for row in range(batch):
        for t in range(time):
            before[row, t] = ZERO_ROW if t == first else row * time + t - increment
    indices = _flatten(before)
    product(
        thread, num_threads, scratch, _rows(hiddens), True, indices, _rows(d_sums), False, 0, columns, bfloat16, out,
        False,
    )  # fmt: skip
    if time == 0:
        return
    d_first = np.empty((batch, d_sums.shape[2]), np.float32)
    for row in range(batch):
        _copy(d_sums[row, first], d_first[row])
    product(thread, num_threads, scratch, hidden, True, _all_rows(), d_first, False, 0, columns, bfloat16, out, True)


@native
def _kernel_gradient(thread, num_threads, scratch, inputs, dz, bfloat16, d_kernel, d_bias):
    """dL/dW and dL/db from dL/dz."""
    columns = d_bias.size
    product(
        thread, num_threads, scratch, _rows(inputs), True, _all_rows(), _rows(dz), False, 0, columns, bfloat16,
        d_kernel, False,
    )  # fmt: skip
    start, end = partition(columns, thread, num_threads)
    sums = np.empty(end - start, np.float32)
    d_bias[start:end] = 0
    for row in range(dz.shape[0]):  # over a sequence, then over the batch: a large sum would lose small addends
        sums[:] = 0
        for t in range(dz.shape[1]):
            _add(sums, dz[row, t, start:end], sums)
        _add(d_bias[start:end], sums, d_bias[start:end])


@native
def inputs_gradient(thread, num_threads, counter, scratch, dz, kernel, bfloat16, d_inputs):
    """dL/dx from dL/dz."""
    columns = d_inputs.shape[2]
    product(
        thread, num_threads, scratch, _rows(dz), False, _all_rows(), kernel, True, 0, columns, bfloat16,
        _rows(d_inputs), False,
    )  # fmt: skip


@native
def simple_rnn_forward(
    thread, num_threads, counter, scratch, inputs, input_kernel, bias, hidden, mask, kernel, backwards, bfloat16, relu,
    hiddens,
):  # fmt: skip
    """Computes `hiddens`, which holds z at first; `relu`: instead of tanh."""
    _project(thread, num_threads, counter, scratch, inputs, input_kernel, bias, bfloat16, hiddens)
    batch, time, units = hiddens.shape
    first_panel, num_panels, width, start, end = _thread_range(thread, num_threads, batch, units, bfloat16)
    panels = pack(kernel, 0, units, first_panel, num_panels, width, bfloat16, scratch[thread])
    sums = np.empty((whole_tiles(batch), num_panels * width), np.float32)
    words = _words(batch, units, bfloat16)
    first, last, increment = _order(time, backwards)
    for t in range(first, last + increment, increment):
        _round_state(hiddens, hidden, t, backwards, words)
        _multiply_state(hiddens, hidden, t, backwards, words, panels, 0, num_panels, sums)
        for row in range(batch):
            h = hiddens[row, t, start:end]
            if mask.size and not mask[row, t]:
                _copy(_state_before(hiddens, hidden, row, t, backwards, start, end), h)
            elif relu:
                for j in range(h.size):
                    h[j] = sums[row, j] + h[j]
                    h[j] = 0 if h[j] < 0 else h[j]
            else:
                _tanh_of_sum(sums[row], h)
        barrier(counter, num_threads)


@native
def simple_rnn_backward(
    thread, num_threads, counter, scratch, d_hiddens, inputs, hidden, mask, kernel, backwards, bfloat16, relu, hiddens,
    dz, d_kernel, d_recurrent, d_bias, d_hidden,
):  # fmt: skip
    batch, time, units = hiddens.shape
    first_panel, num_panels, width, start, end = _thread_range(thread, num_threads, batch, units, bfloat16)
    panels = pack_transposed(kernel, 0, units, first_panel, num_panels, width, bfloat16, scratch[thread])
    d_before = np.zeros((whole_tiles(batch), num_panels * width), np.float32)
    d_h, words = np.empty((batch, end - start), np.float32), _words(batch, units, bfloat16)
    first, last, increment = _order(time, backwards)
    for t in range(last, first - increment, -increment):
        for row in range(batch):
            h, d_z = hiddens[row, t, start:end], dz[row, t, start:end]
            _add(d_hiddens[row, t, start:end], d_before[row], d_h[row])
            if mask.size and not mask[row, t]:
                d_z[:] = 0
            elif relu:
                for j in range(h.size):
                    d_z[j] = d_h[row, j] if h[j] > 0 else 0
            else:
                _copy(h, d_z)
                _tanh_gradient(d_z, d_h[row])
        barrier(counter, num_threads)
        _round_step(dz, t, 0, units, words)
        _multiply_step(dz, t, 0, words, panels, 0, num_panels, d_before)
        _copy_masked(mask, t, d_h, d_before[:, : end - start])
    d_hidden[:, start:end] = d_before[:batch, : end - start]
    _kernel_gradient(thread, num_threads, scratch, inputs, dz, bfloat16, d_kernel, d_bias)
    _recurrent_gradient(thread, num_threads, scratch, hidden, hiddens, dz, backwards, units, bfloat16, d_recurrent)


@native
def lstm_forward(
    thread, num_threads, counter, scratch, inputs, input_kernel, bias, hidden, cell, mask, kernel, backwards, bfloat16,
    hiddens, cells, gates,
):  # fmt: skip
    """`gates` `(batch, time, 4 units)`: z at first, then i, f, g, o after their activations."""
    _project(thread, num_threads, counter, scratch, inputs, input_kernel, bias, bfloat16, gates)
    batch, time, units = hiddens.shape
    first_panel, num_panels, width, _, units_end = _thread_range(thread, num_threads, batch, units, bfloat16)
    panels = _pack_gates(kernel, 4, first_panel, num_panels, width, bfloat16, scratch[thread])
    sums = np.empty((4, whole_tiles(batch), _PANELS_AT_ONCE * width), np.float32)
    words = _words(batch, units, bfloat16)
    first, last, increment = _order(time, backwards)
    for t in range(first, last + increment, increment):
        _round_state(hiddens, hidden, t, backwards, words)
        for panel in range(0, num_panels, _PANELS_AT_ONCE):
            next_panel = min(panel + _PANELS_AT_ONCE, num_panels)
            start, end = (first_panel + panel) * width, min((first_panel + next_panel) * width, units_end)
            for gate in range(4):
                _multiply_state(hiddens, hidden, t, backwards, words, panels[gate], panel, next_panel, sums[gate])
            for row in range(batch):
                h, c = hiddens[row, t, start:end], cells[row, t, start:end]
                c_before = _state_before(cells, cell, row, t, backwards, start, end)
                if mask.size and not mask[row, t]:
                    _copy(_state_before(hiddens, hidden, row, t, backwards, start, end), h)
                    _copy(c_before, c)
                    continue
                i, f, g, o = _split_4(gates[row, t], start, end)
                _sigmoid_of_sum(sums[0, row], i)
                _sigmoid_of_sum(sums[1, row], f)
                _tanh_of_sum(sums[2, row], g)
                _sigmoid_of_sum(sums[3, row], o)
                for j in range(c.size):
                    c[j] = f[j] * c_before[j] + i[j] * g[j]
                for j in range(c.size):
                    h[j] = o[j] * _tanh(c[j])
        barrier(counter, num_threads)


@native
def lstm_backward(
    thread, num_threads, counter, scratch, d_hiddens, d_cells, inputs, hidden, cell, mask, kernel, backwards, bfloat16,
    hiddens, cells, dz, d_kernel, d_recurrent, d_bias, d_hidden, d_cell,
):  # fmt: skip
    """`d_cells` `(batch, time or 1, units)`: dL/dc after every step, or after the last one only. `dz`: the gates; each
    step is overwritten with its derivatives.
    """
    batch, time, units = cells.shape
    first_panel, num_panels, width, start, end = _thread_range(thread, num_threads, batch, units, bfloat16)
    panels = pack_transposed(kernel, 0, 4 * units, first_panel, num_panels, width, bfloat16, scratch[thread])
    d_before = np.zeros((whole_tiles(batch), num_panels * width), np.float32)
    d_h, squashed = np.empty((batch, end - start), np.float32), np.empty(end - start, np.float32)
    d_f, d_g, d_i = (
        np.empty(end - start, np.float32),
        np.empty(end - start, np.float32),
        np.empty(end - start, np.float32),
    )
    words = _words(batch, 4 * units, bfloat16)
    d_cell[:, start:end] = 0
    first, last, increment = _order(time, backwards)
    for t in range(last, first - increment, -increment):
        for row in range(batch):
            c, d_c = cells[row, t, start:end], d_cell[row, start:end]
            _add(d_hiddens[row, t, start:end], d_before[row], d_h[row])
            if d_cells.shape[1] == time:
                _add(d_c, d_cells[row, t, start:end], d_c)
            elif t == last:
                _add(d_c, d_cells[row, 0, start:end], d_c)
            i, f, g, o = _split_4(dz[row, t], start, end)
            if mask.size and not mask[row, t]:
                i[:] = 0
                f[:] = 0
                g[:] = 0
                o[:] = 0
                continue
            for j in range(c.size):
                squashed[j] = _tanh(c[j])
            for j in range(c.size):
                d_c[j] += d_h[row, j] * o[j] * (1 - squashed[j] * squashed[j])
            _times(d_c, g, d_i)
            _times(d_c, _state_before(cells, cell, row, t, backwards, start, end), d_f)
            _times(d_c, i, d_g)
            _times(d_c, f, d_c)
            _times(d_h[row], squashed, squashed)
            _sigmoid_gradient(i, d_i)
            _sigmoid_gradient(f, d_f)
            _tanh_gradient(g, d_g)
            _sigmoid_gradient(o, squashed)
        barrier(counter, num_threads)
        _round_step(dz, t, 0, 4 * units, words)
        _multiply_step(dz, t, 0, words, panels, 0, num_panels, d_before)
        _copy_masked(mask, t, d_h, d_before[:, : end - start])
    d_hidden[:, start:end] = d_before[:batch, : end - start]
    _kernel_gradient(thread, num_threads, scratch, inputs, dz, bfloat16, d_kernel, d_bias)
    _recurrent_gradient(thread, num_threads, scratch, hidden, hiddens, dz, backwards, 4 * units, bfloat16, d_recurrent)


@native
def gru_forward(
    thread, num_threads, counter, scratch, inputs, input_kernel, bias, hidden, mask, kernel, candidate_bias, backwards,
    bfloat16, reset_after, hiddens, gates, factors,
):  # fmt: skip
    """`gates` `(batch, time, 3 units)`: as in `lstm_forward`. `factors` `(batch, time, units)`: h U_g + b' with
    `reset_after`, r h without.
    """
    _project(thread, num_threads, counter, scratch, inputs, input_kernel, bias, bfloat16, gates)
    batch, time, units = hiddens.shape
    first_panel, num_panels, width, start, end = _thread_range(thread, num_threads, batch, units, bfloat16)
    panels = _pack_gates(kernel, 3, first_panel, num_panels, width, bfloat16, scratch[thread])
    sums = np.empty((3, whole_tiles(batch), num_panels * width), np.float32)
    words = _words(batch, units, bfloat16)
    first, last, increment = _order(time, backwards)
    for t in range(first, last + increment, increment):
        _round_state(hiddens, hidden, t, backwards, words)
        for gate in range(3 if reset_after else 2):
            _multiply_state(hiddens, hidden, t, backwards, words, panels[gate], 0, num_panels, sums[gate])
        for row in range(batch):
            factor = factors[row, t, start:end]
            if mask.size and not mask[row, t]:
                factor[:] = 0
                continue
            u, r, _ = _split_3(gates[row, t], start, end)
            _sigmoid_of_sum(sums[0, row], u)
            _sigmoid_of_sum(sums[1, row], r)
            if reset_after:
                _add(sums[2, row], candidate_bias[start:end], factor)
                _times(r, factor, sums[2, row, : r.size])
            else:
                _times(r, _state_before(hiddens, hidden, row, t, backwards, start, end), factor)
        if not reset_after:
            barrier(counter, num_threads)
            _round_step(factors, t, 0, units, words)
            _multiply_step(factors, t, 0, words, panels[2], 0, num_panels, sums[2])
        for row in range(batch):
            h, h_before = hiddens[row, t, start:end], _state_before(hiddens, hidden, row, t, backwards, start, end)
            if mask.size and not mask[row, t]:
                _copy(h_before, h)
                continue
            u, _, g = _split_3(gates[row, t], start, end)
            _tanh_of_sum(sums[2, row], g)
            for j in range(h.size):
                h[j] = g[j] + u[j] * (h_before[j] - g[j])
        barrier(counter, num_threads)


@native
def gru_backward(
    thread, num_threads, counter, scratch, d_hiddens, inputs, hidden, mask, kernel, backwards, bfloat16, reset_after,
    hiddens, factors, dz, d_sums, d_kernel, d_recurrent, d_bias, d_hidden,
):  # fmt: skip
    """`dz`: as in `lstm_backward`. `d_sums` `(batch, time, 3 units)`: dL/d(h U), computed with `reset_after` only."""
    batch, time, units = hiddens.shape
    first_panel, num_panels, width, start, end = _thread_range(thread, num_threads, batch, units, bfloat16)
    depth, candidate_depth = (3 * units, 0) if reset_after else (2 * units, units)
    panels = pack_transposed(kernel, 0, depth, first_panel, num_panels, width, bfloat16, scratch[thread])
    rest = scratch[thread, panels.size :]
    candidate_panels = pack_transposed(
        kernel, 2 * units, candidate_depth, first_panel, num_panels, width, bfloat16, rest
    )
    d_before = np.zeros((whole_tiles(batch), num_panels * width), np.float32)
    d_reset = np.empty_like(d_before)
    d_h, d_carried = np.empty((batch, end - start), np.float32), np.zeros((batch, end - start), np.float32)
    d_gate, d_g = np.empty(end - start, np.float32), np.empty(end - start, np.float32)
    words, candidate_words = _words(batch, depth, bfloat16), _words(batch, candidate_depth, bfloat16)
    first, last, increment = _order(time, backwards)
    for t in range(last, first - increment, -increment):
        for row in range(batch):
            _add(d_hiddens[row, t, start:end], d_before[row], d_h[row])
            u, r, g = _split_3(dz[row, t], start, end)
            if mask.size and not mask[row, t]:
                u[:] = 0
                r[:] = 0
                g[:] = 0
                if reset_after:
                    d_sums[row, t, 2 * units + start : 2 * units + end] = 0
            else:
                h_before = _state_before(hiddens, hidden, row, t, backwards, start, end)
                _times(d_h[row], u, d_carried[row])
                for j in range(u.size):
                    d_g[j] = d_h[row, j] * (1 - u[j])
                for j in range(u.size):
                    d_gate[j] = d_h[row, j] * (h_before[j] - g[j])
                _sigmoid_gradient(u, d_gate)
                _tanh_gradient(g, d_g)
                if reset_after:
                    _times(g, factors[row, t, start:end], d_gate)
                    _times(g, r, d_sums[row, t, 2 * units + start : 2 * units + end])
                    _sigmoid_gradient(r, d_gate)
            if reset_after:
                _copy(u, d_sums[row, t, start:end])
                _copy(r, d_sums[row, t, units + start : units + end])
        barrier(counter, num_threads)
        if reset_after:
            _round_step(d_sums, t, 0, depth, words)
            _multiply_step(d_sums, t, 0, words, panels, 0, num_panels, d_before)
        else:
            _round_step(dz, t, 2 * units, 3 * units, candidate_words)
            _multiply_step(dz, t, 2 * units, candidate_words, candidate_panels, 0, num_panels, d_reset)
            for row in range(batch):
                if mask.size and not mask[row, t]:
                    continue
                _, r, _ = _split_3(dz[row, t], start, end)
                for j in range(r.size):
                    d_carried[row, j] += d_reset[row, j] * r[j]
                _times(d_reset[row], _state_before(hiddens, hidden, row, t, backwards, start, end), d_gate)
                _sigmoid_gradient(r, d_gate)
            barrier(counter, num_threads)
            _round_step(dz, t, 0, depth, words)
            _multiply_step(dz, t, 0, words, panels, 0, num_panels, d_before)
        for row in range(batch):
            _add(d_before[row], d_carried[row], d_before[row, : end - start])
        _copy_masked(mask, t, d_h, d_before[:, : end - start])
    d_hidden[:, start:end] = d_before[:batch, : end - start]
    _kernel_gradient(thread, num_threads, scratch, inputs, dz, bfloat16, d_kernel, d_bias)
    if reset_after:
        _recurrent_gradient(
            thread, num_threads, scratch, hidden, hiddens, d_sums, backwards, 3 * units, bfloat16, d_recurrent
        )
    else:
        _recurrent_gradient(
            thread, num_threads, scratch, hidden, hiddens, dz, backwards, 2 * units, bfloat16, d_recurrent
        )
        product(
            thread, num_threads, scratch, _rows(factors), True, _all_rows(), _rows(dz), False, 2 * units, units,
            bfloat16, d_recurrent, False,
        )  # fmt: skip
