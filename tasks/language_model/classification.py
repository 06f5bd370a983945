"""Classifying texts with a model that is loaded once; keras is imported when it is loaded.

With the runtimes `graph` and `onnx` it needs no Keras, after the first use of a run: see `shared.kept`.
"""

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.errors import check_list
from shared.kept import Runtime, kept_function, runs_on_keras
from shared.text import tidy
from shared.vocabulary import WordVocabulary
from tasks.language_model.config import Config, find_run
from tasks.language_model.labels import load_labels
from tasks.language_model.plain_words import Word, as_read, words_of
from tasks.language_model.states import initial_memory
from tasks.language_model.tokenisation import Tokenisation, load_without_model

if TYPE_CHECKING:
    from shared.loaded import Loaded
    from shared.vocabulary import Vocabulary
    from tasks.language_model.classifier import Classifier

CHUNK = 64  # texts that are read ahead, to batch texts of similar length
PART = 256  # tokens of a text per call
TOKENS = 4096  # per call, padding included

NO_WORDS = "no words in it; a text was expected"
NONE_KNOWN = "the model knows none of its words; a text like those that it was trained on was expected"


@dataclass(frozen=True, kw_only=True)
class Classification:
    """The label of a text.

    Attributes:
        text: the text.
        label: the most probable label; None if the text has none.
        probabilities: of each label, the most probable first; they sum to 1.
        unknown_words: the words that the model does not know, in order.
        error: why the text has no label; "" if it has one.
    """

    text: str
    label: str | None
    probabilities: dict[str, float]
    unknown_words: list[str]
    error: str = ""

    @property
    def probability(self) -> float:
        """That of the label; 0 without one."""
        return self.probabilities.get(self.label or "", 0.0)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A text as a classifier reads it.

    Attributes:
        text: in Unicode's composed form.
        words: its words, and where they are in the text.
        counts: the number of tokens of each word.
        token_ids: of all words, after `</s>`.
    """

    text: str
    words: list[Word]
    counts: list[int]
    token_ids: list[int]


class TextClassifier:
    """Finds the label of texts.

    >>> classify = TextClassifier.load()
    >>> classify(["A warm and funny film."])[0].label

    Args:
        loaded: a classifier.
        labels: those of the classifier, if the model is None.
        reader: `classifier.TextPartReader` from `shared.kept`; the model is None then.
    """

    def __init__(
        self, loaded: "Loaded[Config, Vocabulary, Classifier] | Loaded[Config, Vocabulary, None]",
        labels: Sequence[str] = (), reader: Any = None,
    ):  # fmt: skip
        self.config, self.vocabulary = loaded.config, loaded.vocabulary
        self.model: Any = loaded.model
        self.labels = list(labels or self.model.labels)
        self._tokenisation = Tokenisation(loaded.vocabulary)
        self.reader = reader or _part_reader(loaded.model)

    @classmethod
    def load(cls, model: str | None = None, runtime: Runtime = "keras") -> "TextClassifier":
        """The classifier of a run, by name or folder; default: the released one, else the newest run."""
        run = find_run(model, "for a label")
        if not runs_on_keras(runtime):
            reader = kept_function(run, "classify", {}, lambda: cls.load(str(run.path)).reader, runtime)
            return cls(load_without_model(run), load_labels(run), reader)
        from tasks.language_model.classifier import load_classifier

        return cls(load_classifier(run))

    def __call__(self, texts: Iterable[str]) -> list[Classification]:
        """The labels of texts, in their order; ListError for one text that is not in a list."""
        check_list(texts, "texts")
        readings = [self.read(text) for text in texts]
        errors = [self.error(reading) for reading in readings]
        ids = [reading.token_ids for reading, error in zip(readings, errors, strict=True) if not error]
        rows = iter(np.exp(self._outputs(ids)[1]))
        return [
            self._classification(reading, error, None if error else next(rows))
            for reading, error in zip(readings, errors, strict=True)
        ]

    def stream(self, texts: Iterable[str]) -> Iterator[Classification]:
        """Yield the labels of texts as they arrive, in their order; the stream may be endless."""
        check_list(texts, "texts")
        texts = iter(texts)
        while chunk := list(islice(texts, CHUNK)):
            yield from self(chunk)

    def read(self, text: str) -> Reading:
        """The words and tokens of a text."""
        text, words, counts = unicodedata.normalize("NFC", text), [], []
        token_ids = [self.vocabulary.end_id, *self.vocabulary.encode(as_read(text, self.vocabulary))]
        if isinstance(self.vocabulary, WordVocabulary):
            words = words_of(text)
            return Reading(text=text, words=words, counts=[1] * len(words), token_ids=token_ids)
        end = 0  # of the word before
        for parts in self._tokenisation.read(text).words:
            written = "".join(part.text for part in parts)
            start = max(end, text.find(written, end))
            end = start + len(written)
            words.append(Word(written, start, end))
            counts.append(sum(len(part.tokens) for part in parts))
        return Reading(text=text, words=words, counts=counts, token_ids=token_ids)

    def error(self, reading: Reading) -> str:
        """Why a text has no label; "" if it has one."""
        if not reading.words or not tidy(reading.text):
            return NO_WORDS
        return NONE_KNOWN if all(i == self.vocabulary.unknown_id for i in reading.token_ids[1:]) else ""

    def logits(self, texts: Sequence[str]) -> np.ndarray:
        """Logits of any texts, before the temperature, `(texts, labels)`."""
        return self._outputs([self.read(text).token_ids for text in texts])[0]

    def log_probs(self, texts: Sequence[str]) -> np.ndarray:
        """Log-probabilities of any texts, `(texts, labels)`."""
        return self._outputs([self.read(text).token_ids for text in texts])[1]

    def _outputs(self, ids: Sequence[Sequence[int]]) -> np.ndarray:
        """Logits and log-probabilities of texts, `(2, texts, labels)`."""
        found = np.zeros((2, len(ids), len(self.labels)), np.float32)
        for indices in self.reader.batches([len(text) for text in ids], TOKENS):
            found[:, indices] = self._read([ids[i] for i in indices])
        return found

    def _read(self, ids: Sequence[Sequence[int]]) -> np.ndarray:
        """The same of texts of similar length, which are read in parts."""
        from shared.packing import pad

        memory, found = initial_memory(self.config, len(ids)), []
        for first in range(0, max(map(len, ids)), PART):
            parts = [text[first : first + PART] for text in ids]
            lengths = np.array([len(part) for part in parts], np.int32)
            inputs = {"token_ids": pad(parts), "lengths": lengths, "memory": memory}
            memory, *found = self.reader.predict_on_batch(inputs)
        return np.stack(found)

    def _classification(self, reading: Reading, error: str, probabilities: np.ndarray | None) -> Classification:
        pairs = zip(self.labels, [] if probabilities is None else probabilities.tolist(), strict=False)
        ordered = dict(sorted(pairs, key=lambda pair: -pair[1]))
        unknown, first = [], 1
        for word, count in zip(reading.words, reading.counts, strict=True):
            if self.vocabulary.unknown_id in reading.token_ids[first : first + count]:
                unknown.append(reading.text[word.start : word.end] or word.text)
            first += count
        return Classification(
            text=reading.text,
            label=next(iter(ordered), None),
            probabilities=ordered,
            unknown_words=unknown,
            error=error,
        )


def _part_reader(model: Any) -> Any:
    from tasks.language_model.classifier import TextPartReader

    return TextPartReader(model)
