"""Whole recurrent sequences, compiled for the machine that they run on: from inputs to states, and all gradients.

Each thread has some of the units to itself: its part of the recurrent kernel lies in its core's cache, and so do the
gates and derivatives of its units. But each unit reads all of h, so the threads meet once a step. Nothing here knows
TensorFlow. Arrays are contiguous, float32 or float64, `(batch, time, ...)`; masks are bool `(batch, time)`, or of no
size; `backwards` takes the steps from the last to the first. `recurrent.kernels` has the equations; z, the inputs of
the gates, becomes the gates where it lies.
"""

import math
import sys
import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

from shared.native.ahead import wait_for_compiled
from shared.native.products import (
    NONE,
    meet,
    multiply,
    native,
    pack,
    pack_transposed,
    panel_width,
    product,
    room_for,
    share,
    team,
    together,
)

wait_for_compiled()

_ALL = np.empty(0, np.int64)  # rows of a product: each in its place
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
def _pack_gates(kernel, gates, first, after, width, room):
    """A thread's part of each gate's kernel as panels."""
    units = kernel.shape[0]
    size = units * (after - first) * width
    return [pack(kernel, gate * units, units, first, after, width, room[gate * size :]) for gate in range(gates)]


@native
def _order(time, backwards):
    """The first step and the last, and how far it is from one to the next."""
    return (time - 1, 0, -1) if backwards else (0, time - 1, 1)


@native
def _line(x):
    return x.reshape(x.size)


@native
def _flat(x):
    return x.reshape(x.shape[0] * x.shape[1], x.shape[2])


@native
def _multiply_step(x, t, begin, panels, first, after, out):
    """`multiply` of what all rows have from `begin` on at step t."""
    batch, time, width = x.shape
    multiply(_line(x), t * width + begin, time * width, batch, panels, first, after, out)


@native
def _multiply_state(states, first_state, t, backwards, panels, first, after, out):
    """`multiply` of the states before step t."""
    batch, time, units = states.shape
    begun, _, way = _order(time, backwards)
    if t == begun:
        multiply(_line(first_state), 0, units, batch, panels, first, after, out)
    else:
        _multiply_step(states, t - way, 0, panels, first, after, out)


@native
def _before(states, first_state, row, t, backwards, begin, end):
    """A row's units before step t."""
    begun, _, way = _order(states.shape[1], backwards)
    return first_state[row, begin:end] if t == begun else states[row, t - way, begin:end]


@native
def _carry(mask, t, d_h, d_before):
    """Where a row was masked, h was carried over, and so is its derivative."""
    if mask.size:
        for row in range(d_h.shape[0]):
            if not mask[row, t]:
                _copy(d_h[row], d_before[row])


@native
def _project(thread, threads, counter, room, inputs, kernel, bias, z):
    """z = x W + b for all steps."""
    begin, end = share(bias.size, thread, threads)
    for row in range(z.shape[0]):
        for t in range(z.shape[1]):
            _copy(bias[begin:end], z[row, t, begin:end])
    meet(counter, threads)
    product(thread, threads, room, _flat(inputs), False, _ALL, kernel, False, 0, bias.size, _flat(z), True)
    meet(counter, threads)


@native
def _recurrent_gradient(thread, threads, room, hidden, hiddens, d_sums, backwards, columns, out):
    """dL/dU from dL/d(h U), the first `columns` of both."""
    batch, time, _ = hiddens.shape
    begun, _, way = _order(time, backwards)
    before = np.empty((batch, time), np.int64)
    for row in range(batch):
        for t in range(time):
            before[row, t] = NONE if t == begun else row * time + t - way
    product(thread, threads, room, _flat(hiddens), True, _line(before), _flat(d_sums), False, 0, columns, out, False)
    d_first = np.empty((batch, d_sums.shape[2]), d_sums.dtype)
    for row in range(batch):
        _copy(d_sums[row, begun], d_first[row])
    product(thread, threads, room, hidden, True, _ALL, d_first, False, 0, columns, out, True)


@native
def _kernel_gradient(thread, threads, room, inputs, dz, d_kernel, d_bias):
    """dL/dW and dL/db from dL/dz."""
    product(thread, threads, room, _flat(inputs), True, _ALL, _flat(dz), False, 0, d_bias.size, d_kernel, False)
    begin, end = share(d_bias.size, thread, threads)
    sums = np.empty(end - begin, dz.dtype)
    d_bias[begin:end] = 0
    for row in range(dz.shape[0]):  # first over a sequence, then over the batch: small numbers are lost in a large one
        sums[:] = 0
        for t in range(dz.shape[1]):
            _sum(sums, dz[row, t, begin:end], sums)
        _sum(d_bias[begin:end], sums, d_bias[begin:end])


@native
def _inputs_gradient(thread, threads, counter, room, dz, kernel, d_inputs):
    product(thread, threads, room, _flat(dz), False, _ALL, kernel, True, 0, d_inputs.shape[2], _flat(d_inputs), False)


@native
def _rnn_forward(
    thread, threads, counter, room, inputs, input_kernel, bias, hidden, mask, kernel, backwards, relu, hiddens
):
    """`hiddens`: z at first, then h."""
    _project(thread, threads, counter, room, inputs, input_kernel, bias, hiddens)
    batch, time, units = hiddens.shape
    first, after, width, begin, end = _part(thread, threads, batch, units, hiddens.itemsize)
    panels = pack(kernel, 0, units, first, after, width, room[thread])
    sums = np.empty((batch, (after - first) * width), hiddens.dtype)
    begun, last, way = _order(time, backwards)
    for t in range(begun, last + way, way):
        _multiply_state(hiddens, hidden, t, backwards, panels, 0, after - first, sums)
        for row in range(batch):
            h = hiddens[row, t, begin:end]
            if mask.size and not mask[row, t]:
                _copy(_before(hiddens, hidden, row, t, backwards, begin, end), h)
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
    room,
    d_hiddens,
    inputs,
    hidden,
    mask,
    kernel,
    backwards,
    relu,
    hiddens,
    dz,
    d_kernel,
    d_recurrent,
    d_bias,
    d_hidden,
):
    batch, time, units = hiddens.shape
    first, after, width, begin, end = _part(thread, threads, batch, units, dz.itemsize)
    panels = pack_transposed(kernel, 0, units, first, after, width, room[thread])
    d_before = np.zeros((batch, (after - first) * width), dz.dtype)
    d_h = np.empty((batch, end - begin), dz.dtype)
    begun, last, way = _order(time, backwards)
    for t in range(last, begun - way, -way):
        for row in range(batch):
            h, d_z = hiddens[row, t, begin:end], dz[row, t, begin:end]
            _sum(d_hiddens[row, t, begin:end], d_before[row], d_h[row])
            if mask.size and not mask[row, t]:
                d_z[:] = 0
            elif relu:
                for j in range(h.size):
                    d_z[j] = d_h[row, j] if h[j] > 0 else 0
            else:
                _copy(h, d_z)
                _through_tanh(d_z, d_h[row])
        meet(counter, threads)
        _multiply_step(dz, t, 0, panels, 0, after - first, d_before)
        _carry(mask, t, d_h, d_before[:, : end - begin])
    d_hidden[:, begin:end] = d_before[:, : end - begin]
    _kernel_gradient(thread, threads, room, inputs, dz, d_kernel, d_bias)
    _recurrent_gradient(thread, threads, room, hidden, hiddens, dz, backwards, units, d_recurrent)


@native
def _lstm_forward(
    thread,
    threads,
    counter,
    room,
    inputs,
    input_kernel,
    bias,
    hidden,
    cell,
    mask,
    kernel,
    backwards,
    hiddens,
    cells,
    gates,
):
    """`gates`: z at first, then what the gates make of it."""
    _project(thread, threads, counter, room, inputs, input_kernel, bias, gates)
    batch, time, units = hiddens.shape
    first, after, width, _, units_end = _part(thread, threads, batch, units, gates.itemsize)
    panels = _pack_gates(kernel, 4, first, after, width, room[thread])
    sums = np.empty((4, batch, _CHUNK * width), gates.dtype)
    begun, last, way = _order(time, backwards)
    for t in range(begun, last + way, way):
        for panel in range(first, after, _CHUNK):
            next_panel = min(panel + _CHUNK, after)
            begin, end = panel * width, min(next_panel * width, units_end)
            for gate in range(4):
                _multiply_state(
                    hiddens, hidden, t, backwards, panels[gate], panel - first, next_panel - first, sums[gate]
                )
            for row in range(batch):
                h, c = hiddens[row, t, begin:end], cells[row, t, begin:end]
                c_before = _before(cells, cell, row, t, backwards, begin, end)
                if mask.size and not mask[row, t]:
                    _copy(_before(hiddens, hidden, row, t, backwards, begin, end), h)
                    _copy(c_before, c)
                    continue
                i, f, g, o = _four(gates[row, t], begin, end)
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
    room,
    d_hiddens,
    d_cells,
    inputs,
    hidden,
    cell,
    mask,
    kernel,
    backwards,
    hiddens,
    cells,
    dz,
    d_kernel,
    d_recurrent,
    d_bias,
    d_hidden,
    d_cell,
):
    """`d_cells` `(batch, time or 1, units)`: dL/dc from outside, at every step or at the last alone.

    `dz`: the gates at first, of which each step's are read just before its derivatives take their place.
    """
    batch, time, units = cells.shape
    first, after, width, begin, end = _part(thread, threads, batch, units, dz.itemsize)
    panels = pack_transposed(kernel, 0, 4 * units, first, after, width, room[thread])
    d_before = np.zeros((batch, (after - first) * width), dz.dtype)
    d_h, squashed = np.empty((batch, end - begin), dz.dtype), np.empty(end - begin, dz.dtype)
    d_f, d_g, d_i = (np.empty(end - begin, dz.dtype), np.empty(end - begin, dz.dtype), np.empty(end - begin, dz.dtype))
    d_cell[:, begin:end] = 0
    begun, last, way = _order(time, backwards)
    for t in range(last, begun - way, -way):
        for row in range(batch):
            c, d_c = cells[row, t, begin:end], d_cell[row, begin:end]
            _sum(d_hiddens[row, t, begin:end], d_before[row], d_h[row])
            if d_cells.shape[1] == time:
                _sum(d_c, d_cells[row, t, begin:end], d_c)
            elif t == last:
                _sum(d_c, d_cells[row, 0, begin:end], d_c)
            i, f, g, o = _four(dz[row, t], begin, end)
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
            _product(d_c, g, d_i)
            _product(d_c, _before(cells, cell, row, t, backwards, begin, end), d_f)
            _product(d_c, i, d_g)
            _product(d_c, f, d_c)
            _product(d_h[row], squashed, squashed)
            _through_sigmoid(i, d_i)
            _through_sigmoid(f, d_f)
            _through_tanh(g, d_g)
            _through_sigmoid(o, squashed)
        meet(counter, threads)
        _multiply_step(dz, t, 0, panels, 0, after - first, d_before)
        _carry(mask, t, d_h, d_before[:, : end - begin])
    d_hidden[:, begin:end] = d_before[:, : end - begin]
    _kernel_gradient(thread, threads, room, inputs, dz, d_kernel, d_bias)
    _recurrent_gradient(thread, threads, room, hidden, hiddens, dz, backwards, 4 * units, d_recurrent)


@native
def _gru_forward(
    thread,
    threads,
    counter,
    room,
    inputs,
    input_kernel,
    bias,
    hidden,
    mask,
    kernel,
    candidate_bias,
    backwards,
    reset_after,
    hiddens,
    gates,
    factors,
):
    """`gates`: as in `_lstm_forward`. `factors` `(batch, time, units)`: h U_g + b' with `reset_after`; r h without."""
    _project(thread, threads, counter, room, inputs, input_kernel, bias, gates)
    batch, time, units = hiddens.shape
    first, after, width, begin, end = _part(thread, threads, batch, units, gates.itemsize)
    panels = _pack_gates(kernel, 3, first, after, width, room[thread])
    sums = np.empty((3, batch, (after - first) * width), gates.dtype)
    begun, last, way = _order(time, backwards)
    for t in range(begun, last + way, way):
        for gate in range(3 if reset_after else 2):
            _multiply_state(hiddens, hidden, t, backwards, panels[gate], 0, after - first, sums[gate])
        for row in range(batch):
            factor = factors[row, t, begin:end]
            if mask.size and not mask[row, t]:
                factor[:] = 0
                continue
            u, r, _ = _three(gates[row, t], begin, end)
            _sigmoid_of_sum(sums[0, row], u)
            _sigmoid_of_sum(sums[1, row], r)
            if reset_after:
                _sum(sums[2, row], candidate_bias[begin:end], factor)
                _product(r, factor, sums[2, row, : r.size])
            else:
                _product(r, _before(hiddens, hidden, row, t, backwards, begin, end), factor)
        if not reset_after:
            meet(counter, threads)
            _multiply_step(factors, t, 0, panels[2], 0, after - first, sums[2])
        for row in range(batch):
            h, h_before = hiddens[row, t, begin:end], _before(hiddens, hidden, row, t, backwards, begin, end)
            if mask.size and not mask[row, t]:
                _copy(h_before, h)
                continue
            u, _, g = _three(gates[row, t], begin, end)
            _tanh_of_sum(sums[2, row], g)
            for j in range(h.size):
                h[j] = g[j] + u[j] * (h_before[j] - g[j])
        meet(counter, threads)


@native
def _gru_backward(
    thread,
    threads,
    counter,
    room,
    d_hiddens,
    inputs,
    hidden,
    mask,
    kernel,
    backwards,
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
    """`dz`: the gates at first. `d_sums` `(batch, time, 3 units)`: dL/d(h U), with `reset_after` alone."""
    batch, time, units = hiddens.shape
    first, after, width, begin, end = _part(thread, threads, batch, units, dz.itemsize)
    panels = pack_transposed(kernel, 0, (3 if reset_after else 2) * units, first, after, width, room[thread])
    further = room[thread, panels.size :]
    candidate = pack_transposed(kernel, 2 * units, 0 if reset_after else units, first, after, width, further)
    d_before = np.zeros((batch, (after - first) * width), dz.dtype)
    d_reset = np.empty_like(d_before)
    d_h, d_direct = np.empty((batch, end - begin), dz.dtype), np.zeros((batch, end - begin), dz.dtype)
    d_gate, d_g = np.empty(end - begin, dz.dtype), np.empty(end - begin, dz.dtype)
    begun, last, way = _order(time, backwards)
    for t in range(last, begun - way, -way):
        for row in range(batch):
            _sum(d_hiddens[row, t, begin:end], d_before[row], d_h[row])
            u, r, g = _three(dz[row, t], begin, end)
            if mask.size and not mask[row, t]:
                u[:] = 0
                r[:] = 0
                g[:] = 0
                if reset_after:
                    d_sums[row, t, 2 * units + begin : 2 * units + end] = 0
            else:
                h_before = _before(hiddens, hidden, row, t, backwards, begin, end)
                _product(d_h[row], u, d_direct[row])
                for j in range(u.size):
                    d_g[j] = d_h[row, j] * (1 - u[j])
                for j in range(u.size):
                    d_gate[j] = d_h[row, j] * (h_before[j] - g[j])
                _through_sigmoid(u, d_gate)
                _through_tanh(g, d_g)
                if reset_after:
                    _product(g, factors[row, t, begin:end], d_gate)
                    _product(g, r, d_sums[row, t, 2 * units + begin : 2 * units + end])
                    _through_sigmoid(r, d_gate)
            if reset_after:
                _copy(u, d_sums[row, t, begin:end])
                _copy(r, d_sums[row, t, units + begin : units + end])
        meet(counter, threads)
        if reset_after:
            _multiply_step(d_sums, t, 0, panels, 0, after - first, d_before)
        else:
            _multiply_step(dz, t, 2 * units, candidate, 0, after - first, d_reset)
            for row in range(batch):
                if mask.size and not mask[row, t]:
                    continue
                _, r, _ = _three(dz[row, t], begin, end)
                for j in range(r.size):
                    d_direct[row, j] += d_reset[row, j] * r[j]
                _product(d_reset[row], _before(hiddens, hidden, row, t, backwards, begin, end), d_gate)
                _through_sigmoid(r, d_gate)
            meet(counter, threads)
            _multiply_step(dz, t, 0, panels, 0, after - first, d_before)
        for row in range(batch):
            _sum(d_before[row], d_direct[row], d_before[row, : end - begin])
        _carry(mask, t, d_h, d_before[:, : end - begin])
    d_hidden[:, begin:end] = d_before[:, : end - begin]
    _kernel_gradient(thread, threads, room, inputs, dz, d_kernel, d_bias)
    if reset_after:
        _recurrent_gradient(thread, threads, room, hidden, hiddens, d_sums, backwards, 3 * units, d_recurrent)
    else:
        _recurrent_gradient(thread, threads, room, hidden, hiddens, dz, backwards, 2 * units, d_recurrent)
        product(
            thread, threads, room, _flat(factors), True, _ALL, _flat(dz), False, 2 * units, units, d_recurrent, False
        )


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


def _run(loop: Callable, hidden: np.ndarray, wide: int, parts: int, *arguments: Any) -> None:
    batch, units = hidden.shape
    threads = team(batch, units, hidden.itemsize, parts)
    room = room_for(threads, batch, units, wide, hidden.itemsize)
    together(loop, threads, _array(*room, dtype=hidden.dtype), *arguments)


def _check(inputs, kernel, bias, mask, recurrent_kernel, gates: int, *states) -> None:
    """Machine code reads on where an array ends."""
    batch, _, features = inputs.shape
    units = len(recurrent_kernel)
    if not kernel.shape[1:] == recurrent_kernel.shape[1:] == bias.shape == (gates * units,):
        raise ValueError(
            f"kernel, recurrent kernel and bias must be {gates * units} wide for {units} units."
            f" Received: {kernel.shape}, {recurrent_kernel.shape}, {bias.shape}"
        )
    for state in states:
        if state.shape != (batch, units):
            raise ValueError(f"states must be {(batch, units)}, (batch, units). Received: {state.shape}")
    if len(kernel) != features:
        raise ValueError(f"inputs must have {len(kernel)} features. Received: {features}")
    if mask.size and mask.shape != inputs.shape[:2]:
        raise ValueError(f"the mask must be {inputs.shape[:2]}, (batch, time). Received: {mask.shape}")


def _like(*arrays: np.ndarray) -> list[np.ndarray]:
    return [_array(*x.shape, dtype=x.dtype) for x in arrays]


def _states(inputs: np.ndarray, *widths: int) -> list[np.ndarray]:
    """An array for each width, `(batch, time, width)`."""
    return [_array(*inputs.shape[:2], width, dtype=inputs.dtype) for width in widths]


def simple_rnn(inputs, kernel, bias, hidden, mask, recurrent_kernel, backwards, relu, parts):
    """h after each step, `(batch, time, units)`; arguments as in `kernels.simple_rnn`."""
    _check(inputs, kernel, bias, mask, recurrent_kernel, 1, hidden)
    (hiddens,) = _states(inputs, len(recurrent_kernel))
    how = bool(backwards), bool(relu)
    _run(_rnn_forward, hidden, bias.size, parts, inputs, kernel, bias, hidden, mask, recurrent_kernel, *how, hiddens)
    return hiddens


def simple_rnn_gradient(
    d_hiddens, inputs, kernel, bias, hidden, mask, recurrent_kernel, backwards, relu, parts, hiddens
):
    """From dL/dh after every step dL/dz, then those of W, U, b, and of the first h."""
    results = _like(hiddens, kernel, recurrent_kernel, bias, hidden)
    known = d_hiddens, inputs, hidden, mask, recurrent_kernel, bool(backwards), bool(relu), hiddens
    _run(_rnn_backward, hidden, bias.size, parts, *known, *results)
    return results


def lstm(inputs, kernel, bias, hidden, cell, mask, recurrent_kernel, backwards, parts):
    """h and c after each step, `(batch, time, units)`; the gates, `(batch, time, 4 units)`; 0, see `_taken`."""
    _check(inputs, kernel, bias, mask, recurrent_kernel, 4, hidden, cell)
    units = len(recurrent_kernel)
    results = _states(inputs, units, units, 4 * units)
    known = inputs, kernel, bias, hidden, cell, mask, recurrent_kernel, bool(backwards)
    _run(_lstm_forward, hidden, bias.size, parts, *known, *results)
    return [*results, np.zeros(1, inputs.dtype)]


def lstm_gradient(
    d_hiddens,
    d_cells,
    inputs,
    kernel,
    bias,
    hidden,
    cell,
    mask,
    recurrent_kernel,
    backwards,
    parts,
    hiddens,
    cells,
    gates,
    spent,
):
    """From dL/dh after every step, and dL/dc after the last or every one: dL/dz, those of W, U, b, first h and c."""
    if not _taken(spent):
        gates = lstm(inputs, kernel, bias, hidden, cell, mask, recurrent_kernel, backwards, parts)[2]
    results = _like(kernel, recurrent_kernel, bias, hidden, cell)
    known = d_hiddens, d_cells, inputs, hidden, cell, mask, recurrent_kernel, bool(backwards), hiddens, cells
    _run(_lstm_backward, hidden, bias.size, parts, *known, gates, *results)
    return [gates, *results]


def gru(inputs, kernel, bias, hidden, mask, recurrent_kernel, candidate_bias, backwards, reset_after, parts):
    """h after each step; the gates, `(batch, time, 3 units)`; the factors, see `_gru_forward`; 0, see `_taken`."""
    _check(inputs, kernel, bias, mask, recurrent_kernel, 3, hidden)
    units = len(recurrent_kernel)
    results = _states(inputs, units, 3 * units, units)
    known = inputs, kernel, bias, hidden, mask, recurrent_kernel, candidate_bias, bool(backwards), bool(reset_after)
    _run(_gru_forward, hidden, bias.size, parts, *known, *results)
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
    backwards,
    reset_after,
    parts,
    hiddens,
    gates,
    factors,
    spent,
):
    """From dL/dh after every step dL/dz, dL/d(h U), with `reset_after` alone, those of W, U, b, and of the first h."""
    if not _taken(spent):
        known = inputs, kernel, bias, hidden, mask, recurrent_kernel, candidate_bias
        gates = gru(*known, backwards, reset_after, parts)[1]
    d_sums, *results = _like(gates if reset_after else gates[:0], kernel, recurrent_kernel, bias, hidden)
    known = d_hiddens, inputs, hidden, mask, recurrent_kernel, bool(backwards), bool(reset_after), hiddens, factors
    _run(_gru_backward, hidden, bias.size, parts, *known, gates, d_sums, *results)
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


def inputs_gradient(dz, kernel, parts):
    """dL/dx `(batch, time, features)` from dL/dz."""
    (d_inputs,) = _states(dz, len(kernel))
    threads = team(dz.shape[0] * dz.shape[1], len(kernel), dz.itemsize, parts)
    room = _array(*room_for(threads, 1, 0, len(kernel), dz.itemsize), dtype=dz.dtype)
    together(_inputs_gradient, threads, room, dz, kernel, d_inputs)
    return d_inputs


def compile_loops(cell: str) -> None:
    """Calls all that trains a cell in float32 once, which compiles it and keeps it."""
    ones = partial(np.ones, dtype=np.float32)
    inputs, states, hidden, mask = ones((2, 3, 4)), ones((2, 3, 5)), ones((2, 5)), np.ones((2, 3), bool)
    gates = {"simple_rnn": 1, "lstm": 4, "gru": 3}[cell]
    kernel, recurrent, bias = ones((4, 5 * gates)), ones((5, 5 * gates)), ones(5 * gates)
    first = [inputs, kernel, bias, hidden]
    if cell == "simple_rnn":
        known = [*first, mask, recurrent, False, False, 1]
        dz, *_ = simple_rnn_gradient(states, *known, hiddens=simple_rnn(*known))
    elif cell == "lstm":
        known = [*first, hidden, mask, recurrent, False, 1]
        dz, *_ = lstm_gradient(states, states, *known, *lstm(*known))
    else:
        known = [*first, mask, recurrent, ones(5), False, True, 1]
        dz, *_ = gru_gradient(states, *known, *gru(*known))
    inputs_gradient(dz, kernel, 1)
