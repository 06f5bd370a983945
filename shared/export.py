"""SavedModels: a model with its search and its text processing, which needs nothing but TensorFlow.

    export/<version>/     saved_model.pb, variables/, and warm-up requests for TensorFlow Serving

A version appears whole or not at all, since a server loads whatever folder it sees.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from shared.errors import UserError
from shared.runs import Run, atomic_folder


class ParityError(UserError):
    """The SavedModel does not answer as the Python model does; nothing was exported."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One function of a SavedModel.

    Attributes:
        function: takes tensors by name, returns a dictionary of tensors.
        signature: the name and form of each input.
        example: inputs that warm a server up.
    """

    function: Callable[..., dict[str, Any]]
    signature: Mapping[str, tf.TensorSpec]
    example: Mapping[str, Any]


def exported(run: Run) -> Path | None:
    """The newest SavedModel of a run, if it has one."""
    versions = [path for path in (run.path / "export").glob("[0-9]*") if path.name.isdigit()]
    return max(versions, key=lambda path: int(path.name), default=None)


def write_saved_model(
    run: Run,
    model: keras.Model,
    endpoints: Mapping[str, Endpoint],
    check: Callable[[Any], None],
    resources: Sequence[Any] = (),
) -> Path:
    """Writes the next version of a run's SavedModel.

    Args:
        run: where it goes: `<run>/export/<version>/`.
        model: holds all variables of the endpoints.
        endpoints: by name; the first is also `serving_default`.
        resources: what the endpoints need besides: tables of words.
        check: is given the SavedModel as loaded again, and raises ParityError unless it answers as the Python model.

    Returns:
        The folder of the new version.
    """
    before = exported(run)
    version = run.path / "export" / str(1 + (int(before.name) if before else 0))
    # Keras' own ExportArchive would also write every layer of the model as a program, which nobody here calls.
    module = tf.Module()
    module.resources = list(resources)
    module.parameters = list({id(variable): variable.value for variable in model.variables}.values())
    signatures = {}
    for name, endpoint in endpoints.items():
        traced = tf.function(endpoint.function, list(endpoint.signature.values()), autograph=False)
        signatures[name] = traced.get_concrete_function()
        setattr(module, name, signatures[name])  # rather than `traced`, which would be traced once more
    signatures["serving_default"] = signatures[next(iter(endpoints))]
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)  # nobody trains what is served
    with atomic_folder(version) as temporary:
        tf.saved_model.save(module, str(temporary), signatures, options)
        _write_warmup(temporary, run.name, endpoints)
        check(tf.saved_model.load(str(temporary)))
    return version


def _write_warmup(folder: Path, model_name: str, endpoints: Mapping[str, Endpoint]) -> None:
    """Writes one PredictionLog per endpoint (tensorflow_serving/apis/prediction_log.proto).

    Its messages are spelled out, field number by field number, rather than imported from tensorflow-serving-api.
    """
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, endpoint in endpoints.items():
            spec = _field(1, model_name.encode()) + _field(3, name.encode())  # ModelSpec: name, signature_name
            request = _field(1, spec)  # PredictRequest.model_spec
            for key, value in endpoint.example.items():
                tensor = tf.make_tensor_proto(value, endpoint.signature[key].dtype).SerializeToString()
                request += _field(2, _field(1, key.encode()) + _field(2, tensor))  # PredictRequest.inputs, a map
            writer.write(_field(6, _field(1, request)))  # PredictionLog.predict_log.request


def _field(number: int, content: bytes) -> bytes:
    """A length-delimited field of a protocol buffer."""
    length, size = b"", len(content)
    while size > 127:
        length += struct.pack("B", size & 127 | 128)
        size >>= 7
    return struct.pack("B", number << 3 | 2) + length + struct.pack("B", size) + content
