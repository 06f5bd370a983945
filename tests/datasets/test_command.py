"""`python -m datasets`: preparation of corpora, and their images as files."""

import io

import numpy as np
import pytest
from PIL import Image

import datasets
from datasets.__main__ import main
from shared.media import read_image


def encoded(image_format: str) -> bytes:
    with io.BytesIO() as file:
        Image.fromarray(np.zeros((4, 5, 3), np.uint8)).save(file, image_format)
        return file.getvalue()


@pytest.fixture
def corpus(monkeypatch):
    records = [{"name": "a", "image": encoded("PNG")}, {"name": "b.jpg", "image": encoded("JPEG")}]
    monkeypatch.setattr(datasets, "load", lambda *_: records)


def test_images_are_named_after_their_records(corpus, tmp_path, capsys):
    folder = tmp_path / "new" / "folder"
    assert main(["images", "scenes", "test", str(folder)]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.jpg"]
    assert all(read_image(path).shape == (4, 5, 3) for path in folder.iterdir())


def test_count_limits_the_number_of_images(corpus, tmp_path):
    assert main(["images", "scenes", "test", str(tmp_path), "--count", "1"]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_files_of_the_user_are_not_replaced(corpus, tmp_path, capsys):
    arguments = ["images", "scenes", "test", str(tmp_path)]
    assert main(arguments) == main(arguments) == 0  # the same files
    (tmp_path / "b.jpg").write_bytes(b"mine")
    capsys.readouterr()
    assert main(arguments) == 2
    assert (
        capsys.readouterr().err
        == f"error: {tmp_path / 'b.jpg'} exists with another content; another folder was expected\n"
    )
    assert (tmp_path / "b.jpg").read_bytes() == b"mine"


@pytest.mark.parametrize("count", ["0", "-1", "x"])
def test_an_invalid_count_is_refused(corpus, tmp_path, capsys, count):
    with pytest.raises(SystemExit) as caught:
        main(["images", "scenes", "test", str(tmp_path), "--count", count])
    assert caught.value.code == 2
    assert f"argument --count: {count!r} is not a whole number of at least 1" in capsys.readouterr().err


def test_an_output_folder_that_is_a_file_is_refused(corpus, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["images", "scenes", "test", str(tmp_path / "file")]) == 2
    error = capsys.readouterr().err
    assert error == f"error: {tmp_path / 'file'} is a file; a folder, new or not, was expected\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("images python_manual", "python_manual has no image; the corpora whose records have one are scenes, flickr8k"),
        ("images scenes/captions", "scenes/captions has no image; the corpora whose records have one are scenes, fl"),
        ("sounds scenes", "scenes has no audio; the corpora whose records have one are spoken_scenes, spoken_manual"),
        ("images nothing", "unknown corpus 'nothing'; expected one of scenes, "),
    ],
)
def test_a_corpus_without_images_or_sounds_is_refused_before_it_is_prepared(
    corpus, tmp_path, capsys, arguments, message
):
    assert main([*arguments.split(), "test", str(tmp_path / "new")]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {message}")
    assert error.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_wrong_usage_is_one_line_of_error(tmp_path, capsys):
    for arguments in (["images", "scenes", "validation", str(tmp_path)], ["pictures"], []):
        with pytest.raises(SystemExit) as caught:
            main(arguments)
        assert caught.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith("error: ")
        assert error.count("\n") == 1


def test_a_missing_corpus_is_one_line_of_error(tmp_path, capsys):
    assert main(["prepare", "flickr8k", "--data-dir", str(tmp_path / "none")]) == 2
    error = capsys.readouterr().err
    assert "is not a folder with files" in error
    assert error.count("\n") == 1
