"""Subwords of training pairs, drawn anew in every epoch, and their word alignment."""

from collections.abc import Sequence

import numpy as np

from shared.vocabulary import SubwordVocabulary, Vocabulary

Row = tuple[list[int], list[int], np.ndarray | None]
"""The ids of a sentence and of its translation, without special tokens, and their alignment as of `aligner.align`."""


def most_tokens(length: int) -> int:
    """The most subwords that `resegmented` gives for a text that `encode` gives that number."""
    return length + length // 4 + 2


def resegmented(
    texts: tuple[str, str],
    row: Row,
    vocabularies: tuple[Vocabulary, Vocabulary],
    dropout: float,
    rng: np.random.Generator,
) -> Row:
    """Another segmentation of both sides of a pair, and its alignment.

    Args:
        texts: the pair.
        row: its ids by `encode`, which stay for a side that would have more than `most_tokens`, and their alignment.
        vocabularies: of source and target, both of subwords.
        dropout: the probability of passing over a subword.
        rng: draws.
    """
    source, target = vocabularies
    if not (isinstance(source, SubwordVocabulary) and isinstance(target, SubwordVocabulary)):
        raise TypeError(f"Expected vocabularies of subwords. Received: {source.kind} and {target.kind}")
    sources, targets = (
        _drawn(text, ids, vocabulary, dropout, rng)
        for text, ids, vocabulary in zip(texts, row[:2], (source, target), strict=True)
    )
    if row[2] is None:
        return sources, targets, None
    return sources, targets, realigned(row[2], (row[0], sources), (row[1], targets), (source, target))


def _drawn(
    text: str, ids: list[int], vocabulary: SubwordVocabulary, dropout: float, rng: np.random.Generator
) -> list[int]:
    drawn = vocabulary.encode(text, dropout, rng)
    return drawn if len(drawn) <= most_tokens(len(ids)) else ids


def realigned(
    alignment: np.ndarray,
    sources: tuple[Sequence[int], Sequence[int]],
    targets: tuple[Sequence[int], Sequence[int]],
    vocabularies: tuple[SubwordVocabulary, SubwordVocabulary],
) -> np.ndarray:
    """The alignment of tokens `(target, source + 1)` as one of the tokens of another segmentation.

    The weight of a source token is divided among the tokens that have its bytes; a target token has the mean of the
    rows of the tokens that its bytes were in.

    Args:
        alignment: of the first segmentation; each row adds up to 1, the end of the source last.
        sources, targets: the ids of both segmentations, without special tokens.
        vocabularies: of source and target.
    """
    lengths = [
        [np.array([len(vocabulary.token_bytes[i]) for i in ids]) for ids in sides]
        for sides, vocabulary in zip((sources, targets), vocabularies, strict=True)
    ]
    common_source, common_target = (_common(*sides) for sides in lengths)
    by_source = alignment[:, :-1] @ (common_source / lengths[0][0][:, None])
    rows = np.concatenate([by_source, alignment[:, -1:]], axis=1)
    return (common_target.T / lengths[1][1][:, None]) @ rows


def _common(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The number of bytes that tokens of two segmentations of one text have in common, `(before, after)`."""
    ends_before, ends_after = np.cumsum(before)[:, None], np.cumsum(after)
    last = np.minimum(ends_before, ends_after)
    first = np.maximum(ends_before - before[:, None], ends_after - after)
    return np.maximum(last - first, 0)
