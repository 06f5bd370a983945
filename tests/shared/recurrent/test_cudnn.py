"""The LSTM by cuDNN on JAX, with the reference implementation of JAX in place of cuDNN, which a CPU does not have."""

from functools import partial
from typing import Any

import keras
import numpy as np
import pytest

from shared.recurrent import LSTM, Bidirectional
from tests.shared.recurrent.derivatives import assert_all_close, normal, outputs_and_gradients

pytestmark = [
    pytest.mark.any_backend,
    pytest.mark.skipif(keras.backend.backend() != "jax", reason="cuDNN through JAX"),
]

BATCH, TIME, FEATURES, UNITS = 6, 5, 3, 4
RIGHT = np.arange(TIME) < np.array([0, 1, 2, 3, 4, 5])[:, None]
HOLES = RIGHT & (np.arange(TIME) != 1)


@pytest.fixture
def calls(monkeypatch) -> list[bool]:
    """Puts the reference implementation in place of cuDNN; for each call, when it is traced, `bidirectional`."""
    import jax
    from jax.experimental import rnn

    traced = []

    def reference(x, hidden, cell, weights, lengths, **options):
        options.pop("precision")
        sizes = [options[name] for name in ("input_size", "hidden_size", "num_layers", "bidirectional")]
        return rnn.lstm_ref(x, hidden, cell, *rnn.unpack_lstm_weights(weights, *sizes), lengths, **options)

    def forward(*arguments, **options):
        traced.append(options["bidirectional"])
        assert {x.dtype.name for x in arguments} == {"float32", "int32"}
        outputs = reference(*arguments, **options)
        return outputs, (*arguments, outputs[0], jax.numpy.zeros(7))

    def backward(*arguments):
        names = ("input_size", "hidden_size", "num_layers", "dropout", "bidirectional", "precision")
        *options, (x, hidden, cell, weights, lengths, y, _), gradients = arguments
        run = partial(reference, lengths=lengths, **dict(zip(names, options, strict=True)))
        outputs, pull = jax.vjp(run, x, hidden, cell, weights)
        # cuDNN reads its own y; one that differs shows as a wrong gradient.
        scale = 1 + 1e3 * abs((outputs[0] - y) * (y != 0)).max()
        return *(scale * gradient for gradient in pull(gradients)), None

    monkeypatch.setattr(rnn, "lstm_fwd", forward)
    monkeypatch.setattr(rnn, "lstm_bwd", backward)
    monkeypatch.setattr("shared.recurrent.cudnn.obstacle", lambda: "")
    return traced


def results(layer, mask, sources: Any = None, **options) -> list[np.ndarray]:
    sources = (
        [normal(BATCH, TIME, FEATURES), *(normal(BATCH, UNITS, seed=i) for i in range(2))] if not sources else sources
    )

    def function(inputs, mask, *states):
        return layer(inputs, initial_state=list(states), mask=mask, **options)

    return outputs_and_gradients(partial(with_mask, function, mask), sources, layer.trainable_variables)


def with_mask(function, mask, inputs, *states):
    """`function` with a mask that is known at run time only."""
    return function(inputs, None if mask is None else keras.ops.all(inputs != 1e30, axis=-1) & mask, *states)


def built(layer):
    layer.build((BATCH, TIME, FEATURES))
    layer.set_weights([normal(*w.shape, seed=1) / 2 for w in layer.weights[: len(layer.get_weights())]])
    return layer


OPTIONS = {"return_sequences": True, "return_state": True}


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("mask", [None, RIGHT, HOLES], ids=["none", "right", "holes"])
def test_equals_the_scan(mask, backwards, calls, monkeypatch):
    layer = built(LSTM(UNITS, go_backwards=backwards, **OPTIONS))
    assert layer.implementation(training=True) == "cuDNN"
    tested = results(layer, mask)
    assert calls
    with monkeypatch.context() as patch:
        patch.setattr("shared.recurrent.cudnn.obstacle", lambda: "no NVIDIA GPU")
        assert layer.implementation(training=True) == "a scan on JAX"
        assert_all_close(tested, results(layer, mask))
