"""From sentences to translations: what every command calls."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from shared.batching import packed
from shared.vocabulary import Vocabulary
from tasks.translator.data import source_batch
from tasks.translator.model import EncoderDecoder

TOKENS = 2000  # of sources in a batch, padding included


@dataclass(frozen=True, kw_only=True)
class Translation:
    """One translation of a sentence.

    Attributes:
        text: as people read it.
        tokens: its words or pieces of them.
        log_prob: natural logarithm of its probability, the end included.
        token_log_probs: of each token's, `(tokens,)`.
        attention: where the model looked at each token, `(tokens, source tokens + 1)`, the end of the source last.
    """

    text: str
    tokens: list[str]
    log_prob: float
    token_log_probs: np.ndarray
    attention: np.ndarray


class Searcher(keras.Model):
    """`EncoderDecoder.translate`, compiled once: call `predict_on_batch` with source ids."""

    def __init__(self, model: EncoderDecoder, beam: int):
        super().__init__()
        self.model, self.beam = model, beam

    def call(self, inputs):
        """Source ids (batch, source) -> the fields of Hypotheses."""
        config = self.model.config
        found = self.model.translate(
            inputs, beam=self.beam, max_length=config.max_length, length_penalty=config.length_penalty
        )
        return found._asdict()


class SentenceTranslator:
    """A trained translator for any number of sentences."""

    def __init__(self, model: EncoderDecoder, source: Vocabulary, target: Vocabulary, beam: int):
        self.source, self.target = source, target
        self.searcher = Searcher(model, beam)

    def __call__(self, sentences: Sequence[str]) -> list[list[Translation]]:
        """The translations of each sentence, best first."""
        encoded = [self.source.encode(sentence) for sentence in sentences]
        translations: list[list[Translation]] = [[] for _ in sentences]
        for places in packed([len(ids) + 1 for ids in encoded], TOKENS):
            found = self.searcher.predict_on_batch(source_batch([encoded[place] for place in places]))
            for row, place in enumerate(places):
                translations[place] = self._read(found, row, len(encoded[place]) + 1)
        return translations

    def _read(self, found: dict[str, Any], row: int, source: int) -> list[Translation]:
        """Those of a row; a place that search left empty, of length 0, is none."""
        read = []
        for place, length in enumerate(found["lengths"][row]):
            ids = [int(token_id) for token_id in found["token_ids"][row, place, :length]]
            written = [token_id for token_id in ids if token_id != self.target.end_id]
            if length:
                read.append(
                    Translation(
                        text=self.target.decode(written),
                        tokens=self.target.tokens(written),
                        log_prob=float(found["log_probs"][row, place]),
                        token_log_probs=found["token_log_probs"][row, place, : len(written)],
                        attention=found["extras"][row, place, : len(written), :source],
                    )
                )
        return read
