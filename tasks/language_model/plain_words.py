"""Any text as the words that a classifier reads: lower case, signs and clitics apart.

    "It isn't GREAT, but I'd go."      ->  it is n't great , but i 'd go .
    it is n't great , but i 'd go .    ->  the same: text that is split into words already
    "\u6211\u5f88\u559c\u6b22"                               ->  a word for each letter, in scripts without spaces

Each character but white space is kept or becomes one other character (format characters are dropped), so each word has
an index in the text. The same is done inside a graph by `classifier_export.py`, with the table of `image`.
"""

import re
import unicodedata
from typing import NamedTuple

from shared.text import UNSPACED
from shared.vocabulary import NEWLINES, REPLACEMENT, Vocabulary, WordVocabulary

STRAIGHT = {"\u2018": "'", "\u2019": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"', "\u201e": '"'}
VARIANTS = range(0xFE00, 0xFE10)  # selectors of a picture's style, after it
# On words with one space around each.
CLITICS = (("n ' t ", " n't "), ("' (s|m|d|re|ve|ll) ", r"'\1 "))
SPACES = " +"


class Word(NamedTuple):
    """A word, and where it is in the text in Unicode's composed form."""

    text: str
    start: int
    end: int


def image(character: str) -> str:
    """What a character becomes: itself in lower case, a word of its own, a space, or nothing."""
    category = unicodedata.category(character)
    if category == "Cf" or ord(character) in VARIANTS:
        return ""
    if category == "Cs":
        return f" {REPLACEMENT} "
    if category[0] == "Z" or category == "Cc":
        return " "
    is_letter = any(script.match(character) for script in UNSPACED.values())
    if is_letter or (category[0] in "PS" and character != "_"):
        return f" {STRAIGHT.get(character, character)} "
    lower = STRAIGHT.get(character) or character.lower()
    return lower if len(lower) == 1 else character


class _Images(dict[int, str]):
    """The image of each character, computed when it is first met."""

    def __missing__(self, code: int) -> str:
        self[code] = found = image(chr(code))
        return found


IMAGES = _Images()


def spaced(text: str) -> str:
    """The words of a text with one space between them."""
    text = unicodedata.normalize("NFC", text).translate(IMAGES)
    text = re.sub(SPACES, " ", f" {text} ")
    for pattern, replacement in CLITICS:
        text = re.sub(pattern, replacement, text)
    return re.sub(SPACES, " ", text).strip(" ")


def words_of(text: str) -> list[Word]:
    """The words of a text, and where they are in it."""
    composed = unicodedata.normalize("NFC", text)
    indices = [index for index, character in enumerate(composed) if IMAGES[ord(character)].strip(" ")]
    words, first = [], 0
    for word in spaced(text).split():
        words.append(Word(word, indices[first], indices[first + len(word) - 1] + 1))
        first += len(word)
    return words


def as_read(text: str, vocabulary: Vocabulary) -> str:
    """A text in the words of a vocabulary of words; for subwords and characters, the text without line breaks."""
    return spaced(text) if isinstance(vocabulary, WordVocabulary) else re.sub(NEWLINES, " ", text)
