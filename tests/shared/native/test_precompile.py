"""The loops that another process compiles are those that training calls."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

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
        return 0

    kill = poll = wait


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
    monkeypatch.setattr(precompile, "cache_folder", lambda: tmp_path)
    precompile.compile_ahead("lstm")
    precompile.compile_ahead("mogrifier_lstm")
    (command,) = commands
    assert command[:2] == [sys.executable, "-c"]
    assert "'lstm'" in command[2]
    precompile.wait_for_compilation()

    (tmp_path / "loops.lstm_backward-1.nbi").touch()
    precompile.compile_ahead("lstm")
    assert len(commands) == 1


@pytest.mark.slow
def test_copies_of_the_project_share_a_folder_of_the_user(monkeypatch, tmp_path):
    """Machine code of one copy is loaded by another one; a read-only cache of the user costs no more than that."""
    program = "from shared.native import products; print(products.partition(7, 1, 2), products.partition.stats)"
    found = []
    for copy in ("first", "second"):
        shutil.copytree(Path(precompile.__file__).parents[1], tmp_path / copy / "shared")
        environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path / copy)}
        command = [sys.executable, "-c", program]
        found.append(subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True).stdout)
    assert "(3, 7)" in found[0]
    assert "cache_misses=Counter({(" in found[0]
    assert "(3, 7)" in found[1]
    assert "cache_hits=Counter({(" in found[1]

    precompile.cache_folder.cache_clear()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert precompile.cache_folder().parent == tmp_path / "cache" / "quatrain"
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    precompile.cache_folder.cache_clear()
    assert precompile.cache_folder().parent == Path(precompile.__file__).with_name("__pycache__")
    precompile.cache_folder.cache_clear()
