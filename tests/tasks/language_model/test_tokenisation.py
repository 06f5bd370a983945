"""Ordinary text as the tokens of WikiText, of the Penn Treebank and of one's own text, and back."""

import re
import time

import pytest

from shared.vocabulary import SPECIALS, SubwordVocabulary, WordVocabulary
from tasks.language_model.tokenisation import Tokenisation, signs_apart

WIKITEXT_WORDS = """. , the @-@ @,@ @.@ on mat in I Mr. U.S. I. No. in. 's 't " ( ) $ : ; ... 18- No St. St"""
PENN_WORDS = "the N mat did n't $ 's mr. no can not well-known & ' he"


def tokenisation(words: str) -> Tokenisation:
    return Tokenisation(WordVocabulary([*SPECIALS, *words.split()]))


WIKITEXT, PENN = tokenisation(WIKITEXT_WORDS), tokenisation(PENN_WORDS)
OWN = Tokenisation(WordVocabulary.build(["a"], normalisation="words"))
CHARACTERS = Tokenisation(SubwordVocabulary.characters(["the cat"]))


def spelled(form: Tokenisation, tokens: list[str]) -> str:
    """Tokens as text, whether the vocabulary has them or not."""
    return " ".join("".join(part.text for part in word) for word in form.words_of(tokens))


def test_one_long_word_takes_no_quadratic_time():
    began = time.process_time()
    assert WIKITEXT.read("x" + "!" * 50_000, "text").tokens == ["x", *"!" * 50_000]
    assert WIKITEXT.read("on" + "." * 50_000, "text").tokens == ["on", "." * 50_000]
    assert PENN.read("he" + "n't" * 2_000, "text").tokens == ["he", *["n't"] * 2_000]
    assert time.process_time() - began < 5  # half a minute in quadratic time


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("on the mat.", "on the mat ."),
        (
            '"He didn\'t pay $1,234.50 (5%) for a well-known mat," she said.',
            '" He didn \'t pay $ 1 @,@ 234 @.@ 50 ( 5 % ) for a well @-@ known mat , " she said .',
        ),
        ("Mr. Smith of the U.S. at 10:30", "Mr. Smith of the U.S. at 10 : 30"),
        ("You and I.", "You and I ."),
        ("St. Louis, No. 5", "St. Louis , No. 5"),
        ("the 18- and 19-year-olds", "the 18- and 19 @-@ year @-@ olds"),
        ("the players' coach's mats...", "the players ' coach 's mats ..."),
        ("What?!", "What ? !"),
        ("J.R.R. wrote <unk>, twice.", "J.R.R. wrote <unk> , twice ."),
        ("naïve Übung", "naïve Übung"),
    ],
)
def test_wikitext(text, tokens):
    assert WIKITEXT.notation == "WikiText"
    reading = WIKITEXT.read(text)
    assert reading.form == "text"
    assert " ".join(reading.tokens) == tokens
    assert WIKITEXT.read(text, "tokens").tokens == text.split()
    assert spelled(WIKITEXT, tokens.split()) == text


@pytest.mark.parametrize(
    ("text", "tokens", "back"),
    [
        ("The mat.", "the mat", "the mat"),
        ("He didn't pay $1,234.50 -- no!", "he did n't pay $ N no", "he didn't pay $N no"),
        ("Mr. Mat cannot.", "mr. mat can not", "mr. mat can not"),
        ("a well-known mat's 5%", "a well-known mat 's N N", "a well-known mat's N N"),
    ],
)
def test_penn_treebank(text, tokens, back):
    assert PENN.notation == "Penn Treebank"
    assert " ".join(PENN.read(text).tokens) == tokens
    assert spelled(PENN, tokens.split()) == back


def test_accents_that_stand_apart_are_composed():
    assert WIKITEXT.read("nai\u0308ve U\u0308bung.", "text").tokens == ["naïve", "Übung", "."]
    assert WIKITEXT.read("the हिन्दी-mat.", "text").tokens == ["the", "हिन्दी", "@-@", "mat", "."]


def test_typesetting_is_read_as_typewriting():
    assert WIKITEXT.read("\u201cIt\u2019s the mat\u2026\u201d").tokens == ['"', "It", "'s", "the", "mat", "...", '"']


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("on the mat .", "tokens"),
        ("the mat @-@ man 's ( mat ) , on the", "tokens"),
        ("the mat", "text"),
        ("on the mat. No!", "text"),
        ("He \u2013 the cook \u2013 left.", "text"),
        ("", "text"),
    ],
)
def test_the_form_of_a_line_is_recognised(text, form):
    reading = WIKITEXT.read(text)
    assert reading.form == form
    if form == "tokens":
        assert reading.tokens == text.split()


def test_ids_are_those_of_the_tokens():
    table = WIKITEXT.vocabulary.table
    assert [table[index] for index in WIKITEXT.read("on the roof.").token_ids] == ["on", "the", "<unk>", "."]


def test_a_line_that_goes_on_does_not_end_a_sentence():
    assert WIKITEXT.read("on I.").tokens == ["on", "I", "."]
    assert WIKITEXT.read("on I.", is_whole=False).tokens == ["on", "I."]


@pytest.mark.parametrize(
    "text",
    [
        "I don't use sys.path, a well-known 3.14 (x) \"yes\" I'm 1,000 no: a/b. Then the dogs' `len`!",
        "5\u20136 at 10:30; 50% of [it] costs $3.",
    ],
)
def test_ones_own_words_read_as_text(text):
    assert OWN.notation is None
    assert spelled(OWN, OWN.read(text).tokens) == text


def test_ids_are_spelled_as_they_arrive():
    ids = WIKITEXT.read('on the mat, "in No. I"; the mat\'s').token_ids
    end = WIKITEXT.vocabulary.end_id
    pieces = list(WIKITEXT.spell([*ids, end, *ids[:2]]))
    assert "".join(pieces) == 'on the mat, "in No. I"; the mat\'s\non the'
    assert pieces[:4] == ["on", " the", " mat", ""]  # the next token decides about a comma
    after = list(WIKITEXT.spell(WIKITEXT.read("'s on \" .", "tokens").token_ids, ["the", '"', "mat"]))
    assert "".join(after) == "'s on\"."
    assert "".join(WIKITEXT.spell(ids[:1], ["the"], is_spaced=True)) == "on"


def test_words_in_parts():
    def texts(reader, line, form="auto"):
        return [[part.text for part in word] for word in reader.read(line, form).words]

    assert texts(WIKITEXT, '"on the mat," I') == [['"', "on"], ["the"], ["mat", ",", '"'], ["I"]]
    assert texts(WIKITEXT, "the mat 's , ( on )") == [["the"], ["mat", "'s", ","], ["(", "on", ")"]]
    assert texts(OWN, "don't a.") == [["don't"], ["a", "."]]
    assert texts(PENN, "mat -- no") == [["mat"], ["--"], ["no"]]
    assert [len(part.tokens) for (part, *_) in PENN.read("mat -- no").words] == [1, 0, 1]
    assert ["".join(word) for word in texts(CHARACTERS, "the  cat")] == ["the", "cat"]
    assert CHARACTERS.read("the\ncat").token_ids == CHARACTERS.read("the cat").token_ids  # a line has no end inside


@pytest.mark.parametrize("line", ["", " ", "the", ' the  "c\u00e4t". \U0001f408 ', "\u732b\u732b"])
def test_characters_and_bytes_make_up_words(line):
    reading = CHARACTERS.read(line)
    assert reading.tokens == CHARACTERS.vocabulary.pieces(line)
    words = ["".join(part.text for part in word) for word in reading.words]
    assert words == (line.split() or [""])
    apart = [text for word in reading.words for group in signs_apart(word) if (text := "".join(p.text for p in group))]
    assert apart == re.findall(r"\w+|[^\w\s]", line)


def test_signs_apart():
    (word,) = WIKITEXT.read('("mat\'s-on",').words
    assert ["".join(part.text for part in group) for group in signs_apart(word)] == ["(", '"', "mat's-on", '"', ","]
    (dash,) = WIKITEXT.read("?!").words
    assert [[part.text for part in group] for group in signs_apart(dash)] == [["?"], ["!"]]
