"""Synthetic pairs of sentences, whose values must be copied or written by the rules of the target language.

    template      The bag weighs 3.5 km.              Die Tasche wiegt 3,5 km.
    substituted   Tom has left.                       Tom ist gegangen.          (of the corpus)
                  Kairmann has left.                  Kairmann ist gegangen.
    appended      I am tired (info@zell.org).         Ich bin müde (info@zell.org).

The sentence has any form of its value, its translation the first one (`forms`). Equal seeds give equal pairs.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass

from shared.languages import primary_language
from tasks.translator.forms import LANGUAGES, Forms, occurrence
from tasks.translator.templates import HELD_OUT, TEMPLATES
from tasks.translator.values import KINDS, draw, invented_name

Pair = tuple[str, str]

TEST_CASES = 40  # sentences of each kind on which copying is measured
TEMPLATE, SUBSTITUTED = 0.4, 0.7  # bounds of a random number, in the order of the docstring; the rest is appended
LONGEST = 100  # characters of a sentence that a value is appended to

_NAME = re.compile(r"\bTom\b(?!['\u2019])")  # the most frequent name of Tatoeba
_NUMBER = re.compile(
    r"(?<![\w.,:/$€£-])(?<![$€£] )(?!1\d\b|2[0-4]\b)\d{2,4}(?= [^\W\d_]|[.!?]?$)"
)  # no time of the day
_END = re.compile(r"\s?([.!?…]*)$")


@dataclass(frozen=True)
class Case:
    """A sentence of a kind, and the forms of which its translation must have one."""

    kind: str
    sentence: str
    forms: Forms

    def is_met_by(self, translation: str) -> bool:
        return any(occurrence(form).search(translation) for form in self.forms)


def synthetic_pairs(pairs: Sequence[Pair], source: str, target: str, count: int, seed: int) -> list[Pair]:
    """That many synthetic pairs; `pairs` is the corpus whose sentences get other values.

    >>> synthetic_pairs([("Tom lacht.", "Tom laughs.")], "de", "en", 1, seed=4)
    """
    rng = random.Random(f"synthetic {seed}")
    languages = primary_language(source), primary_language(target)
    places = {pattern: [pair for pair in pairs if _has_one(pattern, pair)] for pattern in (_NAME, _NUMBER)}
    short = [pair for pair in pairs if max(map(len, pair)) <= LONGEST]

    def one() -> Pair:
        drawn = rng.random()
        pattern = rng.choice((_NAME, _NUMBER))
        if TEMPLATE <= drawn < SUBSTITUTED and places[pattern]:
            return _substituted(rng.choice(places[pattern]), pattern, languages, rng)
        kind = rng.choice(KINDS)
        if drawn >= SUBSTITUTED and short:
            return _appended(rng.choice(short), *_written(kind, languages, rng), rng)
        template = rng.choice(TEMPLATES[kind][:-HELD_OUT])
        return _filled(template, _written(kind, languages, rng), languages)

    return [one() for _ in range(count)]


def copying_cases(source: str, target: str, split: str, count: int = TEST_CASES) -> list[Case]:
    """Sentences of each kind for a split, from templates that no training sees."""
    rng = random.Random(f"cases of {split}")
    languages = primary_language(source), primary_language(target)
    cases = []
    for kind in KINDS:
        for _ in range(count):
            template, value = rng.choice(TEMPLATES[kind][-HELD_OUT:]), draw(kind, rng)
            form = rng.choice(value[languages[0]])
            cases.append(Case(kind, fill(template[LANGUAGES.index(languages[0])], form), value[languages[1]]))
    return cases


def fill(template: str, form: str) -> str:
    """The template with the form; a full stop of the form ends the sentence too.

    >>> fill("It is {}.", "2:30 p.m.")
    'It is 2:30 p.m.'
    """
    return template.replace("{}.", form if form.endswith(".") else f"{form}.").replace("{}", form)


def _written(kind: str, languages: Pair, rng: random.Random) -> Pair:
    """A value as the sentence has it, in any form, and as its translation has it."""
    value = draw(kind, rng)
    return rng.choice(value[languages[0]]), value[languages[1]][0]


def _filled(template: Sequence[str], forms: Pair, languages: Pair) -> Pair:
    first, second = (template[LANGUAGES.index(language)] for language in languages)
    return fill(first, forms[0]), fill(second, forms[1])


def _has_one(pattern: re.Pattern[str], pair: Pair) -> bool:
    """Whether each side has one match, of the same text."""
    found = [pattern.findall(side) for side in pair]
    return len(found[0]) == 1 and found[0] == found[1]


def _substituted(pair: Pair, pattern: re.Pattern[str], languages: Pair, rng: random.Random) -> Pair:
    if pattern is _NAME:
        forms = (invented_name(rng),) * 2
    elif len(_NUMBER.findall(pair[0])[0]) == 4:  # mostly a year
        forms = (str(rng.randint(1000, 2999)),) * 2
    else:
        forms = _written("number", languages, rng)
    first, second = (pattern.sub(lambda _, form=form: form, side) for side, form in zip(pair, forms, strict=True))
    return first, second


def _appended(pair: Pair, first: str, second: str, rng: random.Random) -> Pair:
    layout = rng.choice(("{body} ({form}){mark}", "{body}: {form}", "{body}{mark} {form}", "{form}: {body}{mark}"))
    sides = []
    for side, form in zip(pair, (first, second), strict=True):
        mark = match[1] if (match := _END.search(side)) else ""
        sides.append(layout.format(body=_END.sub("", side), form=form, mark=mark))
    return sides[0], sides[1]
