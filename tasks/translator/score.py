"""Prints the log-probability of given translations.

    python -m tasks.translator.score "Ein Hund läuft." "A dog is running." "Ein Hund läuft." "A cat is running."
    python -m tasks.translator.score --source-file a.de --target-file a.en --json

For each pair of a sentence and its translation, in natural logarithms, with the end of the translation as a token:

    log_prob     sum over the tokens of log p(token | previous tokens, sentence)
    perplexity   exp(-log_prob / number of tokens)
    unknown      number of tokens that are not in the vocabulary; each has the probability of <unk>, which is higher
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from shared.cli import ModelOptions, OutputOptions, Results, command, parse
from shared.errors import UserError
from shared.outputs import check_outputs
from shared.text import check_readable, read_lines
from tasks.translator.config import find_run

if TYPE_CHECKING:
    from tasks.translator.inference import PairScore

CHUNK = 256  # pairs read before they are scored, in batches of similar length


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelOptions, OutputOptions):
    texts: tyro.conf.Positional[tuple[str, ...]] = ()
    """A sentence, its translation, the next sentence, its translation, and so on."""
    source_file: Path | None = None
    """Sentences, one a line."""
    target_file: Path | None = None
    """Their translations, line by line."""


def as_record(score: "PairScore") -> dict[str, Any]:
    """The JSON object of a pair."""
    return {
        "source": score.source,
        "target": score.target,
        "log_prob": round(score.log_prob, 4),
        "perplexity": round(score.perplexity, 4),
        "unknown": sum(score.unknown),
        "tokens": score.tokens,
        "log_probs": [round(float(value), 4) for value in score.log_probs],
    }


def read_pairs(options: Arguments) -> list[tuple[str, str]]:
    """The pairs that the options name; raises UserError if a sentence or a translation is missing."""
    files = options.source_file, options.target_file
    if bool(options.texts) == any(files) or any(files) != all(files):
        raise UserError("name either sentences and their translations, or --source-file and --target-file")
    if options.texts:
        if len(options.texts) % 2:
            raise UserError(f"{len(options.texts)} texts: a sentence, its translation and so on were expected")
        return list(zip(options.texts[::2], options.texts[1::2], strict=True))
    for path in files:
        check_readable(str(path))
    sources, targets = (list(read_lines(str(path))) for path in files)
    if len(sources) != len(targets):
        lines = f"{files[0]} has {len(sources):,} lines, {files[1]} has {len(targets):,}"
        raise UserError(f"{lines}; the same number was expected")
    return list(zip(sources, targets, strict=True))


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.translator.score", __doc__)
    pairs = read_pairs(options)
    run = find_run(options.model)
    check_outputs(
        {"--output": [options.output]},
        {
            "the file that --source-file names": [options.source_file],
            "the file that --target-file names": [options.target_file],
            "a file of the model": [run.path],
        },
    )
    from tasks.translator.inference import PairScorer

    scorer = PairScorer.load(str(run.path))
    with Results(options.json, options.output) as results:
        for start in range(0, len(pairs), CHUNK):
            scores = scorer(pairs[start : start + CHUNK])
            if not start and not options.json:
                results.write({}, f"{'log_prob':>10} {'perplexity':>11} {'unknown':>8}  translation")
            for score in scores:
                record = as_record(score)
                cells = f"{record['log_prob']:10.2f} {record['perplexity']:11.2f} {record['unknown']:8}"
                results.write(record, f"{cells}  {score.target}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
