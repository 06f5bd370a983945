"""`quatrain` from any folder, and its classes beside another package named `datasets`."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import quatrain

ROOT = Path(__file__).parents[1]


def python(program: str, folder: Path, *paths: Path) -> subprocess.CompletedProcess:
    """Runs a program in a folder, with further entries of `sys.path` in front."""
    program = f"import sys; sys.path[:0] = {[str(path) for path in paths]!r}\n{program}"
    return subprocess.run([sys.executable, "-c", program], cwd=folder, capture_output=True, text=True, timeout=120)


@pytest.fixture
def other_datasets(tmp_path) -> Path:
    """A folder with a package `datasets` as Hugging Face's: a user's program imports both."""
    package = tmp_path / "site" / "datasets"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("def load_dataset(name):\n    return name\n")
    return package.parent


@pytest.mark.campaign
@pytest.mark.parametrize("first", ["import datasets", "import quatrain; quatrain.Translator"])
def test_beside_another_package_named_datasets(first, other_datasets, tmp_path):
    """Both can be imported, in either order, and ours translates."""
    program = f"""
{first}
import datasets
from quatrain import Translator
print(Translator.load("multi30k-de-en")(["Ein Hund läuft."])[0][0].text)
print(datasets.load_dataset("imdb"))
"""
    done = python(program, tmp_path, other_datasets, *([] if _is_installed() else [ROOT]))
    assert done.stdout.splitlines() == ["A dog is running.", "imdb"]


def _is_installed() -> bool:
    """Whether `quatrain` is importable without the checkout in `sys.path`, as the Makefile installs it."""
    done = subprocess.run([sys.executable, "-c", "import quatrain"], cwd="/", capture_output=True)
    return done.returncode == 0


def test_the_classes_are_loaded_lazily():
    done = python("import quatrain; assert not {'keras', 'tasks', 'shared'} & sys.modules.keys()", Path("/"), ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert set(quatrain.PUBLIC) <= set(dir(quatrain))
    for name in quatrain.__all__:
        assert getattr(quatrain, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Painter'"):
        quatrain.Painter  # noqa: B018


def test_without_a_checkout_one_line_says_so(tmp_path):
    """As after `pip install .`, which copies this module alone."""
    shutil.copy(ROOT / "quatrain.py", tmp_path)
    done = subprocess.run([sys.executable, "quatrain.py", "doctor"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("error: quatrain runs from its checkout")
    imported = python("from quatrain import Translator", tmp_path, tmp_path)
    assert "ImportError: quatrain runs from its checkout" in imported.stderr


def test_help_names_the_command_as_it_was_called(tmp_path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "quatrain.py"), "train", "translator", "--help"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert done.stdout.startswith("usage: quatrain train translator [scenes|")
    assert "python -m tasks.translator.train" not in done.stdout
