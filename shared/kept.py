"""Functions of models that run without Keras: made at the first use, and kept in a cache folder of the user.

    <cache>/quatrain/functions/<key>/<function>.graph or <function>.onnx, and its SHA-256

The key is a hash of the files of the run, of the settings of the function, and of the code that makes it: whatever
changes one of these changes the key. A file that is not as its SHA-256 says is made again; the oldest are removed.
"""

import hashlib
import json
import os
import shutil
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from shared.atomic import write_bytes
from shared.backend import choose, installed_version, require_tensorflow
from shared.errors import UserError
from shared.machine import user_cache
from shared.onnx import require_onnx
from shared.runs import Run, read_file

if TYPE_CHECKING:
    from shared.any_size import AnySize

Runtime = Literal["keras", "graph", "onnx"]
"""What computes a model: Keras, on any backend; TensorFlow's graph of the model; or onnxruntime."""

CHECKOUT = Path(__file__).resolve().parents[1]
MAX_BYTES = 2**31  # of a file, which protocol buffers cannot exceed
MAX_KEPT = 32  # functions, of up to 100 MB each; the released models alone have 20


def runs_on_keras(runtime: Runtime) -> bool:
    """Whether Keras computes a model: a graph is one of TensorFlow, so on another backend too."""
    return runtime == "keras" or (runtime == "graph" and choose() != "tensorflow")


def kept_function(
    run: Run, name: str, settings: Mapping[str, Any], build: "Callable[[], AnySize]", runtime: Runtime
) -> Any:
    """A function of a run, with the methods of `AnySize`.

    Args:
        run: the run.
        name: of the function among those of the task.
        settings: what decides the function beside the run, such as the width of a beam.
        build: makes the function on TensorFlow, if it is not in the cache.
        runtime: `graph` or `onnx`.

    Raises:
        UserError: onnxruntime is not installed, or TensorFlow is not and would be needed.
        ParityError: the ONNX file and the function on TensorFlow give different results.
    """
    path = _path(run, name, settings, runtime)
    return _graph(path, build) if runtime == "graph" else _on_onnxruntime(path, run, build)


def kept_functions(
    run: Run, load: Callable[[], Any], runtime: Runtime, settings: Mapping[str, Mapping[str, Any]] | None = None
) -> Callable[[str], Any]:
    """The functions of a run by their names, each as `kept_function`.

    Args:
        run: the run.
        load: loads what has the functions on TensorFlow, as attributes of their names; called once, if at all.
        runtime: `graph` or `onnx`.
        settings: of the functions that have any.
    """
    on_keras, of_functions = cache(load), settings or {}

    def function(name: str) -> Any:
        return kept_function(run, name, of_functions.get(name, {}), lambda: getattr(on_keras(), name), runtime)

    return function


def _graph(path: Path | None, build: "Callable[[], AnySize]") -> Any:
    content = _read(path)
    if content is None:
        from shared.graphs import as_graph

        function = build()
        _write(path, as_graph(function))
        return function
    from shared.graphs import GraphFunction

    return GraphFunction(content)


def _on_onnxruntime(path: Path | None, run: Run, build: "Callable[[], AnySize]") -> Any:
    require_onnx("--runtime onnx", "onnxruntime")
    from shared.onnx.runtime import OnnxFunction

    content = _read(path)
    if content is None:
        require_tensorflow("the first use of --runtime onnx", as_backend=True)
        require_onnx("the first use of --runtime onnx", "onnx")
        print(f"converting {run.name} for onnxruntime, once ...", file=sys.stderr, flush=True)
        from shared.onnx.files import as_onnx

        content = as_onnx(build())
        _write(path, content)
    return OnnxFunction(content)


def _write(path: Path | None, content: bytes) -> None:
    """Writes a file of the cache, and removes the folders that were not used for longest, beyond `MAX_KEPT`."""
    if path is None:
        return
    with suppress(OSError):  # a full disk, or a folder without write permission: the next use makes it again
        write_bytes(path, content)
        write_bytes(path.with_suffix(".sha256"), _sha256(content).encode())
        folders = sorted(path.parents[1].iterdir(), key=lambda folder: folder.stat().st_mtime)
        for folder in folders[:-MAX_KEPT]:
            shutil.rmtree(folder, ignore_errors=True)


def _read(path: Path | None) -> bytes | None:
    """The content of a file of the cache; None if it is missing or damaged."""
    if path is None:
        return None
    with suppress(OSError, UserError):
        content, expected = read_file(path, MAX_BYTES), read_file(path.with_suffix(".sha256"), 64)
        if _sha256(content) == expected.decode(errors="replace"):
            with suppress(OSError):  # a cache that cannot be written
                os.utime(path.parent)
            return content
    return None


def _path(run: Run, name: str, settings: Mapping[str, Any], runtime: Runtime) -> Path | None:
    """Where the function is kept; None if the user has no home."""
    task, config = str(run.config["task"]), run.config
    own = [name, dict(settings), installed_version("tensorflow") if runtime == "graph" else None]
    digest = hashlib.sha256(json.dumps(own, sort_keys=True).encode())
    for path in sorted(run.path.glob("*.json")):
        if path.name != "metrics.json":
            digest.update(path.name.encode() + bytes.fromhex(_sha256(read_file(path, MAX_BYTES))))
    for path in sorted(run.path.glob("*.safetensors")):
        recorded = config.get(f"{path.stem}_sha256")  # of a release, so that its weights need not be read
        digest.update(path.name.encode() + str(recorded or _sha256(read_file(path, MAX_BYTES))).encode())
    for folder in (CHECKOUT / "shared", CHECKOUT / "tasks" / task):
        for path in sorted(folder.rglob("*.py")):
            digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    try:
        return user_cache() / "functions" / digest.hexdigest()[:32] / f"{name}.{runtime}"
    except RuntimeError:
        return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
