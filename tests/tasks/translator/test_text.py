"""Sentences before and after the model: their form, their capitals, and what is kept."""

import dataclasses
import time

import numpy as np
import pytest

from shared.sentences import separator, split_clauses, split_sentences
from shared.vocabulary import SubwordVocabulary, WordVocabulary
from tasks.translator import kept
from tasks.translator.casing import as_trained
from tasks.translator.text import clean
from tasks.translator.translation import Kept, as_written, joined
from tests.tasks.translator.conftest import translation

PIECES = [
    " Ein",
    " ein",
    " Hund",
    " h",
    "und",
    " läuft",
    " mit",
    " drei",
    " 3",
    " 5",
    " John",
    " Boston",
    ".",
    ",",
    " Frau",
]
VOCABULARY = SubwordVocabulary([*SubwordVocabulary.reserved, *PIECES])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mu\u0308ller  la\u0308uft\n", "M\u00fcller l\u00e4uft"),
        ("A &amp; B &lt;3 &#39;x&#x27; &amp;quot;y&amp;amp;quot;", "A & B <3 'x' \"y\""),
        ("AT&T R&D; &ampot; &copy=1 a&b", "AT&T R&D; &ampot; &copy=1 a&b"),
        ("caf\u00e9 &eacute;", "caf\u00e9 \u00e9"),
        ("Qui\u202f? 1\u00a0000&nbsp;km un\u00adder\ufeff", "Qui ? 1 000 km under"),
    ],
)
def test_clean(text, expected):
    assert clean(text) == expected
    assert clean(expected) == expected


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        (
            "de",
            "Am 3. Mai kam Dr. Müller. Er blieb, inkl. der Hunde!",
            ["Am 3. Mai kam Dr. Müller.", "Er blieb, inkl. der Hunde!"],
        ),
        ("eng", "one dog runs. two cats sleep", ["one dog runs.", "two cats sleep"]),
        ("de", "ein hund läuft. er kam! 37 Bälle.", ["ein hund läuft.", "er kam!", "37 Bälle."]),
        ("fr", "M. Dupont arrive. Il dort.", ["M. Dupont arrive.", "Il dort."]),
        (
            "en",
            "He came. Mr. Smith left! Dr. Hill stayed. Was it? Mrs. Hill asked.",
            ["He came.", "Mr. Smith left!", "Dr. Hill stayed.", "Was it?", "Mrs. Hill asked."],
        ),
        ("zh", "你好。我很好！", ["你好。", "我很好！"]),
        ("mr", "ते घरी आहेत. मी पण आहे.", ["ते घरी आहेत.", "मी पण आहे."]),  # a vowel sign before the last letter
        ("en", "A dog runs", ["A dog runs"]),
    ],
)
def test_sentences(language, text, expected):
    assert split_sentences(text, language) == expected
    assert separator(language).join(expected) == text


def test_clauses_are_as_long_as_they_may_be():
    sentence = "aaa, bb, cccc; d: eeeeeeeeeeee"
    assert split_clauses(sentence, lambda part: len(part) <= 9) == ["aaa, bb,", "cccc; d:", "eeeeeeeeeeee"]
    assert split_clauses("好，好好，好好好", lambda part: len(part) <= 5) == ["好，好好，", "好好好"]


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("ein hund läuft.", "Ein Hund läuft."),
        ("EIN HUND LÄUFT.", "Ein Hund läuft."),
        ("Ein hund läuft.", "Ein hund läuft."),  # mixed: as it is
        ("läuft (hund)", "läuft (hund)"),
        ("3 , 5", "3 , 5"),
    ],
)
def test_capitals_of_training(sentence, expected):
    assert as_trained(sentence, VOCABULARY) == expected


def test_words_that_are_unknown_keep_their_letters():
    vocabulary = WordVocabulary.build(["one two One"])
    assert as_trained("ZYX ONE TWO", vocabulary) == "ZYX one two"
    assert as_trained("zyx one", vocabulary) == "zyx one"
    assert as_trained("one zyx", vocabulary) == "One zyx"


@pytest.mark.parametrize(
    ("sentence", "expected"),
    [
        ("Ein Hund, 37 mit 12,50 €.", ["37", "12,50"]),  # the target language is not named
        ("(www.uni.de/x?a=1), a.b@c.org: https://t.co/Xy.", ["www.uni.de/x?a=1", "a.b@c.org", "https://t.co/Xy"]),
        ("Ein Hund mit Kofi Annan läuft", ["Kofi Annan"]),
        ("Ein Schäferhund läuft mit 14:30 A380 @me #x50 50%.", ["14:30", "A380", "@me", "#x50", "50%"]),
        ("ein hund läuft.", []),
    ],
)
def test_spans_that_are_kept(sentence, expected):
    spans = kept.find_spans(sentence, VOCABULARY, "de")
    assert [span.text for span in spans] == expected
    for span in spans:
        assert " ".join(sentence.split(" ")[span.start : span.stop]) == f"{span.before}{span.text}{span.after}"


@pytest.mark.parametrize(
    ("sentence", "language", "target", "expected"),
    [
        ("Ruf +49 30 1234567 an.", "de", "en", [("+49 30 1234567", "+49 30 1234567")]),
        ("Appelle le 01 23 45 67 89.", "fr", "en", [("01 23 45 67 89", "01 23 45 67 89")]),
        ("Call (555) 123-4567 or 555-0123.", "en", "de", [("(555) 123-4567",) * 2, ("555-0123",) * 2]),
        ("Il y a 1 234 567 livres.", "fr", "en", [("1 234 567", "1,234,567")]),
        ("Es kostet 12,50 €, also 20 %.", "de", "en", [("12,50 €", "€12.50"), ("20 %", "20%")]),
        ("It costs €12.50 at 2:30 p.m.", "en", "fr", [("€12.50", "12,50 €"), ("2:30 p.m.", "14 h 30")]),
        ("Am 3. Mai 2026 um 14:30 Uhr.", "de", "en", [("3. Mai 2026", "3 May 2026"), ("14:30 Uhr", "2:30 p.m.")]),
        ("Il part à 14 h 30 pour 3,5 km.", "fr", "de", [("14 h 30", "14:30 Uhr"), ("3,5 km", "3,5 km")]),
        ("Es sind -5,5 °C.", "de", "en", [("-5,5 °C", "-5.5 °C")]),
        ("Er wohnt in Lindenweg 3, 10115 Berlin.", "de", "en", [("Lindenweg 3, 10115 Berlin",) * 2]),
        ("a dog at 5 Mill Lane, Leeds LS1 4AP.", "en", "de", [("5 Mill Lane, Leeds LS1 4AP",) * 2]),
        ("au 12 rue des Lilas, 69003 Lyon.", "fr", "en", [("12 rue des Lilas, 69003 Lyon",) * 2]),
        (
            "LH 452, HW-7963, am 2051-03-12.",
            "de",
            "en",
            [("LH 452",) * 2, ("HW-7963",) * 2, ("2051-03-12",) * 2],
        ),
        ("a dog on notes.txt.", "en", "de", [("notes.txt", "notes.txt")]),
        ("ICH HABE 25 HUNDE", "de", "en", [("25", "25")]),
        ("er hat 3 Hunde und 12,50 dabei", "de", "es", [("3", "3"), ("12,50", "12,50")]),
    ],
)
def test_spans_of_several_words_and_their_forms_in_the_other_language(sentence, language, target, expected):
    spans = kept.find_spans(sentence, VOCABULARY, language, target, rare=99)
    assert [(span.text, span.forms[0]) for span in spans] == expected
    for span in spans:
        assert " ".join(sentence.split(" ")[span.start : span.stop]) == f"{span.before}{span.text}{span.after}"


def test_a_model_that_has_not_learned_values_has_spans_of_one_word():
    sentence = "Wir treffen uns um 3 am Bahnhof, 12,50 €."
    spans = kept.find_spans(sentence, VOCABULARY, "de", "en", rare=99, phrases=False)
    assert [(span.text, span.forms[0]) for span in spans] == [("3", "3"), ("12,50", "12.50")]


def test_a_span_is_written_as_in_the_language_of_the_translation():
    sentence = "ein Hund für 12,50 €!"
    spans = kept.find_spans(sentence, VOCABULARY, "de", "en")
    found = translation(["A", "dog", "for", "5!"], np.eye(4, 5), ["ein", "Hund", "für", "5!"])
    assert kept.with_placeholders(sentence, spans, ["5"]) == "ein Hund für 5!"
    best = kept.restored(found, sentence, spans, ["5"])
    assert best is not None
    assert (best.text, best.kept) == ("A dog for €12.50!", [Kept("€12.50", 3, 3, "placeholder")])
    assert best.attention[3].tolist() == [0, 0, 0, 0.5, 0.5, 0]
    assert kept.lost(spans, best) == []
    assert kept.by_model(dataclasses.replace(best, kept=[]), spans).kept == [Kept("€12.50", 3, 3, "model")]
    assert kept.lost(spans, dataclasses.replace(best, text="A dog for 12.50 euros!")) == []
    assert kept.lost(spans, dataclasses.replace(best, text="A dog for 12,50 €!")) == spans


def test_values_that_share_a_word_are_one_span():
    (span,) = kept.find_spans("es sind 3 km/20,5 km.", VOCABULARY, "de", "en")
    assert (span.start, span.stop, span.text, span.after) == (2, 5, "3 km/20,5 km", ".")
    assert span.forms[0] == "3 km/20.5 km"
    assert [span.text for span in kept.find_spans("a 5€/10$ x", VOCABULARY, "en", "de")] == ["5€/10$"]


@pytest.mark.parametrize(
    ("sentence", "languages", "written", "expected"),
    [
        ("ein Hund um 2:30 p.m.", ("en", "de"), "ein Hund um 5.", "A dog 14:30 Uhr."),
        ("ein Hund um 14:30 Uhr.", ("de", "en"), "ein Hund um 5.", "A dog 2:30 p.m."),
        ("(um 2:30 p.m.) ein Hund.", ("en", "de"), "(um 5) ein Hund.", "A dog 14:30 Uhr."),
        ("um 2:30 p.m. ein Hund.", ("en", "de"), "um 5 ein Hund.", "A dog 14:30 Uhr."),
        ('"ein Hund um 2:30 p.m."', ("en", "fr"), '"ein Hund um 5."', "A dog 14 h 30."),
    ],
)
def test_the_full_stop_of_an_abbreviation_ends_the_sentence_too(sentence, languages, written, expected):
    spans = kept.find_spans(sentence, VOCABULARY, *languages)
    assert kept.with_placeholders(sentence, spans, ["5"]) == written
    words = ["A", "dog", "5."]
    best = kept.restored(
        translation(words, np.eye(3, len(written.split()) + 1), written.split()), sentence, spans, ["5"]
    )
    assert best is not None
    assert best.text == expected


def test_a_name_of_one_word_where_nouns_have_small_letters():
    assert [span.text for span in kept.find_spans("ein Hund mit Obama.", VOCABULARY, "en")] == ["Obama"]
    assert kept.find_spans("ein Hund mit Obama.", VOCABULARY, "de") == []


def test_a_placeholder_is_replaced_by_its_span():
    sentence = "Ein Hund mit Kofi Annan, 37."
    spans = kept.find_spans(sentence, VOCABULARY, "de")
    chosen = kept.placeholders(spans, VOCABULARY, VOCABULARY)[0]
    assert chosen == ["John", "3"]  # the second of the pool for the second span
    written = kept.with_placeholders(sentence, spans, chosen)
    assert written == "Ein Hund mit John, 3."
    attention = [[1, 0, 0, 0, 0, 0], [0, 0, 0, 1, 0, 0], [0, 0, 0, 0, 0.9, 0.1], [0, 0.8, 0, 0, 0.2, 0]]
    found = translation(["A", "John,", "3.", "3"], attention, written.split())
    best = kept.restored(found, sentence, spans, chosen)
    assert best is not None
    assert best.text == "A Kofi Annan, 37. 3"
    assert best.kept == [Kept("Kofi Annan", 3, 1, "placeholder"), Kept("37", 5, 3, "placeholder")]
    assert best.source_words == sentence.split()
    assert best.attention.shape == (5, 7)
    np.testing.assert_allclose(best.attention.sum(axis=1), 1)
    np.testing.assert_allclose(best.attention[1:3, 3:5], 0.5)
    assert best.probabilities.tolist() == [0, 0.1, 0.1, 0.2, 0.3]
    assert kept.restored(translation(["A"], attention[:1], written.split()), sentence, spans, chosen) is None
    assert kept.lost(spans, best) == []


def test_without_a_placeholder_the_word_with_the_most_attention_is_replaced():
    spans = kept.find_spans("mit 37 drei", VOCABULARY, "de")
    found = translation(
        ["with", "boys,", "x"], [[1, 0, 0, 0], [0.1, 0.8, 0.1, 0], [0, 0.3, 0.7, 0]], ["mit", "37", "drei"]
    )
    best = kept.restored(found, "mit 37 drei", spans, None)
    assert best is not None
    assert (best.text, best.kept) == ("with 37, x", [Kept("37", 1, 1, "attention")])
    unsure = dataclasses.replace(found, attentions=[np.array([[1, 0, 0, 0], [0, 0.4, 0.6, 0], [0, 0.3, 0.7, 0]])])
    best = kept.restored(unsure, "mit 37 drei", spans, None)
    assert best is not None
    assert (best.text, best.words, best.attention.shape) == ("with 37 boys, x", ["with", "37", "boys,", "x"], (4, 4))
    assert kept.restored(translation([], np.zeros((0, 4)), ["mit", "37", "drei"]), "mit 37 drei", spans, None) is None


def test_a_span_is_lost_unless_it_occurs_by_itself_as_often():
    spans = kept.find_spans("5 mit 5", VOCABULARY, "de")
    for text, count in (("5 5", 0), ("5 boys", 1), ("15 5.5", 2)):
        assert len(kept.lost(spans, translation(text.split(), np.zeros((2, 4)), []))) == count


def test_sentences_are_joined_best_first():
    one = translation(["a"], [[0.5, 0.5]], ["x"])
    two = translation(["b", "c"], [[1, 0, 0], [0, 0, 1]], ["y", "z"])
    worse = dataclasses.replace(two, text="d c", score=-2.0, log_prob=-3.0)
    best, second = joined([[one], [two, worse]], " ")
    assert (best.text, best.score, best.log_prob, second.text) == ("a b c", -1.0, -2.0, "a d c")
    assert (best.words, best.source_words) == (["a", "b", "c"], ["x", "y", "z"])
    np.testing.assert_allclose(best.attention, [[0.5, 0, 0, 0.5], [0, 1, 0, 0], [0, 0, 0, 1]])
    assert best.alignment == [(0, 0), (1, 1)]
    better = dataclasses.replace(two, text="e", score=5.0)  # without a value that the first one keeps
    assert [each.text for each in joined([[one], [two, better]], " ")] == ["a b c", "a e"]
    assert joined([[one]], " ")[0] is one
    assert joined([[one], [two]], "")[0].text == "ab c"


def test_many_sentences_are_joined_by_the_best_sums_of_scores():
    parts = [[translation([f"w{i}"], [[1, 0]], ["x"])] for i in range(2000)]
    parts[1] *= 2
    for i in (7, 1500):
        parts[i].append(dataclasses.replace(parts[i][0], text="bad", score=-1.0 - i))
    began = time.process_time()
    best, second = joined(parts, " ")
    assert time.process_time() - began < 5  # minutes if each sentence joined a translation
    assert best.text == second.text == " ".join(f"w{i}" for i in range(2000))
    assert best.alignment == [(i, i) for i in range(2000)]
    parts[1].pop()
    best, second = joined(parts, " ")
    assert second.text.split().index("bad") == 7
    assert (best.score, second.score) == (pytest.approx(-1000), pytest.approx(-1007.5))


def test_a_sentence_in_capitals_has_a_translation_in_capitals():
    found = translation(["a", "Dog"], [[1, 0], [1, 0]], ["Hund"])
    assert as_written(found, "HUND").text == "A DOG"
    assert (as_written(found, "hund").text, as_written(found, "hund").source_words) == ("a Dog", ["hund"])


def test_long_texts_and_words_take_no_quadratic_time():
    began = time.process_time()
    assert len(split_sentences("word word? " * 20_000, "en")) == 20_000
    assert kept.find_spans("a." * 100_000, VOCABULARY, "en") == []
    assert time.process_time() - began < 5  # a minute in quadratic time
