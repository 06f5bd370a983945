"""Writes a copy of the page that needs no server: the captioner and the recognizer run in the browser.

    npm install onnxruntime-web@1.30
    python -m tasks.serve.static_page site
    python -m http.server --directory site

Any server of files can serve the folder, such as that of a project's pages. Photos and sounds stay in the browser. The
models are ONNX files with weights of 16 bits, which the browser loads when they are first used; it runs them by
onnxruntime-web, Microsoft's package on npm, of which three files are copied.
"""

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import tyro

from shared.atomic import atomic_folder
from shared.backend import require_tensorflow
from shared.cli import command, parse
from shared.errors import UserError
from shared.onnx import require_onnx

if TYPE_CHECKING:
    from shared.any_size import AnySize

PAGE = Path(__file__).with_name("page")
RUNTIME = ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
SMALLEST = 1000  # elements of weights that are stored in 16 bits


@dataclass(frozen=True, kw_only=True)
class Arguments:
    folder: tyro.conf.Positional[Path]
    """A new folder."""
    onnxruntime_web: Path = Path("node_modules/onnxruntime-web")
    """The folder of the npm package."""
    captioner: str | None = None
    """Run or folder; default: the released model."""
    recognizer: str | None = None
    """Run or folder; default: the released model."""


def write_page(folder: Path, package: Path, captioner: str | None = None, recognizer: str | None = None) -> None:
    """Writes the folder of a static page.

    Args:
        folder: must not exist.
        package: the folder of the npm package onnxruntime-web.
        captioner, recognizer: runs or folders; default: the released models.

    Raises:
        UserError: the folder exists, the package has not the files, or there is no such run.
        ParityError: a model and its ONNX file, before its weights are rounded, give different results.
    """
    if folder.exists():
        raise UserError(f"{folder} exists; the name of a new folder was expected")
    for name in RUNTIME:
        if not (package / "dist" / name).is_file():
            problem = f"{package} has no dist/{name}; run npm install onnxruntime-web, or name the package's folder"
            raise UserError(f"--onnxruntime-web: {problem}")
    from shared.onnx.files import as_onnx

    models = {"captioner": of_captioner(captioner), "recognizer": of_recognizer(recognizer)}
    with atomic_folder(folder) as written:
        shutil.copytree(PAGE, written, dirs_exist_ok=True)
        index = written / "index.html"
        index.write_text(index.read_text("utf-8").replace("<html ", '<html data-models="models/" ', 1), "utf-8")
        (written / "ort").mkdir()
        for name in RUNTIME:
            shutil.copyfile(package / "dist" / name, written / "ort" / name)
        about: dict[str, Any] = {"bytes": {}}
        for task, (described, functions) in models.items():
            about[task] = described
            (written / "models" / task).mkdir(parents=True)
            for function_name, function in functions.items():
                name = f"{task}/{function_name}"
                print(f"converting {name} ...", file=sys.stderr, flush=True)
                content = in_16_bits(as_onnx(function), function.weights)
                (written / "models" / f"{name}.onnx").write_bytes(content)
                about["bytes"][name] = len(content)
        (written / "models" / "models.json").write_text(json.dumps(about, ensure_ascii=False), "utf-8")


def of_captioner(model: str | None) -> "tuple[dict[str, Any], Mapping[str, AnySize]]":
    """What the page must know of a captioner, and its functions."""
    from tasks.captioner.caption import finder_of
    from tasks.captioner.config import find_run, has_finder
    from tasks.captioner.inference import ImageCaptioner

    run = find_run(model)
    captioner = ImageCaptioner.load(str(run.path))
    vocabulary, calibration, config = captioner.vocabulary, captioner.confidence, captioner.config
    described: dict[str, Any] = {
        "name": run.name,
        "image_size": config.image_size,
        "grid": config.grid,
        "words": vocabulary.table,
        "calibration": calibration and calibration.as_json(),
        "fine_size": None,
    }
    functions: dict[str, Any] = {"caption": captioner.search}
    if has_finder(run):
        finder = finder_of(captioner, run)
        described["fine_size"] = finder.fine_size
        functions |= {"embed_image": finder.image_function, "embed_text": finder.text_function}
        functions["embed_fine"] = finder.fine_function
    return described, functions


def of_recognizer(model: str | None) -> "tuple[dict[str, Any], Mapping[str, AnySize]]":
    """What the page must know of a recognizer, and its functions."""
    from shared.phones import IPA
    from tasks.phoneme_recognizer.config import find_run
    from tasks.phoneme_recognizer.inference import SoundRecognizer

    run = find_run(model)
    recognizer = SoundRecognizer.load(str(run.path))
    phones = recognizer.vocabulary.table
    described = {"name": run.name, "phones": phones, "ipa": [IPA.get(phone, phone) for phone in phones]}
    functions = {"decoder": recognizer.decoder, "posterior": recognizer.posterior}
    return described, {**functions, "log_mel": log_mel_function(recognizer.config.mels)}


def log_mel_function(mels: int) -> "AnySize":
    """The energies that a recognizer reads, for the spectrogram."""
    import numpy as np

    from shared.any_size import AnySize
    from shared.audio import SAMPLE_RATE
    from shared.features import log_mel

    class LogMel(AnySize):
        """`samples` `(batch, samples)` -> `(batch, frames, mels)`."""

        shortest: ClassVar = {"samples": SAMPLE_RATE}

        def examples(self) -> list[dict[str, Any]]:
            noise = np.random.default_rng(0).normal(0, 0.1, (2, 3000)).astype(np.float32)
            return [{"samples": noise}, {"samples": noise[:1, :2100]}]

        def call(self, inputs: Any) -> Any:
            return log_mel(inputs["samples"], mels)

    return LogMel()


def in_16_bits(content: bytes, weights: Sequence[Any]) -> bytes:
    """An ONNX file with large weights of float32 stored as float16, and converted when it is loaded.

    Other constants, such as those of a Fourier transform, stay. `weights` are those of the model.
    """
    import numpy as np
    from onnx import TensorProto, helper, load_model_from_string, numpy_helper

    model = load_model_from_string(content)
    sizes = {tuple(sorted(weight.shape)) for weight in weights}  # some are transposed
    matrices = [weight.shape for weight in weights if len(weight.shape) == 2]
    sizes |= {tuple(sorted((rows, columns // gates))) for rows, columns in matrices for gates in (3, 4)}  # their parts
    casts = []
    for tensor in model.graph.initializer:
        array, name = numpy_helper.to_array(tensor), tensor.name
        is_weight = array.dtype == np.float32 and tuple(sorted(array.shape)) in sizes
        if not is_weight or array.size < SMALLEST or np.abs(array).max() > np.finfo(np.float16).max:
            continue
        tensor.CopyFrom(numpy_helper.from_array(array.astype(np.float16), f"{name}_16"))
        casts.append(helper.make_node("Cast", [f"{name}_16"], [name], to=TensorProto.FLOAT))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    return model.SerializeToString()


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.serve.static_page", __doc__)
    require_tensorflow("a static page", as_backend=True)
    require_onnx("a static page", "onnx", "onnxruntime")
    write_page(options.folder, options.onnxruntime_web, options.captioner, options.recognizer)
    size = sum(path.stat().st_size for path in options.folder.rglob("*") if path.is_file())
    print(f"{options.folder}: {size / 1e6:.0f} MB; any server of files can serve it")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
