"""Loops that another process compiles are those that training calls."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.native import ahead, loops
from shared.recurrent import GRU, LSTM, SimpleRNN

LAYERS = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


class Done:
    """A process that has ended."""

    def wait(self):
        pass

    kill = wait


def compiled() -> dict[str, set]:
    return {name: set(loop.signatures) for name, loop in vars(loops).items() if hasattr(loop, "signatures")}


@pytest.mark.parametrize("cell", LAYERS)
def test_what_is_compiled_ahead_is_what_training_calls(cell):
    loops.compile_loops(cell)
    found = compiled()
    layer, inputs = LAYERS[cell](7, return_sequences=True), np.ones((2, 4, 3), np.float32)
    for mask in (None, np.ones((2, 4), bool)):
        with tf.GradientTape() as tape:
            total = keras.ops.sum(layer(inputs, mask=mask, training=True))
        tape.gradient(total, layer.trainable_weights)
    assert compiled() == found
    assert any(ahead.KEPT.rglob(f"loops.{ahead.LAST[cell]}-*.nbi"))


def test_nothing_is_compiled_that_is_kept(monkeypatch, tmp_path):
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: started.append(command) or Done())
    monkeypatch.setattr(ahead, "KEPT", tmp_path)
    ahead.compile_ahead("lstm")
    ahead.compile_ahead("mogrifier_lstm")
    (command,) = started
    assert command[:2] == [sys.executable, "-c"]
    assert "'lstm'" in command[2]
    ahead.wait_for_compiled()

    (tmp_path / "loops._lstm_backward-1.nbi").touch()
    ahead.compile_ahead("lstm")
    assert len(started) == 1
