"""Numbers, names and addresses that a translation must have, and what is done if it lacks one.

Numbers, dates, times and prices may have the form of the target language, in which a placeholder is replaced by them:
"12,50" becomes "12.50" (`conventions`). Everything else is copied.

A subword model has no unknown words, so it copies nothing and translates what it does not know to something else: "37
Bälle" to "3 boys". A sentence whose translation lacks such a span is therefore translated again with a placeholder in
its stead, a word that the model knows and translates to itself, and the placeholder in the translation is replaced. Of
several placeholders the one with the best score is taken. If the model translates none to itself, the word with the
most attention to the span is replaced.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, product

import numpy as np

from shared.languages import primary_language
from shared.vocabulary import Vocabulary
from tasks.translator.conventions import Value, find_values
from tasks.translator.forms import Forms, occurrence
from tasks.translator.translation import Kept, Translation

NUMBERS = ("5", "3", "4", "10", "2", "6", "7", "8")
NAMES = ("John", "Tom", "Bob", "Mary", "Peter", "Maria", "Boston", "Paris", "London", "Nike", "David", "Anna")
VARIANTS = 4  # of the placeholders that are tried
RARE = 3  # tokens of a word that training had seldom
VERY_RARE = 5  # of one that is no country either: a model that has learned to copy names knows what else is translated
MAX_WORD = 500  # characters; in a longer one no span is searched, which takes time that is quadratic in its length
QUOTES = "\"'\u2019»«”“"
MOST_LETTERS = 2.4  # a token of a name; nouns are composed of longer ones

_WORD = re.compile(r"[^\W\d_][\w’'.-]*[^\W_]|[^\W\d_]")
_NOUNS_ARE_CAPITALISED = ("de", "lb")


@dataclass(frozen=True)
class Span:
    """Words of a sentence that are kept, up to the word `stop`, and their text without the punctuation around it."""

    start: int
    stop: int
    before: str  # punctuation
    text: str
    after: str
    forms: Forms  # of which the translation has one, best first

    @property
    def is_number(self) -> bool:
        return self.text.lstrip("€$£¥+-\u2212")[:1].isdigit()

    def ends(self, words: Sequence[str]) -> bool:
        """Whether its full stop ends the sentence of these words too: "at 2:30 p.m." """
        return self.text.endswith(".") and self.stop == len(words) and not self.after.strip(QUOTES)


def find_spans(
    sentence: str, vocabulary: Vocabulary, language: str, target: str = "", rare: int = RARE, phrases: bool = True
) -> list[Span]:
    """The numbers, addresses and names of a sentence in a language, in order, with their forms in that of the target.

    A single word is a name if it has at least `rare` tokens. Without `phrases` no span but a name has several words.
    """
    words = sentence.split(" ")
    starts = [0, *accumulate(len(word) + 1 for word in words)][:-1]
    ends = [start + len(word) for start, word in zip(starts, words, strict=True)]
    if phrases and max(map(len, words)) <= MAX_WORD:
        parts = [(0, len(sentence))]
    else:
        parts = [(start, end) for start, end in zip(starts, ends, strict=True) if end - start <= MAX_WORD]
    found = [value for part in parts for value in find_values(sentence, language, target, *part)]
    found = _of_whole_words(found, sentence)
    taken = {i for value in found for i in range(*_words_of(value, starts))}
    for start, stop in _names(words, vocabulary, language, rare):
        first, last = _WORD.search(words[start]), _WORD.search(words[stop - 1])
        if first and last and not taken & {*range(start, stop)}:
            begin, end = starts[start] + first.start(), starts[stop - 1] + last.end()
            found.append(Value(begin, end, (sentence[begin:end],)))
    spans = []
    for value in sorted(found, key=lambda value: value.start):
        start, stop = _words_of(value, starts)
        before, after = sentence[starts[start] : value.start], sentence[value.stop : ends[stop - 1]]
        spans.append(Span(start, stop, before, sentence[value.start : value.stop], after, value.forms))
    return spans


def _words_of(value: Value, starts: Sequence[int]) -> tuple[int, int]:
    """The first and last word, exclusive, of a value, from where the words start."""
    return bisect_right(starts, value.start) - 1, bisect_left(starts, value.stop)


def _of_whole_words(values: Sequence[Value], sentence: str) -> list[Value]:
    """The values, of which those that share a word are one: "3 km/20 min"."""
    whole: list[Value] = []
    for value in values:
        between = sentence[whole[-1].stop : value.start] if whole else " "
        if " " in between:
            whole.append(value)
        else:
            first = whole.pop()
            forms = tuple(f"{start}{between}{end}" for start, end in product(first.forms, value.forms))
            whole.append(Value(first.start, value.stop, forms))
    return whole


def _names(words: Sequence[str], vocabulary: Vocabulary, language: str, rare: int) -> list[tuple[int, int]]:
    """First and last word, exclusive, of each name: capitalised words, of which training had one seldom.

    In a language that capitalises all nouns a name has two such words at least, of shorter tokens than its nouns have.
    """
    sentence = " ".join(words)
    if sentence.islower() or sentence.isupper():
        return []
    nouns = primary_language(language) in _NOUNS_ARE_CAPITALISED
    names, start = [], 0
    if len(vocabulary.encode(words[0].lower())) == 1:  # such as an article, which has a capital letter here only
        start = 1
    while start < len(words):
        stop = start
        while stop < len(words) and _is_capitalised(words[stop]) and (stop == start or words[stop - 1][-1].isalnum()):
            stop += 1
        tokens = [_tokens(words[i], vocabulary, is_first=i == 0) for i in range(start, stop)]
        if nouns:
            letters = sum(map(len, words[start:stop]))
            is_name = len(tokens) > 1 and min(tokens) > 1 and letters <= MOST_LETTERS * sum(tokens)
        else:
            least = rare if len(tokens) == 1 else RARE
            is_name = bool(tokens) and max(tokens) >= least + (start == 0 and len(tokens) == 1)
        if is_name:
            names.append((start, stop))
        start = max(stop, start + 1)
    return names


def _is_capitalised(word: str) -> bool:
    match = _WORD.search(word)
    return bool(match) and match[0][0].isupper() and len(match[0]) > 1


def _tokens(word: str, vocabulary: Vocabulary, is_first: bool) -> int:
    """The tokens of a word without punctuation, 1 if training had it in lower case; the first of a sentence may have
    its capital letter for that alone."""
    core = match[0] if (match := _WORD.search(word)) else word
    if len(vocabulary.encode(core.lower())) == 1:
        return 1
    forms = [core, core.lower()] if is_first else [core]
    return min(len(vocabulary.encode(form)) for form in forms)


def lost(spans: Sequence[Span], translation: Translation) -> list[Span]:
    """The spans that a translation has in none of their forms."""
    rest, missing = translation.text, []
    for span in spans:
        found = next(filter(None, (occurrence(form).search(rest) for form in span.forms)), None)
        if found:
            rest = f"{rest[: found.start()]} {rest[found.end() :]}"
        else:
            missing.append(span)
    return missing


def placeholders(spans: Sequence[Span], source: Vocabulary, target: Vocabulary) -> list[list[str]]:
    """Several choices of placeholders, one for each span; those that are one known token in both vocabularies."""

    def known(words: Sequence[str]) -> list[str]:
        sides = (source, target)
        return [word for word in words if all(_is_known(word, side) for side in sides)]

    numbers, names = known(NUMBERS), known(NAMES)
    pools = [numbers if span.is_number else [*names[:VARIANTS], *numbers] for span in spans]
    if any(len(pool) < len(spans) for pool in pools):
        return []
    return [[pool[(variant + i) % len(pool)] for i, pool in enumerate(pools)] for variant in range(VARIANTS)]


def _is_known(word: str, vocabulary: Vocabulary) -> bool:
    ids = vocabulary.encode(word)
    return len(ids) == 1 and ids[0] != vocabulary.unknown_id


def with_placeholders(sentence: str, spans: Sequence[Span], chosen: Sequence[str]) -> str:
    """The sentence with a placeholder in the stead of each span."""
    words = sentence.split(" ")
    written = [*words]
    for span, placeholder in sorted(zip(spans, chosen, strict=True), key=lambda pair: -pair[0].start):
        stop = "." if span.ends(words) else ""
        written[span.start : span.stop] = [f"{span.before}{placeholder}{stop}{span.after}"]
    return " ".join(written)


def restored(
    translation: Translation, sentence: str, spans: Sequence[Span], chosen: Sequence[str] | None
) -> Translation | None:
    """The translation with the spans of its sentence.

    Args:
        translation: of the sentence with placeholders; or of the sentence itself, if `chosen` is None.
        sentence: the sentence.
        spans: its spans.
        chosen: the placeholder of each span; None replaces the words with the most attention to the spans.

    Returns None if the translation lacks a placeholder, or has fewer words than there are spans.
    """
    of_words = translation.attention
    widths = np.ones(len(translation.source_words), int)  # words of the sentence for each word that was translated
    columns, shift = [], 0
    for span in spans:
        width = span.stop - span.start
        if chosen is None:
            columns.append(slice(span.start, span.stop))
        else:
            columns.append(slice(span.start - shift, span.start - shift + 1))
            widths[columns[-1]] = width
            shift += width - 1
    replaced: dict[int, str] = {}
    for i, span in enumerate(spans):
        attention = of_words[:, columns[i]].sum(axis=1)
        pattern = occurrence(chosen[i] if chosen else span.text)
        free = [t for t in range(len(translation.words)) if t not in replaced]
        having = [t for t in free if pattern.search(translation.words[t])]
        if not having and (chosen is not None or not free):
            return None
        target = max(having or free, key=lambda t: attention[t])
        word = translation.words[target]
        if found := pattern.search(word):
            start, end = found.span()
        elif attention[target] * 2 > of_words[target].sum():
            start, end = core.span() if (core := _WORD.search(word)) else (0, len(word))
        else:  # the word translates another one, so it stays
            start, end, word = 0, 0, f" {word}"
        rest = word[end:].removeprefix(".") if span.forms[0].endswith(".") else word[end:]
        replaced[target] = f"{word[:start]}{span.forms[0]}{rest}"
    words, rows = [], []
    for t, word in enumerate(translation.words):
        parts = replaced.get(t, word).split(" ")
        words += parts
        rows += [t] * len(parts)
    by_word = np.repeat(of_words[:, :-1] / widths, widths, axis=1)
    attention = np.concatenate([by_word, of_words[:, -1:]], axis=1)[rows]
    how = "attention" if chosen is None else "placeholder"
    kept = [Kept(span.forms[0], span.start, rows.index(t), how) for span, t in zip(spans, replaced, strict=True)]
    return replace(
        translation,
        text=" ".join(words),
        words=words,
        probabilities=translation.probabilities[rows],
        source_words=sentence.split(" "),
        attentions=[attention],
        kept=kept,
    )


def by_model(translation: Translation, spans: Sequence[Span]) -> Translation:
    """The translation, which has all spans, with their record."""
    kept, attention = [], translation.attention
    for span in spans:
        for form in span.forms:
            having = [t for t, word in enumerate(translation.words) if form.split(" ")[0] in word]
            if having and occurrence(form).search(translation.text):
                target = max(having, key=lambda t: attention[t, span.start : span.stop].sum())
                kept.append(Kept(form, span.start, target, "model"))
                break
    return replace(translation, kept=kept)
