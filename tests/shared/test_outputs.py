"""Outputs of commands: what is refused before any work, and what is replaced or written through."""

import os
import re
import stat
import subprocess
import sys
import threading
from pathlib import Path
from signal import SIG_IGN, SIGHUP, getsignal

import pytest

from shared.atomic import replacement
from shared.errors import UserError
from shared.outputs import Output, check_outputs, named_paths, numbered_paths, writable, write_output

REPOSITORY = Path(__file__).parents[2]
WITHOUT_ROOT = pytest.mark.skipif(os.geteuid() == 0, reason="root can write every file")


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The current folder: `a.txt`, its links `hard` and `soft`, and the folders `sub` and `linked`, a link to `sub`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("input")
    os.link("a.txt", "hard")
    os.symlink("a.txt", "soft")
    os.symlink("new", "dangling")
    (tmp_path / "sub").mkdir()
    os.symlink("sub", "linked")
    os.mkfifo("fifo")
    return tmp_path


def refusal(outputs: dict[str, list[str]], reads: dict[str, list[str]] | None = None) -> str:
    with pytest.raises(UserError) as refused:
        check_outputs({option: list(map(Path, paths)) for option, paths in outputs.items()}, reads)
    return str(refused.value)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_output_paths_are_numbered():
    assert numbered_paths("--plot", Path("a.PNG"), 1, (".png",)) == [Path("a.PNG")]
    assert numbered_paths("--plot", Path("x/a.png"), 2, (".png",)) == [Path("x/a-1.png"), Path("x/a-2.png")]
    assert numbered_paths("--plot", Path("a.png"), 10, (".png",))[::9] == [Path("a-01.png"), Path("a-10.png")]
    with pytest.raises(UserError, match=r"--plot a\.txt: a name that ends in \.png \.pdf was expected"):
        numbered_paths("--plot", Path("a.txt"), 1, (".png", ".pdf"))


def test_output_paths_are_named_after_inputs(tmp_path):
    names = [Path("x/a.wav"), Path("b.wav"), Path("b.flac")]
    expected = [tmp_path / "new" / name for name in ("x/a.png", "b.wav.png", "b.flac.png")]
    assert named_paths("--plot", tmp_path / "new", names, (".png", ".pdf")) == expected
    assert named_paths("--plot", Path("a.PDF"), names[:1], (".png", ".pdf")) == [Path("a.PDF")]
    assert writable(tmp_path / "new", expected) == [tmp_path / "new"]
    (tmp_path / "new" / "x").mkdir(parents=True)
    assert writable(tmp_path / "new", expected) == expected
    for path, given, message in (
        ("a.png", names, "--plot a.png: a folder was expected, for 3 files named after the inputs"),
        ("a.txt", names[:1], "--plot a.txt: a name that ends in .png .pdf, or a folder, was expected"),
        ("new", names[:1] * 2, "--plot new: two inputs are named x/a.wav; a folder that has both was expected"),
    ):
        with pytest.raises(UserError, match=message):
            named_paths("--plot", Path(path), given, (".png", ".pdf"))


# --- checks --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["a.txt", "./a.txt", "sub/../a.txt", "linked/../a.txt", "hard", "soft"])
def test_an_input_is_no_output_however_it_is_spelled(folder, path):
    words = "the file that --file names"
    expected = f"--html {Path(path)} is {words}; another name to write to was expected"
    assert refusal({"--output": ["b"], "--html": [path]}, {words: ["-", None, "a.txt"]}) == expected


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("b", "./b"),
        ("b", "linked/../b"),
        ("sub/b", "linked/b"),
        ("dangling", "new"),
        ("a.txt", "hard"),
        ("fifo", "fifo"),
    ],
)
def test_two_outputs_are_two_files(folder, first, second):
    message = refusal({"--output": [first], "--gallery": [second]})
    assert message == f"--gallery {Path(second)} is also the output of --output; another name to write to was expected"
    message = refusal({"--plot": [first, "other", second]})
    assert message.startswith(f"--plot {Path(second)} is also the output of --plot")


def test_distinct_outputs_are_accepted(folder):
    os.symlink("/dev/null", "null")
    check_outputs(
        {"--output": [Path("b")], "--html": [None], "--plot": [Path("sub/b"), Path("c")]}, {"an input": ["a.txt"]}
    )
    check_outputs({"--output": [Path("/dev/null")], "--html": [Path("null")]}, {"an input": ["/dev/null"]})


def test_nothing_is_written_into_a_folder_that_is_read(folder):
    (folder / "sub" / "deep").mkdir()
    (folder / "sub" / "deep" / "weights").write_text("1")
    os.symlink("..", "sub/up")  # a circle
    os.symlink("../a.txt", "sub/outside")
    os.link("sub/deep/weights", "weights")
    for path in ("sub/new", "linked/deep/new", "weights", "a.txt"):
        message = refusal({"--output": [path]}, {"a file of the model": ["sub"]})
        assert message == f"--output {path} is a file of the model in sub; another name to write to was expected"
    check_outputs({"--output": [Path("beside")]}, {"a file of the model": ["linked"]})


def test_nothing_is_written_into_a_released_model(folder, monkeypatch):
    """Not into one that the command does not use either; a run that one has trained oneself is not protected."""
    monkeypatch.setattr("shared.runs.ROOT", folder / "models")
    configs = ("captioner/photos", '{"weights_sha256": "1"}'), ("translator/own", "{}"), ("translator/damaged", "{")
    for name, content in configs:
        (folder / "models" / name).mkdir(parents=True)
        (folder / "models" / name / "config.json").write_text(content)
    os.link("models/captioner/photos/config.json", "linked.json")
    for path in ("models/captioner/photos/config.json", "models/captioner/photos/new", "linked.json"):
        where = folder / "models" / "captioner" / "photos"
        owner = f"a file of a released model in {where}"
        assert refusal({"--output": [path]}) == f"--output {path} is {owner}; another name to write to was expected"
    check_outputs({"--output": [Path("models/translator/own/new"), Path("models/captioner/new"), None]})


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("sub", "--output sub is a folder; the name of a file to write was expected"),
        ("missing/a", "--output missing/a cannot be written: there is no folder missing"),
        ("a.txt/b", "--output a.txt/b cannot be written: Not a directory"),
        ("loop", "--output loop cannot be written: Too many levels of symbolic links"),
        ("x" * 300, f"--output {'x' * 300} cannot be written: File name too long"),
        ("/dev/fd/987", "--output /dev/fd/987 cannot be written: Bad file descriptor"),
        ("socket", "--output socket is a socket; the name of a file to write was expected"),
    ],
)
def test_unsuitable_outputs_are_refused(folder, path, message):
    import socket

    os.symlink("loop", "loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    assert refusal({"--output": [path]}) == message


@WITHOUT_ROOT
def test_outputs_need_permission(folder):
    (folder / "a.txt").chmod(0o444)
    assert refusal({"--output": ["a.txt"]}) == "--output a.txt cannot be written: permission denied"


def in_shell(program: str, redirection: str) -> subprocess.CompletedProcess:
    """Runs `program` with functions of `shared.outputs`; the shell gives it its standard streams."""
    program = f"""
import sys; sys.path.insert(0, {str(REPOSITORY)!r})
from pathlib import Path
from shared.cli import command
from shared.outputs import Output, check_outputs, write_output
@command
def main():
    {program}
sys.exit(main())
"""
    command = ["bash", "-c", f'"$0" -c "$1" {redirection}', sys.executable, program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize(
    ("outputs", "redirection", "owner"),
    [
        ('{"--output": [Path("a.txt")]}', "< a.txt", "--output a.txt is standard input"),
        ('{"--gallery": [Path("b")]}', "> b", "--gallery b is standard output"),
        ('{"--output": [Path("b")]}', "2>&1 >> b", "--output b is standard output"),
        ('{"--output": [Path("b")]}, {"an input": ["a.txt"]}', ">> a.txt", "standard output is an input"),
        (
            '{"--output": [Path("/dev/stdout")], "--html": [Path("/dev/fd/1")]}',
            "> b",
            "--html /dev/fd/1 is also the output of --output",
        ),
        (
            '{"--output": [Path("/dev/stdin")]}',
            "< b.txt",
            "--output /dev/stdin cannot be written: permission denied",
        ),
    ],
)
def test_standard_streams_are_files_too(folder, outputs, redirection, owner):
    (folder / "b.txt").touch()
    done = in_shell(f"check_outputs({outputs})", redirection)
    assert done.returncode == 2
    assert (done.stderr or done.stdout).startswith(f"error: {owner}")
    assert (folder / "a.txt").read_text() == "input"


def test_standard_output_is_appended_to(folder):
    """As `/dev/stdout` it is not opened anew, which would truncate it."""
    done = in_shell('check_outputs({"--output": [p := Path("/dev/stdout")]}); write_output(p, b"new\\n")', ">> a.txt")
    assert (done.returncode, done.stderr) == (0, "")
    assert (folder / "a.txt").read_text() == "inputnew\n"


# --- writing -------------------------------------------------------------------------------------------------------


def test_a_file_is_replaced_when_the_output_is_closed(folder):
    with Output(folder / "a.txt") as output:
        output.write(b"one ")
        assert (folder / "a.txt").read_text() == "input"
        output.write(b"two")
    assert (folder / "a.txt").read_text() == "one two"
    assert (folder / "hard").read_text() == "input"
    assert not [name for name in names(folder) if name.startswith(".")]


def test_an_error_keeps_the_content_so_far_and_nothing_keeps_the_file(folder):
    with pytest.raises(KeyError), Output(folder / "a.txt"):
        raise KeyError
    assert (folder / "a.txt").read_text() == "input"
    with pytest.raises(TypeError), Output(folder / "a.txt") as output:
        [output.write(content) for content in (b"one", "not bytes")]  # pyright: ignore
    assert (folder / "a.txt").read_text() == "one"
    with Output(folder / "a.txt") as output:
        output.write(b"")
    assert (folder / "a.txt").read_text() == ""


def test_a_killed_process_leaves_the_file(folder):
    done = in_shell('Output(Path("a.txt")).write(b"new"); import os; os.kill(os.getpid(), 9)', "")
    assert done.returncode == -9
    assert (folder / "a.txt").read_text() == "input"


@pytest.mark.parametrize(("signal", "code"), [("SIGTERM", 143), ("SIGHUP", 129), ("SIGINT", 130)])
def test_a_signal_keeps_the_content_so_far(folder, signal, code):
    if signal == "SIGHUP" and getsignal(SIGHUP) is SIG_IGN:
        pytest.skip("SIGHUP is ignored, as by nohup, and stays so in the programs that are started")
    # SIGINT as in the foreground: a shell starts background processes, such as this test may be, with it ignored.
    program = "import os, signal; signal.signal(signal.SIGINT, signal.default_int_handler)"
    program += "\n    with Output(Path('a.txt')) as output: output.write(b'new')"
    done = in_shell(f"{program}; os.kill(os.getpid(), signal.{signal})", "")
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    assert (folder / "a.txt").read_text() == "new"


def test_links_stay_and_their_targets_are_written(folder):
    write_output(Path("soft"), b"new")
    write_output(Path("dangling"), b"made")
    write_output(Path("linked/b"), b"3")
    assert os.readlink("soft") == "a.txt"
    assert os.readlink("dangling") == "new"
    assert [Path(path).read_text() for path in ("a.txt", "new", "sub/b")] == ["new", "made", "3"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664)])
def test_a_new_file_has_the_mode_of_the_umask_and_an_earlier_one_keeps_its_own(folder, mask, mode):
    (folder / "a.txt").chmod(0o751)
    before = os.umask(mask)
    try:
        write_output(folder / "b", b"1")
        write_output(folder / "a.txt", b"1")
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder / "b").stat().st_mode) == mode
    assert stat.S_IMODE((folder / "a.txt").stat().st_mode) == 0o751


def test_a_fifo_is_written_through(folder):
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((folder / "fifo").read_bytes()))
    reader.start()
    with Output(folder / "fifo") as output:
        output.write(b"one ")
        output.write(b"two")
    reader.join(timeout=10)
    assert read == [b"one two"]
    assert stat.S_ISFIFO((folder / "fifo").stat().st_mode)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")
def test_devices_are_written_through_and_never_replaced(folder):
    os.symlink("/dev/full", "full")
    before = os.stat("/dev/full")
    write_output(Path("/dev/null"), b"1")
    for path in ("/dev/full", "full"):
        with pytest.raises(UserError, match=re.escape(f"{path}: cannot be written (No space left on device)")):
            write_output(Path(path), b"1")
    assert os.readlink("full") == "/dev/full"
    assert os.stat("/dev/full").st_ino == before.st_ino
    assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_full_disk_keeps_the_complete_contents(folder):
    """The limit of the size of files stands for a full disk."""
    program = """import resource, signal
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6, 6))
    with Output(Path("a.txt")) as output:
        output.write(b"one\\\\n")
        output.write(b"two\\\\n")""".replace("\\\\", "\\")
    done = in_shell(program, "")
    assert (done.returncode, done.stderr) == (2, "error: a.txt: cannot be written (File too large)\n")
    assert (folder / "a.txt").read_text() == "one\n"
    done = in_shell(program.replace("one\\n", "one and two\\n"), "")
    assert done.returncode == 2
    assert (folder / "a.txt").read_text() == "one\n"
    assert not [name for name in names(folder) if name.startswith(".")]


def test_a_closed_fifo_is_no_error(folder):
    program = """import threading
    reader = threading.Thread(target=lambda: open("fifo").read(1)); reader.start()
    with Output(Path("fifo")) as output:
        for _ in range(100_000): output.write(b"line\\\\n")""".replace("\\\\", "\\")
    done = in_shell(program, "")
    assert (done.returncode, done.stderr) == (0, "")


@WITHOUT_ROOT
def test_a_file_in_a_folder_without_permission_is_written_through(folder):
    (folder / "sub" / "b").write_text("earlier")
    (folder / "sub").chmod(0o555)
    try:
        write_output(Path("sub/b"), b"new")
        assert (folder / "sub" / "b").read_text() == "new"
    finally:
        (folder / "sub").chmod(0o755)


def test_a_file_that_cannot_be_renamed_over_is_written_through(folder, monkeypatch):
    """A mount point, or a file of another user in a folder like /tmp."""

    def busy(*_):
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(os, "replace", busy)
    write_output(Path("a.txt"), b"new")
    assert (folder / "hard").read_text() == "new"


def test_long_names_can_be_replaced(folder):
    name = "ä" * 120 + ".txt"  # 244 bytes
    write_output(Path(name), b"1")
    assert Path(name).read_text() == "1"


def test_an_error_names_the_file_and_not_the_temporary_one(folder):
    with pytest.raises(OSError, match="No space") as caught, replacement(folder / "a.txt") as temporary:
        raise OSError(28, "No space", str(temporary))
    assert caught.value.filename == str(folder / "a.txt")
