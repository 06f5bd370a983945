"""The judge of captions: what does an English caption say, and is it true of a scene?

`language.py` writes captions; this file reads them, token by token and knowing no template, so that a captioner's own
wordings are understood as long as they keep to the words of the language. The reader goes through two steps: phrases
("to the left of", "a small red circle") become symbols, and a small machine follows who stands in which relation.
"""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

from datasets.scenes.language import SIZE_WORDS
from datasets.scenes.world import COLOURS, SHAPES, Object, Scene, holds


@dataclass(frozen=True)
class Described:
    """An object as a caption tells it; None for what is left open."""

    shape: str
    colour: str | None = None
    size: str | None = None


@dataclass(frozen=True)
class Description:
    """What a caption says.

    Attributes:
        objects: The objects in order of mention.
        relations: (relation, subject, landmark), the last two as indices of `objects`.
    """

    objects: tuple[Described, ...]
    relations: tuple[tuple[str, int, int], ...]


class _Symbol(NamedTuple):
    kind: str
    value: str | int | Described = ""
    definite: bool = False


class _NotUnderstood(Exception):
    """The caption is outside the language."""


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
    "on the left": _Symbol("place", "left"),
    "on the right": _Symbol("place", "right"),
    "at the top": _Symbol("place", "above"),
    "at the bottom": _Symbol("place", "below"),
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


def _with(thing: Described, word: str) -> Described:
    """Add an attribute; saying it twice in different words is a contradiction."""
    field, value = _ATTRIBUTES[word]
    if getattr(thing, field) not in (None, value):
        raise _NotUnderstood
    return replace(thing, **{field: value})


def _noun_phrase(tokens: list[str], start: int) -> tuple[_Symbol, int]:
    """Read article, attributes, shape and "in red" from `start`; also returns where the phrase ends."""
    end, words = start + 1, []
    while end < len(tokens) and tokens[end] in _ATTRIBUTES:
        words.append(tokens[end])
        end += 1
    if end == len(tokens) or tokens[end] not in SHAPES:
        raise _NotUnderstood
    thing = Described(tokens[end])
    end += 1
    if end + 1 < len(tokens) and tokens[end] == "in" and tokens[end + 1] in COLOURS:
        words.append(tokens[end + 1])
        end += 2
    for word in words:
        thing = _with(thing, word)
    return _Symbol("noun", thing, definite=tokens[start] == "the"), end


def _symbols(tokens: list[str]) -> Iterator[_Symbol]:
    """Turn tokens into symbols, the longest phrase first."""
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
    """Follows the symbols of one caption: who is the subject, and what does an unfinished relation wait for."""

    # What may come before a noun phrase that no relation or place is waiting for, and what ends a caption.
    _BEFORE_NOUN = ("start", "opening", "count", "comma", "and", "frame")
    _AT_END = ("noun", "attribute", "frame", "place")

    def __init__(self) -> None:
        self.objects: list[Described] = []
        self.relations: list[tuple[str, int, int]] = []
        self.places: dict[str, int] = {}
        self.count: int | None = None
        self.subject: int | None = None  # of the sentence
        self.relative: int | None = None  # of the relative clause that we are in
        self.last: int | None = None  # object mentioned last: what "which" stands for
        self.stated: tuple[str, int] | None = None  # (relation, subject) that "and a star" would carry on
        self.awaiting: tuple = ()  # ("landmark", relation, subject), ("inverted", relation), ("subject", relation,
        # landmark) or ("place", place): what the next noun phrase is for

    def read(self, symbols: list[_Symbol]) -> Description:
        """Read all symbols up to a full stop or the end."""
        if symbols and symbols[-1].kind == "stop":
            symbols = symbols[:-1]
        before, position = "start", 0
        while position < len(symbols):
            symbol = symbols[position]
            after = symbols[position + 1].kind if position + 1 < len(symbols) else "end"
            position += 1
            if symbol.kind == "noun":
                self._noun(symbol, before, after)
            elif symbol.kind == "relation":
                self._relation(str(symbol.value), after)
                if after == "which":
                    position, after = position + 1, "which"
            elif symbol.kind == "place":
                self._place(str(symbol.value), before)
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
        if after == "which":  # a square , above which is a star
            self.awaiting = ("subject", relation, self.last)
        elif self.relative is not None:
            self.awaiting = ("landmark", relation, self.relative)
        elif self.subject is not None:
            self.awaiting = ("landmark", relation, self.subject)
        else:  # above a square is a star
            self.awaiting = ("inverted", relation)
        if self.awaiting[0] == "subject" and self.last is None:
            raise _NotUnderstood

    def _place(self, place: str, before: str) -> None:
        if self.awaiting:
            raise _NotUnderstood
        if before == "is" and self.subject is not None:
            self._put(place, self.subject)
        else:
            self.awaiting = ("place", place)

    def _which(self, before: str, after: str) -> None:
        if self.last is None or after != "is" or before not in ("noun", "comma"):
            raise _NotUnderstood
        self.relative = self.last

    def _verb(self, before: str, after: str) -> None:
        if before == "comma":  # the relative clause is over
            self.relative = None
        inverted = bool(self.awaiting) and self.awaiting[0] in ("subject", "place")
        if after not in ("relation", "attribute", "frame", "place") and not (after == "noun" and inverted):
            raise _NotUnderstood

    def _attribute(self, word: str, before: str, after: str) -> None:
        index = self.relative if self.relative is not None else self.subject
        if before not in ("is", "and", "attribute") or index is None:
            raise _NotUnderstood
        self.objects[index] = _with(self.objects[index], word)
        if after not in ("and", "attribute"):
            self.relative = None

    def _resolve(self, symbol: _Symbol) -> int:
        """The object a noun phrase means: "the circle" is one told before if there is such a one."""
        thing = symbol.value
        if not isinstance(thing, Described):
            raise _NotUnderstood
        matches = [i for i, told in enumerate(self.objects) if symbol.definite and _agrees(thing, told)]
        if len(matches) > 1:
            raise _NotUnderstood
        if matches:
            return matches[0]
        self.objects.append(thing)
        return len(self.objects) - 1

    def _relate(self, relation: str, subject: int, landmark: int) -> None:
        if subject == landmark:
            raise _NotUnderstood
        self.relations.append((relation, subject, landmark))

    def _put(self, place: str, index: int) -> None:
        if place in self.places:
            raise _NotUnderstood
        self.places[place] = index

    def _description(self) -> Description:
        """What was read, if it is complete: colours told, places in pairs, as many objects as announced."""
        if any(thing.colour is None for thing in self.objects) or self.count not in (None, len(self.objects)):
            raise _NotUnderstood
        for first, second in (("left", "right"), ("above", "below")):
            if (first in self.places) != (second in self.places):
                raise _NotUnderstood
            if first in self.places:
                self._relate(first, self.places[first], self.places[second])
        return Description(tuple(self.objects), tuple(self.relations))


def _agrees(told: Described, thing: Object | Described) -> bool:
    """Whether all that was told is so."""
    return told.shape == thing.shape and told.colour in (None, thing.colour) and told.size in (None, thing.size)


def parse(caption: str) -> Description | None:
    """Read an English caption.

    Args:
        caption: Tokens with spaces between; case and a final full stop do not matter.

    Returns:
        What it says; None when it is not a complete sentence or phrase of the language, leaves out a colour,
        contradicts itself or announces another number of objects than it names.
    """
    try:
        return _Reader().read(list(_symbols(caption.lower().split())))
    except _NotUnderstood:
        return None


def describes(caption: str, scene: Scene) -> bool:
    """Whether an English caption names exactly the objects of a scene and everything that it says is true."""
    description = parse(caption)
    if description is None or len(description.objects) != len(scene.objects):
        return False
    return any(
        all(_agrees(told, thing) for told, thing in zip(description.objects, things, strict=True))
        and all(holds(relation, things[i], things[j]) for relation, i, j in description.relations)
        for things in itertools.permutations(scene.objects)
    )
