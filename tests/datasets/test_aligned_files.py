"""Aligned files as a corpus, and splits without common sentences."""

import gzip
import os
from pathlib import Path

import pytest

from datasets import CorpusError
from datasets.aligned_files import assign_splits, fingerprint, folded, read_split

PAIRS = [(f"source {index}", f"target {index}") for index in range(600)]


def test_the_split_of_a_pair_does_not_depend_on_order_or_other_pairs():
    splits = assign_splits(PAIRS, 10)
    counts = {split: splits.count(split) for split in ("train", "dev", "test")}
    assert sum(counts.values()) == 600
    assert 30 < counts["dev"] < 90
    assert 30 < counts["test"] < 90
    reverse = assign_splits([*PAIRS, ("one", "more")][::-1], 10)[::-1]
    assert reverse[:600] == splits


def test_no_sentence_of_either_language_is_in_two_splits():
    # Chains of seven pairs: each pair has its source in common with one neighbour and its target with the other.
    pairs = [(f"s{(index + index // 7) // 2}", f"t{(index + index // 7 + 1) // 2}") for index in range(700)]
    splits = assign_splits(pairs, 4)
    assert set(splits) == {"train", "dev", "test"}
    for language in (0, 1):
        splits_of: dict[str, set[str]] = {}
        for pair, split in zip(pairs, splits, strict=True):
            splits_of.setdefault(pair[language], set()).add(split)
        assert {len(names) for names in splits_of.values()} == {1}


def test_case_and_punctuation_do_not_divide_a_sentence():
    assert folded("Wie geht\u2019s, Tom?") == folded("wie GEHTS TOM") == "wiegehtstom"
    assert folded("STRASSE.") == folded("Straße") == "strasse"
    assert folded("Cafe\u0301") == folded("CAFÉ") != folded("cafe")
    assert folded("कि") != folded("क")  # a vowel sign is no letter
    assert folded("?!") == "?!"  # nothing would be left
    pairs = [("No.", "Nein!"), ("NO", "Nee"), ("Nope", "nein"), ("Never", "Nie")]
    splits = [assign_splits(pairs, buckets) for buckets in range(3, 60)]
    assert all(first == second == third for first, second, third, _ in splits)
    assert any(first != fourth for first, _, _, fourth in splits)


def test_the_same_text_in_two_languages_does_not_connect_pairs():
    pairs = [("Taxi", "Taxi"), ("Hotel", "Taxi"), ("Taxi", "Taxe"), ("Bar", "Hotel")]
    splits = [assign_splits(pairs, buckets) for buckets in range(3, 60)]
    assert all(first == second == third for first, second, third, _ in splits)
    assert any(first != fourth for first, _, _, fourth in splits)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.en").write_bytes("".join(f"{source} \r\n" for source, _ in PAIRS).encode())
    (tmp_path / "a.de.gz").write_bytes(gzip.compress("\n".join(target for _, target in PAIRS).encode()))
    return tmp_path / "a.en", tmp_path / "a.de.gz"


def test_the_splits_contain_all_pairs(files):
    splits = [read_split({"train": files}, split) for split in ("train", "dev", "test")]
    assert sorted(pair for pairs in splits for pair in pairs) == sorted(PAIRS)
    assert len(splits[0]) > 540


def test_the_fingerprint_depends_on_the_text_and_not_on_its_encoding(files, tmp_path):
    source, target = files
    assert fingerprint({"train": files}) == fingerprint({"train": files}) != fingerprint({"train": (target, source)})
    (tmp_path / "again.de").write_text("\n".join(target for _, target in PAIRS) + "\n")
    assert fingerprint({"train": (source, tmp_path / "again.de")}) == fingerprint({"train": files})
    (tmp_path / "wide.de").write_text("\n".join(target for _, target in PAIRS), encoding="utf-16")
    assert fingerprint({"train": (source, tmp_path / "wide.de")}) == fingerprint({"train": files})
    assert fingerprint({"train": files, "dev": files}) != fingerprint({"train": files})


def test_the_fingerprint_depends_on_where_a_text_stands(tmp_path):
    (tmp_path / "a").write_text("one\ttwo\n")
    (tmp_path / "b").write_text("three\n")
    files = {"train": (tmp_path / "a", tmp_path / "b")}
    before = fingerprint(files)
    (tmp_path / "a").write_text("one\n")
    (tmp_path / "b").write_text("two\tthree\n")
    assert fingerprint(files) != before


def test_files_of_different_lengths_are_refused_with_both_counts(files, tmp_path):
    (tmp_path / "b.de").write_text("one\ntwo\n")
    with pytest.raises(CorpusError, match=r"a\.en has 600 lines, .*b\.de has 2; expected equal numbers"):
        read_split({"train": (files[0], tmp_path / "b.de")}, "train")


def test_unreadable_files_are_refused(files, tmp_path):
    (tmp_path / "cut.de.gz").write_bytes(files[1].read_bytes()[:-20])
    (tmp_path / "latin.de").write_bytes(b"Gr\xfc\xdfe")
    (tmp_path / "a.tmx").write_text('<?xml version="1.0"?><tmx version="1.4"/>')
    problems = {"cut.de.gz": "is damaged", "latin.de": "is not UTF-8", "none": "does not exist", "a.tmx": "is XML"}
    for name, problem in problems.items():
        with pytest.raises(CorpusError, match=rf"{name} {problem}"):
            read_split({"train": (files[0], tmp_path / name)}, "train")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_an_empty_split_is_refused(split, tmp_path):
    (tmp_path / "a").write_text("zero\n")
    with pytest.raises(CorpusError, match=f"1 pairs are too few for a {split} split; .*--{split}-pairs-file"):
        read_split({"train": (tmp_path / "a", tmp_path / "a")}, split)


def test_own_development_files_leave_all_other_pairs_to_training(files, tmp_path):
    (tmp_path / "dev.tsv").write_text("source 7\ttarget 7\none\teins\n")
    own = {"train": files, "dev": (tmp_path / "dev.tsv",)}
    training, dev, test = (read_split(own, split) for split in ("train", "dev", "test"))
    assert dev == [PAIRS[7], ("one", "eins")]
    assert test == read_split({"train": files}, "test")
    assert sorted([*training, *test, PAIRS[7]]) == sorted(PAIRS)  # no pair of dev is trained on


def test_a_pipe_is_read_for_every_split():
    reading, writing = os.pipe()
    with open(writing, "w") as feed:
        feed.write("".join(f"{source}\t{target}\n" for source, target in PAIRS))
    files = {"train": (Path(f"/dev/fd/{reading}"),)}
    assert sum(len(read_split(files, split)) for split in ("train", "dev", "test")) == len(PAIRS)
    os.close(reading)


def test_a_sentence_of_own_development_files_is_in_no_other_pair(files, tmp_path):
    (tmp_path / "dev.tsv").write_text("source  7\tanother\none more\ttarget 9\ntarget 11\tsource 11\n")
    own = {"train": files, "dev": (tmp_path / "dev.tsv",)}
    read = [*read_split(own, "train"), *read_split(own, "test")]
    assert sorted([*read, PAIRS[7], PAIRS[9]]) == sorted(PAIRS)


def test_sentences_that_differ_in_spaces_are_in_one_split(tmp_path):
    (tmp_path / "a.tsv").write_text("".join(f"one  {i}\tx{i}\none {i}\ty{i}\n" for i in range(300)))
    for split in ("train", "dev", "test"):
        pairs = read_split({"train": (tmp_path / "a.tsv",)}, split)
        assert [target[1:] for _, target in pairs[::2]] == [target[1:] for _, target in pairs[1::2]]
