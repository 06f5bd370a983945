"""Corpora are prepared and read alike with and without TensorFlow; files of the user are read without TFDS too.

These tests run in both environments, and compare with the same constants.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import datasets
from datasets.builders import extracted
from datasets.flickr8k import flickr8k_dataset_builder as flickr8k
from datasets.penn_treebank import penn_treebank_dataset_builder as penn_treebank
from datasets.timit import timit_dataset_builder as timit

pytestmark = pytest.mark.any_backend
ROOT = Path(__file__).parents[2]


@pytest.fixture
def dummy(monkeypatch, tmp_path):
    """Returns the folder of a corpus' dummy data, whose counts are expected."""
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path / "prepared"))
    for split, count in {"train": 3, "dev": 1, "test": 2}.items():
        monkeypatch.setitem(flickr8k.EXPECTED, split, (count,))
    for split, count in {"train": 2, "dev": 1, "test": 1}.items():
        monkeypatch.setitem(timit.EXPECTED, split, count)
    monkeypatch.setattr(penn_treebank.Builder, "EXPECTED", {"train": (3, 13), "dev": (1, 5), "test": (2, 9)})
    return lambda name: ROOT / "datasets" / name / "dummy_data"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("flickr8k", "45fe8ef6fda0f6f2"),  # images and sequences of texts
        ("timit", "a0586d67e34771b1"),  # sounds and times
        ("penn_treebank", "0ecbce99421d5955"),  # texts
    ],
)
def test_the_fingerprint_is_the_same_everywhere(dummy, name, expected):
    """It is a hash of all records; runs store it with their weights."""
    assert datasets.fingerprint(name, dummy(name)) == expected


def test_a_prepared_corpus_is_read_where_it_was_copied_to(dummy, monkeypatch, tmp_path):
    """Without the files that it was prepared from."""
    shutil.copytree(dummy("penn_treebank"), tmp_path / "data" / "penn_treebank")
    monkeypatch.setenv("QUATRAIN_DATA", str(tmp_path / "data"))
    expected = datasets.fingerprint("penn_treebank")
    shutil.copytree(datasets.prepared_folder(), tmp_path / "copy")
    monkeypatch.delenv("QUATRAIN_DATA")
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path / "copy"))
    assert datasets.fingerprint("penn_treebank") == expected
    assert len(datasets.load("penn_treebank", "train")) == 3


def test_samples_stay_int16(dummy):
    record = datasets.load("timit", "dev", dummy("timit"))[0]
    assert {key: value.dtype for key, value in record.items() if isinstance(value, np.ndarray)} == {
        "audio": np.int16,
        "starts": np.int32,
        "ends": np.int32,
    }


def write_zip(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(folder.rglob("*.txt")):
            archive.write(file, file.relative_to(folder))


def write_tar(path: Path, folder: Path) -> None:
    with tarfile.open(path, "w:gz") as archive:
        archive.add(folder, ".")


@pytest.mark.parametrize(("name", "write"), [("a.zip", write_zip), ("a.tar.gz", write_tar)])
def test_archives_are_extracted_once(tmp_path, name, write):
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "a.txt").write_text("text")
    archive = tmp_path / name
    write(archive, folder)
    manager = SimpleNamespace(download_dir=tmp_path / "downloads")
    first = extracted(manager, archive)
    assert (first / "inner" / "a.txt").read_text() == "text"
    assert list(first.parent.iterdir()) == [first]  # no temporary folder is left
    archive.unlink()
    assert extracted(manager, archive) == first


def test_a_damaged_archive_leaves_no_files(tmp_path):
    archive = tmp_path / "a.zip"
    (tmp_path / "a.txt").write_text("text" * 100)
    write_zip(archive, tmp_path)
    archive.write_bytes(archive.read_bytes()[:-40])
    manager = SimpleNamespace(download_dir=tmp_path / "downloads")
    with pytest.raises(Exception, match="not a zip file"):
        extracted(manager, archive)
    assert list((tmp_path / "downloads" / "extracted").iterdir()) == []


def test_nothing_imports_tensorflow_and_files_of_the_user_not_even_tfds(tmp_path):
    """In a process of its own, because the tests of this one import both."""
    (tmp_path / "a.en").write_text("".join(f"sentence {i}\n" for i in range(300)))
    (tmp_path / "a.de").write_text("".join(f"Satz {i}\n" for i in range(300)))
    program = """
import sys
from pathlib import Path
import datasets
from datasets import aligned_files, cmudict, sound_folder
assert len(aligned_files.read_split({"train": (Path("a.en"), Path("a.de"))}, "train")) > 200
assert "tensorflow_datasets" not in sys.modules
assert len(datasets.load("python_manual", "dev")) > 100
datasets.fingerprint("python_manual")
assert "tensorflow_datasets" in sys.modules
assert not {"tensorflow", "keras", "jax"} & sys.modules.keys()
"""
    environment = {**os.environ, "QUATRAIN_PREPARED": str(tmp_path / "prepared"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
