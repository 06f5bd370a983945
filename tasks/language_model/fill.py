"""Fills blanks with words that fit both sides.

    python -m tasks.language_model.fill "the ___ sat on the mat" "it returns a ___ of its ___"
    python -m tasks.language_model.fill --file sentences.txt --top 10 --json

A blank is two or more underscores. Each blank is predicted without knowledge of the words in the others. The model is a
bidirectional one: `python -m tasks.language_model.train fill`.
"""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import tyro

from shared.bounds import Count
from shared.cli import (
    USAGE,
    ModelOptions,
    OutputOptions,
    Results,
    RuntimeOptions,
    command,
    parse,
    print_error,
    say_loading,
)
from shared.errors import UserError
from shared.outputs import check_outputs
from shared.text import check_readable, read_lines
from tasks.language_model.config import Form, find_run

if TYPE_CHECKING:
    from tasks.language_model.inference import Filled


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelOptions, RuntimeOptions, OutputOptions):
    texts: tyro.conf.Positional[tuple[str, ...]] = ()
    """Texts with blanks, ___."""
    file: str | None = None
    """Fill the lines of a file; - is standard input."""
    form: Form = "auto"
    """Form of the texts: ordinary `text`, or `tokens` of the model's corpus, such as `mat .`; recognised by default."""
    top: Count = 5
    """Number of words for each blank."""


def check(options: Arguments) -> None:
    """Raises UserError for invalid options."""
    if bool(options.texts) == bool(options.file):
        raise UserError('one of the two was expected: texts, such as "the ___ sat on the mat", or --file')
    if options.file:
        check_readable(options.file)


def as_record(filled: "Filled") -> dict[str, Any]:
    blanks = [[{"word": word, "probability": round(p, 4)} for word, p in words] for words in filled.blanks]
    return {"text": filled.text, "blanks": blanks}


def as_text(filled: "Filled") -> str:
    lines = [filled.text]
    for number, words in enumerate(filled.blanks, 1):
        lines += [f"  blank {number}"] * (len(filled.blanks) > 1)
        lines += [f"  {p:6.1%}  {word}" for word, p in words]
    return "\n".join(lines)


@command
def main(arguments: list[str]) -> int:
    options = parse(Arguments, arguments, "tasks.language_model.fill", __doc__)
    check(options)
    run = find_run(options.model, "both ways")
    check_outputs(
        {"--output": [options.output]},
        {"the file that --file names": [options.file], "a file of the model": [run.path]},
    )
    from tasks.language_model.inference import BlankFiller

    say_loading("language model")
    filler = BlankFiller.load(str(run.path), options.top, options.form, options.runtime)
    done = failed = 0
    with Results(options.json, options.output) as results:
        for text in read_lines(options.file) if options.file else options.texts:
            try:
                filled = filler(text)
            except UserError as error:
                print_error(str(error))
                failed += 1
            else:
                results.write(as_record(filled), as_text(filled))
                done += 1
    if not done and not failed:
        raise UserError(f"{options.file}: no lines to fill")
    return USAGE if not done else int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
