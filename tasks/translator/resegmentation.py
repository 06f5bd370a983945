"""Subwords of training pairs, drawn anew in every epoch, and their word alignment."""

from collections.abc import Sequence

import numpy as np

from shared.vocabulary import SubwordVocabulary


def most_tokens(length: int) -> int:
    """The most subwords that `resegmented` gives for a text that `encode` gives that number."""
    return length + length // 4 + 2


def resegmented(
    texts: tuple[str, str],
    sources: Sequence[int],
    targets: Sequence[int],
    alignment: np.ndarray | None,
    vocabularies: tuple[SubwordVocabulary, SubwordVocabulary],
    dropout: float,
    rng: np.random.Generator,
) -> tuple[list[int], list[int], np.ndarray | None]:
    """Another segmentation of both sides of a pair, and its alignment.

    Args:
        texts: the pair.
        sources, targets: its ids by `encode`, which stay for a side that would have more than `most_tokens`.
        alignment: of these ids, see `realigned`; None without.
        vocabularies: of source and target.
        dropout: the probability of passing over a subword.
        rng: draws.
    """
    drawn: list[list[int]] = []
    for text, ids, vocabulary in zip(texts, (sources, targets), vocabularies, strict=True):
        other = vocabulary.encode(text, dropout, rng)
        drawn.append(other if len(other) <= most_tokens(len(ids)) else list(ids))
    if alignment is not None:
        alignment = realigned(alignment, (sources, drawn[0]), (targets, drawn[1]), vocabularies)
    return drawn[0], drawn[1], alignment


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
