"""Values that a translation must copy or write by the rules of its language: drawn at random, in all their forms.

    number 12,345   decimal 3.5   percent 12%   price €4.50   date 3 May 2026   time 2:30 p.m.   quantity 3.5 km
    phone +49 30 1234567   e-mail   web   address 12 rue des Lilas, 69003 Lyon   name   code LH 452

Names of people, firms and streets are made of syllables; no real person has them but by chance.
"""

import random
from collections.abc import Callable

from tasks.translator.forms import (
    LANGUAGES,
    UNITS,
    Forms,
    date_forms,
    number_forms,
    percent_forms,
    price_forms,
    quantity_forms,
    time_forms,
)

Value = dict[str, Forms]  # by language

_ONSETS = (
    "b", "br", "d", "dr", "f", "fl", "g", "gr", "h", "j", "k", "kl", "l", "m", "n", "p", "r", "s", "sch", "st", "t",
    "tr", "v", "w", "z",
)  # fmt: skip
_VOWELS = ["a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "ei", "ou"]
_CODAS = ["", "", "", "l", "n", "r", "s", "t", "nd", "rk", "ll", "ck"]
_ENDINGS = ["", "er", "o", "a", "ini", "son", "sen", "ov", "ez", "ard", "y", "ek", "mann", "eau"]
_GIVEN = (
    "Anna", "Ben", "Carla", "David", "Elena", "Felix", "Gina", "Hugo", "Ida", "Jonas", "Karin", "Leo", "Mina", "Nils",
    "Olga", "Paul", "Rita", "Sven", "Tara", "Udo", "Vera", "Yara",
)  # fmt: skip
_DOMAINS = ("com", "org", "net", "de", "fr", "co.uk", "eu", "info", "io")
_WORDS = ("info", "contact", "office", "service", "mail", "shop", "team", "hello", "post", "support")
_PAGES = ("news", "help", "page", "product", "article", "blog", "search", "index.html", "docs", "img")
_STREETS = {  # before or after the words below, in the names of streets
    "en": ("Oak", "Maple", "Church", "Mill", "Park", "High", "Station", "Rose", "Hill", "Bridge", "Lake", "Green"),
    "de": ("Linden", "Birken", "Kirch", "Mühlen", "Park", "Haupt", "Bahnhof", "Rosen", "Berg", "Brücken", "Garten"),
    "fr": ("des Lilas", "du Moulin", "de l'Église", "de la Gare", "des Roses", "du Parc", "du Pont", "du Lac"),
}
_WAYS = {
    "en": ("Street", "Road", "Avenue", "Lane", "Drive"),
    "de": ("straße", "weg", "allee", "gasse", "platz"),
    "fr": ("rue", "avenue", "place", "chemin", "boulevard"),
}
_CITIES = {
    "en": ("Leeds", "Boston", "Bristol", "Denver", "Oxford", "Dallas", "Cardiff", "Seattle"),
    "de": ("Berlin", "Hamburg", "Leipzig", "Bonn", "Kassel", "Bremen", "Essen", "Rostock"),
    "fr": ("Lyon", "Nantes", "Paris", "Bordeaux", "Rennes", "Toulouse", "Reims", "Grenoble"),
}
_FILES = ("pdf", "txt", "jpg", "docx", "xlsx", "zip", "csv", "png")
_CAPITALS = "ABCDEFGHJKLMNPRSTUVWXYZ"


def draw(kind: str, rng: random.Random) -> Value:
    """A value of a kind of `KINDS`."""
    return _DRAWN[kind](rng)


def _copied(text: str) -> Value:
    return dict.fromkeys(LANGUAGES, (text,))


def _digits(rng: random.Random, count: int) -> str:
    """A number of that many digits, the first of which is not 0."""
    return str(rng.randrange(10 ** (count - 1), 10**count))


def _any_digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices("0123456789", k=count))


def _syllables(rng: random.Random, count: int) -> str:
    return "".join(rng.choice(part) for _ in range(count) for part in (_ONSETS, _VOWELS, _CODAS))


def invented_name(rng: random.Random) -> str:
    """A word that nobody has seen, with a capital letter."""
    return f"{_syllables(rng, rng.choice((1, 2, 2)))}{rng.choice(_ENDINGS)}".capitalize()


def _number(rng: random.Random) -> Value:
    digits = _digits(rng, rng.choice((2, 2, 3, 3, 4, 4, 5, 5, 6, 7, 8)))
    is_grouped = len(digits) > 3 and rng.random() < 0.7
    return {language: _written(digits, "", is_grouped, language) for language in LANGUAGES}


def _written(digits: str, decimals: str, is_grouped: bool, language: str) -> Forms:
    """The one form of a number with or without marks between thousands."""
    return number_forms(digits, decimals, is_grouped, language)[:1]


def _decimal(rng: random.Random) -> Value:
    digits, decimals = rng.choice(("0", _digits(rng, 1), _digits(rng, 2), _digits(rng, 3))), _any_digits(rng, 2)
    decimals = decimals[: rng.choice((1, 2))]
    return {language: _written(digits, decimals, False, language) for language in LANGUAGES}


def _small(rng: random.Random) -> Value:
    """A number of up to three digits, every third with decimals."""
    return _decimal(rng) if rng.random() < 0.35 else _copied(_digits(rng, rng.choice((1, 2, 2, 3))))


def _percent(rng: random.Random) -> Value:
    return {language: percent_forms(forms, language) for language, forms in _small(rng).items()}


def _price(rng: random.Random) -> Value:
    symbol, digits = rng.choice("€€€$$£"), str(rng.randrange(2, 10 ** rng.choice((1, 2, 3, 4, 5))) + 1)
    cents = _any_digits(rng, 2) if rng.random() < 0.5 else ""
    numbers = {language: _written(digits, cents, len(digits) > 3, language) for language in LANGUAGES}
    return {language: price_forms(forms, symbol, language) for language, forms in numbers.items()}


def _date(rng: random.Random) -> Value:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1900, 2060)
    if rng.random() < 0.15:
        return _copied(f"{year}-{month:02}-{day:02}")
    return {language: tuple(dict.fromkeys(date_forms(day, month, year, language))) for language in LANGUAGES}


def _time(rng: random.Random) -> Value:
    hour, minute = rng.randrange(24), rng.choice((0, 15, 30, 45, rng.randrange(60), rng.randrange(60)))
    return {language: tuple(dict.fromkeys(time_forms(hour, minute, language))) for language in LANGUAGES}


def _quantity(rng: random.Random) -> Value:
    unit = rng.choice(UNITS)
    sign = "-" if unit == "°C" and rng.random() < 0.3 else ""
    values = {language: quantity_forms(forms, unit) for language, forms in _small(rng).items()}
    return {language: tuple(f"{sign}{form}" for form in forms) for language, forms in values.items()}


def _phone(rng: random.Random) -> Value:
    d = _any_digits
    return _copied(
        rng.choice((
            f"+49 {_digits(rng, rng.choice((2, 3)))} {_digits(rng, rng.choice((6, 7, 8)))}",
            f"0{_digits(rng, 3)} {_digits(rng, 7)}", f"0{_digits(rng, 2)}/{_digits(rng, 6)}",
            f"0{_digits(rng, 3)}-{_digits(rng, 7)}",
            f"({_digits(rng, 3)}) {_digits(rng, 3)}-{d(rng, 4)}", f"{_digits(rng, 3)}-{d(rng, 4)}",
            f"+1 {_digits(rng, 3)} {_digits(rng, 3)} {d(rng, 4)}",
            f"0{rng.randint(1, 9)} " + " ".join(d(rng, 2) for _ in range(4)),
            f"+33 {rng.randint(1, 9)} " + " ".join(d(rng, 2) for _ in range(4)),
            f"+44 20 {d(rng, 4)} {d(rng, 4)}",
        ))
    )  # fmt: skip


def _site(rng: random.Random) -> str:
    name = _syllables(rng, rng.choice((1, 2, 2)))
    if rng.random() < 0.25:
        name = f"{name}-{_syllables(rng, 1)}"
    return f"{name}.{rng.choice(_DOMAINS)}"


def _e_mail(rng: random.Random) -> Value:
    name = rng.choice((
        rng.choice(_WORDS), _syllables(rng, 2), f"{rng.choice(_GIVEN).lower()}.{_syllables(rng, 2)}",
        f"{_syllables(rng, 1)}_{_syllables(rng, 1)}", f"{_syllables(rng, 1)}{_digits(rng, rng.choice((1, 2, 4)))}",
    ))  # fmt: skip
    return _copied(f"{name}@{_site(rng)}")


def _web(rng: random.Random) -> Value:
    start = rng.choice(("www.", "https://", "https://www.", "http://", ""))
    path = "".join(
        f"/{rng.choice((rng.choice(_PAGES), _syllables(rng, 1), _digits(rng, 3)))}"
        for _ in range(rng.choice((0, 0, 1, 1, 2)))
    )
    query = f"?{rng.choice(('id', 'q', 'p', 'lang'))}={rng.choice((_digits(rng, 2), _syllables(rng, 1)))}"
    return _copied(f"{start}{_site(rng)}{path}{query * (bool(path) and rng.random() < 0.3)}")


def _address(rng: random.Random) -> Value:
    language = rng.choice(LANGUAGES)
    name, way, city = (rng.choice(table[language]) for table in (_STREETS, _WAYS, _CITIES))
    if rng.random() < 0.4:  # a name that is no word
        name = invented_name(rng)
    house = f"{rng.randint(1, 250)}{rng.choice(('', '', '', 'a', 'b'))}"
    if language == "en":
        letters, figures = "".join(rng.choices(_CAPITALS, k=4)), _digits(rng, 2)
        code = f"{letters[:2]}{figures[0]} {figures[1]}{letters[2:]}" if rng.random() < 0.5 else _digits(rng, 5)
        street, place = f"{house} {name} {way}", f"{city} {code}"
    elif language == "de":
        street, place = f"{name}{way} {house}", f"{_digits(rng, 5)} {city}"
    else:
        street, place = f"{house} {way} {name}", f"{_digits(rng, 5)} {city}"
    return _copied(f"{street}, {place}" if rng.random() < 0.7 else street)


def _name(rng: random.Random) -> Value:
    given = rng.choice(_GIVEN) if rng.random() < 0.5 else invented_name(rng)
    middle = f" {rng.choice(_CAPITALS)}." if rng.random() < 0.05 else ""
    return _copied(given + middle + " " + invented_name(rng) if rng.random() < 0.8 else invented_name(rng))


def _code(rng: random.Random) -> Value:
    letters = "".join(rng.choices(_CAPITALS, k=rng.choice((1, 2, 3))))
    d = _digits
    return _copied(
        rng.choice((
            f"{letters}-{d(rng, rng.choice((2, 3, 4, 5)))}", f"{letters} {d(rng, rng.choice((3, 4)))}",
            f"{letters}{d(rng, rng.choice((1, 2, 3)))}", f"#{d(rng, rng.choice((3, 4, 6)))}",
            f"{d(rng, 1)}.{rng.randrange(30)}.{rng.randrange(20)}", f"v{d(rng, 1)}.{rng.randrange(20)}.{d(rng, 1)}",
            ".".join(str(rng.randrange(256)) for _ in range(4)),
            f"{_syllables(rng, 2)}.{rng.choice(_FILES)}", f"{_syllables(rng, 1)}_{d(rng, 4)}.{rng.choice(_FILES)}",
            "".join(rng.choice(_CAPITALS + "23456789") for _ in range(rng.randint(5, 9))) + d(rng, 1),
            f"{letters}-{rng.choice(_CAPITALS)} {d(rng, 4)}", f"@{_syllables(rng, 2)}", f"#{_syllables(rng, 2)}",
        ))
    )  # fmt: skip


_DRAWN: dict[str, Callable[[random.Random], Value]] = {
    "number": _number, "decimal": _decimal, "percent": _percent, "price": _price, "date": _date, "time": _time,
    "quantity": _quantity, "phone": _phone, "e-mail": _e_mail, "web": _web, "address": _address, "name": _name,
    "code": _code,
}  # fmt: skip
KINDS = tuple(_DRAWN)
