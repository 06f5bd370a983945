"""Functions of models as graphs of TensorFlow in a file: a process that runs one imports no Keras and traces nothing.

A file of safetensors has the weights, `graph`, the functions as a protocol buffer, and `form`, as JSON the nests of the
inputs and outputs. A SavedModel has the same, but to load one, TensorFlow makes each of its functions in Python.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.backend import without_keras
from shared.nests import filled, leaves, ordered
from shared.packing import packed
from shared.runs import as_safetensors, parse_tensors

with without_keras():
    import tensorflow as tf
    from tensorflow.core.framework.function_pb2 import FunctionDefLibrary
    from tensorflow.python.eager import context

if TYPE_CHECKING:
    from shared.any_size import AnySize


def as_graph(function: "AnySize") -> bytes:
    """The content of a file with a function as it is compiled for inputs like its first example."""
    example = function.examples()[0]
    compiled = function.compiled_for(example)
    variables = {id(variable.handle): variable for variable in compiled.variables}
    captured = [variables.get(id(tensor), tensor) for tensor in compiled.captured_inputs]
    library = FunctionDefLibrary()
    library.CopyFrom(compiled.graph.as_graph_def().library)
    library.function.append(compiled.function_def)
    form = {
        "inputs": tf.nest.map_structure(lambda _: 0, example),
        "outputs": tf.nest.map_structure(lambda _: 0, compiled.structured_outputs),
        "variables": [id(tensor) in variables for tensor in compiled.captured_inputs],
    }
    # TensorFlow flattens dictionaries in the order of their keys.
    own = {"graph": library.SerializeToString(), "form": json.dumps(form, sort_keys=True).encode()}
    tensors = {str(index): value.numpy() for index, value in enumerate(captured)}
    return as_safetensors(tensors | {name: np.frombuffer(content, np.uint8) for name, content in own.items()})


class GraphFunction:
    """A compiled call, with the methods of `shared.any_size.AnySize`; `content` is what `as_graph` has returned."""

    def __init__(self, content: bytes):
        tensors = parse_tensors(content, "the graph")
        graph, form = tensors["graph"].tobytes(), json.loads(tensors["form"].tobytes())
        library = FunctionDefLibrary.FromString(graph)
        # A process has one function of a name, and another file may have the same names.
        _rename(library, f"kept_{hashlib.sha256(graph).hexdigest()[:16]}_")
        functions: Any = context.context()
        for definition in library.function:
            functions.add_function_def(definition)
        signature = library.function[-1].signature
        self._name, self._inputs, self._outputs = signature.name, form["inputs"], form["outputs"]
        self._output_types = [tf.as_dtype(result.type) for result in signature.output_arg]
        captured: list[Any] = [tensors[str(index)] for index in range(len(form["variables"]))]
        count = len(signature.input_arg) - len(captured)
        self._input_types = [tf.as_dtype(argument.type) for argument in signature.input_arg[:count]]
        # Kept, because a handle does not keep its variable.
        self._weights = [tf.Variable(x) if own else x for x, own in zip(captured, form["variables"], strict=True)]
        self._captured = [x.handle if isinstance(x, tf.Variable) else x for x in self._weights]

    def predict_on_batch(self, x: Any) -> Any:
        """The outputs, a nest of NumPy arrays, for an array or a dictionary of arrays, nests or scalars."""
        given = [value for _, value in leaves(ordered(x, self._inputs))]
        arguments = [tf.convert_to_tensor(value, kind) for value, kind in zip(given, self._input_types, strict=True)]
        results: Any = tf.raw_ops.StatefulPartitionedCall(
            args=[*arguments, *self._captured], Tout=self._output_types, f=self._name
        )
        return filled(self._outputs, (result.numpy() for result in results))

    def batches(self, lengths: Sequence[int], max_size: int) -> Iterator[list[int]]:
        """As `AnySize.batches`."""
        return packed(lengths, max_size)


def _rename(library: FunctionDefLibrary, prefix: str) -> None:
    """Gives the names of the functions a prefix, also where they are called."""
    names = {definition.signature.name for definition in library.function}
    for definition in library.function:
        definition.signature.name = prefix + definition.signature.name
        for node in definition.node_def:
            if node.op in names:
                node.op = prefix + node.op
            for value in node.attr.values():
                for called in (*([value.func] if value.HasField("func") else []), *value.list.func):
                    if called.name in names:
                        called.name = prefix + called.name
