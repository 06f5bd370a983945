"""Dates, times and durations of sentences, and their first form in another language."""

import pytest

from tasks.translator.conventions import localised
from tests.tasks.translator.conftest import found

CASES = {
    "de>en": [
        ("Ich gehe um 10 am Ball vorbei.", [("10", "10")]),
        ("Er kommt am 21. Januar.", [("21. Januar", "21 January")]),
        ("Am 1.5.2024 um 8:30 Uhr.", [("1.5.2024", "1 May 2024"), ("8:30 Uhr", "8:30 a.m.")]),
        ("Am 1.5. und am 01.05.24.", [("1.5.", "1 May"), ("01.05.24", "1 May 2024")]),
        ("Version 9.6.10 von 3.11.", [("9.6.10", "9.6.10"), ("3.11", "3.11")]),
        ("Vom 3.\u20135. Mai 2026.", [("3.\u20135. Mai 2026", "3\u20135 May 2026")]),
        ("Bis 24 Uhr, ab 0 Uhr.", [("24 Uhr", "midnight"), ("0 Uhr", "12 a.m.")]),
        ("Von 9\u201317 Uhr.", [("9\u201317 Uhr", "9 a.m.\u20135 p.m.")]),
        ("Um 8 Uhr 30 oder halb 3.", [("8 Uhr 30", "8:30 a.m."), ("halb 3", "2:30")]),
        ("Um 3 Uhr nachmittags, um 3 Uhr nachts.", [("3 Uhr", "3 p.m."), ("3 Uhr", "3 a.m.")]),
        ("Heute Abend um 8 Uhr.", [("8 Uhr", "8 p.m.")]),
        ("Um 14 h, in 2 h.", [("14 h", "2 p.m."), ("2 h", "2 hours")]),
        ("Um 25:70 Uhr.", [("25:70", "25:70")]),
    ],
    "en>de": [
        ("See you at 13:30 pm.", [("13:30 pm", "13:30 Uhr")]),
        ("At 2 p.m. or 2:30pm.", [("2 p.m.", "14 Uhr"), ("2:30pm", "14:30 Uhr")]),
        ("Open 9-11 am, 11-2 pm.", [("9-11 am", "9-11 Uhr"), ("11-2 pm", "11-14 Uhr")]),
        ("Meet at 3 o'clock this evening.", [("3 o'clock", "15 Uhr")]),
        ("On May 3rd and Dec. 25, 2026.", [("May 3rd", "3. Mai"), ("Dec. 25, 2026", "25. Dezember 2026")]),
        ("March 5 km, you may 3 times.", [("5 km", "5 km"), ("3", "3")]),
        ("Give Jan 3 apples on 3/4/2026.", [("3", "3"), ("3/4/2026", "3/4/2026")]),
    ],
    "fr>en": [
        ("Il a dormi pendant 2 h.", [("2 h", "2 hours")]),
        ("Il arrive dans 2 h 30.", [("2 h 30", "2 hours 30 minutes")]),
        ("Il part à 2 h, vers 14h30.", [("2 h", "2 a.m."), ("14h30", "2:30 p.m.")]),
        ("C'est à 2 h de route.", [("2 h", "2 hours")]),
        ("Il travaille 8 h par jour, 48 h.", [("8 h", "8 hours"), ("48 h", "48 hours")]),
        ("À 14 heures, pendant 3 heures.", [("14 heures", "2 p.m."), ("3", "3")]),
        ("Ce soir à 8 h, à 3 h du matin.", [("8 h", "8 p.m."), ("3 h", "3 a.m.")]),
        ("Ouvert 9h-17h le 14/07.", [("9h-17h", "9 a.m.-5 p.m."), ("14/07", "14 July")]),
        ("Le 1er mai et le 14 juil. 2026.", [("1er mai", "1 May"), ("14 juil. 2026", "14 July 2026")]),
    ],
}


@pytest.mark.parametrize(
    ("direction", "sentence", "expected"),
    [(direction, sentence, expected) for direction, cases in CASES.items() for sentence, expected in cases],
)
def test_dates_and_times(direction, sentence, expected):
    assert found(sentence, *direction.split(">")) == expected


def test_an_hour_that_is_open_has_the_forms_of_both():
    assert {"3:30 Uhr", "15:30 Uhr"} <= {*localised("3:30", "en", "de")}
    assert {"3 Uhr", "15 Uhr"} <= {*localised("3 o'clock", "en", "de")}
    assert {"2 a.m.", "2 hours"} <= {*localised("2 h", "fr", "en")}
    assert {"2:30", "half past two", "2:30 p.m."} <= {*localised("halb 3", "de", "en")}
