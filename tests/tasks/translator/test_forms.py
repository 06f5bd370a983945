"""How numbers, dates, times and prices are written in a language, and where a form occurs."""

from tasks.translator.forms import (
    are_known,
    clock_forms,
    duration_forms,
    named_date_forms,
    occurrence,
    ordinal,
    ordinal_forms,
    price_forms,
    scaled_price_forms,
)


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


def test_ordinals_in_words():
    assert ordinal_forms(3, "de") == ("3.", "dritte", "dritter", "dritten", "drittes", "drittem", "3")
    assert ordinal_forms(1, "fr") == ("1er", "1re", "1ère", "premier", "première", "1")
    assert ordinal_forms(21, "en") == ("21st", "21")


def test_one_and_more():
    assert "1 euro" in price_forms(("1",), "€", "en")
    assert "2 euros" in price_forms(("2",), "€", "en")
    assert scaled_price_forms(("1",), 6, "€", "de")[0] == "1 Million Euro"
    assert scaled_price_forms(("1,5",), 6, "€", "de")[0] == "1,5 Millionen Euro"
    assert scaled_price_forms(("1,5",), 6, "€", "fr")[0] == "1,5 million d'euros"
    assert scaled_price_forms(("2",), 9, "$", "fr")[0] == "2 milliards de dollars"
    assert duration_forms(("1",), "", "de")[0] == "1 Stunde"


def test_dates_and_times_in_less_usual_forms():
    assert {"3 May", "May 3rd", "3rd of May"} <= {*named_date_forms((3,), 5, "", "", "en")}
    assert named_date_forms((1, 4), 5, "2026", "-", "fr")[0] == "1er-4 mai 2026"
    assert {"3 p.m.", "3:00 PM", "3pm"} <= {*clock_forms(15, 0, "en")}
    assert "3 o'clock" in clock_forms(3, 0, "en")
    assert [clock_forms(24, 0, language)[0] for language in ("en", "de", "fr")] == ["midnight", "24 Uhr", "minuit"]
