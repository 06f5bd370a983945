"""The command line of every task: options, errors in one line, exit codes, results as text or JSON.

Exit codes: 0 success; 1 some inputs failed, each reported on standard error, the others are done; 2 wrong usage, or no
input succeeded. Nothing here imports keras or tensorflow, so `--help` and a missing file are answered at once.
"""

import dataclasses
import functools
import io
import json as json_format
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Literal, ParamSpec, TextIO, TypeVar

import tyro

from shared.errors import UserError
from shared.outputs import Output

Parameters = ParamSpec("Parameters")
Arguments = TypeVar("Arguments")

USAGE = 2  # exit code
MAX_BEAM = 100  # wider beams do not help; a typing error must not exhaust the memory

invoked_as: str | None = None  # how help names the command, instead of `python -m tasks...`; set by `quatrain`


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model a command uses."""

    model: str | None = None
    """Run or folder; default: the released model, else the newest run."""


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
    beam: int | None = None
    """Beam width; default: the value in the run's config."""


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
        _repair_streams()
        try:
            with _stopped_in_order():
                code = main(*args, **kwargs) or 0
        except KeyboardInterrupt:
            print_error("interrupted")
            code = 130
        except BrokenPipeError:
            code = 0
        except UserError as error:
            print_error(str(error))
            code = USAGE
        except OSError as error:  # such as a full disk or a folder without write permission
            code = _flush_output()
            if not code:  # not an error of standard output
                print_error(f"{error.filename}: {error.strerror}" if error.filename and error.strerror else str(error))
                code = USAGE
        except SystemExit:  # after --help or wrong usage
            if code := _flush_output():
                return code
            raise
        return _flush_output() or code

    return wrapped


def _repair_streams() -> None:
    """Gives closed standard streams a descriptor, so that no file that is opened later receives their contents.

    Standard input keeps being None. Writing to closed standard output is an error, as in other programs.
    """
    for descriptor, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            opened = os.open(os.devnull, flags)
            if opened != descriptor:
                os.dup2(opened, descriptor)
                os.close(opened)
    sys.stdout = _repaired(_StandardOutput, 1, sys.stdout, sys.__stdout__)
    sys.stderr = _repaired(_StandardError, 2, sys.stderr, sys.__stderr__)


class _StandardOutput(io.TextIOWrapper):
    """Standard output, which remembers an error: some libraries ignore it."""

    error: OSError | None = None

    def write(self, text: str) -> int:
        with self._errors():
            return super().write(text)

    def flush(self) -> None:
        with self._errors():
            super().flush()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self.error = error
            raise


class _StandardError(io.TextIOWrapper):
    """Standard error, which drops what cannot be written: no work ends for a message."""

    def write(self, text: str) -> int:
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        try:
            super().flush()
        except OSError:
            _drop(self)


def _repaired(kind: type[io.TextIOWrapper], descriptor: int, stream: TextIO | None, original: TextIO | None) -> TextIO:
    """A standard stream as one of `kind`, unless a test or a notebook has replaced it."""
    if stream is None:
        return kind(open(descriptor, "wb", closefd=False), errors="backslashreplace")
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    if stream is not original:
        stream.reconfigure(errors="backslashreplace")  # names of files need not be valid Unicode
        return stream
    with suppress(OSError):
        stream.flush()
    return kind(
        open(descriptor, "wb", buffering=0 if stream.write_through else -1, closefd=False),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


@contextmanager
def _stopped_in_order() -> Iterator[None]:
    """Makes SIGTERM and SIGHUP end the block by an exception, so that results so far are kept."""

    def stop(number: int, _: object) -> None:
        raise SystemExit(128 + number)

    numbers = (signal.SIGTERM, signal.SIGHUP) if threading.current_thread() is threading.main_thread() else ()
    replaced = [number for number in numbers if signal.getsignal(number) == signal.SIG_DFL]  # nohup ignores SIGHUP
    for number in replaced:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in replaced:
            signal.signal(number, signal.SIG_DFL)


def _flush_output() -> int:
    """Writes what standard output holds back; returns 0 or, after an error, reports it and returns `USAGE`."""
    error = None
    try:
        sys.stdout.flush()
    except OSError as failure:
        error = failure
    if isinstance(sys.stdout, _StandardOutput):
        error, sys.stdout.error = error or sys.stdout.error, None
    if error is None:
        return 0
    _drop(sys.stdout)
    if isinstance(error, BrokenPipeError):
        return 0
    print_error(f"standard output: cannot be written ({error.strerror})")
    return USAGE


def _drop(stream: TextIO) -> None:
    """Drops what a stream holds back, and all that follows; else the exit would try to write it again, and complain."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, stream.fileno())
    os.close(null)


def print_error(message: str) -> None:
    """Writes one line to standard error."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)


def parse(kind: type[Arguments], arguments: list[str], program: str, description: str | None) -> Arguments:
    """Reads arguments into the dataclass `kind`; exits with code 2 and a usage message when they do not fit.

    `program` is the module, such as `tasks.captioner.caption`, and positional arguments that `kind` does not have;
    `--help` shows `description`, whose examples start with `python -m <module>`.
    """
    module, _, positional = program.partition(" ")
    name = invoked_as or f"python -m {module}"
    return tyro.cli(
        kind,
        prog=f"{name} {positional}".strip(),
        args=arguments,
        description=description and description.replace(f"python -m {module}", name),
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def check_range(option: str, value: int | None, minimum: int, maximum: int | None = None, limit: str = "") -> None:
    """Raises UserError unless the value of an option, if it is given, is in its range; `limit` names the maximum."""
    if value is not None and (value < minimum or (maximum is not None and value > maximum)):
        limit = f", {limit}," if limit else ""
        expected = f"{minimum} or more" if maximum is None else f"a number from {minimum} to {maximum}{limit}"
        raise UserError(f"{option} {value}: {expected} was expected")


def check_beam(beam: int | None, n_best: int = 1, minimum: int = 1) -> None:
    """Raises UserError unless `--beam` and `--n-best` are in their ranges."""
    check_range("--beam", beam, minimum, MAX_BEAM)
    check_range("--n-best", n_best, 1, beam or MAX_BEAM, "the beam")


def training_arguments(
    arguments: list[str], presets: Mapping[str, Any], default: str, program: str, description: str | None
) -> tuple[Any, TrainingOptions]:
    """Reads `[PRESET] [--field value ...]`: a configuration that starts from a preset, and the training's options.

    Raises UserError if the preset does not exist.
    """
    is_named = bool(arguments) and not arguments[0].startswith("-")
    preset = arguments[0] if is_named else default
    if preset not in presets:
        raise UserError(f"preset {preset!r} does not exist; the presets are {', '.join(presets)}")
    defaults = {"config": presets[preset], "options": TrainingOptions()}
    fields = [(name, type(value), dataclasses.field(default=value)) for name, value in defaults.items()]
    kind = dataclasses.make_dataclass("Training", fields)
    parsed = parse(kind, arguments[is_named:], f"{program} [{'|'.join(presets)}]", description)
    return parsed.config, parsed.options


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
