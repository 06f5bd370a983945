"""The command line of every task: options, errors in one line, exit codes, results as text or JSON.

Exit codes: 0 success; 1 some inputs failed, each reported on standard error, the others are done; 2 wrong usage, or no
input succeeded. Nothing here imports keras or tensorflow, so `--help` and a missing file are answered at once.
"""

import dataclasses
import functools
import gc
import io
import itertools
import json as json_format
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from pathlib import Path
from typing import Annotated, Any, Literal, ParamSpec, TypeVar

import tyro

from shared.bounds import MAX_BEAM, Bounds, check_bounds
from shared.distribution import join
from shared.errors import FieldError, UserError, shortened
from shared.kept import Runtime
from shared.onnx import ExportFormat
from shared.outputs import Output
from shared.repetition import join_repeated
from shared.runs import Run, check_name
from shared.streams import flush_output, repair_streams, stopped_in_order

Parameters = ParamSpec("Parameters")
Arguments = TypeVar("Arguments")

USAGE = 2  # exit code
FRAME = re.compile(r"[\s│╭╮╰╯─-]*")  # a line of tyro's frames, in Unicode or ASCII
MAX_REASON = 300  # characters of what is wrong with the arguments
# New objects after which Python looks for garbage. Its 700 are exceeded hundreds of times while TensorFlow is imported,
# whose objects stay; that would take a sixth of the time.
COLLECT_AFTER = 10_000

invoked_as: str | None = None  # how help names the command, instead of `python -m tasks...`; set by `quatrain`


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model a command uses."""

    model: str | None = None
    """Run or folder; default: the released model, else the newest run."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RuntimeOptions:
    """What computes a model."""

    runtime: Runtime = "graph"
    """graph: TensorFlow without Keras, from a graph that the first use keeps; on JAX as keras. keras: build the model.
    onnx: onnxruntime, from a file that the first use converts, with TensorFlow, and keeps."""

    def runtime_for(self, on_keras: Mapping[str, Any]) -> Runtime:
        """The runtime, which is Keras if one of the options `on_keras` is given: they need parts of the model.

        Raises UserError for such an option with onnxruntime.
        """
        given = next((option for option, value in on_keras.items() if value), None)
        if given and self.runtime == "onnx":
            raise UserError(f"{given} needs parts of the model that run on Keras; --runtime keras was expected")
        return "keras" if given else self.runtime


@dataclasses.dataclass(frozen=True, kw_only=True)
class OutputOptions:
    """How a command writes its results."""

    json: bool = False
    """Write JSON, one object a line."""
    output: Path | None = None
    """Write to this file instead of standard output."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Where a corpus is."""

    data_dir: Path | None = None
    """Folder with your copy of the corpus; needed if it is neither prepared nor under $QUATRAIN_DATA."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvaluationOptions(ModelOptions, DataOptions, OutputOptions):
    """Which model is measured, and on which split."""

    split: Literal["dev", "test"] = "dev"
    """Decide on dev; measure test once."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExportOptions:
    """Which model is exported, and with which search."""

    model: tyro.conf.Positional[str | None] = None
    """Run or folder; default: the released model, else the newest run."""
    beam: Annotated[int | None, Bounds(1, MAX_BEAM)] = None
    """Beam width; default: the value in the run's config."""
    format: ExportFormat = "savedmodel"
    """savedmodel: TensorFlow's, with files, text and sound inside; onnx: a file for each function, for onnxruntime."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class BestPathExportOptions(ExportOptions):
    """The same for a model that may also take the best path."""

    beam: Annotated[int | None, Bounds(0, MAX_BEAM)] = None
    """Beam width, 0 for the best path; default: the value in the run's config."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptions(DataOptions):
    """Options of a training that are not part of the model's configuration."""

    run: str | None = None
    """Name of the run; default: derived from the corpus."""
    tensorboard: bool = False
    """Write TensorBoard summaries into the run (needs the extra `tensorboard`)."""


def command(main: Callable[Parameters, int | None]) -> Callable[Parameters, int]:
    """Makes an entry point return an exit code, and reports errors that a user can fix in one line.

    A pipe whose reader, such as `head`, has closed it is no error.
    """

    @functools.wraps(main)
    def wrapped(*args: Parameters.args, **kwargs: Parameters.kwargs) -> int:
        gc.set_threshold(COLLECT_AFTER)
        repair_streams()
        try:
            with stopped_in_order():
                code = main(*args, **kwargs) or 0
        except KeyboardInterrupt:
            print_error("interrupted")
            code = 130
        except BrokenPipeError:
            code = 0
        except UserError as error:
            print_error(str(error))
            code = USAGE
        except MemoryError:
            print_error("this needs more memory than there is")
            code = USAGE
        except OSError as error:  # such as a full disk or a folder without write permission
            code = _end(0)
            if not code:  # not an error of standard output
                print_error(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
                code = USAGE
        except SystemExit:  # after --help or wrong usage
            if code := _end(0):
                return code
            raise
        return _end(code)

    return wrapped


def _end(code: int) -> int:
    """Flushes standard output; returns the exit code or, if that fails, reports it and returns `USAGE`."""
    error = flush_output()
    if error is None or isinstance(error, BrokenPipeError):
        return code
    print_error(f"standard output: cannot be written ({error.strerror})")
    return USAGE


def print_error(message: str) -> None:
    """Writes one line to standard error."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)


def say_loading(what: str) -> None:
    """On a terminal, says on standard error that a model is being loaded, which begins with the import of a backend."""
    if sys.stderr.isatty():
        print(f"loading the {what} ...", file=sys.stderr, flush=True)


def parse(kind: type[Arguments], arguments: list[str], program: str, description: str | None) -> Arguments:
    """Reads arguments into the dataclass `kind`; raises UserError, which names the option, when they do not fit.

    `program` is the module, such as `tasks.captioner.caption`, and positional arguments that `kind` does not have;
    `--help` shows `description`, whose examples start with `python -m <module>`.
    """
    module, _, positional = program.partition(" ")
    name = invoked_as or f"python -m {module}"
    usage = io.StringIO()
    try:
        with redirect_stderr(usage):
            options = tyro.cli(
                kind,
                prog=f"{name} {positional}".strip(),
                args=join_repeated(kind, arguments),
                description=description and description.replace(f"python -m {module}", name),
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
            )
        check_bounds(options)  # those of a configuration are checked when it is made
    except SystemExit as stopped:
        if not stopped.code:  # after --help
            raise
        raise UserError(f"{_reason(usage.getvalue())}; see {name} --help") from None
    except FieldError as error:
        raise error.of_option() from None
    return options


def _reason(box: str) -> str:
    """The text of tyro's message between its title and its hints, without the frame."""
    lines = ["" if FRAME.fullmatch(line) else line.strip(" │") for line in box.splitlines()]
    text = itertools.dropwhile(lambda line: not line, lines[1:])
    words = itertools.takewhile(lambda line: line and not line.startswith("Got errors"), text)
    return shortened(" ".join(words).rstrip("."), MAX_REASON)


def check_n_best(n_best: int, beam: int | None) -> None:
    """Raises UserError if more hypotheses are wanted than a beam that is given keeps."""
    if beam and n_best > beam:
        raise UserError(f"--n-best {n_best}: a number from 1 to {beam}, the beam, was expected")


def training_arguments(
    arguments: list[str],
    presets: Mapping[str, Any],
    default: str,
    program: str,
    description: str | None,
    find_run: Callable[[str], Run],
) -> tuple[Any, TrainingOptions]:
    """Reads `[PRESET] [--field value ...]`: a configuration that starts from a preset, and the training's options.

    With `--from RUN` the preset has the sizes and the vocabulary of that run, which `find_run` finds; without a preset
    the configuration is that of the run. Then joins the other processes of the training, if there are any.

    Raises UserError if the preset does not exist, if an option contradicts the run of `--from`, if the name of the run
    is invalid, or as `join`.
    """
    is_named = bool(arguments) and not arguments[0].startswith("-")
    preset = arguments[0] if is_named else default
    if preset not in presets:
        raise UserError(f"preset {preset!r} does not exist; the presets are {', '.join(presets)}")
    config, run, initial = presets[preset], None, None
    if (name := _initial_run(arguments)) and not {"-h", "--help"} & {*arguments}:
        run = find_run(name)
        initial = run.read_config(type(config))
        config = (config if is_named else initial).starting_from(initial)
    defaults = {"config": config, "options": TrainingOptions()}
    fields = [(name, type(value), dataclasses.field(default=value)) for name, value in defaults.items()]
    kind = dataclasses.make_dataclass("Training", fields)
    parsed = parse(kind, arguments[is_named:], f"{program} [{'|'.join(presets)}]", description)
    if run is not None:
        try:
            parsed.config.check_inherited(initial)
        except FieldError as error:
            raise error.of_option() from None
        parsed.config = dataclasses.replace(parsed.config, initial_run=run.reference)
    if parsed.options.run is not None:
        check_name(parsed.options.run)  # before the corpus is read
    join()  # before anything uses JAX
    return parsed.config, parsed.options


def _initial_run(arguments: list[str]) -> str:
    """The value of `--from`, which decides the defaults of the other options; empty if it is not given."""
    for argument, following in itertools.pairwise([*arguments, ""]):
        option, equals, value = argument.partition("=")
        if option in ("--from", "--initial-run"):
            return value if equals else following
    return ""


class Results:
    """Writes results as they come, as text or as one JSON object a line, to a file or standard output.

    A context manager that keeps the results so far, also after an error; without any, an earlier file stays as it was.
    Raises UserError if the file cannot be written.
    """

    def __init__(self, as_json: bool, output: Path | None):
        self.as_json = as_json
        self._output = None if output is None else Output(output)
        if as_json and output is None and isinstance(sys.stdout, io.TextIOWrapper):
            sys.stdout.reconfigure(encoding="utf-8")

    def __enter__(self) -> "Results":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, record: Mapping[str, Any], text: str) -> None:
        """Writes the record as JSON or, without `--json`, the text."""
        self._write((json_format.dumps(record, ensure_ascii=False) if self.as_json else text) + "\n")

    def end(self) -> None:
        """States that all results are written: without any, the file becomes empty."""
        self._write("")

    def _write(self, content: str) -> None:
        if self._output is None:
            print(content, end="", flush=True)
        else:  # names of files need not be valid Unicode; backslashreplace keeps them readable and the JSON valid
            self._output.write(content.encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        """Closes the file; standard output stays open."""
        if self._output is not None:
            self._output.close()
