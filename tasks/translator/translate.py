"""Translates sentences.

    python -m tasks.translator.translate "Ein Hund läuft über eine Wiese."
    python -m tasks.translator.translate --from en --to fr "A dog runs across a meadow."
    python -m tasks.translator.translate --file sentences.txt --output translations.txt
    cat sentences.txt | python -m tasks.translator.translate -
    python -m tasks.translator.translate "Ein Hund läuft." --n-best 5 --alignment alignment.png
    python -m tasks.translator.translate --file a.de --json --pharaoh a.align --model RUN --model OTHER

Writes one line for each line, as soon as the input pauses. A line may hold several sentences. Its translation is empty
if it is empty or has a clause that is too long; the latter is reported on standard error, and the other lines are
translated. Numbers, names and addresses stay as they are, or are written as in the target language; `--json` says how
(`kept`).

Without --model the released model of the direction translates. Without --from too the language of each line is guessed,
and a line in a language that no released model translates is reported. English becomes German unless --to says another.
`--json` says under `source_language` which language each line is taken for, as a code such as "de".
"""

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from shared.bounds import Beam
from shared.cli import (
    USAGE,
    OutputOptions,
    Results,
    RuntimeOptions,
    check_n_best,
    command,
    parse,
    print_error,
    say_loading,
)
from shared.errors import UserError
from shared.languages import primary_language
from shared.outputs import PICTURES, Output, check_outputs, numbered_paths
from shared.runs import Run
from shared.text import check_readable, read_batches
from tasks.translator.config import find_run, released_runs
from tasks.translator.options import SearchOptions

if TYPE_CHECKING:
    from tasks.translator.directions import LineTranslators
    from tasks.translator.inference import Translator
    from tasks.translator.translation import Translation

MOST = 256  # lines that are translated together, in batches of similar length


@dataclass(frozen=True, kw_only=True)
class Arguments(SearchOptions, RuntimeOptions, OutputOptions):
    sentences: tyro.conf.Positional[tuple[str, ...]] = ()
    """Sentences, or - for the lines of standard input."""
    file: str | None = None
    """Translate the lines of this file, or of standard input for -."""
    source: Annotated[str | None, tyro.conf.arg(name="from")] = None
    """Language of the sentences, such as de or German; default: guessed for each line, unless --model is given."""
    target: Annotated[str | None, tyro.conf.arg(name="to")] = None
    """Language of the translations; default: that of the first released model of each language."""
    n_best: Beam = 1
    """Number of translations of each sentence; with more than one, their probabilities are written too."""
    moses: bool = False
    """Write `index ||| translation ||| features ||| score`, the format of Moses, which `language_model.score` reads."""
    confidence: bool = False
    """Write the probability of each word after it."""
    alignment: Path | None = None
    """Draw the attention of each word; for several sentences the files are numbered like the lines of the output."""
    pharaoh: Path | None = None
    """Write the word alignment, one sentence a line: 0-0 1-2 ..., source index first."""


def as_record(sentence: str, language: str, translations: "Sequence[Translation]") -> dict[str, Any]:
    """The JSON object of a sentence, whose language is guessed unless the model decides it."""
    return {
        "source": sentence,
        "source_language": language,
        "unknown": translations[0].unknown if translations else [],
        "translations": [
            {
                "text": translation.text,
                "log_prob": round(translation.log_prob, 4),
                "score": round(translation.score, 4),
                "words": translation.words,
                "probabilities": [round(float(value), 4) for value in translation.probabilities],
                "alignment": translation.alignment,
                "kept": [asdict(kept) for kept in translation.kept],
                "complete": translation.is_complete,
                "tokens": translation.tokens,
                "token_log_probs": [round(float(value), 4) for value in translation.token_log_probs],
            }
            for translation in translations
        ],
    }


def as_text(index: int, sentence: str, translations: "Sequence[Translation]", options: Arguments) -> str:
    """The text output of a sentence: its translation, or with several translations one line for each."""
    if options.moses:
        rows = [f"{best.text} ||| log_prob= {best.log_prob:.4f} ||| {best.score:.4f}" for best in translations]
        return "\n".join(f"{index} ||| {row}" for row in rows)
    texts = [_with_confidence(best) if options.confidence else best.text for best in translations]
    if options.n_best == 1:
        return "".join(texts)
    lines = [f"  {exp(best.log_prob):<8.2g}{text}" for best, text in zip(translations, texts, strict=True)]
    return "\n".join([f"{sentence}:", *lines])


def _with_confidence(translation: "Translation") -> str:
    words = zip(translation.words, translation.probabilities, strict=True)
    return " ".join(f"{word} ({probability:.2f})" for word, probability in words)


def translate_batches(
    translator: "Translator | LineTranslators", batches: Iterable[Sequence[str]], failed: list[int]
) -> "Iterator[tuple[str, list[Translation]]]":
    """Each line with its translations; reports lines that are too long and appends their numbers to `failed`.

    A translation that the search cuts off is reported too.
    """
    count = 0
    for batch in batches:
        numbered = list(enumerate(batch, start=count + 1))
        count += len(batch)
        refused = {number: refusal for number, line in numbered if (refusal := translator.refusal(line))}
        for number, refusal in refused.items():
            print_error(f"sentence {number} {refusal}")
        failed.extend(refused)
        results = iter(translator([line for number, line in numbered if number not in refused]))
        for number, line in numbered:
            translations = [] if number in refused else next(results)
            if translations and not translations[0].is_complete:
                print_error(f"sentence {number}: its translation is cut off; it may lack the end")
            yield line, translations


def check(options: Arguments) -> None:
    """Raises UserError for wrong arguments, before a model is loaded."""
    if bool(options.sentences) == bool(options.file):
        raise UserError("name either sentences, or --file, or - for standard input")
    if options.file:
        check_readable(options.file)
    check_n_best(options.n_best, options.beam)


def find_runs(options: Arguments) -> list[Run]:
    """The runs that the options name; else the released ones of all directions, if the language is to be guessed.

    Raises RunError if there is none, UserError if a language model would rescore translations to several languages.
    """
    if not options.model and not options.source:
        target = options.target and primary_language(options.target)
        guessed = [name for (_, other), name in released_runs().items() if target in (None, other)]
        if guessed and options.language_model and not target:
            raise UserError("--language-model is of one language; --from or --to was expected beside it")
        if guessed:
            return list(map(find_run, guessed))
    return list(map(options.find_run, options.model or (None,)))


@command
def main(arguments: list[str]) -> int:
    options = parse(Arguments, arguments, "tasks.translator.translate", __doc__)
    check(options)
    runtime = options.runtime_for({"an ensemble": len(options.model) > 1})
    runs = find_runs(options)
    source = "-" if options.sentences == ("-",) else options.file
    batches: Iterable[Sequence[str]] = read_batches(source, MOST) if source else [options.sentences]
    pictures: list[Path] = []
    if options.alignment:
        batches = list(batches)  # the number of lines decides the names of the pictures
        pictures = numbered_paths("--alignment", options.alignment, sum(map(len, batches)), PICTURES)
    check_outputs(
        {
            "--output": [options.output],
            "--alignment": dict.fromkeys([options.alignment, *pictures]),
            "--pharaoh": [options.pharaoh],
        },
        {
            "the file to translate": [options.file],
            "a file of the model": [*(run.path for run in runs), *options.language_models()],
        },
    )
    from tasks.translator.directions import LineTranslators
    from tasks.translator.inference import Translator

    say_loading("translator")
    search: dict[str, Any] = {
        "beam": options.beam, "n_best": options.n_best, "as_is": options.as_is,
        "language_model": options.load_language_model(), "runtime": runtime,
    }  # fmt: skip
    translator: Translator | LineTranslators
    if options.model or options.source or runs[0].name not in released_runs().values():
        translator = Translator.load(*(str(run.path) for run in runs), **search)
    else:
        translator = LineTranslators(partial(Translator.load, **search), options.target)
    failed: list[int] = []
    count = written = 0
    with ExitStack() as stack:
        results = stack.enter_context(Results(options.json, options.output))
        pharaoh = stack.enter_context(Output(options.pharaoh)) if options.pharaoh else None
        for index, (line, translations) in enumerate(translate_batches(translator, batches, failed)):
            best = translations[: options.n_best]
            record = as_record(line, translator.language(line), best) if options.json else {}
            if best or options.json or not options.moses:  # a list of hypotheses has none of a refused sentence
                results.write(record, as_text(index, line, best, options))
                written += 1
            if pharaoh:
                links = " ".join(f"{i}-{j}" for i, j in (best[0].alignment if best else ()))
                pharaoh.write(f"{links}\n".encode())
            if pictures and best:
                from shared.plots import draw_alignment

                draw_alignment(best[0].source_words, best[0].words, best[0].attention, pictures[index])
            count += 1
        if not written:  # an output without translations is empty
            results.end()
        if pharaoh and not count:
            pharaoh.write(b"")
    return 0 if not failed else 1 if count > len(failed) else USAGE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
