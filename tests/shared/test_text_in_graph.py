"""In a graph as in Python: the same tokens, ids and text, for any text and any bytes."""

import random

import pytest
import tensorflow as tf

from shared.text_in_graph import SubwordTable, TextTable, WordTable, text_table
from shared.vocabulary import SubwordVocabulary, Vocabulary, WordVocabulary
from tests.shared.test_vocabulary import STRANGE, TEXTS, random_texts

# Lone surrogates have no UTF-8: they come as what `normalise` makes of them.
ANY_TEXT = [
    *TEXTS,
    *STRANGE,
    *(SubwordVocabulary(SubwordVocabulary.reserved).normalise(text) for text in random_texts(300)),
    "don't_stop: 3.14, \u732b\u00e9 e\u0301 \u0663 \u2167 \u00b2",
    "\u00a0a\u2003b\x1cc\x85d\u2028e\n \n",
    "</s> <unk> unheard",
    "dog\x00",
]
VOCABULARIES: dict[str, Vocabulary] = {
    "words": WordVocabulary.build([*TEXTS, "dog\x00"]),
    "all words": WordVocabulary.build(ANY_TEXT),
    "no words": WordVocabulary.build([]),
    "words, signs apart": WordVocabulary.build(TEXTS, normalisation="words"),
    "characters": SubwordVocabulary.characters(TEXTS),
    "all characters": SubwordVocabulary.characters(ANY_TEXT),
    "no pieces": SubwordVocabulary(SubwordVocabulary.reserved),
    "subwords": SubwordVocabulary.train(ANY_TEXT * 2, size=900),
    "subwords, signs apart": SubwordVocabulary.train(TEXTS * 3, size=330, normalisation="words"),
}


@pytest.fixture(scope="module", params=VOCABULARIES)
def vocabulary(request) -> Vocabulary:
    return VOCABULARIES[request.param]


class Spoken(tf.Module):
    """What an export makes of a table."""

    def __init__(self, table: TextTable):
        super().__init__()
        self.resources = table.resources
        self.split = tf.function(table.split, input_signature=[tf.TensorSpec([None], tf.string)])
        self.decode = tf.function(table.decode, input_signature=[tf.TensorSpec([None, None], tf.int32)])


@pytest.fixture(scope="module")
def graph(vocabulary, tmp_path_factory):
    """A table saved and loaded."""
    folder = str(tmp_path_factory.mktemp("saved"))
    tf.saved_model.save(Spoken(text_table(vocabulary)), folder)
    return tf.saved_model.load(folder)


def assigned(vocabulary: Vocabulary, text: str) -> bool:
    """Whether TensorFlow and Python agree on which of its characters are letters: those of a newer Unicode aside."""
    if vocabulary.normalisation == "none":
        return True
    of_graph = tf.strings.regex_full_match([character.encode() for character in text], r"[\pL\pN]").numpy()
    return all(letter == character.isalnum() for letter, character in zip(of_graph, text, strict=True))


def test_any_text_is_split_and_encoded_as_python_does(vocabulary, graph):
    texts = [text for text in ANY_TEXT if not text or assigned(vocabulary, text)]
    assert len(texts) > 0.9 * len(ANY_TEXT)
    tokens, ids = graph.split(tf.constant([text.encode() for text in texts]))
    assert ids.dtype == tf.int32
    found = [[token.decode() for token in of_text] for of_text in tokens.to_list()]
    for text, of_text, ids_of_text in zip(texts, found, ids.to_list(), strict=True):
        assert of_text == vocabulary.pieces(text)
        assert ids_of_text == vocabulary.encode(text)
    alone_tokens, alone_ids = graph.split(tf.constant([texts[3].encode()]))
    assert alone_tokens.to_list()[0] == tokens[3].numpy().tolist()
    assert alone_ids.to_list()[0] == vocabulary.encode(texts[3])


def test_any_ids_are_decoded_as_python_does(vocabulary, graph):
    generator = random.Random(0)
    ids = [[generator.randrange(vocabulary.size) for _ in range(12)] for _ in range(300)]
    ids += [[generator.randrange(min(vocabulary.size, 270)) for _ in range(12)] for _ in range(300)]  # specials, bytes
    assert [text.decode() for text in graph.decode(tf.constant(ids)).numpy()] == [vocabulary.decode(x) for x in ids]
    encoded = tf.ragged.constant([[1, *vocabulary.encode(text), 2, 5] for text in ANY_TEXT])
    found = [text.decode() for text in graph.decode(tf.cast(encoded.to_tensor(), tf.int32)).numpy()]
    assert found == [vocabulary.decode(vocabulary.encode(text)) for text in ANY_TEXT]


def test_nothing_to_split_or_decode(vocabulary, graph):
    for found in graph.split(tf.constant([], tf.string)):
        assert found.to_list() == []
    _, ids = graph.split(tf.constant(["", ""]))
    assert ids.to_list() == [vocabulary.encode("")] * 2
    assert graph.decode(tf.zeros([0, 5], tf.int32)).shape == [0]
    assert graph.decode(tf.zeros([2, 0], tf.int32)).numpy().tolist() == [b"", b""]


def test_bytes_that_are_no_text_are_replaced_as_python_does(vocabulary, graph):
    generator = random.Random(0)
    signs = b"a \xc0\xc3\xa4\x80\xbf\xe0\xe4\x9f\xa0\xed\xf0\x90\x8f\xf4\xf5\xff"
    texts = [bytes(generator.choices(signs, k=generator.randrange(8))) for _ in range(1000)]
    _, ids = graph.split(tf.constant(texts))
    assert ids.to_list() == [vocabulary.encode(text.decode(errors="replace")) for text in texts]


def test_decodes_any_shape():
    vocabulary = VOCABULARIES["characters"]
    ids = tf.constant(vocabulary.encode("the dog sees"))
    found = text_table(vocabulary).decode(tf.reshape(ids, [1, 1, 1, -1]))
    assert found.numpy().tolist() == [[[b"the dog sees"]]]


def test_longest_match():
    vocabulary = SubwordVocabulary([*SubwordVocabulary.reserved, " ", "a", "ab", " abc", "abcd", "d", "\u00e4\u00f6"])
    tokens, ids = SubwordTable(vocabulary).split(tf.constant(["abcdabcdabc", "\u00e4\u00e4\u00f6", "a", "bcd"]))
    assert [[token.decode() for token in of_text] for of_text in tokens.to_list()] == [
        [" abc", "d", "abcd", "ab", "<0x63>"],
        [" ", "<0xC3>", "<0xA4>", "\u00e4\u00f6"],
        [" ", "a"],  # and no "ab" with the text after it
        [" ", "<0x62>", "<0x63>", "d"],
    ]
    assert ids.to_list()[0] == [263, 265, 264, 262, 4 + 0x63]


def test_a_long_text_beside_a_short_one():
    vocabulary = VOCABULARIES["subwords"]
    texts = ["the dogs sleep, " * 6_250, "", "d" * 10_000]
    _, ids = SubwordTable(vocabulary).split(tf.constant(texts))
    assert ids.to_list() == [vocabulary.encode(text) for text in texts]


def test_the_right_table():
    assert isinstance(text_table(VOCABULARIES["words"]), WordTable)
    assert isinstance(text_table(VOCABULARIES["subwords"]), SubwordTable)


@pytest.mark.parametrize("normalisation", ["lower", "captions"])
def test_a_normalisation_that_is_not_for_graphs(normalisation):
    for vocabulary in (VOCABULARIES["words"], VOCABULARIES["subwords"]):
        with pytest.raises(ValueError, match=f"Received: '{normalisation}'"):
            text_table(type(vocabulary)(vocabulary.table, normalisation))
