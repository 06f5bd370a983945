"""Two files as a corpus, and splits that know nothing of each other."""

import gzip

import pytest

from datasets import CorpusError
from datasets.aligned_files import AlignedFiles, deal, fingerprint

PAIRS = [(f"source {number}", f"target {number}") for number in range(600)]


def test_every_pair_stands_in_one_split_and_always_the_same():
    splits = deal(PAIRS, 10)
    counts = {split: splits.count(split) for split in ("train", "dev", "test")}
    assert sum(counts.values()) == 600
    assert 30 < counts["dev"] < 90
    assert 30 < counts["test"] < 90
    backwards = deal([*PAIRS, ("one", "more")][::-1], 10)[::-1]
    assert backwards[:600] == splits


def test_no_sentence_of_either_language_stands_in_two_splits():
    # Chains: a pair shares its source with one neighbour and its target with the other, seven of them to a chain.
    pairs = [(f"s{(number + number // 7) // 2}", f"t{(number + number // 7 + 1) // 2}") for number in range(700)]
    splits = deal(pairs, 4)
    assert set(splits) == {"train", "dev", "test"}
    for language in (0, 1):
        of_sentence: dict[str, set[str]] = {}
        for pair, split in zip(pairs, splits, strict=True):
            of_sentence.setdefault(pair[language], set()).add(split)
        assert {len(found) for found in of_sentence.values()} == {1}


def test_the_same_text_in_both_languages_is_two_sentences():
    pairs = [("Taxi", "Taxi"), ("Hotel", "Taxi"), ("Taxi", "Taxe"), ("Bar", "Hotel")]
    splits = [deal(pairs, part) for part in range(3, 60)]
    assert all(first == second == third for first, second, third, _ in splits)
    assert any(first != fourth for first, _, _, fourth in splits)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "a.en").write_bytes("".join(f"{source} \r\n" for source, _ in PAIRS).encode())
    (tmp_path / "a.de.gz").write_bytes(gzip.compress("\n".join(target for _, target in PAIRS).encode()))
    return tmp_path / "a.en", tmp_path / "a.de.gz"


def test_two_files_are_a_corpus(files):
    found = [AlignedFiles(*files, split) for split in ("train", "dev", "test")]
    pairs = [(record["source"], record["target"]) for records in found for record in records]
    assert sorted(pairs) == sorted(PAIRS)
    assert len(found[0]) > 540


def test_what_two_files_hold_has_a_fingerprint(files, tmp_path):
    source, target = files
    assert fingerprint(source, target) == fingerprint(source, target) != fingerprint(target, source)
    (tmp_path / "again.de").write_text("\n".join(target for _, target in PAIRS) + "\n")
    assert fingerprint(source, tmp_path / "again.de") == fingerprint(source, target)


def test_files_that_do_not_fit_are_refused_with_both_counts(files, tmp_path):
    (tmp_path / "b.de").write_text("one\ntwo\n")
    with pytest.raises(CorpusError, match=r"a\.en has 600 lines, .*b\.de has 2; line by line"):
        AlignedFiles(files[0], tmp_path / "b.de", "train")


def test_files_that_cannot_be_read_are_told(files, tmp_path):
    (tmp_path / "cut.de.gz").write_bytes(files[1].read_bytes()[:-20])
    (tmp_path / "latin.de").write_bytes(b"Gr\xfc\xdfe")
    for name, told in (("cut.de.gz", "is damaged"), ("latin.de", "is not UTF-8"), ("none", "is not there")):
        with pytest.raises(CorpusError, match=rf"{name} {told}"):
            AlignedFiles(files[0], tmp_path / name, "train")


@pytest.mark.parametrize("split", ["dev", "test"])
def test_too_few_lines_for_a_split(split, tmp_path):
    (tmp_path / "a").write_text("zero\n")
    with pytest.raises(CorpusError, match=f"1 lines are too few for a {split} split"):
        AlignedFiles(tmp_path / "a", tmp_path / "a", split)
