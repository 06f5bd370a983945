"""Which words carried the decision of a classifier: integrated gradients (Sundararajan et al. 2017, section 3).

    c_t = (x_t - u) * mean over a in (0, 1) of d f / d x_t at u + a (x - u)

f is the log-odds of the label, x_t the embedding of token t. u is a word that says little: the unknown word or the mean
of all words, whichever is closer to equal probabilities of the labels, as often as the text has tokens. The
contributions of all words sum to the log-odds of the text minus those of u.
"""

import html
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from shared.errors import UserError
from shared.vocabulary import SPECIALS
from tasks.language_model.classification import Classification, Reading, TextClassifier

ops: Any = keras.ops  # Keras declares no result types for its operations

STEPS = 24  # between the unknown words and the text
FEWEST_STEPS = 12  # for a long text
STEP_TOKENS = 16_384  # of all steps together, unless these are the fewest
TOKENS = 4096  # per call
LONGEST = 4096  # tokens of a text
SHORTEST = 16  # a text is padded to this length times a power of two


@dataclass(frozen=True, kw_only=True)
class Contribution:
    """What a word adds to the log-odds of the label.

    Attributes:
        word: as it is written.
        start, end: where it is in the text of the classification.
        value: in nats; negative if it speaks against the label.
    """

    word: str
    start: int
    end: int
    value: float


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """The contributions of the words of a text to the log-odds of its label.

    Attributes:
        classification: of the text.
        words: all words, in order.
        log_odds: ln(p / (1 - p)) of the label.
        log_odds_without: that of as many words that say little.
    """

    classification: Classification
    words: list[Contribution]
    log_odds: float
    log_odds_without: float


class Explainer:
    """Explains the labels of a classifier.

    Args:
        classifier: the classifier, on Keras.

    Raises:
        UserError: it is on another runtime.
    """

    def __init__(self, classifier: TextClassifier):
        if classifier.model is None:
            raise UserError("explanations are those of a model on Keras; the runtime keras was expected")
        self.classifier, self.model = classifier, classifier.model
        self.embeddings = ops.convert_to_numpy(self.model.embedding.embeddings)
        unknown = self.embeddings[classifier.vocabulary.unknown_id]
        self.neutral = np.stack([unknown, self.embeddings[len(SPECIALS) :].mean(axis=0)])
        self._gradients: Any = None

    def __call__(self, classification: Classification) -> Explanation:
        """The explanation of a text that has a label.

        Raises:
            UserError: it has none, or more than 4,096 tokens.
        """
        if classification.label is None:
            raise UserError(classification.error)
        reading = self.classifier.read(classification.text)
        if len(reading.token_ids) > LONGEST:
            found = f"{len(reading.token_ids):,} tokens are too many to explain"
            raise UserError(f"{found}; at most {LONGEST:,} were expected")
        values, log_odds, without = self._integrated(reading, self.classifier.labels.index(classification.label))
        words, first = [], 0
        for word, count in zip(reading.words, reading.counts, strict=True):
            value = float(values[first : first + count].sum())
            written = reading.text[word.start : word.end]
            words.append(Contribution(word=written, start=word.start, end=word.end, value=value))
            first += count
        return Explanation(classification=classification, words=words, log_odds=log_odds, log_odds_without=without)

    def _integrated(self, reading: Reading, label: int) -> tuple[np.ndarray, float, float]:
        """The contribution of each token after `</s>`, and the log-odds with and without the words."""
        count = len(reading.token_ids)
        length = SHORTEST
        while length < count:
            length *= 2
        text = np.zeros((length, self.embeddings.shape[1]), np.float32)
        text[:count] = self.embeddings[reading.token_ids]
        candidates = np.stack([text, text])
        candidates[:, 1:count] = self.neutral[:, None]
        _, values = self._gradient(candidates, np.full(2, count, np.int32), np.int32(label))
        even = -math.log(len(self.model.labels) - 1)
        baseline = candidates[np.argmin(abs(values - even))]
        steps = min(STEPS, max(FEWEST_STEPS, STEP_TOKENS // length))
        shares = np.concatenate([(np.arange(steps) + 0.5) / steps, [1.0, 0.0]]).astype(np.float32)  # midpoints, ends
        gradients, log_odds = [], []
        size = max(1, TOKENS // length)
        for first in range(0, len(shares), size):
            part = np.resize(shares[first : first + size], size)[:, None, None]
            lengths = np.full(size, count, np.int32)
            of_part, values = self._gradient(baseline + part * (text - baseline), lengths, np.int32(label))
            gradients.append(of_part)
            log_odds.append(values)
        mean = np.concatenate(gradients)[:steps].mean(axis=0)
        log_odds = np.concatenate(log_odds)
        contributions = ((text - baseline) * mean).sum(axis=-1)[1:count]
        return contributions, float(log_odds[steps]), float(log_odds[steps + 1])

    def _gradient(self, embedded: np.ndarray, lengths: np.ndarray, label: np.int32) -> tuple[np.ndarray, np.ndarray]:
        """The gradient of the log-odds of a label, `(rows, time, units)`, and the log-odds `(rows,)`."""
        if self._gradients is None:
            on_jax = keras.backend.backend() == "jax"
            self._gradients = (_gradients_on_jax if on_jax else _gradients_on_tensorflow)(self._log_odds)
        return tuple(np.asarray(x) for x in self._gradients(embedded, lengths, label))  # pyright: ignore

    def _log_odds(self, embedded: Any, lengths: Any, label: Any) -> Any:
        model = self.model
        memory = model.read(embedded, lengths, model.initial_memory(ops.shape(embedded)[0]))
        logits = model.calibrated(model.logits(memory))
        is_label = ops.arange(len(model.labels)) == label
        chosen = ops.sum(ops.where(is_label, logits, 0.0), axis=-1)
        return chosen - ops.logsumexp(ops.where(is_label, -1e9, logits), axis=-1)


def _gradients_on_tensorflow(function: Any) -> Any:
    import tensorflow as tf

    def gradients(embedded, lengths, label):
        with tf.GradientTape() as tape:
            tape.watch(embedded)
            values = function(embedded, lengths, label)
        return tape.gradient(values, embedded), values

    return tf.function(gradients, reduce_retracing=True, autograph=False)


def _gradients_on_jax(function: Any) -> Any:
    import jax

    def total(embedded, lengths, label):
        with keras.StatelessScope():
            values = function(embedded, lengths, label)
        return values.sum(), values

    def gradients(embedded, lengths, label):
        (_, values), found = jax.value_and_grad(total, has_aux=True)(embedded, lengths, label)
        return found, values

    return jax.jit(gradients)


# --- page -----------------------------------------------------------------------------------------------------------

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Labels of texts</title>
<style>
  body {{ margin: 2rem auto; padding: 0 1rem; max-width: 60rem; font: 17px/1.9 system-ui, sans-serif; color: #222 }}
  p {{ margin: .4rem 0; white-space: pre-line }}
  span {{ padding: .1rem .15rem; border-radius: 4px }}
  b {{ margin-right: .6rem }}
  small {{ color: #777 }}
</style>
<h1>Labels of texts</h1>
<small>{summary}. Green words speak for the label, orange words against it; hover over a word for what it adds to the
log-odds of the label.</small>
{texts}
</html>
"""
FULL = 2.0  # nats of the darkest background
FOR, AGAINST = "27 158 119", "217 95 2"


def paragraph(explanation: Explanation, name: str | None = None) -> str:
    """A text as HTML, each word with a background; `name` is that of its file."""
    found, parts, end = explanation.classification, [], 0
    for word in explanation.words:
        parts.append(html.escape(found.text[end : word.start]))
        colour = f"rgb({FOR if word.value > 0 else AGAINST} / {min(1.0, abs(word.value) / FULL):.2f})"
        written = html.escape(found.text[word.start : word.end])
        parts.append(f'<span style="background:{colour}" title="{word.value:+.2f}">{written}</span>')
        end = word.end
    parts.append(html.escape(found.text[end:]))
    label = f"{html.escape(found.label or '')} {found.probability:.0%}"
    heading = f"<b>{label}</b>" + (f"<small>{html.escape(name)}</small><br>" if name else "")
    return f'<p dir="auto">{heading}{"".join(parts)}</p>'


def page(paragraphs: Iterable[str]) -> bytes:
    """The page in UTF-8."""
    paragraphs = list(paragraphs)
    summary = "1 text" if len(paragraphs) == 1 else f"{len(paragraphs):,} texts"
    return PAGE.format(summary=summary, texts="\n".join(paragraphs)).encode(errors="replace")
