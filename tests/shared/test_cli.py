"""The command line: exit codes, errors of one line, presets, results as text and JSON."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest

from shared import cli
from shared.cli import (
    Results,
    TrainingOptions,
    check_n_best,
    command,
    parse,
    print_error,
    training_arguments,
)
from shared.errors import UserError
from shared.runs import Run

REPOSITORY = Path(__file__).parents[2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
    """A task's configuration."""

    corpus: Literal["small", "large"] = "small"
    units: int = 8
    """Width."""
    dropout: float = 0.1
    mirror: bool = False

    def __post_init__(self):
        if self.units < 1:
            raise ValueError(f"units must be positive. Received: {self.units}")


PRESETS = {"small": Config(), "large": Config(corpus="large", units=64)}


def find_run(name: str) -> Run:
    raise UserError(f"{name}: no such run")


def arguments(*given: str) -> tuple[Config, TrainingOptions]:
    return training_arguments(list(given), PRESETS, "small", "tasks.tagger.train", "Trains the tagger.", find_run)


# --- errors and exit codes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("returned", "code"), [(None, 0), (0, 0), (1, 1), (2, 2)])
def test_exit_code_of_a_command(returned, code):
    assert command(lambda _: returned)([]) == code


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (UserError("x.jpg: truncated;\n  send it\tagain"), 2, "error: x.jpg: truncated; send it again\n"),
        (KeyboardInterrupt(), 130, "error: interrupted\n"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), 2, "error: out: Permission denied\n"),
        (OSError(errno.ENOSPC, "No space left on device"), 2, "error: [Errno 28] No space left on device\n"),
    ],
)
def test_an_error_gives_one_line_and_an_exit_code(capsys, error, code, line):
    @command
    def main(_):
        raise error

    assert main([]) == code
    assert capsys.readouterr() == ("", line)


def test_a_bug_keeps_its_traceback():
    @command
    def main(_):
        raise KeyError("units")

    with pytest.raises(KeyError):
        main([])


def test_the_code_of_system_exit_is_kept():
    @command
    def main(_):
        raise SystemExit(143)

    with pytest.raises(SystemExit) as stopped:
        main([])
    assert stopped.value.code == 143


def test_print_error_writes_one_line_to_standard_error(capsys):
    print_error("a\n\nb")
    assert capsys.readouterr() == ("", "error: a b\n")


# --- arguments -----------------------------------------------------------------------------------------------------


def test_without_arguments_the_default_preset_is_used():
    assert arguments() == (PRESETS["small"], TrainingOptions())


def test_options_override_a_preset():
    config, options = arguments("large", "--dropout", "0", "--mirror", "--run", "r1", "--data-dir", "somewhere")
    assert config == dataclasses.replace(PRESETS["large"], dropout=0.0, mirror=True)
    assert isinstance(config.dropout, float)
    assert options == TrainingOptions(run="r1", data_dir=Path("somewhere"))


@pytest.mark.parametrize("name", ["", "folder/r1"])
def test_an_invalid_name_of_a_run_is_refused_before_the_corpus_is_read(name):
    with pytest.raises(UserError, match=f"run name '{name}' is invalid"):
        arguments("--run", name)


def test_an_unknown_preset_is_refused():
    with pytest.raises(UserError, match="preset 'huge' does not exist; the presets are small, large"):
        arguments("huge")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["--colour", "3"], "--colour"),
        (["--units", "x"], "--units"),
        (["--units", "2.5"], "--units"),
        (["--units"], "--units"),
        (["--units", "0"], "units must be positive. Received: 0"),
        (["--corpus", "third"], "--corpus"),
        (["small", "large"], "large"),
    ],
)
def test_wrong_arguments_are_named_in_one_line(capsys, given, message):
    with pytest.raises(UserError) as refused:
        arguments(*given)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    assert capsys.readouterr() == ("", "")


def test_help_explains_each_field(capsys):
    with pytest.raises(SystemExit) as stopped:
        arguments("large", "--help")
    assert stopped.value.code == 0
    text = capsys.readouterr().out
    assert "Trains the tagger." in text
    assert "--units" in text
    assert "Width. (default: 64)" in text
    assert "python -m tasks.tagger.train [small|large]" in text


def test_help_shows_the_command_that_was_called(capsys, monkeypatch):
    monkeypatch.setattr(cli, "invoked_as", "quatrain tag")
    with pytest.raises(SystemExit):
        parse(Config, ["--help"], "tasks.tagger.tag FILE", "Tags. Example: python -m tasks.tagger.tag a.txt")
    text = capsys.readouterr().out
    assert "quatrain tag FILE" in text
    assert "Example: quatrain tag a.txt" in text
    assert "python -m" not in text


def test_parse_reads_a_dataclass():
    assert parse(Config, ["--units", "3"], "tasks.tagger.tag", None) == Config(units=3)


def test_no_more_hypotheses_than_the_beam_keeps():
    for n_best, beam in ((3, 3), (3, None), (3, 0)):
        check_n_best(n_best, beam)
    with pytest.raises(UserError, match=r"^--n-best 4: a number from 1 to 3, the beam, was expected$"):
        check_n_best(4, 3)


# --- results -------------------------------------------------------------------------------------------------------

RECORD = {"name": "Käse.jpg", "text": "ein Hund 犬"}


def test_text_on_standard_output(capsys):
    results = Results(False, None)
    results.write(RECORD, "Käse.jpg: ein Hund 犬")
    results.close()
    assert capsys.readouterr().out == "Käse.jpg: ein Hund 犬\n"
    print("standard output is still open")


def test_json_lines_to_a_file(tmp_path):
    path = tmp_path / "out.jsonl"
    with Results(True, path) as results:
        results.write(RECORD, "unused")
        results.write({"name": "two\nlines"}, "unused")
    lines = path.read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [RECORD, {"name": "two\nlines"}]
    assert "Hund 犬" in lines[0]


def test_an_unwritable_output_is_reported(tmp_path):
    with pytest.raises(UserError, match="cannot be written"):
        Results(True, tmp_path / "no folder" / "out.jsonl").write(RECORD, "unused")


@pytest.mark.parametrize("as_json", [True, False])
def test_a_file_name_may_be_invalid_unicode(tmp_path, as_json):
    name = os.fsdecode(b"caf\xe9.jpg")
    path = tmp_path / "out"
    results = Results(as_json, path)
    results.write({"name": name}, name)
    results.close()
    line = path.read_text(encoding="utf-8").strip()
    assert line == (r'{"name": "caf\udce9.jpg"}' if as_json else r"caf\udce9.jpg")
    if as_json:
        assert os.fsencode(json.loads(line)["name"]) == b"caf\xe9.jpg"


def shell(script: str, **environment: str) -> subprocess.CompletedProcess:
    program = f"""
import sys
from shared.cli import Results, command
@command
def main(arguments):
    {script}
sys.exit(main(sys.argv[1:]))
"""
    pipeline = f"set -o pipefail; {sys.executable} -c '{program}' | head -n 1"
    return subprocess.run(
        ["bash", "-c", pipeline], cwd=REPOSITORY, capture_output=True, env={**os.environ, **environment}, timeout=60
    )


@pytest.mark.parametrize(
    "script",
    [
        'results = Results(True, None); [results.write({"number": i}, "") for i in range(100_000)]',
        'print("x\\\\n" * 100_000)',  # fails at the final flush
    ],
)
def test_a_closed_pipe_is_not_an_error(script):
    done = shell(script)
    assert done.returncode == 0
    assert done.stderr == b""
    assert len(done.stdout.splitlines()) == 1


def test_json_is_utf_8_on_any_terminal():
    done = shell('Results(True, None).write({"text": "ein Hund \\u72ac"}, "")', PYTHONIOENCODING="ascii")
    assert json.loads(done.stdout.decode("utf-8")) == {"text": "ein Hund 犬"}
    done = shell('Results(False, None).write({}, "ein Hund \\u72ac")', PYTHONIOENCODING="ascii")
    assert done.stdout == b"ein Hund \\u72ac\n"


@pytest.mark.parametrize("is_terminal", [True, False])
def test_a_terminal_shows_what_is_being_loaded(monkeypatch, capsys, is_terminal):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: is_terminal, raising=False)
    cli.say_loading("translator")
    assert capsys.readouterr() == ("", "loading the translator ...\n" * is_terminal)
