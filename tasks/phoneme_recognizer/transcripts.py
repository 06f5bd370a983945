"""What sounds are aligned with: words or phones, of the command line or of transcripts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.cli import print_error
from shared.errors import UserError
from shared.inputs import Input
from shared.phones import SpokenWord, fold


@dataclass(frozen=True)
class Text:
    """What a sound is aligned with: words, or phones in the set of the model; or why there is nothing."""

    words: list[SpokenWord]
    phones: list[str]
    error: UserError | None = None


TextOf = Callable[[str], Text]  # from the name of a sound


def parse_phones(text: str, classes: int) -> Text:
    """Phones in brackets, in the set of `classes`."""
    try:
        folded = [fold(phone, classes) for phone in text.strip().strip("[]").split()]
    except ValueError:
        return Text([], [], UserError(f"{text}: phones of ARPAbet or TIMIT were expected, such as [s m ao l]"))
    return Text([], [phone for phone in folded if phone is not None])


def parse_texts(texts: Mapping[str, str], dictionary: Path | None, classes: int) -> dict[str, Text]:
    """The words, or phones in brackets, of texts by name; words without a pronunciation are named and left out.

    Raises UserError for a dictionary that cannot be read.
    """
    from datasets.pronunciation import Pronouncer
    from tasks.phoneme_recognizer.spelling import Speller

    parsed = {name: parse_phones(text, classes) for name, text in texts.items() if text.strip().startswith("[")}
    in_words = {name: text for name, text in texts.items() if name not in parsed}
    if in_words:
        pronounced = Pronouncer(dictionary, Speller.load()).all(list(in_words.values()))
        for name, (words, missing, _) in zip(in_words, pronounced, strict=True):
            lacking = f"without a pronunciation: {', '.join(missing)}; --dictionary gives them"
            error = UserError(f"is {lacking}") if missing and not words else None
            if missing and words:
                print_error(f"{name}: left out, {lacking}")
            parsed[name] = Text(words, [], error)
    return parsed


def texts_to_align(
    align: str | None, transcripts: bool, dictionary: Path | None, inputs: Sequence[Input], classes: int
) -> TextOf | None:
    """The words or phones to align, by the name of a sound; None without alignment.

    Args:
        align: the text of all sounds, or None.
        transcripts: whether each sound has its own, in a file or a table.
        dictionary: pronunciations of one's own.
        inputs: the sounds.
        classes: the set of phones of the model.

    Raises UserError for --align without words and phones, and for a dictionary or a table that cannot be read.
    """
    if align is not None:
        text = parse_texts({"--align": align}, dictionary, classes)["--align"]
        if text.error:
            raise UserError(f"--align: {text.error}")
        return lambda name: text
    if transcripts:
        from datasets.sound_layouts import transcripts_of

        paths = {name: path for name, path, error in inputs if path and not error}
        found = transcripts_of(list(paths.values()))
        given = {name: found[path] for name, path in paths.items() if found.get(path)}
        texts = parse_texts(given, dictionary, classes)
        return lambda name: texts.get(name) or without_transcript(name)
    return None


def without_transcript(name: str) -> Text:
    """That a sound has no transcript."""
    beside = f"there is no {Path(name).with_suffix('.txt')}, and no table of its folder names it"
    return Text([], [], UserError(f"has no transcript: {beside}"))
