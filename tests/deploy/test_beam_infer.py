"""`deploy/beam_infer.py` answers as the commands do, whatever is damaged and whenever it is killed."""

import ast
import gzip
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import soundfile

from shared.media import read_image
from tasks.captioner import caption
from tasks.language_model import tables
from tasks.phoneme_recognizer import formats
from tasks.translator import translate
from tests.deploy.exports import export
from tests.tasks.captioner.conftest import encoded, picture
from tests.tasks.phoneme_recognizer.conftest import say, sound

ROOT = Path(__file__).parents[2]
PROGRAM = ROOT / "deploy" / "beam_infer.py"
PYTHON = ROOT / ".venv-beam" / "bin" / "python"  # Beam and TensorFlow alone
PROCESSES = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")

needs_beam = pytest.mark.skipif(not PYTHON.exists(), reason="no Apache Beam: make .venv-beam/ready")


def start(folder: Path, *arguments: Any) -> subprocess.Popen[str]:
    """Starts the program in a folder, in a process group of its own."""
    command = [str(PYTHON), str(PROGRAM), *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, start_new_session=True, **pipes)


def infer(folder: Path, *arguments: Any) -> tuple[int, str]:
    """The exit code and the standard output of the program."""
    process = start(folder, *arguments)
    output, error = process.communicate(timeout=600)
    assert "Traceback" not in error
    return process.returncode, output


def records(folder: Path, kind: str) -> list[dict[str, Any]]:
    """The objects of all files of a kind, in the order of the files."""
    files = sorted(folder.glob(f"{kind}-*"))
    return [json.loads(line) for path in files for line in path.read_bytes().splitlines()]


SERVER = """
import contextlib, io, json, os, sys, traceback
import deploy.beam_infer as b
answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    folder, program = json.loads(line)
    os.chdir(folder)
    with contextlib.redirect_stdout(io.StringIO()) as output:
        try:
            exec(program, {"b": b, "json": json})
            error = ""
        except BaseException:
            error = traceback.format_exc()
    print(json.dumps([output.getvalue(), error]), file=answers, flush=True)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[subprocess.Popen[str]]:
    """A process that has imported the module, and runs programs; imports take seconds."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    with subprocess.Popen([str(PYTHON), "-c", SERVER], env=environment, **pipes) as process:
        yield process
        process.kill()


@pytest.fixture
def in_beam(server: subprocess.Popen[str], tmp_path: Path) -> Callable[[str], Any]:
    """The JSON that a Python program, for which `b` is the module, prints in the folder of the test."""

    def run(program: str) -> Any:
        server.stdin.write(json.dumps([str(tmp_path), program]) + "\n")
        server.stdin.flush()
        output, error = json.loads(server.stdout.readline())
        assert not error, error
        return json.loads(output)

    return run


@pytest.fixture
def infer_in_beam(in_beam: Callable[[str], Any]) -> Callable[..., tuple[int, str, str]]:
    """Exit code, standard output and standard error of the program, without a process of its own."""

    def run(*arguments: Any) -> tuple[int, str, str]:
        return tuple(
            in_beam(f"""
import contextlib, io
with contextlib.redirect_stdout(io.StringIO()) as output, contextlib.redirect_stderr(io.StringIO()) as error:
    code = b.main({[*map(str, arguments)]!r})
print(json.dumps([code, output.getvalue(), error.getvalue()]))
""")
        )

    return run


def test_one_line_says_that_beam_is_missing():
    program = f"import runpy, sys; sys.modules['apache_beam'] = None; runpy.run_path({str(PROGRAM)!r})"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 1
    assert re.fullmatch(r"error: .*apache_beam.*; Apache Beam was expected: .*\n", done.stderr)


def test_it_imports_nothing_of_the_checkout():
    """A worker has the SavedModel, Beam, TensorFlow and NumPy."""
    nodes = list(ast.walk(ast.parse(PROGRAM.read_text(encoding="utf-8"))))
    modules = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    modules |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    packages = {module.partition(".")[0] for module in modules} - sys.stdlib_module_names
    assert packages == {"apache_beam", "numpy", "tensorflow"}


@needs_beam
def test_lines_are_divided_into_parts(tmp_path, in_beam):
    """Every line once, at its offset, from a plain file and from a compressed one."""
    content = b"\xef\xbb\xbffirst\r\n\nthird\nfourth\n" + b"x" * 1_000_003 + b"\nlast"
    (tmp_path / "a.txt").write_bytes(content)
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(content))
    (tmp_path / "c.txt.gz").write_bytes(gzip.compress(content)[:-9])
    os.mkfifo(tmp_path / "pipe.txt")
    (tmp_path / "folder.txt").mkdir()
    found = in_beam(
        """
parts = b.make_plan(["*.txt*"], True, 2)
lines = [[line.key, line.content.decode(), line.error] for part in parts for line in b.read_part(part)]
open("a.txt", "ab").truncate(15)
changed = [[line.position, line.error] for line in b.read_part(parts[1])]
print(json.dumps([[[part.files[0], part.line, part.count, part.offset, part.error] for part in parts], lines, changed]))
"""
    )
    parts, lines, changed = found
    assert changed == [[1, "does not exist; the file has changed since it was planned"], [0, ""]]
    damaged = "is a damaged or truncated gzip file; a complete file was expected"
    ends = [[1, 2, 0, ""], [3, 2, 11, ""], [5, 2, 24, ""]]
    assert parts == [
        *(["a.txt", *end] for end in ends),
        *(["b.txt.gz", *end] for end in ends),
        ["c.txt.gz", 1, 0, 0, damaged],
        ["pipe.txt", 1, 0, 0, "is not a regular file, which was expected"],
    ]
    expected = ["", "first", "third", "fourth", "", "last"]  # the shortest of a part first
    for name in ("a.txt", "b.txt.gz"):
        own = [(key["line"], text, error) for key, text, error in lines if key["input"] == name]
        assert [text for _, text, _ in own] == expected
        assert [line for line, *_ in own] == [2, 1, 3, 4, 5, 6]
        assert [error for *_, error in own if error] == ["has more than 1,000,000 bytes; split it"]
    assert [[key, error] for key, _, error in lines if "line" not in key] == [
        [{"input": "c.txt.gz"}, damaged], [{"input": "pipe.txt"}, "is not a regular file, which was expected"],
    ]  # fmt: skip


@needs_beam
def test_files_are_divided_into_parts(tmp_path, in_beam):
    """In the order of their names, which need not be valid Unicode; a name may also look like a pattern."""
    names = [b"a.png", b"b[1].png", b"caf\xe9.png", b"d.png"]
    for name in names:
        (tmp_path / os.fsdecode(name)).touch()
    found = in_beam(
        """
import os
b.settle_plan("out", {}, lambda: b.make_plan(["b[1].png", "[!b]*.png"], False, 3))
header, *parts = map(json.loads, open("out/plan.jsonl", encoding="utf-8"))
names = [[list(os.fsencode(name)) for name in b.Part(**part).files] for part in parts]
print(json.dumps([header, names, b.settle_plan("out", {}, None)]))
"""
    )
    assert found == [{"parts": 2}, [[list(name) for name in names[:3]], [list(names[3])]], 2]


@needs_beam
def test_batches_are_bounded(in_beam):
    """By their rows, and by rows times the largest; an input that is larger than that comes alone."""
    sizes = [1, 1, 1, 4, 2, 30, 1, 5, 5]
    found = in_beam(
        f"""
task = b.Task("", False, len, 10, None)
inputs = [b.Input(i, {{}}, b"x" * size) for i, size in enumerate({sizes})] + [b.Input(9, {{}}, error="unreadable")]
print(json.dumps([[len(each.content) for each in batch] for batch in b.batches(inputs, task, 3)]))
"""
    )
    assert found == [[1, 1, 1], [4, 2], [30], [1, 5], [5, 0]]


@needs_beam
@pytest.mark.campaign
def test_pixels_are_those_of_the_header(tmp_path, in_beam):
    for kind in ("JPEG", "PNG", "GIF", "BMP"):
        (tmp_path / kind).write_bytes(encoded(picture(7, 12), kind))
    (tmp_path / "none").write_bytes(b"\xff\xd8\xff")
    program = "print(json.dumps([b.count_pixels(open(name, 'rb').read()) for name in sys.argv[1:]]))"
    names = ["JPEG", "PNG", "GIF", "BMP", "none"]
    found = in_beam(program.replace("sys.argv[1:]", repr(names)))
    assert found == [84, 84, 84, 84, 0]


@needs_beam
def test_wrong_arguments_are_refused_in_one_line(tmp_path, in_beam):
    (tmp_path / "a.txt").write_text("a\n")
    (tmp_path / "empty.txt").write_text("")
    (tmp_path / "other" / "variables").mkdir(parents=True)
    (tmp_path / "other" / "saved_model.pb").write_bytes(b"\x12\x00")
    given = ["--input", "a.txt", "--output", "out"]
    cases = {
        "--model none: a SavedModel was expected, such as saved_models/TASK/RUN/export/1": ["--model", "none", *given],
        "--model other: one of the endpoints caption_bytes, translate, generate, recognize was expected in the"
        " SavedModel": ["--model", "other", *given],
        "the following arguments are required: --model; see --help": given,
        "argument --part-size: 0: a number from 1 to 100,000 was expected; see --help": [
            "--model", "none", *given, "--part-size", "0",
        ],
        "--direct_num_wrkers: neither an option of this program nor of Beam; see --help": [
            "--model", "none", *given, "--direct_num_wrkers=2",
        ],
        "argument --direct_running_mode: invalid choice: 'x' (choose from 'in_memory', 'multi_threading',"
        " 'multi_processing')": ["--model", "none", *given, "--direct_running_mode=x"],
        "--output o*: a name without *, ? and [ was expected": ["--model", "none", *given, "--output", "o*"],
    }  # fmt: skip
    refusals = in_beam(
        f"""
import contextlib, io
found = []
for arguments in {list(cases.values())!r}:
    with contextlib.redirect_stderr(io.StringIO()) as error:
        found.append([b.main(arguments), error.getvalue()])
for patterns in (["none*"], ["other"], ["empty.txt"]):
    try:
        b.make_plan(patterns, True, 5)
    except b.Refused as refused:
        found.append([2, f"error: {{refused}}\\n"])
print(json.dumps(found))
"""
    )
    expected = [
        *cases,
        "--input none*: no file matches",
        "--input other: is a folder; a pattern of files was expected, such as other/*",
        "--input empty.txt: the files have no lines",
    ]
    assert refusals == [[2, f"error: {line}\n"] for line in expected]
    assert not (tmp_path / "out").exists()


def assert_like(found: Any, expected: Any) -> None:
    """Equal objects, with a tolerance for numbers; `expected` may have more names."""
    if isinstance(found, dict):
        for name, value in found.items():
            assert_like(value, expected[name])
    elif isinstance(found, list):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_like(one, other)
    elif isinstance(found, float):
        assert found == pytest.approx(expected, rel=2e-3, abs=2e-3)
    else:
        assert found == expected


@needs_beam
@pytest.mark.campaign
def test_images(tmp_path, infer_in_beam):
    captioner, model = export("captioner", tmp_path)
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(5):
        (photos / f"{i}.png").write_bytes(encoded(picture(20 + 3 * i, 31, seed=i), "PNG"))
    (photos / "broken.jpg").write_bytes(encoded(picture(), "JPEG")[:300])
    arguments = ["--model", model, "--input", "photos/*", "--output", "out", "--part-size", "4", "--batch-size", "3"]
    assert infer_in_beam(*arguments)[:2] == (1, "out: 5 answered, 1 refused; 2 of 2 parts now, 0 before\n")
    found = records(tmp_path / "out", "answers")
    assert [record.pop("input") for record in found] == [f"photos/{i}.png" for i in range(5)]
    images = [read_image(photos / f"{i}.png") for i in range(5)]
    expected = [caption.as_record("", captions) for captions in captioner(images)]
    assert len({record["captions"][0]["text"] for record in expected}) > 1
    assert_like(found, expected)
    error = "is a damaged or truncated JPEG file; a complete file was expected"
    assert records(tmp_path / "out", "errors") == [{"input": "photos/broken.jpg", "error": error}]

    before = {path: path.stat().st_ino for path in (tmp_path / "out").iterdir()}
    assert infer_in_beam(*arguments)[:2] == (1, "out: 0 answered, 0 refused; 0 of 2 parts now, 2 before\n")
    assert {path: path.stat().st_ino for path in (tmp_path / "out").iterdir()} == before
    code, _, error = infer_in_beam(*arguments[:-1], "2")
    assert (code, error.splitlines()[-1]) == (
        2,
        "error: --output out: was started with another batch_size (3), not 2; another folder was expected, or the same"
        " batch_size",
    )


@needs_beam
@pytest.mark.campaign
def test_sounds(tmp_path, infer_in_beam):
    recognizer, model = export("phoneme_recognizer", tmp_path)
    words = ["aims", "mi", "s a"]
    for word in words:
        soundfile.write(tmp_path / f"{word}.wav", say(word).samples, 16_000)
    soundfile.write(tmp_path / "slow.wav", say("a").samples, 8000)
    arguments = ["--model", model, "--input", "*.wav", "--output", "out", "--part-size", "2"]
    assert infer_in_beam(*arguments)[:2] == (1, "out: 3 answered, 1 refused; 2 of 2 parts now, 0 before\n")
    found = records(tmp_path / "out", "answers")
    assert [record.pop("input") for record in found] == ["aims.wav", "mi.wav", "s a.wav"]
    expected = [formats.as_record("", best, str) for best in recognizer([sound(word) for word in words])]
    assert_like(found, expected)
    (error,) = records(tmp_path / "out", "errors")
    assert error["input"] == "slow.wav"
    assert error["error"].startswith("has 8000 samples a second, not 16,000; convert it: ")


@needs_beam
@pytest.mark.campaign
def test_sentences(tmp_path, infer_in_beam):
    translator, model = export("translator", tmp_path)
    sentences = ["a red circle .", "", "ein roter kreis", "above " * 19, "left of the square"]
    (tmp_path / "a.txt").write_text("\n".join(sentences))
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"caf\xe9 below\n"))
    arguments = ["--model", model, "--input", "a.txt", "b.txt.gz", "--output", "out", "--part-size", "3"]
    assert infer_in_beam(*arguments)[0] == 1
    found = records(tmp_path / "out", "answers")
    keys = [(record.pop("input"), record.pop("line")) for record in found]
    assert keys == [("a.txt", 1), ("a.txt", 2), ("a.txt", 3), ("a.txt", 5), ("b.txt.gz", 1)]
    assert found[-1].pop("notice") == "is not UTF-8; invalid bytes are read as \ufffd"
    accepted = [*sentences[:3], sentences[4], "caf\ufffd below"]
    answers = zip(accepted, translator(accepted), strict=True)
    best = [translate.as_record(sentence, "en", translations) for sentence, translations in answers]
    assert_like(found, best)
    too_long = "has 19 tokens, more than twice the 9 of training; split it"
    assert records(tmp_path / "out", "errors") == [{"input": "a.txt", "line": 4, "error": too_long}]


@needs_beam
@pytest.mark.campaign
def test_texts(tmp_path, infer_in_beam):
    scorer, model = export("language_model", tmp_path)
    texts = ["the red square", "", "a large circle left of the square ."]
    (tmp_path / "texts.txt").write_text("".join(f"{text}\r\n" for text in texts))
    output = "out: 3 answered, 0 refused; 1 of 1 parts now, 0 before\n"
    assert infer_in_beam("--model", model, "--input", "texts.txt", "--output", "out")[:2] == (0, output)
    found = records(tmp_path / "out", "answers")
    assert [(record.pop("input"), record.pop("line")) for record in found] == [("texts.txt", i) for i in (1, 2, 3)]
    assert_like(found, [tables.as_record(each) for each in scorer(texts)])
    assert {"text", "perplexity", "without_end", "bits_per_character", "tokens", "log_probs"} <= found[0].keys()


@needs_beam
@pytest.mark.campaign
def test_a_thousand_images_of_which_twenty_are_damaged_killed_and_started_again(tmp_path):
    """Two processes, killed in the middle and then with a model that they share, leave in the end what one leaves
    without interruption."""
    model = export("captioner", tmp_path)[1]
    photos = tmp_path / "photos"
    photos.mkdir()
    damaged = set(range(7, 1000, 50))
    for i in range(1000):
        file = encoded(picture(16 + i % 5, 16 + i % 7, seed=i), "JPEG")
        wrong = (b"", file[:10], file[: len(file) // 2], b"no image")[i // 50 % 4]
        (photos / f"{i:03}.jpg").write_bytes(wrong if i in damaged else file)
    arguments = ["--model", model, "--input", "photos/*.jpg", "--part-size", "20", "--output"]
    out = tmp_path / "out"
    process = start(tmp_path, *arguments, "out", *PROCESSES)
    try:
        while process.poll() is None and len(list(out.glob("answers-*"))) < 8:
            time.sleep(0.05)
        assert process.poll() is None
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    before = {path: path.stat().st_ino for path in out.glob("*.jsonl")}
    finished = len(list(out.glob("answers-*")))
    assert 8 <= finished < 50

    code, output = infer(tmp_path, *arguments, "out", "--model-copies", "1", *PROCESSES)
    assert (code, output.partition("; ")[2]) == (1, f"{50 - finished} of 50 parts now, {finished} before\n")
    assert {path: path.stat().st_ino for path in before} == before  # no finished file is written again
    assert [record["input"] for record in records(out, "errors")] == [f"photos/{i:03}.jpg" for i in sorted(damaged)]
    assert [record["input"] for record in records(out, "answers")] == [
        f"photos/{i:03}.jpg" for i in range(1000) if i not in damaged
    ]
    assert infer(tmp_path, *arguments, "whole")[0] == 1
    files = {path.name: path.read_bytes() for path in out.iterdir()}
    assert files == {path.name: path.read_bytes() for path in (tmp_path / "whole").iterdir()}
