"""Functions of TensorFlow and their ONNX files give the same results, on batches and lengths other than the first."""

from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from shared.any_size import AnySize
from shared.export import ParityError
from shared.gathering import take_each
from shared.onnx.files import as_onnx, check_parity
from shared.onnx.graph import OPSET, ConversionError, Graph
from shared.onnx.runtime import OnnxFunction
from shared.recurrent import GRU, LSTM, Bidirectional, SimpleRNN

ops: Any = keras.ops  # Keras declares no result types for its operations


class Function(AnySize):
    """A function of `x` float32 `(batch, time, 6)` and `n` int32 `(batch, time)`."""

    shortest = {"x": 2, "n": 2}  # noqa: RUF012

    def __init__(self, function):
        super().__init__()
        self.function = function

    def examples(self):
        rng = np.random.default_rng(0)
        return [
            {
                "x": rng.normal(size=(batch, time, 6)).astype(np.float32),
                "n": rng.integers(-4, 5, (batch, time)).astype(np.int32),
            }
            for batch, time in ((2, 5), (3, 4), (1, 7))
        ]

    def call(self, inputs):
        return self.function(inputs["x"], inputs["n"])


FUNCTIONS = {
    "arithmetic": lambda x, n: [x * 2 - ops.abs(x), x / 3, ops.exp(-x), ops.log1p(ops.exp(x)), ops.tanh(x) ** 2],
    "integers": lambda x, n: [n // 3, n % 3, -n // 2, ops.minimum(n, 1), ops.maximum(n, 0) * n],
    "comparisons": lambda x, n: [x > 0, (n != 1) & ~(n <= -2) | (n >= 4), ops.where(n > 0, n, 7), ops.isfinite(x)],
    "casts": lambda x, n: [ops.cast(3 * x, "int32"), ops.cast(n, "float32"), ops.cast(n, "bool")],
    "reductions": lambda x, n: [
        ops.sum(x, 1), ops.mean(x, (0, 2)), ops.max(n), ops.min(x, -1, keepdims=True), ops.prod(n, 1),
        ops.any(n > 3, 1), ops.all(n > -4, 0), ops.logsumexp(x, -1),
    ],
    "order": lambda x, n: [
        *ops.top_k(x, 4), ops.argmax(x, 1), ops.argmax(n, -1), ops.argsort(n, -1), ops.sort(x, 1),
        ops.argmax(ops.where(x > 0, 0.0, -0.0), -1), ops.flip(x, 1), ops.cumsum(x, 1), ops.cumsum(n, 0),
    ],
    "softmax": lambda x, n: [ops.softmax(x), ops.log_softmax(x), ops.sigmoid(x), ops.relu(x), ops.relu6(9 * x)],
    "shapes": lambda x, n: [
        ops.reshape(x, (-1, 3)), ops.transpose(x, (2, 0, 1)), ops.expand_dims(n, -1), ops.squeeze(x[..., :1], -1),
        ops.pad(x, ((0, 0), (1, 2), (0, 0))), ops.pad(n, ((0, 0), (0, 1)), constant_values=7), ops.tile(n, (1, 2)),
        ops.repeat(x, 2, axis=1), ops.broadcast_to(n[:, :, None], ops.shape(x)), ops.concatenate([x, 2 * x], -1),
        ops.stack([n, n + 1], 1), *ops.split(x, 3, axis=-1), *ops.split(x, [2, 3], axis=-1), *ops.unstack(x, axis=2),
    ],
    "parts": lambda x, n: [
        x[:, 1:], x[:, ::2], x[..., -1], x[:, -1], x[:, ::-1], x[1 - ops.shape(n)[0]:, None, 1:-1, 3], n[:, 0],
        x[:, : ops.max(n)], n[:, :, None], x[..., 1:3, None], x[:, 1:-1, ::-2], ops.slice(x, (0, 1, 2), (1, 1, 3)),
    ],
    "gathering": lambda x, n: [
        ops.take(ops.arange(10.0), n + 4), ops.take(x, [2, 0], axis=1), ops.take_along_axis(x, abs(n)[:, :, None], -1),
        ops.scatter(abs(n)[0, :, None], x[0, :, 0], (5,)), ops.scatter_update(x, [[0, 1]], x[:1, 0]),
        ops.stack(ops.nonzero(n > 0)), take_each(x, abs(n) % 2, axis=1), take_each(n, abs(n[:, 0]) % 2),
    ],
    "products": lambda x, n: [
        ops.matmul(x, ops.transpose(x, (0, 2, 1))), ops.matmul(x, np.ones((6, 4), np.float32)),
        ops.einsum("bti,bsi->bts", x, x), ops.dot(x, np.ones((6, 2), np.float32)),
    ],
    "sound": lambda x, n: list(ops.stft(ops.reshape(x, (1, -1)), 8, 4, 16, window="hann", center=False)),
    "loss": lambda x, n: keras.losses.sparse_categorical_crossentropy(abs(n), x, from_logits=True),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_operations(name):
    as_onnx(Function(FUNCTIONS[name]))  # compares the outputs


def loops(x, n):
    """A loop in a loop that ends by itself, with a matrix that no step changes; scans in both directions."""
    kernel = np.linspace(-1, 1, 36).astype(np.float32).reshape(6, 6)

    def step(i, state):
        return i + 1, ops.while_loop(lambda j, y: j < i, lambda j, y: (j + 1, y + x[:, 0]), (0, state @ kernel))[1]

    _, state = ops.while_loop(lambda i, _: i < ops.max(n), step, (0, x[:, 0]))
    frames = ops.arange(ops.shape(x)[1])

    def scanned(carry, frame):
        return carry * 0.5 + x[:, frame], carry

    forwards, backwards = (ops.scan(scanned, ops.zeros_like(x[:, 0]), frames, reverse=r) for r in (False, True))
    return state, forwards, backwards


def test_loops():
    as_onnx(Function(loops))


@pytest.mark.parametrize("make", [LSTM, GRU, SimpleRNN, lambda n, **k: Bidirectional(LSTM(n, **k))])
def test_recurrent_layers(make):
    layer = make(3, return_sequences=True)
    layer.build((None, None, 6))
    as_onnx(Function(lambda x, n: layer(x, mask=ops.arange(ops.shape(x)[1]) < 2 + abs(n[:, :1]))))
    as_onnx(Function(lambda x, n: layer(x[:, :1])))  # a step of a search


def test_convolutions():
    layers = [
        keras.layers.Conv2D(4, 3, strides=2, padding="same"), keras.layers.DepthwiseConv2D(3, padding="valid"),
        keras.layers.BatchNormalization(), keras.layers.MaxPooling2D(2, padding="same"), keras.layers.Conv2D(3, 1),
    ]  # fmt: skip
    network = keras.Sequential([keras.Input((None, None, 6)), *layers])
    tall = Function(lambda x, n: network(ops.repeat(ops.repeat(x[:, :, None], 9, axis=2), 3, axis=1)))
    as_onnx(tall)


def test_what_a_loop_does_not_change_is_outside_of_it():
    from onnx import load_model_from_string

    model = load_model_from_string(as_onnx(Function(loops)))
    assert [opset.version for opset in model.opset_import] == [OPSET]
    assert {node.domain for node in model.graph.node} == {""}  # no operators of one runtime
    bodies = [node.attribute[0].g for node in model.graph.node if node.op_type == "Loop"]
    assert bodies
    assert all(not body.initializer for body in bodies)
    shapes = [node for body in bodies for node in body.node if node.op_type in ("Shape", "Range")]
    assert shapes == []


def test_an_operation_without_counterpart_is_named():
    with pytest.raises(ConversionError, match=r"operation AsString .* has no counterpart"):
        as_onnx(Function(lambda x, n: tf.strings.as_string(n)))


def test_another_result_is_refused():
    good = {"a": [np.array([1, 2], np.int32)], "b": np.array([0.5, -np.inf], np.float32)}
    check_parity(good, good)
    for other in (
        {**good, "a": [np.array([1, 3], np.int32)]},
        {**good, "b": np.array([0.51, -np.inf], np.float32)},
        {**good, "b": np.array([0.5, 0], np.float32)},
        {**good, "b": np.array([0.5], np.float32)},
    ):
        with pytest.raises(ParityError, match=r"nothing was exported: [ab]"):
            check_parity(other, good)


def test_names_and_nests_are_those_of_the_model():
    function = OnnxFunction(as_onnx(Function(lambda x, n: {"b": n, "a": (x, [n + 1])})))
    inputs = {"x": np.zeros((1, 2, 6), np.float32), "n": np.zeros((1, 2), np.int32)}
    outputs = function.predict_on_batch(inputs)
    assert list(outputs) == ["b", "a"]
    assert outputs["a"][1][0].tolist() == [[1, 1]]
    assert list(function.batches([5, 1, 2], 4)) == [[1, 2], [0]]


def test_equal_nodes_and_constants_are_one():
    graph = Graph()
    assert graph.constant([1.0]) == graph.constant(np.ones(1))
    assert graph.constant([1.0], np.float32) != graph.constant([1.0])
    assert graph.add("Neg", "x") == graph.add("Neg", "x") != graph.add("Neg", "y")
