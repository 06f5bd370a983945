"""Graphs in a file: the outputs of the function, without Keras and beside graphs with the same names."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.any_size import AnySize
from shared.graphs import GraphFunction, as_graph

ROOT = Path(__file__).parents[2]
INPUTS = {"x": np.arange(6, dtype=np.float32).reshape(2, 3), "counts": np.array([0, 4], np.int32)}


class Repeated(AnySize):
    """Multiplies by the weights `counts` times, in a loop, and has outputs in a nest."""

    def __init__(self, scale: float):
        super().__init__()
        self.layer = keras.layers.Dense(3, kernel_initializer=keras.initializers.Identity(scale), name="scaled")
        self.layer.build((None, 3))

    def examples(self):
        return [INPUTS]

    def call(self, inputs: Any) -> Any:
        def step(i, x):
            return i + 1, tf.where((i < inputs["counts"])[:, None], self.layer(x), x)

        most = tf.reduce_max(inputs["counts"])
        steps, x = tf.while_loop(lambda i, _: i < most, step, (0, inputs["x"]))
        return {"x": x, "about": (steps, {"b": x > 1, "a": tf.constant([2.5])})}


@pytest.mark.parametrize("rows", [2, 1])
def test_outputs_are_those_of_the_function(rows):
    function = Repeated(0.5)
    graph = GraphFunction(as_graph(function))
    inputs = {name: value[-rows:] for name, value in INPUTS.items()}
    found, expected = graph.predict_on_batch(inputs), function.predict_on_batch(inputs)
    keras.tree.map_structure(np.testing.assert_array_equal, found["about"][1], expected["about"][1])
    assert found["about"][0] == expected["about"][0] == 4
    np.testing.assert_array_equal(found["x"], expected["x"])
    np.testing.assert_array_equal(found["x"][-1], INPUTS["x"][1] / 16)


def test_graphs_with_equal_names_are_told_apart():
    contents = [as_graph(Repeated(scale)) for scale in (2.0, 3.0)]
    first, again, second = (GraphFunction(content) for content in (contents[0], *contents))
    results = [graph.predict_on_batch(INPUTS)["x"][1, 0] for graph in (first, again, second)]
    assert results == [3 * 2**4, 3 * 2**4, 3 * 3**4]


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from shared.graphs import GraphFunction
graph = GraphFunction(Path(sys.argv[1]).read_bytes())
inputs = {"counts": np.array([1], np.int32), "x": np.ones((1, 3), np.float32)}
assert graph.predict_on_batch(inputs)["x"].tolist() == [[2, 2, 2]]
assert "keras" not in sys.modules
"""


@pytest.mark.slow
def test_another_process_needs_no_keras(tmp_path):
    (tmp_path / "double.graph").write_bytes(as_graph(Repeated(2.0)))
    command = [sys.executable, "-c", PROGRAM, str(tmp_path / "double.graph")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
