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
    "names of two words": "Der Text\tSeine Klasse\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS),
    "unknown names": "Meinung\tKlasse\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS),
    "ids": "".join(f"{i}\t{text}\t{label}\n" for i, (text, label) in enumerate(ROWS)),
    "CSV": 'text,label\n"A fine, warm film.",pos\n"He said ""no"" twice.",neg\nIt never ends.,neg\nEnds.,pos\n',
    "semicolons": 'text;label\nA fine, warm film.;pos\n"He said ""no"" twice.";neg\nIt never ends.;neg\nEnds.;pos\n',
    "lines in a text": '"A fine,\nwarm film.",pos\n"He said ""no"" twice.",neg\nIt never ends.,neg\nEnds.,pos\n',
    "lines that recur": '"A fine,\nwarm film.",pos\n"He said\n""no"" twice.",neg\nIt never ends.,neg\nEnds.,pos\n',
    "CR": "".join(f"{text}\t{label}\r" for text, label in ROWS),
    "CR in CSV": 'text,label\r"A fine,\rwarm film.",pos\r"He said ""no"" twice.",neg\rIt never ends.,neg\rEnds.,pos\r',
    "CR in a text": "".join(f"{text}\t{label}\n" for text, label in ROWS).replace("fine, ", "fine,\r"),
    "a comma in a text": "label,text\n" + "".join(f"{label},{text}\n" for text, label in ROWS),
    "JSON lines": "".join(json.dumps({"text": text, "label": label}) + "\n" for text, label in ROWS),
    "JSON": json.dumps([{"sentiment": label, "review": text} for text, label in ROWS]),
    "JSON arrays": "".join(json.dumps([i, text, label]) + "\n" for i, (text, label) in enumerate(ROWS)),
    "an array of arrays": json.dumps(ROWS, indent=1),
    "fastText": "".join(f"__label__{label} {text}\n" for text, label in ROWS),
    "fastText with tabs": "".join(f"__label__{label}\t{text}\n" for text, label in ROWS),
}


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8", newline="")
    return path


@pytest.mark.parametrize("kind", TABLES)
def test_tables(kind, tmp_path):
    assert read_labelled(write(tmp_path / "reviews", TABLES[kind])) == EXPECTED


def test_compression_and_encodings(tmp_path):
    for i, content in enumerate(
        (gzip.compress(TABLES["tab"].encode()), TABLES["CSV"].encode("utf-16"), TABLES["CSV"].encode("utf-8-sig"))
    ):
        (tmp_path / str(i)).write_bytes(content)
        assert read_labelled(tmp_path / str(i)) == EXPECTED


def test_a_text_of_any_length(tmp_path):
    long = "so " * 50_000 + "good"
    assert read_labelled(write(tmp_path / "a.csv", f'"{long}",pos\nbad,neg\nworse,neg\n'))[0].text == long
    assert read_labelled(write(tmp_path / "b.csv", f"{long},pos\nbad,neg\nworse,neg\n"))[0].text == long


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


def test_folders(tmp_path, capsys):
    for text, label in ROWS:
        write(tmp_path / "all" / label / f"{len(text)}.txt", text.replace(" ", "\n"))
    write(tmp_path / "all" / "unsup" / "0.txt", "no label")
    assert sorted(read_labelled(tmp_path / "all")) == sorted(EXPECTED)
    (tmp_path / "all" / "pos" / "latin1.txt").write_bytes("sch\u00f6n".encode("latin-1"))
    write(tmp_path / "all" / "neg" / "empty.txt", "")
    write(tmp_path / "all" / "neg" / "page.html", "not read")
    write(tmp_path / "all" / "neg" / ".hidden" / "1.txt", "not read")
    assert sorted(read_labelled(tmp_path / "all")) == sorted(EXPECTED)
    output = capsys.readouterr().err
    assert (
        "all: skipped 2 of 6 files without a text: neg/empty.txt has no text; pos/latin1.txt is not UTF-8: " in output
    )
    assert "does not end in .txt: 1; " in output
    for i in range(2):
        (tmp_path / "all" / "pos" / f"a{i}.txt").write_bytes(b"\xe9")
    with pytest.raises(CorpusError, match=r"4 of 8 .*: neg/empty.txt has no text; pos/a0.txt is not UTF-8: .*iconv"):
        read_labelled(tmp_path / "all")
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
    for name in ("train.tsv~", "train.tsv.bak", ".train.tsv", "#train.tsv#", "train.tsv.swp"):
        write(tmp_path / name, "old\tpos\n")
    assert read_splits(tmp_path, {}) == splits
    write(tmp_path / "train.csv", "text,label\nother,pos\n")
    with pytest.raises(CorpusError, match=r"train\.csv and train\.tsv are named after the train split"):
        read_splits(tmp_path, {})
    (tmp_path / "train.csv").unlink()
    (tmp_path / "valid.csv").write_bytes("sch\u00f6n,pos\n".encode("latin-1"))
    with pytest.raises(CorpusError, match=r"valid\.csv is not UTF-8: .*; --dev-corpus can name another dev split"):
        read_splits(tmp_path, {})
    own = write(tmp_path / "own.csv", "text,label\nheld out,pos\n")
    assert read_splits(tmp_path, {"dev": own}) == splits
    write(tmp_path / "valid.csv", "text,label\nheld out,pos\n")
    (tmp_path / "train.tsv").unlink()
    assert len(read_all(tmp_path)) == 2
    with pytest.raises(CorpusError, match="has dev and test, but no train"):
        read_splits(tmp_path, {})
    write(tmp_path / "other" / "1.txt", "a label of that name")
    assert {row.label for row in read_labelled(tmp_path)} == {"test", "other"}


def test_texts_of_two_splits_are_in_one(tmp_path, capsys):
    write(tmp_path / "train.tsv", "A b\tpos\nc d\tneg\ne f\tpos\n")
    write(tmp_path / "dev.tsv", "a  B\tpos\n")
    assert [row.text for row in read_splits(tmp_path, {})["train"]] == ["c d", "e f"]
    assert "texts of train that dev or test has too are left out: 1" in capsys.readouterr().err


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
        ("a, b\n" * 100 + "one column\n" * 101, "one column"),  # beyond the lines that show the delimiter
        ("a\tpos\nb\tpos\nc\tpos\n", "have one label, 'pos'"),
        ("".join(f"text {i}\tlabel {i}\n" for i in range(12)), "12 labels of 12 texts"),
        ("".join(f"text {i}\t{'pos' if i % 3 else ''}\n" for i in range(30)), "10 of 30 rows .*: line 1 has no label"),
        ("id\ttext\tlabel\n1\ta\tpos\n2\tb\tc\tneg\n", "1 of 2 rows .*: line 3 has 4 columns, others have 3"),
        ("text\tlabel\n", "no rows"),
        ("1\tone text\tpos\n2\ttwo texts\tpos\n3\tthree of them\tpos\n", "have one label, 'pos'"),
        ('[{"text": "a", "label": "b"}, {"text": "a"}]', "1 of 2 rows .*: object 2 has no label"),
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
    assert "skipped 1 of 5 rows without a text or a label: line 2 has no label" in capsys.readouterr().err
