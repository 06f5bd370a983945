"""The command line of every task: arguments, errors in one line, exit codes, results for people and for programs.

Exit codes: 0 all good; 1 some inputs failed, each named on standard error, the others done; 2 wrong usage, or nothing
could be done. Nothing here imports keras or tensorflow, so that `--help` and a missing file are answered at once.
"""

import dataclasses
import functools
import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import tyro

from shared.errors import UserError

Arguments = TypeVar("Arguments")

USAGE = 2  # the exit code


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What belongs to a training but not to the model's configuration."""

    run: str | None = None
    """Name of the run; by default that of the corpus."""
    data_dir: Path | None = None
    """Folder with your copy of the corpus, if it is neither prepared yet nor under $QUATRAIN_DATA."""
    tensorboard: bool = False
    """Write TensorBoard summaries into the run (needs the extra `tensorboard`)."""


def command(main: Callable[[list[str]], int | None]) -> Callable[[list[str]], int]:
    """Makes `main(arguments)` return an exit code, and turns errors that a user can mend into one line."""

    @functools.wraps(main)
    def wrapped(arguments: list[str]) -> int:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow greets at length otherwise
        try:
            code = main(arguments) or 0
            sys.stdout.flush()  # so that a closed pipe is noticed here
            return code
        except UserError as error:
            complain(str(error))
            return USAGE
        except KeyboardInterrupt:
            complain("interrupted")
            return 130
        except BrokenPipeError:  # the reader of our output, `head` say, has had enough
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        except OSError as error:  # a full disk, a folder that may not be written
            complain(str(error))
            return USAGE

    return wrapped


def complain(message: str) -> None:
    """One line on standard error."""
    print(f"error: {' '.join(message.split())}", file=sys.stderr, flush=True)


def parse(kind: type[Arguments], arguments: list[str], program: str, description: str | None) -> Arguments:
    """Reads arguments into the dataclass `kind`; leaves with code 2 and a usage message when they do not fit."""
    return tyro.cli(
        kind,
        prog=f"python -m {program}",
        args=arguments,
        description=description,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def check_number(option: str, number: int | None, least: int, most: int | None = None, limit: str = "") -> None:
    """UserError unless the number that an option was given, if any, is in its range; `limit` says what `most` is."""
    if number is not None and (number < least or (most is not None and number > most)):
        limit = f", {limit}," if limit else ""
        wanted = f"{least} or more" if most is None else f"a number from {least} to {most}{limit}"
        raise UserError(f"{option} {number}: {wanted} was expected")


def training_arguments(
    arguments: list[str], presets: Mapping[str, Any], default: str, program: str, description: str | None
) -> tuple[Any, TrainingOptions]:
    """Reads `[PRESET] [--field value ...]`: a configuration that starts from a preset, and the options beside it.

    Raises:
        UserError: there is no such preset.
    """
    named = bool(arguments) and not arguments[0].startswith("-")
    preset = arguments[0] if named else default
    if preset not in presets:
        raise UserError(f"no preset is called {preset!r}; there are {', '.join(presets)}")
    kind = dataclasses.make_dataclass(
        "Training",
        [
            ("config", type(presets[preset]), dataclasses.field(default=presets[preset])),
            ("options", TrainingOptions, dataclasses.field(default=TrainingOptions())),
        ],
    )
    parsed = parse(kind, arguments[1:] if named else arguments, f"{program} [{'|'.join(presets)}]", description)
    return parsed.config, parsed.options


class Results:
    """Writes results as they come: text for a person, or one JSON object a line; to a file or standard output."""

    def __init__(self, as_json: bool, output: Path | None):
        self.as_json = as_json
        try:
            # File names need not be valid Unicode; a JSON reader takes what backslashreplace makes of them.
            self._file = open(output, "w", encoding="utf-8", errors="backslashreplace") if output else sys.stdout  # noqa: SIM115
        except OSError as error:
            raise UserError(f"{output}: cannot be written ({error.strerror})") from None
        if isinstance(self._file, io.TextIOWrapper) and not output:
            self._file.reconfigure(encoding="utf-8" if as_json else None, errors="backslashreplace")

    def write(self, record: Mapping[str, Any], text: str) -> None:
        print(json.dumps(record, ensure_ascii=False) if self.as_json else text, file=self._file, flush=True)

    def close(self) -> None:
        if self._file is not sys.stdout:
            self._file.close()
