"""Fills blanks, read from both sides.

    python -m tasks.language_model.fill "the ___ sat on the mat" "it returns a ___ of its ___"
    python -m tasks.language_model.fill --file sentences.txt --top 10 --json

Two underscores or more are a blank. Each blank's words are told with their probabilities, the other blanks being
unknown. It takes a model that was trained for it: `python -m tasks.language_model.train fill`.
"""

import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from shared.cli import USAGE, Results, command, complain, parse
from shared.errors import UserError
from shared.text import check_readable, read_lines
from tasks.language_model.config import find_run

if TYPE_CHECKING:
    from shared.vocabulary import WordVocabulary
    from tasks.language_model.model import FillModel

BLANK = re.compile("__+")


@dataclass(frozen=True, kw_only=True)
class Filled:
    """A text, and for each of its blanks the best words with their probabilities."""

    text: str
    blanks: list[list[tuple[str, float]]]

    def record(self) -> dict:
        return {
            "text": self.text,
            "blanks": [[{"word": word, "probability": round(p, 4)} for word, p in words] for words in self.blanks],
        }

    def __str__(self) -> str:
        lines = [self.text]
        for number, words in enumerate(self.blanks, 1):
            lines += [f"  blank {number}"] * (len(self.blanks) > 1)
            lines += [f"  {p:6.1%}  {word}" for word, p in words]
        return "\n".join(lines)


class BlankFiller:
    """A model that fills blanks.

    >>> filler = BlankFiller.load("python_manual_fill")
    >>> filler("the ___ of a list").blanks[0][0]

    Args:
        model, vocabulary: trained together.
        top: words told of each blank.
    """

    def __init__(self, model: "FillModel", vocabulary: "WordVocabulary", top: int = 5):
        self.model, self.vocabulary, self.top = model, vocabulary, top

    @classmethod
    def load(cls, model: str | None = None, top: int = 5) -> "BlankFiller":
        """Loads a run or folder, by default the released model; UserError when there is none that fits together."""
        from tasks.language_model.model import load_fill_model

        _, vocabulary, model_ = load_fill_model(find_run(model, "both ways"))
        return cls(model_, vocabulary, top)

    def __call__(self, text: str) -> Filled:
        """UserError for a text without a blank."""
        import numpy as np

        vocabulary = self.vocabulary
        ids, places = [vocabulary.end_id], []  # a line stands between the ends of others
        first, *others = BLANK.split(text)
        if not others:
            raise UserError(f"{text!r}: no blank in it; write one as ___")
        ids += vocabulary.encode(first)
        for part in others:
            places.append(len(ids))
            ids += [vocabulary.start_id, *vocabulary.encode(part)]
        inputs = {"token_ids": np.array([[*ids, vocabulary.end_id]], np.int32), "places": np.array([places], np.int32)}
        logits = self.model.predict_on_batch(inputs)[0].astype("float64")
        probabilities = np.exp(logits - logits.max(axis=-1, keepdims=True))
        probabilities /= probabilities.sum(axis=-1, keepdims=True)
        first_word = vocabulary.unknown_id + 1
        blanks = []
        for of_blank in probabilities:
            best = first_word + np.argsort(-of_blank[first_word:])[: self.top]
            blanks.append([(vocabulary.table[word], float(of_blank[word])) for word in best])
        return Filled(text=text, blanks=blanks)


@dataclass(frozen=True, kw_only=True)
class Arguments:
    texts: tyro.conf.Positional[tuple[str, ...]] = ()
    """Texts with blanks, ___."""
    file: str | None = None
    """Fill the lines of a file, or of standard input for -."""
    top: int = 5
    """Words told of each blank."""
    model: str | None = None
    """Run or folder; by default the released model, else the newest run that reads both ways."""
    json: bool = False
    """One JSON object for each text."""
    output: Path | None = None
    """Write there instead of to standard output."""


def check(options: Arguments) -> None:
    """UserError for whatever can be known to be wrong before a model is loaded."""
    if bool(options.texts) == bool(options.file):
        raise UserError('expected texts or --file, one of the two, such as "the ___ sat on the mat"')
    if options.top < 1:
        raise UserError(f"--top {options.top}: at least 1 was expected")
    if options.file:
        check_readable(options.file)


@command
def main(arguments: list[str]) -> int:
    options = parse(Arguments, arguments, "tasks.language_model.fill", __doc__)
    check(options)
    run = find_run(options.model, "both ways")
    results = Results(options.json, options.output)
    filler = BlankFiller.load(str(run.path), options.top)
    texts: Iterable[str] = read_lines(options.file) if options.file else options.texts
    done = failed = 0
    try:
        for text in texts:
            try:
                filled = filler(text)
            except UserError as error:
                complain(str(error))
                failed += 1
            else:
                results.write(filled.record(), str(filled))
                done += 1
    finally:
        results.close()
    if not done and not failed:
        raise UserError(f"{options.file}: no lines to fill")
    return USAGE if not done else int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
