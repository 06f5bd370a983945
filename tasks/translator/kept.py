"""Numbers, names and addresses that a translation must have as its sentence has them.

Numbers, dates, times and prices may have the form of the target language, in which a placeholder is replaced by them:
"12,50" becomes "12.50" (`conventions`). Everything else is copied.

A subword model has no unknown words, so it copies nothing and translates what it does not know to something else: "37
Bälle" to "3 boys". A sentence whose translation lacks such a span is therefore translated again with a placeholder in
its stead, a word that the model knows and translates to itself, and the placeholder in the translation is replaced. Of
several placeholders the one with the best score is taken. If the model translates none to itself, the word with the
most attention to the span is replaced.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from shared.languages import primary_language
from shared.vocabulary import Vocabulary
from tasks.translator.conventions import AFTER_NUMBER, NAMED_DATES, Forms, localised, occurrence
from tasks.translator.translation import Kept, Translation

NUMBERS = ("5", "3", "4", "10", "2", "6", "7", "8")
NAMES = ("John", "Tom", "Bob", "Mary", "Peter", "Maria", "Boston", "Paris", "London", "Nike", "David", "Anna")
VARIANTS = 4  # of the placeholders that are tried
RARE = 3  # tokens of a word that training had seldom
VERY_RARE = 5  # of one that is no country either: a model that has learned to copy names knows what else is translated
MAX_WORD = 500  # characters; in a longer one no span is searched, which takes time that is quadratic in its length
MOST_LETTERS = 2.4  # a token of a name; nouns are composed of longer ones

_FIGURES = r"(?:\d{1,3}(?:[ ]\d{3})+|\d+(?:[.,]\d+)*)(?:,\d+)?"
_CAPITALISED = r"(?:[ ][A-ZÀ-Ý][a-zà-ÿß][\w'-]*)"
# A span of several words. Streets are those of English, German and French.
_PHRASE = re.compile(
    rf"""(?<![\w.,:/+-])(?:
      {"|".join(pattern.replace(" ", "[ ]") for patterns in NAMED_DATES.values() for pattern in patterns)}
    | (?:\+\d{{1,3}}|\(?0\d{{1,4}}\)?|\(\d{{3}}\))(?:[ ]?[-/(]?\d{{2,}}\)?|[ ]\d(?=[ ]\d))+(?:[ /-]\d+)*  # +49 30 12345
    | \d{{1,2}}(?:[:.]\d{{2}})?[ ]?[aApP](?:\.[mM]\.|[mM]\b)                                 # 2:30 p.m.
    | \d{{1,2}}(?:[:.]\d{{2}})?[ ]Uhr\b                                                      # 14:30 Uhr
    | \d{{1,2}}[ ]?h(?:[ ]?\d{{2}})?(?!\w)                                                   # 14 h 30
    | (?:[€$£][ ]?{_FIGURES}|[-\u2212]?{_FIGURES}[ ]?(?:{AFTER_NUMBER})(?![\w'’]))  # €5  3,5 km
    | \d{{1,3}}(?:[ ]\d{{3}})+(?:,\d+)?(?!\d)                                                # 1 234 567,5
    | \d{{1,3}}[a-z]?,?[ ](?:rue|avenue|boulevard|place|chemin|allée|quai|impasse)           # 12 rue des Lilas
      (?:[ ](?:de[ ]l'\w+|d'\w+|des?|du|la|les)(?!\w)|{_CAPITALISED})+(?:,[ ]\d{{5}}{_CAPITALISED}+)?
    | \d{{1,4}}[A-Za-z]?{_CAPITALISED}+?[ ](?:Street|St\.|Road|Avenue|Lane|Drive|Square|Court|Way)\b  # 5 Mill Lane
      (?:,{_CAPITALISED}+(?:[ ][A-Z]{{1,2}}\d{{1,2}}[A-Z]?[ ]\d[A-Z]{{2}}|[ ]\d{{5}})?)?
    | [A-ZÄÖÜ][\w-]*(?:straße|strasse|str\.|weg|gasse|allee|platz|ring|damm|ufer)[ ]\d+[a-z]?  # Lindenweg 3
      (?:,[ ]\d{{5}}{_CAPITALISED}+)?
    | (?:[A-Z]{{2,5}}|[A-Z]+-[A-Z])[ ]\d+(?!\w|[.,:]\d)                                         # LH 452
    )""".replace("(?P<month>", "(?:")
    .replace("(?P<day>", "(?:")
    .replace("(?P<year>", "(?:"),
    re.VERBOSE,
)

# A span is a word, or part of one, without the punctuation around it.
_SPAN = re.compile(
    r"""(?:https?://|ftp://|www\.)\S*[^\s.,;:!?)\]}"'»”]     # an address of the web
    | [\w.+-]+@[\w-]+(?:\.[\w-]+)+                           # of e-mail
    | (?:[\w-]+\.)+[a-z]{2,6}(?:/\S*[^\s.,;:!?)\]}"'»”]|(?!\w|\.\w))  # example.com/page, notes.txt
    | [@#]\w[\w-]*                                           # a user, a tag
    | (?:/[\w.-]+){2,}                                       # a path
    | (?:[A-Z]{1,5}-)*[^\W\d_]*\d(?:[\w.,:/’'+-]*\w)?(?:[%°€$£])?            # 37  12,50  14:30  A380  4K  50%
    """,
    re.VERBOSE,
)
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
        return self.text[:1].isdigit()


def find_spans(
    sentence: str, vocabulary: Vocabulary, language: str, target: str = "", rare: int = RARE, phrases: bool = True
) -> list[Span]:
    """The numbers, addresses and names of a sentence in a language, in order, with their forms in that of the target.

    A single word is a name if it has at least `rare` tokens. Without `phrases` no span but a name has several words.
    """
    words = sentence.split(" ")
    found = _phrases(words) if phrases else []
    taken = {index for start, stop, _ in found for index in range(start, stop)}
    for i, word in enumerate(words):
        if i not in taken and len(word) <= MAX_WORD and (match := _SPAN.search(word)):
            found.append((i, i + 1, match.span()))
            taken.add(i)
    for start, stop in _names(words, vocabulary, language, rare):
        first, last = _WORD.search(words[start]), _WORD.search(words[stop - 1])
        if first and last and not taken & {*range(start, stop)}:
            before_last = sum(len(word) + 1 for word in words[start : stop - 1])
            found.append((start, stop, (first.start(), before_last + last.end())))
    spans = []
    for start, stop, (begin, end) in sorted(found):
        text = " ".join(words[start:stop])
        span = text[begin:end]
        spans.append(Span(start, stop, text[:begin], span, text[end:], localised(span, language, target)))
    return spans


def _phrases(words: Sequence[str]) -> list[tuple[int, int, tuple[int, int]]]:
    """First and last word, exclusive, of the spans of several words, and where they begin and end in these words."""
    sentence, found = " ".join(words), []
    if max(map(len, words)) > MAX_WORD or sentence.isupper():
        return []
    for match in _PHRASE.finditer(sentence):
        start = sentence.count(" ", 0, match.start())
        stop = start + match[0].count(" ") + 1
        begin = match.start() - sum(len(word) + 1 for word in words[:start])
        found.append((start, stop, (begin, begin + len(match[0]))))
    return found


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
    for span, placeholder in sorted(zip(spans, chosen, strict=True), key=lambda pair: -pair[0].start):
        words[span.start : span.stop] = [f"{span.before}{placeholder}{span.after}"]
    return " ".join(words)


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
        replaced[target] = f"{word[:start]}{span.forms[0]}{word[end:]}"
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
