"""Translates sentences, and scores given translations: load once, process any number of sentences.

>>> from tasks.translator.inference import Translator
>>> translate = Translator.load("multi30k-de-en")
>>> translate(["Ein Hund läuft."])[0][0].text
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.bounds import check_product
from shared.errors import ListError, UserError, check_list, shortened, shown
from shared.kept import Runtime, kept_function, runs_on_keras
from shared.languages import primary_language
from shared.loaded import Loaded
from shared.packing import pad
from shared.runs import Run
from shared.sentences import separator, split_clauses, split_sentences
from shared.vocabulary import WordVocabulary
from tasks.translator import kept
from tasks.translator.casing import as_trained
from tasks.translator.config import MAX_SCORES, Config, find_run
from tasks.translator.text import clean, without_entities
from tasks.translator.translation import (
    Translation,
    as_written,
    empty_translation,
    hard_alignment,
    join_words,
    joined,
    word_attention,
    word_indices,
)
from tasks.translator.vocabularies import Vocabularies, load_vocabularies, source_batch

if TYPE_CHECKING:
    from tasks.translator.fusion import LanguageModel
    from tasks.translator.model import EncoderDecoder

    LoadedTranslator = Loaded[Config, Vocabularies, EncoderDecoder]

BATCH_TOKENS = 2000  # of either language, padding included
MAX_ATTENTION = 10_000_000  # weights of a pair that is scored, such as 3,000 tokens in both languages
MAX_LOGITS = 100_000_000  # of its translation, such as 12,000 tokens of 8,000 words


class Translator:
    """Translates with one model, or with an ensemble.

    A text is split into its sentences, and a sentence that is longer than those of training into its clauses. One that
    is all in lower case or in capitals is read as training writes it (`casing`). Numbers, names and addresses are kept
    (`kept`). The translations are joined.

    Args:
        loaded: results of `load_model`; several models of the same languages and vocabularies form an ensemble.
        beam: beam width; default: the value in the config of the first model, but at least `n_best`.
        n_best: number of translations needed for each sentence.
        language_model: rescores the translations.
        as_is: each text is one sentence, and is translated as it is written.
        search: with that beam, from `shared.kept`; the model is None then.
    """

    def __init__(
        self, *loaded: "LoadedTranslator | Loaded[Config, Vocabularies, None]", beam: int | None = None,
        n_best: int = 1, language_model: "LanguageModel | None" = None, as_is: bool = False, search: Any = None,
    ):  # fmt: skip
        config, self.vocabulary, _ = loaded[0]
        self.config = _searching(config, beam, n_best)
        self.loaded: Any = loaded
        self.language_model, self.as_is = language_model, as_is
        self.search: Any = search or _search([model for _, _, model in loaded], self.config)

    @classmethod
    def load(
        cls, model: str | None = None, *others: str, beam: int | None = None, n_best: int = 1,
        language_model: "LanguageModel | None" = None, as_is: bool = False, source: str | None = None,
        target: str | None = None, runtime: Runtime = "keras",
    ) -> "Translator":  # fmt: skip
        """Loads a run or folder, by default the released model; further ones form an ensemble with it, on Keras.

        The runtimes `graph` and `onnx` need no Keras after the first use of a run with a beam, see `shared.kept`.
        `source` and `target` name the languages, by codes such as "de" or in English. Raises RunError if a run is
        missing, damaged or of another direction, UserError if an ensemble differs in languages or vocabularies.
        """
        runs = [find_run(name, source, target) for name in (model, *others)]
        options: dict[str, Any] = {"beam": beam, "n_best": n_best, "language_model": language_model, "as_is": as_is}
        if not others and not runs_on_keras(runtime):
            return cls._without_keras(runs[0], runtime, **options)
        from tasks.translator.model import load_model

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
        return cls(*loaded, **options)

    @classmethod
    def _without_keras(cls, run: Run, runtime: Runtime, **options: Any) -> "Translator":
        config = run.read_config(Config)
        beam = _searching(config, options["beam"], options["n_best"]).beam
        search = kept_function(
            run, "translate", {"beam": beam}, lambda: cls.load(str(run.path), beam=beam).search, runtime
        )
        return cls(Loaded(config, load_vocabularies(run, config), None), search=search, **options)

    def __call__(self, texts: Sequence[str]) -> list[list[Translation]]:
        """The translations of each text, best first; one empty translation of an empty text.

        Raises UserError if a text is too long, see `refusal`; ListError for one text that is not in a list.
        """
        return [self.whole([best for _, best in parts]) for parts in self.by_part(texts)]

    def by_part(self, texts: Sequence[str]) -> list[list[tuple[str, list[Translation]]]]:
        """The sentences and clauses of each text, each with its translations, best first; errors as by a call."""
        check_list(texts, "sentences")
        divided = [self.parts(clean(text)) for text in texts]
        for parts in divided:
            if reason := self._refusal(parts):
                raise UserError(reason)
        different = [part for part in dict.fromkeys(part for parts in divided for part in parts) if part]
        translations = {"": [empty_translation()], **self._translate(different)}
        return [[(part, translations[part]) for part in parts] for parts in divided]

    def whole(self, parts: Sequence[list[Translation]]) -> list[Translation]:
        """The translations of a text from those of its parts."""
        return joined(parts, separator(self.config.target))

    def parts(self, text: str) -> list[str]:
        """What is translated by itself: the text, its sentences, or clauses of a sentence that is too long."""
        if self.as_is or not text.strip():
            return [text if self.as_is else ""]

        def fits(part: str) -> bool:
            return len(self.vocabulary.source.encode(part)) <= self.config.max_length

        sentences = split_sentences(text, self.config.source)
        return [
            part for sentence in sentences for part in ([sentence] if fits(sentence) else split_clauses(sentence, fits))
        ]

    def _translate(self, sentences: Sequence[str]) -> dict[str, list[Translation]]:
        """The translations of different sentences, none empty."""
        if self.as_is:
            return dict(zip(sentences, self._search(sentences), strict=True))
        source = self.vocabulary.source
        written = {sentence: as_trained(sentence, source) for sentence in sentences}
        found = self._keep(dict(zip(sentences, self._search(list(written.values())), strict=True)), written)
        return {
            sentence: translations
            if written[sentence] == sentence
            else [as_written(best, sentence) for best in translations]
            for sentence, translations in found.items()
        }

    def _keep(self, found: Mapping[str, list[Translation]], written: Mapping[str, str]) -> dict[str, list[Translation]]:
        """The translations of each sentence, with its numbers, names and addresses; see `kept`."""
        source, target = self.vocabulary
        spans = {s: self.spans(s) for s in found}
        results = {s: [kept.by_model(best, spans[s]) for best in found[s]] if spans[s] else found[s] for s in found}
        lacking = [s for s in found if kept.lost(spans[s], found[s][0])]
        choices_of = {s: kept.placeholders(spans[s], source, target) for s in lacking}
        trials = {
            s: [(chosen, kept.with_placeholders(written[s], spans[s], chosen)) for chosen in choices]
            for s, choices in choices_of.items()
        }
        texts = list(dict.fromkeys(text for tried in trials.values() for _, text in tried))
        searched = dict(zip(texts, self._search(texts), strict=True)) if texts else {}
        for s, tried in trials.items():
            placed = [kept.restored(best, s, spans[s], chosen) for chosen, text in tried for best in searched[text]]
            by_attention = [kept.restored(best, s, spans[s], None) for best in found[s]]
            distinct: dict[str, Translation] = {}
            for best in [*sorted(filter(None, placed), key=lambda best: -best.score), *filter(None, by_attention)]:
                distinct.setdefault(best.text, best)
            results[s] = list(distinct.values()) or found[s]
        return results

    def spans(self, sentence: str) -> list[kept.Span]:
        """The numbers, names and addresses of a sentence, which its translations keep."""
        knows_values = self.config.synthetic_pairs > 0  # dates, prices, addresses: it translates them as one
        rare = kept.VERY_RARE if knows_values else kept.RARE
        languages = self.config.source, self.config.target
        return kept.find_spans(sentence, self.vocabulary.source, *languages, rare, knows_values)

    def _search(self, sentences: Sequence[str]) -> list[list[Translation]]:
        """The translations that the search finds for sentences, best first."""
        encoded = [self.vocabulary.source.encode(sentence) for sentence in sentences]
        translations: dict[int, list[Translation]] = {}
        batches: Iterator[list[int]] = self.search.batches([len(ids) + 1 for ids in encoded], self._batch_tokens)
        for indices in batches:
            result = self.search.predict_on_batch({"source_ids": source_batch([encoded[i] for i in indices])})
            for row, i in enumerate(indices):
                tokens = self.vocabulary.source.pieces(sentences[i])
                translations[i] = self._rescored(self.translations(result, row, encoded[i], tokens))
        return [translations[i] for i in range(len(sentences))]

    @property
    def _batch_tokens(self) -> int:
        """Tokens of a batch; fewer with a wide beam and a large vocabulary, whose scores would fill the memory."""
        return max(1, min(BATCH_TOKENS, MAX_SCORES // (self.config.beam * len(self.vocabulary.target))))

    def language(self, text: str) -> str:
        """The code of the language that a text is taken for: that of the model; `LineTranslators` guesses it."""
        return primary_language(self.config.source)

    def refusal(self, text: str) -> str | None:
        """Why a text cannot be translated: one of its clauses is more than twice as long as sentences of training."""
        return self._refusal(self.parts(clean(text)))

    def _refusal(self, parts: Sequence[str]) -> str | None:
        count = max(len(self.vocabulary.source.encode(part)) for part in parts)
        if count <= 2 * self.config.max_length:
            return None
        return f"has {count:,} tokens, more than twice the {self.config.max_length} of training; split it"

    def accepted(self, sentences: Sequence[str]) -> list[str]:
        """The sentences, "" in place of those that are too long; ListError for one that is not in a list."""
        check_list(sentences, "sentences")
        return ["" if self.refusal(sentence) else sentence for sentence in sentences]

    def translations(
        self, result: dict[str, Any], row: int, source_ids: list[int], source_tokens: list[str]
    ) -> list[Translation]:
        """The hypotheses of a row of a search, best first."""
        source = self.vocabulary.source
        of_source = {
            "source_words": join_words(source, source_ids, source_tokens),
            "unknown": [token for token, i in zip(source_tokens, source_ids, strict=True) if i == source.unknown_id],
        }
        indices = word_indices(source, source_ids)
        ranks = np.flatnonzero(result["lengths"][row]).tolist()  # length 0 is an unused entry of the beam
        return [self._translation(result, row, rank, source_tokens, indices, of_source) for rank in ranks]

    def _translation(
        self,
        result: dict[str, Any],
        row: int,
        rank: int,
        source_tokens: list[str],
        source_indices: np.ndarray,
        of_source: Mapping[str, Any],
    ) -> Translation:
        target = self.vocabulary.target
        values: dict[str, Any] = {name: value[row, rank] for name, value in result.items()}
        ids = [i for i in values["token_ids"][: values["lengths"]].tolist() if i != target.end_id]
        copied = zip(values["copied"][: len(ids)], target.tokens(ids), strict=True)
        tokens = [source_tokens[i] if i >= 0 else token for i, token in copied]
        words = [without_entities(word) for word in join_words(target, ids, tokens)]  # older runs have learned them
        indices = word_indices(target, ids)
        log_probs, attention = (
            values["token_log_probs"][: len(ids)],
            values["extras"][: len(ids), : len(source_tokens) + 1],
        )
        return Translation(
            text=" ".join(words) if isinstance(target, WordVocabulary) else without_entities(target.decode(ids)),
            log_prob=float(values["log_probs"]),
            score=float(values["scores"]),
            tokens=tokens,
            token_log_probs=log_probs,
            words=words,
            probabilities=np.exp(np.bincount(indices, log_probs, len(words))),
            attentions=[word_attention(attention, source_indices, indices)],
            is_complete=target.end_id in values["token_ids"][: values["lengths"]],
            **of_source,
        )

    def _rescored(self, translations: list[Translation]) -> list[Translation]:
        """The translations of a sentence with the language model's scores, best first."""
        if self.language_model is None:
            return translations
        values = [(best.text, best.log_prob, len(best.tokens) + 1) for best in translations]
        scores = self.language_model.scores(values, self.config.length_penalty)
        rescored = [replace(best, score=score) for best, score in zip(translations, scores, strict=True)]
        return sorted(rescored, key=lambda best: -best.score)


def _search(models: "Sequence[EncoderDecoder]", config: Config) -> Any:
    from tasks.translator.model import SearchModel

    return SearchModel(models, config)


def _searching(config: Config, beam: int | None, n_best: int) -> Config:
    """The configuration with the beam of a search."""
    return replace(config, beam=beam or max(config.beam, n_best))


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

    def __init__(self, loaded: "LoadedTranslator"):
        from tasks.translator.model import ScoringModel

        self.vocabulary, self.scoring = loaded.vocabulary, ScoringModel(loaded.model)

    @classmethod
    def load(cls, model: str | None = None) -> "PairScorer":
        """Loads a run or folder, by default the released model; RunError if there is none or it is damaged."""
        from tasks.translator.model import load_model

        return cls(load_model(find_run(model)))

    def __call__(self, pairs: Sequence[tuple[str, str]]) -> list[PairScore]:
        """The score of each pair of a sentence and its translation.

        Raises:
            ListError: a pair is not in a list.
            UserError: a pair is too long, see `MAX_ATTENTION` and `MAX_LOGITS`.
        """
        check_list(pairs, "pairs of texts")
        for pair in pairs:
            if isinstance(pair, str) or len(pair) != 2:
                raise ListError(f"{shown(pair)}: a sentence and its translation were expected, in a list of such pairs")
        vocabulary = self.vocabulary.target
        sources = [self.vocabulary.source.encode(clean(source)) for source, _ in pairs]
        targets = [[*vocabulary.encode(clean(target)), vocabulary.end_id] for _, target in pairs]
        for (sentence, _), source, target in zip(pairs, sources, targets, strict=True):
            sizes = ("tokens of a sentence", len(source) + 1), ("of its translation", len(target))
            try:
                check_product("attention weights", MAX_ATTENTION, *sizes)
                check_product(
                    "logits", MAX_LOGITS, ("tokens of a translation", len(target)), ("words", len(vocabulary))
                )
            except UserError as error:
                raise UserError(f"{shortened(sentence)!r} and its translation: {error}") from None
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
                    tokens=[*vocabulary.pieces(clean(target)), vocabulary.table[vocabulary.end_id]],
                    log_probs=log_probs[:length],
                    unknown=[token_id == vocabulary.unknown_id for token_id in targets[i]],
                    attention=attention[:length, : len(sources[i]) + 1],
                )
        return [scores[i] for i in range(len(pairs))]

    def alignment(self, score: PairScore) -> list[tuple[int, int]]:
        """Pairs of source and target word index, by the attention of a scored pair."""
        source, target = self.vocabulary
        of_source, of_target = source.encode(clean(score.source)), target.encode(clean(score.target))
        words = word_indices(source, of_source), word_indices(target, of_target)
        return hard_alignment(word_attention(score.attention[:-1], *words))
