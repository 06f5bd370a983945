"""How the words of a text may be said: by dictionaries, by rules for what is not a word, and by spelling."""

import itertools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from datasets.cmudict import Pronunciation, cmudict_path, load_dictionary, read_dictionary
from datasets.spoken_forms import Form, parts, tokens
from shared.phones import SpokenWord

MAX_PRONUNCIATIONS = 8  # of a word
MAX_SPELLED = 10_000  # words that no dictionary has are remembered
LETTERS = {
    "a": "ey", "b": "b iy", "c": "s iy", "d": "d iy", "e": "iy", "f": "eh f", "g": "jh iy", "h": "ey ch", "i": "ay",
    "j": "jh ey", "k": "k ey", "l": "eh l", "m": "eh m", "n": "eh n", "o": "ow", "p": "p iy", "q": "k y uw",
    "r": "aa r", "s": "eh s", "t": "t iy", "u": "y uw", "v": "v iy", "w": "d ah b ah l y uw", "x": "eh k s",
    "y": "w ay", "z": "z iy",
}  # fmt: skip

Spell = Callable[[Sequence[str]], list[list[Pronunciation]]]
"""From words to the pronunciations that their spelling suggests, likely ones first; none for what is no word."""


def as_line(word: SpokenWord) -> str:
    """Return a word and its pronunciations as a record has them, separated by tabs: "the", "dh ah", "dh iy"."""
    return "\t".join([word.text, *map(" ".join, word.pronunciations)])


def from_line(line: str) -> SpokenWord:
    """Return the word of `as_line`."""
    text, *pronunciations = line.split("\t")
    return SpokenWord(text, tuple(tuple(said.split()) for said in pronunciations))


class Pronounced(NamedTuple):
    """The words of a text."""

    words: list[SpokenWord]
    missing: list[str]  # those that no source can pronounce; they are not among the words
    spelled: list[str]  # those whose pronunciation is that of their spelling


class Pronouncer:
    """Finds how words may be said: by one's own dictionary, else by CMUdict, else by their spelling.

    Args:
        dictionary: A dictionary of one's own, whose words replace those of CMUdict.
        spell: Pronounces words that no dictionary has; without it they are missing.

    Raises:
        CorpusError: The dictionary cannot be read; or neither `spell` nor any dictionary is there.
    """

    def __init__(self, dictionary: Path | None = None, spell: Spell | None = None) -> None:
        self._spell = spell
        self._spelled: dict[str, list[Pronunciation]] = {}
        self._dictionary = {} if dictionary is None else read_dictionary(dictionary)
        if cmudict_path() is not None or (spell is None and dictionary is None):
            self._dictionary = load_dictionary() | self._dictionary

    def __call__(self, text: str) -> Pronounced:
        """Return the words of a text."""
        return self.all([text])[0]

    def all(self, texts: Sequence[str]) -> list[Pronounced]:
        """Return the words of each text; words that are spelled are pronounced together."""
        if len(self._spelled) > MAX_SPELLED:
            self._spelled.clear()
        forms = [[(word, self._forms(word, own, text)) for word, own in tokens(text)] for text in texts]
        needed = {part for of_text in forms for _, own in of_text for form in own for part in form}
        self._spell_all(sorted(part for part in needed if not self._known(part) and part not in self._spelled))
        return [self._pronounced(of_text) for of_text in forms]

    def _forms(self, word: str, forms: list[Form], text: str) -> list[Form]:
        """Return the forms of a token; those of a word that no dictionary has are its parts or its letters."""
        if len(forms) > 1 or len(forms[0]) > 1:
            return forms
        part = "".join(forms[0])
        if self._known(part):
            return forms
        bare = part.strip("'")
        if self._known(bare):
            return [(bare,)]
        pieces = bare.split("-")
        if len(pieces) > 1 and all(map(self._known, pieces)):
            return [tuple(pieces)]
        is_acronym = (word.isupper() and not text.isupper() and len(bare) > 1) or "." in bare
        is_sayable = re.search("[^aeiouy][aeiouy]|[aeiouy][^aeiouy]", bare) is not None and "." not in bare
        found = parts(bare, whole=is_sayable)
        return found if is_acronym or not is_sayable or re.search(r"\d", bare) else found[:1]

    def _known(self, part: str) -> bool:
        return bool(self._of_part(part))

    def _of_part(self, part: str) -> list[Pronunciation]:
        """Return the pronunciations of a part of a form, without spelling."""
        if len(part) == 2 and part.endswith(".") and part[0] in LETTERS:
            return [tuple(LETTERS[part[0]].split())]
        if part in self._dictionary:
            return self._dictionary[part]
        return self._dictionary.get(f"{part}.", [])

    def _spell_all(self, words: list[str]) -> None:
        if self._spell is not None and words:
            self._spelled |= zip(words, self._spell(words), strict=True)

    def _pronounced(self, forms: list[tuple[str, list[Form]]]) -> Pronounced:
        words, missing, spelled = [], [], []
        for word, own in forms:
            found: list[Pronunciation] = []
            for form in filter(None, own):
                ways = [self._of_part(part) or self._spelled.get(part, []) for part in form]
                said = itertools.islice(itertools.product(*ways), max(1, MAX_PRONUNCIATIONS // len(own)))
                found += [tuple(phone for part in way for phone in part) for way in said]
            unique = tuple(dict.fromkeys(found))[:MAX_PRONUNCIATIONS]
            if unique:
                words.append(SpokenWord(word.strip("'"), unique))
                spelled += [word] if any(not self._known(part) for part in own[0]) else []
            else:
                missing.append(word)
        return Pronounced(words, missing, spelled)
