"""Aligned files as a corpus, and splits without common sentences."""

import gzip

import pytest

from datasets import CorpusError
from datasets.aligned_files import AlignedFiles, assign_splits, fingerprint

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
    splits = [AlignedFiles(*files, split) for split in ("train", "dev", "test")]
    pairs = [(record["source"], record["target"]) for records in splits for record in records]
    assert sorted(pairs) == sorted(PAIRS)
    assert len(splits[0]) > 540


def test_the_fingerprint_depends_on_the_text_and_not_on_its_encoding(files, tmp_path):
    source, target = files
    assert fingerprint(source, target) == fingerprint(source, target) != fingerprint(target, source)
    (tmp_path / "again.de").write_text("\n".join(target for _, target in PAIRS) + "\n")
    assert fingerprint(source, tmp_path / "again.de") == fingerprint(source, target)
    (tmp_path / "wide.de").write_text("\n".join(target for _, target in PAIRS), encoding="utf-16")
    assert fingerprint(source, tmp_path / "wide.de") == fingerprint(source, target)


def test_the_fingerprint_depends_on_where_a_text_stands(tmp_path):
    (tmp_path / "a").write_text("one\ttwo\n")
    (tmp_path / "b").write_text("three\n")
    before = fingerprint(tmp_path / "a", tmp_path / "b")
    (tmp_path / "a").write_text("one\n")
    (tmp_path / "b").write_text("two\tthree\n")
    assert fingerprint(tmp_path / "a", tmp_path / "b") != before


def test_files_of_different_lengths_are_refused_with_both_counts(files, tmp_path):
    (tmp_path / "b.de").write_text("one\ntwo\n")
    with pytest.raises(CorpusError, match=r"a\.en has 600 lines, .*b\.de has 2; expected equal numbers"):
        AlignedFiles(files[0], tmp_path / "b.de", "train")


def test_unreadable_files_are_refused(files, tmp_path):
    (tmp_path / "cut.de.gz").write_bytes(files[1].read_bytes()[:-20])
    (tmp_path / "latin.de").write_bytes(b"Gr\xfc\xdfe")
    (tmp_path / "a.tmx").write_text('<?xml version="1.0"?><tmx version="1.4"/>')
    problems = {"cut.de.gz": "is damaged", "latin.de": "is not UTF-8", "none": "does not exist", "a.tmx": "is XML"}
    for name, problem in problems.items():
        with pytest.raises(CorpusError, match=rf"{name} {problem}"):
            AlignedFiles(files[0], tmp_path / name, "train")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_an_empty_split_is_refused(split, tmp_path):
    (tmp_path / "a").write_text("zero\n")
    with pytest.raises(CorpusError, match=f"1 lines are too few for a {split} split"):
        AlignedFiles(tmp_path / "a", tmp_path / "a", split)
