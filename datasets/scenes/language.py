"""Generation of captions in English and German with word alignments.

A caption is generated in three steps: choose a template, choose the wording of each object, write both languages.
Captions are lower case, with spaces between tokens; German nouns are capitalized. `parser.py` is the inverse.
"""

import re
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np

from datasets.scenes.templates import RELATION_WORDS, TEMPLATES, Template
from datasets.scenes.world import Object, Scene, holds

SIZE_WORDS = {"small": ("small", "little"), "large": ("large", "big")}  # one word each in German

# Adjective stem, which takes endings, and noun ("in Rot").
GERMAN_COLOURS = {
    "red": ("rot", "Rot"),
    "green": ("grün", "Grün"),
    "blue": ("blau", "Blau"),
    "yellow": ("gelb", "Gelb"),
    "purple": ("violett", "Violett"),
    "orange": ("orangefarben", "Orange"),  # "orange" takes no endings in standard German
    "white": ("weiß", "Weiß"),
    "black": ("schwarz", "Schwarz"),
}
GERMAN_SIZES = {"small": "klein", "large": "groß"}
GERMAN_NOUNS = {  # noun and gender
    "circle": ("Kreis", "masculine"),
    "square": ("Quadrat", "neuter"),
    "triangle": ("Dreieck", "neuter"),
    "star": ("Stern", "masculine"),
    "cross": ("Kreuz", "neuter"),
    "heart": ("Herz", "neuter"),
}
# (gender, case) -> indefinite article, adjective ending after it (mixed declension), definite article
DECLENSION = {
    ("masculine", "nom"): ("ein", "er", "der"),
    ("masculine", "acc"): ("einen", "en", "den"),
    ("masculine", "dat"): ("einem", "en", "dem"),
    ("neuter", "nom"): ("ein", "es", "das"),
    ("neuter", "acc"): ("ein", "es", "das"),
    ("neuter", "dat"): ("einem", "en", "dem"),
}
WEAK_DATIVE = "en"  # adjective ending after a definite article in the dative


class Word(NamedTuple):
    """A token, the index of the object it describes (-1: none) and its link; words with equal links are aligned."""

    text: str
    object: int = -1
    link: str = ""


@dataclass(frozen=True)
class Caption:
    """One caption in two languages.

    Attributes:
        english: Lower-case tokens separated by spaces; the last is ".".
        german: The translation, with capitalized nouns.
        token_objects: For each English token the index of the object whose size, colour or shape it names, else -1.
        alignment: Sorted pairs of an English and a German token index that translate each other.
    """

    english: str
    german: str
    token_objects: list[int]
    alignment: list[tuple[int, int]]


@dataclass(frozen=True)
class Mention:
    """The wording of one object, in both languages.

    `form` is "plain" (a small red circle), "in" (a small circle in red), "that" (a circle that is red and small) or
    "that size" (a red circle that is small). With `bare_reference`, a second mention omits the colour (the circle).
    """

    index: int
    shape: str
    colour: str
    size: str | None
    size_word: str
    form: str
    bare_reference: bool

    def english(self) -> list[Word]:
        """Return the first mention: an indefinite article, then the attributes in the order of the form."""
        size, colour, noun = self._attributes(self.size_word, self.colour, self.shape)
        that = [Word("that", link=f"{self.index} that"), Word("is", link=f"{self.index} is")]
        if self.form == "in":
            words = [*size, noun, Word("in", link=f"{self.index} in"), colour]
        elif self.form == "that":
            words = [noun, *that, colour, *([Word("and", link=f"{self.index} and"), *size] if size else [])]
        elif self.form == "that size":
            words = [colour, noun, *that, *size]
        else:
            words = [*size, colour, noun]
        article = "an" if words[0].text[0] in "aeiou" else "a"
        return [Word(article, link=f"{self.index} a"), *words]

    def german(self, case: str) -> list[Word]:
        """Return the first mention in a case: mixed declension after "ein", verb at the end of a relative clause."""
        noun, gender = GERMAN_NOUNS[self.shape]
        (article, ending, _), pronoun = DECLENSION[gender, case], DECLENSION[gender, "nom"][2]
        stem, colour_noun = GERMAN_COLOURS[self.colour]
        size_stem = GERMAN_SIZES[self.size] if self.size else ""
        size, colour, noun = self._attributes(size_stem + ending, stem + ending, self._german_noun(case))
        bare_size, bare_colour, _ = self._attributes(size_stem, stem, "")
        that, comma = Word(pronoun, link=f"{self.index} that"), Word(",")
        verb = Word("ist", link=f"{self.index} is")
        if self.form == "in":
            words = [*size, noun, Word("in", link=f"{self.index} in"), Word(colour_noun, self.index, colour.link)]
        elif self.form == "that":
            and_size = [Word("und", link=f"{self.index} and"), *bare_size] if size else []
            words = [noun, comma, that, bare_colour, *and_size, verb, comma]
        elif self.form == "that size":
            words = [colour, noun, comma, that, *bare_size, verb, comma]
        else:
            words = [*size, colour, noun]
        return [Word(article, link=f"{self.index} a"), *words]

    def english_reference(self) -> list[Word]:
        """Return a second mention: the circle, the red circle."""
        _, colour, noun = self._attributes("", self.colour, self.shape, again=" again")
        return [Word("the", link=f"{self.index} the"), *([] if self.bare_reference else [colour]), noun]

    def german_reference(self) -> list[Word]:
        """Return a second mention in the dative: weak declension after "dem"."""
        stem = GERMAN_COLOURS[self.colour][0]
        _, colour, noun = self._attributes("", stem + WEAK_DATIVE, self._german_noun("dat"), again=" again")
        return [Word("dem", link=f"{self.index} the"), *([] if self.bare_reference else [colour]), noun]

    def english_state(self) -> list[Word]:
        """Return the attributes after a verb: red and small."""
        size, colour, _ = self._attributes(self.size or "", self.colour, "")
        return [colour, *([Word("and", link=f"{self.index} and"), *size] if size else [])]

    def german_state(self) -> list[Word]:
        """Return the attributes after a verb, without endings: rot und klein."""
        stem = GERMAN_SIZES[self.size] if self.size else ""
        size, colour, _ = self._attributes(stem, GERMAN_COLOURS[self.colour][0], "")
        return [colour, *([Word("und", link=f"{self.index} and"), *size] if size else [])]

    def german_pronoun(self, case: str) -> Word:
        """Return the relative pronoun, which equals the definite article in these cases."""
        return Word(DECLENSION[GERMAN_NOUNS[self.shape][1], case][2], link=f"{self.index} which")

    def _german_noun(self, case: str) -> str:
        noun = GERMAN_NOUNS[self.shape][0]
        return noun + "en" if (noun, case) == ("Herz", "dat") else noun  # the only noun here whose dative differs

    def _attributes(self, size: str, colour: str, noun: str, again: str = "") -> tuple[list[Word], Word, Word]:
        words = [
            Word(text, self.index, f"{self.index} {kind}{again}")
            for kind, text in (("size", size), ("colour", colour), ("shape", noun))
        ]
        return (words[:1] if self.size and not again else []), words[1], words[2]


_SLOT = re.compile(r"([ABC])(?:\.(\w+))?(\+?)")
_RELATION_SLOT = re.compile(r"[ABC]{2,3}")


@cache
def _literal(text: str, scope: str) -> Word:
    """Return a literal word of a template; `word/3` links it with the other words of the template that end in /3."""
    word, _, label = text.partition("/")
    return Word(word, link=f"{scope} {label}" if label else "")


def _english_slot(mention: Mention, form: str) -> list[Word]:
    if form == "ref":
        return mention.english_reference()
    if form == "noun":
        return [Word(mention.shape, mention.index, f"{mention.index} shape")]
    if form == "state":
        return mention.english_state()
    return mention.english()


def _german_slot(mention: Mention, form: str) -> list[Word]:
    if form == "ref":
        return mention.german_reference()
    if form == "noun":
        noun, gender = GERMAN_NOUNS[mention.shape]
        article = Word(DECLENSION[gender, "nom"][2], link="t 1")
        return [article, Word(noun, mention.index, f"{mention.index} shape")]
    if form == "state":
        return mention.german_state()
    if form in ("which", "whom"):
        return [mention.german_pronoun("nom" if form == "which" else "dat")]
    return mention.german(form)


def _fill(text: str, german: bool, mentions: dict[str, Mention], wordings: dict[str, tuple[str, str]]) -> list[Word]:
    """Replace the slots of one side of a template by words; drop a comma before a comma or full stop in German."""
    words: list[Word] = []
    for token in text.split():
        if slot := _SLOT.fullmatch(token):
            write = _german_slot if german else _english_slot
            words += write(mentions[slot[1]], slot[2] or "")
        elif _RELATION_SLOT.fullmatch(token):
            words += [_literal(part, token) for part in wordings[token][german].split()]
        elif token.startswith("which/"):
            words.append(Word("which", link=f"{mentions[token[-1]].index} which"))
        else:
            words.append(_literal(token, "t"))
    return [
        word
        for i, word in enumerate(words)
        if not (word.text == "," and i + 1 < len(words) and words[i + 1].text in (",", "."))
    ]


def _choose_relations(rng: np.random.Generator, template: Template, roles: dict[str, Object]) -> dict[str, str] | None:
    """Draw a true relation for each relation slot of a template; None when a slot has none."""
    chosen = {}
    for slot in sorted({token for token in template.english.split() if _RELATION_SLOT.fullmatch(token)}):
        subject, *landmarks = (roles[letter] for letter in slot)
        true = [kind for kind in RELATION_WORDS if all(holds(kind, subject, landmark) for landmark in landmarks)]
        if not true:
            return None
        chosen[slot] = true[int(rng.random() * len(true))]
    if template.requires and not holds(template.requires, roles["A"], roles["B"]):
        return None
    return chosen


def _mention(rng: np.random.Generator, scene: Scene, index: int, clauses: bool) -> Mention:
    """Draw a wording; only with `clauses` are the forms with a relative clause allowed."""
    obj = scene.objects[index]
    sized = rng.random() < 0.65
    forms = ["plain", "plain", "plain", "in"] + (["that", "that size" if sized else "that"] if clauses else [])
    form = forms[int(rng.random() * len(forms))]
    synonym = rng.random() < 0.3 and form in ("plain", "in")  # not "a circle that is little"
    unique = sum(other.shape == obj.shape for other in scene.objects) == 1
    return Mention(
        index,
        obj.shape,
        obj.colour,
        obj.size if sized else None,
        SIZE_WORDS[obj.size][synonym],
        form,
        bare_reference=bool(rng.random() < 0.5) and unique,
    )


def write_caption(rng: np.random.Generator, template: Template, scene: Scene, order: list[int]) -> Caption | None:
    """Write a caption; A, B, C of the template are the objects in this order. None when the template does not apply."""
    letters = dict(zip("ABC", order, strict=False))
    relations = _choose_relations(rng, template, {letter: scene.objects[i] for letter, i in letters.items()})
    if relations is None:
        return None
    wordings = {}
    for slot, kind in relations.items():
        choices = RELATION_WORDS[kind]
        wordings[slot] = choices[int(rng.random() * len(choices))]
    tokens = template.english.split()
    mentions = {letter: _mention(rng, scene, i, clauses=f"{letter}+" in tokens) for letter, i in letters.items()}
    english = _fill(template.english, False, mentions, wordings)
    german = _fill(template.german, True, mentions, wordings)
    links: dict[str, list[int]] = {}
    for j, word in enumerate(german):
        links.setdefault(word.link, []).append(j)
    return Caption(
        english=" ".join(word.text for word in english),
        german=" ".join(word.text for word in german),
        token_objects=[word.object for word in english],
        alignment=[(i, j) for i, word in enumerate(english) if word.link for j in links.get(word.link, [])],
    )


def write_captions(rng: np.random.Generator, scene: Scene, count: int = 5) -> list[Caption]:
    """Write `count` distinct captions of a scene that name every object; templates repeat only after all were tried."""
    templates = TEMPLATES[len(scene.objects)]
    captions: list[Caption] = []
    while len(captions) < count:
        for choice in np.argsort(rng.random(len(templates))):
            order = np.argsort(rng.random(len(scene.objects))).tolist()
            caption = write_caption(rng, templates[choice], scene, order)
            if caption and all(caption.english != other.english for other in captions):
                captions.append(caption)
            if len(captions) == count:
                break
    return captions
