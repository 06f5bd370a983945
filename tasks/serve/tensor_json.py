"""Tensors in the JSON of TensorFlow Serving's REST interface.

    row form     {"instances": [x, ...]} or [{"name": x, ...}, ...]       -> {"predictions": [...]}
    column form  {"inputs": [x, ...]} or {"inputs": {"name": [x, ...]}}   -> {"outputs": ...}

Bytes are {"b64": "..."}; outputs whose names end in `_bytes` are written so too. A single input, or output, needs no
name. The source is https://www.tensorflow.org/tfx/serving/api_rest.
"""

import base64
import json
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from shared.errors import UserError, shortened, shown

MAX_ROWS = 64
MAX_CELLS = 2**22  # elements of a tensor
KINDS = {"b": "bool", "i": "iu", "u": "iu", "f": "iuf"}  # kinds of numbers in JSON that a tensor's kind takes
DEFAULT = "serving_default"


class TensorError(UserError):
    """A request does not have the tensors that a signature takes."""


class Spec(Protocol):
    """Type and shape of a tensor, as TensorFlow's TensorSpec has them."""

    dtype: Any
    shape: Any


class Prediction(NamedTuple):
    """What a request asks for."""

    signature: str
    is_row_form: bool
    value: Any  # of `instances` or `inputs`


def read_prediction(body: bytes) -> Prediction:
    """A request; raises TensorError if it is none."""
    try:
        request = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise TensorError(f"JSON Parse error: {shortened(str(error))}") from None
    if not isinstance(request, dict):
        raise TensorError(f"a JSON object was expected, not {shown(request)}")
    signature = request.get("signature_name") or DEFAULT
    if not isinstance(signature, str):
        raise TensorError(f"signature_name {shown(signature)}: a string was expected")
    forms = [form for form in ("instances", "inputs") if form in request]
    if len(forms) != 1:
        raise TensorError("one of the keys 'instances' and 'inputs' was expected")
    is_row_form = forms == ["instances"]
    if is_row_form and (not isinstance(request["instances"], list) or not request["instances"]):
        raise TensorError("instances: a list with an element at least was expected")
    return Prediction(signature, is_row_form, request[forms[0]])


def to_arrays(prediction: Prediction, specs: Mapping[str, Spec]) -> dict[str, np.ndarray]:
    """The inputs of a signature by name: arrays of numbers, and of bytes objects for strings.

    Raises:
        TensorError: an input is missing or unknown, or its values do not have its type and shape.
    """
    columns = _columns(prediction, list(specs))
    if columns.keys() != specs.keys():
        given, expected = (", ".join(sorted(map(str, names))[:20]) or "none" for names in (columns, specs))
        raise TensorError(f"inputs {shortened(given)}: the signature {prediction.signature} takes {expected}")
    return {name: _array(name, columns[name], spec) for name, spec in specs.items()}


def _columns(prediction: Prediction, names: list[str]) -> dict[str, Any]:
    """The values of each input, rows together."""
    values = prediction.value
    if not prediction.is_row_form:
        return values if _is_named(values) else {_only(names): values}
    if not any(map(_is_named, values)):
        return {_only(names): values}
    first = values[0]
    if not all(_is_named(value) and value.keys() == first.keys() for value in values):
        raise TensorError("instances: objects with the same inputs were expected")
    return {name: [value[name] for value in values] for name in first}


def _is_named(value: Any) -> bool:
    """Whether a value has inputs by name; an object with nothing but "b64" is bytes."""
    return isinstance(value, dict) and value.keys() != {"b64"}


def _only(names: list[str]) -> str:
    if len(names) != 1:
        raise TensorError(f"the signature takes {', '.join(names)}; an object with their names was expected")
    return names[0]


def _array(name: str, value: Any, spec: Spec) -> np.ndarray:
    dtype = np.dtype(spec.dtype.as_numpy_dtype)
    sizes = list(spec.shape)
    if dtype.kind == "O":
        array = _of_bytes(name, value, len(sizes))
    else:
        try:
            array = np.array(value)
        except ValueError:
            raise TensorError(f"{name}: lists of equal length were expected") from None
        if array.size and array.dtype.kind not in KINDS[dtype.kind]:
            raise TensorError(f"{name}: values of type {dtype.name} were expected")
        with np.errstate(over="ignore"):
            converted = array.astype(dtype)
        if dtype.kind in "iu" and not np.array_equal(converted, array):
            raise TensorError(f"{name}: values in the range of {dtype.name} were expected")
        array = converted
    wrong = array.ndim != len(sizes) or any(size not in (None, n) for size, n in zip(sizes, array.shape, strict=False))
    if wrong:
        expected = [-1 if size is None else size for size in sizes]
        raise TensorError(f"{name}: the shape {expected} was expected, not {list(array.shape)}")
    if array.size > MAX_CELLS or (array.ndim and len(array) > MAX_ROWS):
        raise TensorError(f"{name}: {MAX_ROWS} rows and {MAX_CELLS:,} values at most were expected")
    return array


def _of_bytes(name: str, value: Any, rank: int) -> np.ndarray:
    """Nested lists of texts and {"b64": ...} as an array of bytes objects; rank 0 or 1 is all that there is."""
    values = value if isinstance(value, list) else [value]
    array = np.empty(len(values), object)
    for i, one in enumerate(values):
        array[i] = _bytes(name, one)
    return array if rank and isinstance(value, list) else array.reshape(()) if len(values) == 1 else array


def _bytes(name: str, value: Any) -> bytes:
    try:
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, dict) and isinstance(value.get("b64"), str):
            return base64.b64decode(value["b64"], validate=True)
    except ValueError:  # half of a character, or no base64
        pass
    raise TensorError(f'{name}: a string or {{"b64": base64 text}} was expected, not {shown(value)}')


def to_json(outputs: Mapping[str, np.ndarray], rows: int | None) -> bytes:
    """The answer with the outputs of a signature, in row form if a number of rows is given.

    Raises:
        TensorError: the row form cannot hold them.
    """
    columns = {name: _values(name, array) for name, array in outputs.items()}
    only = len(columns) == 1
    if rows is None:
        return _dumps({"outputs": next(iter(columns.values())) if only else columns})
    for name, array in outputs.items():
        if not array.ndim or len(array) != rows:
            raise TensorError(f"the output {name} has no row for each instance; ask with 'inputs'")
    if only:
        return _dumps({"predictions": next(iter(columns.values()))})
    names = list(columns)
    rows_of = zip(*columns.values(), strict=True)
    return _dumps({"predictions": [dict(zip(names, row, strict=True)) for row in rows_of]})


def _values(name: str, array: np.ndarray) -> Any:
    if array.dtype.kind == "O":
        return _text(array.tolist(), name.endswith("_bytes"))
    return array.tolist()


def _text(value: Any, as_base64: bool) -> Any:
    if isinstance(value, list):
        return [_text(one, as_base64) for one in value]
    return {"b64": base64.b64encode(value).decode()} if as_base64 else value.decode("utf-8", "replace")


def _dumps(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()
