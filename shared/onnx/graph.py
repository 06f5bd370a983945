"""Builds an ONNX model: nodes, constants, and the bodies of loops."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from shared.errors import UserError

OPSET = 18  # its operators are in onnxruntime-web, too
IR_VERSION = 10  # of that opset's time, so that older runtimes read the files

Name = str  # of a value


class ConversionError(UserError):
    """A model has an operation that cannot be written as ONNX."""


def _numpy_type(dtype: Any) -> Any:
    """The type of NumPy for one of NumPy or TensorFlow, or None."""
    return getattr(dtype, "as_numpy_dtype", dtype)


def tensor_type(dtype: Any) -> int:
    """ONNX's number of a type of NumPy or TensorFlow."""
    return helper.np_dtype_to_tensor_dtype(np.dtype(_numpy_type(dtype)))


class Graph:
    """Nodes under construction.

    The body of a loop is a graph inside of a graph. A node goes into the outermost one that has its inputs, so that a
    loop repeats nothing that is the same at every step; and equal nodes become one.
    """

    def __init__(self) -> None:
        self._nodes: list[list[Any]] = [[]]  # of the model, then of each body that is being built
        self._depths: dict[Name, int] = {}  # index in `_nodes` of each value that is not a constant
        self._known: dict[Any, list[Name]] = {}  # outputs of nodes and names of constants
        self._constants: dict[Name, np.ndarray] = {}
        self._sources: dict[Name, Name] = {}  # of int32 values: what they were cast from
        self._count = 0

    def new_name(self) -> Name:
        self._count += 1
        return f"v{self._count}"

    def constant(self, value: Any, dtype: Any = None) -> Name:
        """The name of a constant."""
        array = np.asarray(value, _numpy_type(dtype))  # not `ascontiguousarray`, which makes a vector of a scalar
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._known:
            name = self.new_name()
            self._constants[name] = array
            self._known[key] = [name]
        return self._known[key][0]

    def is_constant(self, name: Any) -> bool:
        return isinstance(name, Name) and name in self._constants

    def value(self, name: Name) -> np.ndarray:
        """The value of a constant; raises ConversionError for another name."""
        if not self.is_constant(name):
            raise ConversionError("an axis, a size or a flag depends on the inputs; a constant was expected")
        return self._constants[name]

    def add(self, kind: str, *inputs: Name, **attributes: Any) -> Name:
        """Adds a node with one output; an input "" is left out."""
        return self.add_many(kind, inputs, 1, **attributes)[0]

    def cast(self, name: Name, dtype: Any) -> Name:
        """The value in another type."""
        result = self.add("Cast", name, to=tensor_type(dtype))
        if np.dtype(_numpy_type(dtype)) == np.int32:
            self._sources[result] = name
        return result

    def wide(self, name: Name) -> Name:
        """Sizes or indices in int64, which ONNX wants."""
        return self.cast(self._sources.get(name, name), np.int64)

    def add_many(self, kind: str, inputs: Sequence[Name], outputs: int, **attributes: Any) -> list[Name]:
        """Adds a node with several outputs."""
        key = kind, tuple(inputs), outputs, repr(sorted(attributes.items()))
        if key not in self._known:
            depth = max((self._depths.get(name, 0) for name in inputs), default=0)
            self._known[key] = self._append(depth, kind, inputs, outputs, attributes)
        return self._known[key]

    def _append(
        self, depth: int, kind: str, inputs: Sequence[Name], outputs: int, attributes: Mapping[str, Any]
    ) -> list[Name]:
        names = [self.new_name() for _ in range(outputs)]
        self._nodes[depth].append(helper.make_node(kind, list(inputs), names, name=names[0], **attributes))
        self._depths |= dict.fromkeys(names, depth)
        return names

    # --- bodies of loops ----------------------------------------------------------------------------------------------

    def begin_body(self) -> None:
        """The nodes that need its inputs, which `body_input` names, are those of the body of a loop from here on."""
        self._nodes.append([])

    def body_input(self) -> Name:
        """A new value that the loop gives to its body."""
        name = self.new_name()
        self._depths[name] = len(self._nodes) - 1
        return name

    def body_output(self, name: Name) -> Name:
        """The value under a name of its own, which belongs to the body."""
        return self._append(len(self._nodes) - 1, "Identity", [name], 1, {})[0]

    def end_body(self, inputs: Sequence[tuple[Name, Any, int]], outputs: Sequence[tuple[Name, Any, int]]) -> Any:
        """The graph of the body; `inputs` and `outputs` are names, types of NumPy and numbers of axes."""
        return helper.make_graph(self._nodes.pop(), self.new_name(), _described(inputs), _described(outputs))

    def loop(self, condition: Name, initial: Sequence[Name], body: Any, outputs: int) -> list[Name]:
        """Repeats the body while its condition holds."""
        return self._append(len(self._nodes) - 1, "Loop", ["", condition, *initial], outputs, {"body": body})

    # --- the model ----------------------------------------------------------------------------------------------------

    def model(
        self,
        inputs: Sequence[tuple[Name, Any, Sequence[int | str]]],
        outputs: Sequence[tuple[Name, Any, int]],
        metadata: Mapping[str, str],
    ) -> bytes:
        """The content of the file.

        Args:
            inputs: name, type and shape of each; the names of sizes that are not known stand for them.
            outputs: name, type and number of axes of each.
            metadata: texts by name.
        """
        declared = [helper.make_tensor_value_info(name, tensor_type(kind), shape) for name, kind, shape in inputs]
        constants = [numpy_helper.from_array(array, name) for name, array in self._constants.items()]
        graph = helper.make_graph(self._nodes[0], "model", declared, _described(outputs), constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model)
        return model.SerializeToString()

    def output(self, name: Name, public: str) -> None:
        """Gives a value of the model the name of an output."""
        self._nodes[0].append(helper.make_node("Identity", [name], [public], name=public))


def _described(values: Sequence[tuple[Name, Any, int]]) -> list[Any]:
    return [helper.make_tensor_value_info(name, tensor_type(kind), [None] * axes) for name, kind, axes in values]
