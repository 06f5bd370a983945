"""SavedModels: a model with its search and text processing, which need only TensorFlow.

    export/<version>/     saved_model.pb, variables/, and warm-up requests for TensorFlow Serving

A version is written under a hidden name and renamed when it is complete, because a server loads any folder that it
finds. Every endpoint keeps these rules, whatever its task:

    any batch   a batch without rows gives outputs without rows
    error       (batch,) string: "" or one line that says why a row has no answer; the other rows are answered as alone.
                A row without an answer has "" in strings, `MISSING` in log_prob and score, 0 elsewhere
    JSON        no output is infinite or NaN; what a search does not find has text "" and log_prob `MISSING`
"""

import errno
import functools
import os
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from shared.atomic import full_disk_named, remove_temporaries, sync, sync_all, temporary_folder
from shared.errors import UserError
from shared.recurrent import operations_only
from shared.runs import Run

MISSING = -1e9  # log-probability of what does not exist: JSON has no infinity, and float32 has this number exactly
LOG_PROBS = {"log_prob", "log_probs", "score"}  # outputs that are `MISSING` instead of 0 in a row without an answer


class ParityError(UserError):
    """The outputs of the SavedModel and the Python model differ; nothing was exported."""


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """One function of a SavedModel.

    It need not know empty batches. Its outputs may include `error` `(batch,)`, why a row has no answer, and `notice`
    `(batch,)`, which becomes the error of a row that has an answer all the same.
    """

    function: Callable[..., dict[str, Any]]  # named tensors -> dictionary of tensors
    signature: Mapping[str, tf.TensorSpec]  # of each input
    example: Mapping[str, Any]  # inputs of the warm-up request


def latest_export(run: Run) -> Path | None:
    """The folder of the newest SavedModel of a run; None if there is none."""
    versions = [path for path in (run.path / "export").glob("[0-9]*") if path.name.isdecimal()]
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
        endpoints: by name; `serving_default` is the one of a request that names none.
        check: called with the reloaded SavedModel; raises ParityError if its outputs differ from the Python model's.
        resources: other objects that the endpoints need, such as lookup tables.
    """
    # Keras' ExportArchive would also write every layer of the model as an unused function.
    module = tf.Module()
    module.resources = list(resources)
    module.parameters = list({id(variable): variable.value for variable in model.variables}.values())
    signatures = {}
    for name, endpoint in endpoints.items():
        traced = tf.function(for_any_batch(endpoint), list(endpoint.signature.values()), autograph=False)
        with operations_only():
            signatures[name] = traced.get_concrete_function()
        setattr(module, name, signatures[name])  # `traced` would be traced again
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)  # served models are not trained
    parent = run.path / "export"
    remove_temporaries(parent)  # of exports that were killed
    with temporary_folder(parent, "export") as temporary, full_disk_named(parent):
        folder = temporary / "complete"
        tf.saved_model.save(module, str(folder), signatures, options)
        _write_warmup(folder, run.name, endpoints)
        check(tf.saved_model.load(str(folder)))
        sync_all(folder)
        return _publish(folder, run)


# --- endpoints ------------------------------------------------------------------------------------------------------


def first_error(*cases: tuple[Any, Any]) -> Any:
    """For each row the message of the first pair (condition, message) whose condition holds; "" if none does."""
    error = tf.constant("")
    for condition, message in reversed(cases):
        error = tf.where(condition, message, error)
    return error


def message(*parts: Any) -> Any:
    """Texts and numbers, scalars or `(batch,)`, joined to a string."""
    tensors = map(tf.convert_to_tensor, parts)
    return tf.strings.join(
        [x if x.dtype == tf.string else tf.strings.as_string(x, shortest=x.dtype.is_floating) for x in tensors]
    )


def attempt(functions: Sequence[Callable[[Any], Any]], argument: Any, otherwise: Any) -> Any:
    """The result for `argument` of the first function without an error in a graph; `otherwise` if all fail.

    Results and `otherwise` are nests of tensors of the same types. In a graph, only a dataset survives an error.
    """
    results = tf.data.Dataset.from_tensors(otherwise)
    for function in reversed(functions):
        results = tf.data.Dataset.from_tensors(argument).map(function).ignore_errors().concatenate(results)
    return results.take(1).get_single_element()


def for_any_batch(endpoint: Endpoint) -> Callable[..., dict[str, Any]]:
    """The function of an endpoint with the rules above: an empty batch is one row of zeros, which is then cut off."""
    is_batched = [spec.shape.rank > 0 for spec in endpoint.signature.values()]

    @functools.wraps(endpoint.function)  # with the names of its arguments
    def function(*inputs: Any) -> dict[str, Any]:
        rows = [tf.shape(x)[0] for x, batched in zip(inputs, is_batched, strict=True) if batched]
        expected = f"the same number of rows was expected in {', '.join(endpoint.signature)}"
        with tf.control_dependencies([tf.debugging.assert_equal(rows, rows[0], expected)]):
            count = tf.identity(rows[0])
        outputs = endpoint.function(
            *(_one_row_at_least(x) if batched else x for x, batched in zip(inputs, is_batched, strict=True))
        )
        return {name: x[:count] if _is_batched(x) else x for name, x in _for_json(outputs, count).items()}

    return function


def _one_row_at_least(x: Any) -> Any:
    zeros = tf.concat([[1], tf.shape(x)[1:]], axis=0)
    result = tf.cond(tf.shape(x)[0] > 0, lambda: x, lambda: tf.zeros(zeros, x.dtype))
    result.set_shape(x.shape)
    return result


def _is_batched(output: Any) -> bool:
    """Whether an output has the axis of the batch; a constant, such as a list of phones, has known sizes."""
    return output.shape[0] is None


def _for_json(outputs: Mapping[str, Any], count: Any) -> dict[str, Any]:
    """The outputs with their `error`, without answers in rows that have one, and without infinity and NaN."""
    no_error = tf.fill([tf.maximum(count, 1)], "")
    error, notice = (tf.broadcast_to(outputs.get(name, no_error), tf.shape(no_error)) for name in ("error", "notice"))
    answers = {name: x for name, x in outputs.items() if name not in ("error", "notice")}
    for name, x in answers.items():
        if x.dtype.is_floating and _is_batched(x):
            answers[name] = x = tf.where(x == -float("inf"), MISSING, x)
            is_finite = tf.reduce_all(tf.math.is_finite(x), axis=list(range(1, x.shape.rank)))
            error = tf.where((error == "") & ~is_finite, "gives a result that is not finite", error)
    for name, x in answers.items():
        if _is_batched(x):
            has_failed = tf.reshape(error != "", [-1] + [1] * (x.shape.rank - 1))
            empty = "" if x.dtype == tf.string else tf.cast(MISSING if name in LOG_PROBS else 0, x.dtype)
            answers[name] = tf.where(has_failed, empty, x)
    return answers | {"error": tf.where(error == "", notice, error)}


# --- files ----------------------------------------------------------------------------------------------------------


def _publish(folder: Path, run: Run) -> Path:
    """Renames a complete folder to the next version of the run, and returns its new path."""
    while True:
        latest = latest_export(run)
        version = run.path / "export" / str(int(latest.name) + 1 if latest else 1)
        try:
            os.rename(folder, version)  # fails if there is a version of that name by now, which is never empty
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        else:
            sync(version.parent)
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
