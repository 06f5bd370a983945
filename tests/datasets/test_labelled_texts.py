"""Texts with labels in files of all kinds."""

import gzip
import json

import pytest

from datasets import CorpusError
from datasets.labelled_texts import Labelled, fingerprint_of, read_all, read_labelled, read_splits

ROWS = [("A fine, warm film.", "pos"), ('He said "no" twice.', "neg"), ("It never ends.", "neg"), ("Ends.", "pos")]
EXPECTED = [Labelled(*row) for row in ROWS]

TABLES = {
    "tab": "".join(f"{text}\t{label}\n" for text, label in ROWS),
    "label first": "".join(f"{label}\t{text}\n" for text, label in ROWS),
    "empty lines": "\n" + "".join(f"{text}\t{label}\n\n" for text, label in ROWS) + "\n\n",
    "CRLF": "".join(f"{text}\t{label}\r\n" for text, label in ROWS),
    "names": "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS),
    "other names": "id\tSentiment\tReview\n" + "".join(f"{i}\t{b}\t{a}\n" for i, (a, b) in enumerate(ROWS)),
    "unknown names": "Meinung\tKlasse\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS),
    "ids": "".join(f"{i}\t{text}\t{label}\n" for i, (text, label) in enumerate(ROWS)),
    "CSV": 'text,label\n"A fine, warm film.",pos\n"He said ""no"" twice.",neg\nIt never ends.,neg\nEnds.,pos\n',
    "semicolons": 'text;label\nA fine, warm film.;pos\n"He said ""no"" twice.";neg\nIt never ends.;neg\nEnds.;pos\n',
    "lines in a text": '"A fine,\nwarm film.",pos\n"He said ""no"" twice.",neg\nIt never ends.,neg\nEnds.,pos\n',
    "a comma in a text": "label,text\n" + "".join(f"{label},{text}\n" for text, label in ROWS),
    "JSON lines": "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS),
    "JSON": json.dumps([{"sentiment": label, "review": text} for text, label in ROWS]),
    "fastText": "".join(f"__label__{label} {text}\n" for text, label in ROWS),
}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("kind", TABLES)
def test_tables(kind, tmp_path):
    assert read_labelled(write(tmp_path / "reviews", TABLES[kind])) == EXPECTED


def test_a_compressed_table(tmp_path):
    (tmp_path / "a.tsv.gz").write_bytes(gzip.compress(TABLES["tab"].encode()))
    assert read_labelled(tmp_path / "a.tsv.gz") == EXPECTED


def test_a_tab_in_a_text_and_a_quote_without_a_second_one(tmp_path):
    content = 'a\tb c\tpos\nd e\tneg\n"f g\tpos\nh i\tneg\n'
    assert read_labelled(write(tmp_path / "a.tsv", content)) == [
        ("a b c", "pos"), ("d e", "neg"), ('"f g', "pos"), ("h i", "neg"),
    ]  # fmt: skip
    content = "{a} b\tpos\n[sic] c\tneg\nd\tpos\ne\tneg\n"
    assert read_labelled(write(tmp_path / "b.tsv", content))[:2] == [("{a} b", "pos"), ("[sic] c", "neg")]
    content = 'text,label\n"so good,pos\nbad,neg\n5" long,pos\nworse,neg\n'
    assert [label for _, label in read_labelled(write(tmp_path / "a.csv", content))] == ["pos", "neg", "pos", "neg"]


def test_labels_of_any_script_and_numbers(tmp_path):
    content = "很好\t正面\n\u043f\u043b\u043e\u0445\u043e\t负面\nnaïve\t 正面 \nso là là\t负面\n"
    assert {label for _, label in read_labelled(write(tmp_path / "a.tsv", content))} == {"正面", "负面"}
    records = [{"text": "good one", "stars": 5}, {"text": "bad one", "stars": 1}, {"text": "fine one", "stars": 5}]
    rows = read_labelled(write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, records))))
    assert [label for _, label in rows] == ["5", "1", "5"]


def test_folders(tmp_path):
    for text, label in ROWS:
        write(tmp_path / "all" / label / f"{len(text)}.txt", text.replace(" ", "\n"))
    write(tmp_path / "all" / "unsup" / "0.txt", "no label")
    assert sorted(read_labelled(tmp_path / "all")) == sorted(EXPECTED)
    (tmp_path / "empty").mkdir()
    with pytest.raises(CorpusError, match="subfolders that are named after labels"):
        read_labelled(tmp_path / "empty")


def test_splits_of_a_folder(tmp_path):
    write(tmp_path / "train.tsv", "a b\tpos\nc d\tneg\nheld out\tpos\n")
    write(tmp_path / "valid.csv", "text,label\nheld out,pos\n")
    write(tmp_path / "test" / "neg" / "1.txt", "of test")
    splits = read_splits(tmp_path, {})
    assert [[text for text, _ in splits[name]] for name in ("train", "dev", "test")] == [
        ["a b", "c d"], ["held out"], ["of test"],
    ]  # fmt: skip
    assert len(read_all(tmp_path)) == 5


def test_a_tenth_of_each_label_is_held_out_and_equal_texts_stay_together(tmp_path):
    rows = [(f"text {i}", "big") for i in range(60)] + [(f"other {i}", "small") for i in range(20)]
    rows += [("once", "rare"), *rows[:60]]
    path = write(tmp_path / "a.tsv", "".join(f"{text}\t{label}\n" for text, label in rows))
    splits = read_splits(path, {})
    texts = {name: {row.text for row in found} for name, found in splits.items()}
    assert [len(texts[name]) for name in ("train", "dev", "test")] == [65, 8, 8]
    assert len(texts["train"] | texts["dev"] | texts["test"]) == 81
    assert sum(row.label == "small" for row in splits["dev"]) == 2
    assert "once" in texts["train"]
    own = write(tmp_path / "dev.tsv", "text 3\tbig\nother 4\tsmall\n")
    splits = read_splits(path, {"dev": own})
    assert splits["dev"] == [("text 3", "big"), ("other 4", "small")]
    assert not {"text 3", "other 4"} & {row.text for row in splits["train"]}
    other = write(tmp_path / "b.tsv", "".join(f"{text}\t{label}\n" for text, label in reversed(rows)))
    assert fingerprint_of(read_splits(path, {})) != fingerprint_of(read_splits(other, {}))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is empty"),
        ("\n\n", "is empty"),
        ("one column\nof text\nalone\n", "one column"),
        ("a\tpos\nb\tpos\nc\tpos\n", "have one label, 'pos'"),
        ("".join(f"text {i}\tlabel {i}\n" for i in range(12)), "12 labels of 12 texts"),
        ("".join(f"text {i}\t{'pos' if i % 3 else ''}\n" for i in range(30)), "10 of 30 rows have no text or no label"),
        ("".join(f"text {i}\t{'x' * 101}\ntext\tb\n" for i in range(3)), "a label of 101 characters"),
        ('{"body": "a", "mood": "b"}\n', "has body, mood; text and label were expected"),
        ("__label__a __label__b text\n", "line 1 has several labels"),
    ],
)
def test_what_is_no_table_of_labels_is_refused_in_one_line(content, message, tmp_path):
    with pytest.raises(CorpusError, match=message) as raised:
        read_splits(write(tmp_path / "a.tsv", content), {})
    assert "\n" not in str(raised.value)


def test_few_rows_without_a_label_are_reported(tmp_path, capsys):
    write(tmp_path / "a.tsv", "a\tpos\nb\t\nc\tneg\nd\tpos\ne\tneg\n")
    assert len(read_labelled(tmp_path / "a.tsv")) == 4
    assert "1 rows without text or label are skipped, first line 2" in capsys.readouterr().err
