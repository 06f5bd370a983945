"""How a translation came about: the beam as a tree, translations that go on from given words, and other words.

>>> explain = TranslationExplainer(Translator.load("multi30k-de-en"))
>>> explain("Ein Hund läuft.", "A dog").translations[0].text              # goes on from these words
>>> [(one.word, one.probability) for one in explain.alternatives("Ein Hund läuft.", "A dog", 5)]

A text of several sentences is explained by `by_part`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np

from shared.any_size import AnySize
from shared.decoding import Hypotheses, SearchTree, beam_search, beam_search_with_tree
from shared.errors import UserError
from shared.gathering import take_each
from shared.packing import pad
from shared.search_trees import Node, read_tree
from shared.vocabulary import Vocabulary
from tasks.translator import kept
from tasks.translator.casing import as_trained
from tasks.translator.config import Config
from tasks.translator.inference import Translator
from tasks.translator.model import EncoderDecoder, copied_indices, search_space
from tasks.translator.text import clean
from tasks.translator.translation import Translation, as_written
from tasks.translator.vocabularies import source_batch

ops: Any = keras.ops  # Keras declares no result types for its operations


@dataclass(frozen=True, kw_only=True)
class Explained:
    """The translations of a sentence, best first, and all beginnings that the search has kept, token by token."""

    translations: list[Translation]
    tree: list[Node]


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """What may follow the beginning of a translation, and the best translation with it."""

    word: str  # up to white space; empty for the end of the translation
    probability: float  # of its tokens, given those before it
    translation: Translation


class NextTokens(AnySize):
    """The log-probabilities of the token after each beginning of a translation."""

    shortest: ClassVar = {"source_ids": 8, "token_ids": 8}

    def __init__(self, model: EncoderDecoder):
        super().__init__()
        self.model = model

    def call(self, inputs: dict[str, Any]) -> Any:
        """`source_ids`, `token_ids` `(batch, tokens)` from the start token on, `lengths` -> `(batch, vocab)`."""
        logits, _ = self.model.logits_and_attention(inputs["source_ids"], inputs["token_ids"])
        last = take_each(logits, inputs["lengths"] - 1, axis=1)
        return ops.log_softmax(ops.cast(last, "float32"), axis=-1)


class PrefixSearch(AnySize):
    """The search of a translator, each sentence from a prefix, with or without its tree."""

    shortest: ClassVar = {"source_ids": 8, "prefix_ids": 8}

    def __init__(self, models: Sequence[EncoderDecoder], config: Config, with_tree: bool):
        super().__init__()
        self.models, self.config, self.with_tree = list(models), config, with_tree

    def call(self, inputs: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
        """`source_ids`, `prefix_ids` `(batch, prefix)` -> what `SearchModel` does; fields of `SearchTree`, or none."""
        space, options, _ = search_space(self.models, inputs["source_ids"], self.config, inputs["prefix_ids"])
        found, tree = (
            beam_search_with_tree(space, **options) if self.with_tree else (beam_search(space, **options), None)
        )
        copied = copied_indices(found, inputs["source_ids"])
        return {**found._asdict(), "copied": copied}, tree._asdict() if tree else {}


class TranslationExplainer:
    """Explains the translations of a translator, which it finds by the same search."""

    def __init__(self, translator: Translator):
        self.translator, self.vocabulary = translator, translator.vocabulary
        models = [model for _, _, model in translator.loaded]
        self.next_tokens = [NextTokens(model) for model in models]
        self.search, self.search_of_many = (
            PrefixSearch(models, translator.config, with_tree) for with_tree in (True, False)
        )

    def by_part(self, text: str) -> list[tuple[str, Explained]]:
        """The sentences and clauses of a text with the translations of the translator; raises UserError as it does."""
        return [
            (part, Explained(translations=translations, tree=self(part).tree if part else []))
            for part, translations in self.translator.by_part([text])[0]
        ]

    def __call__(self, sentence: str, prefix: str = "") -> Explained:
        """The translations of one sentence that begin with a prefix, as many as the beam.

        A last word of the prefix may go on. Numbers, names and addresses that the search loses are put where their
        attention is. Raises UserError for several sentences, or if the sentence or the prefix is too long.
        """
        sentence, written, ids = self._checked(sentence, prefix)
        found, tree = self.search.predict_on_batch(self._inputs(written, [ids]))
        nodes = read_tree(SearchTree(**tree), Hypotheses(**{name: found[name] for name in Hypotheses._fields}), 0)
        return Explained(translations=self._translations(found, 0, sentence, written), tree=nodes)

    def alternatives(self, sentence: str, prefix: str = "", count: int = 8) -> list[Alternative]:
        """The most probable continuations of a prefix by one token, each with the best translation that has it.

        The first word of that, up to white space, is its `word`. Raises UserError as a call does.
        """
        sentence, written, ids = self._checked(sentence, prefix)
        best = self._next(written, ids, count)
        found, _ = self.search_of_many.predict_on_batch(self._inputs(written, [[*ids, i] for i in best]))
        others: dict[str, Alternative] = {}
        for row in range(len(best)):
            tokens = found["token_ids"][row, 0, : found["lengths"][row, 0]].tolist()
            word = self._word(tokens[len(ids) :])
            of_word = float(np.exp(found["token_log_probs"][row, 0, len(ids) : len(ids) + max(1, len(word))].sum()))
            text = self.vocabulary.target.decode(word).strip()
            translation = self._translations(found, row, sentence, written)[0]
            others.setdefault(text, Alternative(word=text, probability=of_word, translation=translation))
        return sorted(others.values(), key=lambda one: -one.probability)

    def _word(self, token_ids: Sequence[int]) -> list[int]:
        """The tokens up to the next word or the end; none at the end."""
        target = self.vocabulary.target
        ends = (i for i, one in enumerate(token_ids) if one == target.end_id or (i and target.begins_word(one)))
        return list(token_ids[: next(ends, len(token_ids))])

    def _next(self, written: str, ids: list[int], count: int) -> list[int]:
        """The most probable tokens after a prefix; the end not as the first."""
        inputs = {
            "source_ids": source_batch([self.vocabulary.source.encode(written)]),
            "token_ids": np.array([[Vocabulary.start_id, *ids]], np.int32),
            "lengths": np.array([len(ids) + 1], np.int32),
        }
        log_probs = np.logaddexp.reduce([one.predict_on_batch(inputs)[0] for one in self.next_tokens])
        forbidden = [Vocabulary.pad_id, Vocabulary.start_id, Vocabulary.unknown_id]
        log_probs[forbidden if ids else [*forbidden, Vocabulary.end_id]] = -np.inf
        return np.argsort(-log_probs, kind="stable")[:count].tolist()

    def _inputs(self, written: str, prefixes: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
        sources = [self.vocabulary.source.encode(written)] * len(prefixes)
        return {"source_ids": source_batch(sources), "prefix_ids": pad(prefixes)}

    def _checked(self, sentence: str, prefix: str) -> tuple[str, str, list[int]]:
        """The clean sentence, the same as training writes it, and the ids of the prefix."""
        sentence = clean(sentence)
        if not sentence.strip():
            raise UserError("the sentence is empty; one to translate was expected")
        if reason := self.translator.refusal(sentence):
            raise UserError(f"the sentence {reason}")
        if (count := len(self.translator.parts(sentence))) > 1:
            raise UserError(f"the text is translated in {count} parts; the beginning of one was expected")
        ids, most = self.vocabulary.target.encode(prefix) if prefix.strip() else [], self.translator.config.max_length
        if len(ids) > most:
            raise UserError(f"the beginning has {len(ids)} tokens; at most {most} were expected")
        return sentence, as_trained(sentence, self.vocabulary.source), ids

    def _translations(self, found: dict[str, np.ndarray], row: int, sentence: str, written: str) -> list[Translation]:
        """The results of a row of a search, with the numbers, names and addresses of the sentence."""
        translator, source = self.translator, self.vocabulary.source
        ids, tokens = source.encode(written), source.pieces(written)
        best = translator.translations(found, row, ids, tokens)
        if spans := translator.spans(sentence):
            best = [
                kept.restored(one, sentence, spans, None) or one if kept.lost(spans, one) else kept.by_model(one, spans)
                for one in best
            ]
        return best if written == sentence else [as_written(one, sentence) for one in best]
