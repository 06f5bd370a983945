"""Tokens as ordinary text: where spaces belong, decided as the tokens arrive."""

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

JOINERS = {"@-@": "-", "@,@": ",", "@.@": "."}  # of WikiText
CLITICS = {"s", "t", "m", "d", "re", "ve", "ll"}
CLOSING = {*".,;!?)]}%\u2026\u00b0\u2032\u2033\u2122\u00ae\u2019\u201d\u00bb", "..", "...", "...."}
OPENING = {*"([{$\u00a3\u20ac\u00a5\u20a4#\u00bf\u00a1\u2018\u201c\u00ab"}
EN_DASH = "\u2013"
QUOTES = {'"', "`"}  # the first one opens, the second one closes
UNDECIDED = {"'", ":", "/", "-", EN_DASH, ".", ","}  # the next token decides


def is_sign(character: str) -> bool:
    """Whether a character is punctuation or a symbol; an underscore is part of a word."""
    return unicodedata.category(character)[0] in "PS" and character != "_"


def is_of_word(character: str) -> bool:
    """Whether a character is a letter, a mark or a digit; "" is none."""
    return character != "" and unicodedata.category(character)[0] in "LMN"


class Written(NamedTuple):
    text: str
    is_spaced: bool  # whether a space is before it


class Speller:
    """Puts spaces between the tokens of a line.

    Args:
        splits_words: every sign is a token of its own, also within words and numbers: `don ' t`, `3 . 5`.
    """

    def __init__(self, splits_words: bool = False):
        self.splits_words = splits_words
        self._reset()

    def _reset(self) -> None:
        self._before = ""  # the token before
        self._held = ""  # a token that the next one decides about
        self._is_joined = True  # no space comes next
        self._open: set[str] = set()  # quotation marks

    def follow(self, line: Sequence[str], is_spaced: bool = False) -> None:
        """Starts after the tokens of a line, which are written already."""
        self._reset()
        for token in line:
            self.place(token)
        self.rest()
        self._is_joined = self._is_joined or is_spaced

    def write(self, token: str) -> str:
        """The text of a token, with that of the one before it if this decides about it."""
        return _text(self.place(token))

    def end(self) -> str:
        """The rest of the line; the next token begins another one."""
        text = _text(self.rest())
        self._reset()
        return text

    def place(self, token: str) -> list[Written]:
        """The tokens that are decided now."""
        written = self.rest(token)
        if token in UNDECIDED:
            self._held = token
        else:
            written.append(self._placed(token, *self._joins(token)))
        return written

    def rest(self, following: str = "") -> list[Written]:
        """The token that was held back, if there is one, decided by the token that follows; "" at the end."""
        held, self._held = self._held, ""
        return [self._placed(held, *self._joins_between(held, following))] if held else []

    def _placed(self, token: str, before: bool, after: bool) -> Written:
        written = Written(JOINERS.get(token, token), not (before or self._is_joined))
        self._before, self._is_joined = token, after
        return written

    def _joins(self, token: str) -> tuple[bool, bool]:
        """Whether a token is joined to the one before it, and to the one after it."""
        if token in JOINERS:
            return True, True
        if token in QUOTES:
            self._open ^= {token}
            return token not in self._open, token in self._open
        is_clitic = token == "n't" or (token[0] == "'" and len(token) > 1)
        return token in CLOSING or (is_clitic and is_of_word(self._before[-1:])), token in OPENING

    def _joins_between(self, token: str, following: str) -> tuple[bool, bool]:
        """The same for a token that the following one decides about."""
        before = self._before[-1:]
        is_inside = is_of_word(before) and is_of_word(following[:1])
        are_digits = before.isdigit() and following[:1].isdigit()
        if token == "'":
            return self._joins_apostrophe(following)
        if token == "/":
            return is_inside, is_inside
        if token in ("-", EN_DASH):
            joins = are_digits or (is_inside and self.splits_words and token == "-")
            return joins, joins
        if token == ".":  # a capital begins a sentence
            return True, self.splits_words and is_inside and not following[0].isupper()
        if token == ",":
            return True, self.splits_words and are_digits and len(following) == 3
        return True, are_digits

    def _joins_apostrophe(self, following: str) -> tuple[bool, bool]:
        is_after_word = is_of_word(self._before[-1:])
        if self.splits_words and is_after_word and following in CLITICS:
            return True, True
        if "'" in self._open:
            self._open.remove("'")
            return True, False
        if is_after_word and (self._before.endswith("s") or not is_of_word(following[:1])):
            return True, False
        self._open.add("'")
        return False, True


def _text(written: list[Written]) -> str:
    return "".join(" " * is_spaced + text for text, is_spaced in written)
