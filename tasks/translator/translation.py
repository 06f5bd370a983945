"""A translation as users read it: words, their probabilities, their attention; and the translation of a paragraph."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import nlargest
from itertools import accumulate, chain, product

import numpy as np

from shared.vocabulary import Vocabulary, WordVocabulary


@dataclass(frozen=True)
class Kept:
    """A number, name or address that the translation has as the sentence has it."""

    text: str
    source: int  # index of its word in the sentence
    target: int  # index of its word in the translation
    by: str  # "model", "placeholder" or "attention", see `kept`


@dataclass(frozen=True, kw_only=True)
class Translation:
    """One translation of a sentence."""

    text: str
    log_prob: float  # in nats, end token included
    score: float  # the sort key of the translations of a sentence
    tokens: list[str]  # words or subwords
    token_log_probs: np.ndarray  # (tokens,)
    words: list[str]  # of the text, as separated by white space
    probabilities: np.ndarray  # (words,), of each word the product of those of its tokens
    source_words: list[str]
    attentions: list[np.ndarray]  # of each sentence: (words, source words + 1), the end of the source last
    unknown: list[str]  # source words that are not in the vocabulary
    kept: list[Kept] = field(default_factory=list)  # numbers, names and addresses
    is_complete: bool = True  # False if the search ended before the translation did

    @property
    def attention(self) -> np.ndarray:
        """`(words, source words + 1)`, the end of the source last; 0 between the words of different sentences."""
        words, source_words = np.sum([(0, 1), *((len(block), block.shape[1] - 1) for block in self.attentions)], axis=0)
        whole = np.zeros((words, source_words))
        for (target, source), block in self._blocks():
            targets, sources = slice(target, target + len(block)), slice(source, source + block.shape[1] - 1)
            whole[targets, sources], whole[targets, -1] = block[:, :-1], block[:, -1]
        return whole

    @property
    def alignment(self) -> list[tuple[int, int]]:
        """Pairs of source and target word index, from 0."""
        return [
            (source + i, target + j) for (target, source), block in self._blocks() for i, j in hard_alignment(block)
        ]

    def _blocks(self) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
        """The attention of each sentence, after the indices of its first target and source word."""
        target = source = 0
        for block in self.attentions:
            yield (target, source), block
            target, source = target + len(block), source + block.shape[1] - 1


def hard_alignment(attention: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of source and target word index from attention `(words, source words + 1)`.

    Each target word is aligned with the source word of highest attention; with none if that is the end of the source.
    """
    sources = attention.argmax(-1)
    is_aligned = (sources != attention.shape[-1] - 1) & (attention.max(-1) > 0)
    return list(zip(sources[is_aligned].tolist(), np.flatnonzero(is_aligned).tolist(), strict=True))


def word_indices(vocabulary: Vocabulary, ids: Sequence[int]) -> np.ndarray:
    """The index of the word that each token belongs to, `(tokens,)`."""
    return np.cumsum([i > 0 and vocabulary.begins_word(token_id) for i, token_id in enumerate(ids)], dtype=int)


def word_attention(attention: np.ndarray, source_indices: np.ndarray, target_indices: np.ndarray) -> np.ndarray:
    """Attention between tokens `(tokens, source tokens + 1)` -> between words `(words, source words + 1)`.

    The attention to a source word is the sum over its tokens; that of a target word is the mean over its tokens.
    """
    columns = np.append(source_indices, source_indices.max(initial=-1) + 1)
    to_words = np.float64(columns[:, None] == np.arange(columns[-1] + 1))
    of_words = np.float64(np.arange(target_indices.max(initial=-1) + 1)[:, None] == target_indices)
    return (of_words / of_words.sum(axis=1, keepdims=True)) @ attention @ to_words


def join_words(vocabulary: Vocabulary, ids: Sequence[int], tokens: Sequence[str]) -> list[str]:
    """The words that tokens form; with a vocabulary of words the tokens themselves."""
    if isinstance(vocabulary, WordVocabulary):
        return list(tokens)
    words: list[list[int]] = []
    for i in ids:
        if not words or vocabulary.begins_word(i):
            words.append([])
        words[-1].append(i)
    return [vocabulary.decode(word) for word in words]


def empty_translation() -> Translation:
    """The translation of an empty sentence."""
    return Translation(
        text="", log_prob=0.0, score=0.0, tokens=[], token_log_probs=np.empty(0), words=[], probabilities=np.empty(0),
        source_words=[], attentions=[], unknown=[],
    )  # fmt: skip


def as_written(translation: Translation, sentence: str) -> Translation:
    """The translation of a sentence that was read with other capital letters, in capitals if the sentence is."""
    translation = replace(translation, source_words=sentence.split(" "))
    if not sentence.isupper():
        return translation
    kept = [replace(span, text=span.text.upper()) for span in translation.kept]
    words = [word.upper() for word in translation.words]
    return replace(translation, text=translation.text.upper(), words=words, kept=kept)


def joined(parts: Sequence[list[Translation]], separator: str) -> list[Translation]:
    """The translations of a text from those of its sentences: as many as the sentence with most, best first."""
    if len(parts) == 1:
        return parts[0]
    most = max(map(len, parts))
    best: list[tuple[float, tuple[int, ...]]] = [(0.0, ())]  # scores, and the index of the translation of each sentence
    for part in parts:
        # Each has at least the score of the next: one that keeps a value precedes others with a better score.
        scores = list(accumulate((one.score for one in reversed(part)), max))[::-1]
        longer = ((total + score, (*chosen, i)) for (total, chosen), (i, score) in product(best, enumerate(scores)))
        best = nlargest(most, longer, key=lambda pair: pair[0])
    return [_joined([part[i] for part, i in zip(parts, chosen, strict=True)], separator) for _, chosen in best]


def _joined(parts: Sequence[Translation], separator: str) -> Translation:
    kept, sources, targets = [], 0, 0
    for part in parts:
        kept += [Kept(span.text, span.source + sources, span.target + targets, span.by) for span in part.kept]
        sources, targets = sources + len(part.source_words), targets + len(part.words)
    return Translation(
        text=separator.join(part.text for part in parts if part.text),
        log_prob=sum(part.log_prob for part in parts),
        score=sum(part.score for part in parts),
        tokens=list(chain.from_iterable(part.tokens for part in parts)),
        token_log_probs=np.concatenate([part.token_log_probs for part in parts]),
        words=list(chain.from_iterable(part.words for part in parts)),
        probabilities=np.concatenate([part.probabilities for part in parts]),
        source_words=list(chain.from_iterable(part.source_words for part in parts)),
        attentions=list(chain.from_iterable(part.attentions for part in parts)),
        unknown=list(chain.from_iterable(part.unknown for part in parts)),
        kept=kept,
        is_complete=all(part.is_complete for part in parts),
    )
