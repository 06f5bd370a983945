"""Text tables give the tokens, ids and text of their vocabularies, for any text and any bytes."""

import random
import unicodedata

import pytest
import regex
import tensorflow as tf

from shared.letters import LETTERS, MARKS
from shared.metrics import caption_tokens
from shared.text_in_graph import (
    NORMALISATIONS,
    Composition,
    SubwordTable,
    TextTable,
    WordTable,
    text_table,
    without_entities,
)
from shared.vocabulary import SubwordVocabulary, Vocabulary, WordVocabulary
from tests.shared.test_vocabulary import STRANGE, TEXTS, random_texts

# Lone surrogates have no UTF-8, so the texts are normalised.
ANY_TEXT = [
    *TEXTS,
    *STRANGE,
    *(SubwordVocabulary(SubwordVocabulary.reserved).normalise(text) for text in random_texts(300)),
    "don't_stop: 3.14, \u732b\u00e9 e\u0301 \u0663 \u2167 \u00b2",
    "\u00a0a\u2003b\x1cc\x85d\u2028e\n \n",
    "</s> <unk> unknown",
    "dog\x00",
    "\u0939\u093f\u0928\u094d\u0926\u0940\u0964 \u0301\u0301a \u2764\ufe0f\u2764 \u0645\u06cc\u200c\u062e",
]
VOCABULARIES: dict[str, Vocabulary] = {
    "words": WordVocabulary.build([*TEXTS, "dog\x00"]),
    "all words": WordVocabulary.build(ANY_TEXT),
    "no words": WordVocabulary.build([]),
    "words, normalised": WordVocabulary.build(TEXTS, normalisation="words"),
    "characters": SubwordVocabulary.characters(TEXTS),
    "all characters": SubwordVocabulary.characters(ANY_TEXT),
    "no pieces": SubwordVocabulary(SubwordVocabulary.reserved),
    "subwords": SubwordVocabulary.train(ANY_TEXT * 2, size=900),
    "subwords, normalised": SubwordVocabulary.train(TEXTS * 3, size=330, normalisation="words"),
}


@pytest.fixture(scope="module", params=VOCABULARIES)
def vocabulary(request) -> Vocabulary:
    return VOCABULARIES[request.param]


class Exported(tf.Module):
    """A table as an export holds it."""

    def __init__(self, table: TextTable):
        super().__init__()
        self.resources = table.resources
        self.split = tf.function(table.split, input_signature=[tf.TensorSpec([None], tf.string)])
        self.decode = tf.function(table.decode, input_signature=[tf.TensorSpec([None, None], tf.int32)])


@pytest.fixture(scope="module")
def graph(vocabulary, tmp_path_factory):
    """A saved and loaded table."""
    folder = str(tmp_path_factory.mktemp("saved"))
    tf.saved_model.save(Exported(text_table(vocabulary)), folder)
    return tf.saved_model.load(folder)


def is_comparable(vocabulary: Vocabulary, text: str) -> bool:
    """Whether TensorFlow and Python, with their versions of Unicode, agree on the letters of a text."""
    if vocabulary.normalisation == "none":
        return True
    characters = [character.encode() for character in text]
    in_graph = (tf.strings.regex_full_match(characters, f"[{of}]").numpy().tolist() for of in (LETTERS, MARKS))
    return all(
        found == [bool(regex.match(f"[{of}]", character)) for character in text]
        for found, of in zip(in_graph, (LETTERS, MARKS), strict=True)
    )


def test_any_text_is_split_and_encoded_as_in_python(vocabulary, graph):
    texts = [text for text in ANY_TEXT if not text or is_comparable(vocabulary, text)]
    assert len(texts) > 0.9 * len(ANY_TEXT)
    tokens, ids = graph.split(tf.constant([text.encode() for text in texts]))
    assert ids.dtype == tf.int32
    for text, row, row_ids in zip(texts, tokens.to_list(), ids.to_list(), strict=True):
        assert [token.decode() for token in row] == vocabulary.pieces(text)
        assert row_ids == vocabulary.encode(text)
    single_tokens, single_ids = graph.split(tf.constant([texts[3].encode()]))
    assert single_tokens.to_list()[0] == tokens[3].numpy().tolist()
    assert single_ids.to_list()[0] == vocabulary.encode(texts[3])


def test_any_ids_are_decoded_as_in_python(vocabulary, graph):
    generator = random.Random(0)
    ids = [[generator.randrange(vocabulary.size) for _ in range(12)] for _ in range(300)]
    ids += [[generator.randrange(min(vocabulary.size, 270)) for _ in range(12)] for _ in range(300)]  # specials, bytes
    assert [text.decode() for text in graph.decode(tf.constant(ids)).numpy()] == [vocabulary.decode(x) for x in ids]
    encoded = tf.ragged.constant([[1, *vocabulary.encode(text), 2, 5] for text in ANY_TEXT])
    decoded = [text.decode() for text in graph.decode(tf.cast(encoded.to_tensor(), tf.int32)).numpy()]
    assert decoded == [vocabulary.decode(vocabulary.encode(text)) for text in ANY_TEXT]


def test_empty_batches_and_texts(vocabulary, graph):
    for result in graph.split(tf.constant([], tf.string)):
        assert result.to_list() == []
    _, ids = graph.split(tf.constant(["", ""]))
    assert ids.to_list() == [vocabulary.encode("")] * 2
    assert graph.decode(tf.zeros([0, 5], tf.int32)).shape == [0]
    assert graph.decode(tf.zeros([2, 0], tf.int32)).numpy().tolist() == [b"", b""]


def test_invalid_utf_8_is_replaced_as_in_python(vocabulary, graph):
    generator = random.Random(0)
    alphabet = b"a \xc0\xc3\xa4\x80\xbf\xe0\xe4\x9f\xa0\xed\xf0\x90\x8f\xf4\xf5\xff"
    texts = [bytes(generator.choices(alphabet, k=generator.randrange(8))) for _ in range(1000)]
    _, ids = graph.split(tf.constant(texts))
    assert ids.to_list() == [vocabulary.encode(text.decode(errors="replace")) for text in texts]


def test_decodes_any_shape():
    vocabulary = VOCABULARIES["characters"]
    ids = tf.constant(vocabulary.encode("the dog sees"))
    texts = text_table(vocabulary).decode(tf.reshape(ids, [1, 1, 1, -1]))
    assert texts.numpy().tolist() == [[[b"the dog sees"]]]


def test_longest_match():
    vocabulary = SubwordVocabulary([*SubwordVocabulary.reserved, " ", "a", "ab", " abc", "abcd", "d", "\u00e4\u00f6"])
    tokens, ids = SubwordTable(vocabulary).split(tf.constant(["abcdabcdabc", "\u00e4\u00e4\u00f6", "a", "bcd"]))
    assert [[token.decode() for token in row] for row in tokens.to_list()] == [
        [" abc", "d", "abcd", "ab", "<0x63>"],
        [" ", "<0xC3>", "<0xA4>", "\u00e4\u00f6"],
        [" ", "a"],  # "ab" does not continue into the next text
        [" ", "<0x62>", "<0x63>", "d"],
    ]
    assert ids.to_list()[0] == [263, 265, 264, 262, 4 + 0x63]


def test_long_and_short_texts_in_one_batch():
    vocabulary = VOCABULARIES["subwords"]
    texts = ["the dogs sleep, " * 6_250, "", "d" * 10_000]
    _, ids = SubwordTable(vocabulary).split(tf.constant(texts))
    assert ids.to_list() == [vocabulary.encode(text) for text in texts]


def test_text_table_depends_on_the_vocabulary():
    assert isinstance(text_table(VOCABULARIES["words"]), WordTable)
    assert isinstance(text_table(VOCABULARIES["subwords"]), SubwordTable)


def test_captions_are_normalised_as_in_python():
    rng = random.Random(5)
    signs = [
        "a",
        "I",
        "n't",
        "'s",
        "'ll",
        "'",
        "\u2019",
        "-",
        ".",
        ",",
        "1",
        "23",
        ":",
        "/",
        " ",
        "\u00c9",
        "\u0939\u093f",  # a letter and its vowel sign
        "$",
        "_",
        "\x00",
    ]
    texts = [
        "A man's T-shirt, (red) isn't clean.",
        "The U.S. won 3.5 at 10:30 -- or 1/2!",
        "",
        "  'Tis \u2019s o'clock",
    ]
    texts += ["".join(rng.choices(signs, k=rng.randrange(1, 12))) for _ in range(3000)]
    normalised = NORMALISATIONS["captions"](tf.constant(texts)).numpy()
    assert [text.decode() for text in normalised] == [" ".join(caption_tokens(text)) for text in texts]


@pytest.mark.parametrize("normalisation", ["lower"])
def test_normalisations_without_a_graph_version_are_refused(normalisation):
    for vocabulary in (VOCABULARIES["words"], VOCABULARIES["subwords"]):
        with pytest.raises(ValueError, match=f"Received: '{normalisation}'"):
            text_table(type(vocabulary)(vocabulary.table, normalisation))


def test_composed_form_as_in_python():
    composition = Composition()
    texts = [
        "Mu\u0308ller",
        "",
        "\u0308x",
        "Tie\u0302\u0301ng Vie\u0323\u0302t",
        "\u1112\u1161\u11ab\u1100\u1173\u11af",
        "a\0b\u0301",
    ]
    texts += [unicodedata.normalize("NFD", chr(code)) for code in (0xC5, 0x1F82, 0x0958, 0x212B, 0xAC01)]
    composed = [text.decode() for text in composition(tf.constant(texts)).numpy()]
    assert composed == [unicodedata.normalize("NFC", text) for text in texts]
    for empty in ([], ["", ""]):
        assert [text.decode() for text in composition(tf.constant(empty, tf.string)).numpy()] == empty


def test_entities_become_characters():
    texts = ["a &amp; b &lt;c&gt; &#39;d&apos; &amp;quot;", "&amp;amp;lt; AT&T &ampot; &x;"]
    assert [text.decode() for text in without_entities(tf.constant(texts)).numpy()] == [
        "a & b <c> 'd' \"", "< AT&T &ampot; &x;"
    ]  # fmt: skip
