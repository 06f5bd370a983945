"""Scores of lines as tables: by line, by token or by word; for a person, or as tab- or comma-separated values.

Values are quoted as in RFC 4180: `read.csv` and `read.delim` of R, pandas and Python's `csv` read every row, whatever
quotation marks a word has.
"""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from tasks.language_model.config import Punctuation

if TYPE_CHECKING:
    from tasks.language_model.inference import TextScore

LINE_COLUMNS = (
    "log_prob", "perplexity", "without_end", "word_perplexity", "bits_per_character", "unknown", "form", "text"
)  # fmt: skip
TOKEN_COLUMNS = ("line", "token", "log_prob", "unknown")
WORD_COLUMNS = ("sentence", "position", "word", "surprisal_bits", "surprisal_nats", "unknown")
HEADING = f"{'log_prob':>10} {'perplexity':>11} {'without_end':>12} {'per_word':>10} {'bpc':>7} {'unknown':>8}  text"
MAX_NAMED = 10  # unknown words after a table


WordRow = tuple[int, str, float | None, float | None, bool]
"""Position from 1, word, surprisal in bits and in nats (None for a word that is not read), whether it is unknown."""


def as_record(score: "TextScore", punctuation: Punctuation | None = None) -> dict[str, Any]:
    """The JSON object of a line; with words if it is said where punctuation belongs."""
    record = {
        "text": score.text,
        "form": score.form,
        "log_prob": round(score.log_prob, 4),
        "perplexity": round(score.perplexity, 4),
        "without_end": score.without_end and round(score.without_end, 4),
        "word_perplexity": round(score.word_perplexity, 4),
        "bits_per_character": round(score.bits_per_character, 4),
        "unknown": sum(score.unknown),
        "unknown_words": score.unknown_words,
        "tokens": score.tokens,
        "log_probs": [round(float(value), 4) for value in score.log_probs],
    }
    if punctuation:
        names = "position", "word", "surprisal_bits", "surprisal_nats", "unknown"
        record["words"] = [dict(zip(names, row, strict=True)) for row in word_rows(score, punctuation)]
    return record


def word_rows(score: "TextScore", punctuation: Punctuation) -> Iterator["WordRow"]:
    """The words of a line."""
    for position, word in enumerate(score.words(punctuation), 1):
        nats = None if word.log_prob is None else -word.log_prob
        bits = None if nats is None else round(nats / math.log(2), 4)
        yield position, word.text, bits, nats and round(nats, 4), word.unknown


def separated(cells: tuple[object, ...], delimiter: str) -> str:
    """A row of cells, "" for None; white space within a cell becomes a space."""
    texts = ["" if cell is None else re.sub(r"[\s\0]", " ", str(cell)) for cell in cells]
    csv.writer(row := io.StringIO(), delimiter=delimiter, lineterminator="").writerow(texts)
    return row.getvalue()


def line_row(score: "TextScore") -> str:
    """A line in the table for a person."""
    without_end = "" if score.without_end is None else f"{score.without_end:.2f}"
    return (
        f"{score.log_prob:>10.2f} {score.perplexity:>11.2f} {without_end:>12} {score.word_perplexity:>10.5g}"
        f" {score.bits_per_character:>7.3f} {sum(score.unknown):>8}  {score.text}"
    )


def small_row(value: float | None, text: str, unknown: bool) -> str:
    """A token or word of a line, in the table for a person."""
    return f"{'' if value is None else f'{value:.2f}':>10}   {text}{'  <unk>' * unknown}"


class Total:
    """The sums over all lines."""

    def __init__(self) -> None:
        self.lines = self.tokens = self.words = self.characters = 0
        self.log_prob = self.without_end = 0.0
        self.unknown: Counter[str] = Counter()
        self.forms: Counter[str] = Counter()

    def add(self, score: "TextScore") -> None:
        """Adds a line."""
        self.lines += 1
        self.tokens += len(score.tokens)
        self.words += len(score.parts) + 1
        self.characters += len(score.text) + 1
        self.log_prob += score.log_prob
        self.without_end += float(score.log_probs[:-1].sum())
        self.unknown.update(score.unknown_words)
        self.forms[score.form] += 1

    def __str__(self) -> str:
        """The sums in one line."""
        from tasks.language_model.inference import bounded_exp

        tokens = self.tokens - self.lines
        without_end = f"{bounded_exp(-self.without_end / tokens):.2f} without </s>" if tokens else "no words"
        return (
            f"{self.lines:,} lines, {self.tokens:,} tokens, {self.unknown.total():,} unknown:"
            f" log_prob {self.log_prob:.2f}, perplexity {bounded_exp(-self.log_prob / self.tokens):.2f},"
            f" {without_end}, {bounded_exp(-self.log_prob / self.words):.5g} per word,"
            f" {-self.log_prob / math.log(2) / self.characters:.3f} bits per character"
        )

    def unknown_words(self) -> str:
        """The most frequent unknown words in one line; "" if there are none."""
        if not self.unknown:
            return ""
        words = ", ".join(word + f" ({count})" * (count > 1) for word, count in self.unknown.most_common(MAX_NAMED))
        more = len(self.unknown) - MAX_NAMED
        return f"unknown: {words}{f' and {more:,} more' if more > 0 else ''}"

    def how_read(self, notation: str) -> str:
        """How many lines were read as ordinary text, and how many as tokens of a corpus."""
        counts = self.forms["text"], self.forms["tokens"]
        text, tokens = (f"{count:,} line{'s' * (count != 1)} read" for count in counts)
        if not counts[1]:
            return f"{text} as ordinary text, split into the tokens of {notation}; --form tokens reads them as they are"
        if not counts[0]:
            return f"{tokens} as tokens of {notation}; --form text splits them as ordinary text"
        return f"{text} as ordinary text, {tokens} as tokens of {notation}; --form text or tokens reads all alike"
