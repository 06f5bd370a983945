"""Folders of photos with captions: where captions and splits come from, and what is left out."""

import json
import shutil
from pathlib import Path

import pytest

from datasets import CorpusError, photo_folder
from datasets.photo_folder import PERIOD, PhotoFolder, fingerprint, gives_splits, read_photos


@pytest.fixture(autouse=True)
def fresh():
    """Folders are read once in a process; in these tests they change."""
    read_photos.cache_clear()


def files(folder: Path, **contents: str) -> Path:
    """A folder with files of these contents; `__` in a name stands for a slash, `_dot_` for a dot."""
    for name, content in contents.items():
        path = folder / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return folder


def captions(corpus: object, data_dir: Path | None = None) -> dict[str, list[str]]:
    read_photos.cache_clear()
    return {photo.name: list(photo.captions) for photo in read_photos(str(corpus), data_dir)}


def splits(corpus: object, made=("dev", "test")) -> dict[str, set[str]]:
    """The names of the photos of each split."""
    read_photos.cache_clear()
    return {
        split: {photo.name for photo in PhotoFolder.load(str(corpus), split, None, made).photos}
        for split in ("train", "dev", "test")
    }


def album(folder: Path, count: int) -> Path:
    """Photos of different contents, some in a subfolder, each with a text beside it."""
    for i in range(count):
        name = f"{'deep__' * (i % 3 == 0)}{i}"
        files(folder, **{f"{name}_dot_jpg": f"photo {i}", f"{name}_dot_txt": f"caption {i}\n\nanother one\n"})
    return folder


def test_texts_beside_the_photos(tmp_path, capsys):
    files(tmp_path, a_dot_JPG="A", a_dot_txt="a dog\n a  big dog \n", b_dot_heic="B", b_dot_heic_dot_txt="a cat")
    files(tmp_path, c_dot_png="C", d_dot_tiff="D", d_dot_caption="a pig", deep__e_dot_webp="E", deep__e_dot_txt=" \n")
    files(tmp_path, notes_dot_md="x", _dot_hidden_dot_jpg="H", _dot_hidden_dot_txt="a ghost")
    assert captions(tmp_path) == {"a.JPG": ["a dog", "a big dog"], "b.heic": ["a cat"], "d.tiff": ["a pig"]}
    files(tmp_path, f_dot_svg="F", f_dot_txt="a drawing")
    assert capsys.readouterr().err == f"{tmp_path}: 2 photos without a caption: c.png, deep/e.webp\n"
    captions(tmp_path)
    assert capsys.readouterr().err.splitlines()[1] == f"{tmp_path}: 1 texts without a photo: f.txt"


def test_a_file_names_the_photos_by_path_name_or_stem(tmp_path, capsys):
    files(tmp_path, x__a_dot_jpg="1", y__a_dot_jpg="2", y__b_dot_jpg="3", c_dot_png="4", d_dot_png="5")
    rows = "x/a.jpg,one\n/home/y/a.jpg,two\nB.jpg,three\nc,four\na.jpg,both\nz.jpg,no\n"
    files(tmp_path, captions_dot_csv=f"image,caption\n{rows}")
    assert captions(tmp_path) == {"c.png": ["four"], "x/a.jpg": ["one"], "y/a.jpg": ["two"], "y/b.jpg": ["three"]}
    error = capsys.readouterr().err.splitlines()
    assert error == [
        f"{tmp_path}: 1 photos without a caption: d.png",
        f"{tmp_path}: 1 names of several photos: a.jpg",
        f"{tmp_path}: 1 names of no photo: z.jpg",
    ]


def test_a_file_of_captions_and_the_folder_of_its_photos(tmp_path):
    """Beside it, above it as in COCO, or named."""
    coco = {"images": [{"id": 1, "file_name": "7.jpg"}], "annotations": [{"image_id": 1, "caption": "a bus"}]}
    files(tmp_path / "coco", annotations__captions_val2017_dot_json=json.dumps(coco), val2017__7_dot_jpg="7")
    path = tmp_path / "coco" / "annotations" / "captions_val2017.json"
    assert captions(path) == captions(tmp_path / "coco") == {"val2017/7.jpg": ["a bus"]}
    shutil.copytree(tmp_path / "coco" / "val2017", tmp_path / "elsewhere")
    assert captions(path, tmp_path / "elsewhere") == {"7.jpg": ["a bus"]}
    assert read_photos(str(path))[0].split == "dev"


def test_karpathys_file_comes_before_others(tmp_path):
    images = [
        {"filename": f"{s}.jpg", "split": s, "sentences": [{"raw": s}]} for s in ("train", "restval", "val", "test")
    ]
    files(tmp_path, dataset_flickr30k_dot_json=json.dumps({"images": images, "dataset": "flickr30k"}))
    files(tmp_path, **{f"images__{image['filename'].replace('.', '_dot_')}": image["split"] for image in images})
    files(tmp_path, results_dot_csv="image|caption\ntrain.jpg|of the table\n")
    assert captions(tmp_path)["images/train.jpg"] == ["train"]
    assert splits(tmp_path) == {
        "train": {"images/train.jpg", "images/restval.jpg"}, "dev": {"images/val.jpg"}, "test": {"images/test.jpg"},
    }  # fmt: skip
    assert gives_splits(str(tmp_path))


def test_flickr8ks_lists_give_splits(tmp_path):
    files(tmp_path, **{f"Images__{name}_dot_jpg": name for name in "abcd"})
    files(tmp_path, Flickr8k_dot_token_dot_txt="".join(f'{n}.jpg#{i}\t{n} {i} " .\n' for n in "abcd" for i in range(2)))
    files(tmp_path, Flickr8k_dot_lemma_dot_token_dot_txt="a.jpg#0\tno\n", readme_dot_txt="train and test\n")
    files(tmp_path, Flickr_8k_dot_trainImages_dot_txt="a.jpg\nb.jpg\n", Flickr_8k_dot_devImages_dot_txt="c.jpg\n")
    files(tmp_path, Flickr_8k_dot_testImages_dot_txt="d.jpg\n")
    assert captions(tmp_path)["Images/a.jpg"] == ['a 0 " .', 'a 1 " .']
    assert splits(tmp_path) == {
        "train": {"Images/a.jpg", "Images/b.jpg"}, "dev": {"Images/c.jpg"}, "test": {"Images/d.jpg"},
    }  # fmt: skip


def test_folders_give_splits_and_a_missing_one_is_made(tmp_path):
    for split in ("train", "validation"):
        album(tmp_path / split, 30)
    found = splits(tmp_path)
    assert found["dev"] == {name for name in captions(tmp_path) if name.startswith("validation/")}
    assert found["test"]
    assert all(name.startswith("train/") for name in found["train"] | found["test"])


def test_splits_are_made_by_content_and_stay_when_photos_are_added(tmp_path):
    before = splits(album(tmp_path, 60))
    assert all(before.values())
    assert len(before["dev"]) + len(before["test"]) < 60 * 4 / PERIOD
    after = splits(album(tmp_path, 90))
    assert all(before[split] < after[split] for split in before)
    (tmp_path / "1.jpg").rename(tmp_path / "renamed.jpg")
    (tmp_path / "1.txt").rename(tmp_path / "renamed.txt")
    shutil.copy(tmp_path / "renamed.jpg", tmp_path / "copy.jpg")
    shutil.copy(tmp_path / "renamed.txt", tmp_path / "copy.txt")
    (split,) = [split for split, names in after.items() if "1.jpg" in names]
    assert {"renamed.jpg", "copy.jpg"} <= splits(tmp_path)[split]


def test_few_photos_are_split_too(tmp_path):
    assert all(splits(album(tmp_path, 3)).values())
    (tmp_path / "2.jpg").unlink()
    with pytest.raises(CorpusError, match="2 different photos are too few to be split for training"):
        splits(tmp_path)


def test_a_split_that_is_not_made_leaves_its_photos_in_training(tmp_path):
    album(tmp_path, 40)
    photos = PhotoFolder.load(str(tmp_path), "train", None, ())
    assert len(photos) == 40
    others = PhotoFolder.load(str(tmp_path), "dev")
    assert len(photos.without([others])) == 40 - len(others)
    first, *_, last = (photo.path for photo in photos.photos)
    records = [{"image": path.read_bytes(), "name": "of another corpus"} for path in (first, last)]
    assert photos.without([records]).photos == photos.photos[1:-1]


def test_the_fingerprint_is_of_photos_captions_and_splits(tmp_path):
    def after(**contents: str) -> str:
        files(tmp_path, **contents)
        read_photos.cache_clear()
        return fingerprint(str(tmp_path))

    album(tmp_path, 5)
    seen = [after(), after(new_dot_jpg="new"), after(new_dot_txt="a new one"), after(new_dot_jpg="newer")]
    seen += [after(new_dot_txt="another one"), after(other_dot_md="x")]
    assert seen[0] == seen[1]  # without a caption
    assert seen[4] == seen[5]
    assert len(set(seen)) == 4


def test_records_are_read_on_access(tmp_path):
    photos = PhotoFolder.load(str(album(tmp_path, 4)), "all")
    assert [record["name"] for record in photos[1:3]] == ["2.jpg", "deep/0.jpg"]
    assert photos[1] == {"image": b"photo 2", "name": "2.jpg", "captions": ["caption 2", "another one"]}


@pytest.mark.parametrize(
    ("corpus", "data_dir", "message"),
    [
        ("none", None, "a folder of photos with captions, or a file of captions, was expected"),
        ("", None, "a folder of photos with captions, or a file of captions, was expected"),
        ("empty", None, "no photos in it or its subfolders"),
        ("bare", None, "no photo has a caption; a text file beside each, or a file that names the photos"),
        ("bare", "bare", "the folder of the photos of a file of captions was expected"),
        ("bare/bad.csv", None, "is no file of captions"),
        ("flickr30k", None, "flickr30k: $QUATRAIN_DATA is not set; name one with --data-dir; expected files: dataset_"),
        ("coco", "none", "coco: there is no folder "),
    ],
)
def test_what_is_no_corpus_is_refused_in_one_line(tmp_path, monkeypatch, corpus, data_dir, message):
    monkeypatch.delenv("QUATRAIN_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    files(tmp_path, empty__a_dot_md="x", bare__a_dot_jpg="x", bare__bad_dot_csv="x,y\n")
    with pytest.raises(CorpusError) as error:
        read_photos(corpus, data_dir and Path(data_dir))
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_flickr30k_is_found_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("QUATRAIN_DATA", str(tmp_path))
    files(
        tmp_path, flickr30k__results_20130124_dot_token="1.jpg#0\ta man\n", flickr30k__flickr30k_images__1_dot_jpg="1"
    )
    assert captions("flickr30k") == {"flickr30k_images/1.jpg": ["a man"]}
    files(tmp_path / "flickr30k" / "images", **{"1_dot_txt": "another"})
    assert captions("flickr30k", tmp_path / "flickr30k") == captions("flickr30k")
    assert set(photo_folder.NAMED) == {"flickr30k", "coco"}
