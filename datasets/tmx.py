"""Translation memories in TMX 1.1 to 1.4."""

import sys
from collections.abc import Sequence
from html.entities import html5
from pathlib import Path
from xml.parsers import expat

from datasets import CorpusError
from shared.languages import primary_language

CODES = {"bpt", "ept", "it", "ph", "ut", "sub"}  # elements that hold the codes of a layout, not text of the sentence


class _Entity(Exception):
    """The document declares an entity, which may stand for any amount of text, or for another file."""


class _Units:
    """Collects the translation units of a document: for each, the language tag and the text of its variants."""

    def __init__(self) -> None:
        self.units: list[list[tuple[str, str]]] = []
        self.is_tmx = False
        self._codes = 0  # elements with codes that are open
        self._text: list[str] | None = None  # of the open <seg>

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.is_tmx |= name == "tmx"
        if name == "tu":
            self.units.append([])
        elif name == "tuv" and self.units:
            self.units[-1].append((attributes.get("xml:lang") or attributes.get("lang", ""), ""))
        elif name == "seg":
            self._text = []
        elif name in CODES:
            self._codes += 1

    def end(self, name: str) -> None:
        if name == "seg" and self._text is not None and self.units and self.units[-1]:
            tag, _ = self.units[-1][-1]
            self.units[-1][-1] = tag, "".join(self._text)
            self._text = None
        elif name in CODES:
            self._codes -= 1

    def text(self, content: str) -> None:
        if self._text is not None and not self._codes:
            self._text.append(content)

    def skipped(self, name: str, is_parameter: bool) -> None:
        """An entity that the document type may define in another file: that of HTML, or as it is written."""
        if not is_parameter:
            self.text(html5.get(f"{name};", f"&{name};"))

    def entity(self, name: str, *_: object) -> None:
        raise _Entity(name)


def read_tmx(path: Path, text: str, languages: Sequence[str]) -> list[tuple[str, ...]]:
    """Return the sentences of the units that have all languages; several variants of a language: the first.

    Other units are counted on standard error.

    Args:
        path: The file, for messages.
        text: Its content.
        languages: Codes such as "en", with or without a region. With one, a variant of this region is preferred.

    Raises:
        CorpusError: It is not well-formed XML or not TMX, declares entities, or no unit has all languages.
    """
    collected = _Units()
    parser = expat.ParserCreate(encoding="utf-8")  # whatever the document says: the text is decoded already
    parser.StartElementHandler, parser.EndElementHandler = collected.start, collected.end
    parser.CharacterDataHandler, parser.EntityDeclHandler = collected.text, collected.entity
    parser.SkippedEntityHandler = collected.skipped
    try:
        parser.Parse(text.encode(), True)
    except _Entity as error:
        raise CorpusError(f"{path}: declares the entity {error}; TMX without entities was expected.") from None
    except expat.ExpatError as error:
        raise CorpusError(f"{path}: not well-formed XML ({error}); TMX was expected.") from None
    if not collected.is_tmx:
        raise CorpusError(f"{path}: XML of another kind; TMX was expected.")
    found = [_variants(unit, languages) for unit in collected.units]
    pairs = [tuple(variants) for variants in found if all(variants)]
    if not pairs:
        tags = dict.fromkeys(tag for unit in collected.units for tag, _ in unit)
        raise CorpusError(
            f"{path}: no unit has {' and '.join(languages)}; its languages are {', '.join(tags) or 'not given'},"
            " of which --source and --target name two."
        )
    if lacking := len(found) - len(pairs):
        wanted = " and ".join(languages)
        print(
            f"{path}: {lacking:,} of {len(found):,} units lack a sentence in {wanted} and are skipped", file=sys.stderr
        )
    return pairs


def _variants(unit: Sequence[tuple[str, str]], languages: Sequence[str]) -> list[str]:
    """The text of a unit in each language, "" for one that it lacks."""
    found = []
    for language in languages:
        matching = [variant for variant in unit if primary_language(variant[0]) == primary_language(language)]
        exact = [text for tag, text in matching if tag.lower() == language.lower()]
        found.append(next(iter([*exact, *(text for _, text in matching)]), "").strip())
    return found
