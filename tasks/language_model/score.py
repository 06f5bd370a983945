"""Computes how probable texts are.

    python -m tasks.language_model.score "the cat sat on the mat" "the mat sat on the cat"
    python -m tasks.language_model.score --file sentences.txt --tsv
    python -m tasks.language_model.score --file book.txt --carry --html surprisal.html
    cat sentences.txt | python -m tasks.language_model.score --file - --json
    python -m tasks.language_model.score --file story.txt --by-word --csv --output surprisal.csv
    python -m tasks.language_model.score --nbest hypotheses.txt --weight 0.5
    python -m tasks.language_model.score --kaldi nbest/words_text --output nbest/lm_cost

For each line, with natural logarithms and `</s>` as its last token:

    log_prob             sum of log p(token | tokens before it), `</s>` included
    perplexity           exp(-log_prob / tokens), `</s>` included
    without_end          the same without `</s>`
    word_perplexity      exp(-log_prob / words), `</s>` included, which compares models with other tokens (per_word)
    bits_per_character   -log_prob / ln 2 / characters; the end of the line counts as one
    unknown              number of unknown tokens; each has the probability of <unk>, which is higher than its own

Lines are scored independently, unless `--carry` scores them as one text. Ordinary text is split into the tokens of the
model's corpus; a line that is split already is read as it is. `--by-word` writes the surprisal -log p of each word in
bits and nats, `</s>` left out; a word that the model reads nothing of has none.
"""

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from shared.bounds import Bounds
from shared.cli import ModelOptions, OutputOptions, Results, RuntimeOptions, command, parse, say_loading
from shared.errors import UserError
from shared.outputs import check_outputs, write_output
from shared.text import check_readable, read_batches, read_lines
from tasks.language_model import tables
from tasks.language_model.config import Form, Punctuation, find_run

if TYPE_CHECKING:
    from tasks.language_model.inference import TextScore, TextScorer

CHUNK = 64  # lines that are scored together, in batches of similar length


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelOptions, RuntimeOptions, OutputOptions):
    texts: tyro.conf.Positional[tuple[str, ...]] = ()
    """Texts, one line each."""
    file: str | None = None
    """Score the lines of a file; - is standard input."""
    nbest: str | None = None
    """Rescore an n-best list in the format of Moses; - is standard input."""
    weight: Annotated[float, Bounds(-1000, 1000)] = 1.0
    """Weight of log_prob in the score of an n-best list."""
    kaldi: str | None = None
    """Write -log_prob for each line `utterance-n words` of an n-best list of Kaldi; - is standard input."""
    form: Form = "auto"
    """Form of the lines: ordinary `text`, or `tokens` of the model's corpus, such as `mat .`; recognised by default."""
    carry: bool = False
    """Score consecutive lines as one text."""
    by_token: bool = False
    """Also write the log-probability of each token; with --tsv or --csv, only these."""
    by_word: bool = False
    """Also write the surprisal of each word, its tokens summed; with --tsv or --csv, only these."""
    punctuation: Punctuation = "attached"
    """Punctuation belongs to the word beside it, or is apart; with --by-word."""
    tsv: bool = False
    """Write tab-separated values with a heading."""
    csv: bool = False
    """Write comma-separated values with a heading."""
    html: Path | None = None
    """Write a page with the surprisal of each word."""

    @property
    def delimiter(self) -> str | None:
        """Of values; None for a table for a person."""
        return "\t" if self.tsv else "," if self.csv else None


def check(options: Arguments) -> None:
    """Raises UserError for invalid options."""
    sources = options.file, options.nbest, options.kaldi
    if bool(options.texts) + sum(source is not None for source in sources) != 1:
        raise UserError("one of the four was expected: texts, --file, --nbest or --kaldi")
    for source in sources:
        if source is not None:
            check_readable(source)
    if options.tsv + options.csv + options.json > 1:
        raise UserError("--tsv, --csv and --json: one of the three was expected")
    if options.by_token and options.by_word:
        raise UserError("--by-token and --by-word: one of the two was expected")
    if options.punctuation != "attached" and not options.by_word:
        raise UserError("--punctuation: --by-word was expected with it")
    tables_only = options.carry, options.html, options.tsv, options.csv, options.by_token, options.by_word
    if options.nbest and any(tables_only):
        raise UserError("--nbest: only --weight, --form, --model, --json and --output go with it")
    if options.kaldi and any(tables_only):
        raise UserError("--kaldi: only --form, --model, --json and --output go with it")


def heading(options: Arguments) -> str:
    if options.delimiter is None:
        return tables.HEADING
    columns = tables.TOKEN_COLUMNS if options.by_token else tables.WORD_COLUMNS if options.by_word else None
    return tables.separated(columns or tables.LINE_COLUMNS, options.delimiter)


def rows(number: int, score: "TextScore", options: Arguments) -> list[str]:
    """The rows of line `number`."""
    delimiter = options.delimiter
    if options.by_word:
        words = tables.word_rows(score, options.punctuation)
        if delimiter:
            return [tables.separated((number, *cells, int(unknown)), delimiter) for *cells, unknown in words]
        return [tables.line_row(score), *(tables.small_row(row[2], row[1], row[4]) for row in words)]
    record = tables.as_record(score)
    if options.by_token:
        tokens = list(zip(score.tokens, record["log_probs"], score.unknown, strict=True))
        if delimiter:
            return [tables.separated((number, *cells, int(unknown)), delimiter) for *cells, unknown in tokens]
        return [tables.line_row(score), *(tables.small_row(value, token, unknown) for token, value, unknown in tokens)]
    if delimiter:
        return [tables.separated(tuple(record[name] for name in tables.LINE_COLUMNS), delimiter)]
    return [tables.line_row(score)]


def score_lines(scorer: "TextScorer", options: Arguments, results: Results) -> None:
    """Writes the scores of all lines, as they arrive, and their total."""
    from tasks.language_model import surprisal_page

    batches: Iterable[Sequence[str]] = read_batches(options.file, CHUNK) if options.file else [options.texts]
    punctuation = options.punctuation if options.by_word else None
    total, paragraphs = tables.Total(), []
    try:
        for score in (score for lines in batches for score in scorer(lines)):
            if not total.lines and not options.json:
                results.write({}, heading(options))
            total.add(score)
            if options.json:
                results.write(tables.as_record(score, punctuation), "")
            else:
                for row in rows(total.lines, score, options):
                    results.write({}, row)
            if options.html:
                paragraphs.append(surprisal_page.paragraph(score))
        if not total.lines:
            raise UserError(f"{options.file}: no lines to score")
        write_notes(scorer, options, results, total)
    finally:  # after an interruption too: finished lines are kept
        if options.html and total.lines:
            write_output(options.html, surprisal_page.page(str(total), paragraphs))


def write_notes(scorer: "TextScorer", options: Arguments, results: Results, total: tables.Total) -> None:
    """Writes the total, the unknown words and how the lines were read; beside values, the last on standard error."""
    notation = scorer.tokenisation.notation
    how_read = total.how_read(notation) if notation and options.form == "auto" else ""
    if options.delimiter and how_read:
        print(how_read, file=sys.stderr)
    elif not options.delimiter and not options.json:
        for note in filter(None, (str(total), total.unknown_words(), how_read)):
            results.write({}, note)


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
            "the file that --kaldi names": [options.kaldi],
            "a file of the model": [run.path],
        },
    )
    from tasks.language_model.inference import TextScorer
    from tasks.language_model.rescoring import kaldi_scores, rescore

    say_loading("language model")
    scorer = TextScorer.load(str(run.path), options.carry, options.form, options.runtime)
    with Results(options.json, options.output) as results:
        if options.nbest:
            for record, text in rescore(scorer, read_lines(options.nbest), options.weight):
                results.write(record, text)
        elif options.kaldi:
            for record, text in kaldi_scores(scorer, read_batches(options.kaldi, CHUNK)):
                results.write(record, text)
        else:
            score_lines(scorer, options, results)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
