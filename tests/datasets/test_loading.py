"""`datasets.load`: search, preparation and reading of corpora, and their errors."""

import os
import shutil
import subprocess
import sys
import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

import datasets
from datasets.aligned_files import assign_splits
from datasets.flickr8k import flickr8k_dataset_builder
from datasets.flickr8k.flickr8k_dataset_builder import find_problem, read_captions
from datasets.scenes import scenes_dataset_builder
from datasets.scenes.parser import describes
from datasets.scenes.world import scene_of
from datasets.tatoeba import tatoeba_dataset_builder
from shared.media import read_image

REAL_DATA = os.environ.get("QUATRAIN_DATA")
DUMMY = Path(flickr8k_dataset_builder.__file__).parent / "dummy_data"


@pytest.fixture(autouse=True)
def small_corpora(monkeypatch, tmp_path):
    """Tiny corpora, prepared in a temporary folder, without any copy of the user's."""
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path / "prepared"))
    monkeypatch.delenv("QUATRAIN_DATA", raising=False)
    for split, count in {"train": 6, "dev": 2, "test": 4}.items():
        monkeypatch.setitem(scenes_dataset_builder.SPLITS, split, count)
    for split, count in {"train": 3, "dev": 1, "test": 2}.items():
        monkeypatch.setitem(flickr8k_dataset_builder.EXPECTED, split, (count,))


@pytest.fixture
def flickr8k(tmp_path) -> Path:
    return Path(shutil.copytree(DUMMY, tmp_path / "data" / "flickr8k"))


def edit(folder: Path, name: str, old: str, new: str) -> None:
    path = folder / "Flickr8k_text" / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_scenes_are_generated_and_read_back(capsys):
    train = datasets.load("scenes", "train")
    assert len(train) == 6
    assert [record["name"] for record in train] == [f"train-{index:05d}" for index in range(6)]
    assert train[-1]["name"] == train[5]["name"]
    assert [record["name"] for record in train[1:3]] == ["train-00001", "train-00002"]
    with pytest.raises(IndexError, match="record 6 of 6"):
        train[6]
    for record in train:
        assert read_image(record["image"]).shape == (96, 96, 3)
        assert record["novel"] is False
        assert np.shape(record["boxes"]) == (len(record["shapes"]), 4)
        assert all(describes(caption, scene_of(record)) for caption in record["captions_en"])
        assert [len(record[key]) for key in ("captions_de", "token_objects", "alignments")] == [5, 5, 5]
    assert [record["novel"] for record in datasets.load("scenes", "test")] == [False, True, False, True]
    output = capsys.readouterr()
    assert output.out == ""
    assert "scenes: train 6, dev 2, test 4; 0 skipped" in output.err
    assert output.err.count("\n") == 2  # the second load uses the prepared corpus


def test_captions_of_scenes_load_without_images(tmp_path):
    captions = datasets.load("scenes/captions", "test")
    assert not (tmp_path / "prepared" / "scenes" / "1.0.0").exists()
    whole = datasets.load("scenes", "test")
    assert [record | {"image": full["image"]} for record, full in zip(captions, whole, strict=True)] == list(whole)
    assert "image" not in captions[0]
    assert datasets.fingerprint("scenes/captions") != datasets.fingerprint("scenes")
    with pytest.raises(datasets.CorpusError, match="unknown corpus 'scenes/fra'"):
        datasets.load("scenes/fra", "test")


def test_the_fingerprint_depends_on_the_corpus_alone(monkeypatch, tmp_path, flickr8k):
    first = datasets.fingerprint("scenes")
    assert first == datasets.fingerprint("scenes")
    assert first != datasets.fingerprint("flickr8k", flickr8k)
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path / "elsewhere"))
    assert first == datasets.fingerprint("scenes")
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path / "larger"))
    monkeypatch.setitem(scenes_dataset_builder.SPLITS, "dev", 3)
    assert first != datasets.fingerprint("scenes")


def test_the_fingerprint_sees_a_change_that_keeps_all_sizes(flickr8k):
    before = datasets.fingerprint("flickr8k", flickr8k)
    assert datasets.fingerprint("flickr8k", flickr8k) == before
    other = flickr8k.with_name("other")
    shutil.copytree(flickr8k, other)
    path = other / "Flicker8k_Dataset" / "dev_a.jpg"
    content = bytearray(path.read_bytes())
    content[content.index(b"\xff\xdb") + 10] ^= 1  # in a quantisation table
    path.write_bytes(content)
    assert datasets.fingerprint("flickr8k", other) != before


def test_records_are_read_ahead_in_order(monkeypatch):
    records = datasets.load("scenes", "train")
    one_by_one = [records[index] for index in range(6)]
    monkeypatch.setattr(datasets, "READ_AHEAD", 4)
    reads = []
    monkeypatch.setattr(records, "record", lambda index: pytest.fail("read one by one"))
    read = records.records
    monkeypatch.setattr(records, "records", lambda indices: reads.append(indices) or read(indices))
    assert list(records) == one_by_one
    assert reads == [range(4), range(4, 6)]
    assert records[4:1:-2] == [one_by_one[4], one_by_one[2]]
    assert records[6:] == []


def test_the_hash_of_the_records_is_stored_until_the_files_change(monkeypatch):
    first = datasets.fingerprint("scenes/captions")
    folder = Path(datasets.prepare("scenes/captions").data_path)
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "_records_hash", lambda splits: pytest.fail("computed"))
        assert datasets.fingerprint("scenes/captions") == first
    (folder / "content_hash.json").write_text('{"files": {}')
    assert datasets.fingerprint("scenes/captions") == first
    shard = next(folder.glob("*dev*"))
    shard.rename(shard.with_name("kept"))
    (folder / "kept").rename(shard)  # the time of its last change is another one
    monkeypatch.setattr(datasets, "_records_hash", lambda splits: "another")
    assert datasets.fingerprint("scenes/captions") != first


def cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[40:] = bytes(byte ^ 0x5A for byte in content[40:])
    path.write_bytes(content)


def claim_fewer(path: Path) -> None:
    text = path.read_text()
    assert '"4"' in text
    path.write_text(text.replace('"4"', '"3"'))


@pytest.mark.parametrize("name", ["scenes-test.array_record-00000-of-00001", "dataset_info.json"])
@pytest.mark.parametrize("damage", [cut, empty, garble, claim_fewer, Path.unlink])
def test_a_damaged_corpus_is_one_line_that_names_its_folder(damage, name):
    if damage is claim_fewer and not name.endswith("json"):
        pytest.skip("only dataset_info.json has numbers of records")
    folder = Path(datasets.prepare("scenes/captions").data_path)
    damage(folder / name)
    with pytest.raises(datasets.CorpusError) as caught:
        list(datasets.load("scenes/captions", "test"))
    message = str(caught.value)
    assert message.startswith(f"the prepared corpus {folder} is damaged (")
    assert message.endswith("delete it, so that it is prepared again")
    assert "\n" not in message
    shutil.rmtree(folder)
    assert len(datasets.load("scenes/captions", "test")) == 4


def test_an_incomplete_preparation_is_removed(tmp_path):
    partial_folder = tmp_path / "prepared" / "scenes" / "incomplete.ABCDEF_1.0.0"
    partial_folder.mkdir(parents=True)
    (partial_folder / "scenes-train.array_record-00000-of-00001").write_bytes(b"part")
    assert len(datasets.load("scenes", "dev")) == 2
    assert not partial_folder.exists()


def test_an_interrupted_preparation_leaves_no_files_and_can_be_repeated(monkeypatch, tmp_path):
    make_record = scenes_dataset_builder.make_record

    def interrupted(split: str, index: int, is_drawn: bool = True) -> dict:
        if split == "test":
            raise KeyboardInterrupt
        return make_record(split, index, is_drawn)

    with monkeypatch.context() as patch:
        patch.setattr(scenes_dataset_builder, "make_record", interrupted)
        with pytest.raises(KeyboardInterrupt):
            datasets.load("scenes", "train")
    assert not list((tmp_path / "prepared" / "scenes").glob("*1.0.0"))
    assert len(datasets.load("scenes", "test")) == 4


def test_an_unknown_corpus_or_split_lists_the_known_ones():
    known = "scenes, spoken_scenes, spoken_manual, spoken_tatoeba, python_manual, english_text, flickr8k"
    with pytest.raises(datasets.CorpusError, match=f"unknown corpus 'imagenet'; expected one of {known}"):
        datasets.load("imagenet", "train")
    with pytest.raises(datasets.CorpusError, match="expected one of train, dev, test"):
        datasets.load("scenes", "validation")


def test_the_error_of_a_missing_corpus_names_url_layout_and_variable():
    with pytest.raises(datasets.CorpusError) as caught:
        datasets.load("flickr8k", "train")
    for part in ("https://github.com/", "Flickr8k.token.txt", "$QUATRAIN_DATA/flickr8k", "register_checksums"):
        assert part in str(caught.value)


def test_flickr8k_preserves_the_bytes_of_the_files_and_the_order_of_the_lists(monkeypatch, flickr8k):
    monkeypatch.setenv("QUATRAIN_DATA", str(flickr8k.parent))
    train = datasets.load("flickr8k", "train")
    assert [record["name"] for record in train] == ["train_b.jpg", "train_a.jpg", "train_c.jpg"]
    for record in train:
        assert record["image"] == (flickr8k / "Flicker8k_Dataset" / record["name"]).read_bytes()
        assert len(record["captions"]) == 5
    assert train[1]["captions"][2].startswith('"')  # a stray quote is part of the caption


def test_flickr8k_reads_archives_and_other_folder_names(tmp_path, flickr8k):
    expected = list(datasets.load("flickr8k", "train", flickr8k))
    archives = tmp_path / "archives"
    archives.mkdir()
    for name, part in (("Flickr8k_Dataset.zip", "Flicker8k_Dataset"), ("Flickr8k_text.zip", "Flickr8k_text")):
        with zipfile.ZipFile(archives / name, "w") as archive:
            for path in (flickr8k / part).iterdir():
                archive.write(path, path.name if part == "Flickr8k_text" else f"{part}/{path.name}")
                archive.writestr(f"__MACOSX/{part}/._{path.name}", b"resource fork")
    assert list(datasets.load("flickr8k", "train", archives)) == expected
    flat = tmp_path / "flat"
    shutil.copytree(flickr8k / "Flickr8k_text", flat)
    shutil.copytree(flickr8k / "Flicker8k_Dataset", flat / "Images")
    assert list(datasets.load("flickr8k", "train", flat)) == expected


def test_an_explicit_folder_has_precedence_over_a_prepared_corpus(tmp_path, flickr8k):
    assert len(datasets.load("flickr8k", "train", flickr8k)) == 3
    with pytest.raises(datasets.CorpusError, match="not a folder with files"):
        datasets.load("flickr8k", "train", tmp_path / "nowhere")


def test_a_list_of_unexpected_length_is_refused(flickr8k):
    edit(flickr8k, "Flickr_8k.trainImages.txt", "train_c.jpg\n", "")
    with pytest.raises(datasets.CorpusError, match=r"trainImages.txt has 2 different images, expected 3"):
        datasets.load("flickr8k", "train", flickr8k)


def test_a_missing_image_is_refused(flickr8k):
    (flickr8k / "Flicker8k_Dataset" / "train_a.jpg").unlink()
    with pytest.raises(datasets.CorpusError, match=r"1 of 3 images of .* are missing: train_a.jpg"):
        datasets.load("flickr8k", "train", flickr8k)


def test_too_many_bad_records_are_refused_and_leave_no_files(tmp_path, flickr8k, capsys):
    path = flickr8k / "Flicker8k_Dataset" / "train_a.jpg"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(datasets.CorpusError, match="more than 1% of 3 records are bad"):
        datasets.load("flickr8k", "train", flickr8k)
    assert "skipped train_a.jpg: " in capsys.readouterr().err
    assert not list((tmp_path / "prepared").rglob("*array_record*"))


def test_a_few_bad_records_are_skipped_and_counted(monkeypatch, flickr8k, capsys):
    monkeypatch.setattr(flickr8k_dataset_builder, "MAX_BAD", 0.4)
    path = flickr8k / "Flicker8k_Dataset" / "train_a.jpg"
    path.write_bytes(path.read_bytes()[:500])
    train = datasets.load("flickr8k", "train", flickr8k)
    assert [record["name"] for record in train] == ["train_b.jpg", "train_c.jpg"]
    assert "train 2, dev 1, test 2; 1 skipped" in capsys.readouterr().err


def test_find_problem_names_the_problem():
    image = (DUMMY / "Flicker8k_Dataset" / "dev_a.jpg").read_bytes()
    captions = ["A dog ."] * 5
    assert find_problem(image, captions) == ""
    assert find_problem(image, captions[:4]) == "has 4 captions, expected 5"
    assert find_problem(image, [*captions[:4], ""]) == "has an empty caption"
    assert "truncated" in find_problem(image[:700], captions)
    assert "empty" in find_problem(b"", captions)


def test_read_captions_orders_by_number_and_keeps_empty_captions():
    text = "b.jpg#1\tsecond\r\nb.jpg#0\t first \n\na.jpg.1#0\tnobody's\na.jpg#0\t\n"
    assert read_captions(text) == {"b.jpg": ["first", "second"], "a.jpg.1": ["nobody's"], "a.jpg": [""]}


def test_importing_datasets_imports_neither_tensorflow_nor_tfds():
    code = (
        "import sys, datasets; print([m for m in ('tensorflow', 'keras', 'tensorflow_datasets') if m in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"


@pytest.mark.campaign
@pytest.mark.data
@pytest.mark.skipif(REAL_DATA is None, reason="QUATRAIN_DATA does not point at real corpora")
def test_the_real_flickr8k(monkeypatch):
    monkeypatch.setenv("QUATRAIN_DATA", str(REAL_DATA))
    for split, counts in {"train": (6000,), "dev": (1000,), "test": (1000, 200)}.items():
        monkeypatch.setitem(flickr8k_dataset_builder.EXPECTED, split, counts)
    sizes = [len(datasets.load("flickr8k", split)) for split in ("train", "dev", "test")]
    assert sizes[:2] == [6000, 1000]
    assert sizes[2] in (1000, 200)
    for record in datasets.load("flickr8k", "test"):
        assert len(record["captions"]) == 5
        assert all(record["captions"])


def test_a_language_variant_is_a_corpus_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setattr(tatoeba_dataset_builder, "assign_splits", partial(assign_splits, buckets=5))
    (tmp_path / "fra.txt").write_text("Go.\tVa !\nStop!\tArrête !\nHello.\tBonjour.\nHelp!\tÀ l'aide !\n")
    records = datasets.load("tatoeba/fra", "train", tmp_path)
    assert records[0].keys() == {"eng", "fra"}
    assert "tatoeba/fra/2.0.0" in str(datasets.prepare("tatoeba/fra", tmp_path).data_path)
    assert datasets.fingerprint("tatoeba/fra", tmp_path) == datasets.fingerprint("tatoeba/fra", tmp_path)
    with pytest.raises(datasets.CorpusError, match=r"deu\.txt does not exist"):
        datasets.load("tatoeba", "train", tmp_path)


@pytest.mark.parametrize("name", ["tatoeba/", "tatoeba/../x", "scenes/fra", "nothing", ""])
def test_invalid_names_are_refused(name):
    with pytest.raises(datasets.CorpusError, match=r"unknown corpus '.*'; expected one of scenes, "):
        datasets.load(name, "train")


def test_a_line_without_a_translation_is_refused(tmp_path):
    (tmp_path / "deu.txt").write_text("Go.\tGeh.\nStop!\t\n")
    with pytest.raises(datasets.CorpusError, match=r"line 2 of deu\.txt is not English, a tab and a translation"):
        datasets.load("tatoeba", "train", tmp_path)


@pytest.mark.data
@pytest.mark.skipif(REAL_DATA is None, reason="QUATRAIN_DATA does not point at real corpora")
@pytest.mark.slow
def test_the_real_multi30k(monkeypatch):
    monkeypatch.setenv("QUATRAIN_DATA", str(REAL_DATA))
    splits = {split: datasets.load("multi30k", split) for split in ("train", "dev", "test")}
    assert [len(records) for records in splits.values()] == [29_000, 1_014, 1_000]
    assert splits["dev"][1] == {
        "en": "A man sleeping in a green room on a couch.",
        "de": "Ein Mann schläft in einem grünen Raum auf einem Sofa.",
        "fr": "Un homme dormant dans une chambre verte sur un canapé.",
    }
