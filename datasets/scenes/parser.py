"""Parser of English captions, and the test of whether a caption is true of a scene.

`language.py` generates captions from templates. The parser does not use the templates, so it also understands other
sentences of a captioner from the same words. It works in two steps: phrases ("to the left of", "a small red circle")
become symbols, and a state machine reads objects and relations from the symbols.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from datasets.scenes.language import SIZE_WORDS
from datasets.scenes.world import COLOURS, SHAPES, Object, Scene, holds


@dataclass(frozen=True)
class Described:
    """An object as a caption describes it; None for an attribute that it does not state."""

    shape: str
    colour: str | None = None
    size: str | None = None


@dataclass(frozen=True)
class Description:
    """The content of a caption.

    Attributes:
        objects: The objects in order of first mention.
        relations: (relation, subject, landmark); subject and landmark are indices into `objects`.
    """

    objects: tuple[Described, ...]
    relations: tuple[tuple[str, int, int], ...]


class _Symbol(NamedTuple):
    kind: str
    value: str | int | Described = ""
    definite: bool = False


class _NotUnderstood(Exception):
    """The caption is not in the language."""


_PHRASES = {
    "to the left of": _Symbol("relation", "left"),
    "on the left of": _Symbol("relation", "left"),
    "left of": _Symbol("relation", "left"),
    "to the right of": _Symbol("relation", "right"),
    "on the right of": _Symbol("relation", "right"),
    "right of": _Symbol("relation", "right"),
    "above": _Symbol("relation", "above"),
    "over": _Symbol("relation", "above"),
    "below": _Symbol("relation", "below"),
    "under": _Symbol("relation", "below"),
    "beneath": _Symbol("relation", "below"),
    "on the left": _Symbol("position", "left"),
    "on the right": _Symbol("position", "right"),
    "at the top": _Symbol("position", "above"),
    "at the bottom": _Symbol("position", "below"),
    "underneath": _Symbol("relation", "below"),
    "there is": _Symbol("opening"),
    "here is": _Symbol("opening"),
    "this is": _Symbol("opening"),
    "we see": _Symbol("opening"),
    "one object is": _Symbol("opening"),
    "the other is": _Symbol("count", 2),
    "the picture shows": _Symbol("opening"),
    "a picture of": _Symbol("opening"),
    "the only object is": _Symbol("count", 1),
    "there are two objects": _Symbol("count", 2),
    "there are three objects": _Symbol("count", 3),
    "in the picture": _Symbol("frame"),
    "can be seen": _Symbol("frame"),
    "which": _Symbol("which"),
    "that": _Symbol("which"),
    "is": _Symbol("is"),
    "and": _Symbol("and"),
    ",": _Symbol("comma"),
    ":": _Symbol("comma"),
    ".": _Symbol("stop"),
}
_LONGEST = max(len(phrase.split()) for phrase in _PHRASES)
_ATTRIBUTES = {word: ("size", size) for size, words in SIZE_WORDS.items() for word in words} | {
    colour: ("colour", colour) for colour in COLOURS
}


def _with(obj: Described, word: str) -> Described:
    """Add an attribute; a different value than before is a contradiction."""
    field, value = _ATTRIBUTES[word]
    if getattr(obj, field) not in (None, value):
        raise _NotUnderstood
    return replace(obj, **{field: value})


def _noun_phrase(tokens: list[str], start: int) -> tuple[_Symbol, int]:
    """Read article, attributes, shape and "in red" from index `start`; return the symbol and the index after it."""
    end, words = start + 1, []
    while end < len(tokens) and tokens[end] in _ATTRIBUTES:
        words.append(tokens[end])
        end += 1
    if end == len(tokens) or tokens[end] not in SHAPES:
        raise _NotUnderstood
    obj = Described(tokens[end])
    end += 1
    if end + 1 < len(tokens) and tokens[end] == "in" and tokens[end + 1] in COLOURS:
        words.append(tokens[end + 1])
        end += 2
    for word in words:
        obj = _with(obj, word)
    return _Symbol("noun", obj, definite=tokens[start] == "the"), end


def _symbols(tokens: list[str]) -> Iterator[_Symbol]:
    """Convert tokens to symbols, the longest phrase first."""
    at = 0
    while at < len(tokens):
        for length in range(_LONGEST, 0, -1):
            if symbol := _PHRASES.get(" ".join(tokens[at : at + length])):
                yield symbol
                at += length
                break
        else:
            if tokens[at] in _ATTRIBUTES:
                yield _Symbol("attribute", tokens[at])
                at += 1
            elif tokens[at] in ("a", "an", "the"):
                symbol, at = _noun_phrase(tokens, at)
                yield symbol
            else:
                raise _NotUnderstood


class _Reader:
    """State machine over the symbols of one caption: the current subject and the unfinished relation."""

    # Symbols allowed before a noun phrase that completes no relation or position, and at the end of a caption.
    _BEFORE_NOUN = ("start", "opening", "count", "comma", "and", "frame")
    _AT_END = ("noun", "attribute", "frame", "position")

    def __init__(self) -> None:
        self.objects: list[Described] = []
        self.relations: list[tuple[str, int, int]] = []
        self.positions: dict[str, int] = {}
        self.count: int | None = None
        self.subject: int | None = None  # subject of the sentence
        self.relative: int | None = None  # subject of the current relative clause
        self.last: int | None = None  # object mentioned last, the antecedent of "which"
        self.stated: tuple[str, int] | None = None  # (relation, subject) that "and a star" repeats
        # Role of the next noun phrase: ("landmark", relation, subject), ("inverted", relation), ("subject", relation,
        # landmark) or ("position", position).
        self.awaiting: tuple = ()

    def read(self, symbols: list[_Symbol]) -> Description:
        """Read all symbols; a full stop at the end is optional."""
        if symbols and symbols[-1].kind == "stop":
            symbols = symbols[:-1]
        before, index = "start", 0
        while index < len(symbols):
            symbol = symbols[index]
            after = symbols[index + 1].kind if index + 1 < len(symbols) else "end"
            index += 1
            if symbol.kind == "noun":
                self._noun(symbol, before, after)
            elif symbol.kind == "relation":
                self._relation(str(symbol.value), after)
                if after == "which":
                    index += 1
            elif symbol.kind == "position":
                self._position(str(symbol.value), before)
            elif symbol.kind == "which":
                self._which(before, after)
            elif symbol.kind == "is":
                self._verb(before, after)
            elif symbol.kind == "attribute":
                self._attribute(str(symbol.value), before, after)
            elif symbol.kind == "count":
                self.count = int(symbol.value)  # type: ignore[arg-type]
            elif symbol.kind == "comma":
                self.stated = None
            elif symbol.kind == "stop":
                raise _NotUnderstood
            before = symbol.kind
        if before not in self._AT_END or self.awaiting:
            raise _NotUnderstood
        return self._description()

    def _noun(self, symbol: _Symbol, before: str, after: str) -> None:
        index = self._resolve(symbol)
        waiting, self.awaiting = self.awaiting, ()
        self.last = index
        if not waiting:
            if before not in self._BEFORE_NOUN:
                raise _NotUnderstood
            if before == "and" and self.stated and after not in ("is", "relation", "which", "frame"):
                self._relate(*self.stated, index)
            else:
                self.subject, self.relative, self.stated = index, None, None
        elif waiting[0] == "landmark":
            self._relate(waiting[1], waiting[2], index)
            self.stated = waiting[1:]
        elif waiting[0] == "inverted":
            self.awaiting = ("subject", waiting[1], index)
        else:
            if waiting[0] == "subject":
                self._relate(waiting[1], index, waiting[2])
            else:
                self._put(waiting[1], index)
            self.subject, self.relative, self.stated = index, None, None

    def _relation(self, relation: str, after: str) -> None:
        if self.awaiting:
            raise _NotUnderstood
        if after == "which":  # "a square , above which is a star"
            self.awaiting = ("subject", relation, self.last)
        elif self.relative is not None:
            self.awaiting = ("landmark", relation, self.relative)
        elif self.subject is not None:
            self.awaiting = ("landmark", relation, self.subject)
        else:  # "above a square is a star"
            self.awaiting = ("inverted", relation)
        if self.awaiting[0] == "subject" and self.last is None:
            raise _NotUnderstood

    def _position(self, position: str, before: str) -> None:
        if self.awaiting:
            raise _NotUnderstood
        if before == "is" and self.subject is not None:
            self._put(position, self.subject)
        else:
            self.awaiting = ("position", position)

    def _which(self, before: str, after: str) -> None:
        if self.last is None or after != "is" or before not in ("noun", "comma"):
            raise _NotUnderstood
        self.relative = self.last

    def _verb(self, before: str, after: str) -> None:
        if before == "comma":  # end of the relative clause
            self.relative = None
        inverted = bool(self.awaiting) and self.awaiting[0] in ("subject", "position")
        if after not in ("relation", "attribute", "frame", "position") and not (after == "noun" and inverted):
            raise _NotUnderstood

    def _attribute(self, word: str, before: str, after: str) -> None:
        index = self.relative if self.relative is not None else self.subject
        if before not in ("is", "and", "attribute") or index is None:
            raise _NotUnderstood
        self.objects[index] = _with(self.objects[index], word)
        if after not in ("and", "attribute"):
            self.relative = None

    def _resolve(self, symbol: _Symbol) -> int:
        """Return the index of a noun phrase's object; "the circle" is the matching one mentioned before, if any."""
        obj = symbol.value
        if not isinstance(obj, Described):
            raise _NotUnderstood
        matches = [i for i, other in enumerate(self.objects) if symbol.definite and _agrees(obj, other)]
        if len(matches) > 1:
            raise _NotUnderstood
        if matches:
            return matches[0]
        self.objects.append(obj)
        return len(self.objects) - 1

    def _relate(self, relation: str, subject: int, landmark: int) -> None:
        if subject == landmark:
            raise _NotUnderstood
        self.relations.append((relation, subject, landmark))

    def _put(self, position: str, index: int) -> None:
        if position in self.positions:
            raise _NotUnderstood
        self.positions[position] = index

    def _description(self) -> Description:
        """Return the description if complete: all colours, positions in pairs, the announced number of objects."""
        if any(obj.colour is None for obj in self.objects) or self.count not in (None, len(self.objects)):
            raise _NotUnderstood
        for first, second in (("left", "right"), ("above", "below")):
            if (first in self.positions) != (second in self.positions):
                raise _NotUnderstood
            if first in self.positions:
                self._relate(first, self.positions[first], self.positions[second])
        return Description(tuple(self.objects), tuple(self.relations))


def _agrees(stated: Described, obj: Object | Described) -> bool:
    """Whether all stated attributes are those of an object."""
    return stated.shape == obj.shape and stated.colour in (None, obj.colour) and stated.size in (None, obj.size)


def parse(caption: str) -> Description | None:
    """Parse an English caption.

    Args:
        caption: Tokens separated by spaces; case and a final full stop do not matter.

    Returns:
        Its content; None when it is not a complete sentence or phrase of the language, omits a colour, contradicts
        itself or announces a wrong number of objects.
    """
    try:
        return _Reader().read(list(_symbols(caption.lower().split())))
    except _NotUnderstood:
        return None


def describes(caption: str, scene: Scene) -> bool:
    """Whether an English caption names exactly the objects of a scene and all its statements are true."""
    description = parse(caption)
    if description is None or len(description.objects) != len(scene.objects):
        return False
    return any(
        all(_agrees(stated, obj) for stated, obj in zip(description.objects, objects, strict=True))
        and all(holds(relation, objects[i], objects[j]) for relation, i, j in description.relations)
        for objects in itertools.permutations(scene.objects)
    )
