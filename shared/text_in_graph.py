"""Text to ids and back in TensorFlow operations, for SavedModels that take and return text.

A table gives the results of its vocabulary for any text: `split` those of `pieces` and `encode`, `decode` the same.
Invalid UTF-8 is replaced as by Python's `bytes.decode(errors="replace")`. One difference: the normalisations
"words" and "captions" may use another version of Unicode than the package `regex`.
"""

import sys
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from shared.letters import LETTERS, MARKS, SPACES
from shared.vocabulary import NEWLINES, REPLACEMENT, SubwordVocabulary, Vocabulary, WordVocabulary


def _words(text: Any) -> Any:
    text = tf.strings.regex_replace(text, f"(^|[{SPACES}])([{MARKS}]+)", r"\1\2 ")  # marks that follow no letter
    text = tf.strings.regex_replace(text, f"([^{LETTERS}{MARKS}{SPACES}][{MARKS}]*)", r" \1 ")
    return tf.strings.strip(tf.strings.regex_replace(text, f"[{SPACES}]+", " "))


# The tokens of `shared.metrics.caption_tokens`, of at most three clitics in a row. RE2 has no look-ahead, so \x01 marks
# what is a clitic. Unlike there, text is not composed (NFC).
_CLITIC = rf"(^|[^\x01])(n't|'(?:s|m|d|re|ll|ve))([^{LETTERS}{MARKS}\x01]|\x01'|$)"
_CAPTION_TOKEN = (
    r"(\x01(?:n't|'[a-z]+)|\p{Nd}+(?:[.,:/]\p{Nd}+)+|(?:\pL\.){2,}|"
    rf"[{LETTERS}](?:-?[{LETTERS}{MARKS}])*|[^\x01\s])"
)
_CAPTION_WORD = r".*[\pL\pN].*|[$%&#+=]"


def _caption_words(text: Any) -> Any:
    text = tf.strings.lower(tf.strings.regex_replace(text, r"\x{0}|\x01", " "), encoding="utf-8")
    text = tf.strings.regex_replace(text, "\u2019", "'")
    for _ in range(3):  # of several in a row, a pass marks every other one
        text = tf.strings.regex_replace(text, _CLITIC, "\\1\x01\\2\\3")
    text = tf.strings.regex_replace(tf.strings.regex_replace(text, _CAPTION_TOKEN, r" \1 "), r"\x01", "")
    tokens = tf.strings.split(text)
    tokens = tf.ragged.boolean_mask(
        tokens, tokens.with_values(tf.strings.regex_full_match(tokens.values, _CAPTION_WORD))
    )
    return tf.strings.reduce_join(tokens, axis=-1, separator=" ")


# Without "lower": `tf.strings.lower` stops at a NUL and knows fewer letters than Python.
NORMALISATIONS = {"none": lambda text: text, "words": _words, "captions": _caption_words}


def as_utf8(text: Any) -> tuple[Any, Any]:
    """Texts `(batch,)` with invalid UTF-8 replaced, and a notice for each that had some; "" for the others."""
    valid = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
    return valid, tf.where(valid == text, "", f"is not UTF-8; invalid bytes are read as {REPLACEMENT}")


def as_line(text: Any) -> tuple[Any, Any]:
    """The same, with spaces in place of line breaks."""
    text, notice = as_utf8(text)
    return tf.strings.regex_replace(text, NEWLINES, " "), notice


ENTITIES = {"quot": '"', "lt": "<", "gt": ">", "apos": "'", "#39": "'", "nbsp": "\u00a0", "amp": "&"}
MAX_MARKS = 3  # of a character, in composed form


def without_entities(text: Any) -> Any:
    """Texts with the characters that the frequent entities of HTML stand for, also of those encoded twice."""
    text = tf.strings.regex_replace(text, r"&(?:amp;)+(#?\w+;)", r"&\1")
    for name, character in ENTITIES.items():  # & itself last
        text = tf.strings.regex_replace(text, f"&{name};", character)
    return text


class Composition:
    """Unicode's composed form (NFC) inside a graph, of a letter and its marks, or of the letters of a Hangul syllable.

    Marks must be in canonical order, as in all decomposed text that a program writes.
    """

    def __init__(self) -> None:
        pairs = {}
        for character in map(chr, range(sys.maxunicode + 1)):
            decomposed = unicodedata.normalize("NFD", character)
            if decomposed == character:
                continue
            pair = unicodedata.normalize("NFC", decomposed[:-1]) + decomposed[-1]
            if len(pair) == 2 and unicodedata.normalize("NFC", pair) == character:
                pairs[pair] = character
        initializer = tf.lookup.KeyValueTensorInitializer(list(pairs), list(pairs.values()), tf.string, tf.string)
        self._composed = tf.lookup.StaticHashTable(initializer, "")
        self.resources: list[Any] = [self._composed]  # that a SavedModel must track besides variables

    def __call__(self, text: Any) -> Any:
        """The composed form of texts `(batch,)` of valid UTF-8."""
        characters = tf.strings.unicode_split(text, "UTF-8")
        for _ in range(MAX_MARKS):
            values, rows = characters.values, characters.value_rowids()
            following = tf.concat([values, [""]], axis=0)[1:]
            is_same_row = rows == tf.concat([rows, [-1]], axis=0)[1:]
            composed = tf.where(is_same_row, self._composed.lookup(tf.strings.join([values, following])), "")
            is_composed = composed != ""
            kept = tf.logical_not(tf.concat([[False], is_composed], axis=0)[:-1])
            characters = characters.with_values(tf.where(is_composed, composed, values))
            characters = tf.ragged.boolean_mask(characters, characters.with_values(kept))
        return tf.strings.reduce_join(characters, axis=-1)


def keep_rows(ragged: Any, kept: Any) -> Any:
    """Ragged `(batch, time)` with empty rows where bool `kept` `(batch,)` is False."""
    return tf.ragged.boolean_mask(ragged, ragged.with_values(tf.gather(kept, ragged.value_rowids())))


class TextTable(ABC):
    """A vocabulary inside a graph, created by `text_table`."""

    resources: list[Any]  # that a SavedModel must track besides variables

    def __init__(self, vocabulary: Vocabulary, texts: Sequence[str] | Sequence[bytes]) -> None:
        if vocabulary.normalisation not in NORMALISATIONS:
            received = vocabulary.normalisation
            raise ValueError(f"normalisation must be one of {sorted(NORMALISATIONS)}. Received: {received!r}")
        self.vocabulary = vocabulary
        self._texts = tf.constant(texts, tf.string)  # of each id; "" for padding, start and end

    @abstractmethod
    def split(self, text: Any) -> tuple[Any, Any]:
        """The tokens of texts `(batch,)`, known or not, and their int32 ids, both ragged `(batch, time)`."""

    @abstractmethod
    def decode(self, token_ids: Any, begun: Any = False, instead: Any = "") -> Any:
        """The texts `(...)` of int32 ids `(..., time)` up to the first `end_id`; padding and start are skipped.

        Where bool `begun` `(...)`, the text continues a line, so its leading space is kept. Strings `instead`
        `(..., time)` replace tokens; "" for none.
        """

    def _normalised(self, text: Any) -> Any:
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        return NORMALISATIONS[self.vocabulary.normalisation](text)

    def _token_texts(self, token_ids: Any, instead: Any) -> Any:
        """The text or replacement of each id, `(..., time)`; "" from the first `end_id` on."""
        ended = tf.cumsum(tf.cast(token_ids == self.vocabulary.end_id, tf.int32), axis=-1) > 0
        texts = tf.gather(self._texts, tf.where(ended, self.vocabulary.pad_id, token_ids))
        return tf.where(ended | tf.equal(instead, ""), texts, instead)


class WordTable(TextTable):
    """A `WordVocabulary` inside a graph."""

    def __init__(self, vocabulary: WordVocabulary) -> None:
        unknown = vocabulary.unknown_id
        super().__init__(vocabulary, ["", "", "", *vocabulary.table[unknown:]])
        # Specials have no text. "" is not a word, but a hash table must not be empty.
        words = ["", *vocabulary.table[unknown + 1 :]]
        ids = tf.range(unknown, len(vocabulary), dtype=tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(words, ids, tf.string)
        self._lookup = tf.lookup.StaticHashTable(initializer, unknown)
        self.resources = [self._lookup]

    def split(self, text: Any) -> tuple[Any, Any]:
        words = tf.strings.split(self._normalised(text))
        return words, words.with_values(tf.cast(self._lookup.lookup(words.values), tf.int32))

    def decode(self, token_ids: Any, begun: Any = False, instead: Any = "") -> Any:
        joined = tf.strings.reduce_join(self._token_texts(token_ids, instead), axis=-1, separator=" ")
        text = tf.strings.strip(tf.strings.regex_replace(joined, " +", " "))
        return tf.where(begun & (text != ""), tf.strings.join([" ", text]), text)


class SubwordTable(TextTable):
    """A `SubwordVocabulary` inside a graph: longest match from left to right, for all bytes of all texts at once.

    The bytes of the pieces are the edges of a trie. Nodes 0 to 255 are single bytes, so a character without a piece is
    split into its bytes; UTF-8 ensures that no piece begins inside a character. The time is proportional to the total
    number of bytes times the length of the longest match.
    """

    END = 0xFF  # after each text; not a byte of UTF-8, so no match extends into the next text

    def __init__(self, vocabulary: SubwordVocabulary) -> None:
        super().__init__(vocabulary, vocabulary.token_bytes)
        edges = {-1: -1}  # 256 * node + byte -> node; an unused entry, because a hash table must not be empty
        longest = [(vocabulary.first_byte_id + byte, 1) for byte in range(256)]  # (token, bytes) matched at each node
        first = len(vocabulary.reserved)
        pieces = enumerate(vocabulary.token_bytes[first:], start=first)
        for token_id, content in sorted(pieces, key=lambda piece: len(piece[1])):  # prefixes first
            node = content[0]
            for byte in content[1:]:
                child = edges.setdefault(256 * node + byte, len(longest))
                if child == len(longest):
                    longest.append(longest[node])
                node = child
            longest[node] = token_id, len(content)
        ids, lengths = zip(*longest, strict=True)
        self._ids, self._lengths = tf.constant(ids, tf.int32), tf.constant(lengths, tf.int64)
        self._table = tf.constant(vocabulary.table)
        initializer = tf.lookup.KeyValueTensorInitializer(list(edges), list(edges.values()), tf.int64, tf.int64)
        self._edges = tf.lookup.StaticHashTable(initializer, -1)
        self.resources = [self._edges]

    def split(self, text: Any) -> tuple[Any, Any]:
        texts = tf.strings.join([" ", self._normalised(text), bytes([self.END])])
        lengths = tf.cast(tf.strings.length(texts), tf.int64)
        content = tf.cast(tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8), tf.int64)  # bytes of all texts
        node = self._deepest(content)
        begins = self._begins(tf.cumsum(lengths, exclusive=True), tf.gather(self._lengths, node), lengths)
        ids = tf.RaggedTensor.from_row_lengths(tf.gather(self._ids, node), lengths)
        ids = tf.ragged.boolean_mask(ids, ids.with_values(begins & (content != self.END)))
        return ids.with_values(tf.gather(self._table, ids.values)), ids

    def decode(self, token_ids: Any, begun: Any = False, instead: Any = "") -> Any:
        joined = tf.strings.reduce_join(self._token_texts(token_ids, instead), axis=-1)
        text = tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")
        return tf.where(begun, text, tf.strings.regex_replace(text, "^ ", "", replace_global=False))

    def _deepest(self, content: Any) -> Any:
        """The deepest node of the trie that is reached from each byte, `(bytes,)`."""
        count = tf.size(content, tf.int64)

        def descend(depth, starts, nodes, deepest):
            following = tf.gather(content, tf.minimum(starts + depth, count - 1))
            nodes = self._edges.lookup(256 * nodes + following)
            starts, nodes = tf.boolean_mask(starts, nodes >= 0), tf.boolean_mask(nodes, nodes >= 0)
            return depth + 1, starts, nodes, tf.tensor_scatter_nd_update(deepest, starts[:, None], nodes)

        state = tf.constant(1, tf.int64), tf.range(count), content, content
        *_, deepest = tf.while_loop(lambda depth, starts, *_: tf.size(starts) > 0, descend, state)
        return deepest

    def _begins(self, starts: Any, steps: Any, lengths: Any) -> Any:
        """Whether a token begins at each byte, `(bytes,)`, where a token at that byte has `steps` `(bytes,)` bytes.

        Pointer doubling: adds the bytes 1, 2, 4, 8, ... tokens after those known so far. The token after the end of a
        text is the start of the next text.
        """
        count = tf.size(steps, tf.int64)

        def double(reach, begins, jump):
            reached = tf.scatter_nd(jump[:, None], tf.cast(begins, tf.int32), [count])
            return 2 * reach, begins | (reached > 0), tf.gather(jump, jump)

        begins = tf.scatter_nd(starts[:, None], tf.ones_like(starts, tf.int32), [count]) > 0
        jump = tf.minimum(tf.range(count) + steps, count - 1)
        longest = tf.reduce_max(lengths)
        state = tf.constant(1, tf.int64), begins, jump
        return tf.while_loop(lambda reach, *_: reach < longest, double, state)[1]


def text_table(vocabulary: Vocabulary) -> TextTable:
    """The table of a vocabulary; raises ValueError if its normalisation is not available in a graph."""
    if isinstance(vocabulary, SubwordVocabulary):
        return SubwordTable(vocabulary)
    if isinstance(vocabulary, WordVocabulary):
        return WordTable(vocabulary)
    raise TypeError(f"vocabulary must have words or subwords. Received: {type(vocabulary).__name__}")
