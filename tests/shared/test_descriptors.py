"""Pipes that a shell opens for a command, such as `/dev/stdin` and `<(command)`, serve as files."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from datasets.lines import read_lines
from shared.descriptors import descriptor_of, make_regular
from shared.files import FileKind, MediaError

ROOT = Path(__file__).parents[2]
TEXTS = FileKind(name="a text", suffixes=frozenset({".txt"}), max_bytes=7, remedy="shorten it")


@pytest.fixture
def pipe() -> Iterator[tuple[Path, int]]:
    """The path of the reading end of a pipe, and the descriptor of its writing end."""
    reading, writing = os.pipe()
    yield Path(f"/dev/fd/{reading}"), writing
    os.close(reading)


def fill(writing: int, content: bytes) -> None:
    os.write(writing, content)
    os.close(writing)


def test_descriptors_are_found_through_links(tmp_path):
    (tmp_path / "link").symlink_to("/dev/fd/63")
    paths = "/dev/stdin", "/dev/stderr", "/dev/fd/63", f"/proc/{os.getpid()}/fd/5", str(tmp_path / "link"), "a.txt"
    assert [descriptor_of(path) for path in paths] == [0, 2, 63, 5, 63, None]


def test_a_pipe_becomes_a_file_that_is_read_again(pipe):
    path, writing = pipe
    fill(writing, b"one\ntwo\n")
    assert read_lines(path) == read_lines(path) == ["one", "two"]
    assert path.is_file()
    with path.open("rb") as file:
        file.seek(4)
        assert file.read() == b"two\n"


def test_the_limit_of_a_kind_of_file_holds_for_pipes(pipe):
    path, writing = pipe
    fill(writing, b"eight by")
    with pytest.raises(MediaError, match="has 8 bytes, the limit is 7; shorten it"):
        TEXTS.read(path)


def test_other_paths_stay_as_they_are(tmp_path, pipe):
    os.mkfifo(tmp_path / "fifo")  # no process writes to it: opening it would wait
    make_regular(tmp_path / "fifo")
    assert (tmp_path / "fifo").is_fifo()
    with pytest.raises(MediaError, match="is not a regular file"):
        TEXTS.read(tmp_path / "fifo")
    path, writing = pipe
    make_regular(f"/dev/fd/{writing}")  # it is for writing
    os.close(writing)
    assert path.is_fifo()
    make_regular("/dev/fd/987654")  # it is not open


def test_standard_input_and_a_process_substitution(tmp_path):
    program = "from pathlib import Path; from datasets.lines import read_lines; import sys\n"
    program += "print([read_lines(Path(name)) for name in sys.argv[1:] * 2])"
    command = f"printf 'a\\nb' | {sys.executable} -c \"$0\" /dev/stdin <(printf c)"
    done = subprocess.run(["bash", "-c", command, program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("[['a', 'b'], ['c'], ['a', 'b'], ['c']]\n", "")
