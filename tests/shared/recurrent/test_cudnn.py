"""The LSTM by cuDNN on JAX, with the reference implementation of JAX in place of cuDNN, which a CPU does not have."""

import os
import subprocess
import sys
from functools import partial

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
        assert len(arguments[0]) == BATCH // len(jax.devices())
        outputs = reference(*arguments, **options)
        return outputs, (*arguments, outputs[0], jax.numpy.zeros(7))

    def backward(*arguments):
        names = ("input_size", "hidden_size", "num_layers", "dropout", "bidirectional", "precision")
        *options, (x, hidden, cell, weights, lengths, y, _), gradients = arguments
        run = partial(reference, lengths=lengths, **dict(zip(names, options, strict=True)))
        outputs, pull = jax.vjp(run, x, hidden, cell, weights)
        # cuDNN reads its own y; one that differs by more than rounding shows as a wrong gradient.
        is_own = jax.numpy.allclose(outputs[0] * (y != 0), y, atol=1e-6)
        scale = jax.numpy.where(is_own, 1.0, 2.0)
        return *(scale * gradient for gradient in pull(gradients)), None

    monkeypatch.setattr(rnn, "lstm_fwd", forward)
    monkeypatch.setattr(rnn, "lstm_bwd", backward)
    monkeypatch.setattr("shared.recurrent.cudnn.obstacle", lambda: "")
    if len(jax.devices()) > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel())
    return traced


def results(layer, mask, states=2, **options) -> list[np.ndarray]:
    sources = [normal(BATCH, TIME, FEATURES), *(normal(BATCH, UNITS, seed=i) for i in range(states))]

    def function(inputs, *states):
        # A mask that is known at run time only.
        run_time_mask = None if mask is None else keras.ops.all(inputs < 1e30, axis=-1) & mask
        return layer(inputs, initial_state=list(states), mask=run_time_mask, **options)

    return outputs_and_gradients(function, sources, layer.trainable_variables)


def built(layer):
    layer.build((BATCH, TIME, FEATURES))
    for i, weight in enumerate(layer.trainable_variables):
        weight.assign(normal(*weight.shape, seed=i) / 2)
    return layer


OPTIONS = {"return_sequences": True, "return_state": True}


def without_cudnn(monkeypatch) -> None:
    monkeypatch.setattr("shared.recurrent.cudnn.obstacle", lambda: "no NVIDIA GPU")


@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("mask", [None, RIGHT, HOLES], ids=["none", "right", "holes"])
def test_equals_the_scan(mask, backwards, calls, monkeypatch):
    layer = built(LSTM(UNITS, go_backwards=backwards, **OPTIONS))
    assert layer.implementation(training=True) == "cuDNN"
    tested = results(layer, mask)
    assert set(calls) == {False}
    without_cudnn(monkeypatch)
    assert layer.implementation(training=True) == "a scan on JAX: no NVIDIA GPU"
    assert_all_close(tested, results(layer, mask))


def test_one_call_computes_both_directions(calls, monkeypatch):
    layer = built(Bidirectional(LSTM(UNITS, **OPTIONS)))
    assert layer.implementation(training=True) == "cuDNN, both directions in one call"
    tested = results(layer, RIGHT, states=4)
    assert set(calls) == {True}
    without_cudnn(monkeypatch)
    assert_all_close(tested, results(layer, RIGHT, states=4))


@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"return_cells": True}], ids=lambda options: next(iter(options)))
def test_directions_that_need_two_calls(options, calls):
    """Each direction has a dropout mask of its own; cuDNN does not return its cells."""
    layer = Bidirectional(LSTM(UNITS, return_sequences=True, **options))
    assert layer._fits_one_call(training=True) is False
    layer.forward_layer(normal(BATCH, TIME, FEATURES), training=True)
    assert set(calls) == (set() if "return_cells" in options else {False})


def test_weight_drop_and_16_bit_types(calls, monkeypatch):
    def outputs():
        layer = built(LSTM(UNITS, weight_drop=0.5, seed=1, dtype="mixed_bfloat16", return_sequences=True))
        return layer(normal(BATCH, TIME, FEATURES), mask=RIGHT, training=True)

    tested = outputs()
    assert tested.dtype.name == "bfloat16"
    assert calls
    without_cudnn(monkeypatch)
    assert_all_close([tested], [outputs()], 0.02)


def test_carried_state(calls, monkeypatch):
    layer = built(Bidirectional(LSTM(UNITS, stateful=True)))
    for _ in range(2):
        tested = np.asarray(layer(normal(BATCH, TIME, FEATURES)))
    without_cudnn(monkeypatch)
    layer.reset_state()
    for _ in range(2):
        expected = layer(normal(BATCH, TIME, FEATURES))
    assert_all_close([tested], [expected])


def test_weights_are_packed_as_cudnn_takes_them():
    from jax.experimental import rnn

    from shared.recurrent.cudnn import Direction, packed

    def direction(seed):
        shapes = (FEATURES, 4 * UNITS), (4 * UNITS,), (1,), (1,), (UNITS, 4 * UNITS)
        return Direction(*(normal(*shape, seed=seed) for shape in shapes))

    directions = [direction(1), direction(2)._replace(bias=None)]
    matrices, recurrent, biases, second = rnn.unpack_lstm_weights(packed(directions), FEATURES, UNITS, 1, True)
    for i, (kernel, bias, _, _, recurrent_kernel) in enumerate(directions):
        np.testing.assert_array_equal(matrices[i], kernel.T)
        np.testing.assert_array_equal(recurrent[i], recurrent_kernel.T)
        np.testing.assert_array_equal(biases[i], np.zeros(4 * UNITS) if bias is None else bias)
        np.testing.assert_array_equal(second[i], 0)


@pytest.mark.slow
def test_each_of_two_devices_computes_half_of_the_batch():
    """This file on two devices, in a process of its own; `calls` splits the batch and asserts that it is split."""
    environment = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    tests = f"{__file__}::test_one_call_computes_both_directions"
    subprocess.run([sys.executable, "-m", "pytest", tests], env=environment, check=True)
