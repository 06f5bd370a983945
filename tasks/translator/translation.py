"""From sentences to translations: what every command calls.

>>> from tasks.translator.translation import Translator
>>> translate = Translator.load("multi30k-de-en")
>>> translate(["Ein Hund läuft."])[0][0].text
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from shared.any_size import AnySize
from shared.batching import packed
from shared.errors import UserError
from shared.runs import Run
from shared.vocabulary import Vocabulary, WordVocabulary
from tasks.translator.config import RELEASED, TASK, Config
from tasks.translator.data import source_batch, tidy
from tasks.translator.fusion import LanguageModel
from tasks.translator.model import EncoderDecoder, copied_places, load_model, translate

TOKENS = 2000  # of sources in a batch, padding included


@dataclass(frozen=True, kw_only=True)
class Translation:
    """One translation of a sentence.

    Attributes:
        text: as people read it.
        log_prob: natural logarithm of its probability, the end included.
        score: what translations of a sentence are sorted by.
        tokens: its words or pieces of them.
        token_log_probs: of each token's, `(tokens,)`.
        words: its words, as spaces tell them apart.
        probabilities: of each word, `(words,)`: the product of its tokens'.
        source_words: those of the sentence.
        attention: where the model looked at each word, `(words, source words + 1)`, the end of the source last.
        unknown: words of the source that the model does not know.
    """

    text: str
    log_prob: float
    score: float
    tokens: list[str]
    token_log_probs: np.ndarray
    words: list[str]
    probabilities: np.ndarray
    source_words: list[str]
    attention: np.ndarray
    unknown: list[str]

    @property
    def alignment(self) -> list[tuple[int, int]]:
        """Places of a source word and of the word that was written when it was looked at most, from 0."""
        return hard_alignment(self.attention)


def hard_alignment(attention: np.ndarray) -> list[tuple[int, int]]:
    """Of each word (words, source words + 1) the source word with the most weight, unless that is the end."""
    end = attention.shape[-1] - 1
    return [
        (int(place), number)
        for number, (place, most) in enumerate(zip(attention.argmax(-1), attention.max(-1), strict=True))
        if place != end and most > 0
    ]


def word_numbers(vocabulary: Vocabulary, ids: Sequence[int]) -> np.ndarray:
    """To which word each token belongs, from 0, `(tokens,)`."""
    return np.cumsum([place > 0 and vocabulary.begins_word(token_id) for place, token_id in enumerate(ids)], dtype=int)


def between_words(weights: np.ndarray, source_numbers: np.ndarray, target_numbers: np.ndarray) -> np.ndarray:
    """Attention between tokens, the end of the source last, as attention between words.

    What a token pays to the parts of a source word is added up; the tokens of a word pay what they pay on average.
    """
    columns = np.append(source_numbers, source_numbers.max(initial=-1) + 1)
    to_words = np.zeros((len(columns), int(columns[-1]) + 1))
    to_words[np.arange(len(columns)), columns] = 1
    of_words = np.zeros((int(target_numbers.max(initial=-1)) + 1, len(target_numbers)))
    of_words[target_numbers, np.arange(len(target_numbers))] = 1
    return (of_words / of_words.sum(axis=1, keepdims=True)) @ weights @ to_words


class Searcher(AnySize):
    """`translate`, compiled once: call `predict_on_batch` with source ids."""

    def __init__(self, models: Sequence[EncoderDecoder], config: Config):
        super().__init__()
        self.models, self.config = list(models), config

    def call(self, inputs):
        """Source ids (batch, source) -> the fields of Hypotheses, and `copied`."""
        config = self.config
        found = translate(
            self.models,
            inputs,
            beam=config.beam,
            max_length=config.max_length,
            length_penalty=config.length_penalty,
        )
        return {**found._asdict(), "copied": copied_places(found, inputs)}


class Translator:
    """One or several trained translators, for any number of sentences.

    Args:
        models: of the same vocabularies.
        source, target: these vocabularies.
        config: `beam`, `length_penalty` and `max_length` count.
        language_model: has a say in which of the translations found is best.
    """

    def __init__(
        self,
        models: Sequence[EncoderDecoder],
        source: Vocabulary,
        target: Vocabulary,
        config: Config,
        language_model: LanguageModel | None = None,
    ):
        self.source, self.target, self.config = source, target, config
        self.models, self.language_model = models, language_model
        self.searcher = Searcher(models, config)

    @classmethod
    def load(
        cls,
        *models: str,
        beam: int | None = None,
        n_best: int = 1,
        language_model: LanguageModel | None = None,
    ) -> "Translator":
        """Loads runs or folders, by default the released model, to search with `beam`, or with at least `n_best`.

        Raises:
            UserError: there is no such run, its files do not fit together, or several do not translate alike.
        """
        runs = [Run.find(model, TASK, RELEASED) for model in (models or (None,))]
        loaded = [load_model(run) for run in runs]
        config, source, target, _ = loaded[0]
        for run, (other, its_source, its_target, _) in zip(runs, loaded, strict=True):
            if (other.source, other.target) != (config.source, config.target):
                raise UserError(
                    f"{run.name} translates from {other.source} to {other.target}, {runs[0].name} from"
                    f" {config.source} to {config.target}; models of one direction can be joined"
                )
            if (its_source.fingerprint, its_target.fingerprint) != (source.fingerprint, target.fingerprint):
                raise UserError(f"{run.name} and {runs[0].name} have other vocabularies, so they cannot be joined")
        config = replace(config, beam=beam or max(config.beam, n_best))
        return cls([model for *_, model in loaded], source, target, config, language_model)

    def __call__(self, sentences: Sequence[str]) -> list[list[Translation]]:
        """The translations of each sentence, best first; of an empty one "".

        Raises:
            UserError: a sentence is too long, see `refusal`.
        """
        sentences = [tidy(sentence) for sentence in sentences]
        asked = [sentence for sentence in dict.fromkeys(sentences) if sentence]  # one that comes again is asked once
        encoded = [self.source.encode(sentence) for sentence in asked]
        for ids in encoded:
            if reason := self._refusal(ids):
                raise UserError(reason)
        translations = {"": [_nothing()]}
        for places in packed([len(ids) + 1 for ids in encoded], TOKENS):
            found = self.searcher.predict_on_batch(source_batch([encoded[place] for place in places]))
            for row, place in enumerate(places):
                pieces = self.source.pieces(asked[place])
                read = self._read(found, row, encoded[place], pieces)
                if self.language_model:
                    read = self.language_model.sort(read, self.config)
                translations[asked[place]] = read
        return [translations[sentence] for sentence in sentences]

    def refusal(self, sentence: str) -> str | None:
        """Why a sentence is not translated: it has far more tokens than those that the model was trained on."""
        return self._refusal(self.source.encode(tidy(sentence)))

    def _refusal(self, ids: Sequence[int]) -> str | None:
        if len(ids) <= 2 * self.config.max_length:
            return None
        return f"has {len(ids):,} tokens, more than twice the {self.config.max_length} of training; split it"

    def _read(self, found: dict[str, Any], row: int, source_ids: list[int], pieces: list[str]) -> list[Translation]:
        """Those of a row; a place that search left empty, of length 0, is none."""
        source_numbers = word_numbers(self.source, source_ids)
        source_words = self._words(self.source, source_ids, source_numbers, pieces)
        unknown = [
            piece for piece, token_id in zip(pieces, source_ids, strict=True) if token_id == Vocabulary.unknown_id
        ]
        read = []
        for place, length in enumerate(found["lengths"][row]):
            if not length:
                continue
            ids = [int(token_id) for token_id in found["token_ids"][row, place, :length]]
            ids = [token_id for token_id in ids if token_id != self.target.end_id]
            tokens = self.target.tokens(ids)
            for number, copied in enumerate(found["copied"][row, place, : len(ids)]):
                if copied >= 0:
                    tokens[number] = pieces[copied]
            numbers = word_numbers(self.target, ids)
            log_probs = found["token_log_probs"][row, place, : len(ids)]
            words = self._words(self.target, ids, numbers, tokens)
            read.append(
                Translation(
                    text=" ".join(words) if isinstance(self.target, WordVocabulary) else self.target.decode(ids),
                    log_prob=float(found["log_probs"][row, place]),
                    score=float(found["scores"][row, place]),
                    tokens=tokens,
                    token_log_probs=log_probs,
                    words=words,
                    probabilities=np.exp(np.bincount(numbers, log_probs, len(words))),
                    source_words=source_words,
                    attention=between_words(
                        found["extras"][row, place, : len(ids), : len(source_ids) + 1], source_numbers, numbers
                    ),
                    unknown=unknown,
                )
            )
        return read

    @staticmethod
    def _words(vocabulary: Vocabulary, ids: list[int], numbers: np.ndarray, tokens: list[str]) -> list[str]:
        """The text of each word."""
        if isinstance(vocabulary, WordVocabulary):
            return list(tokens)
        groups: list[list[int]] = [[] for _ in range(int(numbers.max(initial=-1)) + 1)]
        for token_id, number in zip(ids, numbers, strict=True):
            groups[number].append(token_id)
        return [vocabulary.decode(group) for group in groups]


def _nothing() -> Translation:
    """The translation of nothing."""
    return Translation(
        text="", log_prob=0.0, score=0.0, tokens=[], token_log_probs=np.empty(0), words=[], probabilities=np.empty(0),
        source_words=[], attention=np.empty((0, 1)), unknown=[],
    )  # fmt: skip
