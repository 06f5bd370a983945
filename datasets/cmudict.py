"""How words are pronounced: the dictionary of Carnegie Mellon University, a copy that the user has."""

import os
import re
from functools import cache
from pathlib import Path

from datasets import CorpusError

URL = "https://github.com/cmusphinx/cmudict"
FILE = "cmudict.dict"


@cache
def load_dictionary() -> dict[str, list[str]]:
    """The first pronunciation of each word, in lower case, as phones without stress.

    Raises:
        CorpusError: there is no copy in `$QUATRAIN_DATA/cmudict`, or none that can be read.
    """
    root = os.environ.get("QUATRAIN_DATA")
    path = Path(root).expanduser() / "cmudict" / FILE if root else None
    if path is None or not path.is_file():
        raise CorpusError(
            f"words are turned into phones with {FILE}, which is not there; get it from {URL} and put it into"
            " $QUATRAIN_DATA/cmudict"
        )
    words: dict[str, list[str]] = {}
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        word, *phones = line.partition(" #")[0].split() or [""]
        if phones and not word.startswith(";;;"):
            plain = [re.sub(r"\d", "", phone).lower() for phone in phones]
            words.setdefault(re.sub(r"\(\d+\)$", "", word).lower(), plain)
    return words


def pronounce(text: str) -> tuple[list[str], list[str]]:
    """The phones of a text, one of 39 of ARPAbet each, and the words that the dictionary lacks.

    Raises:
        CorpusError: there is no dictionary.
    """
    dictionary = load_dictionary()
    words = re.findall(r"[^\W_]+(?:['.-][^\W_]+)*", text.lower().replace("\u2019", "'"))  # numbers are words that lack
    phones, missing = [], []
    for word in words:
        for part in [word] if word in dictionary else word.split("-"):
            found = dictionary.get(part)
            phones += found or []
            if found is None:
                missing.append(part)
    return phones, missing
