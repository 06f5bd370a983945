"""Text to ids and back as TensorFlow's own operations, so that a SavedModel takes and gives text."""

from typing import Any

import tensorflow as tf

from shared.vocabulary import WordVocabulary

# What Python's \s and \w are, for RE2, whose own know ASCII alone.
_SPACE = r"[\x09-\x0d\x1c-\x20\x{85}\pZ]"
_SIGN = r"([^\pL\pN_\x09-\x0d\x1c-\x20\x{85}\pZ])"


def _words(text: Any) -> Any:
    return tf.strings.regex_replace(tf.strings.regex_replace(text, _SPACE, " "), _SIGN, r" \1 ")


NORMALISATIONS = {
    "none": lambda text: text,
    "words": _words,
}


class WordTable:
    """A `WordVocabulary` within a graph.

    Attributes:
        resources: what a SavedModel has to hold besides variables.

    Raises:
        ValueError: the vocabulary's normalisation cannot be done in a graph.
    """

    def __init__(self, vocabulary: WordVocabulary):
        if vocabulary.normalisation not in NORMALISATIONS:
            raise ValueError(
                f"normalisation must be one of {sorted(NORMALISATIONS)}. Received: {vocabulary.normalisation!r}"
            )
        self.vocabulary, self.normalise = vocabulary, NORMALISATIONS[vocabulary.normalisation]
        first = vocabulary.unknown_id + 1  # the specials stand for no text
        words = tf.constant(vocabulary.table[first:], tf.string)
        ids = tf.range(first, len(vocabulary), dtype=tf.int64)
        initializer = tf.lookup.KeyValueTensorInitializer(words, ids)
        self.lookup = tf.lookup.StaticHashTable(initializer, vocabulary.unknown_id)
        self.resources = [self.lookup]
        self.table = tf.constant(vocabulary.table)

    def words(self, text: Any) -> Any:
        """Texts `(batch,)` -> their words, ragged `(batch, any)`."""
        text = tf.strings.unicode_transcode(text, "UTF-8", "UTF-8", errors="replace")
        return tf.strings.split(self.normalise(text))

    def encode(self, words: Any) -> Any:
        """Words, ragged -> ids, ragged int32."""
        return words.with_values(tf.cast(self.lookup.lookup(words.values), tf.int32))

    def decode(self, token_ids: Any) -> Any:
        """Ids `(..., time)` -> texts `(...)`: words with spaces between them, without padding and ends."""
        spoken = tf.where(token_ids > self.vocabulary.end_id, tf.gather(self.table, token_ids), "")
        joined = tf.strings.reduce_join(spoken, axis=-1, separator=" ")
        return tf.strings.strip(tf.strings.regex_replace(joined, " +", " "))
