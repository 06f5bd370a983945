"""What of a sentence a translation must have, and in which forms: numbers, dates, times, prices, addresses, codes.

Each language has its own rules, of `amounts` and `dates_and_times`; a sentence is searched by those of its language
alone. Where several match, the one that begins first is taken, of those the longest, of those the first.
"""

from dataclasses import dataclass

from shared.languages import primary_language
from tasks.translator import amounts, dates_and_times
from tasks.translator.addresses import copied
from tasks.translator.forms import LANGUAGES, Forms, are_known

_RULES = {language: (*dates_and_times.rules(language), *amounts.rules(language)) for language in LANGUAGES}


@dataclass(frozen=True)
class Value:
    """Characters of a sentence from `start` up to `stop`; its translation has one of the forms, best first."""

    start: int
    stop: int
    forms: Forms


def find_values(sentence: str, source: str, target: str, start: int = 0, stop: int | None = None) -> list[Value]:
    """The values of a part of a sentence, in order, none of which overlap."""
    stop = len(sentence) if stop is None else stop
    language, other = primary_language(source), primary_language(target)
    found = [Value(*span, (sentence[slice(*span)],)) for span in copied(sentence, language, start, stop)]
    if are_known(source, target):
        localised_ones = [
            Value(*match.span(), forms)
            for pattern, rule in _RULES[language]
            for match in pattern.finditer(sentence, start, stop)
            if (forms := tuple(dict.fromkeys(rule(match, other))))
        ]
        found = [*localised_ones, *found]
    values: list[Value] = []
    for value in sorted(found, key=lambda value: (value.start, -value.stop)):
        if not values or value.start >= values[-1].stop:
            values.append(value)
    return values


def localised(text: str, source: str, target: str) -> Forms:
    """The forms that a translation may have of a number, date, time or price of a sentence; the best one first.

    What no rule knows, such as an address, a version or a date whose day might be its month, stays as it is.

    >>> localised("1.234,50", "de", "en"), localised("3.11.2", "en", "de")
    (('1,234.50', '1234.50'), ('3.11.2',))
    """
    for value in find_values(text, source, target):
        if (value.start, value.stop) == (0, len(text)):
            return value.forms
    return (text,)
