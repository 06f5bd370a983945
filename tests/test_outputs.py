"""Nothing of the user's is replaced, and no standard stream is needed: every verb, as a user runs it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.__main__ import run

ROOT = Path(__file__).parents[1]
MODELS = ROOT / "saved_models"
TRANSLATOR = MODELS / "translator" / "everyday-de-en"
WEIGHTS = str(TRANSLATOR / "weights.safetensors")
pytestmark = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("a.txt", "b.txt", "a.wav", "a.png"):
        (tmp_path / name).write_text(f"content of {name}\n")
    os.link("a.txt", "hard.txt")
    return tmp_path


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("caption a.png --output ./a.png", "--output a.png is one of the images to caption"),
        ("caption a.png --gallery hard.txt --output a.txt", "--gallery hard.txt is also the output of --output"),
        ("caption a.png b.png --attention x.png --output x-2.png", "--attention x-2.png is also the output of --out"),
        ("caption a.png b.png --attention a.png", "--attention a.png is one of the images to caption"),
        ("recognize a.wav --plot a.png --ctm a.png", "--plot a.png is also the output of --ctm"),
        ("recognize a.wav --transcripts --output hard.txt", "--output hard.txt is one of the transcripts"),
        (
            "recognize a.wav b.wav --textgrid . --ctm a.TextGrid",
            "--textgrid a.TextGrid is also the output of --ctm",
        ),
        ("translate --file a.txt --pharaoh hard.txt", "--pharaoh hard.txt is the file to translate"),
        ("translate --file a.txt --output x --pharaoh ./x", "--pharaoh x is also the output of --output"),
        ("translate --file a.txt --alignment x.png --output x.png", "--alignment x.png is also the output of --output"),
        (f"translate word --output {WEIGHTS}", f"--output {WEIGHTS} is a file of a released model in {TRANSLATOR}"),
        ("score translator --source-file a.txt --target-file b.txt --output b.txt", "is the file that --target-file"),
        ("score --file a.txt --html a.txt", "--html a.txt is the file that --file names"),
        ("score --nbest a.txt --output hard.txt", "--output hard.txt is the file that --nbest names"),
        ("generate --load-state a.txt --save-state hard.txt", "--save-state hard.txt is the file that --load-state"),
        ("generate --save-state x --output x", "--save-state x is also the output of --output"),
        ("fill --file a.txt --output a.txt", "--output a.txt is the file that --file names"),
        (
            f"evaluate translator --output {WEIGHTS}",
            f"--output {WEIGHTS} is a file of a released model in {TRANSLATOR}",
        ),
        ("evaluate captioner --data-dir . --output a.txt", "--output a.txt is a file of the corpus in ."),
        ("evaluate language_model --data-dir a.txt --output hard.txt", "--output hard.txt is a file of the corpus;"),
        ("evaluate phoneme_recognizer --corpus . --output a.wav", "--output a.wav is a file of the corpus in ."),
    ],
)
def test_outputs_that_would_destroy_a_file_are_refused_before_a_model_is_loaded(folder, capsys, command, message):
    before = contents(folder)
    assert run(command.split()) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert written.err.startswith("error: ")
    assert written.err.count("\n") == 1
    assert message in written.err
    assert contents(folder) == before


def shell(pipeline: str) -> subprocess.CompletedProcess:
    """Runs a pipeline of bash in which $Q is `quatrain`."""
    quatrain = f"{sys.executable} {ROOT / 'quatrain.py'}"
    return subprocess.run(
        ["bash", "-c", f"set -o pipefail; {pipeline}"],
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "Q": quatrain},
    )


CLOSED = "error: standard output: cannot be written (Bad file descriptor)\n"
FULL = "error: standard output: cannot be written (No space left on device)\n"


@pytest.mark.parametrize(
    ("command", "unbuffered"), [("", ""), ("caption --help", ""), ("release --help", "1"), ("datasets --help", "1")]
)
@pytest.mark.slow
def test_standard_streams_may_be_closed_or_full(command, unbuffered):
    for redirection, code, error in (
        (">&-", 2, CLOSED),
        ("> /dev/full", 2, FULL),
        (">&- 2>&- <&-", 2, ""),
        ("<&- 2>&- > /dev/null", 0, ""),
        ("| head -c 1 > /dev/null", 0, ""),
    ):
        done = shell(f"PYTHONUNBUFFERED={unbuffered} $Q {command} {redirection}")
        assert (done.returncode, done.stderr) == (code, error), redirection


def test_errors_need_no_standard_error():
    for redirection in ("2>&-", "2> /dev/full"):
        done = shell(f"$Q caption missing.png {redirection}")
        assert (done.returncode, done.stdout, done.stderr) == (2, "", "")


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("pipeline", "code", "error"),
    [
        ("$Q doctor >&-", 2, CLOSED),
        ("$Q doctor | head -c 1", 0, ""),
        ("$Q generate --max-tokens 20 > /dev/full", 2, FULL),
        ("$Q translate Hund | head -c 1", 0, ""),
    ],
)
def test_verbs_report_a_standard_output_that_is_closed_or_full(pipeline, code, error):
    done = shell(pipeline)
    assert (done.returncode, done.stderr) == (code, error)


@pytest.mark.slow
def test_outputs_of_a_run_that_fails_are_kept(folder):
    """A run that produces nothing keeps an earlier file; one that ends early, the results so far."""
    (folder / "list").write_text("0 ||| a dog ||| f= 1 ||| -1\n1 ||| a cat ||| f= 1 ||| -2\nbroken\n")
    for command, output in (
        ("score --nbest a.txt --output b.txt", "content of b.txt\n"),
        ("evaluate translator --data-dir /nowhere --output b.txt", "content of b.txt\n"),
        ("score --nbest list --output b.txt", "0 ||| a dog |||"),
    ):
        assert run(command.split()) == 2
        assert (folder / "b.txt").read_text().startswith(output), command
