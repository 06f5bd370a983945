"""Numbers, ordinals, prices and quantities of sentences, and their first form in another language."""

import pytest

from tests.tasks.translator.conftest import found

CASES = {
    "en>de": [
        ("It costs $5 million.", [("$5 million", "5 Millionen Dollar")]),
        ("Only $5m or £2.5bn!", [("$5m", "5 Millionen Dollar"), ("£2.5bn", "2,5 Milliarden Pfund")]),
        ("It is $5-10, $20k.", [("$5-10", "5-10 $"), ("$20k", "20.000 $")]),
        ("About 5-10 km or 2\u20133%.", [("5-10 km", "5-10 km"), ("2\u20133%", "2\u20133 %")]),
        ("It lasted from 1990\u20131995.", [("1990\u20131995", "1990\u20131995")]),
        ("Up to 1,000-2,000 of 1.5-2.5", [("1,000-2,000", "1.000-2.000"), ("1.5-2.5", "1,5-2,5")]),
        ("A 3-year-old in the 1980s.", [("3", "3"), ("1980s", "1980er")]),
        ("It costs 5 mıllion euros, $0.5k.", [("5 mıllion euros", "5 Millionen Euro"), ("$0.5k", "500 $")]),  # noqa: RUF001
        ("Python 3.11 and 3.12 run.", [("3.11", "3.11"), ("3.12", "3.12")]),
        ("See version 2.0, section 4.2.", [("2.0", "2.0"), ("4.2", "4.2")]),
        ("About 3.5 on Monday, 2.5 miles.", [("3.5", "3,5"), ("2.5", "2,5")]),
        ("On Monday 3.5 million came.", [("3.5", "3,5")]),
        ("They ran 5 miles, 2 h, 20\u00b0 C.", [("5", "5"), ("2 h", "2 Stunden"), ("20\u00b0 C", "20 \u00b0C")]),
        ("It weighs 5 pounds.", [("5 pounds", "5 Pfund")]),
        ("In group 5 200 of 10 000.", [("5", "5"), ("200", "200"), ("10 000", "10.000")]),
    ],
    "de>en": [
        ("Etwa 10\u201312 Leute.", [("10\u201312", "10\u201312")]),
        ("Er hat 3,5 Mrd. Euro.", [("3,5 Mrd. Euro", "€3.5 billion")]),
        ("Je 5\u201310 €, 12.000,50 CHF.", [("5\u201310 €", "€5\u201310"), ("12.000,50 CHF", "CHF 12,000.50")]),
        ("Er ist der 3. Mann.", [("3.", "3rd")]),
        ("Heute ist der 21.", [("21.", "21st")]),
        ("Ich habe 21.", [("21", "21")]),
        ("Ein 18-J\u00e4hriger, 2mal.", [("18", "18"), ("2", "2")]),
        ("1. Zucker kaufen", [("1.", "1.")]),
        ("Es sind \u22123,5 °C.", [("\u22123,5 °C", "\u22123.5 °C")]),
        ("Die 90er Jahre.", [("90er", "90s")]),
        ("Das ist Python 3.11.", [("3.11", "3.11")]),
    ],
    "fr>en": [
        ("5 millions d'euros et 3 M€.", [("5 millions d'euros", "€5 million"), ("3 M€", "€3 million")]),
        ("Le 2e étage, la 1re fois, le XXe.", [("2e", "2nd"), ("1re", "1st")]),
        ("J'ai lu 5 livres à 12,50 €.", [("5", "5"), ("12,50 €", "€12.50")]),
        ("Il a mis 1,5 h et 45 min.", [("1,5 h", "1.5 hours"), ("45 min", "45 min")]),
    ],
    "de>fr": [("Der 1. Tag, 5 %, 500 Tsd. Euro.", [("1.", "1er"), ("5 %", "5 %"), ("500 Tsd. Euro", "500 000 €")])],
}  # fmt: skip


@pytest.mark.parametrize(
    ("direction", "sentence", "expected"),
    [(direction, sentence, expected) for direction, cases in CASES.items() for sentence, expected in cases],
)
def test_amounts(direction, sentence, expected):
    assert found(sentence, *direction.split(">")) == expected
