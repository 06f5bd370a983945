"""How the words of a caption are written."""

import re

SPLIT_OFF = r" ((?:'s|'m|'d|'re|'ll|'ve|n't)\b|[.,:;?!])"  # tokens without a space before them; for `re` and RE2 alike


def readable(text: str) -> str:
    """A caption in ordinary spelling, from its tokens joined with spaces: "a man 's dog ." -> "a man's dog."."""
    return re.sub(SPLIT_OFF, r"\1", text)
