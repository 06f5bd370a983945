"""Prints the log-probability of given translations.

    python -m tasks.translator.score "Ein Hund läuft." "A dog is running." "Ein Hund läuft." "A cat is running."
    python -m tasks.translator.score --from en --to fr "A dog is running." "Un chien court."
    python -m tasks.translator.score --source-file a.de --target-file a.en --json
    paste a.de a.en | python -m tasks.translator.score --pairs-file -

For each pair of a sentence and its translation, in natural logarithms, with the end of the translation as a token:

    log_prob     sum over the tokens of log p(token | previous tokens, sentence)
    perplexity   exp(-log_prob / number of tokens)
    unknown      number of tokens that are not in the vocabulary; each has the probability of <unk>, which is higher
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from shared.cli import ModelOptions, OutputOptions, Results, command, parse
from shared.errors import UserError, shortened
from shared.outputs import check_outputs
from shared.text import check_readable, read_batches
from tasks.translator.config import Config, own_files
from tasks.translator.options import DirectionOptions

if TYPE_CHECKING:
    from tasks.translator.inference import PairScore

MOST = 256  # pairs that are scored together, in batches of similar length


@dataclass(frozen=True, kw_only=True)
class Arguments(DirectionOptions, ModelOptions, OutputOptions):
    texts: tyro.conf.Positional[tuple[str, ...]] = ()
    """A sentence, its translation, the next sentence, its translation, and so on."""
    source_file: Path | None = None
    """Sentences, one a line."""
    target_file: Path | None = None
    """Their translations, line by line."""
    pairs_file: str | None = None
    """Instead of the two: TMX, tab-separated text, CSV or JSON lines; - for standard input, with a sentence, a tab and
    its translation in each line."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The files that the options name, see `own_files`."""
        return own_files(self.source_file, self.target_file, self.pairs_file)


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


def read_pairs(options: Arguments, languages: tuple[str, str]) -> Iterable[list[tuple[str, str]]]:
    """The pairs that the options name, in lists; those of standard input as they arrive.

    Raises UserError if a sentence or a translation is missing.
    """
    if options.texts:
        return [list(zip(options.texts[::2], options.texts[1::2], strict=True))]
    if options.pairs_file == "-":
        return map(_split, read_batches("-", MOST))
    import datasets.aligned_files

    pairs = datasets.aligned_files.read_pairs(options.files, languages)
    return [pairs[start : start + MOST] for start in range(0, len(pairs), MOST)]


def _split(lines: list[str]) -> list[tuple[str, str]]:
    pairs = []
    for line in lines:
        sentence, tab, translation = line.partition("\t")
        if not tab:
            raise UserError(f"{shortened(line)!r}: a sentence, a tab and its translation were expected")
        pairs.append((sentence, translation.partition("\t")[0]))
    return pairs


def check(options: Arguments) -> None:
    """Raises UserError for wrong arguments, before a model is loaded."""
    files = options.files
    if bool(options.texts) == bool(files):
        raise UserError(
            "name either sentences and their translations, or --source-file and --target-file, or --pairs-file"
        )
    if len(options.texts) % 2:
        raise UserError(f"{len(options.texts)} texts: a sentence, its translation and so on were expected")
    for path in files if len(files) == 2 else ():
        check_readable(str(path))


@command
def main(arguments: list[str]) -> None:
    options = parse(Arguments, arguments, "tasks.translator.score", __doc__)
    check(options)
    run = options.find_run(options.model)
    config = run.read_config(Config)
    batches = read_pairs(options, (config.source, config.target))
    check_outputs(
        {"--output": [options.output]},
        {
            "the file that --source-file names": [options.source_file],
            "the file that --target-file names": [options.target_file],
            "the file that --pairs-file names": [options.pairs_file],
            "a file of the model": [run.path],
        },
    )
    from tasks.translator.inference import PairScorer

    scorer = PairScorer.load(str(run.path))
    with Results(options.json, options.output) as results:
        is_first = True
        for pairs in batches:
            scores = scorer(pairs)
            if is_first and not options.json:
                results.write({}, f"{'log_prob':>10} {'perplexity':>11} {'unknown':>8}  translation")
            is_first = False
            for score in scores:
                record = as_record(score)
                cells = f"{record['log_prob']:10.2f} {record['perplexity']:11.2f} {record['unknown']:8}"
                results.write(record, f"{cells}  {score.target}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
