"""How English, German and French write numbers, dates, times and prices.

    English       German          French
    1,234.5       1.234,5         1 234,5
    37%           37 %            37 %
    €12.50        12,50 €         12,50 €
    $5 million    5 Millionen $   5 millions de dollars
    3.5 km        3,5 km          3,5 km
    2:30 p.m.     14:30 Uhr       14 h 30
    3 May 2026    3. Mai 2026     3 mai 2026
    21st          21.             21e

A form is one way of writing a value. The first form of a value is the one that translations have; the others are
accepted.
"""

import re
from itertools import product

from shared.languages import primary_language

LANGUAGES = ("en", "de", "fr")
Forms = tuple[str, ...]

MONTHS = {
    "en": (
        "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
        "December",
    ),
    "de": (
        "Januar", "Februar", "März", "April", "Mai", "Juni", "Juli", "August", "September", "Oktober", "November",
        "Dezember",
    ),
    "fr": (
        "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre",
        "décembre",
    ),
}  # fmt: skip
CURRENCIES = {  # symbol -> names of an amount other than one
    "€": {"en": "euros", "de": "Euro", "fr": "euros"},
    "$": {"en": "dollars", "de": "Dollar", "fr": "dollars"},
    "£": {"en": "pounds", "de": "Pfund", "fr": "livres"},
    "¥": {"en": "yen", "de": "Yen", "fr": "yens"},
    "US$": {"en": "US dollars", "de": "US-Dollar", "fr": "dollars américains"},
}
CURRENCY_CODES = {"EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥", "CHF": ""}  # and their symbols
UNITS = ("km/h", "km", "cm", "mm", "m", "kg", "g", "kWh", "°C", "ml", "l", "W")  # alike in all languages
SCALES = {  # power of ten -> names of one and of more, and short ones
    6: {
        "en": ("million", "million", "m", "M"), "de": ("Million", "Millionen", "Mio."),
        "fr": ("million", "millions", "M"),
    },
    9: {
        "en": ("billion", "billion", "bn", "B"), "de": ("Milliarde", "Milliarden", "Mrd."),
        "fr": ("milliard", "milliards", "Md"),
    },
    12: {"en": ("trillion", "trillion", "tn"), "de": ("Billion", "Billionen", "Bio."), "fr": ("billion", "billions")},
}  # fmt: skip
THOUSANDS = {"en": ",", "de": ".", "fr": " "}
DECIMAL = {"en": ".", "de": ",", "fr": ","}
_HOURS = {"en": ("hours", "h", "hrs"), "de": ("Stunden", "h", "Std."), "fr": ("heures", "h")}
_TO = {"en": "to", "de": "bis", "fr": "à"}
_MINUS = {"en": "minus", "de": "minus", "fr": "moins"}
_ORDINALS = {  # in words, from 1 on; of German without their endings
    "en": (
        "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh",
        "twelfth",
    ),
    "de": (
        "erst", "zweit", "dritt", "viert", "fünft", "sechst", "siebt", "acht", "neunt", "zehnt", "elft", "zwölft",
    ),
    "fr": (
        "premier", "deuxième", "troisième", "quatrième", "cinquième", "sixième", "septième", "huitième", "neuvième",
        "dixième", "onzième", "douzième",
    ),
}  # fmt: skip


def folded(text: str) -> str:
    """The text in lower case, as a pattern that ignores case compares it: with an i for ı and İ, an s for ſ."""
    return text.casefold().replace("\u0307", "").replace("\u0131", "i")


def are_known(source: str, target: str) -> bool:
    """Whether these are two different languages of `LANGUAGES`, by any of their codes."""
    languages = {primary_language(source), primary_language(target)}
    return len(languages) == 2 and languages <= {*LANGUAGES}


def occurrence(form: str) -> re.Pattern[str]:
    """Finds a form by itself, not as a part of a word, number or address; any space or apostrophe stands for others."""
    spaced = r"\s".join(map(re.escape, form.split(" "))).replace("'", "['\u2019]")
    return re.compile(rf"(?<![\w@/])(?<!\d[.,]){spaced}(?![\w@/])(?![.,]\d)")


def number_forms(digits: str, decimals: str, is_grouped: bool, language: str) -> Forms:
    """A number of digits before the decimal mark, and after it if there are some.

    >>> number_forms("1234", "5", True, "de"), number_forms("1234", "", False, "de")
    (('1.234,5', '1234,5'), ('1234', '1.234'))
    """
    fraction = f"{DECIMAL[language]}{decimals}" if decimals else ""
    plain, grouped = f"{digits}{fraction}", f"{_grouped(digits, THOUSANDS[language])}{fraction}"
    return tuple(dict.fromkeys((grouped, plain) if is_grouped else (plain, grouped)))


def _grouped(digits: str, sign: str) -> str:
    first = len(digits) % 3
    return sign.join([digits[:first]] * bool(first) + [digits[i : i + 3] for i in range(first, len(digits), 3)])


def range_forms(first: Forms, last: Forms, dash: str, language: str) -> Forms:
    """From one value to another, from the forms of both; the dash is that of the sentence.

    >>> range_forms(("5",), ("10",), "-", "de")
    ('5-10', '5–10', '5 bis 10')
    """
    dashes = dict.fromkeys((dash, "\u2013", "-", f" {_TO[language]} "))
    return tuple(f"{start}{between}{end}" for between in dashes for start, end in product(first, last))


def signed_forms(sign: str, forms: Forms, language: str) -> Forms:
    """The forms of a value after a sign, which may be ""."""
    others = ("-", "\u2212", f"{_MINUS[language]} ") if sign in ("-", "\u2212") else ()
    return tuple(f"{written}{form}" for written in dict.fromkeys((sign, *others)) for form in forms)


def percent_forms(numbers: Forms, language: str) -> Forms:
    """A percentage of a number that is given in its forms."""
    spaced, close = ([f"{number}{space}%" for number in numbers] for space in (" ", ""))
    words = {"en": "percent", "de": "Prozent", "fr": "pour cent"}[language]
    return (*(close + spaced if language == "en" else spaced + close), *(f"{number} {words}" for number in numbers))


def price_forms(numbers: Forms, symbol: str, language: str) -> Forms:
    """An amount of a currency, from the forms of its number."""
    name = CURRENCIES[symbol][language]
    if numbers[0] == "1" and language != "de":
        name = name.removesuffix("s")
    before, after = [f"{symbol}{number}" for number in numbers], [f"{number} {symbol}" for number in numbers]
    close, words = [f"{number}{symbol}" for number in numbers], [f"{number} {name}" for number in numbers]
    return (*before, *words, *close, *after) if language == "en" else (*after, *words, *close)


def coded_price_forms(numbers: Forms, code: str, language: str) -> Forms:
    """An amount of a currency that its code names, from the forms of its number."""
    before, after = [f"{code} {number}" for number in numbers], [f"{number} {code}" for number in numbers]
    symbol = CURRENCY_CODES[code]
    others = price_forms(numbers, symbol, language) if symbol else ()
    return (*before, *after, *others) if language == "en" else (*after, *before, *others)


def scaled_price_forms(numbers: Forms, power: int, symbol: str, language: str) -> Forms:
    """Millions of a currency or more, by their power of ten, from the forms of their number.

    >>> scaled_price_forms(("1,5",), 9, "€", "fr")[0]
    "1,5 milliard d'euros"
    """
    one, more, *short = SCALES[power][language]
    name = CURRENCIES[symbol][language]
    is_one = re.fullmatch(r"1(?:,\d+)?" if language == "fr" else "1", numbers[0])
    scaled = [f"{number} {one if is_one else more}" for number in numbers]
    shortened = [(number, name) for number in numbers for name in short]
    if language == "en":
        words = [*(f"{symbol}{amount}" for amount in scaled), *(f"{amount} {name}" for amount in scaled)]
        return (*words, *(f"{symbol}{number}{scale}" for number, scale in shortened))
    link = "" if language == "de" else "d'" if name[0] in "aeiou" else "de "
    words = [f"{amount} {link}{name}" for amount in scaled]
    symbols = [f"{amount} {symbol}" for amount in scaled]
    spaced = [f"{number} {scale} {unit}" for number, scale in shortened for unit in (symbol, name)]
    return (*words, *symbols, *spaced, *(f"{number} {scale}{symbol}" for number, scale in shortened))


def quantity_forms(numbers: Forms, unit: str) -> Forms:
    """An amount of a unit that is alike in all languages, from the forms of its number."""
    return tuple(f"{number}{space}{unit}" for space in (" ", "") for number in numbers)


def duration_forms(numbers: Forms, minutes: str, language: str) -> Forms:
    """Hours, from the forms of their number, and minutes, which may be "".

    >>> duration_forms(("2",), "", "en")[0], duration_forms(("2",), "30", "de")[0]
    ('2 hours', '2 Stunden 30 Minuten')
    """
    name, *short = _HOURS[language]
    if numbers[0] == "1":
        name = name[:-1]
    if not minutes:
        return tuple(f"{number} {unit}" for unit in (name, *short) for number in numbers)
    link = {"en": "and", "de": "und", "fr": "et"}[language]
    minute = "Minuten" if language == "de" else "minutes"
    long = [f"{number} {name} {between}{minutes} {minute}" for number in numbers for between in ("", f"{link} ")]
    return (*long, *(f"{number}{h}{minutes}{end}" for number in numbers for h in (" h ", "h") for end in ("", " min")))


def ordinal(number: int) -> str:
    """The English form: 1st, 2nd, 3rd, 4th, 11th."""
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def ordinal_forms(number: int, language: str) -> Forms:
    """First, second, third, and so on; small ones in words too."""
    words = _ORDINALS[language][number - 1 : number] if number else ()
    if language == "de":
        inflected = (f"{word}{ending}" for word in words for ending in ("e", "er", "en", "es", "em"))
        return (f"{number}.", *inflected, str(number))
    if language == "en":
        return (ordinal(number), *words, str(number))
    figures = ("1er", "1re", "1ère") if number == 1 else (f"{number}e", f"{number}ème")
    others = {1: ("première",), 2: ("second", "seconde")}.get(number, ())
    return (*figures, *words, *others, str(number))


def decade_forms(number: str, language: str) -> Forms:
    """The decade of a year of two or four digits."""
    return {"en": (f"{number}s",), "de": (f"{number}er", number), "fr": (number,)}[language]


def date_forms(day: int, month: int, year: int, language: str) -> Forms:
    """A date; English ones in figures are left out if their day might be the month."""
    name = MONTHS[language][month - 1]
    if language == "de":
        return f"{day}. {name} {year}", f"{day}.{month}.{year}", f"{day:02}.{month:02}.{year}"
    if language == "fr":
        return f"{'1er' if day == 1 else day} {name} {year}", f"{day:02}/{month:02}/{year}", f"{day}/{month}/{year}"
    words = f"{day} {name} {year}", f"{name} {day}, {year}", f"{name} {ordinal(day)}, {year}"
    return words if day <= 12 else (*words, f"{day}/{month:02}/{year}", f"{month}/{day}/{year}")


def named_date_forms(days: tuple[int, ...], month: int, year: str, dash: str, language: str) -> Forms:
    """A date with the name of its month: of one day or from one to another, with a year or without ("").

    >>> named_date_forms((3, 5), 5, "2026", "-", "de")[0], named_date_forms((21,), 1, "", "", "en")[0]
    ('3.-5. Mai 2026', '21 January')
    """
    name, after = MONTHS[language][month - 1], f" {year}" if year else ""

    def joined(written: list[str]) -> Forms:
        first, last = (written[0],), (written[-1],)
        return range_forms(first, last, dash, language) if len(written) > 1 else first

    if language == "en":
        figures, ordinals = joined([*map(str, days)]), joined([*map(ordinal, days)])
        comma = f", {year}" if year else ""
        return (
            *(f"{day} {name}{after}" for day in figures), *(f"{name} {day}{comma}" for day in (*figures, *ordinals)),
            *(f"{day} {of}{name}{after}" for day in ordinals for of in ("", "of ")),
            *(f"{name} {day}{after}" for day in (*figures, *ordinals)),
        )  # fmt: skip
    written = [f"{day}." if language == "de" else "1er" if day == 1 else str(day) for day in days]
    forms = tuple(f"{form} {name}{after}" for form in joined(written))
    if len(days) > 1:
        return forms
    day, mark = min(days), "." if language == "de" else "/"
    end = f"{mark}{year}" if year or language == "de" else ""
    return *forms, f"{day}{mark}{month}{end}", f"{day:02}{mark}{month:02}{end}"


def time_forms(hour: int, minute: int, language: str) -> Forms:
    """A time of the day, of 24 hours."""
    if language == "de":
        short = [f"{hour} Uhr"] * (not minute)
        return (
            *short,
            f"{hour}:{minute:02} Uhr",
            f"{hour}.{minute:02} Uhr",
            f"{hour:02}:{minute:02}",
            f"{hour}:{minute:02}",
        )
    if language == "fr":
        minutes = f"{minute:02}" if minute else ""
        return f"{hour} h {minutes}".strip(), f"{hour}h{minutes}", f"{hour}:{minute:02}", f"{hour:02}:{minute:02}"
    twelve, half = hour % 12 or 12, "a" if hour < 12 else "p"
    short = [f"{twelve} {half}.m.", f"{twelve} {half}m"] * (not minute)
    halves = f"{twelve}:{minute:02} {half}.m.", f"{twelve}:{minute:02} {half}m"
    return *short, *halves, f"{hour}:{minute:02}", f"{hour:02}:{minute:02}"


def clock_forms(hour: int, minute: int, language: str) -> Forms:
    """A time of the day up to 24:00, with the less usual forms of `time_forms`: words, capitals, without spaces.

    >>> clock_forms(24, 0, "en")[0], "12 Uhr" in clock_forms(12, 0, "de")
    ('midnight', True)
    """
    words = {"en": ("noon", "midnight"), "de": ("Mittag", "Mitternacht"), "fr": ("midi", "minuit")}[language]
    forms = time_forms(hour % 24, minute, language)
    if language == "en":
        tight = [form.replace(" ", "") for form in forms if form.endswith("m")]
        forms = (*forms, *tight, *(form.upper() for form in (*forms, *tight) if form.endswith("m")))
        if not minute and hour <= 12:
            forms = (*forms, f"{hour % 12 or 12} o'clock")
    elif language == "de":
        forms = (*forms, f"{hour} Uhr {minute}" if minute else f"{hour:02} Uhr")
    else:
        hours = "heure" if hour == 1 else "heures"
        forms = (*forms, f"{hour:02} h {minute:02}", f"{hour} {hours} {minute or ''}".strip())
    if hour == 24:
        late = {"en": ("midnight",), "de": ("24 Uhr", "24:00 Uhr"), "fr": ("minuit", "24 h", "24h")}[language]
        forms = (*late, "24:00", *forms)
    named = () if minute or hour % 12 else (words[hour % 24 == 0],)
    return tuple(dict.fromkeys((*forms, *named)))
