"""Writes compiled functions of a model as ONNX files, checked against it.

<run>/onnx/     <function>.onnx, and the JSON files of the run that say what the numbers mean, such as the vocabulary
"""

import json
import shutil
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import tensorflow as tf

from shared.any_size import AnySize
from shared.atomic import atomic_folder
from shared.export import ParityError
from shared.nests import filled, leaves
from shared.onnx.conversion import Conversion
from shared.onnx.graph import OPSET
from shared.onnx.runtime import OnnxFunction, session_options
from shared.runs import Run

ATOL, RTOL = 1e-4, 1e-4  # of float32 results; the two add in different orders


def as_onnx(function: AnySize) -> bytes:
    """The ONNX file of a function, for batches of any size and, where `shortest` names them, any length.

    Raises:
        ConversionError: an operation of TensorFlow has no counterpart in ONNX.
        ParityError: for one of the function's `examples` the outputs differ.
    """
    examples = function.examples()
    content = _optimized(_converted(function, examples[0]))
    converted = OnnxFunction(content)
    for example in examples:
        check_parity(converted.predict_on_batch(example), function.predict_on_batch(example))
    return content


def write_onnx(run: Run, functions: Mapping[str, AnySize]) -> Path:
    """Writes the ONNX files of a run, by the names of the functions, in place of earlier ones; returns their folder.

    Raises ConversionError or ParityError as `as_onnx`; earlier files stay then.
    """
    folder = run.path / "onnx"
    with atomic_folder(folder) as written:
        for name, function in functions.items():
            (written / f"{name}.onnx").write_bytes(as_onnx(function))
        for path in run.path.glob("*.json"):
            if path.name != "metrics.json":
                shutil.copyfile(path, written / path.name)
    return folder


def check_parity(found: Any, expected: Any) -> None:
    """Raises ParityError unless two nests of arrays are equal, floating-point numbers to `ATOL` and `RTOL`."""
    for (name, ours), (_, theirs) in zip(leaves(found), leaves(expected), strict=True):
        theirs = np.asarray(theirs)
        is_equal = ours.shape == theirs.shape and ours.dtype == theirs.dtype
        if is_equal and theirs.dtype.kind == "f":
            is_equal = np.allclose(ours, theirs, RTOL, ATOL)
        elif is_equal:
            is_equal = np.array_equal(ours, theirs)
        if not is_equal:
            raise ParityError(f"nothing was exported: {name or 'the output'} of the ONNX file differs from the model's")


def _converted(function: AnySize, example: Any) -> bytes:
    compiled = function.compiled_for(example)
    conversion = Conversion()
    count = len(compiled.inputs) - len(compiled.captured_inputs)
    variables = {id(variable.handle): variable for variable in compiled.variables}
    captured = [
        variables[id(tensor)] if id(tensor) in variables else conversion.constant(tensor.numpy())
        for tensor in compiled.captured_inputs
    ]
    given = _named(example, "input")
    found = _named(compiled.structured_outputs, "output", tf.nest.flatten(given))
    inputs = []
    for name, tensor in zip(tf.nest.flatten(given), compiled.inputs[:count], strict=True):
        sizes = ["batch" if axis == 0 else f"{name}_{axis}" for axis in range(tensor.shape.rank)]
        shape = [size if known is None else known for size, known in zip(sizes, tensor.shape, strict=True)]
        inputs.append((name, tensor.dtype.as_numpy_dtype, shape))
    results = conversion.function(compiled.graph, [*(name for name, *_ in inputs), *captured])
    outputs = []
    for name, tensor, value in zip(tf.nest.flatten(found), compiled.outputs, results, strict=True):
        conversion.output(value, name)
        outputs.append((name, tensor.dtype.as_numpy_dtype, tensor.shape.rank))
    metadata = {"inputs": json.dumps(given), "outputs": json.dumps(found)}
    return conversion.model(inputs, outputs, metadata)


def _named(nest: Any, kind: str, taken: Collection[str] = ()) -> Any:
    """The nest with a name in the place of each leaf: its path, after `kind` if it has none or that is `taken`."""
    paths = (path for path, _ in leaves(nest))
    return filled(nest, (f"{kind}_{x}".rstrip("_") if not x[:1].isalpha() or x in taken else x for x in paths))


def _optimized(content: bytes) -> bytes:
    """The model after the optimizations of onnxruntime that keep to standard operators."""
    options = session_options()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.onnx")
        options.optimized_model_filepath = str(path)
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        model = onnx.load(path)
    del model.opset_import[:]  # of every domain that onnxruntime knows; the operators are those of ONNX
    model.opset_import.append(onnx.helper.make_opsetid("", OPSET))
    return model.SerializeToString()
