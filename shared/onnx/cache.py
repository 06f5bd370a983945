"""The functions of models for onnxruntime, which are converted at the first use and kept in a cache folder of the user.

    <cache>/quatrain/onnx/<key>/<function>.onnx, <function>.sha256

The key is a hash of the files of the run, of the settings of the function, and of the code that makes it: whatever
changes one of these changes the key. A file that is not as its SHA-256 says is converted again.
"""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.atomic import write_bytes
from shared.backend import require_tensorflow
from shared.errors import UserError
from shared.machine import user_cache
from shared.onnx import require_onnx
from shared.runs import Run, read_file

if TYPE_CHECKING:
    from shared.any_size import AnySize
    from shared.onnx.runtime import OnnxFunction

CHECKOUT = Path(__file__).resolve().parents[2]
MAX_BYTES = 2**31  # of a file, which protocol buffers cannot exceed


def onnx_function(run: Run, name: str, settings: Mapping[str, Any], build: "Callable[[], AnySize]") -> "OnnxFunction":
    """A function of a run for onnxruntime.

    Args:
        run: the run.
        name: of the function among those of the task.
        settings: what decides the function beside the run, such as the width of a beam.
        build: makes the function on TensorFlow, if it is not in the cache.

    Raises:
        UserError: onnxruntime is not installed, or TensorFlow is not and would be needed.
        ParityError: the ONNX file and the function on TensorFlow give different results.
    """
    require_onnx("--runtime onnx", "onnxruntime")
    from shared.onnx.runtime import OnnxFunction

    path = _path(run, name, settings)
    content = None if path is None else _kept(path)
    if content is None:
        require_tensorflow("the first use of --runtime onnx", as_backend=True)
        require_onnx("the first use of --runtime onnx", "onnx")
        print(f"converting {run.name} for onnxruntime, once ...", file=sys.stderr, flush=True)
        from shared.onnx.files import as_onnx

        content = as_onnx(build())
        if path is not None:
            with suppress(OSError):  # a full disk, or a folder without write permission: the next use converts again
                write_bytes(path, content)
                write_bytes(path.with_suffix(".sha256"), _sha256(content).encode())
    return OnnxFunction(content)


def _kept(path: Path) -> bytes | None:
    """The content of a file of the cache; None if it is missing or damaged."""
    with suppress(OSError, UserError):
        content, expected = read_file(path, MAX_BYTES), read_file(path.with_suffix(".sha256"), 64)
        return content if _sha256(content) == expected.decode(errors="replace") else None
    return None


def _path(run: Run, name: str, settings: Mapping[str, Any]) -> Path | None:
    """Where the function is kept; None if the user has no home."""
    task, config = str(run.config["task"]), run.config
    digest = hashlib.sha256(json.dumps([name, dict(settings)], sort_keys=True).encode())
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
        return user_cache() / "onnx" / digest.hexdigest()[:32] / f"{name}.onnx"
    except RuntimeError:
        return None


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
