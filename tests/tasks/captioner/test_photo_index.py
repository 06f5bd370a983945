"""An index: what it computes, keeps and drops, and that a search is exact."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tasks.captioner.photo_index as module
from shared.errors import UserError
from shared.inputs import find_inputs
from shared.media import IMAGES
from shared.runs import read_tensors, write_tensors
from tasks.captioner.finder import WIDTH
from tasks.captioner.photo_index import PhotoIndex, absolute

GREY = [10, 200, 90]


class MeanGrey:
    """A finder whose vector of an image has its mean grey first; counts the images."""

    fingerprint = "0123"
    count = 0

    def of_images(self, images):
        self.count += len(images)
        vectors = np.zeros((len(images), WIDTH), np.float32)
        vectors[:, 0] = [image.mean() / 256 for image in images]
        return vectors


@pytest.fixture
def folder(tmp_path):
    for i, grey in enumerate(GREY):
        draw(tmp_path / f"{i}.png", grey)
    return tmp_path


def draw(path: Path, grey: int) -> None:
    Image.new("L", (4 + grey % 7, 5), grey).save(path)


def updated(folder: Path, finder: MeanGrey, file: Path) -> tuple[PhotoIndex, list[str]]:
    index = PhotoIndex(file, finder)
    return index, index.update(find_inputs(IMAGES, [str(folder)]))


def found(index: PhotoIndex, top: int = 9, among=None) -> list[str]:
    return [Path(path).name for path, _ in index.search(np.eye(WIDTH)[0], top, among)]


def test_only_what_is_new_or_has_changed_is_computed(folder, tmp_path_factory):
    file = tmp_path_factory.mktemp("index") / "photos.index"
    finder = MeanGrey()
    index, _ = updated(folder, finder, file)
    assert (finder.count, found(index)) == (3, ["1.png", "2.png", "0.png"])
    assert index.search(np.eye(WIDTH)[0], 1) == [(absolute(folder / "1.png"), pytest.approx(200 / 256))]
    assert found(updated(folder, finder, file)[0]) == ["1.png", "2.png", "0.png"]
    assert finder.count == 3
    draw(folder / "0.png", 250)
    draw(folder / "4.png", 240)
    (folder / "1.png").unlink()
    index, _ = updated(folder, finder, file)
    assert (finder.count, found(index)) == (5, ["0.png", "4.png", "2.png"])
    assert PhotoIndex(file, finder).paths == index.paths


def test_photos_of_a_folder_that_is_gone_are_kept(folder, tmp_path_factory):
    other = tmp_path_factory.mktemp("other")
    finder, file = MeanGrey(), other / "photos.index"
    updated(folder, finder, file)
    away = folder.rename(folder.with_name("away"))
    draw(other / "x.png", 5)
    index, _ = updated(other, finder, file)
    assert len(index.paths) == 4
    away.rename(folder)
    assert found(updated(folder, finder, file)[0]) == ["1.png", "2.png", "0.png", "x.png"]
    assert finder.count == 4


def test_a_search_may_be_among_some(folder, tmp_path_factory):
    index, _ = updated(folder, MeanGrey(), tmp_path_factory.mktemp("index") / "photos.index")
    among = [absolute(folder / name) for name in ("0.png", "2.png", "2.png", "none.png")]
    assert found(index, among=among) == ["2.png", "0.png"]
    assert found(index, top=1, among=among) == ["2.png"]
    assert found(index, among=[]) == []


def test_a_photo_that_cannot_be_read_is_reported_and_not_kept(folder, tmp_path_factory, capsys):
    file, finder = tmp_path_factory.mktemp("index") / "photos.index", MeanGrey()
    updated(folder, finder, file)
    (folder / "2.png").write_bytes(b"no image")
    index, failed = updated(folder, finder, file)
    assert failed == [str(folder / "2.png")]
    assert "2.png" in capsys.readouterr().err
    assert found(index) == found(PhotoIndex(file, finder)) == ["1.png", "0.png"]


def test_an_interruption_keeps_what_is_done(folder, tmp_path_factory, monkeypatch):
    file, finder = tmp_path_factory.mktemp("index") / "photos.index", MeanGrey()
    monkeypatch.setattr(module, "SAVE_EVERY", 1)
    monkeypatch.setattr(module, "READER", replace(module.READER, max_items=1))
    of_images = finder.of_images

    def interrupted(images):
        if finder.count == 2:
            raise KeyboardInterrupt
        return of_images(images)

    monkeypatch.setattr(finder, "of_images", interrupted)
    index = PhotoIndex(file, finder)
    with pytest.raises(KeyboardInterrupt):
        index.update(find_inputs(IMAGES, [str(folder)]))
    assert [Path(path).name for path in PhotoIndex(file, finder).paths] == ["0.png", "1.png"]


def test_the_index_of_another_model_is_made_anew(folder, tmp_path_factory, capsys):
    file, finder = tmp_path_factory.mktemp("index") / "photos.index", MeanGrey()
    updated(folder, finder, file)
    finder.fingerprint = "4567"
    index, failed = updated(folder, finder, file)
    assert "of another model; the index is made anew" in capsys.readouterr().err
    assert (len(index.paths), failed, finder.count) == (3, [], 6)


def test_a_file_that_is_no_index_is_refused(folder, tmp_path_factory):
    """It may be anything that --index names by a slip, so it is not replaced."""
    file, finder = tmp_path_factory.mktemp("index") / "photos.index", MeanGrey()
    updated(folder, finder, file)
    whole = read_tensors(file)
    os.truncate(file, 200)
    with pytest.raises(UserError, match="not an index of photos, or damaged; delete it"):
        PhotoIndex(file, finder)
    file.write_text("notes")
    with pytest.raises(UserError, match="not an index of photos"):
        PhotoIndex(file, finder)
    write_tensors(file, {**whole, "stamps": whole["stamps"][:2]})
    with pytest.raises(UserError, match="do not fit together"):
        PhotoIndex(file, finder)
