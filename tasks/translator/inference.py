"""Translates sentences, and scores given translations: load once, process any number of sentences.

>>> from tasks.translator.inference import Translator
>>> translate = Translator.load("multi30k-de-en")
>>> translate(["Ein Hund läuft."])[0][0].text
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shared.batching import pad
from shared.errors import ListError, UserError, check_list, shown
from shared.text import tidy
from shared.training import Loaded
from shared.vocabulary import Vocabulary, WordVocabulary
from tasks.translator.config import Config, find_run
from tasks.translator.fusion import LanguageModel
from tasks.translator.model import (
    MAX_SCORES,
    EncoderDecoder,
    ScoringModel,
    SearchModel,
    Vocabularies,
    load_model,
    source_batch,
)

BATCH_TOKENS = 2000  # of either language, padding included

LoadedTranslator = Loaded[Config, Vocabularies, EncoderDecoder]


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


class Translator:
    """Translates with one model, or with an ensemble.

    Args:
        loaded: results of `load_model`; several models of the same languages and vocabularies form an ensemble.
        beam: beam width; default: the value in the config of the first model, but at least `n_best`.
        n_best: number of translations needed for each sentence.
        language_model: rescores the translations.
    """

    def __init__(
        self, *loaded: LoadedTranslator, beam: int | None = None, n_best: int = 1,
        language_model: LanguageModel | None = None,
    ):  # fmt: skip
        config, self.vocabulary, _ = loaded[0]
        self.config = replace(config, beam=beam or max(config.beam, n_best))
        self.loaded, self.language_model = loaded, language_model
        self.search = SearchModel([model for _, _, model in loaded], self.config)

    @classmethod
    def load(
        cls, model: str | None = None, *others: str, beam: int | None = None, n_best: int = 1,
        language_model: LanguageModel | None = None,
    ) -> "Translator":  # fmt: skip
        """Loads a run or folder, by default the released model; further ones form an ensemble with it.

        Raises RunError if a run is missing or damaged, UserError if an ensemble differs in languages or vocabularies.
        """
        runs = [find_run(name) for name in (model, *others)]
        loaded = [load_model(run) for run in runs]
        languages = [f"from {config.source} to {config.target}" for config, _, _ in loaded]
        fingerprints = [[side.fingerprint for side in vocabulary] for _, vocabulary, _ in loaded]
        names = [run.name for run in runs]
        for i, name in enumerate(names):
            if languages[i] != languages[0]:
                directions = f"{name} translates {languages[i]}, {names[0]} {languages[0]}"
                raise UserError(f"{directions}; an ensemble needs models of the same languages")
            if fingerprints[i] != fingerprints[0]:
                raise UserError(f"{name} and {names[0]} have different vocabularies; the same were expected")
        return cls(*loaded, beam=beam, n_best=n_best, language_model=language_model)

    def __call__(self, sentences: Sequence[str]) -> list[list[Translation]]:
        """The translations of each sentence, best first; one empty translation of an empty sentence.

        Raises UserError if a sentence is too long, see `refusal`; ListError for one sentence that is not in a list.
        """
        check_list(sentences, "sentences")
        sentences = [tidy(sentence) for sentence in sentences]
        different = [sentence for sentence in dict.fromkeys(sentences) if sentence]  # repeated ones are searched once
        for sentence in different:
            if reason := self.refusal(sentence):
                raise UserError(reason)
        encoded = [self.vocabulary.source.encode(sentence) for sentence in different]
        translations = {"": [_empty_translation()]}
        for indices in self.search.batches([len(ids) + 1 for ids in encoded], self._batch_tokens):
            result = self.search.predict_on_batch({"source_ids": source_batch([encoded[i] for i in indices])})
            for row, i in enumerate(indices):
                tokens = self.vocabulary.source.pieces(different[i])
                ranks = np.flatnonzero(result["lengths"][row]).tolist()  # length 0 is an unused entry of the beam
                best = [self._translation(result, row, rank, encoded[i], tokens) for rank in ranks]
                translations[different[i]] = self._rescored(best)
        return [translations[sentence] for sentence in sentences]

    @property
    def _batch_tokens(self) -> int:
        """Tokens of a batch; fewer with a wide beam and a large vocabulary, whose scores would fill the memory."""
        return max(1, min(BATCH_TOKENS, MAX_SCORES // (self.config.beam * len(self.vocabulary.target))))

    def refusal(self, sentence: str) -> str | None:
        """Why a sentence cannot be translated: it is more than twice as long as those of training."""
        count = len(self.vocabulary.source.encode(tidy(sentence)))
        if count <= 2 * self.config.max_length:
            return None
        return f"has {count:,} tokens, more than twice the {self.config.max_length} of training; split it"

    def accepted(self, sentences: Sequence[str]) -> list[str]:
        """The sentences, "" in place of those that are too long; ListError for one that is not in a list."""
        check_list(sentences, "sentences")
        return ["" if self.refusal(sentence) else sentence for sentence in sentences]

    def _translation(
        self, result: dict[str, Any], row: int, rank: int, source_ids: list[int], source_tokens: list[str]
    ) -> Translation:
        """One hypothesis of the search."""
        source, target = self.vocabulary
        values: dict[str, Any] = {name: value[row, rank] for name, value in result.items()}
        ids = [i for i in values["token_ids"][: values["lengths"]].tolist() if i != target.end_id]
        copied = zip(values["copied"][: len(ids)], target.tokens(ids), strict=True)
        tokens = [source_tokens[i] if i >= 0 else token for i, token in copied]
        words, indices = join_words(target, ids, tokens), word_indices(target, ids)
        log_probs, attention = (
            values["token_log_probs"][: len(ids)],
            values["extras"][: len(ids), : len(source_ids) + 1],
        )
        return Translation(
            text=" ".join(words) if isinstance(target, WordVocabulary) else target.decode(ids),
            log_prob=float(values["log_probs"]),
            score=float(values["scores"]),
            tokens=tokens,
            token_log_probs=log_probs,
            words=words,
            probabilities=np.exp(np.bincount(indices, log_probs, len(words))),
            source_words=join_words(source, source_ids, source_tokens),
            attention=word_attention(attention, word_indices(source, source_ids), indices),
            unknown=[token for token, i in zip(source_tokens, source_ids, strict=True) if i == source.unknown_id],
        )

    def _rescored(self, translations: list[Translation]) -> list[Translation]:
        """The translations of a sentence with the language model's scores, best first."""
        if self.language_model is None:
            return translations
        values = [(best.text, best.log_prob, len(best.tokens) + 1) for best in translations]
        scores = self.language_model.scores(values, self.config.length_penalty)
        rescored = [replace(best, score=score) for best, score in zip(translations, scores, strict=True)]
        return sorted(rescored, key=lambda best: -best.score)


def _empty_translation() -> Translation:
    """The translation of an empty sentence."""
    return Translation(
        text="", log_prob=0.0, score=0.0, tokens=[], token_log_probs=np.empty(0), words=[], probabilities=np.empty(0),
        source_words=[], attention=np.empty((0, 1)), unknown=[],
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class PairScore:
    """The log-probability of a given translation."""

    source: str
    target: str
    tokens: list[str]  # of the translation, and `</s>`
    log_probs: np.ndarray  # (tokens,), in nats
    unknown: list[bool]  # whether each token is unknown to the model
    attention: np.ndarray  # (tokens, source + 1), to the source tokens, the end of the source last

    @property
    def log_prob(self) -> float:
        """The sum over the tokens."""
        return float(self.log_probs.sum())

    @property
    def perplexity(self) -> float:
        """Per token, end token included."""
        return math.exp(min(-self.log_prob / len(self.tokens), 700))


class PairScorer:
    """Scores given translations.

    >>> PairScorer.load("multi30k-de-en")([("Ein Hund.", "A dog.")])[0].log_prob
    """

    def __init__(self, loaded: LoadedTranslator):
        self.vocabulary, self.scoring = loaded.vocabulary, ScoringModel(loaded.model)

    @classmethod
    def load(cls, model: str | None = None) -> "PairScorer":
        """Loads a run or folder, by default the released model; RunError if there is none or it is damaged."""
        return cls(load_model(find_run(model)))

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[PairScore]:
        """The score of each pair of a sentence and its translation; ListError for one that is not in a list."""
        check_list(pairs, "pairs of texts")
        for pair in pairs:
            if isinstance(pair, str) or len(pair) != 2:
                raise ListError(f"{shown(pair)}: a sentence and its translation were expected, in a list of such pairs")
        vocabulary = self.vocabulary.target
        sources = [self.vocabulary.source.encode(tidy(source)) for source, _ in pairs]
        targets = [[*vocabulary.encode(tidy(target)), vocabulary.end_id] for _, target in pairs]
        lengths = [max(len(source) + 1, len(target)) for source, target in zip(sources, targets, strict=True)]
        scores: dict[int, PairScore] = {}
        for indices in self.scoring.batches(lengths, BATCH_TOKENS):
            source_ids, target_ids = source_batch([sources[i] for i in indices]), pad([targets[i] for i in indices])
            inputs = {"source_ids": source_ids, "target_ids": target_ids}
            for i, log_probs, attention in zip(indices, *self.scoring.predict_on_batch(inputs), strict=True):
                (source, target), length = pairs[i], len(targets[i])
                scores[i] = PairScore(
                    source=source,
                    target=target,
                    tokens=[*vocabulary.pieces(tidy(target)), vocabulary.table[vocabulary.end_id]],
                    log_probs=log_probs[:length],
                    unknown=[token_id == vocabulary.unknown_id for token_id in targets[i]],
                    attention=attention[:length, : len(sources[i]) + 1],
                )
        return [scores[i] for i in range(len(pairs))]
