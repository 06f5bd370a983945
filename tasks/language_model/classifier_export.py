"""Exports a classifier as a SavedModel for text.

Endpoints, for any batch size:

    serving_default  text (batch,) string
                     -> label (batch,) string, probability (batch,) float32, error (batch,) string
    classify         text (batch,) string
                     -> the same, probabilities (batch, labels) float32, labels (labels,) string

Any text goes in, as `classify` takes it. `error` says why a text has no label: it has no words, or the model knows none
of them. A text with invalid UTF-8 is read with U+FFFD in its stead, and its `error` says so.
"""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from shared.export import Endpoint, ParityError, first_error, write_saved_model
from shared.loaded import Loaded
from shared.runs import Run
from shared.text_in_graph import Composition, as_line, text_table
from shared.vocabulary import SPACE, WordVocabulary
from tasks.language_model.classification import NO_WORDS, NONE_KNOWN, TextClassifier
from tasks.language_model.classifier import Classifier, Memory, load_classifier
from tasks.language_model.plain_words import CLITICS, SPACES, image

TOLERANCE = 1e-3  # of probabilities; two graphs may add in different order
EXAMPLES = (
    "A warm and funny film.", "", "It isn't GREAT, but I'd go .", "it is n't great , but i 'd go .", "\u732b", "the",
    "Don\u2019t\tgo\u2026 \u00c9t\u00e9 e\u0301te\u0301 \u00c5 \u212b", "...", "the film " * 300, "ein Hund l\u00e4uft",
)  # fmt: skip
PART = 256  # tokens of each text that are read at a time


class WordsInGraph:
    """`plain_words.spaced` inside a graph, with the table of what each character becomes."""

    def __init__(self) -> None:
        images = _images()
        initializer = tf.lookup.KeyValueTensorInitializer(list(images), list(images.values()), tf.string, tf.string)
        self._images, self._compose = tf.lookup.StaticHashTable(initializer, "\0"), Composition()  # no image is a NUL
        self.resources: list[Any] = [self._images, *self._compose.resources]

    def __call__(self, text: Any) -> Any:
        """Texts `(batch,)` of valid UTF-8 as words with one space between them."""
        characters = tf.strings.unicode_split(self._compose(text), "UTF-8")
        found = self._images.lookup(characters.values)
        characters = characters.with_values(tf.where(found == "\0", characters.values, found))
        text = tf.strings.join([" ", tf.strings.reduce_join(characters, axis=-1), " "])
        text = tf.strings.regex_replace(text, SPACES, " ")
        for pattern, replacement in CLITICS:
            text = tf.strings.regex_replace(text, pattern, replacement)
        return tf.strings.strip(tf.strings.regex_replace(text, SPACES, " "))


@functools.cache
def _images() -> dict[str, str]:
    """All characters that become something else."""
    characters = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code <= 0xDFFF]
    return {character: found for character in characters if (found := image(character)) != character}


def export_classifier(run: Run) -> Path:
    """Exports a run; returns the folder of the SavedModel.

    Raises:
        RunError: its files do not fit together.
        ParityError: the SavedModel and the Python model differ.
    """
    loaded = load_classifier(run)
    table = text_table(loaded.vocabulary)
    words = WordsInGraph() if isinstance(loaded.vocabulary, WordVocabulary) else None
    resources = [*table.resources, *(words.resources if words else ())]
    return write_saved_model(run, loaded.model, endpoints(loaded, table, words), parity_check(loaded), resources)


def endpoints(loaded: Loaded[Any, Any, Classifier], table: Any, words: WordsInGraph | None) -> dict[str, Endpoint]:
    """The functions of the SavedModel, with their inputs."""
    _, vocabulary, model = loaded
    labels = tf.constant(model.labels)

    def memory_of(ids: Any) -> Memory:
        """The memory of texts, ragged `(batch, time)`, which are read in parts."""
        lengths = tf.cast(ids.row_lengths(), tf.int32)
        padded = ids.to_tensor()

        def read(first: Any, memory: Memory) -> tuple[Any, Memory]:
            part = model.embed(padded[:, first : first + PART])
            return first + PART, model.read(part, tf.clip_by_value(lengths - first, 0, PART), memory)

        state = 0, model.initial_memory(tf.shape(padded)[0])
        return tf.while_loop(lambda first, _: first < tf.shape(padded)[1], read, state)[1]

    def answers(text: Any) -> dict[str, Any]:
        text, notice = as_line(text)
        _, ids = table.split(text if words is None else words(text))
        is_empty = ids.row_lengths() == 0 if words else tf.strings.regex_full_match(text, f"({SPACE})?")
        knows = tf.reduce_any(ids != vocabulary.unknown_id, axis=-1)
        ids = tf.concat([tf.fill([tf.shape(text)[0], 1], vocabulary.end_id), ids], axis=1)
        probabilities = tf.nn.softmax(model.calibrated(model.logits(memory_of(ids))))
        return {
            "label": tf.gather(labels, tf.argmax(probabilities, axis=-1)),
            "probability": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
            "error": first_error((is_empty, NO_WORDS), (~knows, NONE_KNOWN)),
            "notice": notice,
        }

    def classify(text: Any) -> dict[str, Any]:
        return answers(text) | {"labels": labels}

    def slim(text: Any) -> dict[str, Any]:
        found = answers(text)
        return {name: found[name] for name in ("label", "probability", "error", "notice")}

    signature = {"text": tf.TensorSpec([None], tf.string, "text")}
    return {
        name: Endpoint(function=function, signature=signature, example={"text": EXAMPLES[:1]})
        for name, function in {"serving_default": slim, "classify": classify}.items()
    }


def parity_check(loaded: Loaded[Any, Any, Classifier]) -> Callable[[Any], None]:
    """A function that raises ParityError unless a SavedModel gives the outputs of the Python model."""
    classifier = TextClassifier(loaded)
    expected = classifier(EXAMPLES)

    def check(exported: Any) -> None:
        outputs = {name: value.numpy() for name, value in exported.classify(tf.constant(EXAMPLES)).items()}
        for i, found in enumerate(expected):
            if outputs["error"][i].decode() != found.error:
                message = f"the error of {found.text!r} is {outputs['error'][i].decode()!r}, not {found.error!r}"
                raise ParityError(f"nothing was exported: {message}")
            wanted = [found.probabilities.get(label, 0.0) for label in classifier.labels]
            off = abs(outputs["probabilities"][i] - wanted).max()
            if off > TOLERANCE:
                raise ParityError(f"nothing was exported: the probabilities of {found.text!r} differ by {off:.2g}")

    return check
