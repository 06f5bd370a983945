"""What is copied from sentences; streets are those of the sentence's own language."""

import pytest

from tests.tasks.translator.conftest import found

STREETS = {
    "en": ["221B Baker Street, London NW1 6XE", "1600 Pennsylvania Avenue NW, Washington, DC 20500", "12 Oak St."],
    "de": ["Lindenweg 3, 10115 Berlin", "Karl-Marx-Allee 12b", "Berliner Straße 5", "Goethestr. 7"],
    "fr": ["12 bis rue de la Paix, 75002 Paris", "5 place d'Italie", "3 rue de la gare"],
}


def test_a_long_number_that_is_no_telephone_number_takes_no_time():
    code = "0" * 400 + "x"
    assert found(code, "en", "de") == [(code, code)]


@pytest.mark.parametrize("language", STREETS)
def test_streets_of_the_language_of_the_sentence(language):
    target = "de" if language == "en" else "en"
    for street in STREETS[language]:
        assert (street, street) in found(f"x {street}", language, target)
    for other in {*STREETS} - {language}:
        for street in STREETS[other]:
            assert all(text not in street or text.isalnum() for text, _ in found(street, language, target))


@pytest.mark.parametrize(
    ("sentence", "language", "expected"),
    [
        ("During 2020 and among 30 people.", "en", ["2020", "30"]),
        ("In 2020 Wall Street fell.", "en", ["2020"]),
        ("The US 40 years, the EU 270, NASA 5.", "en", ["40", "270", "5"]),
        ("My flight LH 452, AB 123 cars.", "en", ["LH 452", "123"]),
        ("Das Monitoring 2020, Sitzplatz 12, Auf Platz 3.", "de", ["2020", "12", "3"]),
        ("Rückweg 20 Minuten, Umweg 3 km.", "de", ["20", "3 km"]),
        ("1 place de cinéma, 3 places.", "fr", ["1", "3"]),
        ("ICH BIN 250 UND M-AB 123.", "de", ["250", "123"]),
        ("IBAN DE89 3704 0044 0532 0130 00", "de", ["DE89 3704 0044 0532 0130 00"]),
        ("4111 1111 1111 1111, +1 (555) 123-4567, 01 23 45 67 89", "fr",
         ["4111 1111 1111 1111", "+1 (555) 123-4567", "01 23 45 67 89"]),
        ("a.b@c.org, www.x.org/a?b=1. #summer 24/7 Covid-19 F-16", "en",
         ["a.b@c.org", "www.x.org/a?b=1", "#summer", "24/7", "19", "F-16"]),
    ],
)  # fmt: skip
def test_what_is_an_address_or_a_code(sentence, language, expected):
    assert [text for text, _ in found(sentence, language, "de" if language == "en" else "en")] == expected
