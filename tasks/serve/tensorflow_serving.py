"""The addresses of TensorFlow Serving's REST interface, so that its clients work unchanged.

    POST /v1/models/MODEL[/versions/N]:predict      the signatures of the SavedModel that `quatrain export` writes
    GET  /v1/models/MODEL[/versions/N]              the state of the versions
    GET  /v1/models/MODEL[/versions/N]/metadata     their signatures

MODEL is a task or the name of a run. A run is a model with version 1. A task has the served runs as versions; the
first, its default, is the highest version, which answers when a request names none.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response

from shared.backend import choose
from shared.bounds import Bounds
from shared.errors import UserError, shown
from shared.runs import Run
from tasks.serve.decoding import DecodingError
from tasks.serve.endpoint import MAX_CHARACTERS, Encoded
from tasks.serve.gate import Refusal, body_size, read_body, refusals, unless_client_leaves
from tasks.serve.limits import MEGABYTE
from tasks.serve.media import decode_image, decode_sound
from tasks.serve.models import Models
from tasks.serve.tensor_json import TensorError, read_prediction, to_arrays, to_json

WRONG, NOT_FOUND = 400, 404
FILES = {"image": "image", "image_bytes": "image", "sound_bytes": "sound"}  # inputs that hold files, and their kind
MAX_TOKENS = Bounds(0, 1000)  # that one request may generate
MODEL, VERSION = "/v1/models/{model}", "/v1/models/{model}/versions/{version}"

SignaturesOf = Callable[[str, Run], Mapping[str, Any]]  # task and run -> its signatures by name


def check_image(file: Encoded) -> None:
    """Decodes an image file in a worker process, to see whether it can be done within its limits."""
    decode_image(file.b64)


def check_sound(file: Encoded) -> None:
    """The same for a sound file."""
    decode_sound(file.b64)


CHECKS: dict[str, Callable[[Any], None]] = {"image": check_image, "sound": check_sound}


class Versions:
    """The versions of all models that are served.

    Args:
        models: the runs.
        load: the signatures of a run of a task, by name; see `signatures.py`.
    """

    def __init__(self, models: Models, load: SignaturesOf):
        self._models, self._load = models, load

    def of(self, model: str) -> tuple[str, dict[int, Run]]:
        """The task and the versions of a model; raises Refusal if it is not, or cannot be, served."""
        if model in self._models.refused:
            raise Refusal(503, str(self._models.refused[model]))
        for task in self._models.names():
            runs = self._models.runs(task)
            if model == task:
                return task, {len(runs) - i: run for i, run in enumerate(runs)}
            for run in runs:
                if model == run.name:
                    return task, {1: run}
        for (_, name), reason in self._models.left_out.items():
            if name == model:
                raise Refusal(503, str(reason))
        raise Refusal(NOT_FOUND, f"Servable not found for request: Latest({model[:100]})")

    def find(self, model: str, version: str | None) -> tuple[str, int, Run]:
        """The task, the number and the run of a version, by default the latest; raises Refusal if there is none."""
        task, versions = self.of(model)
        version = str(max(versions)) if version is None else version
        for number, run in versions.items():
            if version == str(number):
                return task, number, run
        raise Refusal(NOT_FOUND, f"Servable not found for request: Specific({model[:100]}, {version[:20]})")

    def signatures(self, task: str, run: Run) -> Mapping[str, Any]:
        """The signatures of a run, loaded when they are needed first; raises NotLoaded if they cannot be."""
        return self._models.load(lambda run: self._load(task, run), run, key="signatures")


def load_signatures(task: str, run: Run) -> Mapping[str, Any]:
    """The signatures of a run; raises UserError if the server does not run on TensorFlow."""
    if (backend := choose()) != "tensorflow":
        raise UserError(f"a SavedModel needs TensorFlow, and the backend of this server is {backend}")
    from tasks.serve import signatures

    return signatures.load_signatures(task, run)


def add_routes(app: FastAPI, server: Any, versions: Versions) -> None:
    """Adds the addresses to an application; `server` is the Server of `app.py`."""

    async def predict(request: Request, model: str, version: str | None = None) -> Response:
        server.check_ready()
        task, _, run = versions.find(model, version)
        queue = server.queue(f"{task}, TensorFlow Serving")
        with refusals(WRONG), queue.admitted(), queue.holding(body_size(request, server.limits.max_body)):
            body = await read_body(request, server.limits.max_body)
            work = _predict(server, queue, versions, task, run, body)
            content = await unless_client_leaves(request, server.limits.timeout, work)
        return Response(content, media_type="application/json")

    async def status(model: str, version: str | None = None) -> JSONResponse:
        _, all_versions = versions.of(model)
        numbers = sorted(all_versions, reverse=True) if version is None else [versions.find(model, version)[1]]
        ok = {"error_code": "OK", "error_message": ""}
        states = [{"version": str(number), "state": "AVAILABLE", "status": ok} for number in numbers]
        return JSONResponse({"model_version_status": states})

    async def metadata(model: str, version: str | None = None) -> JSONResponse:
        server.check_ready()
        task, number, run = versions.find(model, version)
        queue = server.queue(f"{task}, TensorFlow Serving")
        with refusals(WRONG), queue.admitted():
            found = await queue.in_thread(lambda: _signature_def(versions.signatures(task, run)))
        spec = {"name": model, "signature_name": "", "version": str(number)}
        signatures = {"signature_def": {"signature_def": found}}
        return JSONResponse({"model_spec": spec, "metadata": signatures})

    for path in (MODEL, VERSION):
        suffix = " of a version" if path == VERSION else ""
        options: dict[str, Any] = {"tags": ["TensorFlow Serving"]}
        app.add_api_route(f"{path}:predict", predict, methods=["POST"], summary=f"Predict{suffix}", **options)
        app.add_api_route(f"{path}/metadata", metadata, methods=["GET"], summary=f"Metadata{suffix}", **options)
        app.add_api_route(path, status, methods=["GET"], summary=f"Status{suffix}", **options)


async def _predict(server: Any, queue: Any, versions: Versions, task: str, run: Run, body: bytes) -> bytes:
    prediction = read_prediction(body)

    def specs() -> Mapping[str, Any]:
        signatures = versions.signatures(task, run)
        if prediction.signature not in signatures:
            known = ", ".join(signatures) or "none"
            raise TensorError(f"signature_name {shown(prediction.signature)}: one of {known} was expected")
        return signatures[prediction.signature].inputs

    arrays = to_arrays(prediction, await queue.in_thread(specs))
    check_bounds(arrays)
    for name in FILES.keys() & arrays.keys():
        if arrays[name].dtype.kind == "O":
            await _check_files(server.pool, name, arrays[name])

    def answer(items: Sequence[Any]) -> list[Any]:
        return [versions.signatures(task, run)[prediction.signature](arrays) for arrays in items]

    outputs = await queue.submit(object(), answer, arrays)
    return to_json(outputs, len(prediction.value) if prediction.is_row_form else None)


def check_bounds(arrays: Mapping[str, np.ndarray]) -> None:
    """Raises TensorError for inputs that would take the memory or the time of everybody."""
    for name, array in arrays.items():
        if array.dtype.kind == "O" and array.size:
            longest = max(map(len, array.flat))
            if name not in FILES and longest > 4 * MAX_CHARACTERS:  # bytes of UTF-8
                raise TensorError(f"{name}: texts of {MAX_CHARACTERS:,} characters at most were expected")
            if longest * array.size > 64 * MEGABYTE:
                raise TensorError(f"{name}: {array.size} files of up to {longest:,} bytes; fewer were expected")
    if (count := arrays.get("max_tokens")) is not None and int(count) not in MAX_TOKENS:
        raise TensorError(f"max_tokens {int(count)}: {MAX_TOKENS} was expected")


async def _check_files(pool: Any, name: str, files: np.ndarray) -> None:
    """Raises DecodingError for a file that bursts the limits; of others that cannot be read the graph says why."""
    for i, content in enumerate(files.flat):
        try:
            await pool.decode(CHECKS[FILES[name]], Encoded.of(content))
        except DecodingError as error:
            raise DecodingError(f"{name} {i + 1} {error}") from None
        except UserError:
            continue


def _signature_def(signatures: Mapping[str, Any]) -> dict[str, Any]:
    """The signatures as protocol buffers in JSON."""

    def tensors(specs: Mapping[str, Any], prefix: str) -> dict[str, Any]:
        return {name: _tensor_info(spec, f"{prefix}_{name}:0") for name, spec in specs.items()}

    return {
        name: {
            "inputs": tensors(signature.inputs, name),
            "outputs": tensors(signature.outputs, "StatefulPartitionedCall"),
            "method_name": "tensorflow/serving/predict",
            "defaults": {},
        }
        for name, signature in signatures.items()
    }


def _tensor_info(spec: Any, name: str) -> dict[str, Any]:
    unknown = spec.shape.rank is None
    sizes = [] if unknown else [{"size": str(-1 if size is None else size), "name": ""} for size in spec.shape]
    dtype = f"DT_{spec.dtype.name.upper()}".replace("FLOAT32", "FLOAT")
    return {"dtype": dtype, "tensor_shape": {"dim": sizes, "unknown_rank": unknown}, "name": name}
