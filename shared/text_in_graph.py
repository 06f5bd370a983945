"""Text to ids and back as TensorFlow's own operations, so that a SavedModel takes and gives text.

A table does within a graph what its vocabulary does in Python, for any text: `split` gives `pieces` and `encode`, and
`decode` the same text. Bytes that are not UTF-8 are replaced as by Python's `bytes.decode(errors="replace")`. One thing
differs: normalising to words, TensorFlow may know the letters of another version of Unicode than Python does.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from shared.vocabulary import SubwordVocabulary, Vocabulary, WordVocabulary

# What Python's \s and \w are, for RE2, whose own know ASCII alone.
_SPACE = r"[\x09-\x0d\x1c-\x20\x{85}\pZ]+"
_SIGN = r"([^\pL\pN_\x09-\x0d\x1c-\x20\x{85}\pZ])"


def _words(text: Any) -> Any:
    apart = tf.strings.regex_replace(text, _SIGN, r" \1 ")
    return tf.strings.strip(tf.strings.regex_replace(apart, _SPACE, " "))


# Lower case is missing: `tf.strings.lower` stops at a NUL, and knows fewer letters than Python.
NORMALISATIONS = {
    "none": lambda text: text,
    "words": _words,
}


class TextTable(ABC):
    """A vocabulary within a graph; `text_table` chooses the right one.

    Attributes:
        resources: what a SavedModel has to hold besides variables.

    Raises:
        ValueError: the vocabulary's normalisation cannot be done in a graph.
    """

    resources: list[Any]

    def __init__(self, vocabulary: Vocabulary, spelt: Sequence[str] | Sequence[bytes]) -> None:
        if vocabulary.normalisation not in NORMALISATIONS:
            raise ValueError(
                f"normalisation must be one of {sorted(NORMALISATIONS)}. Received: {vocabulary.normalisation!r}"
            )
        self.vocabulary = vocabulary
        self._spelt = tf.constant(spelt, tf.string)  # "" for padding, start and end

    @abstractmethod
    def split(self, text: Any) -> tuple[Any, Any]:
        """Texts `(batch,)` -> their tokens, known or not, and the int32 ids of these, both ragged `(batch, any)`."""

    @abstractmethod
    def decode(self, token_ids: Any, begun: Any = False, instead: Any = "") -> Any:
        """Ids `(..., time)` -> texts `(...)` up to the first `end_id`; padding and start are skipped.

        Args:
            token_ids: int32.
            begun: bool `(...)`, whether the text goes on in a line that has begun; its first space then stays.
            instead: string `(..., time)`, what is written in place of a token, unless it is "".
        """

    def _normalised(self, text: Any) -> Any:
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        return NORMALISATIONS[self.vocabulary.normalisation](text)

    def _spoken(self, token_ids: Any, instead: Any) -> Any:
        """Ids `(..., time)` -> what each is spelt like, or stands instead of it; "" from the first `end_id` on."""
        ended = tf.cumsum(tf.cast(token_ids == self.vocabulary.end_id, tf.int32), axis=-1) > 0
        spelt = tf.gather(self._spelt, tf.where(ended, self.vocabulary.pad_id, token_ids))
        return tf.where(ended | tf.equal(instead, ""), spelt, instead)


class WordTable(TextTable):
    """A `WordVocabulary` within a graph."""

    def __init__(self, vocabulary: WordVocabulary) -> None:
        unknown = vocabulary.unknown_id
        super().__init__(vocabulary, ["", "", "", *vocabulary.table[unknown:]])
        # The specials stand for no text. "" is no word, but a hash table may not be empty.
        words = ["", *vocabulary.table[unknown + 1 :]]
        ids = tf.range(unknown, len(vocabulary), dtype=tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(words, ids, tf.string)
        self._lookup = tf.lookup.StaticHashTable(initializer, unknown)
        self.resources = [self._lookup]

    def split(self, text: Any) -> tuple[Any, Any]:
        words = tf.strings.split(self._normalised(text))
        return words, words.with_values(tf.cast(self._lookup.lookup(words.values), tf.int32))

    def decode(self, token_ids: Any, begun: Any = False, instead: Any = "") -> Any:
        joined = tf.strings.reduce_join(self._spoken(token_ids, instead), axis=-1, separator=" ")
        text = tf.strings.strip(tf.strings.regex_replace(joined, " +", " "))
        return tf.where(begun & (text != ""), tf.strings.join([" ", text]), text)


class SubwordTable(TextTable):
    """A `SubwordVocabulary` within a graph: longest match from left to right, for all bytes of all texts at once.

    The bytes of the pieces are the edges of a trie. Its nodes 0 to 255 are the single bytes, so a character without a
    piece falls apart into its bytes; no piece can begin inside a character, as UTF-8 has it. Time grows with the bytes
    of all texts together, times the length of the longest match.
    """

    END = 0xFF  # after each text; never part of UTF-8, so that no match goes on into the next text

    def __init__(self, vocabulary: SubwordVocabulary) -> None:
        super().__init__(vocabulary, vocabulary.token_bytes)
        edges = {-1: -1}  # 256 * node + byte -> node; one that nobody asks for, as a hash table may not be empty
        longest = [(vocabulary.first_byte_id + byte, 1) for byte in range(256)]  # the token that fits, at each node
        first = len(vocabulary.reserved)
        pieces = enumerate(vocabulary.token_bytes[first:], start=first)
        for token_id, spelt in sorted(pieces, key=lambda piece: len(piece[1])):  # a piece after all that begin it
            node = spelt[0]
            for byte in spelt[1:]:
                child = edges.setdefault(256 * node + byte, len(longest))
                if child == len(longest):
                    longest.append(longest[node])
                node = child
            longest[node] = token_id, len(spelt)
        ids, lengths = zip(*longest, strict=True)
        self._ids, self._lengths = tf.constant(ids, tf.int32), tf.constant(lengths, tf.int64)
        self._table = tf.constant(vocabulary.table)
        initializer = tf.lookup.KeyValueTensorInitializer(list(edges), list(edges.values()), tf.int64, tf.int64)
        self._edges = tf.lookup.StaticHashTable(initializer, -1)
        self.resources = [self._edges]

    def split(self, text: Any) -> tuple[Any, Any]:
        texts = tf.strings.join([" ", self._normalised(text), bytes([self.END])])
        lengths = tf.cast(tf.strings.length(texts), tf.int64)
        spelt = tf.cast(tf.io.decode_raw(tf.strings.reduce_join(texts), tf.uint8), tf.int64)  # (bytes of all texts,)
        node = self._deepest(spelt)
        begins = self._begins(tf.cumsum(lengths, exclusive=True), tf.gather(self._lengths, node), lengths)
        ids = tf.RaggedTensor.from_row_lengths(tf.gather(self._ids, node), lengths)
        ids = tf.ragged.boolean_mask(ids, ids.with_values(begins & (spelt != self.END)))
        return ids.with_values(tf.gather(self._table, ids.values)), ids

    def decode(self, token_ids: Any, begun: Any = False, instead: Any = "") -> Any:
        joined = tf.strings.reduce_join(self._spoken(token_ids, instead), axis=-1)
        text = tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")
        return tf.where(begun, text, tf.strings.regex_replace(text, "^ ", "", replace_global=False))

    def _deepest(self, spelt: Any) -> Any:
        """Bytes `(n,)` -> how far into the trie one gets, starting from each byte: a node `(n,)`."""
        count = tf.size(spelt, tf.int64)

        def descend(depth, places, nodes, deepest):
            following = tf.gather(spelt, tf.minimum(places + depth, count - 1))
            nodes = self._edges.lookup(256 * nodes + following)
            places, nodes = tf.boolean_mask(places, nodes >= 0), tf.boolean_mask(nodes, nodes >= 0)
            return depth + 1, places, nodes, tf.tensor_scatter_nd_update(deepest, places[:, None], nodes)

        start = tf.constant(1, tf.int64), tf.range(count), spelt, spelt
        *_, deepest = tf.while_loop(lambda depth, places, *_: tf.size(places) > 0, descend, start)
        return deepest

    def _begins(self, starts: Any, steps: Any, lengths: Any) -> Any:
        """Whether a token begins at each byte `(n,)`, when a token there is `steps` `(n,)` long.

        Not one token after another, but all that 1, 2, 4, 8, ... steps lead to from those known so far. The end of a
        text leads to the start of the next.
        """
        count = tf.size(steps, tf.int64)

        def double(reach, begins, jump):
            met = tf.scatter_nd(jump[:, None], tf.cast(begins, tf.int32), [count])
            return 2 * reach, begins | (met > 0), tf.gather(jump, jump)

        begins = tf.scatter_nd(starts[:, None], tf.ones_like(starts, tf.int32), [count]) > 0
        jump = tf.minimum(tf.range(count) + steps, count - 1)
        longest = tf.reduce_max(lengths)
        start = tf.constant(1, tf.int64), begins, jump
        return tf.while_loop(lambda reach, *_: reach < longest, double, start)[1]


def text_table(vocabulary: Vocabulary) -> TextTable:
    """The table of a vocabulary of either kind; ValueError when its normalisation cannot be done in a graph."""
    if isinstance(vocabulary, SubwordVocabulary):
        return SubwordTable(vocabulary)
    if isinstance(vocabulary, WordVocabulary):
        return WordTable(vocabulary)
    raise TypeError(f"vocabulary must be of words or subwords. Received: {type(vocabulary).__name__}")
