"""One text, image or sound where a list of them is meant is refused; Python would take it apart."""

from typing import Any

import numpy as np
import pytest

from shared.errors import ListError, UserError, check_list
from shared.metrics import caption_scores
from shared.phones import PhoneVocabulary, fold_all
from shared.vocabulary import SubwordVocabulary, WordVocabulary
from tasks.captioner.inference import ImageCaptioner
from tasks.language_model.inference import TextGenerator, TextScorer
from tasks.phoneme_recognizer.inference import SoundRecognizer
from tasks.translator.inference import PairScorer, Translator

SOUND = np.zeros(16_000, np.float32)


def unloaded(kind: Any) -> Any:
    """An object without a model: arguments are checked before it is used."""
    return kind.__new__(kind)


def aligned(phones: str) -> Any:
    recognizer = unloaded(SoundRecognizer)
    recognizer.vocabulary = PhoneVocabulary(39)
    return recognizer.align(SOUND, phones)


CALLS = {
    "captions": lambda: unloaded(ImageCaptioner)("photo.jpg"),
    "one image": lambda: unloaded(ImageCaptioner)(np.zeros((4, 5, 3), np.uint8)),
    "translate": lambda: unloaded(Translator)("Ein Hund."),
    "accepted": lambda: unloaded(Translator).accepted("Ein Hund."),
    "pairs": lambda: unloaded(PairScorer)("ab"),
    "a pair of one text": lambda: unloaded(PairScorer)(["ab"]),
    "one pair": lambda: unloaded(PairScorer)(("Ein Hund.", "A dog.")),
    "recognize": lambda: unloaded(SoundRecognizer)("speech.wav"),
    "one sound": lambda: unloaded(SoundRecognizer)(SOUND),
    "align": lambda: aligned("ae d"),
    "score": lambda: unloaded(TextScorer)("the cat"),
    "bytes": lambda: unloaded(TextScorer)(b"the cat"),
    "stream": lambda: next(unloaded(TextScorer).stream("the cat")),
    "stop": lambda: unloaded(TextGenerator)("the", stop="."),
    "hypotheses": lambda: caption_scores("a dog", [["a dog"]]),
    "references": lambda: caption_scores(["a dog"], ["a dog"]),
    "words": lambda: WordVocabulary.build("a dog"),
    "subwords": lambda: SubwordVocabulary.train("a dog", 300),
    "characters": lambda: SubwordVocabulary.characters("a dog"),
    "phones": lambda: PhoneVocabulary(39).encode("ae d"),
    "labels": lambda: fold_all("ae", 39),
}


@pytest.mark.parametrize("call", CALLS)
def test_one_value_is_no_list(call):
    with pytest.raises(ListError, match="expected") as raised:
        CALLS[call]()
    assert isinstance(raised.value, UserError)
    assert isinstance(raised.value, TypeError)


def test_the_message_shows_what_would_be_right():
    with pytest.raises(ListError) as raised:
        check_list("Ein Hund.", "sentences")
    assert str(raised.value) == "'Ein Hund.' is one text; a list of sentences was expected, such as ['Ein Hund.']"
    with pytest.raises(ListError) as raised:
        check_list(SOUND, "sounds", axes=1)
    assert str(raised.value) == "one array of shape (16000,) was given; a list of sounds was expected"


def test_lists_of_all_kinds_are_accepted():
    for values in (["a"], ("a",), iter("a"), {"a": 1}, np.zeros((2, 3)), []):
        check_list(values, "texts", axes=1)
