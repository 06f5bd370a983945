"""How far back the loss of each step reaches: the gradients with respect to all earlier states and inputs.

`gradient_flow` does this for one loss and any layer by differentiation. Here each step has a loss of its own, as in a
language model, and one pass backwards over a sequence carries the gradients of all of them: at step k those of L_t for
every t >= k, as the rows of a matrix. Rows are scaled to norm 1 at each step and their logarithms kept, since a
gradient that has vanished is below the least float32.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import ThreadpoolController

from shared.recurrent.gates import Trace
from shared.recurrent.layers import GRU, LSTM, SimpleRNN

Gradients = dict[str, np.ndarray]  # by state, `(losses, units)`


class Reach(NamedTuple):
    """log10 of the norms, float32 `(time, time)`: of the loss of step t in row t, for step k in column k.

    -inf where a gradient is zero, as it is where k > t.
    """

    states: np.ndarray
    """Of dL_t/ds_k, s_k the states after step k: h, and of an LSTM c too."""
    inputs: np.ndarray
    """Of dL_t/dx_k, x_k the input of step k."""


def reach(layer: SimpleRNN | LSTM | GRU, values: Trace, d_outputs: np.ndarray) -> Reach:
    """The norms of all gradients for one sequence.

    Args:
        layer: the layer.
        values: its `trace` of one sequence, as NumPy arrays `(time, units)`.
        d_outputs: dL_t/dh_t for the loss that each step's output has, float32 `(time, units)`.
    """
    with _blas().limit(limits=1):  # for products this small, threads wait for each other longer than they compute
        return _reach(layer, values, d_outputs)


@functools.cache
def _blas() -> Any:
    """What sets the number of threads of NumPy's products."""
    return ThreadpoolController().select(user_api="blas")


def _reach(layer: SimpleRNN | LSTM | GRU, values: Trace, d_outputs: np.ndarray) -> Reach:
    step = _step_of(layer)
    time, units = d_outputs.shape
    kernel = np.asarray(layer.cell.kernel).T
    norms = Reach(*(np.full((time, time), -np.inf, np.float32) for _ in Reach._fields))
    rows: Gradients = {name: np.zeros((time, units), np.float32) for name in values.states}
    logs = np.zeros(time, np.float32)  # of the norms that the rows were divided by
    for k in reversed(range(time)):
        rows["h"][k] = d_outputs[k]
        current = {name: row[k:] for name, row in rows.items()}  # L_t with t < k does not depend on step k
        norm = np.sqrt(sum(np.einsum("tu,tu->t", row, row) for row in current.values()))
        for row in current.values():
            row /= np.where(norm > 0, norm, 1)[:, None]
        logs[k:] += _log10(norm)
        d_sums, before = step(current, k, values)
        norms.states[k:, k] = logs[k:]
        norms.inputs[k:, k] = logs[k:] + _log10(np.linalg.norm(d_sums @ kernel, axis=1))
        for name, row in before.items():
            rows[name][k:] = row
    return norms


def _log10(norms: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log10(norms)


def _step_of(layer: Any) -> Callable[[Gradients, int, Trace], tuple[np.ndarray, Gradients]]:
    """The function from gradients for the states after step k to those for U x + b of its gates and the states before.

    Gradients for the gates are side by side, `(losses, gates * units)`.
    """
    recurrent = np.asarray(layer.cell.recurrent_kernel).T
    units = recurrent.shape[1]

    def simple_rnn(d: Gradients, k: int, values: Trace) -> tuple[np.ndarray, Gradients]:
        h = values.states["h"][k]
        d_sum = d["h"] * (1 - h * h if layer.cell.activation.__name__ == "tanh" else h > 0)
        return d_sum, {"h": d_sum @ recurrent}

    def lstm(d: Gradients, k: int, values: Trace) -> tuple[np.ndarray, Gradients]:
        i, f, g, o = (values.gates[name][k] for name in "ifgo")
        tanh_c = np.tanh(values.states["c"][k])
        d_c = d["c"] + d["h"] * (o * (1 - tanh_c * tanh_c))
        d_sums = np.concatenate(
            [
                d_c * (g * i * (1 - i)),
                d_c * (values.before["c"][k] * f * (1 - f)),
                d_c * (i * (1 - g * g)),
                d["h"] * (tanh_c * o * (1 - o)),
            ],
            axis=1,
        )
        return d_sums, {"h": d_sums @ recurrent, "c": d_c * f}

    def gru(d: Gradients, k: int, values: Trace) -> tuple[np.ndarray, Gradients]:
        u, r, g = (values.gates[name][k] for name in "urg")
        before = values.before["h"][k]
        d_u, d_g = d["h"] * ((before - g) * u * (1 - u)), d["h"] * ((1 - u) * (1 - g * g))
        if layer.cell.reset_after:
            d_r = d_g * (values.from_states["g"][k] * r * (1 - r))
            d_before = np.concatenate([d_u, d_r, d_g * r], axis=1) @ recurrent
        else:
            d_reset = d_g @ recurrent[2 * units :]
            d_r = d_reset * (before * r * (1 - r))
            d_before = np.concatenate([d_u, d_r], axis=1) @ recurrent[: 2 * units] + d_reset * r
        return np.concatenate([d_u, d_r, d_g], axis=1), {"h": d["h"] * u + d_before}

    return {SimpleRNN: simple_rnn, LSTM: lstm, GRU: gru}[type(layer)]
