"""A parallel corpus of the user's own files, and the assignment of sentence pairs to splits."""

import hashlib
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path

from datasets import CorpusError
from datasets.lines import read_lines
from datasets.pair_files import Pair, read_pair_file

BUCKETS = 50  # of the hash that assigns pairs to splits: 1/50 of the pairs for dev, 1/50 for test

Files = tuple[Path, ...]
"""One file of pairs, see `pair_files`, or two files that are aligned line by line, source first; none at all."""


def read_split(files: Mapping[str, Files], split: str, languages: Pair = ("", "")) -> list[Pair]:
    """Return the pairs of a split; a pair of which one side is in dev or test files of their own is in no other split.

    Args:
        files: The files of "train", and of "dev" and "test" if they have some of their own. Otherwise they are taken
            from those of "train", see `assign_splits`.
        split: "train", "dev" or "test".
        languages: Codes of source and target, for files that name languages.

    Raises:
        CorpusError: A file cannot be read, two files differ in their number of lines, or the split is empty.
    """
    if split != "train" and files.get(split):
        return read_pairs(files[split], languages)
    pairs = read_pairs(files["train"], languages)
    own = [name for name in ("dev", "test") if files.get(name)]
    held_out = {side for name in own for pair in read_pairs(files[name], languages) for side in _sides(pair)}
    chosen = []
    for pair, name in zip(pairs, assign_splits(pairs, BUCKETS), strict=True):
        if (("train" if name in own else name) == split) and not held_out & {*_sides(pair)}:
            chosen.append(pair)
    if not chosen:
        wanted = "other pairs than those of dev and test"
        if split != "train":
            wanted = f"thousands, or files with --{split}-source-file and --{split}-target-file or --{split}-pairs-file"
        raise CorpusError(
            f"{files['train'][0]}: {len(pairs):,} pairs are too few for a {split} split; expected {wanted}"
        )
    return chosen


def _sides(pair: Pair) -> tuple[tuple[int, str], tuple[int, str]]:
    """The sentences of a pair, as others are compared with them, each with the index of its language."""
    source, target = map(folded, pair)
    return (0, source), (1, target)


def read_pairs(files: Files, languages: Pair = ("", "")) -> list[Pair]:
    """Return all pairs of files; raises CorpusError as `read_split`."""
    if len(files) == 1:
        return read_pair_file(files[0], *languages)
    (source, target), (sources, targets) = files, map(read_lines, files)
    if len(sources) != len(targets):
        raise CorpusError(f"{source} has {len(sources):,} lines, {target} has {len(targets):,}; expected equal numbers")
    return list(zip(sources, targets, strict=True))


def fingerprint(files: Mapping[str, Files], languages: Pair = ("", "")) -> str:
    """Return a hash of the contents of all files; their order within a split matters, their encoding does not."""
    digests = []
    for name in ("train", "dev", "test"):
        for side in zip(*read_pairs(files[name], languages), strict=True) if files.get(name) else ():
            digests.append(hashlib.sha256("\n".join(side).encode()).digest())
    return hashlib.sha256(b"".join(digests)).hexdigest()[:16]


def folded(sentence: str) -> str:
    """A sentence as others are compared with it: letters with their marks, and digits alone, in lower case.

    A sentence without letters and digits stays as it is.

    >>> folded("Wie geht's?") == folded("WIE GEHTS"), folded("?!")
    (True, '?!')
    """
    composed = unicodedata.normalize("NFC", sentence)
    return "".join(sign for sign in composed if unicodedata.category(sign)[0] in "LMN").casefold() or sentence


def assign_splits(pairs: Sequence[tuple[str, str]], buckets: int = 100) -> list[str]:
    """Return the split of each pair: of `buckets` hash buckets one is "dev", one is "test", the others are "train".

    No sentence of one split, in either language, occurs in another, not even in other case or punctuation: pairs that
    share a sentence (`folded`), directly or through other pairs, form a group that stays together. The hash is that of
    the alphabetically first English sentence of the group, so a longer version of the same corpus is split alike.
    """
    pairs = [(folded(english), folded(other)) for english, other in pairs]
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
