"""SavedModels: a model with its search and text processing, which need only TensorFlow.

    export/<version>/     saved_model.pb, variables/, and warm-up requests for TensorFlow Serving

A version is written atomically, because a server loads any folder that it finds.
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
    """The outputs of the SavedModel and the Python model differ; nothing was exported."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One function of a SavedModel."""

    function: Callable[..., dict[str, Any]]  # named tensors -> dictionary of tensors
    signature: Mapping[str, tf.TensorSpec]  # of each input
    example: Mapping[str, Any]  # inputs of the warm-up request


def latest_export(run: Run) -> Path | None:
    """The folder of the newest SavedModel of a run; None if there is none."""
    versions = [path for path in (run.path / "export").glob("[0-9]*") if path.name.isdigit()]
    return max(versions, key=lambda path: int(path.name), default=None)


def write_saved_model(
    run: Run,
    model: keras.Model,
    endpoints: Mapping[str, Endpoint],
    check: Callable[[Any], None],
    resources: Sequence[Any] = (),
) -> Path:
    """Write the next version of a run's SavedModel and return its folder, `<run>/export/<version>/`.

    Args:
        model: has all variables of the endpoints.
        endpoints: by name; the first is also `serving_default`.
        check: called with the reloaded SavedModel; raises ParityError if its outputs differ from the Python model's.
        resources: other objects that the endpoints need, such as lookup tables.
    """
    latest = latest_export(run)
    version = run.path / "export" / str(int(latest.name) + 1 if latest else 1)
    # Keras' ExportArchive would also write every layer of the model as an unused function.
    module = tf.Module()
    module.resources = list(resources)
    module.parameters = list({id(variable): variable.value for variable in model.variables}.values())
    signatures = {}
    for name, endpoint in endpoints.items():
        traced = tf.function(endpoint.function, list(endpoint.signature.values()), autograph=False)
        signatures[name] = traced.get_concrete_function()
        setattr(module, name, signatures[name])  # `traced` would be traced again
    signatures["serving_default"] = signatures[next(iter(endpoints))]
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)  # served models are not trained
    with atomic_folder(version) as temporary:
        tf.saved_model.save(module, str(temporary), signatures, options)
        _write_warmup(temporary, run.name, endpoints)
        check(tf.saved_model.load(str(temporary)))
    return version


def _write_warmup(folder: Path, model_name: str, endpoints: Mapping[str, Endpoint]) -> None:
    """Write one PredictionLog per endpoint (tensorflow_serving/apis/prediction_log.proto).

    The messages are encoded by field number, so tensorflow-serving-api is not needed.
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
    """Encode a length-delimited field of a protocol buffer."""
    length, size = b"", len(content)
    while size > 127:
        length += struct.pack("B", size & 127 | 128)
        size >>= 7
    return struct.pack("B", number << 3 | 2) + length + struct.pack("B", size) + content
