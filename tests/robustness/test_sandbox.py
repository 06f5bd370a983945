"""A campaign writes to its own folder alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from shared.errors import UserError
from tests.robustness.sandbox import MARK, OUTSIDE, claim, written_paths

ROOT = Path(__file__).parents[2]


def test_new_and_marked_folders_are_claimed(tmp_path):
    own = claim(tmp_path / "a" / "own")
    assert own == tmp_path / "a" / "own"
    assert (own / MARK).is_file()
    assert claim(own) == own
    fresh = claim(None)
    assert fresh.name.startswith("quatrain-robustness-")
    assert [path.name for path in fresh.iterdir()] == [MARK]
    (fresh / MARK).unlink()
    fresh.rmdir()


@pytest.mark.parametrize("name", ["full", "empty", "link", "file"])
def test_folders_of_others_are_refused(tmp_path, name):
    for folder in ("full", "empty", "own"):
        (tmp_path / folder).mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    claim_mark = tmp_path / "own" / MARK
    claim_mark.touch()
    (tmp_path / "link").symlink_to("own")
    (tmp_path / "file").write_text("a file")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=f"--folder .*{name}: not a folder of a campaign"):
        claim(tmp_path / name)
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("campaign", ["files", "commands", "kills"])
@pytest.mark.slow
def test_every_campaign_refuses_a_folder_of_others_before_it_begins(tmp_path, campaign):
    program = f"""
import tests.robustness.{campaign} as campaign
from tests.robustness.report import as_command
campaign.preload = campaign.tiny.shrink_corpora = lambda: None
import sys; sys.argv = ["campaign", "--folder", {str(tmp_path)!r}]
as_command(campaign.main)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: --folder {tmp_path}: not a folder of a campaign")
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_written_paths(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    descriptor = os.open(tmp_path, os.O_RDONLY)
    target = str(tmp_path / "target")
    assert written_paths("open", (target, "r", os.O_RDONLY)) == []
    assert written_paths("open", (7, "w", os.O_WRONLY)) == []
    assert written_paths("open", (str(tmp_path / "link"), "w", os.O_WRONLY)) == [target]
    assert written_paths("os.remove", ("link", descriptor)) == [str(tmp_path / "link")]
    assert written_paths("os.rename", (b"link", target, descriptor, -1)) == [str(tmp_path / "link"), target]
    assert written_paths("os.mkdir", (target, 0o777, -1)) == [target]
    assert written_paths("os.symlink", ("source", target, -1)) == [target]
    assert written_paths("import", (target,)) == []
    os.close(descriptor)


def test_the_guard_refuses_writes_elsewhere(tmp_path):
    own, other = tmp_path / "own", tmp_path / "other"
    own.mkdir()
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    (own / "link").symlink_to(other / "letter.txt")
    program = f"""
import os
from pathlib import Path
from tests.robustness.sandbox import guard
own, other = Path({str(own)!r}), Path({str(other)!r})
guard(own)
(own / "new").write_text("new")
os.rename(own / "new", own / "moved")
Path("/dev/null").write_text("nothing")
for write in (
    lambda: (other / "letter.txt").write_text("x"),
    lambda: (own / "link").write_text("x"),
    lambda: (other / "letter.txt").unlink(),
    lambda: os.replace(own / "moved", other / "letter.txt"),
    lambda: os.replace(own / "moved", "/dev/null"),
    lambda: (other / "new").mkdir(),
    lambda: (own / ".." / "new").touch(),
):
    try:
        write()
    except PermissionError as error:
        print(error.strerror)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{OUTSIDE}\n" * 7, "")
    assert (other / "letter.txt").read_text() == "dear"
    assert sorted(path.name for path in own.iterdir()) == ["link", "moved"]
