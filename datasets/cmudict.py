"""Pronunciations of English words from a copy of the CMU Pronouncing Dictionary."""

import os
import re
from functools import cache
from pathlib import Path

from datasets import CorpusError

URL = "https://github.com/cmusphinx/cmudict"
FILE = "cmudict.dict"


@cache
def load_dictionary() -> dict[str, list[str]]:
    """Return the first pronunciation of each lower-case word, as ARPAbet phones in lower case without stress.

    Raises:
        CorpusError: `$QUATRAIN_DATA/cmudict` has no copy of the dictionary.
    """
    root = os.environ.get("QUATRAIN_DATA")
    path = Path(root).expanduser() / "cmudict" / FILE if root else None
    if path is None or not path.is_file():
        raise CorpusError(f"{FILE} is not in $QUATRAIN_DATA/cmudict; get it from {URL} to turn words into phones")
    pronunciations: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        word, *phones = line.partition(" #")[0].split() or [""]
        if phones and not word.startswith(";;;"):
            plain = [re.sub(r"\d", "", phone).lower() for phone in phones]
            pronunciations.setdefault(re.sub(r"\(\d+\)$", "", word).lower(), plain)
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
