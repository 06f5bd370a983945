"""The commands that every task has with the same options: evaluate and export."""

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from shared.backend import require_tensorflow
from shared.cli import EvaluationOptions, ExportOptions, Results, parse
from shared.onnx import require_onnx
from shared.outputs import check_outputs
from shared.runs import Run

Options = TypeVar("Options", bound=EvaluationOptions)
Export = TypeVar("Export", bound=ExportOptions)


def evaluate(
    options: Options,
    run: Run,
    measure: Callable[[Run, Options], Mapping[str, Any]],
    name: str | None = None,
    models: Iterable[Path] = (),
    corpora: Iterable[Path] = (),
    pictures: Iterable[Path] = (),
) -> None:
    """Writes the metrics that `measure` returns for a run.

    Args:
        options: the options of the command.
        run: the run.
        measure: measures it.
        name: of what is measured; default: the run's.
        models: folders of further models that are read.
        corpora: the user's files and folders that are read.
        pictures: files of `--plots`.

    Raises:
        UserError: an output cannot be written, or would replace a file that is read.
    """
    reads = {"a file of the model": [run.path, *models], "a file of the corpus": corpora}
    check_outputs({"--output": [options.output], "--plots": pictures}, reads)
    from shared.recurrent import inference_in_machine_code

    with inference_in_machine_code():
        measured = measure(run, options)
    record = {"run": name or run.name, "split": options.split, **measured}
    with Results(options.json, options.output) as results:
        results.write(record, as_lines(record))


def as_lines(record: Mapping[str, Any]) -> str:
    """One line for each value of a record; one for each entry of a value that is a list of records."""
    width = max(map(len, record))
    entries = [(name, value if isinstance(value, list) else [value]) for name, value in record.items()]
    return "\n".join(f"{name:{width}} {_as_line(value)}" for name, values in entries for value in values)


def _as_line(value: Any) -> str:
    return ", ".join(f"{name} {part}" for name, part in value.items()) if isinstance(value, Mapping) else str(value)


def export(
    arguments: list[str],
    program: str,
    description: str | None,
    write: Callable[..., Path],
    kind: type[Export] = ExportOptions,
    model: Callable[[Export], str | None] = attrgetter("model"),
) -> None:
    """Reads the options of an export and writes it with the task's `write(model, beam, format)`.

    `model` says which run or folder the options name. Raises UserError unless TensorFlow is the backend and, for ONNX,
    onnx and onnxruntime are installed.
    """
    options = parse(kind, arguments, program, description)
    require_tensorflow("a SavedModel" if options.format == "savedmodel" else "an ONNX file", as_backend=True)
    if options.format == "onnx":
        require_onnx("--format onnx", "onnx", "onnxruntime")
    print(write(model(options), options.beam, options.format))
