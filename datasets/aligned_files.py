"""A parallel corpus of two text files, aligned line by line, and the assignment of sentence pairs to splits."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from datasets import CorpusError
from datasets.lines import read_lines

BUCKETS = 50  # of the hash that assigns pairs to splits: 1/50 of the pairs for dev, 1/50 for test


class AlignedFiles(Sequence[dict[str, str]]):
    """The pairs of one split, as records with the keys `source` and `target`.

    Args:
        source: UTF-8 file, plain or compressed by gzip, with one sentence a line.
        target: File of the translations of the same lines, in the same form.
        split: "train", "dev" or "test"; see `assign_splits`.

    Raises:
        CorpusError: A file cannot be read, the files differ in their number of lines, or the split is empty.
    """

    def __init__(self, source: Path, target: Path, split: str) -> None:
        pairs = read_pairs(source, target)
        splits = assign_splits(pairs, BUCKETS)
        self.pairs = [pair for pair, assigned in zip(pairs, splits, strict=True) if assigned == split]
        if not self.pairs:
            raise CorpusError(f"{source}: {len(pairs)} lines are too few for a {split} split")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index: int) -> dict[str, str]:
        source, target = self.pairs[index]
        return {"source": source, "target": target}


def read_pairs(source: Path, target: Path) -> list[tuple[str, str]]:
    """Return the lines of two files as pairs; raises CorpusError if a file cannot be read or their counts differ."""
    sources, targets = read_lines(source), read_lines(target)
    if len(sources) != len(targets):
        raise CorpusError(f"{source} has {len(sources):,} lines, {target} has {len(targets):,}; expected equal numbers")
    return list(zip(sources, targets, strict=True))


def fingerprint(source: Path, target: Path) -> str:
    """Return a hash of the contents of two aligned files."""
    sides = zip(*read_pairs(source, target), strict=True)
    digests = [hashlib.sha256("\n".join(lines).encode()).digest() for lines in sides]
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]


def assign_splits(pairs: Sequence[tuple[str, str]], buckets: int = 100) -> list[str]:
    """Return the split of each pair: of `buckets` hash buckets one is "dev", one is "test", the others are "train".

    No sentence of one split, in either language, occurs in another: pairs that share a sentence, directly or through
    other pairs, form a group that stays together. The hash is that of the alphabetically first English sentence of the
    group, so a longer version of the same corpus is split alike.
    """
    parents: dict[tuple[int, str], tuple[int, str]] = {}  # union-find over (language, sentence)

    def root(sentence: tuple[int, str]) -> tuple[int, str]:
        while (parent := parents.setdefault(sentence, sentence)) != sentence:
            parents[sentence] = parents[parent]
            sentence = parent
        return sentence

    for english, other in pairs:
        first, second = sorted((root((0, english)), root((1, other))))
        parents[second] = first

    def split(english: str) -> str:
        _, sentence = root((0, english))
        bucket = int(hashlib.sha256(sentence.encode()).hexdigest(), 16) % buckets
        return {buckets - 1: "dev", buckets - 2: "test"}.get(bucket, "train")

    return [split(english) for english, _ in pairs]
