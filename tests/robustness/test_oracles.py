"""What a campaign counts as a fault: each oracle finds the fault it is for, and none in a right answer."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.robustness import files, images, sounds, texts
from tests.robustness.cases import Case
from tests.robustness.mutations import MUTATORS, cut, mutate
from tests.robustness.report import Report
from tests.robustness.workers import ANSWERED, REFUSED, SHORT, TRACEBACK, Outcome

ROOT = Path(__file__).parents[2]


def found(draw, wanted: str) -> Case:
    """The first case whose description has these words."""
    for seed in range(5000):
        case = draw(np.random.default_rng(seed), Path())
        if wanted in case.description:
            return case
    raise AssertionError(wanted)


def test_cases_depend_on_the_seed_and_the_key_alone():
    one, again, other = (mutate(files.generator(seed, ("images", 3)), b"content" * 9) for seed in (1, 1, 2))
    assert one == again != other
    assert files.generator(1, ("images", 3)).random() != files.generator(1, ("sounds", 3)).random()


@pytest.mark.parametrize("mutator", {function.__name__: function for function in MUTATORS}.values())
def test_mutators_change_bytes(mutator):
    content = bytes(range(256))
    results = [mutator(np.random.default_rng(seed), content) for seed in range(20)]
    assert sum(result.content != content for result in results) > 15
    assert all(result.is_cut == (mutator is cut) for result in results)
    assert all(content.startswith(result.content) for result in results if result.is_cut)


def test_lost_pixels_are_found():
    case = found(images.draw, "ended by FFD9")
    pixels = images.pixels_of(case.description.partition(":")[0])
    changed = pixels.copy()
    changed[-1, :2] = 255 - changed[-1, :2]
    assert case.missing(pixels) == ""
    assert case.missing(changed) == f"2 of {pixels[..., 0].size} pixels"


def test_structures_of_images():
    png = images.seeds()["png"]
    assert images.join(list(images.chunks(png))) == png
    np.testing.assert_array_equal(images.pixels_of("png many parts"), images.pixels_of("png"))
    np.testing.assert_array_equal(images.pixels_of("png interlaced"), images.pixels_of("png"))


def test_lost_samples_are_found():
    case = found(sounds.draw, "FLAC PCM_16: cut at")
    assert case.missing(np.zeros(sounds.SAMPLES)) == ""
    assert case.missing(np.zeros(sounds.SAMPLES - 7)) == f"7 of {sounds.SAMPLES} samples"


@pytest.mark.parametrize(
    ("content", "lines"), [(b"", 0), (b"a", 1), (b"a\n", 1), (b"a\r\n\nb", 3), (b"\xe2\x80\xa8\n", 1)]
)
def test_lines_are_counted_in_bytes(content, lines):
    assert texts.count_lines(content) == lines


@pytest.mark.parametrize(
    ("read", "verdict", "detail"),
    [
        ("lambda: [1, 2, 3]", ANSWERED, ""),
        ("lambda: [1]", SHORT, "lacks 2 of 3 items"),
        ("lambda: [print('error: two are lost', file=sys.stderr)]", ANSWERED, ""),
        ("refuse('is damaged')", REFUSED, "is damaged"),
        ("refuse('two\\nlines')", files.WRONG_LINE, "two lines"),
        ("refuse('')", files.WRONG_LINE, ""),
        ("lambda: 1 / 0", TRACEBACK, "ZeroDivisionError: division by zero"),
        ("lambda: time.sleep(60)", "hang", "no answer"),
        ("lambda: os.kill(os.getpid(), 11)", "process died", "SIGSEGV"),
        ("lambda: bytearray(10**11)", TRACEBACK, "MemoryError"),
    ],
)
def test_verdicts(tmp_path, read, verdict, detail):
    """Each verdict, of a case in a process of its own; the case after it is judged all the same."""
    program = f"""
import os, sys, time
from pathlib import Path
from shared.errors import UserError
from tests.robustness import files, texts
from tests.robustness.cases import Case
from tests.robustness.workers import run

def refuse(message):
    def read():
        raise UserError(message)
    return read

def draw(rng, folder):
    return Case(description="a case", read={read}, missing=texts.fewer("items", 3))

files.KINDS = dict(tried=(draw, 1.0), other=(lambda rng, folder: Case(description="", read=lambda: [1]), 1.0))
keys = [("tried", 0), ("other", 0)]
judge = lambda key: files.judge(1, key, Path({str(tmp_path)!r}))
for outcome in run(keys, judge, Path({str(tmp_path)!r}), jobs=1, seconds=1.0):
    print(outcome.key[0], outcome.verdict, outcome.detail, sep="|")
"""
    command = [sys.executable, "-W", "ignore", "-c", program]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120)
    first, second = done.stdout.splitlines()
    assert first.startswith(f"tried|{verdict}|{detail}"), done
    assert second == f"other|{ANSWERED}|"


def test_the_report_has_rows_to_paste_and_cases_to_repeat(capsys):
    report = Report("files", "python -m x --seed 1", groups=("images", "sounds"))
    report.add(Outcome(("images", 0), ANSWERED, ""))
    report.add(Outcome(("images", 1), REFUSED, "is damaged"))
    assert report.exit_code == 0
    report.add(Outcome(("images", 2), TRACEBACK, "KeyError: 'a'", "cut at 3"))
    report.print(columns=(ANSWERED, REFUSED))
    output = capsys.readouterr().out
    assert "| files | cases | answered | refused in one line | traceback |" in output
    assert "| images | 3 | 1 | 1 | 1 |\n| sounds | 0 | 0 | 0 | 0 |\n| all | 3 | 1 | 1 | 1 |" in output
    assert "python -m x --seed 1 --case 'images:2'" in output
    assert report.exit_code == 1
