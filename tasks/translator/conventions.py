"""How English, German and French write numbers, dates, times and prices, and what of it a translation must change.

    English       German        French
    1,234.5       1.234,5       1 234,5
    37%           37 %          37 %
    €12.50        12,50 €       12,50 €
    2:30 p.m.     14:30 Uhr     14 h 30
    3 May 2026    3. Mai 2026   3 mai 2026

A form is one way of writing a value. The first form of a value is the one that translations have.
"""

import re
from collections.abc import Callable

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
}
UNITS = ("km/h", "km", "cm", "mm", "m", "kg", "g", "kWh", "°C", "ml", "l", "W")  # alike in all languages
_SYMBOLS = {  # of words after a number; "pounds" and "livres" are also weights, and books
    "percent": "%", "per cent": "%", "Prozent": "%", "pour cent": "%", "euros": "€", "Euro": "€", "Euros": "€",
    "dollars": "$", "Dollar": "$", "Dollars": "$",
}  # fmt: skip
# What may follow a number, for patterns with re.VERBOSE.
AFTER_NUMBER = "|".join(re.escape(word) for word in (*"%€$£", *_SYMBOLS, *UNITS))
_THOUSANDS = {"en": ",", "de": ".", "fr": " "}
_DECIMAL = {"en": ".", "de": ",", "fr": ","}
_GROUPED = {language: re.compile(rf"\d{{1,3}}(?:{re.escape(sign)}\d{{3}})+") for language, sign in _THOUSANDS.items()}


def are_known(source: str, target: str) -> bool:
    """Whether these are two different languages of `LANGUAGES`, by any of their codes."""
    languages = {primary_language(source), primary_language(target)}
    return len(languages) == 2 and languages <= {*LANGUAGES}


def occurrence(form: str) -> re.Pattern[str]:
    """Finds a form by itself, not as a part of a word, number or address; any space stands for any other."""
    spaced = r"\s".join(map(re.escape, form.split(" ")))
    return re.compile(rf"(?<![\w@/])(?<!\d[.,]){spaced}(?![\w@/])(?![.,]\d)")


def number_forms(digits: str, decimals: str, is_grouped: bool, language: str) -> Forms:
    """A number of digits before the decimal mark, and after it if there are some.

    >>> number_forms("1234", "5", True, "de"), number_forms("1234", "", False, "de")
    (('1.234,5', '1234,5'), ('1234', '1.234'))
    """
    fraction = f"{_DECIMAL[language]}{decimals}" if decimals else ""
    plain, grouped = f"{digits}{fraction}", f"{_grouped(digits, _THOUSANDS[language])}{fraction}"
    return tuple(dict.fromkeys((grouped, plain) if is_grouped else (plain, grouped)))


def _grouped(digits: str, sign: str) -> str:
    first = len(digits) % 3
    return sign.join([digits[:first]] * bool(first) + [digits[i : i + 3] for i in range(first, len(digits), 3)])


def percent_forms(numbers: Forms, language: str) -> Forms:
    """A percentage of a number that is given in its forms."""
    spaced, close = ([f"{number}{space}%" for number in numbers] for space in (" ", ""))
    words = {"en": "percent", "de": "Prozent", "fr": "pour cent"}[language]
    return (*(close + spaced if language == "en" else spaced + close), *(f"{number} {words}" for number in numbers))


def price_forms(numbers: Forms, symbol: str, language: str) -> Forms:
    """An amount of a currency, from the forms of its number."""
    name = CURRENCIES[symbol][language]
    before, after = [f"{symbol}{number}" for number in numbers], [f"{number} {symbol}" for number in numbers]
    close, words = [f"{number}{symbol}" for number in numbers], [f"{number} {name}" for number in numbers]
    return (*before, *words, *close, *after) if language == "en" else (*after, *words, *close)


def quantity_forms(numbers: Forms, unit: str) -> Forms:
    """An amount of a unit of `UNITS`, from the forms of its number."""
    return tuple(f"{number}{space}{unit}" for space in (" ", "") for number in numbers)


def date_forms(day: int, month: int, year: int, language: str) -> Forms:
    """A date; English ones in figures are left out if their day might be the month."""
    name = MONTHS[language][month - 1]
    if language == "de":
        return f"{day}. {name} {year}", f"{day}.{month}.{year}", f"{day:02}.{month:02}.{year}"
    if language == "fr":
        return f"{'1er' if day == 1 else day} {name} {year}", f"{day:02}/{month:02}/{year}", f"{day}/{month}/{year}"
    words = f"{day} {name} {year}", f"{name} {day}, {year}", f"{name} {ordinal(day)}, {year}"
    return words if day <= 12 else (*words, f"{day}/{month:02}/{year}", f"{month}/{day}/{year}")


def ordinal(number: int) -> str:
    """The English form: 1st, 2nd, 3rd, 4th, 11th."""
    ending = "th" if 10 < number % 100 < 14 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


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


# What is recognised in a sentence of a language: a pattern, and the forms of its match in the language of the target.
_Rule = tuple[re.Pattern[str], Callable[[re.Match[str], str], Forms]]


def _of_date(match: re.Match[str], target: str) -> Forms:
    day, month, year = map(int, match.groups())
    return date_forms(day, month, year, target) if 1 <= month <= 12 and 1 <= day <= 31 else ()


def _of_named_date(match: re.Match[str], target: str) -> Forms:
    found = match.groupdict()
    names = [name.casefold() for names in MONTHS.values() for name in names]
    month = names.index(found["month"].casefold()) % 12 + 1
    day = int(found["day"])
    return date_forms(day, month, int(found["year"]), target) if 1 <= day <= 31 else ()


def _of_english_date(match: re.Match[str], target: str) -> Forms:
    first, second, year = map(int, match.groups())
    if not (1 <= min(first, second) <= 12 < max(first, second) <= 31):
        return ()  # the day might be the month
    numeric = date_forms(max(first, second), min(first, second), year, target)
    return (*numeric[1:], numeric[0])


def _of_time(match: re.Match[str], target: str) -> Forms:
    hour, minute, half = int(match[1]), int(match[2] or 0), (match.groupdict().get("half") or "").lower()
    if half:
        if not 1 <= hour <= 12:
            return ()
        hour = hour % 12 + 12 * (half == "p")
    return time_forms(hour, minute, target) if hour < 24 and minute < 60 else ()


def _of_ordinal(match: re.Match[str], target: str) -> Forms:
    number = match[1]
    forms = {
        "en": (ordinal(int(number)),),
        "de": (f"{number}.",),
        "fr": ("1er", "1re", "1ère") if number == "1" else (f"{number}e", f"{number}ème"),
    }
    return (*forms[target], number)


_MONTH = {language: f"(?P<month>{'|'.join(names)})" for language, names in MONTHS.items()}
_DAY, _YEAR = r"(?P<day>\d{1,2})", r"(?P<year>\d{4})"
NAMED_DATES = {  # with the name of the month
    "en": (f"{_DAY}(?:st|nd|rd|th)? {_MONTH['en']},? {_YEAR}", f"{_MONTH['en']} {_DAY}(?:st|nd|rd|th)?,? {_YEAR}"),
    "de": (rf"{_DAY}\. {_MONTH['de']} {_YEAR}",),
    "fr": (f"{_DAY}(?:er)? {_MONTH['fr']} {_YEAR}",),
}
_DIGITS_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_RULES: dict[str, tuple[_Rule, ...]] = {
    "en": (
        (re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})"), _of_english_date),
        *((re.compile(pattern), _of_named_date) for pattern in NAMED_DATES["en"]),
        (re.compile(r"(\d{1,2})(?:[:.](\d{2}))? ?(?P<half>[aApP])\.?[mM]\.?"), _of_time),
        (re.compile(r"(\d+)(?:st|nd|rd|th)"), _of_ordinal),
    ),
    "de": (
        (re.compile(r"(\d{1,2})\.(\d{1,2})\.(\d{4})"), _of_date),
        *((re.compile(pattern), _of_named_date) for pattern in NAMED_DATES["de"]),
        (re.compile(r"(\d{1,2})(?:[:.](\d{2}))? Uhr"), _of_time),
    ),
    "fr": (
        (re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})"), _of_date),
        *((re.compile(pattern), _of_named_date) for pattern in NAMED_DATES["fr"]),
        (re.compile(r"(\d{1,2}) ?h(?: ?(\d{2}))?"), _of_time),
        (re.compile(r"(\d+)(?:er|re|ère|e|ème)"), _of_ordinal),
    ),
}  # fmt: skip
_NUMBER = {
    language: re.compile(rf"({pattern.pattern}|\d+)(?:{re.escape(_DECIMAL[language])}(\d+))?")
    for language, pattern in _GROUPED.items()
}
_WITH_SYMBOL = re.compile(rf"([€$£]?) ?(\d.*?) ?({AFTER_NUMBER}|)")
_ADDRESS = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.|$)){4}")  # of a computer: four numbers up to 255


def localised(text: str, source: str, target: str) -> Forms:
    """The forms that a translation may have of a number, date, time or price of a sentence; the best one first.

    What no rule knows, such as an address, a version or a date whose day might be its month, stays as it is.

    >>> localised("1.234,50", "de", "en"), localised("3.11.2", "en", "de")
    (('1,234.50', '1234.50'), ('3.11.2',))
    """
    if not are_known(source, target):
        return (text,)
    source, target = primary_language(source), primary_language(target)
    if text[0] in "-\u2212" and text[1:2].isdigit():
        return tuple(f"{text[0]}{form}" for form in localised(text[1:], source, target))
    for pattern, forms in _RULES[source]:
        if (match := pattern.fullmatch(text)) and (found := forms(match, target)):
            return tuple(dict.fromkeys(found))
    if match := _DIGITS_TIME.fullmatch(text):
        return tuple(dict.fromkeys((text, *time_forms(int(match[1]), int(match[2]), target))))
    match = _WITH_SYMBOL.fullmatch(text)
    numbers = _number(match[2], source, target) if match else ()
    if not match or not numbers or (match[1] and match[3]):
        return (text,)
    symbol = match[1] or _SYMBOLS.get(match[3], match[3])
    if symbol in CURRENCIES:
        return price_forms(numbers, symbol, target)
    if symbol == "%":
        return percent_forms(numbers, target)
    return quantity_forms(numbers, symbol) if symbol else numbers


def _number(text: str, source: str, target: str) -> Forms:
    """The forms of a number in the language of the target; () for what is none."""
    match = _NUMBER[source].fullmatch(text)
    if not match or _ADDRESS.fullmatch(text):
        return ()
    digits, decimals = re.sub(r"\D", "", match[1]), match[2] or ""
    forms = number_forms(digits, decimals, digits != match[1], target)
    # "3.11" of an English sentence may be a version or a section, which stays.
    return (*forms, text) if source == "en" and decimals and digits == match[1] else forms
