"""A command that is interrupted while it starts, or later, ends without a traceback, with the shell's exit code."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared import starting

ROOT = Path(__file__).parents[1]
PROGRAMS = {
    "module": ["-m", "tasks.translator.translate", "Ein Hund", "--runtime", "keras"],
    "list": ["-m", "tasks", "translate", "Ein Hund"],
    "quatrain": [str(ROOT / "quatrain.py"), "translate", "Ein Hund"],
    "datasets": ["-m", "datasets", "prepare", "scenes"],
}
STOPS = {"at the start": "numpy", "in the command": "keras"}  # the package in whose import the signal arrives


def heed_interrupts() -> None:
    """A shell starts background processes, such as this test may be, without."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def ended(folder: Path, package: str, program: str, number: signal.Signals) -> tuple[int, bytes, bytes]:
    """Exit code and outputs of a program that gets a signal while it imports a package."""
    (folder / f"{package}.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    environment = os.environ | {"PYTHONPATH": str(folder)}
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": heed_interrupts}
    with subprocess.Popen([sys.executable, *PROGRAMS[program]], cwd=ROOT, env=environment, **options) as process:
        assert process.stdout.readline() == b"importing\n"
        process.send_signal(number)
        output, error = process.communicate(timeout=60)
    return process.returncode, output, error


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, b"error: interrupted\n"), (signal.SIGTERM, b"")])
def test_a_signal_at_the_start(tmp_path, program, number, error):
    assert ended(tmp_path, STOPS["at the start"], program, number) == (128 + number, b"", error)


@pytest.mark.parametrize(("number", "error"), [(signal.SIGINT, b"error: interrupted\n"), (signal.SIGTERM, b"")])
def test_a_signal_in_the_command(tmp_path, number, error):
    assert ended(tmp_path, STOPS["in the command"], "module", number) == (128 + number, b"", error)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("-m", ["-m", "tasks.translator.translate"], True),
        ("-m", ["-X", "dev", "-mdocs.demo", "x"], True),
        ("-m", ["-m", "own.app"], False),
        ("/usr/bin/quatrain", ["/usr/bin/quatrain"], True),
        ("train.py", ["train.py"], False),
        ("", [], False),
    ],
)
def test_a_program_that_imports_the_packages_keeps_its_handlers(monkeypatch, name, options, expected):
    monkeypatch.setattr(sys, "argv", [name])
    monkeypatch.setattr(sys, "orig_argv", ["python", *options])
    assert starting.is_command() == expected
    monkeypatch.setattr(sys, "argv", [])
    assert not starting.is_command()
