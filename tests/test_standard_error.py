"""A command that succeeds writes nothing to standard error but its own words; so file descriptor 2 is compared byte by
byte, which also has what C++ code writes."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from shared.machine import has_imagenet_weights
from tasks.phoneme_recognizer.export import example_sounds
from tests.golden import make_image

ROOT = Path(__file__).parents[1]
RELEASED = {
    "captioner": "flickr8k",
    "language_model": "wikitext2",
    "phoneme_recognizer": "english",
    "translator": "multi30k-de-en",
}
PREPARING = re.compile(rb"\w+: (preparing /|test has \d|train [\d,]+, dev)")
NAMES = {"KERAS_HOME", "QUATRAIN_DATA", "QUATRAIN_PREPARED", "PATH", "HOME", "CI"}
ENVIRONMENT = {name: value for name, value in os.environ.items() if name in NAMES}


def run(folder: Path, *commands: list[str]) -> subprocess.CompletedProcess:
    """Runs commands of `quatrain` in one process, in a folder that is not the checkout."""
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import quatrain\n" + "\n".join(
        f"sys.argv = {['quatrain', *command]!r}; assert quatrain.main() == 0, {command!r}" for command in commands
    )
    return subprocess.run(
        [sys.executable, "-c", program], cwd=folder, capture_output=True, timeout=600, env=ENVIRONMENT
    )


@pytest.mark.campaign
def test_verbs_are_quiet_and_take_paths_from_the_current_folder(tmp_path):
    import soundfile

    soundfile.write(tmp_path / "speech.wav", example_sounds()[1], 16_000)
    (tmp_path / "lines.txt").write_text("Ein Hund läuft.\n\nZwei Frauen kochen.\n", encoding="utf-8")
    Image.fromarray(make_image()).save(tmp_path / "photo.png")
    caption = ["caption", "photo.png", "--attention", "attention.png", "--gallery", "gallery.html"]
    done = run(
        tmp_path,
        ["doctor"],
        ["translate", "--file", "lines.txt", "--output", "translations.txt", "--alignment", "alignment.png"],
        ["score", "translator", "Ein Hund läuft.", "A dog is running."],
        ["score", "--file", "lines.txt", "--html", "surprisal.html"],
        ["generate", "--prompt", "The river", "--max-tokens", "5"],
        ["fill", "the ___ of the city"],
        ["recognize", "speech.wav", "--textgrid", "speech.TextGrid", "--plot", "speech.png"],
        *([caption] if has_imagenet_weights() else []),
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert (b"\nphoto.png: a " in done.stdout) == has_imagenet_weights()
    translations = (tmp_path / "translations.txt").read_text(encoding="utf-8").splitlines()
    assert translations[0] == "A dog is running."
    assert translations[1] == ""
    assert {"surprisal.html", "speech.TextGrid", "speech.png", "alignment-1.png"} <= {
        p.name for p in tmp_path.iterdir()
    }


@pytest.mark.campaign
def test_exports_are_quiet(tmp_path):
    """One after the other in one process."""
    folders = {task: ROOT / "saved_models" / task / name for task, name in RELEASED.items()}
    if not has_imagenet_weights():
        del folders["captioner"]
    for task, folder in folders.items():
        shutil.copytree(folder, tmp_path / task, ignore=shutil.ignore_patterns("export"))
    done = run(tmp_path, *(["export", task, str(tmp_path / task)] for task in folders))
    own = [line for line in done.stderr.splitlines() if not PREPARING.match(line)]  # examples are of the run's corpus
    assert (done.returncode, own) == (0, [])
    assert done.stdout.decode().splitlines() == [str(tmp_path / task / "export" / "1") for task in folders]


def test_errors_are_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "quatrain.py"), "caption", "missing.jpg"],
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"error: missing.jpg does not exist")
    assert done.stderr.count(b"\n") == 1
