"""How what is written may be said: numbers, amounts, abbreviations and symbols in words of a dictionary.

"1984"  nineteen eighty four; one thousand nine hundred eighty four; ...; one nine eight four
"$5.50" five dollars fifty; five dollars and fifty cents
"mp3"   m p three
"""

import re
import unicodedata
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

Form = tuple[str, ...]  # words in lower case; a letter that is spelled is written "b."

CURRENCIES = {"$": ("dollar", "cent"), "€": ("euro", "cent"), "£": ("pound", "penny")}
PLURALS = {"penny": "pence"}
SYMBOLS = {"&": "and", "%": "percent", "@": "at", "+": "plus", "=": "equals", "°": "degrees"}
SCALES = "hundred|thousand|million|billion|trillion"
LONGEST = 15  # digits of a number that is read as a quantity

DIGITS = r"\d+(?:,\d{3})*(?:\.\d+)?"
MARKS = re.compile(r"\[[^\W\d][^\[\]]*\]|<[^\W\d][^<>]*>")  # what is no word, such as [noise] and <unk>
# Apostrophes are straight; soft hyphens and joiners are left out.
CHARACTERS = str.maketrans(dict.fromkeys("\u2018\u2019\u02bc\uff07", "'"))
CHARACTERS |= str.maketrans("", "", "\u00ad\u200b\u200c\u200d\u2060\ufeff")
TOKEN = re.compile(
    rf"(?P<amount>[$€£]{DIGITS}(?:\s(?:{SCALES})\b)?)"
    rf"|(?P<number>{DIGITS}(?:st|nd|rd|th|s)?(?![^\W_]))"
    r"|(?P<word>'?[^\W_]+(?:['.-][^\W_]+)*'?)"
    r"|(?P<symbol>[&%@+=°])",
    re.IGNORECASE,
)


def tokens(text: str) -> list[tuple[str, list[Form]]]:
    """Return the tokens of a text as they are written, each with the forms in which it may be said, usual ones first.

    A word has one form, itself in lower case; other forms of it depend on a dictionary. Marks in brackets are left out.
    """
    text = " ".join(MARKS.sub(" ", text).split())
    found = TOKEN.finditer(unicodedata.normalize("NFC", text).translate(CHARACTERS))
    return [(match.group(), _forms(match.lastgroup or "", match.group().lower())) for match in found]


def _forms(kind: str, token: str) -> list[Form]:
    if kind == "amount":
        return _amount(token)
    if kind == "number":
        return _number(token)
    if kind == "symbol":
        return [(SYMBOLS[token],)]
    return [(token,)]


def parts(word: str, whole: bool) -> list[Form]:
    """Return the forms of a word that no dictionary has: its parts, and the names of its letters.

    `whole` says whether the letters are likelier to be said as a word than one by one.
    """
    pieces = re.findall(r"\d+|[^\W\d_]+(?:'[^\W\d_]+)*", word)

    def form(of_letters: Callable[[str], Form]) -> Form:
        return tuple(
            part
            for piece in pieces
            for part in (_number(piece)[0] if re.fullmatch(r"\d+", piece) else of_letters(piece))
        )

    as_words, as_letters = form(lambda piece: (piece,)), form(letters)
    return [as_words, as_letters] if whole else [as_letters, as_words]


def letters(word: str) -> Form:
    """Return the names of the letters of a word."""
    return tuple(f"{letter}." for letter in word if re.match("[a-z]", letter))


@cache
def _inflect() -> Any:
    import inflect

    return inflect.engine()


def _words(text: str) -> Form:
    return tuple(re.findall(r"[a-z]+", text))


def _unique(forms: Iterable[Form]) -> list[Form]:
    return list(dict.fromkeys(forms))


def _number(token: str) -> list[Form]:
    """Return the forms of a number, an ordinal or a decade."""
    digits, ending = re.fullmatch(r"([\d,.]*\d)(\D*)", token).groups()  # pyright: ignore[reportOptionalMemberAccess]
    plain = digits.replace(",", "")
    if ending in ("st", "nd", "rd", "th") and "." not in plain and len(plain) <= LONGEST:
        engine = _inflect()
        return _unique(_words(engine.number_to_words(engine.ordinal(int(plain)), andword=word)) for word in ("", "and"))
    forms = []
    whole, point, fraction = plain.partition(".")
    if re.fullmatch(r"1[1-9]\d\d|20[1-9]\d", digits):  # a year, as far as one can tell
        century, year = (_words(_inflect().number_to_words(int(part))) for part in (whole[:2], whole[2:]))
        forms.append((*century, "hundred") if year == ("zero",) else (*century, *["oh"] * (whole[2] == "0"), *year))
    if len(whole) <= LONGEST and (whole == "0" or not whole.startswith("0")):
        forms += [_words(_inflect().number_to_words(plain, andword=word)) for word in ("", "and")]
    if not point:
        singly = _singly(plain)
        forms += [singly, tuple("oh" if word == "zero" else word for word in singly)]
    elif not forms:
        forms.append((*_singly(whole), "point", *_singly(fraction)))
    if ending == "s":  # a decade: the 1990s, the 20s
        forms = [(*form[:-1], re.sub("y$", "ie", form[-1]) + "s") for form in forms]
    return _unique(forms)


def _singly(digits: str) -> Form:
    return tuple(word for digit in digits for word in _words(_inflect().number_to_words(digit)))


def _amount(token: str) -> list[Form]:
    """Return the forms of an amount of money."""
    number, _, scale = token[1:].partition(" ")
    unit, small = CURRENCIES[token[0]]
    whole, _, fraction = number.partition(".")
    if scale or len(fraction) not in (0, 2):
        return [(*form, *_words(scale), f"{unit}s") for form in _number(number)]
    units = (unit if whole == "1" else f"{unit}s",)
    if not fraction or fraction == "00":
        return [(*form, *units) for form in _number(whole)]
    cents = _words(_inflect().number_to_words(int(fraction)))
    smalls = small if fraction == "01" else PLURALS.get(small, f"{small}s")
    forms = [[(*form, *units, *cents), (*form, *units, "and", *cents, smalls)] for form in _number(whole)]
    return _unique(form for pair in forms for form in pair)
