"""How numbers, dates, times and prices of a sentence are written in the language of its translation."""

import pytest

from tasks.translator.conventions import find_values, localised
from tests.tasks.translator.conftest import found


@pytest.mark.parametrize(
    ("text", "source", "target", "first"),
    [
        ("1.234,50", "de", "en", "1,234.50"),
        ("1,234.50", "en", "fr", "1 234,50"),
        ("1 234 567", "fr", "de", "1.234.567"),
        ("2026", "deu", "eng", "2026"),
        ("12.50", "de", "en", "12.50"),  # no German number
        ("1.5", "en", "de", "1,5"),
        ("37%", "en", "de", "37 %"),
        ("37 Prozent", "de", "en", "37%"),
        ("0,5 pour cent", "fr", "en", "0.5%"),
        ("12,50€", "de", "en", "€12.50"),
        ("$1,200", "en", "fr", "1 200 $"),
        ("20 euros", "fr", "de", "20 €"),
        ("3,5 km", "de", "en", "3.5 km"),
        ("-3,5 °C", "de", "en", "-3.5 °C"),
        ("31.12.2026", "de", "en", "31 December 2026"),
        ("1. März 1999", "de", "fr", "1er mars 1999"),
        ("1er mars 1999", "fr", "de", "1. März 1999"),
        ("March 1st, 1999", "en", "de", "1. März 1999"),
        ("03/04/2026", "fr", "en", "3 April 2026"),
        ("12/31/2026", "en", "de", "31.12.2026"),
        ("14:30 Uhr", "de", "en", "2:30 p.m."),
        ("12:05 a.m.", "en", "de", "0:05 Uhr"),
        ("2 pm", "en", "fr", "14 h"),
        ("14h30", "fr", "de", "14:30 Uhr"),
        ("14:30", "en", "de", "14:30"),
        ("3rd", "en", "de", "3."),
    ],
)
def test_values_are_written_as_in_the_language_of_the_translation(text, source, target, first):
    assert localised(text, source, target)[0] == first


@pytest.mark.parametrize(
    ("text", "source", "target"),
    [
        ("3/4/2026", "en", "de"),  # the day might be the month
        ("31.13.2026", "de", "en"),
        ("25:70 Uhr", "de", "en"),
        ("25 pm", "en", "de"),
        ("192.168.100.200", "de", "en"),
        ("3.11.2", "en", "de"),
        ("2026-12-31", "de", "en"),
        ("A380", "de", "en"),
        ("+49 30 1234567", "de", "en"),
        ("12,50", "es", "en"),
        ("12,50", "de", "de"),
    ],
)
def test_anything_else_stays_as_it_is(text, source, target):
    assert localised(text, source, target) == (text,)


def test_all_forms_are_accepted():
    assert localised("1.234", "de", "en") == ("1,234", "1234")
    assert localised("3.11", "en", "de") == ("3,11", "3.11")  # it may be a version
    assert localised("9:15 Uhr", "de", "fr") == ("9 h 15", "9h15", "9:15", "09:15", "09 h 15", "9 heures 15")


@pytest.mark.parametrize("language", ["es", "nl", "ru"])
def test_a_sentence_in_another_language_has_no_phrases_of_these(language):
    sentence = "um 10 am, 3 Mai 2026, 5 km, 20 Uhr, 5 Mill Lane, 12 rue des Lilas, 2 h."
    assert [text for text, _ in found(sentence, language, "en")] == ["10", "3", "2026", "5", "20", "5", "12", "2"]


def test_into_another_language_only_what_is_copied_has_several_words():
    sentence = "It is 2:30 p.m. on 3 May at 5 Mill Lane, +49 30 12345."
    texts = [text for text, _ in found(sentence, "en", "es")]
    assert texts == ["2:30", "3", "5 Mill Lane", "+49 30 12345"]


def test_a_part_of_a_sentence_is_read_beside_the_rest():
    sentence = "I use Python 3.11, not 3.5 km."
    assert [(value.start, value.forms) for value in find_values(sentence, "en", "de", 13, 18)] == [(13, ("3.11",))]
    assert [value.forms[0] for value in find_values(sentence, "en", "de", 23, 26)] == ["3,5"]
