"""The loops that another process compiles are those that training calls."""

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.native import loops, passes, precompile
from shared.recurrent import GRU, LSTM, SimpleRNN

LAYERS = {"simple_rnn": SimpleRNN, "lstm": LSTM, "gru": GRU}


class EndedProcess:
    """A process that has ended."""

    def wait(self):
        pass

    kill = wait


def signatures() -> dict[str, set]:
    """The argument types for which each loop is compiled."""
    return {name: set(loop.signatures) for name, loop in vars(loops).items() if hasattr(loop, "signatures")}


@pytest.mark.parametrize("cell", LAYERS)
def test_training_calls_what_is_compiled_ahead(cell):
    passes.compile_loops(cell)
    compiled = signatures()
    layer, inputs = LAYERS[cell](7, return_sequences=True), np.ones((2, 4, 3), np.float32)
    for mask in (None, np.ones((2, 4), bool)):
        with tf.GradientTape() as tape:
            total = keras.ops.sum(layer(inputs, mask=mask, training=True))
        tape.gradient(total, layer.trainable_weights)
    assert signatures() == compiled
    assert precompile.is_compiled(cell)


def test_only_missing_loops_are_compiled(monkeypatch, tmp_path):
    commands = []
    monkeypatch.setattr(subprocess, "Popen", lambda command, **_: commands.append(command) or EndedProcess())
    monkeypatch.setattr(precompile, "CACHE_FOLDER", tmp_path)
    precompile.compile_ahead("lstm")
    precompile.compile_ahead("mogrifier_lstm")
    (command,) = commands
    assert command[:2] == [sys.executable, "-c"]
    assert "'lstm'" in command[2]
    precompile.wait_for_compilation()

    (tmp_path / "loops.lstm_backward-1.nbi").touch()
    precompile.compile_ahead("lstm")
    assert len(commands) == 1
