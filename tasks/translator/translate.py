"""Translates sentences.

    python -m tasks.translator.translate "Ein Hund läuft über eine Wiese."
    python -m tasks.translator.translate --file sentences.txt --output translations.txt
    cat sentences.txt | python -m tasks.translator.translate -
    python -m tasks.translator.translate "Ein Hund läuft." --n-best 5 --alignment alignment.png
    python -m tasks.translator.translate --file a.de --json --pharaoh a.align --model RUN OTHER-RUN

A line for each sentence, empty for one that is empty or cannot be translated; this is named on standard error, and the
others are translated all the same.
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

from shared.cli import USAGE, Results, check_number, command, complain, parse
from shared.errors import UserError
from shared.inputs import PICTURES, check_outputs, numbered
from shared.runs import Run
from shared.text import check_readable, read_lines
from tasks.translator.config import RELEASED, TASK

if TYPE_CHECKING:
    from tasks.translator.translation import Translation, Translator

MAX_BEAM = 100  # far beyond what helps; a slip of the finger should not fill the memory
CHUNK = 256  # sentences read before they are translated, like with like in length


@dataclass(frozen=True, kw_only=True)
class Arguments:
    sentences: tyro.conf.Positional[tuple[str, ...]] = ()
    """Sentences, or - for lines of standard input."""
    file: str | None = None
    """Translate the lines of a file, or of standard input for -."""
    model: tuple[str, ...] = ()
    """Run or folder, or several that translate together; by default the released model, else the newest run."""
    beam: int | None = None
    """Hypotheses kept in search; by default the run's own, or as many as --n-best asks for."""
    n_best: int = 1
    """Translations for each sentence, with their probabilities when more than one."""
    moses: bool = False
    """Write `number ||| translation ||| features ||| score`, as Moses does, and as `language_model.score` reads."""
    confidence: bool = False
    """Write how probable each word is behind it."""
    alignment: Path | None = None
    """Draw where the model looked at each word; for several sentences files numbered like the lines of the output."""
    pharaoh: Path | None = None
    """Write which word of the sentence each word comes from: 0-0 1-2 ..., sentence first, a line each."""
    language_model: str | None = None
    """Run or folder of an exported language model that has a say in which translation is best."""
    language_model_weight: float = 0.2
    """What its logarithms count beside the translator's."""
    json: bool = False
    """One JSON object a line."""
    output: Path | None = None
    """Write there instead of to standard output."""


def as_record(sentence: str, translations: "Sequence[Translation]") -> dict:
    """What `--json` prints of a sentence."""
    return {
        "source": sentence,
        "unknown": translations[0].unknown if translations else [],
        "translations": [
            {
                "text": translation.text,
                "log_prob": round(translation.log_prob, 4),
                "score": round(translation.score, 4),
                "words": translation.words,
                "probabilities": [round(float(value), 4) for value in translation.probabilities],
                "alignment": translation.alignment,
                "tokens": translation.tokens,
                "token_log_probs": [round(float(value), 4) for value in translation.token_log_probs],
            }
            for translation in translations
        ],
    }


def as_text(number: int, sentence: str, translations: "Sequence[Translation]", options: Arguments) -> str:
    """What a person reads of a sentence, the `number`th: one line, or with several translations one line each."""
    if options.moses:
        return "\n".join(
            f"{number} ||| {translation.text} ||| log_prob= {translation.log_prob:.4f} ||| {translation.score:.4f}"
            for translation in translations
        )
    texts = [_confident(translation) if options.confidence else translation.text for translation in translations]
    if options.n_best == 1:
        return "".join(texts)
    lines = [f"  {exp(found.log_prob):<8.2g}{text}" for found, text in zip(translations, texts, strict=True)]
    return "\n".join([f"{sentence}:", *lines])


def _confident(translation: "Translation") -> str:
    return " ".join(
        f"{word} ({probability:.2f})"
        for word, probability in zip(translation.words, translation.probabilities, strict=True)
    )


def as_pharaoh(translations: "Sequence[Translation]") -> str:
    """The hard alignment of the best translation."""
    return " ".join(f"{i}-{j}" for i, j in translations[0].alignment) if translations else ""


def translate_lines(
    translator: "Translator", lines: Iterable[str], failed: list[int]
) -> "Iterator[tuple[str, list[Translation]]]":
    """Each line with its translations as they come; complains of what is too long, and lists its number in `failed`."""
    lines, number = iter(lines), 0
    while chunk := list(islice(lines, CHUNK)):
        refusals = [translator.refusal(line) for line in chunk]
        for place, refusal in enumerate(refusals, start=number + 1):
            if refusal:
                complain(f"sentence {place} {refusal}")
                failed.append(place)
        found = iter(translator([line for line, refusal in zip(chunk, refusals, strict=True) if not refusal]))
        yield from ((line, [] if refusal else next(found)) for line, refusal in zip(chunk, refusals, strict=True))
        number += len(chunk)


def check(options: Arguments, pictures: Iterable[Path]) -> None:
    """UserError for whatever can be known to be wrong before a model is loaded."""
    if bool(options.sentences) == bool(options.file):
        raise UserError("name either sentences, or --file, or - for standard input")
    if options.file:
        check_readable(options.file)
    check_number("--beam", options.beam, 1, MAX_BEAM)
    check_number("--n-best", options.n_best, 1, options.beam or MAX_BEAM, "the beam")
    if not options.language_model_weight >= 0:
        raise UserError(f"--language-model-weight {options.language_model_weight}: 0 or more was expected")
    check_outputs([path for path in (options.output, options.pharaoh, *pictures) if path], [], "")
    if options.file and options.file != "-":
        taken = Path(options.file).resolve()
        if any(path and path.resolve() == taken for path in (options.output, options.pharaoh)):
            raise UserError(f"{options.file} is what is translated; another name to write to was expected")


@command
def main(arguments: list[str]) -> int:
    options = parse(Arguments, arguments, "tasks.translator.translate", __doc__)
    source = "-" if options.sentences == ("-",) else options.file
    lines: Iterable[str] = read_lines(source) if source else options.sentences
    if options.alignment:
        lines = list(lines)  # how many there are decides what the pictures are called
    pictures = numbered("--alignment", options.alignment, len(list(lines)), PICTURES) if options.alignment else []
    check(options, pictures)
    runs = [str(Run.find(model, TASK, RELEASED).path) for model in (options.model or (None,))]
    from tasks.translator.fusion import LanguageModel
    from tasks.translator.translation import Translator

    says = LanguageModel(options.language_model, options.language_model_weight) if options.language_model else None
    translator = Translator.load(*runs, beam=options.beam, n_best=options.n_best, language_model=says)
    failed: list[int] = []
    results, count = Results(options.json, options.output), 0
    pharaoh = open(options.pharaoh, "w", encoding="utf-8") if options.pharaoh else None  # noqa: SIM115
    try:
        for number, (line, translations) in enumerate(translate_lines(translator, lines, failed)):
            best = translations[: options.n_best]
            results.write(as_record(line, best), as_text(number, line, best, options))
            if pharaoh:
                print(as_pharaoh(best), file=pharaoh)
            if options.alignment and best:
                from shared.plots import draw_alignment

                draw_alignment(best[0].source_words, best[0].words, best[0].attention, pictures[number])
            count += 1
    finally:  # also when interrupted: what was translated is not lost
        results.close()
        if pharaoh:
            pharaoh.close()
    return 0 if not failed else 1 if count > len(failed) else USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
