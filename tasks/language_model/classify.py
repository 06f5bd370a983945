"""Finds the label of texts, such as the sentiment of reviews.

    python -m tasks.language_model.classify "A warm and funny film." "It never ends."
    python -m tasks.language_model.classify --file sentences.txt --tsv
    python -m tasks.language_model.classify --documents reviews/ --json --output labels.jsonl
    python -m tasks.language_model.classify "A warm, if slow, film." --explain --html words.html
    python -m tasks.language_model.classify --model reviews --file - < lines.txt

Each line is a text, and with --documents each file; a text may have any length. --explain says which words carried the
decision, by integrated gradients: what each adds to the log-odds ln(p / (1 - p)) of the label. A text without words, or
of which the model knows no word, gets no label and is reported. The model is a classifier:
`python -m tasks.language_model.train sst2 --corpus reviews.tsv` trains one on texts and labels.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

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
from shared.errors import UserError, shortened
from shared.files import FileKind
from shared.inputs import Input, Reader, find_inputs
from shared.outputs import check_outputs, write_output
from shared.plain_text import decode
from shared.text import check_readable, read_batches
from tasks.language_model.config import find_run
from tasks.language_model.tables import separated

if TYPE_CHECKING:
    from tasks.language_model.classification import Classification
    from tasks.language_model.explanation import Explainer, Explanation

CHUNK = 64  # texts that are classified together
COLUMNS = ("label", "probability", "text")
DOCUMENT_COLUMNS = ("file", "label", "probability")
WORD_COLUMNS = ("label", "position", "word", "contribution")  # after the number of the text, or its file
SHOWN = 6  # words of an explanation for a person
DOCUMENT = FileKind(
    name="a text file", suffixes=frozenset({".txt"}), max_bytes=2**26, remedy="a part of the text was expected"
)


@dataclass(frozen=True, kw_only=True)
class Arguments(ModelOptions, RuntimeOptions, OutputOptions):
    texts: tyro.conf.Positional[tuple[str, ...]] = ()
    """Texts."""
    file: str | None = None
    """Classify the lines of a file; - is standard input."""
    documents: tuple[str, ...] = ()
    """Classify files as wholes, or the .txt files of folders."""
    explain: bool = False
    """Also write which words carried the decision; with --tsv or --csv, only these."""
    html: Path | None = None
    """Write a page that shows what each word adds."""
    tsv: bool = False
    """Write tab-separated values with a heading."""
    csv: bool = False
    """Write comma-separated values with a heading."""

    @property
    def delimiter(self) -> str | None:
        """Of values; None for lines for a person."""
        return "\t" if self.tsv else "," if self.csv else None


def check(options: Arguments) -> None:
    """Raises UserError for invalid options."""
    if bool(options.texts) + (options.file is not None) + bool(options.documents) != 1:
        raise UserError('one of the three was expected: texts, such as "a warm and funny film", --file or --documents')
    if options.file is not None:
        check_readable(options.file)
    if options.tsv + options.csv + options.json > 1:
        raise UserError("--tsv, --csv and --json: one of the three was expected")


def texts_of(options: Arguments, documents: Sequence[Input], failed: list[str]) -> Iterator[list[tuple[str, str]]]:
    """Names and texts as they arrive; documents that cannot be read are reported and appended to `failed`."""
    if documents:
        reader = Reader(kind=DOCUMENT, read=read_document, size=len, max_size=2**20, max_items=CHUNK)
        yield from reader.batches(documents, failed)
        return
    lines: Iterable[Sequence[str]] = read_batches(options.file, CHUNK) if options.file else [options.texts]
    number = 0
    for batch in lines:
        named = [f"{options.file}: line {number + i}" if options.file else repr(x) for i, x in enumerate(batch, 1)]
        yield list(zip(named, batch, strict=True))
        number += len(batch)


def read_document(source: Path | bytes) -> str:
    """The text of a file; raises MediaError as `decode`, or if it cannot be read."""
    return decode(source if isinstance(source, bytes) else DOCUMENT.read(source))


def as_record(name: str | None, found: "Classification", explanation: "Explanation | None") -> dict[str, Any]:
    """The JSON object of a text; `name` is that of its file."""
    record: dict[str, Any] = {"file": name} if name else {"text": found.text}
    record |= {
        "label": found.label,
        "probability": round(found.probability, 4),
        "probabilities": {label: round(p, 4) for label, p in found.probabilities.items()},
        "unknown_words": found.unknown_words,
    }
    if found.error:
        record["error"] = found.error
    if explanation:
        record |= {
            "log_odds": round(explanation.log_odds, 4),
            "log_odds_without": round(explanation.log_odds_without, 4),
            "words": [{**vars(word), "value": round(word.value, 4)} for word in explanation.words],
        }
    return record


def as_line(name: str | None, found: "Classification", explanation: "Explanation | None", width: int) -> str:
    """A text for a person, with the words that say the most."""
    what = name or shortened(" ".join(found.text.split()), 120)
    lines = [f"{found.label or '-':{width}} {found.probability:7.1%}  {what}"]
    words = sorted(explanation.words if explanation else (), key=lambda word: -abs(word.value))
    lines += [f"{'':{width}} {word.value:+7.2f}    {word.word}" for word in words[:SHOWN]]
    return "\n".join(lines)


def as_rows(
    options: Arguments, number: int, name: str | None, found: "Classification", explanation: "Explanation | None"
) -> Iterator[str]:
    """Text `number` as separated values, after the heading if it is the first: a row, or one for each word."""
    probability = round(found.probability, 4)
    if options.explain:
        heading = ("file" if name else "number", *WORD_COLUMNS)
        words = enumerate(explanation.words if explanation else (), 1)
        table = [(name or number, found.label, position, word.word, round(word.value, 4)) for position, word in words]
    elif name:
        heading, table = DOCUMENT_COLUMNS, [(name, found.label, probability)]
    else:
        heading, table = COLUMNS, [(found.label, probability, found.text)]
    for row in [heading, *table] if number == 1 else table:
        yield separated(row, options.delimiter or "")


def explained(
    name: str, found: "Classification", explainer: "Explainer | None", failed: list[str]
) -> "Explanation | None":
    """The explanation of a text, if it is wanted; what prevents it or a label is reported, with the text's name."""
    try:
        if found.error:
            raise UserError(found.error)
        return explainer(found) if explainer else None
    except UserError as error:
        print_error(f"{name}: {error}")
        failed.append(name)
        return None


@command
def main(arguments: list[str]) -> int:
    options = parse(Arguments, arguments, "tasks.language_model.classify", __doc__)
    check(options)
    runtime = options.runtime_for({"--explain": options.explain, "--html": options.html})
    run = find_run(options.model, "for a label")
    documents = find_inputs(DOCUMENT, options.documents)
    check_outputs(
        {"--output": [options.output], "--html": [options.html]},
        {
            "the file that --file names": [options.file],
            "one of the documents": [document.path for document in documents],
            "a file of the model": [run.path],
        },
    )
    from tasks.language_model.classification import TextClassifier

    say_loading("classifier")
    classifier, explainer = TextClassifier.load(str(run.path), runtime), None
    if options.explain or options.html:
        from tasks.language_model.explanation import Explainer, page, paragraph

        explainer = Explainer(classifier)
    width, failed, paragraphs = max(map(len, classifier.labels)), [], []
    number = done = 0
    try:
        with Results(options.json, options.output) as results:
            for batch in texts_of(options, documents, failed):
                for (name, _), found in zip(batch, classifier([text for _, text in batch]), strict=True):
                    number += 1
                    done += not found.error
                    file = name if options.documents else None
                    explanation = explained(name, found, explainer, failed)
                    if explanation:
                        paragraphs.append(paragraph(explanation, file))
                    shown = explanation if options.explain else None
                    if options.delimiter:
                        for row in as_rows(options, number, file, found, shown):
                            results.write({}, row)
                    else:
                        results.write(as_record(file, found, shown), as_line(file, found, shown, width))
    finally:  # after an interruption too: finished texts are kept
        if options.html and paragraphs:
            write_output(options.html, page(paragraphs))
    if not number and not failed:
        raise UserError(f"{options.file}: no lines to classify")
    return USAGE if not done else int(bool(failed))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
