"""How numbers, dates, times and prices of a sentence are written in the language of its translation."""

import pytest

from tasks.translator.conventions import are_known, localised, occurrence, ordinal


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
        ("13 pm", "en", "de"),
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
    assert localised("9:15 Uhr", "de", "fr") == ("9 h 15", "9h15", "9:15", "09:15")


def test_a_form_occurs_by_itself():
    assert occurrence("1 234").search("Il y en a 1\u202f234.")
    for text in ("11", "1.5", "1,234", "@1", "a1"):
        assert not occurrence("1").search(text)
    assert occurrence("2:30 p.m.").search("It is 2:30 p.m.")


def test_english_ordinals():
    assert [ordinal(number) for number in (1, 2, 3, 4, 11, 12, 13, 21, 112)] == [
        "1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "112th"
    ]  # fmt: skip


def test_languages_that_are_known():
    assert are_known("deu", "en")
    assert not are_known("de", "ger")
    assert not are_known("de", "es")
