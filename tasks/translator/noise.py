"""Training pairs as people type them: in other case, without accents, with other marks; several sentences a line.

lower case      wie geht's?           How are you?         the translation stays as it is
capitals        WIE GEHT'S?           HOW ARE YOU?         it is in capitals too
no mark         Wie geht's            How are you          it has none either
more marks      Wie geht's???         How are you???       it has the same
typography      Wie geht’s? „Gut.“    How are you? “Good.” its quotes are those of its language
plain letters   Bis spaeter!          See you later!       it stays as it is
French spaces   Ça va?                How are you?         it stays as it is
"""

import random
import re
import unicodedata
from collections.abc import Callable, Sequence

from shared.languages import primary_language

Pair = tuple[str, str]

MOST_JOINED = 3  # sentences of a line
TRIES = 20  # of a noise that changes the pair; some change few pairs

_MARKS = re.compile(r"\s?[.!?…]+$")
_QUOTED = re.compile(r'"([^"]+)"')
_QUOTES = {"de": "„{}“", "fr": "« {} »"}  # others have “{}”
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "Ä": "Ae", "Ö": "Oe", "Ü": "Ue", "ß": "ss"})


def joined_pairs(pairs: Sequence[Pair], count: int, seed: int) -> list[Pair]:
    """That many pairs of two or three sentences each, none of which lacks its final mark; fewer if pairs are few."""
    rng = random.Random(f"joined {seed}")
    whole = [pair for pair in pairs if all(_MARKS.search(side) for side in pair)]
    if len(whole) < MOST_JOINED:
        return []
    chosen = (rng.sample(whole, rng.randint(2, MOST_JOINED)) for _ in range(count))
    return [(" ".join(first), " ".join(second)) for first, second in (zip(*some, strict=True) for some in chosen)]


def noisy_pairs(pairs: Sequence[Pair], source: str, target: str, count: int, seed: int) -> list[Pair]:
    """That many of the pairs, drawn at random, with one or two kinds of noise that change them."""
    rng = random.Random(f"noise {seed}")
    languages = primary_language(source), primary_language(target)
    return [noisy(rng.choice(pairs), languages, rng) for _ in range(count if pairs else 0)]


def noisy(pair: Pair, languages: Pair, rng: random.Random) -> Pair:
    """A pair with one or two kinds of noise."""
    result = pair
    for _ in range(TRIES):
        result = rng.choice(NOISES)(result, languages, rng)
        if result != pair:
            break
    return rng.choice(NOISES)(result, languages, rng) if rng.random() < 0.3 else result


def lower_case(pair: Pair, languages: Pair, rng: random.Random) -> Pair:
    return pair[0].lower(), pair[1]


def capitals(pair: Pair, languages: Pair, rng: random.Random) -> Pair:
    return pair[0].upper(), pair[1].upper()


def without_mark(pair: Pair, languages: Pair, rng: random.Random) -> Pair:
    stripped = _MARKS.sub("", pair[0]), _MARKS.sub("", pair[1])
    return stripped if all(stripped) and _have_marks(pair) else pair


def more_marks(pair: Pair, languages: Pair, rng: random.Random) -> Pair:
    """Two or three of the final mark; of "!" and "?" also both."""
    mark = pair[0][-1:]
    if (
        not mark or mark not in ".!?" or mark != pair[1][-1:] or (mark == "." and rng.random() < 0.7)
    ):  # "..." is rarer than "!!"
        return pair
    more = "..." if mark == "." else rng.choice((mark * 2, mark * 3, "?!" if mark == "?" else "!"))
    return pair[0].rstrip(".!?") + more, pair[1].rstrip(".!?") + more


def typography(pair: Pair, languages: Pair, rng: random.Random) -> Pair:
    """Typographic quotes, and in the sentence also apostrophes."""
    quotes = (_QUOTES.get(language, "“{}”").replace("{}", r"\1") for language in languages)
    first, second = (_QUOTED.sub(form, side) for form, side in zip(quotes, pair, strict=True))
    return first.replace("'", "\u2019"), second


def plain_letters(pair: Pair, languages: Pair, rng: random.Random) -> Pair:
    """The sentence without accents; German umlauts as two letters."""
    sentence = pair[0].translate(_UMLAUTS) if languages[0] == "de" else pair[0]
    decomposed = unicodedata.normalize("NFD", sentence.replace("œ", "oe").replace("Œ", "Oe"))
    return "".join(sign for sign in decomposed if not unicodedata.combining(sign)), pair[1]


def french_spaces(pair: Pair, languages: Pair, rng: random.Random) -> Pair:
    """A French sentence without the spaces that belong before its marks."""
    return (re.sub(r"\s([!?:;])", r"\1", pair[0]), pair[1]) if languages[0] == "fr" else pair


def _have_marks(pair: Pair) -> bool:
    return all(_MARKS.search(side) for side in pair)


NOISES: tuple[Callable[[Pair, Pair, random.Random], Pair], ...] = (
    lower_case, capitals, without_mark, more_marks, typography, plain_letters, french_spaces,
)  # fmt: skip
