"""Files of captions in all their formats."""

import gzip
import json
from pathlib import Path

import pytest

from datasets import CorpusError
from datasets.caption_files import Captioned, read_captions

DOG, CAT = Captioned("dog.jpg", ["A dog, asleep.", "Two dogs."]), Captioned("deep/cat.png", ["A cat."])
FILES = {
    "captions.txt": 'image,caption\ndog.jpg,"A dog, asleep."\ndeep/cat.png,A cat.\ndog.jpg,Two dogs.\n',
    "unquoted.csv": "image,caption\ndog.jpg,A dog, asleep.\ndog.jpg,Two dogs.\ndeep/cat.png,A cat.\n",
    "no-header.csv": 'dog.jpg,"A dog, asleep."\ndog.jpg,Two dogs.\ndeep/cat.png,A cat.',
    "columns.csv": 'id,Caption,File_Name\n1,"A dog, asleep.",dog.jpg\n2,Two dogs.,dog.jpg\n3,A cat.,deep/cat.png\n',
    "semicolon.csv": "\ufefffilename;text\r\ndog.jpg;A dog, asleep.\r\ndog.jpg;Two dogs.\r\ndeep\\cat.png;A cat.\r\n",
    "results.csv": "image_name| comment_number| comment\ndog.jpg| 0| A dog, asleep.\ndog.jpg| 1| Two dogs.\n"
    "deep/cat.png| 0| A cat.\n",
    "a.token.txt": "dog.jpg#0\tA dog, asleep.\ndog.jpg#1\tTwo  dogs.\n\ndeep/cat.png#0\tA cat.\n",
    "dataset.json": {
        "images": [
            {"filename": "dog.jpg", "sentences": [{"raw": "A dog, asleep.", "tokens": ["a"]}, {"raw": "Two dogs."}]},
            {"filepath": "deep", "filename": "cat.png", "sentences": [{"raw": "A cat."}]},
        ]
    },
    "captions_coco.json": {
        "info": {},
        "images": [{"id": 7, "file_name": "dog.jpg"}, {"id": 9, "file_name": "deep/cat.png"}, {"id": 8}],
        "annotations": [
            {"image_id": 7, "id": 1, "caption": "A dog, asleep."},
            {"image_id": 9, "id": 2, "caption": "A cat."},
            {"image_id": 7, "id": 3, "caption": "Two dogs."},
        ],
    },
    "list.json": [
        {"image": "dog.jpg", "caption": ["A dog, asleep.", "Two dogs."]}, {"image": "deep/cat.png", "text": "A cat."},
    ],
    "map.json": {"dog.jpg": ["A dog, asleep.", "Two dogs."], "deep/cat.png": "A cat."},
    "metadata.jsonl": '{"file_name": "dog.jpg", "text": "A dog, asleep."}\n'
    '{"file_name": "dog.jpg", "text": "Two dogs."}\n'
    '{"file_name": "deep/cat.png", "text": "A cat."}\n',
    "ours.jsonl": '{"image": "dog.jpg", "captions": [{"text": "A dog, asleep."}, {"text": "Two dogs."}]}\n'
    '{"image": "deep/cat.png", "captions": [{"text": "A cat."}]}\n',
}  # fmt: skip


def written(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize(("name", "content"), FILES.items(), ids=FILES)
def test_every_format_gives_the_same_captions(tmp_path, name, content):
    assert sorted(read_captions(written(tmp_path, name, content))) == [CAT, DOG]


def test_compressed_and_utf_16(tmp_path):
    text = FILES["captions.txt"]
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress(text.encode()))
    (tmp_path / "b.csv").write_bytes(text.encode("utf-16"))
    for name in ("a.csv.gz", "b.csv"):
        assert sorted(read_captions(tmp_path / name)) == [CAT, DOG]


def test_a_lone_quote_is_one_of_the_caption(tmp_path):
    """A parser that takes it for a quotation reads the rows after it as one caption."""
    path = written(tmp_path, "a.csv", 'image,caption\na.jpg,"A dog\nb.jpg,A cat\nc.jpg,A "big" pig\nd.jpg, "An ox"\n')
    assert read_captions(path) == [
        Captioned("a.jpg", ['"A dog']),
        Captioned("b.jpg", ["A cat"]),
        Captioned("c.jpg", ['A "big" pig']),
        Captioned("d.jpg", ["An ox"]),
    ]
    path = written(tmp_path, "c.csv", '"a.jpg","A dog"\n"b.jpg#1","A cat\n')
    assert read_captions(path) == [Captioned("a.jpg", ["A dog"]), Captioned("b.jpg", ['"A cat'])]
    path = written(tmp_path, "b.csv", 'image,caption\na.jpg,"A dog\nin ""two"" lines"\nb.jpg,A cat\n')
    assert read_captions(path)[0] == Captioned("a.jpg", ['A dog in "two" lines'])


def test_a_few_rows_that_are_cut_are_skipped_and_reported(tmp_path, capsys):
    """As the row of a dog in Kaggle's copy of Flickr30k."""
    rows = [f"{i}.jpg| 0| a man" for i in range(150)]
    path = written(
        tmp_path, "results.csv", "\n".join(["image_name| comment_number| comment", *rows, "7.jpg| 4   A dog"])
    )
    assert len(read_captions(path)) == 150
    assert capsys.readouterr().err == (
        f"{path}: skipped 1 rows with too few columns, such as row 152, '7.jpg| 4   A dog'\n"
    )


def test_splits_are_those_of_the_file(tmp_path):
    rows = [("a.jpg", "train"), ("b.jpg", "val"), ("c.jpg", "test"), ("d.jpg", "restval"), ("e.jpg", "")]
    table = "split,image,caption\n" + "".join(f"{split},{name},x\n" for name, split in rows)
    images = [{"filename": name, "split": split, "sentences": [{"raw": "x"}]} for name, split in rows]
    for path in (written(tmp_path, "a.csv", table), written(tmp_path, "a.json", {"images": images})):
        assert [row.split for row in read_captions(path)] == ["train", "dev", "test", "train", ""]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "a first row such as image,caption"),
        ("image,caption\n", "has no captions"),
        ("hello world\n", "image,caption or photo.jpg,a caption was expected, received 'hello world'"),
        ("image,caption\na.jpg\n", "row 2, 'a.jpg' has too few columns"),
        ("image,caption,split\na.jpg,x,half\n", "split 'half': one of train, "),
        ("image,caption,split\na.jpg,x,val\na.jpg,y,test\n", "a.jpg is in the splits dev and test; one was expected"),
        ('{"images": [{"filename": "a.jpg"}]}', "an object with a picture and its captions was expected"),
        ('{"annotations": [{"image_id": 1, "bbox": []}], "images": []}', "annotations without a caption"),
        ('{"annotations": [{"image_id": 1, "caption": "x"}], "images": []}', "which is not among the images"),
        ('[{"image": "a.jpg", "caption": 7}]', "a caption was expected, received 7"),
        ("[1]", "a list of objects was expected"),
        ("{", "is no file of captions: "),
        ("a\0b", "a.csv"),
        ("[" * 200_000, "is no file of captions: its lists are nested too deep"),
    ],
)  # fmt: skip
def test_other_files_are_refused_in_one_line(tmp_path, content, message):
    with pytest.raises(CorpusError) as error:
        read_captions(written(tmp_path, "a.csv", content))
    assert message in str(error.value)
    assert "\n" not in str(error.value)
