"""A translation as users read it: words, their probabilities, their attention; and the translation of a paragraph."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from heapq import nlargest
from itertools import product

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
    attention: np.ndarray  # (words, source words + 1), the end of the source last
    unknown: list[str]  # source words that are not in the vocabulary
    kept: list[Kept] = field(default_factory=list)  # numbers, names and addresses
    is_complete: bool = True  # False if the search ended before the translation did

    @property
    def alignment(self) -> list[tuple[int, int]]:
        """Pairs of source and target word index, from 0."""
        return hard_alignment(self.attention)


def hard_alignment(attention: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of source and target word index from attention `(words, source words + 1)`.

    Each target word is aligned with the source word of highest attention; with none if that is the end of the source.
    """
    end = attention.shape[-1] - 1
    highest = enumerate(attention.argmax(-1).tolist())
    return [(source, target) for target, source in highest if source != end and attention[target, source] > 0]


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
    starts = np.flatnonzero(np.diff(word_indices(vocabulary, ids))) + 1
    return [vocabulary.decode(word.tolist()) for word in np.split(np.asarray(ids, int), starts)] if ids else []


def empty_translation() -> Translation:
    """The translation of an empty sentence."""
    return Translation(
        text="", log_prob=0.0, score=0.0, tokens=[], token_log_probs=np.empty(0), words=[], probabilities=np.empty(0),
        source_words=[], attention=np.empty((0, 1)), unknown=[],
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
    best = parts[0]
    for following in parts[1:]:
        pairs = product(best, following)
        best = [
            _joined(*pair, separator) for pair in nlargest(most, pairs, key=lambda pair: pair[0].score + pair[1].score)
        ]
    return best


def _joined(first: Translation, second: Translation, separator: str) -> Translation:
    targets, sources = len(first.words), len(first.source_words)
    attention = np.zeros((targets + len(second.words), sources + len(second.source_words) + 1))
    attention[:targets, :sources], attention[:targets, -1] = first.attention[:, :-1], first.attention[:, -1]
    attention[targets:, sources:] = second.attention
    return Translation(
        text=separator.join(text for text in (first.text, second.text) if text),
        log_prob=first.log_prob + second.log_prob,
        score=first.score + second.score,
        tokens=first.tokens + second.tokens,
        token_log_probs=np.concatenate([first.token_log_probs, second.token_log_probs]),
        words=first.words + second.words,
        probabilities=np.concatenate([first.probabilities, second.probabilities]),
        source_words=first.source_words + second.source_words,
        attention=attention,
        unknown=first.unknown + second.unknown,
        kept=first.kept + [Kept(x.text, x.source + sources, x.target + targets, x.by) for x in second.kept],
        is_complete=first.is_complete and second.is_complete,
    )
