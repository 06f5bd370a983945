"""Vocabularies: lossless, text never becomes a special, damaged files are refused."""

import json
import random
import time

import pytest

from shared.vocabulary import NORMALISATIONS, SPECIALS, SubwordVocabulary, Vocabulary, WordVocabulary

TEXTS = [
    "the dog sees the other dog",
    "the cat sees the dogs",
    "Die Katze schläft, der Hund schläft nicht.",
    "the dogs sleep , the cat sleeps",
]
STRANGE = [
    "",
    " ",
    "  two  spaces ",
    "\ttab\r\nnew line\x0b\x00\x1f\x7f",
    "e\u0301 and \u00e9, a\u0328\u0301\u0323",
    "\u4e2d\u6587\u5b57\u7b26 \u65e5\u672c\u8a9e",
    "\U0001f469\u200d\U0001f469\u200d\U0001f467 \U0001f3f3\ufe0f\u200d\U0001f308",
    "\ufeffBOM \u00a0 \u2028 \u3000 \ufffd \uffff \U0010ffff",
    "<s> </s> <unk> <pad> <0x41> \u2581dog",
    "\u0130stanbul \u01c5 \ufb01 \u03a3\u03c3\u03c2",
]
ALPHABETS = [
    "the dogs ca",
    "<>/sunkpad0x41 ",
    "\u00e4\u00f6\u00df\u0301\u0308",
    "\u4e2d\u6587",
    "\U0001f600\u200d",
    "\x00\x1f\n\t\x7f",
    "\ud800\udfff",
]


@pytest.fixture(scope="module")
def words() -> WordVocabulary:
    return WordVocabulary.build(TEXTS, min_count=2)


@pytest.fixture(scope="module")
def subwords() -> SubwordVocabulary:
    return SubwordVocabulary.train(TEXTS * 3, size=330)


def random_texts(count: int) -> list[str]:
    generator = random.Random(0)
    texts = []
    for _ in range(count):
        pools = generator.sample(ALPHABETS, k=generator.randint(1, 4))
        texts.append("".join(generator.choice(generator.choice(pools)) for _ in range(generator.randint(0, 40))))
    for _ in range(count):  # any code point, including surrogates
        texts.append("".join(chr(generator.randrange(0x110000)) for _ in range(generator.randint(0, 12))))
    return texts


def test_specials_are_first_in_both_kinds(words, subwords):
    for vocabulary in (words, subwords):
        assert vocabulary.table[:4] == SPECIALS == ("<pad>", "<s>", "</s>", "<unk>")
        assert (vocabulary.pad_id, vocabulary.start_id, vocabulary.end_id, vocabulary.unknown_id) == (0, 1, 2, 3)
        assert vocabulary.size == len(vocabulary) == len(vocabulary.table)


def test_words_by_frequency_then_by_spelling(words):
    # Counts of at least 2: the (6), then cat, dog, dogs, sees; a word with a comma is a different word.
    assert words.table[4:] == ("the", "cat", "dog", "dogs", "sees")
    assert words.encode(" the\tcat sees\n the bird ") == [4, 5, 8, 4, 3]
    assert words.tokens([1, 4, 3, 2, 0]) == ["<s>", "the", "<unk>", "</s>", "<pad>"]
    assert words.decode([1, 4, 6, 3, 2, 5, 5]) == "the dog <unk>"
    assert WordVocabulary.build(TEXTS, max_size=6).table[4:] == ("the", "cat")


def test_known_words_are_lossless(words):
    text = "  the dogs \n\r\t\f\v sees the cat "
    assert words.decode(words.encode(text)) == words.normalise(text) == "the dogs sees the cat"
    texts = [text for text in STRANGE + random_texts(100) if not any(special in text for special in SPECIALS)]
    everything = WordVocabulary.build(texts)
    for text in texts:
        assert everything.decode(everything.encode(text)) == everything.normalise(text)
    for text in STRANGE + random_texts(100):
        assert len(words.encode(text)) == len(words.words(text))


@pytest.mark.parametrize(
    ("normalisation", "normal"),
    [("none", "A man's T-Shirt, RED."), ("lower", "a man's t-shirt, red."), ("captions", "a man 's t-shirt red")],
)
def test_normalisations(normalisation, normal):
    text = "A man's T-Shirt,\tRED."
    vocabulary = WordVocabulary.build([text], normalisation=normalisation)
    assert vocabulary.normalise(text) == vocabulary.decode(vocabulary.encode(text)) == normal
    assert vocabulary.normalise(normal) == normal


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Don't stop_it, 3.5!", "Don ' t stop_it , 3 . 5 !"),
        ("हिन्दी भाषा है।", "हिन्दी भाषा है ।"),  # vowel signs
        ("\u0645\u06cc\u200c\u062e", "\u0645\u06cc\u200c\u062e"),  # a joiner, in Persian
        ("e\u0301te\u0301 \u0301a ❤\ufe0f❤", "e\u0301te\u0301 \u0301 a ❤\ufe0f ❤"),
    ],
)
def test_marks_stay_with_their_letters(text, words):
    assert NORMALISATIONS["words"](text) == words


def test_subwords_are_lossless(subwords):
    for text in TEXTS + STRANGE + random_texts(500):
        ids = subwords.encode(text)
        assert subwords.decode(ids) == subwords.normalise(text)
        assert b"".join(subwords.token_bytes[i] for i in ids).decode() == " " + subwords.normalise(text)
        assert all(index > 3 for index in ids)
    assert subwords.normalise("a\ud800b\udfff") == "a\ufffdb\ufffd"


def test_subwords_are_lossless_in_lower_case():
    vocabulary = SubwordVocabulary.train(TEXTS, size=300, normalisation="lower")
    for text in TEXTS + STRANGE + random_texts(100):
        assert vocabulary.decode(vocabulary.encode(text)) == vocabulary.normalise(text)


def test_subwords_use_the_longest_match():
    vocabulary = SubwordVocabulary([*SubwordVocabulary.reserved, " ", "a", "ab", " abc", "abcd", "d"])
    # " abc" precedes " ", then "d"; "abcd" precedes "ab"; "c" has no piece and becomes a byte.
    assert vocabulary.tokens(vocabulary.encode("abcdabcdabc")) == [" abc", "d", "abcd", "ab", "<0x63>"]
    assert vocabulary.tokens(vocabulary.encode("\u00e4")) == [" ", "<0xC3>", "<0xA4>"]
    assert vocabulary.encode("") == [260]
    assert vocabulary.decode([1, 0, 263, 3, 2, 261]) == "abc\ufffd"
    assert vocabulary.decode([4 + 0xC3, 4 + 0xA4, 4 + 0xC3]) == "\u00e4\ufffd"


def test_subwords_learn_frequent_words_and_do_not_cross_them(subwords):
    assert {" the", " dog"} <= set(subwords.table)
    assert subwords.size <= 330
    assert not any(" " in piece[1:] for piece in subwords.table)
    assert len(subwords.encode("the dog sees the cat")) == 5
    assert SubwordVocabulary.train(TEXTS * 3, size=330).fingerprint == subwords.fingerprint


def test_subwords_of_many_characters_include_longer_pieces():
    texts = ["".join(map(chr, range(0x4E00, 0x4F00))), *["dogs and dogs and dogs and dogs"] * 3]
    vocabulary = SubwordVocabulary.train(texts, size=280)
    assert vocabulary.size <= 280
    assert any("dog" in piece for piece in vocabulary.table)
    assert vocabulary.decode(vocabulary.encode(texts[0])) == texts[0]
    with pytest.raises(ValueError, match=r"over 260.*Received: 260"):
        SubwordVocabulary.train(TEXTS, size=260)


def test_characters_by_frequency_then_by_code_point():
    # With the space before each text: " " (3), "b" (3), "a" (2), "\u00e4" (1), "\ufffd" (1).
    texts = ["bb", "ab a\u00e4\ud800"]
    vocabulary = SubwordVocabulary.characters(texts)
    assert vocabulary.table[260:] == (" ", "b", "a", "\u00e4", "\ufffd")
    assert vocabulary.tokens(vocabulary.encode("b\u00e4\u00f6")) == [" ", "b", "\u00e4", "<0xC3>", "<0xB6>"]
    assert SubwordVocabulary.characters(texts, min_count=2).table[260:] == (" ", "b", "a")
    assert SubwordVocabulary.characters(texts, max_size=262).table[260:] == (" ", "b")
    assert SubwordVocabulary.characters(["B b"], normalisation="lower").table[260:] == (" ", "b")
    assert SubwordVocabulary.characters([]).table == SubwordVocabulary.reserved
    with pytest.raises(ValueError, match="260 reserved tokens"):
        SubwordVocabulary.characters(texts, max_size=259)


def test_characters_are_lossless():
    texts = STRANGE + random_texts(300)
    for vocabulary in (SubwordVocabulary.characters(texts), SubwordVocabulary.characters(TEXTS)):
        for text in texts:
            assert vocabulary.decode(vocabulary.encode(text)) == vocabulary.normalise(text)
    everything = SubwordVocabulary.characters(texts)
    assert everything.pieces(texts[3]) == list(" " + everything.normalise(texts[3]))


def test_pieces_are_the_tokens_of_a_text(words, subwords):
    assert words.pieces("the  bird\tsees") == ["the", "bird", "sees"]
    assert subwords.pieces("the\u732b") == [" the", "<0xE7>", "<0x8C>", "<0xAB>"]
    for text in STRANGE + random_texts(100):
        for vocabulary in (words, subwords):
            assert len(vocabulary.pieces(text)) == len(vocabulary.encode(text))


def test_specials_in_text_are_text(subwords):
    text = "<s> the </s> <unk> <pad>"
    vocabulary = WordVocabulary.build([text, text])
    assert vocabulary.table == (*SPECIALS, "the")
    assert vocabulary.encode(text) == [3, 4, 3, 3, 3]
    assert not set(subwords.encode(text)) & {0, 1, 2, 3}
    assert subwords.decode(subwords.encode(text)) == text


@pytest.mark.slow
def test_encoding_takes_linear_time(subwords):
    start = time.process_time()
    for text in ("the dogs sleep, " * 62_500, "d" * 1_000_000, " " * 1_000_000):
        assert subwords.decode(subwords.encode(text)) == text
    assert time.process_time() - start < 20


@pytest.mark.parametrize("kind", ["words", "subwords"])
def test_saved_and_loaded(kind, request, tmp_path):
    vocabulary = request.getfixturevalue(kind)
    path = tmp_path / "vocabulary.json"
    vocabulary.save(path)
    loaded = Vocabulary.load(path)
    assert type(loaded) is type(vocabulary)
    assert type(vocabulary).load(path).fingerprint == loaded.fingerprint == vocabulary.fingerprint
    assert [loaded.encode(text) for text in TEXTS] == [vocabulary.encode(text) for text in TEXTS]
    lower = type(vocabulary)(vocabulary.table, "lower")
    assert lower.fingerprint != vocabulary.fingerprint
    other = SubwordVocabulary if kind == "words" else WordVocabulary
    with pytest.raises(ValueError, match=f"a vocabulary of {kind}. Expected: "):
        other.load(path)


GOOD = {"kind": "words", "normalisation": "none", "tokens": [*SPECIALS, "dog"]}


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([], "an object with kind, normalisation and tokens. Received: list"),
        ({**GOOD, "extra": 1}, "an object with kind"),
        ({**GOOD, "kind": "sounds"}, r"among \['subwords', 'words'\]. Received: 'sounds'"),
        ({**GOOD, "kind": ["words"]}, "Received: "),
        ({**GOOD, "normalisation": "upper"}, r"among \['captions', 'lower', 'none', 'words'\]. Received: 'upper'"),
        ({**GOOD, "normalisation": 5}, "the name of a normalisation. Received: 5"),
        ({**GOOD, "tokens": "dog"}, "a list. Received: str"),
        ({**GOOD, "tokens": [*SPECIALS, 7]}, "Received: 7 for id 4"),
        ({**GOOD, "tokens": [*SPECIALS, ["dog"]]}, r"Received: \['dog'\] for id 4"),
        ({**GOOD, "tokens": [*SPECIALS, ""]}, "Received: '' for id 4"),
        ({**GOOD, "tokens": [*SPECIALS, "\ud800"]}, "for id 4"),
        ({**GOOD, "tokens": [*SPECIALS, "a b"]}, "without white space. Received: 'a b'"),
        ({**GOOD, "tokens": [*SPECIALS, "dog", "cat", "dog"]}, "Received: 'dog' 2 times"),
        ({**GOOD, "tokens": ["dog"]}, "start with <pad> <s> </s> <unk>"),
        ({**GOOD, "kind": "subwords"}, "260 reserved tokens"),
    ],
)
def test_damaged_files_are_refused(contents, message, tmp_path):
    path = tmp_path / "vocabulary.json"
    path.write_text(json.dumps(contents))
    with pytest.raises(ValueError, match=rf"vocabulary\.json is not a vocabulary: .*{message}"):
        Vocabulary.load(path)


@pytest.mark.parametrize("contents", [b"", b"{", b"\xff\xfe", b"[" * 100_000])
def test_files_that_are_not_json_are_refused(contents, tmp_path):
    path = tmp_path / "vocabulary.json"
    path.write_bytes(contents)
    with pytest.raises(ValueError, match="is not a vocabulary: "):
        Vocabulary.load(path)


def test_ids_outside_the_table_are_refused(words, subwords):
    for vocabulary in (words, subwords):
        for index in (-1, vocabulary.size):
            with pytest.raises(ValueError, match=f"from 0 to {vocabulary.size - 1}. Received: {index}"):
                vocabulary.decode([4, index])
            with pytest.raises(ValueError, match=f"Received: {index}"):
                vocabulary.tokens([index])
        vocabulary.decode([4, vocabulary.end_id, -1])  # ids after the end are ignored


@pytest.mark.parametrize("text", ["the cat", "Die Katze schl\u00e4ft, \U0001f408!", "dog"])
def test_spell_equals_decode(words, subwords, text):
    for vocabulary in (words, subwords, SubwordVocabulary.characters(TEXTS)):
        ids = vocabulary.encode(text)
        pieces = list(vocabulary.spell([*ids, vocabulary.end_id, *ids]))
        assert "".join(pieces) == f"{vocabulary.decode(ids)}\n{vocabulary.decode(ids)}"
        assert "".join(vocabulary.spell(ids, begun=True)) == " " + vocabulary.decode(ids)


def test_spell_replaces_an_incomplete_character(subwords):
    first_byte = subwords.encode("\u732b")[-3:-2]
    assert "".join(subwords.spell([*first_byte, subwords.end_id])) == "\ufffd\n"
    assert "".join(subwords.spell(first_byte)) == "\ufffd"
