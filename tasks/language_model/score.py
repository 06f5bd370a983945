"""Says how probable texts are.

    python -m tasks.language_model.score "the cat sat on the mat" "the mat sat on the cat"
    python -m tasks.language_model.score --file sentences.txt --tsv
    python -m tasks.language_model.score --file book.txt --carry --html surprisal.html
    cat sentences.txt | python -m tasks.language_model.score --file - --json
    python -m tasks.language_model.score --nbest hypotheses.txt --weight 0.5

Of each line, all logarithms natural and `</s>` its last token:

    log_prob             the sum over its tokens of log p(token | those before it), `</s>` included
    perplexity           exp(-log_prob / tokens), `</s>` counted
    without_end          the same without `</s>`, neither summed nor counted
    bits_per_character   -log_prob / ln 2 / characters, the end of the line counted as one
    unknown              tokens that the model does not know; each is scored as <unk>, which is more probable than it

Each line is read by itself, after the end of another, unless `--carry` goes on from line to line as in one text.
"""

import html
import math
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tyro

from shared.cli import Results, command, parse
from shared.errors import UserError
from shared.runs import write_bytes
from shared.text import check_readable, read_lines
from tasks.language_model.config import find_run

if TYPE_CHECKING:
    from shared.vocabulary import Vocabulary
    from tasks.language_model.model import LanguageModel, StreamReader

ROWS, STEPS = 16, 64  # lines scored side by side, tokens at a time: their logits take 140 MB with 33,000 words
LONG = 512  # tokens of a line that is scored by itself
CHUNK = 64  # lines read before they are scored, like with like in length


@dataclass(frozen=True, kw_only=True)
class Score:
    """What a line costs.

    Attributes:
        text: the line.
        tokens: its words as the model splits them, known or not, or pieces of them, and `</s>`.
        log_probs: natural logarithm of each one's probability, `(tokens,)`.
        unknown: whether each one is unknown to the model.
    """

    text: str
    tokens: list[str]
    log_probs: np.ndarray
    unknown: list[bool]

    @property
    def log_prob(self) -> float:
        return float(self.log_probs.sum())

    @property
    def perplexity(self) -> float:
        return _exp(-self.log_prob / len(self.tokens))

    @property
    def without_end(self) -> float | None:
        """None for a line without words."""
        return _exp(-float(self.log_probs[:-1].mean())) if len(self.tokens) > 1 else None

    @property
    def bits_per_character(self) -> float:
        return -self.log_prob / math.log(2) / (len(self.text) + 1)

    def record(self) -> dict:
        return {
            "text": self.text,
            "log_prob": round(self.log_prob, 4),
            "perplexity": round(self.perplexity, 4),
            "without_end": self.without_end and round(self.without_end, 4),
            "bits_per_character": round(self.bits_per_character, 4),
            "unknown": sum(self.unknown),
            "tokens": self.tokens,
            "log_probs": [round(float(value), 4) for value in self.log_probs],
        }


COLUMNS = ("log_prob", "perplexity", "without_end", "bits_per_character", "unknown", "text")
TOKEN_COLUMNS = ("line", "token", "log_prob", "unknown")


def _exp(x: float) -> float:
    return math.exp(min(x, 700))


class TextScorer:
    """A language model that tells what lines cost.

    >>> scorer = TextScorer.load("wikitext2")
    >>> scorer(["the cat sat"])[0].log_prob

    Args:
        model, vocabulary: trained together.
        carry: go on from line to line, and from call to call, as in one text.
    """

    def __init__(self, model: "LanguageModel", vocabulary: "Vocabulary", carry: bool = False):
        from tasks.language_model.model import StreamReader

        self.vocabulary, self.carry = vocabulary, carry
        self.alone, self.together = StreamReader(model, 1), StreamReader(model, ROWS)
        self.before: int | None = None  # the last token of the text so far, if it is carried

    @classmethod
    def load(cls, model: str | None = None, carry: bool = False) -> "TextScorer":
        """Loads a run or folder, by default the released model; UserError when there is none that fits together."""
        from tasks.language_model.model import load_model

        _, vocabulary, model_ = load_model(find_run(model))
        return cls(model_, vocabulary, carry)

    def __call__(self, lines: Iterable[str]) -> list[Score]:
        lines = list(lines)
        ids = [[*self.vocabulary.encode(line), self.vocabulary.end_id] for line in lines]
        nats = self._carried(ids) if self.carry else self._apart(ids)
        return [
            Score(
                text=line,
                tokens=[*self.vocabulary.pieces(line), self.vocabulary.table[self.vocabulary.end_id]],
                log_probs=-cost,
                unknown=[token == self.vocabulary.unknown_id for token in of_line],
            )
            for line, of_line, cost in zip(lines, ids, nats, strict=True)
        ]

    def _apart(self, ids: list[list[int]]) -> list[np.ndarray]:
        """-log p of the tokens of each line, by itself."""
        nats: list[np.ndarray] = [np.empty(0)] * len(ids)
        order = sorted(range(len(ids)), key=lambda number: len(ids[number]))
        short = [number for number in order if len(ids[number]) <= LONG]
        for first in range(0, len(short), ROWS):
            numbers = short[first : first + ROWS]
            targets = np.zeros((ROWS, len(ids[numbers[-1]])), np.int32)
            for row, number in zip(targets, numbers, strict=False):
                row[: len(ids[number])] = ids[number]
            costs = self._read(self.together, targets, self.vocabulary.end_id, goes_on=False)
            for cost, number in zip(costs, numbers, strict=False):
                nats[number] = cost[: len(ids[number])]
        for number in order[len(short) :]:
            targets = np.array([ids[number]], np.int32)
            nats[number] = self._read(self.alone, targets, self.vocabulary.end_id, goes_on=False)[0]
        return nats

    def _carried(self, ids: list[list[int]]) -> list[np.ndarray]:
        """-log p of the tokens of each line, after all lines before it."""
        if not ids:
            return []
        targets = np.concatenate(ids).astype(np.int32)[None]
        before = self.vocabulary.end_id if self.before is None else self.before
        costs = self._read(self.alone, targets, before, goes_on=self.before is not None)
        self.before = int(targets[0, -1])
        return np.split(costs[0], np.cumsum([len(of_line) for of_line in ids])[:-1])

    def _read(self, reader: "StreamReader", targets: np.ndarray, before: int, goes_on: bool) -> np.ndarray:
        """-log p of each target, `(batch, time)`, a part of the steps after the other."""
        inputs = np.concatenate([np.full((len(targets), 1), before, np.int32), targets[:, :-1]], axis=1)
        costs, steps = [], ROWS * STEPS // len(targets)
        for first in range(0, targets.shape[1], steps):
            part = slice(first, first + steps)
            batch = {"token_ids": inputs[:, part], "target_ids": targets[:, part]}
            batch["goes_on"] = np.full(len(targets), goes_on or first > 0)
            costs.append(reader.predict_on_batch(batch))
        return np.concatenate(costs, axis=1)


def score_lines(scorer: TextScorer, lines: Iterable[str]) -> Iterator[Score]:
    """The scores of lines as they come, in their order."""
    lines = iter(lines)
    while chunk := list(islice(lines, 1 if scorer.carry else CHUNK)):
        yield from scorer(chunk)


@dataclass
class Total:
    """What all lines cost together."""

    lines: int = 0
    tokens: int = 0
    unknown: int = 0
    log_prob: float = 0.0
    without_end: float = 0.0
    characters: int = 0

    def add(self, score: Score) -> None:
        self.lines += 1
        self.tokens += len(score.tokens)
        self.unknown += sum(score.unknown)
        self.log_prob += score.log_prob
        self.without_end += float(score.log_probs[:-1].sum())
        self.characters += len(score.text) + 1

    def __str__(self) -> str:
        words = self.tokens - self.lines
        without_end = f"{_exp(-self.without_end / words):.2f} without </s>" if words else "no words"
        return (
            f"{self.lines:,} lines, {self.tokens:,} tokens, {self.unknown:,} unknown: log_prob {self.log_prob:.2f},"
            f" perplexity {_exp(-self.log_prob / self.tokens):.2f}, {without_end},"
            f" {-self.log_prob / math.log(2) / self.characters:.3f} bits per character"
        )


# --- n-best lists --------------------------------------------------------------------------------------------------


def rescore(scorer: TextScorer, lines: Iterable[str], weight: float) -> Iterator[tuple[dict, str]]:
    """Moses' n-best lines, `number ||| hypothesis ||| features ||| score`, with a feature `RNNLM0=` of ours and the
    score raised by `weight` times it; the hypotheses of each number then best first.

    Raises:
        UserError: a line has another form.
    """
    group: list[list[str]] = []
    for place, line in enumerate(lines, 1):
        fields = [field.strip() for field in line.split("|||")]
        if len(fields) < 4 or not _is_number(fields[3]):
            raise UserError(
                f"line {place}: expected number ||| hypothesis ||| features ||| score, received {line[:80]!r}"
            )
        if group and group[0][0] != fields[0]:
            yield from _rescored(scorer, group, weight)
            group = []
        group.append(fields)
    yield from _rescored(scorer, group, weight)


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _rescored(scorer: TextScorer, group: list[list[str]], weight: float) -> Iterator[tuple[dict, str]]:
    found = []
    for fields, score in zip(group, scorer([fields[1] for fields in group]), strict=True):
        total = float(fields[3]) + weight * score.log_prob
        written = [
            fields[0],
            fields[1],
            f"{fields[2]} RNNLM0= {score.log_prob:.4f}".strip(),
            f"{total:.4f}",
            *fields[4:],
        ]
        record = {"number": fields[0], "text": fields[1], "log_prob": round(score.log_prob, 4), "score": total}
        found.append((total, record, " ||| ".join(written)))
    yield from ((record, text) for _, record, text in sorted(found, key=lambda one: -one[0]))


# --- surprisal to look at ------------------------------------------------------------------------------------------

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Surprisal</title>
<style>
  body {{ margin: 2rem auto; max-width: 60rem; font: 17px/1.9 system-ui, sans-serif; color: #222 }}
  p {{ margin: .4rem 0 }}
  span {{ padding: .1rem .25rem; border-radius: 4px }}
  .unknown {{ text-decoration: underline dotted #a00 }}
  small {{ color: #777 }}
</style>
<h1>Surprisal</h1>
<p><small>{total}. The darker a word, the less it was expected; point at one for -log2 p. Underlined words are unknown
to the model.</small></p>
{lines}
</html>
"""
DARKEST = 16.0  # bits


def _heat(score: Score) -> str:
    """A line of the page."""
    words = []
    for token, log_prob, unknown in zip(score.tokens, score.log_probs, score.unknown, strict=True):
        bits = -float(log_prob) / math.log(2)
        colour = f"rgb(217 95 2 / {min(1.0, bits / DARKEST):.2f})"
        kind = ' class="unknown"' if unknown else ""
        words.append(f'<span{kind} style="background:{colour}" title="{bits:.2f} bits">{html.escape(token)}</span>')
    return f"<p>{' '.join(words)}</p>"


# --- the command ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Arguments:
    texts: tyro.conf.Positional[tuple[str, ...]] = ()
    """Texts, one line each."""
    file: str | None = None
    """Score the lines of a file, or of standard input for -."""
    nbest: str | None = None
    """Rescore a list in Moses' format, or standard input for -."""
    weight: float = 1.0
    """What log_prob is multiplied with before it is added to the score of an n-best list."""
    carry: bool = False
    """Go on from line to line, as in one text."""
    model: str | None = None
    """Run or folder; by default the released model, else the newest run that reads forwards."""
    by_token: bool = False
    """Tell of each token; with --tsv, of tokens alone."""
    tsv: bool = False
    """Values between tabs, with a heading, in place of the table."""
    json: bool = False
    """One JSON object a line, tokens included."""
    html: Path | None = None
    """Write a page on which unexpected words are dark."""
    output: Path | None = None
    """Write there instead of to standard output."""


def check(options: Arguments) -> None:
    """UserError for whatever can be known to be wrong before a model is loaded."""
    sources = sum((bool(options.texts), options.file is not None, options.nbest is not None))
    if sources != 1:
        raise UserError("name either texts, or --file, or --nbest")
    for source in (options.file, options.nbest):
        if source is not None:
            check_readable(source)
    if options.html and not options.html.parent.is_dir():
        raise UserError(f"--html {options.html}: there is no folder {options.html.parent}")
    if options.tsv and options.json:
        raise UserError("--tsv and --json: one of the two was expected")
    if options.nbest and (options.carry or options.html or options.tsv or options.by_token):
        raise UserError("--nbest goes with --weight, --model, --json and --output alone")


def _heading(options: Arguments) -> str:
    if options.tsv:
        return "\t".join(TOKEN_COLUMNS if options.by_token else COLUMNS)
    return f"{'log_prob':>10} {'perplexity':>11} {'without_end':>12} {'bpc':>7} {'unknown':>8}  text"


def _between_tabs(*cells: object) -> str:
    """A line of cells, "" for None; white space within them is written as spaces."""
    return "\t".join("" if cell is None else re.sub(r"\s", " ", str(cell)) for cell in cells)


def _rows(number: int, score: Score, options: Arguments) -> str:
    """What is written of a line, the `number`th."""
    record = score.record()
    tokens = (
        list(zip(score.tokens, record["log_probs"], map(int, score.unknown), strict=True)) if options.by_token else []
    )
    if options.tsv and options.by_token:
        return "\n".join(_between_tabs(number, *token) for token in tokens)
    if options.tsv:
        return _between_tabs(*(record[name] for name in COLUMNS))
    without_end = "" if score.without_end is None else f"{score.without_end:.2f}"
    row = (
        f"{score.log_prob:>10.2f} {score.perplexity:>11.2f} {without_end:>12} {score.bits_per_character:>7.3f}"
        f" {record['unknown']:>8}  {score.text}"
    )
    return row + "".join(
        f"\n{value:>10.2f}   {token}{'  <unk>' if unknown else ''}" for token, value, unknown in tokens
    )


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.language_model.score", __doc__)
    check(options)
    run = find_run(options.model)
    results = Results(options.json, options.output)
    scorer = TextScorer.load(str(run.path), options.carry)
    try:
        if options.nbest:
            for record, text in rescore(scorer, read_lines(options.nbest), options.weight):
                results.write(record, text)
            return
        lines = read_lines(options.file) if options.file else iter(options.texts)
        total, page = Total(), []
        if not options.json:
            results.write({}, _heading(options))
        for number, score in enumerate(score_lines(scorer, lines), 1):
            results.write(score.record(), _rows(number, score, options))
            total.add(score)
            if options.html:
                page.append(_heat(score))
        if not total.lines:
            raise UserError(f"{options.file}: no lines to score")
        if not options.json and not options.tsv:
            results.write({}, str(total))
        if options.html:
            write_bytes(options.html, PAGE.format(total=total, lines="\n".join(page)).encode(errors="replace"))
    finally:
        results.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
