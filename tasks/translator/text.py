"""How a sentence is written: the same form in training, as input and as output."""

import html
import re
import unicodedata
from html.entities import html5

from shared.text import tidy

SPACES = "[\u00a0\u2007\u2009\u202f]"  # of a fixed width or without a line break, as before French marks
INVISIBLE = "[\u00ad\u200b\ufeff]"  # where a line may break
# An entity of HTML, or one whose ampersand was encoded again, once or more: &amp;  &#39;  &amp;quot;
ENTITY = re.compile(r"&(?:amp;)*(#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z]\w{1,30});")


def clean(sentence: str) -> str:
    """The sentence in Unicode's composed form (NFC), with characters for the entities of HTML, and single plain spaces.

    >>> clean("Tom &amp; Jerry &amp;quot;live&amp;quot;  AT&T")
    'Tom & Jerry "live" AT&T'
    """
    visible = re.sub(INVISIBLE, "", re.sub(SPACES, " ", without_entities(sentence)))
    return tidy(unicodedata.normalize("NFC", visible))


def without_entities(text: str) -> str:
    """The text with the characters that the entities of HTML stand for."""
    return ENTITY.sub(_character, text) if "&" in text else text


def _character(match: re.Match[str]) -> str:
    """The character of an entity. Names must be exact: `html.unescape` reads "&ampot;" as "&ot;"."""
    name = f"{match[1]};"
    return html.unescape(f"&{name}") if name[0] == "#" or name in html5 else match[0]
