"""Classes of characters, for the package `regex` and for TensorFlow's RE2.

Python's `re` has no class for marks: the vowel signs of Hindi and Tamil, the points of Hebrew, accents of decomposed
text. It would split words at them.
"""

import functools
import unicodedata
from typing import Any

LETTERS = r"\p{L}\p{N}_"  # Python's \w
SPACES = r"\x09-\x0d\x1c-\x20\x85\p{Z}"  # Python's \s
MARKS = "\\p{M}\u200c\u200d"  # with the joiners within words of Persian and Hindi; each follows its letter


@functools.cache
def compiled(pattern: str) -> Any:
    """A compiled pattern of the package `regex`, whose import commands without such text save (38 ms)."""
    import regex

    return regex.compile(pattern)


def is_mark(character: str) -> bool:
    """Whether a character is one of `MARKS`; "" is none."""
    return character != "" and (unicodedata.category(character)[0] == "M" or character in "\u200c\u200d")
