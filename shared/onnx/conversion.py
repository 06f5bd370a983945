"""The conversion of TensorFlow's graphs, with their loops and functions, to ONNX.

TensorFlow's control flow is made of functions: the body of a loop is a graph whose inputs are the variables of the loop
and all that it uses from outside. What a body leaves as it is becomes a value of the graph around it. A list of tensors
that a loop writes one by one, in order or backwards, becomes an output that ONNX's loop stacks.
"""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from shared.onnx.graph import ConversionError, Graph, Name
from shared.onnx.operations import LAST, OPERATIONS, rank

MAX_SIZES = 1000  # of a constant that is computed here; larger ones are weights
TRANSPARENT = ("Identity", "StopGradient", "PreventGradient")


class TensorList(NamedTuple):
    """A list of tensors, as one tensor with one more axis, the first.

    That of an empty list of many is None until a loop has written it; one with space for a single tensor may be
    written anywhere. Keras' `scan` has its state in such lists.
    """

    stacked: Name | None


class Conversion(Graph):
    """A graph into which graphs of TensorFlow are converted."""

    def function(self, graph: Any, inputs: Sequence[Any], outputs: Sequence[Any] | None = None) -> list[Any]:
        """Converts a graph of TensorFlow.

        Args:
            graph: a FuncGraph.
            inputs: the value of each of its inputs: a name, a variable, a list or another value of a handler.
            outputs: tensors of the graph; default: its outputs.

        Returns:
            The value of each output.
        """
        wanted = list(graph.outputs if outputs is None else outputs)
        values = {tensor.name: value for tensor, value in zip(graph.inputs, inputs, strict=True)}
        needed, waiting = set(), [tensor.op for tensor in wanted if tensor.name not in values]
        while waiting:
            op = waiting.pop()
            if op.name not in needed:
                needed.add(op.name)
                waiting += [tensor.op for tensor in op.inputs if tensor.name not in values]
        for op in graph.get_operations():
            if op.name in needed:
                results = self._operation(op, [values.get(tensor.name) for tensor in op.inputs])
                values |= zip((tensor.name for tensor in op.outputs), results, strict=True)
        return [values[tensor.name] for tensor in wanted]

    def _operation(self, op: Any, inputs: list[Any]) -> list[Any]:
        """The values of the outputs of an operation."""
        if (known := self._computed(op, inputs)) is not None:
            return [self.constant(value, tensor.dtype) for value, tensor in zip(known, op.outputs, strict=True)]
        handler: Callable[..., Any] | None = STRUCTURES.get(op.type) or OPERATIONS.get(op.type)
        if handler is None:
            raise ConversionError(f"TensorFlow's operation {op.type} ({op.name}) has no counterpart in ONNX here")
        result = handler(self, op, inputs)
        return result if type(result) is list else [result]

    def _computed(self, op: Any, inputs: list[Any]) -> Sequence[Any] | None:
        """The outputs of an operation that do not depend on inputs of the model; None if some do, or may be large."""
        if any(tensor.dtype in (tf.variant, tf.resource) or tensor.dtype.is_complex for tensor in op.outputs):
            return None
        if op.type in ("Const", "Shape"):
            static = tf.get_static_value(op.outputs[0])
            return None if static is None else [static]
        are_sizes = all(self.is_constant(x) and self.value(x).size <= MAX_SIZES for x in inputs)
        if not are_sizes or op.type in STRUCTURES or not inputs or not op.outputs[0].dtype.is_integer:
            return None
        given, arguments = iter(inputs), {}
        for argument in op.op_def.input_arg:
            count = op.get_attr(argument.number_attr) if argument.number_attr else None
            names = [next(given) for _ in range(1 if count is None else count)]
            arguments[argument.name] = self.value(names[0]) if count is None else [self.value(x) for x in names]
        function = getattr(tf.raw_ops, op.type)
        accepted = inspect.signature(function).parameters
        arguments |= {a.name: op.get_attr(a.name) for a in op.op_def.attr if a.name in accepted}
        results = function(**arguments)
        return [x.numpy() for x in (results if len(op.outputs) > 1 else [results])]


def _function_of(op: Any, attribute: str) -> Any:
    """The graph of a function that an attribute names."""
    return op.graph._get_function(op.get_attr(attribute).name).graph


def _origin(tensor: Any) -> Any:
    """The tensor whose value this one has."""
    while tensor.op.type in TRANSPARENT:
        tensor = tensor.op.inputs[0]
    return tensor


# --- functions, variables and lists -----------------------------------------------------------------------------------


def _call(c: Conversion, op: Any, x: list[Any]) -> list[Any]:
    return c.function(_function_of(op, "f"), x)


def _read(c: Conversion, op: Any, x: list[Any]) -> Name:
    return c.constant(x[0].numpy())


def _list_of(c: Conversion, op: Any, x: list[Any]) -> TensorList:
    return TensorList(x[0])


def _empty_list(c: Conversion, op: Any, x: list[Any]) -> TensorList:
    return TensorList(None)


def _list_with(c: Conversion, op: Any, x: list[Any]) -> TensorList:
    if not c.is_constant(x[1]) or c.value(x[1]) != 0:
        raise ConversionError(f"the list of {op.name} is written otherwise than one item at each step of a loop")
    return TensorList(c.add("Unsqueeze", x[2], c.constant([0], np.int64)))


def _stack(c: Conversion, op: Any, x: list[Any]) -> Name:
    if x[0].stacked is None:
        raise ConversionError(f"the list of {op.name} is written by something else than a loop")
    return x[0].stacked


def _item(c: Conversion, op: Any, x: list[Any]) -> Name:
    return c.add("Gather", _stack(c, op, x), x[1], axis=0)


# --- loops ------------------------------------------------------------------------------------------------------------


class _Written(NamedTuple):
    """A list that the body of a loop writes."""

    item: Any  # the tensor that is written at a step
    backwards: bool


def _written(body: Any, index: int) -> _Written:
    """How the body writes the list that is its variable `index`."""
    write = _origin(body.outputs[index]).op
    if write.type != "TensorListSetItem" or _origin(write.inputs[0]).name != body.inputs[index].name:
        raise ConversionError(f"the loop of {body.name} writes a list otherwise than one item at a step")
    names = [tensor.name for tensor in body.inputs]
    counter = _origin(write.inputs[1]).name
    following = _origin(body.outputs[names.index(counter)]).op if counter in names else None
    step = None
    if following is not None and following.type in ("AddV2", "Sub"):
        terms = [tensor for tensor in following.inputs if _origin(tensor).name != counter]
        step = tf.get_static_value(terms[0]) if len(terms) == 1 else None
        step = -step if step is not None and following.type == "Sub" else step
    if step not in (1, -1):
        raise ConversionError(f"the loop of {body.name} writes a list in another order than one by one")
    return _Written(write.inputs[2], step == -1)


def _loop(c: Conversion, op: Any, x: list[Any]) -> list[Any]:
    """A while loop."""
    body, condition = _function_of(op, "body"), _function_of(op, "cond")
    changed = [i for i, value in enumerate(body.outputs) if _origin(value).name != body.inputs[i].name]
    lists = {i: _written(body, i) for i in changed if isinstance(x[i], TensorList) and x[i].stacked is None}
    carried = [i for i in changed if i not in lists]
    kinds = {i: _kind(body, i) for i in carried}
    (begins,) = c.function(condition, x)

    c.begin_body()
    step, goes_on = c.body_input(), c.body_input()
    before = {i: _like(x[i], c.body_input()) for i in carried}
    tensors = [*(body.outputs[i] for i in carried), *(written.item for written in lists.values())]
    after = c.function(body, [before.get(i, value) for i, value in enumerate(x)], tensors)
    states, items = dict(zip(carried, after[: len(carried)], strict=True)), after[len(carried) :]
    (ends,) = c.function(condition, [states.get(i, value) for i, value in enumerate(x)])
    outputs = [(c.body_output(ends), np.bool_, 0)]
    outputs += [(c.body_output(_name(states[i])), *kinds[i]) for i in carried]
    outputs += [
        (c.body_output(item), *_described(written.item)) for item, written in zip(items, lists.values(), strict=True)
    ]
    inputs = [(step, np.int64, 0), (goes_on, np.bool_, 0), *((_name(before[i]), *kinds[i]) for i in carried)]
    results = c.loop(begins, [_name(x[i]) for i in carried], c.end_body(inputs, outputs), len(outputs) - 1)

    found = {i: _like(x[i], result) for i, result in zip(carried, results, strict=False)}
    for (i, written), stacked in zip(lists.items(), results[len(carried) :], strict=True):
        found[i] = TensorList(_reversed(c, stacked) if written.backwards else stacked)
    return [found.get(i, value) for i, value in enumerate(x)]


def _name(value: Any) -> Any:
    """The name of the tensor that stands for a value of a loop."""
    return value.stacked if isinstance(value, TensorList) else value


def _like(value: Any, name: Name) -> Any:
    """A value of the same kind as another one, with a name."""
    return TensorList(name) if isinstance(value, TensorList) else name


def _described(tensor: Any) -> tuple[Any, int]:
    """The type of NumPy and the number of axes."""
    return tensor.dtype.as_numpy_dtype, rank(tensor)


def _kind(body: Any, index: int) -> tuple[Any, int]:
    """The same of a variable of a loop; that of a list is known by the tensor that the loop writes into it."""
    tensor = _origin(body.outputs[index])
    if tensor.dtype != tf.variant:
        return _described(body.inputs[index])
    if tensor.op.type != "TensorListSetItem":
        raise ConversionError(f"the loop of {body.name} changes a list otherwise than by writing into it")
    dtype, axes = _described(tensor.op.inputs[2])
    return dtype, axes + 1


def _reversed(c: Conversion, name: Name) -> Name:
    bounds = ([-1], [-LAST - 1], [0], [-1])
    return c.add("Slice", name, *(c.constant(values, np.int64) for values in bounds))


STRUCTURES: dict[str, Callable[[Conversion, Any, list[Any]], Any]] = {
    "PartitionedCall": _call,
    "StatefulPartitionedCall": _call,
    "ReadVariableOp": _read,
    "TensorListFromTensor": _list_of,
    "TensorListReserve": _empty_list,
    "TensorListSetItem": _list_with,
    "TensorListStack": _stack,
    "TensorListGetItem": _item,
    "While": _loop,
    "StatelessWhile": _loop,
}
