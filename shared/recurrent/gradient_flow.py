"""How far back a recurrent layer can learn: the norm of the gradient with respect to its state at each step.

    python -m shared.recurrent.gradient_flow --cell simple_rnn lstm gru --length 200 --plot flow.png

Back-propagation through time multiplies dL_T/ds_t at each step by the Jacobian ds_t/ds_t-1. In a simple RNN this is
W' diag(1 - h^2), with the same W at each step, so the gradient vanishes or explodes exponentially with the distance
T - t (Bengio et al. 1994; Pascanu et al. 2013). A gradient that vanishes teaches nothing; one that explodes destroys
what was learned. The cell of an LSTM is updated by c_t = f c_t-1 + i g, the state of a GRU by
h_t = u h_t-1 + (1 - u) g: along this path the gradient is multiplied by a gate, which can learn to be 1, where nothing
is lost. At initialisation a gate is 0.5, or 0.73 for the forget gate of an LSTM, whose bias is 1, while a simple RNN
starts with an orthogonal W, which loses only what tanh takes. Training on a problem that needs memory opens the gates;
a simple RNN has none. The plot shows both, before and after training on the adding problem (Hochreiter and Schmidhuber
1997, section 5.4): predict the sum of the two marked numbers of a sequence at its end.

From Python, for a model and batch of your own:

    norms = gradient_norms(layer, lambda: loss(targets, model(inputs)))    # (states, time)
"""

import sys
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared.cli import command, parse
from shared.errors import UserError
from shared.outputs import check_outputs

if TYPE_CHECKING:
    import numpy as np

CELLS = {"simple_rnn": "SimpleRNN", "lstm": "LSTM", "gru": "GRU"}
TITLES = ("at initialisation", "after training")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Options of the command."""

    cell: tuple[Literal["simple_rnn", "lstm", "gru"], ...] = ("simple_rnn", "lstm", "gru")
    """Cells to compare."""
    length: int = 200
    """Length of the sequences, in steps."""
    units: int = 64
    """Size of the state."""
    steps: int = 600
    """Training steps on the adding problem before the second curve."""
    plot: Path | None = None
    """Image file of the plot: PNG, SVG or PDF."""
    seed: int = 1
    """Seed of weights and sequences."""


@contextmanager
def _stepwise(layer: Any, visited: list[list[Any]], offsets: list[list[Any]] | None = None):
    """Within the block, the layer computes step by step and appends the states after each step to `visited`.

    `offsets` are added to the states after each step.
    """
    from keras import ops

    def inner_loop(sequences, initial_state, mask, training=False):
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        states, outputs = list(initial_state), []
        order = range(sequences.shape[1])
        for t in reversed(order) if layer.go_backwards else order:
            _, new = layer.cell(sequences[:, t], states, training=training)
            if mask is not None:
                new = [ops.where(mask[:, t, None], after, before) for after, before in zip(new, states, strict=True)]
            states = list(new)
            if offsets is not None:
                states = [state + offset for state, offset in zip(states, offsets[len(visited)], strict=True)]
            visited.append(states)
            outputs.append(states[0])
        return outputs[-1], ops.stack(outputs, axis=1), states

    layer.inner_loop = inner_loop
    try:
        yield
    finally:
        del layer.inner_loop


def gradient_norms(layer: Any, loss: Callable[[], Any]) -> "np.ndarray":
    """The norm of dL/ds_t for every step t of a recurrent layer.

    Args:
        layer: a `SimpleRNN`, `LSTM` or `GRU` of this package or of Keras, which `loss` calls once.
        loss: computes the scalar L with the model that contains the layer, eagerly: by calling it, not by `predict`.

    Returns:
        float64 `(states, time)`: for h, and for c of an LSTM, the Euclidean norm of the gradient over batch and units,
        in the order of computation. It includes the influence of s_t on L through later steps.

    Raises:
        ValueError: the layer was not called.
    """
    import keras
    import numpy as np

    gradients = (_gradients_on_jax if keras.backend.backend() == "jax" else _gradients_on_tensorflow)(layer, loss)
    if not gradients:
        raise ValueError("loss() did not call the layer")
    # In float64, since the squares of small gradients underflow in float32.
    return np.array([[np.linalg.norm(np.float64(gradient)) for gradient in step] for step in gradients]).T


def _gradients_on_tensorflow(layer: Any, loss: Callable[[], Any]) -> list[list[Any]]:
    import tensorflow as tf

    visited: list[list[Any]] = []
    with tf.GradientTape() as tape, _stepwise(layer, visited):
        for weight in layer.trainable_variables:
            tape.watch(weight.value)
        value = loss()
    gradients: Any = tape.gradient(value, visited, unconnected_gradients=tf.UnconnectedGradients.ZERO)
    return gradients


def _gradients_on_jax(layer: Any, loss: Callable[[], Any]) -> list[list[Any]]:
    """By zeros that are added to the states, since JAX differentiates with respect to arguments of a function only."""
    import jax
    import keras

    visited: list[list[Any]] = []
    with _stepwise(layer, visited):
        loss()

    def shifted_loss(offsets):
        with keras.StatelessScope(), _stepwise(layer, [], offsets):
            return loss()

    return jax.grad(shifted_loss)(jax.tree.map(jax.numpy.zeros_like, visited))


def adding_problem(count: int, length: int, rng: "np.random.Generator") -> "tuple[np.ndarray, np.ndarray]":
    """Sequences of numbers in [0, 1) and marks, one in each half, and the sums of the two marked numbers.

    Returns:
        float32 `(count, length, 2)` and `(count, 1)`.
    """
    import numpy as np

    numbers, marks = rng.random((count, length), np.float32), np.zeros((count, length), np.float32)
    rows, half = np.arange(count), length // 2
    marks[rows, rng.integers(half, size=count)] = 1
    marks[rows, rng.integers(half, length, size=count)] = 1
    return np.stack([numbers, marks], axis=-1), (numbers * marks).sum(axis=1, keepdims=True)


def before_and_after(cell: str, length: int, units: int, steps: int, seed: int) -> "np.ndarray":
    """The norms on the adding problem, `(2, time)`: at initialisation, and after `steps` training steps.

    For an LSTM they are those of c, its memory.
    """
    import keras
    import numpy as np

    from shared import recurrent

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    layer = getattr(recurrent, CELLS[cell])(units)
    model = keras.Sequential([keras.Input((length, 2)), layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(1e-2, global_clipnorm=1.0), "mse")
    inputs, sums = adding_problem(32, length, rng)

    def norms() -> np.ndarray:
        return gradient_norms(layer, lambda: keras.ops.mean(keras.losses.mean_squared_error(sums, model(inputs))))[-1]

    initial = norms()
    for _ in range(steps):
        model.train_on_batch(*adding_problem(32, length, rng))
    return np.stack([initial, norms()])


def draw(flows: "dict[str, np.ndarray]", path: Path) -> None:
    """Plots the norms of each cell, `(2, time)`, against the distance to the end, before and after training."""
    import numpy as np
    from matplotlib.figure import Figure

    from shared.plots import save

    figure = Figure(figsize=(9, 3.4), layout="constrained")
    for panel, (axes, title) in enumerate(zip(figure.subplots(1, 2, sharey=True), TITLES, strict=True)):
        for cell, norms in flows.items():
            distance = np.arange(norms.shape[1])
            curve = np.where(norms[panel] > 0, norms[panel], np.nan)  # no point where the gradient underflows
            axes.plot(distance, curve[::-1], label=CELLS[cell])
        axes.set(title=title, xlabel="steps back, T - t", yscale="log")
        axes.spines[["top", "right"]].set_visible(False)
    axes_left = figure.axes[0]
    axes_left.set_ylabel("norm of the gradient")
    axes_left.legend(frameon=False)
    save(figure, path)


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "shared.recurrent.gradient_flow", __doc__)
    for name in ("length", "units"):
        if getattr(options, name) < 2:
            raise UserError(f"--{name} {getattr(options, name)}: at least 2 was expected")
    if options.steps < 0:
        raise UserError(f"--steps {options.steps}: at least 0 was expected")
    check_outputs({"--plot": [options.plot]})
    flows = {}
    print(f"{'norm of the gradient':22}{'T - t = 0':>12}{options.length // 2:>12}{options.length - 1:>12}")
    for cell in dict.fromkeys(options.cell):
        flows[cell] = before_and_after(cell, options.length, options.units, options.steps, options.seed)
        for norms, title in zip(flows[cell], TITLES, strict=True):
            values = (norms[-1], norms[-1 - options.length // 2], norms[0])
            print(f"{CELLS[cell]:11}{title:>18}" + "".join(f"{norm:12.2e}" for norm in values), flush=True)
    if options.plot is not None:
        draw(flows, options.plot)
        print(options.plot)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
