"""Inference in machine code: the results of TensorFlow's operations, and never in what is saved."""

import keras
import numpy as np
import pytest

from shared.any_size import AnySize
from shared.native import precompile
from shared.recurrent import (
    GRU,
    LSTM,
    RNN,
    Bidirectional,
    MogrifierLSTMCell,
    SimpleRNN,
    inference_in_machine_code,
    operations_only,
)
from tests.shared.recurrent.derivatives import normal

tf = pytest.importorskip("tensorflow")

pytestmark = pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="machine code is for TensorFlow")

BATCH, TIME, FEATURES, UNITS = 4, 5, 3, 6
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 1, 1], [0, 0, 0, 0, 0]], bool)
LAYERS = {
    "simple RNN": lambda: SimpleRNN(UNITS, return_sequences=True, return_state=True),
    "LSTM": lambda: LSTM(UNITS, return_sequences=True, return_state=True, return_cells=True),
    "GRU backwards": lambda: GRU(UNITS, return_sequences=True, return_state=True, go_backwards=True),
    "both directions": lambda: Bidirectional(LSTM(UNITS, return_sequences=True)),
    "Mogrifier, which has no loops": lambda: RNN(MogrifierLSTMCell(UNITS), return_sequences=True),
}


class Reader(AnySize):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def call(self, inputs):
        return self.layer(inputs["x"], mask=inputs["mask"])


@pytest.fixture(autouse=True)
def compiled_loops(monkeypatch):
    """As if the loops of every cell were compiled; those that are not are compiled when they are called."""
    monkeypatch.setattr(precompile, "is_compiled", lambda cell: True)


def is_in_machine_code(function) -> bool:
    graph = function.graph.as_graph_def()
    nodes = [*graph.node, *(node for inner in graph.library.function for node in inner.node_def)]
    return any("PyFunc" in node.op for node in nodes)


@pytest.mark.parametrize("name", LAYERS)
def test_results_are_those_of_operations(name):
    reader, x = Reader(LAYERS[name]()), {"x": normal(BATCH, TIME, FEATURES), "mask": MASK}
    expected = reader.predict_on_batch(x)
    with inference_in_machine_code():
        found = reader.predict_on_batch(x)
    for one, other in zip(tf.nest.flatten(found), tf.nest.flatten(expected), strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)


def test_only_what_stays_in_the_process_is_in_machine_code():
    reader, x = Reader(LSTM(UNITS)), {"x": normal(BATCH, TIME, FEATURES), "mask": MASK}
    assert not is_in_machine_code(reader.compiled_for(x))
    with inference_in_machine_code():
        reader.predict_on_batch(x)
        assert [is_in_machine_code(function) for function in reader._functions.values()] == [False, True]
        assert not is_in_machine_code(reader.compiled_for(x))
        with operations_only():
            assert not is_in_machine_code(traced(LSTM(UNITS), TIME))
        assert is_in_machine_code(traced(LSTM(UNITS), TIME))
    assert not is_in_machine_code(traced(LSTM(UNITS), TIME))


def test_a_step_of_a_search_is_computed_by_operations():
    with inference_in_machine_code():
        assert not is_in_machine_code(traced(GRU(UNITS), 1))
        assert is_in_machine_code(traced(GRU(UNITS), 2))


def test_inference_does_not_wait_for_a_compiler(monkeypatch):
    monkeypatch.setattr(precompile, "is_compiled", lambda cell: cell != "gru")
    with inference_in_machine_code():
        assert not is_in_machine_code(traced(GRU(UNITS), TIME))
        assert is_in_machine_code(traced(SimpleRNN(UNITS), TIME))


def traced(layer, time):
    return tf.function(layer, [tf.TensorSpec([BATCH, time, FEATURES])]).get_concrete_function()
