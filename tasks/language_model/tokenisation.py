"""Ordinary text as the words of a model's corpus, and back.

The Penn Treebank and WikiText are words separated by spaces, each in a notation of its own:

    text            "He didn't pay $1,234.50 for a well-known mat."
    WikiText        " He didn 't pay $ 1 @,@ 234 @.@ 50 for a well @-@ known mat . "
    Penn Treebank   he did n't pay $ N for a well-known mat

A line in such a notation is said to have the form `tokens`, any other one the form `text`. The notation belongs to the
vocabulary: it is read from the words that the vocabulary has. Subwords and characters need none, since they are
lossless.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from shared.letters import LETTERS, MARKS, SPACES, compiled
from shared.loaded import Loaded
from shared.runs import Run
from shared.spelling import Speller, is_sign
from shared.vocabulary import (
    NEWLINES,
    SPACE,
    SPECIALS,
    SubwordVocabulary,
    Vocabulary,
    WordVocabulary,
    load_vocabulary,
)
from tasks.language_model.config import Config, Form

# The quotation marks of typesetting as those of typewriters, which both corpora have.
STRAIGHT = str.maketrans("\u2018\u2019\u201c\u201d", "''\"\"")
UNKNOWN = SPECIALS[3]  # a word of both corpora
RUN = re.compile(r"\.{2,}|-{2,}")  # one token of several signs
INITIALS = re.compile(r"(?:[^\W\d_]\.)+")  # such as U.N.
MAX_INITIALS = 20  # characters
WIKITEXT_TOKEN = rf"{UNKNOWN}|\.{{2,}}|[{LETTERS}.][{LETTERS}{MARKS}.]*|[^{LETTERS}{SPACES}.][{MARKS}]*"
NUMBER = re.compile(r"\d[\d.,/]*")
CLITIC = re.compile(r"(.+)('(?:s|m|d|re|ve|ll))")
NOT = re.compile(r"(.+)(n't)")
# Standing alone, these show that a line is split into tokens; dashes and symbols stand alone in ordinary text too.
SPLIT_OFF = {*".,;:!?()\"'", "'s", "'t", "n't", "'re", "'ve", "'ll", "'d", "'m", "@-@", "@,@", "@.@"}


def load_without_model(run: Run) -> Loaded[Config, Vocabulary, None]:
    """Configuration and vocabulary of a run; raises RunError if they cannot be read."""
    config = run.read_config(Config)
    return Loaded(config, load_tokens(run, config.vocabulary), None)


def load_tokens(run: Run, kind: str) -> Vocabulary:
    """The vocabulary of a run, of `words` or another kind; raises RunError if it cannot be read."""
    return load_vocabulary(run, WordVocabulary if kind == "words" else SubwordVocabulary)


class Part(NamedTuple):
    """A part of a word as it is written, and its tokens, which may be none."""

    text: str
    tokens: list[str]

    @property
    def is_sign(self) -> bool:
        """Whether it is punctuation or another sign."""
        return self.text != "" and all(map(is_sign, self.text))


class Reading(NamedTuple):
    """A line as it is read: its form, its words in parts, and the ids of their tokens."""

    form: Form
    words: list[list[Part]]
    token_ids: list[int]

    @property
    def tokens(self) -> list[str]:
        """All tokens, known or not, one for each id."""
        return [token for word in self.words for part in word for token in part.tokens]

    @property
    def unknown_words(self) -> list[str]:
        """The tokens that the vocabulary does not have, in order."""
        unknown = Vocabulary.unknown_id
        return [token for token, index in zip(self.tokens, self.token_ids, strict=True) if index == unknown]


class Tokenisation:
    """Reads lines, and writes tokens, in the notation of a vocabulary.

    Attributes:
        notation: `WikiText` or `Penn Treebank`, or None for any other vocabulary.
        is_lossless: whether it has subwords or characters, which spaces are part of.
    """

    def __init__(self, vocabulary: Vocabulary):
        self.vocabulary = vocabulary
        self.is_lossless = not isinstance(vocabulary, WordVocabulary)
        self._ranks = {token: rank for rank, token in enumerate(vocabulary.table)}  # the most frequent ones first
        self._longest = max(MAX_INITIALS, *map(len, self._ranks))  # characters of a token
        self.notation: str | None = None
        if isinstance(vocabulary, WordVocabulary) and vocabulary.normalisation == "none":
            self.notation = next((n for token, n in NOTATIONS.items() if token in self._ranks), None)
        words = [token for token in vocabulary.table if token not in (*SPECIALS, "N")]
        self._is_lower = self.notation is not None and all(word == word.lower() for word in words)
        self._has_signs = "," in self._ranks  # Mikolov's Penn Treebank has none

    def read(self, line: str, form: Form = "auto", is_whole: bool = True) -> Reading:
        """The words and tokens of a line; with `auto`, its form is recognised.

        A line that is not whole goes on, so the full stop of its last word does not end a sentence.
        """
        if self.is_lossless:
            token_ids = self.vocabulary.encode(re.sub(NEWLINES, " ", line))
            return Reading("text", _subwords(self.vocabulary, token_ids), token_ids)
        written = line.split() if self.vocabulary.normalisation == "words" else re.split(SPACE, line)
        written = [word for word in written if word]
        last = len(written) - 1 if is_whole else None
        parts = [self._parts(word, index == last) for index, word in enumerate(written)]
        if form == "auto":
            form = self._form(written, parts)
        words = parts if form == "text" else self.words_of(self.vocabulary.pieces(line))
        tokens = [token for word in words for part in word for token in part.tokens]
        return Reading(form, words, self.vocabulary.encode(" ".join(tokens)))

    def spell(self, token_ids: Iterable[int], line: Sequence[str] = (), is_spaced: bool = False) -> Iterator[str]:
        """Yield ordinary text for each id as it arrives, a newline for the end of a line.

        Args:
            token_ids: ids to write.
            line: the tokens before them in the same line.
            is_spaced: whether a space was written after these.
        """
        if self.is_lossless:
            yield from self.vocabulary.spell(token_ids, begun=bool(line) and not is_spaced)
            return
        speller = self._speller()
        speller.follow(line, is_spaced)
        for index in token_ids:
            if index == self.vocabulary.end_id:
                yield speller.end() + "\n"
            else:
                yield speller.write(self.vocabulary.table[index])
        yield speller.end()

    def _speller(self) -> Speller:
        return Speller(splits_words=self.vocabulary.normalisation == "words")

    def _form(self, written: list[str], parts: list[list[Part]]) -> Form:
        apart = sum(word in SPLIT_OFF for word in written)
        attached = sum([t for p in of for t in p.tokens] != [word] for word, of in zip(written, parts, strict=True))
        return "tokens" if apart > attached else "text"

    # --- text to tokens ---------------------------------------------------------------------------------------------

    def _parts(self, word: str, is_last: bool) -> list[Part]:
        """A word of text as its leading signs, what is between, and its trailing signs."""
        vocabulary = self.vocabulary
        if vocabulary.normalisation == "words":
            return [Part(text, vocabulary.pieces(text)) for text in _stripped(word, lambda rest: False)]
        if self.notation is None:
            return [Part(word, vocabulary.pieces(word))]
        texts = _stripped(word, lambda rest: len(rest) <= self._longest and self._keeps(self._plain(rest), is_last))
        return [Part(text, self._split(self._plain(text), is_last)) for text in texts]

    def _plain(self, text: str) -> str:
        text = unicodedata.normalize("NFC", text).translate(STRAIGHT)
        return text.lower() if self._is_lower and text not in (*SPECIALS, "N") else text

    def _keeps(self, text: str, is_last: bool) -> bool:
        """Whether a text is one token with the signs at its ends, such as `Mr.` and `'s`."""
        if text in SPECIALS:
            return True
        if text.endswith(".") and is_last and self._rank(text[:-1]) < self._rank(text):
            return False  # `I.` at the end is the pronoun and a full stop
        return text in self._ranks or (INITIALS.fullmatch(text) is not None and len(text) > 2)

    def _rank(self, token: str) -> int:
        return self._ranks.get(token, len(self._ranks))

    def _split(self, text: str, is_last: bool) -> list[str]:
        """The tokens of a sign, or of a word without the signs at its ends."""
        if self._keeps(text, is_last) or text in SPECIALS:
            return [text]
        tokens = NOTATION_RULES[self.notation or ""](text)
        return tokens if self._has_signs else [t for t in tokens if t in self._ranks or not all(map(is_sign, t))]

    # --- tokens to text ---------------------------------------------------------------------------------------------

    def words_of(self, tokens: list[str]) -> list[list[Part]]:
        """The words that tokens stand for, in parts of one token each."""
        speller = self._speller()
        written = [piece for token in tokens for piece in speller.place(token)] + speller.rest()
        words: list[list[Part]] = []
        for token, (text, is_spaced) in zip(tokens, written, strict=True):
            if is_spaced or not words:
                words.append([])
            words[-1].append(Part(text, [token]))
        return words


def signs_apart(parts: list[Part]) -> list[list[Part]]:
    """The parts of a word in groups: each sign at its ends alone, and all between together."""
    is_core = [not part.is_sign for part in parts]
    if not any(is_core):
        return [[part] for part in parts]
    first, last = is_core.index(True), len(is_core) - is_core[::-1].index(True)
    return [*([part] for part in parts[:first]), parts[first:last], *([part] for part in parts[last:])]


def _stripped(word: str, is_kept: Callable[[str], bool]) -> Iterator[str]:
    """A word as its leading signs, what is between, and its trailing signs; what is kept loses no sign."""
    before, after = [], []
    while word and is_sign(word[0]) and not word.startswith(UNKNOWN) and not is_kept(word):
        run = RUN.match(word)
        count = run.end() if run else 1
        before.append(word[:count])
        word = word[count:]
    while word and is_sign(word[-1]) and not word.endswith(UNKNOWN) and not is_kept(word):
        count = len(word) - len(word.rstrip(word[-1])) if word[-1] in ".-" else 1  # a run, as in `RUN`
        after.append(word[-count:])
        word = word[:-count]
    yield from before
    if word:
        yield word
    yield from reversed(after)


def _wikitext(text: str) -> list[str]:
    """Words in the notation of WikiText: hyphens and signs within numbers are marked, other signs are apart."""
    text = re.sub(r"(?<=\d)([.,])(?=\d)", r" @\1@ ", text)
    text = compiled(f"(?<=[{LETTERS}{MARKS}.>])-(?=[{LETTERS}<])").sub(" @-@ ", text)
    text = compiled(rf"(?<=[{LETTERS}{MARKS}>])'(?=\p{{L}})").sub(" '", text)
    tokens = []
    for token in text.replace("\u2026", " ... ").split():
        is_whole = token.startswith(("@", "'"))
        tokens += [token] if is_whole else compiled(WIKITEXT_TOKEN).findall(token)
    return tokens


def _penn_treebank(text: str) -> list[str]:
    """Words in the notation of Mikolov's Penn Treebank: numbers and the sign of per cent are `N`."""
    clitics = []
    while found := NOT.fullmatch(text) or CLITIC.fullmatch(text):
        text, clitic = found.groups()
        clitics.append(clitic)
    is_number = NUMBER.fullmatch(text) or text == "%"
    stem = ["N"] if is_number else ["can", "not"] if text == "cannot" else [text]
    return [*stem, *reversed(clitics)]


NOTATIONS = {"@-@": "WikiText", "n't": "Penn Treebank"}  # by a token that only this one has
NOTATION_RULES = {"WikiText": _wikitext, "Penn Treebank": _penn_treebank}


def _subwords(vocabulary: Vocabulary, token_ids: list[int]) -> list[list[Part]]:
    """The words that subwords or characters make up; spaces, and bytes of characters, belong to the part after them."""
    words: list[list[Part]] = []
    held: list[str] = []  # tokens without a text of their own
    begins = True
    for token_id, text in zip(token_ids, vocabulary.spell(token_ids), strict=False):
        begins = begins or vocabulary.begins_word(token_id)
        held += vocabulary.tokens([token_id])
        if text.strip():
            words += [[]] * begins
            words[-1].append(Part(text.strip(), held))
            held, begins = [], False
    if held and words:
        text, tokens = words[-1].pop()
        words[-1].append(Part(text, tokens + held))
    elif held:
        words.append([Part("", held)])
    return words
