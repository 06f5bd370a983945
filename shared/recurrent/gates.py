"""What a recurrent layer computes at each step: its states, its gates, and what each of them is the sum of.

    simple RNN    h = f(U x + W h')
    LSTM          i, f, o = σ(U x + W h')    g = tanh(U x + W h')         c = f c' + i g    h = o tanh(c)
    GRU           u, r = σ(U x + W h')       g = tanh(U x + r (W h'))     h = u h' + (1 - u) g

x is the input of the step, h' and c' are the states before it, and each line has a U and a W of its own; the biases are
left out here. U is Keras' `kernel`, W its `recurrent_kernel`.

    values = trace(layer, inputs)
    values.gates["f"]                                       # (batch, time, units)
    values.from_inputs["f"] + values.from_states["f"]       # its logit
"""

from typing import Any, NamedTuple

import keras

from shared.recurrent.layers import GRU, LSTM, SimpleRNN

ops: Any = keras.ops  # Keras declares no result types for its operations


class Trace(NamedTuple):
    """The values of a layer, each `(batch, time, units)`, by their letters in the equations above."""

    states: dict[str, Any]
    """After each step: h, and of an LSTM c."""
    before: dict[str, Any]
    """The same before each step."""
    gates: dict[str, Any]
    """Of an LSTM i, f, g, o; of a GRU u, r, g; of a simple RNN none."""
    from_inputs: dict[str, Any]
    """U x + b of each gate, and of h of a simple RNN; of a GRU with the biases of both products but that of g."""
    from_states: dict[str, Any]
    """W h' of the same. Of g of a GRU with its bias, before the reset gate multiplies it; if `reset_after` is False,
    after that."""


def trace(layer: SimpleRNN | LSTM | GRU, inputs: Any, initial_state: list[Any] | None = None) -> Trace:
    """The values of a layer for its inputs in inference, in a graph or not.

    The states are those that the layer's own kernel computes; gates follow from them, with one product for all steps.

    Args:
        layer: a built layer of this package.
        inputs: `(batch, time, features)`.
        initial_state: the states before the first step, each `(batch, units)`; zeros by default.

    Raises:
        ValueError: the layer goes backwards, or has options that only Keras computes.
    """
    if layer.go_backwards:
        raise ValueError("a layer that goes forwards was expected. Received: go_backwards=True")
    cell: Any = layer.cell
    initial = layer.get_initial_state(ops.shape(inputs)[0]) if initial_state is None else list(initial_state)
    names: tuple[str, ...] = ("h", "c") if isinstance(layer, LSTM) else ("h",)
    states: dict[str, Any] = dict(zip(names, layer.every_state(inputs, initial), strict=True))
    before: dict[str, Any] = {
        name: ops.concatenate([state[:, None], states[name][:, :-1]], axis=1)
        for name, state in zip(names, initial, strict=True)
    }
    lines: str = "ifgo" if isinstance(layer, LSTM) else "urg" if isinstance(layer, GRU) else "h"
    biases, recurrent_biases = _biases(layer, len(lines))
    projected = ops.split(ops.matmul(inputs, cell.kernel), len(lines), axis=-1)
    from_inputs = {line: x + bias for line, x, bias in zip(lines, projected, biases, strict=True)}
    recurrent = dict(zip(lines, ops.split(ops.convert_to_tensor(cell.recurrent_kernel), len(lines), -1), strict=True))
    from_states = {
        line: ops.matmul(before["h"], recurrent[line]) + bias
        for line, bias in zip(lines, recurrent_biases, strict=True)
    }
    if isinstance(layer, SimpleRNN):
        return Trace(states, before, {}, from_inputs, from_states)
    gates = {line: ops.sigmoid(from_inputs[line] + from_states[line]) for line in lines if line != "g"}
    if isinstance(layer, GRU) and not cell.reset_after:
        from_states["g"] = ops.matmul(gates["r"] * before["h"], recurrent["g"])
    factor = gates["r"] if isinstance(layer, GRU) and cell.reset_after else 1.0
    gates["g"] = ops.tanh(from_inputs["g"] + factor * from_states["g"])
    return Trace(states, before, {line: gates[line] for line in lines}, from_inputs, from_states)


def _biases(layer: Any, count: int) -> tuple[list[Any], list[Any]]:
    """The biases of U x and of W h, `count` of each, each `(units,)` or 0."""
    none: list[Any] = [0.0] * count
    if not layer.cell.use_bias:
        return none, none
    bias = ops.convert_to_tensor(layer.cell.bias)
    if len(bias.shape) == 1:
        return list(ops.split(bias, count)), none
    (u, r, g), (recurrent_u, recurrent_r, recurrent_g) = (ops.split(x, count) for x in ops.unstack(bias))
    return [u + recurrent_u, r + recurrent_r, g], [0.0, 0.0, recurrent_g]
