"""Computes how probable texts are.

    python -m tasks.language_model.score "the cat sat on the mat" "the mat sat on the cat"
    python -m tasks.language_model.score --file sentences.txt --tsv
    python -m tasks.language_model.score --file book.txt --carry --html surprisal.html
    cat sentences.txt | python -m tasks.language_model.score --file - --json
    python -m tasks.language_model.score --nbest hypotheses.txt --weight 0.5

For each line, with natural logarithms and `</s>` as its last token:

    log_prob             sum of log p(token | tokens before it), `</s>` included
    perplexity           exp(-log_prob / tokens), `</s>` included
    without_end          the same without `</s>`
    bits_per_character   -log_prob / ln 2 / characters; the end of the line counts as one
    unknown              number of unknown tokens; each has the probability of <unk>, which is higher than its own

Lines are scored independently, unless `--carry` scores them as one text.
"""

import math
import re
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from shared.bounds import Bounds
from shared.cli import ModelOptions, OutputOptions, Results, command, parse
from shared.errors import UserError
from shared.outputs import check_outputs, write_output
from shared.text import check_readable, read_lines
from tasks.language_model.config import find_run

if TYPE_CHECKING:
    from tasks.language_model.inference import TextScore, TextScorer

COLUMNS = ("log_prob", "perplexity", "without_end", "bits_per_character", "unknown", "text")
TOKEN_COLUMNS = ("line", "token", "log_prob", "unknown")


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelOptions, OutputOptions):
    texts: tyro.conf.Positional[tuple[str, ...]] = ()
    """Texts, one line each."""
    file: str | None = None
    """Score the lines of a file; - is standard input."""
    nbest: str | None = None
    """Rescore an n-best list in the format of Moses; - is standard input."""
    weight: Annotated[float, Bounds(-1000, 1000)] = 1.0
    """Weight of log_prob in the score of an n-best list."""
    carry: bool = False
    """Score consecutive lines as one text."""
    by_token: bool = False
    """Also write the log-probability of each token; with --tsv, only these."""
    tsv: bool = False
    """Write tab-separated values with a heading."""
    html: Path | None = None
    """Write a page with the surprisal of each word."""


def check(options: Arguments) -> None:
    """Raises UserError for invalid options."""
    if sum((bool(options.texts), options.file is not None, options.nbest is not None)) != 1:
        raise UserError("one of the three was expected: texts, --file or --nbest")
    for source in (options.file, options.nbest):
        if source is not None:
            check_readable(source)
    if options.tsv and options.json:
        raise UserError("--tsv and --json: one of the two was expected")
    if options.nbest and (options.carry or options.html or options.tsv or options.by_token):
        raise UserError("--nbest: only --weight, --model, --json and --output go with it")


def as_record(score: "TextScore") -> dict[str, Any]:
    return {
        "text": score.text,
        "log_prob": round(score.log_prob, 4),
        "perplexity": round(score.perplexity, 4),
        "without_end": score.without_end and round(score.without_end, 4),
        "bits_per_character": round(score.bits_per_character, 4),
        "unknown": sum(score.unknown),
        "tokens": score.tokens,
        "log_probs": [round(float(value), 4) for value in score.log_probs],
    }


def heading(options: Arguments) -> str:
    if options.tsv:
        return "\t".join(TOKEN_COLUMNS if options.by_token else COLUMNS)
    return f"{'log_prob':>10} {'perplexity':>11} {'without_end':>12} {'bpc':>7} {'unknown':>8}  text"


def as_text(number: int, score: "TextScore", options: Arguments) -> str:
    """The rows of line `number`, as a table or tab-separated."""
    record = as_record(score)
    tokens = list(zip(score.tokens, record["log_probs"], score.unknown, strict=True)) if options.by_token else []
    if options.tsv and options.by_token:
        return "\n".join(_tab_separated(number, token, value, int(unknown)) for token, value, unknown in tokens)
    if options.tsv:
        return _tab_separated(*(record[name] for name in COLUMNS))
    without_end = "" if score.without_end is None else f"{score.without_end:.2f}"
    row = (
        f"{score.log_prob:>10.2f} {score.perplexity:>11.2f} {without_end:>12} {score.bits_per_character:>7.3f}"
        f" {record['unknown']:>8}  {score.text}"
    )
    return row + "".join(
        f"\n{value:>10.2f}   {token}{'  <unk>' if unknown else ''}" for token, value, unknown in tokens
    )


def _tab_separated(*cells: object) -> str:
    """A row of cells, "" for None; white space within a cell becomes a space."""
    return "\t".join("" if cell is None else re.sub(r"\s", " ", str(cell)) for cell in cells)


def add(total: dict[str, float], score: "TextScore") -> None:
    """Adds a line to the sums over all lines."""
    total["lines"] += 1
    total["tokens"] += len(score.tokens)
    total["unknown"] += sum(score.unknown)
    total["characters"] += len(score.text) + 1
    total["log_prob"] += score.log_prob
    total["without_end"] += float(score.log_probs[:-1].sum())


def total_as_text(total: dict[str, float]) -> str:
    """The sums over all lines in one line."""
    from tasks.language_model.inference import bounded_exp

    words = total["tokens"] - total["lines"]
    without_end = f"{bounded_exp(-total['without_end'] / words):.2f} without </s>" if words else "no words"
    return (
        f"{total['lines']:,.0f} lines, {total['tokens']:,.0f} tokens, {total['unknown']:,.0f} unknown:"
        f" log_prob {total['log_prob']:.2f}, perplexity {bounded_exp(-total['log_prob'] / total['tokens']):.2f},"
        f" {without_end}, {-total['log_prob'] / math.log(2) / total['characters']:.3f} bits per character"
    )


def score_lines(scorer: "TextScorer", options: Arguments, results: Results) -> None:
    """Writes the scores of all lines and their total."""
    from tasks.language_model import surprisal_page

    lines = read_lines(options.file) if options.file else iter(options.texts)
    total, paragraphs = defaultdict(float), []
    try:
        for number, score in enumerate(scorer.stream(lines), 1):
            if not total and not options.json:
                results.write({}, heading(options))
            results.write(as_record(score), as_text(number, score, options))
            add(total, score)
            if options.html:
                paragraphs.append(surprisal_page.paragraph(score))
        if not total:
            raise UserError(f"{options.file}: no lines to score")
        if not options.json and not options.tsv:
            results.write({}, total_as_text(total))
    finally:  # after an interruption too: finished lines are kept
        if options.html and total:
            write_output(options.html, surprisal_page.page(total_as_text(total), paragraphs))


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.language_model.score", __doc__)
    check(options)
    run = find_run(options.model)
    check_outputs(
        {"--output": [options.output], "--html": [options.html]},
        {
            "the file that --file names": [options.file],
            "the file that --nbest names": [options.nbest],
            "a file of the model": [run.path],
        },
    )
    from tasks.language_model.inference import TextScorer
    from tasks.language_model.rescoring import rescore

    scorer = TextScorer.load(str(run.path), options.carry)
    with Results(options.json, options.output) as results:
        if options.nbest:
            for record, text in rescore(scorer, read_lines(options.nbest), options.weight):
                results.write(record, text)
        else:
            score_lines(scorer, options, results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
