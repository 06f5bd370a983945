"""The sentences of a text, and the clauses of a sentence."""

import re
from collections.abc import Callable

import sentencex

from shared.languages import primary_language
from shared.letters import is_mark

INITIAL = re.compile(r"(^|\W)\w\.$")  # "J." of a name
# What may begin a sentence without a capital letter: after a word that is long for an abbreviation, or after a mark.
START = re.compile(r"(?<=[^\W\d_]{4}\. )(?:\d+|[^\W\d_])|(?<=[!?] )(?:\d+|[^\W\d_])")
ABBREVIATIONS = ("approx.", "bspw.", "circa.", "dept.", "evtl.", "excl.", "exkl.", "incl.", "inkl.", "sept.")
LONGEST = 40  # characters that are searched for an abbreviation
CLAUSE = re.compile(r"(?<=[;:,])(?= )|(?<=[，；：、。！？।؟،؛])|(?= [–—] )")  # where a clause ends
WITHOUT_SPACES = frozenset(("zh", "ja", "th", "lo", "km", "my", "bo", "dz"))


def separator(language: str) -> str:
    """What stands between two sentences of a language, by its code."""
    return "" if primary_language(language) in WITHOUT_SPACES else " "


def split_sentences(text: str, language: str) -> list[str]:
    """The sentences of a text with single spaces, in a language by its code, without the white space between them."""
    sentences: list[str] = []
    start = 0
    # The segmenter finds a sentence by its capital letter, so a small one or a digit becomes one, for it alone.
    for found in sentencex.segment(primary_language(language) or "en", START.sub(_capital, text)):
        sentence = text[start : start + len(found)]
        start += len(found)
        if sentences and _ends_with_initial(sentences[-1].strip()):
            sentences[-1] += sentence
        else:
            sentences.append(sentence)
    return [sentence.strip() for sentence in sentences if sentence.strip()]


def _ends_with_initial(sentence: str) -> bool:
    found = INITIAL.search(sentence)
    return found is not None and not is_mark(found[1])


def _capital(match: re.Match[str]) -> str:
    """A capital letter for what may begin a sentence; one that is there stays, since "Mr." is an abbreviation."""
    if match[0].isupper():
        return match[0]
    start = match.start()
    before = match.string[max(0, start - LONGEST) : start].split()[-1].lower()
    return match[0] if before in ABBREVIATIONS else "X" * len(match[0])


def split_clauses(sentence: str, fits: Callable[[str], bool]) -> list[str]:
    """The parts of a sentence that `fits` accepts, each of as many clauses as possible; a long clause is a part."""
    parts: list[str] = []
    for clause in CLAUSE.split(sentence):
        if parts and fits(parts[-1] + clause):
            parts[-1] += clause
        else:
            parts.append(clause)
    return [part.strip() for part in parts if part.strip()]
