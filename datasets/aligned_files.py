"""Two files of text, line by line translations of each other, as a corpus; and how pairs are dealt out to splits."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from datasets import CorpusError

PART = 50  # one pair in so many is for development, another for the test


class AlignedFiles(Sequence[dict[str, str]]):
    """The pairs of one split: `source` and `target`.

    Args:
        source, target: files in UTF-8, compressed by gzip or not.
        split: "train", "dev" or "test", see `deal`.

    Raises:
        CorpusError: a file cannot be read, they have unequal numbers of lines, or too few for the split.
    """

    def __init__(self, source: Path, target: Path, split: str):
        pairs = read_pairs(source, target)
        self.pairs = [pair for pair, dealt in zip(pairs, deal(pairs, PART), strict=True) if dealt == split]
        if not self.pairs:
            raise CorpusError(f"{source}: {len(pairs)} lines are too few for a {split} split")

    def __len__(self) -> int:
        return len(self.pairs)

    def __getitem__(self, index):
        source, target = self.pairs[index]
        return {"source": source, "target": target}


def read_pairs(source: Path, target: Path) -> list[tuple[str, str]]:
    """Lines with their translations; CorpusError as above."""
    from datasets.lines import read_lines

    sources, targets = read_lines(source), read_lines(target)
    if len(sources) != len(targets):
        raise CorpusError(
            f"{source} has {len(sources):,} lines, {target} has {len(targets):,}; line by line translations of each"
            " other were expected"
        )
    return list(zip(sources, targets, strict=True))


def fingerprint(source: Path, target: Path) -> str:
    """A hash of what two files hold."""
    told = hashlib.sha256()
    for pair in read_pairs(source, target):
        told.update("\t".join(pair).encode() + b"\n")
    return told.hexdigest()[:16]


def deal(pairs: Sequence[tuple[str, str]], part: int = 100) -> list[str]:
    """The split of each pair: of `part` groups of pairs one is "dev", one "test", the others are "train".

    No sentence of one split, in either language, stands in another: pairs that share a sentence are one group, with
    those that share one with them. Which split it is follows from the first sentence of the group in the order of the
    alphabet, so a longer version of the same corpus is dealt out alike.
    """
    leaders: dict[tuple[int, str], tuple[int, str]] = {}

    def leader(sentence: tuple[int, str]) -> tuple[int, str]:
        while (above := leaders.setdefault(sentence, sentence)) != sentence:
            leaders[sentence] = leaders[above]
            sentence = above
        return sentence

    for english, other in pairs:
        first, second = sorted((leader((0, english)), leader((1, other))))
        leaders[second] = first

    def split(english: str) -> str:
        _, sentence = leader((0, english))
        place = int(hashlib.sha256(sentence.encode()).hexdigest(), 16) % part
        return {part - 1: "dev", part - 2: "test"}.get(place, "train")

    return [split(english) for english, _ in pairs]
