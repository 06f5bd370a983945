"""Pronouncing dictionaries: a copy of the CMU Pronouncing Dictionary, and files of one's own in its form or MFA's.

cream K R IY1 M             a word and its phones
a AH0
a(2) EY1                    another pronunciation; or the word again: a EY1
the 0.8 DH AH0              numbers before the phones, such as probabilities, are skipped
"""

import os
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from datasets import CorpusError
from datasets.lines import read_lines
from shared.text import as_lines

URL = "https://github.com/cmusphinx/cmudict"
FILE = "cmudict.dict"
PHONE = re.compile(
    "AA|AE|AH|AO|AW|AY|B|CH|D|DH|EH|ER|EY|F|G|HH|IH|IY|JH|K|L|M|N|NG|OW|OY|P|R|S|SH|T|TH|UH|UW|V|W|Y|Z|ZH"
)

Pronunciation = tuple[str, ...]  # ARPAbet phones in lower case, without stress unless a function says so
Dictionary = dict[str, list[Pronunciation]]  # of lower-case words, in the order of the file


def cmudict_path() -> Path | None:
    """Return the copy of CMUdict in `$QUATRAIN_DATA/cmudict`, or None if there is none."""
    root = os.environ.get("QUATRAIN_DATA")
    path = Path(root).expanduser() / "cmudict" / FILE if root else None
    return path if path is not None and path.is_file() else None


@cache
def load_dictionary() -> Dictionary:
    """Return all pronunciations of CMUdict; raises CorpusError as `load_stressed`."""
    return _plain(load_stressed())


def load_stressed() -> Dictionary:
    """Return all pronunciations of CMUdict with stress: "ah0" has none, "ah1" and "ah2" have some.

    Raises:
        CorpusError: `$QUATRAIN_DATA/cmudict` has no copy of the dictionary, or a line has a phone that does not exist.
    """
    path = cmudict_path()
    if path is None:
        raise CorpusError(f"{FILE} is not in $QUATRAIN_DATA/cmudict; get it from {URL} to turn words into phones")
    return _parse(path, as_lines(path.read_bytes().decode(errors="replace")))


def read_dictionary(path: Path) -> Dictionary:
    """Return all pronunciations of a dictionary of one's own, UTF-8.

    Raises:
        CorpusError: The file cannot be read, has no pronunciation, or a line has no phones or one that does not exist.
    """
    dictionary = _parse(path, read_lines(path))
    if not dictionary:
        raise CorpusError(f"{path}: no pronunciation in it; lines of a word and its phones were expected")
    return _plain(dictionary)


def without_stress(said: Sequence[str]) -> Pronunciation:
    """Return the phones of a pronunciation without the digits of stress."""
    return tuple(phone.rstrip("012") for phone in said)


def _plain(dictionary: Dictionary) -> Dictionary:
    return {word: list(dict.fromkeys(map(without_stress, said))) for word, said in dictionary.items()}


def _parse(path: Path, lines: Sequence[str]) -> Dictionary:
    pronunciations: Dictionary = {}
    for number, line in enumerate(lines, start=1):
        word, *phones = line.partition(" #")[0].split() or [""]
        if not word or word.startswith((";;;", "#")):
            continue
        while phones and re.fullmatch(r"\d*\.\d+(e-\d+)?|\d+\.?", phones[0]) and len(phones) > 1:
            phones = phones[1:]
        plain = [re.sub(r"[012]$", "", phone).upper() for phone in phones]
        expected = "one of ARPAbet's 39, such as AH0, was expected"
        if not phones:
            raise CorpusError(f"{path}: line {number}: {word} has no phones; {expected} for each")
        if unknown := [phone for phone, name in zip(phones, plain, strict=True) if not PHONE.fullmatch(name)]:
            raise CorpusError(f"{path}: line {number}: {word} has the phone {unknown[0]}, which is unknown; {expected}")
        pronunciations.setdefault(re.sub(r"\(\d+\)$", "", word).lower(), []).append(tuple(map(str.lower, phones)))
    return pronunciations
