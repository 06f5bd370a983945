"""Whole recurrent sequences, compiled for the machine that they run on: from inputs to states, and all gradients.

Each thread has some of the units to itself: its part of the recurrent kernel lies in its core's cache, and so do the
gates and derivatives of its units. But each unit reads all of h, so the threads meet once a step. Nothing here knows
TensorFlow. Arrays are contiguous, float32 or float64, time-major `(time, batch, ...)`; masks are bool `(time, batch)`,
or of no size. `kernels` has the equations; z, the inputs of the gates, becomes the gates where it lies.
"""

import math
import sys
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from shared.recurrent.products import (
    meet,
    multiply,
    native,
    pack,
    pack_transposed,
    panel_width,
    product,
    share,
    team,
    together,
)

_CHUNK = 4  # panels of each gate from one look at the gates to the next: their products are still in the nearest cache


def _tanh(x):
    return math.tanh(x)


@overload(_tanh, inline="always")
def _compiled_tanh(x):
    if x != types.float32:
        return lambda x: math.tanh(x)

    def rational(x):
        # x P(x^2) / Q(x^2), fitted to a relative error of 2e-8 up to 9, beyond which tanh is 1; in float32 within 4e-7.
        # The comparisons leave what is not a number as it is.
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

    return rational


# A step in plain loops over a row's units, of few arrays each, so that every one of them becomes vector instructions.


@native
def _copy(a, out):
    for j in range(out.size):
        out[j] = a[j]


@native
def _sum(a, b, out):
    for j in range(out.size):
        out[j] = a[j] + b[j]


@native
def _product(a, b, out):
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
    half = z.dtype.type(0.5)
    for j in range(z.size):
        z[j] = half + half * _tanh(half * (a[j] + z[j]))


@native
def _through_tanh(y, d):
    """y <- d times the slope of tanh where it is y"""
    for j in range(y.size):
        y[j] = d[j] * (1 - y[j] * y[j])


@native
def _through_sigmoid(y, d):
    """y <- d times the slope of the sigmoid where it is y"""
    for j in range(y.size):
        y[j] = d[j] * (y[j] - y[j] * y[j])


@native
def _three(row, begin, end):
    """The units from `begin` to before `end` of three gates that lie side by side."""
    units = row.size // 3
    return row[begin:end], row[units + begin : units + end], row[2 * units + begin : 2 * units + end]


@native
def _four(row, begin, end):
    units = row.size // 4
    return (
        row[begin:end],
        row[units + begin : units + end],
        row[2 * units + begin : 2 * units + end],
        row[3 * units + begin : 3 * units + end],
    )


@native
def _part(thread, threads, batch, units, itemsize):
    """What a thread has: panels from `first` to before `after`, their width; units from `begin` to before `end`."""
    width = panel_width(batch, itemsize)
    first, after = share(-(-units // width), thread, threads)
    return first, after, width, min(first * width, units), min(after * width, units)


@native
def _carry(mask, t, d_h, d_before):
    """Where a row was masked, h was carried over, and so is its derivative."""
    if mask.size:
        for row in range(d_h.shape[0]):
            if not mask[t, row]:
                _copy(d_h[row], d_before[row])


@native
def _flat(x):
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


@native
def _project(thread, threads, counter, inputs, kernel, bias, z):
    """z = x W + b for all steps."""
    begin, end = share(bias.size, thread, threads)
    for t in range(z.shape[0]):
        for row in range(z.shape[1]):
            _copy(bias[begin:end], z[t, row, begin:end])
    meet(counter, threads)
    product(thread, threads, _flat(inputs), False, kernel, False, 0, bias.size, _flat(z), True)
    meet(counter, threads)


@native
def _recurrent_gradient(thread, threads, hidden, hiddens, d_sums, columns, out):
    """dL/dU from dL/d(h U), the first `columns` of both."""
    product(thread, threads, hidden, True, d_sums[0], False, 0, columns, out, False)
    product(thread, threads, _flat(hiddens[:-1]), True, _flat(d_sums[1:]), False, 0, columns, out, True)


@native
def _kernel_gradient(thread, threads, inputs, dz, d_kernel, d_bias):
    """dL/dW and dL/db from dL/dz."""
    product(thread, threads, _flat(inputs), True, _flat(dz), False, 0, d_bias.size, d_kernel, False)
    begin, end = share(d_bias.size, thread, threads)
    sums = np.empty(end - begin, dz.dtype)
    d_bias[begin:end] = 0
    for t in range(dz.shape[0]):  # first over a step, then over time: small numbers are lost in a large one
        sums[:] = 0
        for row in range(dz.shape[1]):
            _sum(sums, dz[t, row, begin:end], sums)
        _sum(d_bias[begin:end], sums, d_bias[begin:end])


@native
def _inputs_gradient(thread, threads, counter, dz, kernel, d_inputs):
    product(thread, threads, _flat(dz), False, kernel, True, 0, d_inputs.shape[2], _flat(d_inputs), False)


@native
def _rnn_forward(thread, threads, counter, inputs, input_kernel, bias, hidden, mask, kernel, relu, hiddens):
    """`hiddens`: z at first, then h."""
    _project(thread, threads, counter, inputs, input_kernel, bias, hiddens)
    time, batch, units = hiddens.shape
    first, after, width, begin, end = _part(thread, threads, batch, units, hiddens.itemsize)
    panels = pack(kernel, 0, units, first, after, width)
    sums = np.empty((batch, (after - first) * width), hiddens.dtype)
    for t in range(time):
        before = hiddens[t - 1] if t else hidden
        multiply(before, 0, panels, 0, after - first, sums)
        for row in range(batch):
            h = hiddens[t, row, begin:end]
            if mask.size and not mask[t, row]:
                _copy(before[row, begin:end], h)
            elif relu:
                for j in range(h.size):
                    h[j] = sums[row, j] + h[j]
                    h[j] = 0 if h[j] < 0 else h[j]
            else:
                _tanh_of_sum(sums[row], h)
        meet(counter, threads)


@native
def _rnn_backward(
    thread,
    threads,
    counter,
    d_hiddens,
    inputs,
    hidden,
    mask,
    kernel,
    relu,
    hiddens,
    dz,
    d_kernel,
    d_recurrent,
    d_bias,
    d_hidden,
):
    time, batch, units = hiddens.shape
    first, after, width, begin, end = _part(thread, threads, batch, units, dz.itemsize)
    panels = pack_transposed(kernel, 0, units, first, after, width)
    d_before = np.zeros((batch, (after - first) * width), dz.dtype)
    d_h = np.empty((batch, end - begin), dz.dtype)
    for t in range(time - 1, -1, -1):
        for row in range(batch):
            h, d_z = hiddens[t, row, begin:end], dz[t, row, begin:end]
            _sum(d_hiddens[t, row, begin:end], d_before[row], d_h[row])
            if mask.size and not mask[t, row]:
                d_z[:] = 0
            elif relu:
                for j in range(h.size):
                    d_z[j] = d_h[row, j] if h[j] > 0 else 0
            else:
                _copy(h, d_z)
                _through_tanh(d_z, d_h[row])
        meet(counter, threads)
        multiply(dz[t], 0, panels, 0, after - first, d_before)
        _carry(mask, t, d_h, d_before[:, : end - begin])
    d_hidden[:, begin:end] = d_before[:, : end - begin]
    _kernel_gradient(thread, threads, inputs, dz, d_kernel, d_bias)
    _recurrent_gradient(thread, threads, hidden, hiddens, dz, units, d_recurrent)


@native
def _lstm_forward(
    thread, threads, counter, inputs, input_kernel, bias, hidden, cell, mask, kernel, hiddens, cells, gates
):
    """`gates`: z at first, then what the gates make of it."""
    _project(thread, threads, counter, inputs, input_kernel, bias, gates)
    time, batch, units = hiddens.shape
    first, after, width, _, last = _part(thread, threads, batch, units, gates.itemsize)
    panels = [pack(kernel, gate * units, units, first, after, width) for gate in range(4)]
    sums = np.empty((4, batch, _CHUNK * width), gates.dtype)
    for t in range(time):
        before, cells_before = (hiddens[t - 1], cells[t - 1]) if t else (hidden, cell)
        for panel in range(first, after, _CHUNK):
            next_panel = min(panel + _CHUNK, after)
            begin, end = panel * width, min(next_panel * width, last)
            for gate in range(4):
                multiply(before, 0, panels[gate], panel - first, next_panel - first, sums[gate])
            for row in range(batch):
                h, c, c_before = hiddens[t, row, begin:end], cells[t, row, begin:end], cells_before[row, begin:end]
                if mask.size and not mask[t, row]:
                    _copy(before[row, begin:end], h)
                    _copy(c_before, c)
                    continue
                i, f, g, o = _four(gates[t, row], begin, end)
                _sigmoid_of_sum(sums[0, row], i)
                _sigmoid_of_sum(sums[1, row], f)
                _tanh_of_sum(sums[2, row], g)
                _sigmoid_of_sum(sums[3, row], o)
                for j in range(c.size):
                    c[j] = f[j] * c_before[j] + i[j] * g[j]
                for j in range(c.size):
                    h[j] = o[j] * _tanh(c[j])
        meet(counter, threads)


@native
def _lstm_backward(
    thread,
    threads,
    counter,
    d_hiddens,
    d_cells,
    inputs,
    hidden,
    cell,
    mask,
    kernel,
    hiddens,
    cells,
    dz,
    d_kernel,
    d_recurrent,
    d_bias,
    d_hidden,
    d_cell,
):
    """`d_cells` `(time or 1, batch, units)`: dL/dc from outside, at every step or at the last alone.

    `dz`: the gates at first, of which each step's are read just before its derivatives take their place.
    """
    time, batch, units = cells.shape
    first, after, width, begin, end = _part(thread, threads, batch, units, dz.itemsize)
    panels = pack_transposed(kernel, 0, 4 * units, first, after, width)
    d_before = np.zeros((batch, (after - first) * width), dz.dtype)
    d_h, squashed = np.empty((batch, end - begin), dz.dtype), np.empty(end - begin, dz.dtype)
    d_f, d_g, d_i = (np.empty(end - begin, dz.dtype), np.empty(end - begin, dz.dtype), np.empty(end - begin, dz.dtype))
    d_cell[:, begin:end] = 0
    for t in range(time - 1, -1, -1):
        cells_before = cells[t - 1] if t else cell
        for row in range(batch):
            c, d_c = cells[t, row, begin:end], d_cell[row, begin:end]
            _sum(d_hiddens[t, row, begin:end], d_before[row], d_h[row])
            if t >= time - len(d_cells):
                _sum(d_c, d_cells[t - time, row, begin:end], d_c)
            i, f, g, o = _four(dz[t, row], begin, end)
            if mask.size and not mask[t, row]:
                i[:] = 0
                f[:] = 0
                g[:] = 0
                o[:] = 0
                continue
            for j in range(c.size):
                squashed[j] = _tanh(c[j])
            for j in range(c.size):
                d_c[j] += d_h[row, j] * o[j] * (1 - squashed[j] * squashed[j])
            _product(d_c, g, d_i)
            _product(d_c, cells_before[row, begin:end], d_f)
            _product(d_c, i, d_g)
            _product(d_c, f, d_c)
            _product(d_h[row], squashed, squashed)
            _through_sigmoid(i, d_i)
            _through_sigmoid(f, d_f)
            _through_tanh(g, d_g)
            _through_sigmoid(o, squashed)
        meet(counter, threads)
        multiply(dz[t], 0, panels, 0, after - first, d_before)
        _carry(mask, t, d_h, d_before[:, : end - begin])
    d_hidden[:, begin:end] = d_before[:, : end - begin]
    _kernel_gradient(thread, threads, inputs, dz, d_kernel, d_bias)
    _recurrent_gradient(thread, threads, hidden, hiddens, dz, 4 * units, d_recurrent)


@native
def _gru_forward(
    thread,
    threads,
    counter,
    inputs,
    input_kernel,
    bias,
    hidden,
    mask,
    kernel,
    candidate_bias,
    reset_after,
    hiddens,
    gates,
    factors,
):
    """`gates`: as in `_lstm_forward`. `factors` `(time, batch, units)`: h U_g + b' with `reset_after`; r h without."""
    _project(thread, threads, counter, inputs, input_kernel, bias, gates)
    time, batch, units = hiddens.shape
    first, after, width, first_unit, last_unit = _part(thread, threads, batch, units, gates.itemsize)
    panels = [pack(kernel, gate * units, units, first, after, width) for gate in range(3)]
    sums = np.empty((3, batch, (after - first) * width), gates.dtype)
    for t in range(time):
        before = hiddens[t - 1] if t else hidden
        for gate in range(3 if reset_after else 2):
            multiply(before, 0, panels[gate], 0, after - first, sums[gate])
        for row in range(batch):
            if mask.size and not mask[t, row]:
                factors[t, row, first_unit:last_unit] = 0
                continue
            u, r, _ = _three(gates[t, row], first_unit, last_unit)
            factor = factors[t, row, first_unit:last_unit]
            _sigmoid_of_sum(sums[0, row], u)
            _sigmoid_of_sum(sums[1, row], r)
            if reset_after:
                _sum(sums[2, row], candidate_bias[first_unit:last_unit], factor)
                _product(r, factor, sums[2, row, : r.size])
            else:
                _product(r, before[row, first_unit:last_unit], factor)
        if not reset_after:
            meet(counter, threads)
            multiply(factors[t], 0, panels[2], 0, after - first, sums[2])
        for row in range(batch):
            h, h_before = hiddens[t, row, first_unit:last_unit], before[row, first_unit:last_unit]
            if mask.size and not mask[t, row]:
                _copy(h_before, h)
                continue
            u, _, g = _three(gates[t, row], first_unit, last_unit)
            _tanh_of_sum(sums[2, row], g)
            for j in range(h.size):
                h[j] = g[j] + u[j] * (h_before[j] - g[j])
        meet(counter, threads)


@native
def _gru_backward(
    thread,
    threads,
    counter,
    d_hiddens,
    inputs,
    hidden,
    mask,
    kernel,
    reset_after,
    hiddens,
    factors,
    dz,
    d_sums,
    d_kernel,
    d_recurrent,
    d_bias,
    d_hidden,
):
    """`dz`: the gates at first. `d_sums` `(time, batch, 3 units)`: dL/d(h U), with `reset_after` alone."""
    time, batch, units = hiddens.shape
    first, after, width, begin, end = _part(thread, threads, batch, units, dz.itemsize)
    panels = pack_transposed(kernel, 0, (3 if reset_after else 2) * units, first, after, width)
    candidate = pack_transposed(kernel, 2 * units, 0 if reset_after else units, first, after, width)
    d_before = np.zeros((batch, (after - first) * width), dz.dtype)
    d_reset = np.empty_like(d_before)
    d_h, d_direct = np.empty((batch, end - begin), dz.dtype), np.zeros((batch, end - begin), dz.dtype)
    d_gate, d_g = np.empty(end - begin, dz.dtype), np.empty(end - begin, dz.dtype)
    for t in range(time - 1, -1, -1):
        before = hiddens[t - 1] if t else hidden
        for row in range(batch):
            _sum(d_hiddens[t, row, begin:end], d_before[row], d_h[row])
            u, r, g = _three(dz[t, row], begin, end)
            if mask.size and not mask[t, row]:
                u[:] = 0
                r[:] = 0
                g[:] = 0
                if reset_after:
                    d_sums[t, row, 2 * units + begin : 2 * units + end] = 0
            else:
                _product(d_h[row], u, d_direct[row])
                for j in range(u.size):
                    d_g[j] = d_h[row, j] * (1 - u[j])
                for j in range(u.size):
                    d_gate[j] = d_h[row, j] * (before[row, begin + j] - g[j])
                _through_sigmoid(u, d_gate)
                _through_tanh(g, d_g)
                if reset_after:
                    _product(g, factors[t, row, begin:end], d_gate)
                    _product(g, r, d_sums[t, row, 2 * units + begin : 2 * units + end])
                    _through_sigmoid(r, d_gate)
            if reset_after:
                _copy(u, d_sums[t, row, begin:end])
                _copy(r, d_sums[t, row, units + begin : units + end])
        meet(counter, threads)
        if reset_after:
            multiply(d_sums[t], 0, panels, 0, after - first, d_before)
        else:
            multiply(dz[t], 2 * units, candidate, 0, after - first, d_reset)
            for row in range(batch):
                if mask.size and not mask[t, row]:
                    continue
                _, r, _ = _three(dz[t, row], begin, end)
                for j in range(r.size):
                    d_direct[row, j] += d_reset[row, j] * r[j]
                _product(d_reset[row], before[row, begin:end], d_gate)
                _through_sigmoid(r, d_gate)
            meet(counter, threads)
            multiply(dz[t], 0, panels, 0, after - first, d_before)
        for row in range(batch):
            _sum(d_before[row], d_direct[row], d_before[row, : end - begin])
        _carry(mask, t, d_h, d_before[:, : end - begin])
    d_hidden[:, begin:end] = d_before[:, : end - begin]
    _kernel_gradient(thread, threads, inputs, dz, d_kernel, d_bias)
    if reset_after:
        _recurrent_gradient(thread, threads, hidden, hiddens, d_sums, 3 * units, d_recurrent)
    else:
        _recurrent_gradient(thread, threads, hidden, hiddens, dz, 2 * units, d_recurrent)
        product(thread, threads, _flat(factors), True, _flat(dz), False, 2 * units, units, d_recurrent, False)


class _Buffers:
    """Memory to use again: new pages took a quarter of a training step of (20, 35, 200).

    A buffer is free once nothing refers to it but this list: no array, and no tensor that took one over.
    """

    def __init__(self):
        self.all: list[np.ndarray] = []
        self.lock = threading.Lock()

    def take(self, size: int) -> np.ndarray:
        """At least so many bytes, uint8, and at most twice as many."""
        with self.lock:
            free = [i for i in range(len(self.all)) if sys.getrefcount(self.all[i]) == 2]
            for i in free:
                if size <= self.all[i].size <= 2 * size:
                    return self.all[i]
            if len(self.all) >= _MOST_BUFFERS:
                for i in reversed(free):
                    del self.all[i]
            self.all.append(np.empty(size, np.uint8))
            return self.all[-1]


_MOST_BUFFERS = 64
_buffers = _Buffers()


def _array(*shape: int, dtype: Any) -> np.ndarray:
    """An array that TensorFlow takes over without a copy: it wants them to begin at a multiple of 64 bytes."""
    size = math.prod(shape) * dtype.itemsize
    whole = _buffers.take(size + 64)
    begin = -whole.ctypes.data % 64
    return whole[begin : begin + size].view(dtype).reshape(shape)


def _run(loop: Callable, hidden: np.ndarray, *arguments: Any) -> None:
    batch, units = hidden.shape
    together(loop, team(batch, units, hidden.itemsize), *arguments)


def _check(inputs: np.ndarray, kernel: np.ndarray, mask: np.ndarray, recurrent_kernel: np.ndarray, *states) -> None:
    """Machine code reads on where an array ends."""
    _, batch, features = inputs.shape
    units = len(recurrent_kernel)
    for state in states:
        if state.shape != (batch, units):
            raise ValueError(f"states must be {(batch, units)}, (batch, units). Received: {state.shape}")
    if len(kernel) != features:
        raise ValueError(f"inputs must have {len(kernel)} features. Received: {features}")
    if mask.size and mask.shape != inputs.shape[:2]:
        raise ValueError(f"the mask must be {inputs.shape[:2]}, (time, batch). Received: {mask.shape}")


def _like(*arrays: np.ndarray) -> list[np.ndarray]:
    return [_array(*x.shape, dtype=x.dtype) for x in arrays]


def simple_rnn(inputs, kernel, bias, hidden, mask, recurrent_kernel, relu):
    """h after each step, `(time, batch, units)`; arguments as in `kernels.simple_rnn`."""
    _check(inputs, kernel, mask, recurrent_kernel, hidden)
    hiddens = _array(len(inputs), *hidden.shape, dtype=inputs.dtype)
    _run(_rnn_forward, hidden, inputs, kernel, bias, hidden, mask, recurrent_kernel, bool(relu), hiddens)
    return hiddens


def simple_rnn_gradient(d_hiddens, inputs, kernel, bias, hidden, mask, recurrent_kernel, relu, hiddens):
    """From dL/dh after every step dL/dz, then those of W, U, b, and of the first h."""
    results = _like(hiddens, kernel, recurrent_kernel, bias, hidden)
    known = d_hiddens, inputs, hidden, mask, recurrent_kernel, bool(relu), hiddens
    _run(_rnn_backward, hidden, *known, *results)
    return results


def lstm(inputs, kernel, bias, hidden, cell, mask, recurrent_kernel):
    """h and c after each step, `(time, batch, units)`; the gates, `(time, batch, 4 units)`; 0, see `_taken`."""
    _check(inputs, kernel, mask, recurrent_kernel, hidden, cell)
    time, batch, units = len(inputs), *hidden.shape
    results = [_array(time, batch, width, dtype=inputs.dtype) for width in (units, units, 4 * units)]
    _run(_lstm_forward, hidden, inputs, kernel, bias, hidden, cell, mask, recurrent_kernel, *results)
    return [*results, np.zeros(1, inputs.dtype)]


def lstm_gradient(
    d_hiddens, d_cells, inputs, kernel, bias, hidden, cell, mask, recurrent_kernel, hiddens, cells, gates, spent
):
    """From dL/dh after every step, and dL/dc after the last or every one: dL/dz, those of W, U, b, first h and c."""
    if not _taken(spent):
        gates = lstm(inputs, kernel, bias, hidden, cell, mask, recurrent_kernel)[2]
    results = _like(kernel, recurrent_kernel, bias, hidden, cell)
    known = d_hiddens, d_cells, inputs, hidden, cell, mask, recurrent_kernel, hiddens, cells
    _run(_lstm_backward, hidden, *known, gates, *results)
    return [gates, *results]


def gru(inputs, kernel, bias, hidden, mask, recurrent_kernel, candidate_bias, reset_after):
    """h after each step; the gates, `(time, batch, 3 units)`; the factors, see `_gru_forward`; 0, see `_taken`."""
    _check(inputs, kernel, mask, recurrent_kernel, hidden)
    time, batch, units = len(inputs), *hidden.shape
    results = [_array(time, batch, width, dtype=inputs.dtype) for width in (units, 3 * units, units)]
    known = inputs, kernel, bias, hidden, mask, recurrent_kernel, candidate_bias, bool(reset_after)
    _run(_gru_forward, hidden, *known, *results)
    return [*results, np.zeros(1, inputs.dtype)]


def gru_gradient(
    d_hiddens,
    inputs,
    kernel,
    bias,
    hidden,
    mask,
    recurrent_kernel,
    candidate_bias,
    reset_after,
    hiddens,
    gates,
    factors,
    spent,
):
    """From dL/dh after every step dL/dz, dL/d(h U), with `reset_after` alone, those of W, U, b, and of the first h."""
    if not _taken(spent):
        gates = gru(inputs, kernel, bias, hidden, mask, recurrent_kernel, candidate_bias, reset_after)[1]
    d_sums, *results = _like(gates if reset_after else gates[:0], kernel, recurrent_kernel, bias, hidden)
    known = d_hiddens, inputs, hidden, mask, recurrent_kernel, bool(reset_after), hiddens, factors
    _run(_gru_backward, hidden, *known, gates, d_sums, *results)
    return [gates, d_sums, *results]


def _taken(spent: np.ndarray) -> bool:
    """Whether the gates may be overwritten by their derivatives: by the first who asks, a second takes the pass again.

    One gradient of a pass is the rule; a persistent tape can ask for more.
    """
    with _taking:
        taken = spent[0] == 0
        spent[0] = 1
    return bool(taken)


_taking = threading.Lock()


def inputs_gradient(dz, kernel):
    """dL/dx `(time, batch, features)` from dL/dz."""
    d_inputs = _array(*dz.shape[:2], len(kernel), dtype=dz.dtype)
    together(_inputs_gradient, team(dz.shape[0] * dz.shape[1], len(kernel), dz.itemsize), dz, kernel, d_inputs)
    return d_inputs
