"""Pronunciations of English words from a copy of the CMU Pronouncing Dictionary."""

import os
import re
from functools import cache
from pathlib import Path

from datasets import CorpusError
from shared.text import as_lines

URL = "https://github.com/cmusphinx/cmudict"
FILE = "cmudict.dict"
PHONE = re.compile(
    "AA|AE|AH|AO|AW|AY|B|CH|D|DH|EH|ER|EY|F|G|HH|IH|IY|JH|K|L|M|N|NG|OW|OY|P|R|S|SH|T|TH|UH|UW|V|W|Y|Z|ZH"
)


@cache
def load_dictionary() -> dict[str, list[str]]:
    """Return the first pronunciation of each lower-case word, as ARPAbet phones in lower case without stress.

    Raises:
        CorpusError: `$QUATRAIN_DATA/cmudict` has no copy of the dictionary, or a line has a phone that does not exist.
    """
    root = os.environ.get("QUATRAIN_DATA")
    path = Path(root).expanduser() / "cmudict" / FILE if root else None
    if path is None or not path.is_file():
        raise CorpusError(f"{FILE} is not in $QUATRAIN_DATA/cmudict; get it from {URL} to turn words into phones")
    pronunciations: dict[str, list[str]] = {}
    for number, line in enumerate(as_lines(path.read_bytes().decode(errors="replace")), start=1):
        word, *phones = line.partition(" #")[0].split() or [""]
        if phones and not word.startswith(";;;"):
            plain = [re.sub(r"[012]$", "", phone).upper() for phone in phones]
            if unknown := [phone for phone, name in zip(phones, plain, strict=True) if not PHONE.fullmatch(name)]:
                expected = "one of ARPAbet's 39, such as AH0, was expected"
                raise CorpusError(
                    f"{path}: line {number}: {word} has the phone {unknown[0]}, which is unknown; {expected}"
                )
            pronunciations.setdefault(re.sub(r"\(\d+\)$", "", word).lower(), [name.lower() for name in plain])
    return pronunciations


def pronounce(text: str) -> tuple[list[str], list[str]]:
    """Return the phones of a text, of the 39 of ARPAbet, and its words that are not in the dictionary.

    Raises:
        CorpusError: `$QUATRAIN_DATA/cmudict` has no copy of the dictionary.
    """
    dictionary = load_dictionary()
    words = re.findall(r"[^\W_]+(?:['.-][^\W_]+)*", text.lower().replace("\u2019", "'"))  # a number counts as missing
    phones, missing = [], []
    for word in words:
        for part in [word] if word in dictionary else word.split("-"):
            pronunciation = dictionary.get(part)
            phones += pronunciation or []
            if pronunciation is None:
                missing.append(part)
    return phones, missing
