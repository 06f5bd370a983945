"""Any text as the words that a classifier reads."""

import unicodedata

import pytest

from tasks.language_model.plain_words import spaced, words_of

TEXTS = {
    "It isn't GREAT, but I'd go.": "it is n't great , but i 'd go .",
    "it is n't great , but i 'd go .": "it is n't great , but i 'd go .",
    "don 't \u201cDon\u2019t\u201d can't he'd've": "do n't \" do n't \" ca n't he 'd 've",
    "\u6211\u5f88\u559c\u6b22 Tokyo\u3067\u3059": "\u6211 \u5f88 \u559c \u6b22 tokyo \u3067 \u3059",
    "\u00dcber-cool!!  e\u0301te\u0301\n\tsnake_case 1930s": "\u00fcber - cool ! ! \u00e9t\u00e9 snake_case 1930s",
    "\u0939\u093f\u0928\u094d\u0926\u0940 \u2764\ufe0f a\u00adb": "\u0939\u093f\u0928\u094d\u0926\u0940 \u2764 ab",
    "\u0130stanbul \ud800": "\u0130stanbul \ufffd",
    " \0\u200b \u2028": "",
}


@pytest.mark.parametrize("text", TEXTS)
def test_words(text):
    assert spaced(text) == TEXTS[text]
    assert spaced(TEXTS[text]) == TEXTS[text]


@pytest.mark.parametrize("text", TEXTS)
def test_each_word_has_its_place_in_the_text(text):
    composed = unicodedata.normalize("NFC", text)
    end = 0
    for word in words_of(text):
        assert word.start >= end
        end = word.end
        assert spaced(composed[word.start : word.end]).replace(" ", "") == word.text.replace(" ", "")
    assert [word.text for word in words_of(text)] == TEXTS[text].split()
