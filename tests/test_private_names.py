"""Names of other packages that are private, or that their documentation does not promise.

When an update of a package breaks one, its test fails and names the files that rely on it.
"""

import ast
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

REPOSITORY = Path(__file__).parents[1]
# Of NamedTuple, of TFDS, and of `os`.
DOCUMENTED = {"_asdict", "_fields", "_replace", "_info", "_split_generators", "_generate_examples", "_exit"}


def optimizer(variables: int = 2) -> tuple[Any, list[Any]]:
    """An optimizer with a moving average of its variables, and the variables."""
    built, weights = keras.optimizers.SGD(0.5, use_ema=True), [keras.Variable(np.ones(i + 1)) for i in range(variables)]
    built.build(weights)
    return built, weights


def moving_averages_of_an_optimizer():
    built, weights = optimizer()
    assert [average.shape for average in built._model_variables_moving_average] == [weight.shape for weight in weights]


def hook_that_updates_the_moving_averages():
    calls = []

    class Optimizer(keras.optimizers.SGD):
        def _update_model_variables_moving_average(self, trainable_variables):
            calls.append(trainable_variables)

    weight = keras.Variable(np.ones(2))
    Optimizer(use_ema=True).apply([keras.ops.ones(2)], [weight])
    assert calls == [[weight]]


def moments_of_adam(name: str) -> Callable[[], None]:
    def check() -> None:
        weights = [keras.Variable(np.ones(i + 1)) for i in range(2)]
        built = keras.optimizers.Adam()
        built.build(weights)
        assert [moment.shape for moment in getattr(built, name)] == [weight.shape for weight in weights]

    return check


def index_of_a_variable_in_an_optimizer():
    built, weights = optimizer()
    assert [built._get_variable_index(weight) for weight in weights] == [0, 1]


def metrics_of_a_compiled_model():
    """Created for the first batch; without one there are those of the loss alone."""
    model = keras.Sequential([keras.layers.Dense(2)])
    model.compile(loss="mse", metrics=["mae"])
    model._symbolic_build(data_batch=(np.ones((3, 4)), np.ones((3, 2)), None))
    assert len(model.metrics_variables) == 4


def variables_of_an_optimizer():
    built, weights = optimizer()
    assert list(built._trainable_variables) == weights


def dropout_mask_of_a_cell():
    """Computed once for a batch, from the layer's seed; None without dropout."""
    cell, same, without = (keras.layers.LSTMCell(2, dropout=rate, seed=1) for rate in (0.5, 0.5, 0.0))
    mask = cell.get_dropout_mask(keras.ops.ones((3, 4)))
    assert cell.get_dropout_mask(keras.ops.ones((3, 4))) is mask
    np.testing.assert_array_equal(same.get_dropout_mask(keras.ops.ones((3, 4))), mask)
    assert set(np.unique(mask)) <= {0, 2}
    assert without.get_dropout_mask(keras.ops.ones((3, 4))) is None


def fused_call_of_both_directions(name: str) -> Callable[[], None]:
    def check():
        calls = []

        class Both(keras.layers.Bidirectional):
            pass

        setattr(Both, name, lambda self, mask, initial_state=None: calls.append(mask))
        Both(keras.layers.GRU(2))(np.ones((1, 2, 3), "float32"))
        assert calls == [None]

    return check


def loop_of_a_recurrent_layer():
    calls = []

    class Layer(keras.layers.GRU):
        def inner_loop(self, sequences, initial_state, mask, training=False):
            calls.append((sequences.shape, len(initial_state), mask, training))
            return super().inner_loop(sequences, initial_state, mask, training=training)

    Layer(2)(np.ones((1, 2, 3), "float32"), training=True)
    assert calls == [((1, 2, 3), 1, None, True)]
    for layer in (keras.layers.SimpleRNN, keras.layers.GRU, keras.layers.LSTM):
        assert [*inspect.signature(layer.inner_loop).parameters][1:] == [
            "sequences",
            "initial_state",
            "mask",
            "training",
        ]


def options_that_select_the_loop():
    for layer in (keras.layers.GRU(2), keras.layers.LSTM(2)):
        assert (layer.use_cudnn, layer.cell.implementation, layer.cell.recurrent_dropout) == ("auto", 2, 0)
    assert not hasattr(keras.layers.SimpleRNN(2), "use_cudnn")


def scope_that_replaces_the_value_of_a_variable():
    """A nested scope hides the values of the outer one; Keras' loop computes with the values of the scope."""
    layer, inputs = keras.layers.GRU(2), np.ones((1, 2, 3), "float32")
    layer.build(inputs.shape)
    kernel = layer.cell.recurrent_kernel
    values = [(kernel, keras.ops.zeros_like(kernel))]
    with keras.StatelessScope(values):
        replaced = layer(inputs)
        with keras.StatelessScope():
            np.testing.assert_array_equal(kernel, kernel.numpy())
            assert np.any(kernel.value != 0)
        assert not np.any(kernel.value != 0)
    assert np.any(kernel.value != 0)
    kernel.assign(0 * kernel)
    np.testing.assert_array_equal(replaced, layer(inputs))


def value_of_a_variable():
    assert isinstance(keras.Variable(np.ones(2)).value, tf.Variable)


def context_of_a_graph():
    contexts = []

    @tf.function(jit_compile=True)
    def run(x):
        graph = tf.compat.v1.get_default_graph()
        while graph is not None:
            contexts.append(graph._get_control_flow_context())
            graph = getattr(graph, "outer_graph", None)
        return x

    run(tf.ones(2))
    assert any(context is not None and context.IsXLAContext() for context in contexts)


def outer_graph_of_a_function():
    graphs = []

    @tf.function
    def outer(x):
        graphs.append(tf.compat.v1.get_default_graph())

        @tf.function
        def inner(x):
            graphs.append(tf.compat.v1.get_default_graph().outer_graph)
            return x

        return inner(x)

    outer(tf.ones(2))
    assert graphs[0] is graphs[1]


def selection_of_rows():
    x = tf.constant([[1.0, 2.0], [3.0, 4.0]])
    rows = tf.raw_ops.Select(condition=[True, False], x=x, y=-x)
    np.testing.assert_array_equal(rows, [[1, 2], [-3, -4]])


def graph_of_a_function():
    """That of the body of a loop, with the shapes of its inputs."""

    def call(x):
        return tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, y + x), (0, x))[1]

    compiled = tf.function(call, [tf.TensorSpec([None, 2])], autograph=False).get_concrete_function()
    (loop,) = (op for op in compiled.graph.get_operations() if op.type == "StatelessWhile")
    body = loop.graph._get_function(loop.get_attr("body").name).graph
    assert [tensor.shape.rank for tensor in body.inputs] == [0, 0, 0, 2, 2]
    assert [tensor.shape.rank for tensor in body.outputs] == [0, 0, 0, 2, 2]


def operation_by_its_name():
    """Its arguments are those of the operation's definition."""
    op = tf.function(lambda x: x + 1, [tf.TensorSpec([], tf.int32)]).get_concrete_function().graph.get_operations()[-2]
    names = [argument.name for argument in op.op_def.input_arg]
    assert getattr(tf.raw_ops, op.type)(**dict.fromkeys(names, 2)) == 4


def gradients_of_activations():
    half = tf.constant([0.5])
    np.testing.assert_array_equal(tf.raw_ops.SigmoidGrad(y=half, dy=half), [0.125])
    np.testing.assert_array_equal(tf.raw_ops.TanhGrad(y=half, dy=half), [0.375])


def option_of_a_saved_model():
    assert not tf.saved_model.SaveOptions(experimental_custom_gradients=False).experimental_custom_gradients


def index_file_of_a_compiled_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`numba.config.CACHE_DIR` counts when a function is decorated; the files are named after module and function."""
    import numba

    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    compiled = numba.njit(one, cache=True)
    monkeypatch.undo()
    assert compiled() == 1
    assert len(compiled.signatures) == 1
    name = f"{__name__.rpartition('.')[2]}.one"
    assert [path.name.startswith(f"{name}-") for path in tmp_path.rglob("*.nbi")] == [True]


def one():
    return 1


def builders_of_machine_code():
    from llvmlite import binding, ir
    from numba import types
    from numba.core import cgutils
    from numba.core.base import BaseContext

    assert callable(cgutils.get_or_insert_function)
    assert callable(BaseContext.make_array)
    assert callable(types.ExternalFunction)
    assert {"atomic_rmw", "load_atomic", "gep", "if_else", "shuffle_vector"} <= set(dir(ir.IRBuilder))
    assert ir.FloatType().as_pointer().pointee == ir.FloatType()
    assert isinstance(binding.get_host_cpu_features().get("avx512f", False), bool)


def owner_of_the_memory_of_an_array():
    """A view keeps the object that has the memory, not only the array that was made from it."""
    memory, deleted = np.arange(6, dtype=np.float32), []

    class Owner:
        __array_interface__ = memory.__array_interface__

        def __del__(self):
            deleted.append(True)

    array = np.asarray(Owner())
    view = array.reshape(2, 3)[1:].view("int32")
    assert array.ctypes.data == memory.ctypes.data
    del array
    assert not deleted
    del view
    assert deleted


def json_of_a_bootstrapped_score():
    from sacrebleu.metrics import BLEU

    bleu, texts = BLEU(force=True), ["a dog runs on the grass", "two men play a game"]
    score = bleu.corpus_score(texts, [texts], n_bootstrap=2)
    values = json.loads(score.format(signature=str(bleu.get_signature()), is_json=True))
    assert (values["confidence_mean"], values["confidence_var"]) == (100, 0)


def scope_of_a_test():
    scheduling = pytest.importorskip("xdist.scheduler").LoadFileScheduling
    assert scheduling._split_scope(None, "tests/test_a.py::test_b") == "tests/test_a.py"


class Name(NamedTuple):
    """A name that files of this repository rely on."""

    name: str
    files: tuple[str, ...]
    check: Callable[..., None]


LAYERS, ON_TENSORFLOW, PRODUCTS = (
    "shared/recurrent/layers.py",
    "shared/recurrent/on_tensorflow.py",
    "shared/native/products.py",
)
ADAPT, COMPILED = "tasks/language_model/adapt.py", "shared/recurrent/compiled.py"
CLASSIFIER, CONVERSION = "tasks/language_model/classifier_training.py", "shared/onnx/conversion.py"
NAMES = [
    Name(
        "_model_variables_moving_average",
        ("shared/optimizers.py", "shared/training.py"),
        moving_averages_of_an_optimizer,
    ),
    Name("_symbolic_build", ("shared/steps.py",), metrics_of_a_compiled_model),
    Name("_update_model_variables_moving_average", ("shared/optimizers.py",), hook_that_updates_the_moving_averages),
    Name("_momentums", ("shared/optimizers.py",), moments_of_adam("_momentums")),
    Name("_velocities", ("shared/optimizers.py",), moments_of_adam("_velocities")),
    Name("_get_variable_index", (ADAPT, CLASSIFIER, "shared/optimizers.py"), index_of_a_variable_in_an_optimizer),
    Name("_trainable_variables", (ADAPT,), variables_of_an_optimizer),
    Name("get_dropout_mask", (LAYERS,), dropout_mask_of_a_cell),
    Name("_can_attempt_fused_lstm", (LAYERS,), fused_call_of_both_directions("_can_attempt_fused_lstm")),
    Name("_can_attempt_fused_gru", (LAYERS,), fused_call_of_both_directions("_can_attempt_fused_gru")),
    Name("inner_loop", (LAYERS, "shared/recurrent/gradient_flow.py"), loop_of_a_recurrent_layer),
    Name("use_cudnn", (LAYERS,), options_that_select_the_loop),
    Name("StatelessScope", (LAYERS,), scope_that_replaces_the_value_of_a_variable),
    Name("variable.value", ("shared/export.py",), value_of_a_variable),
    Name("_get_control_flow_context", (COMPILED,), context_of_a_graph),
    Name("outer_graph", (COMPILED,), outer_graph_of_a_function),
    Name("_get_function", (CONVERSION,), graph_of_a_function),
    Name("tf.raw_ops", (CONVERSION,), operation_by_its_name),
    Name("raw_ops.Select", (ON_TENSORFLOW,), selection_of_rows),
    Name("raw_ops.SigmoidGrad", (ON_TENSORFLOW,), gradients_of_activations),
    Name("experimental_custom_gradients", ("shared/export.py",), option_of_a_saved_model),
    Name(".nbi", ("shared/native/precompile.py",), index_file_of_a_compiled_function),
    Name("numba.core", (PRODUCTS,), builders_of_machine_code),
    Name("__array_interface__", ("shared/native/buffers.py",), owner_of_the_memory_of_an_array),
    Name("confidence_mean", ("tasks/translator/scoring.py",), json_of_a_bootstrapped_score),
    Name("_split_scope", ("tests/conftest.py",), scope_of_a_test),
]


@pytest.mark.parametrize("name", NAMES, ids=lambda name: name.name)
def test_the_name_works_as_expected(name, request):
    for file in name.files:
        assert name.name in (REPOSITORY / file).read_text(encoding="utf-8"), f"{file} does not use {name.name} any more"
    fixtures = {fixture: request.getfixturevalue(fixture) for fixture in inspect.signature(name.check).parameters}
    name.check(**fixtures)


def test_every_private_name_of_other_packages_is_listed():
    """Every attribute `_name` that is used but never defined in this repository."""
    used, defined = {}, set()
    for path in [*(REPOSITORY / "tests").glob("*.py"), *REPOSITORY.glob("*.py")] + [
        path for package in ("tasks", "shared", "datasets") for path in (REPOSITORY / package).rglob("*.py")
    ]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                defined.add(node.name)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                defined.add(node.id)
            elif isinstance(node, ast.Attribute) and node.attr.startswith("_") and not node.attr.startswith("__"):
                if isinstance(node.ctx, ast.Store):
                    defined.add(node.attr)
                else:
                    used.setdefault(node.attr, path.relative_to(REPOSITORY).as_posix())
    foreign = {name: file for name, file in used.items() if name not in defined | DOCUMENTED}
    assert {name: file for name, file in foreign.items() if name not in {name.name for name in NAMES}} == {}
