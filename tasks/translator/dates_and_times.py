"""Dates, times of the day and durations in a sentence, and their forms in another language.

    English   May 3rd, 2026   3-5 May   12/31/2026   2:30 p.m.   9-11 am   3 o'clock   14:30
    German    3. Mai 2026   21. Januar   1.5.2024   8:30 Uhr   9–17 Uhr   24 Uhr   halb 3
    French    1er mai 2026   14 juillet   01/05/2024   14 h 30   à 14 heures   pendant 2 h

The rules are like those of `amounts`.
"""

import re

from tasks.translator.amounts import DASH, END, START, UNIT_FOLLOWS, Match, Rule, before
from tasks.translator.forms import (
    MONTHS,
    Forms,
    clock_forms,
    date_forms,
    duration_forms,
    folded,
    named_date_forms,
    range_forms,
)

LONGEST_RANGE = 6  # forms of each end of a range of times
CENTURY = 69  # the first year of two digits that is one of the last century, as in POSIX

_SHORT_MONTHS = {
    "en": ("Jan", "Feb", "Mar", "Apr", "", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec", "Sept"),
    "de": ("Jan", "Feb", "Mär", "Apr", "", "Jun", "Jul", "Aug", "Sep", "Okt", "Nov", "Dez", "Sept"),
    "fr": ("janv", "févr", "", "avr", "", "", "juil", "", "sept", "oct", "nov", "déc", ""),
}
_MONTH_INDICES = {
    language: {
        name.casefold(): 9 if i == 12 else i + 1
        for names in (MONTHS[language], _SHORT_MONTHS[language])
        for i, name in enumerate(names)
        if name
    }
    for language in MONTHS
}
_MONTH_INDICES["de"] |= {"jänner": 1, "feber": 2}


def _month(language: str) -> str:
    short = [name for name in _SHORT_MONTHS[language] if name]
    full = [name for name in _MONTH_INDICES[language] if name not in map(str.casefold, short)]
    return rf"(?P<month>(?i:{'|'.join(full)})(?!\w)|(?i:{'|'.join(sorted(short, key=len, reverse=True))})(?!\w)\.?)"


def _date(year: str, month: str, day: str, target: str) -> Forms:
    """The forms of a date in figures; () if there is none."""
    number = int(year) + (0 if len(year) == 4 else 1900 if int(year) >= CENTURY else 2000)
    return date_forms(int(day), int(month), number, target) if 1 <= int(month) <= 12 and 1 <= int(day) <= 31 else ()


def _of_english_figures(match: Match, target: str) -> Forms:
    first, second = int(match[1]), int(match[2])
    if not (1 <= min(first, second) <= 12 < max(first, second) <= 31):
        return ()  # the day might be the month
    words, *figures = _date(match[3], str(min(first, second)), str(max(first, second)), target)
    return (*figures, words)


_BEFORE_GERMAN_DAY = re.compile(r"(?i:\b(?:am|vom|zum|bis|den|dem|der|des|ab|seit|und|oder)) $")
_BEFORE_FRENCH_DAY = re.compile(r"(?i:\b(?:le|du|au|dès|depuis le|et le)) $")


def _of_day_first(match: Match, target: str) -> Forms:
    """A date in figures; one with a year of two digits may be a version, unless the word before is that of a date."""
    forms = _date(match["year"], match["month"], match["day"], target)
    if len(match["year"]) == 4 or match["mark"] == "/" or _BEFORE_GERMAN_DAY.search(before(match)):
        return forms
    return (match[0], *forms) if forms and len(match[0]) == 8 else ()


def _of_day_and_month(match: Match, target: str) -> Forms:
    """A date in figures without a year, which might be another number unless the word before is that of a date."""
    pattern = _BEFORE_GERMAN_DAY if match[0].endswith(".") else _BEFORE_FRENCH_DAY
    day, month = int(match[1]), int(match[2])
    is_date = pattern.search(before(match)) and 1 <= day <= 31 and 1 <= month <= 12
    return named_date_forms((day,), month, "", "", target) if is_date else ()


def _of_named_date(language: str, match: Match, target: str) -> Forms:
    """A date with the name of its month, of one day or of several."""
    found = match.groupdict()
    name, year = found["month"].rstrip("."), found["year"] or ""
    if language == "en" and not year:
        is_small = name in ("may", "march", "mar")  # other words
        if is_small or match[0].startswith("Jan "):  # a person
            return ()
    days = tuple(int(re.sub(r"\D", "", day)) for day in (found["first"], found["day"]) if day)
    if not all(1 <= day <= 31 for day in days):
        return ()
    month = _MONTH_INDICES[language][folded(name)]
    forms = named_date_forms(days, month, year, found["dash"] or "", target)
    usual = date_forms(days[0], month, int(year), target) if year and len(days) == 1 else ()
    return (*usual, *forms)


def _named_date_rules(language: str) -> tuple[Rule, ...]:
    day = {"en": r"\d{1,2}(?:st|nd|rd|th)?", "de": r"\d{1,2}\.", "fr": r"(?:1er|\d{1,2})"}[language]
    first = r"\d{1,2}\.?" if language == "de" else day
    days = rf"(?:(?P<first>{first})(?P<dash> ?{DASH} ?))?(?P<day>{day})"
    month, of, comma = _month(language), "(?: of)?" if language == "en" else "", ",?" if language == "en" else ""
    spaced = " ?" if language == "de" else " "
    patterns = [rf"{START}{days}{of}{spaced}{month}(?:{comma} (?P<year>\d{{4}}))?(?![\w@])"]
    if language == "en":
        patterns.append(
            rf"(?<!\w){month} (?:the )?{days}(?:,? (?P<year>\d{{4}}))?(?![\w@])(?![.,:/-]\d){UNIT_FOLLOWS['en']}"
        )

    def forms(match: Match, target: str) -> Forms:
        return _of_named_date(language, match, target)

    return tuple((re.compile(pattern), forms) for pattern in patterns)


# Words of a sentence in which an hour up to 11 is one of the second half of the day, and of the first.
_LATE = re.compile(r"(?i:\b(?:afternoon|evening|tonight|nachmittags?|abends?|après-midi|soir(?:ée)?))\b")
_EARLY = re.compile(r"(?i:\b(?:morning|morgens|vormittags?|früh|matin(?:ée)?))\b")
_NIGHT = re.compile(r"(?i:\b(?:at night|nachts?|nuit))\b")
_NEAR = re.compile(r"[^\d,;]{0,25}")  # after a time, in which such a word belongs to it
_FAR = 200  # characters before and after it that are its sentence


def _hour_of_day(hour: str, match: Match) -> str:
    """An hour that may be one of twelve, as one of 24: by words just after the time, else before it, else after it."""
    number, sentence = int(hour), match.string
    near = _NEAR.match(sentence, match.end())
    for text in (
        near[0] if near else "",
        sentence[max(0, match.start() - _FAR) : match.start()],
        sentence[match.end() : match.end() + _FAR],
    ):
        if _EARLY.search(text):
            return hour
        if _NIGHT.search(text):
            return str({10: 22, 11: 23, 12: 0}.get(number, number))
        if _LATE.search(text):
            return str(number + 12) if 1 <= number <= 11 else hour
    return hour


def _clock(hour: str, minute: str | None, half: str | None = None) -> tuple[int, int] | None:
    """Hour and minute, if they are a time of the day; `half` is "a" or "p", of the day."""
    time = int(hour), int(minute or 0)
    if half:
        is_afternoon = half.lower() == "p"
        if time[0] == 12 or (time[0] < 12 and is_afternoon):
            time = time[0] % 12 + 12 * is_afternoon, time[1]
        elif time[0] > 12 and not is_afternoon:
            return None
    return time if time <= (24, 0) else None


def _time_forms(first: tuple[int, int] | None, last: tuple[int, int], dash: str | None, target: str) -> Forms:
    """The forms of a time, or of the range from a first to a last one."""
    forms = clock_forms(*last, target)
    if first is None:
        return forms
    starts = [form.removesuffix(" Uhr") for form in clock_forms(*first, target)[:LONGEST_RANGE]]
    if target == "en" and (first[0] < 12) == (last[0] < 12):
        starts += [re.sub(r" [ap]\.?m\.?$", "", form) for form in starts]
    return range_forms(tuple(dict.fromkeys(starts)), forms[:LONGEST_RANGE], dash or "", target)


def _of_english_time(match: Match, target: str) -> Forms:
    last = _clock(match["hour"], match["minute"], match["half"])
    if last is None:
        return ()
    if not match["first"]:
        return _time_forms(None, last, None, target)
    half = match["first_half"] or match["half"]
    if not match["first_half"] and int(match["first"]) % 12 > int(match["hour"]) % 12:
        half = "a" if match["half"] in "pP" else "p"  # 11-2 pm
    first = _clock(match["first"], match["first_minute"], half)
    return _time_forms(first, last, match["dash"], target) if first else ()


def _of_oclock(match: Match, target: str) -> Forms:
    hour = int(match[1])
    if not 1 <= hour <= 12:
        return ()
    known = int(_hour_of_day(match[1], match))
    other = (hour % 12 + 12,) if known == hour and hour < 12 else ()  # it may be in the afternoon
    return tuple(form for each in (known, *other) for form in clock_forms(each, 0, target))


def _of_german_time(match: Match, target: str) -> Forms:
    if match["unit"] == "h" and not re.search(r"\b(?:[Uu]m|[Gg]egen) $", before(match)):
        return ()  # a duration
    last = _clock(_hour_of_day(match["hour"], match), match["minute"] or match["minutes"])
    first = _clock(_hour_of_day(match["first"], match), match["first_minute"]) if match["first"] else None
    if last is None or (match["first"] and first is None):
        return ()
    return _time_forms(first, last, match["dash"], target)


_HOURS_IN_WORDS = {
    "en": ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    "fr": ("une", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf", "dix", "onze", "douze"),
}


def _of_half(match: Match, target: str) -> Forms:
    """German "halb 3", which is half past two."""
    if not 1 <= int(match[1]) <= 12:
        return ()
    hour = (int(match[1]) - 1) or 12
    word = _HOURS_IN_WORDS[target][hour - 1]
    later = clock_forms(hour % 12 + 12, 30, target)  # it may be in the afternoon
    if target == "en":
        return (f"{hour}:30", f"half past {hour}", f"half past {word}", *clock_forms(hour % 12, 30, "en"), *later)
    heures = "heure" if hour == 1 else "heures"
    return (*clock_forms(hour, 30, "fr"), f"{word} {heures} et demie", f"{hour} {heures} et demie", *later)


# Words beside French hours that are a time of the day, and beside those that are a duration; others leave it open.
_AT = re.compile(
    r"(?i:\b(?:à|a|vers|dès|jusqu['\u2019]à|est|était|sera|entre|avant|après|midi|partir de|autour de|alentours de))"
    r" (?:environ )?$"
)
_FOR = re.compile(
    r"(?i:\b(?:pendant|durant|en|dans|depuis|toutes les|chaque|les|ces|des|encore|quelques|fait|font|faut|faudra|mis"
    r"|met|mettre|reste|pris|d['\u2019]ici|il y a|(?:dur|dorm|attend|travaill|march|roul|pass|prend|nag|jou|parl)\w*"
    r"|(?:moins|plus|près|durée|bout|trajet|voyage|vol|retard|avance|journée|sommeil|semaine) de)) (?:environ )?$"
)
_LENGTH_FOLLOWS = re.compile(
    r" (?:d['\u2019]|de (?!l['\u2019]après|la nuit|la matinée)[a-zà-ÿ]|plus tard|par (?:jour|semaine|nuit|mois)|sur \d)"
)


def _of_french_hours(match: Match, target: str) -> Forms:
    """A time of the day, or a duration: "à 14 h", "pendant 2 h"."""
    minutes = match["minute"] or match["minutes"]
    is_length = _LENGTH_FOLLOWS.match(match.string, match.end()) and int(match["hour"]) <= 12
    is_clock = _AT.search(before(match)) and not is_length
    is_length = not is_clock and bool(is_length or int(match["hour"]) > 23 or _FOR.search(before(match)))
    if "eure" in match[0] and not is_clock:
        return ()  # the number alone
    last = None if is_length else _clock(_hour_of_day(match["hour"], match), minutes)
    clock: Forms = ()
    if last and match["first"]:
        first = _clock(_hour_of_day(match["first"], match), match["first_minute"])
        return _time_forms(first, last, match["dash"], target) if first else ()
    if last:
        clock = _time_forms(None, last, None, target)
    if is_clock or match["first"]:
        return clock
    return (*clock, *duration_forms((match["hour"],), minutes or "", target))


def _of_digits(match: Match, target: str) -> Forms:
    """Hours and minutes without a word, which may stay."""
    first, last = (_clock(*time.split(":")) if time else None for time in (match["first"], match["last"]))
    if last is None or (match["first"] and first is None):
        return ()
    written = range_forms((match["first"],), (match["last"],), match["dash"], target) if first else (match["last"],)
    later = (last[0] + 12, last[1]) if not first and 1 <= last[0] < 12 else None
    return (*written, *_time_forms(first, last, match["dash"], target), *(clock_forms(*later, target) if later else ()))


def _from_to(first: str, last: str) -> re.Pattern[str]:
    """A pattern of a time, or of the range from a first to a last one."""
    return re.compile(rf"{START}(?:{first}(?P<dash> ?{DASH} ?))?{last}")


_DIGITS = r"\d{1,2}:[0-5]\d"
_FIRST, _LAST = r"(?P<first>\d{1,2})", r"(?P<hour>\d{1,2})"
_FIRST_MINUTE, _MINUTE = r"(?:[:.](?P<first_minute>[0-5]\d))?", r"(?:[:.](?P<minute>[0-5]\d))?"
_HALF = r"(?i:(?P<{}>[ap])(?:\.[ ]?m\.|\.?m(?!\w)))"
_FRENCH_FIRST = rf"{_FIRST}(?: ?(?:h|heures?)(?: ?(?P<first_minute>[0-5]\d))?)?"
_FRENCH_LAST = rf"{_LAST} ?(?:[hH](?: ?(?P<minute>[0-5]\d))?|heures?(?: (?P<minutes>[0-5]\d))?){END}"
_GERMAN_MINUTES = r"(?: (?P<minutes>[0-5]\d)(?!\w| [A-ZÄÖÜ]|[.,:/]\d))?"  # 8 Uhr 30, not 8 Uhr 30 Leute

_ANY: tuple[Rule, ...] = ((_from_to(rf"(?P<first>{_DIGITS})", rf"(?P<last>{_DIGITS})(?!:){END}"), _of_digits),)
_RULES: dict[str, tuple[Rule, ...]] = {
    "en": (
        (re.compile(rf"{START}(\d{{1,2}})/(\d{{1,2}})/(\d{{4}}|\d\d){END}"), _of_english_figures),
        (
            _from_to(
                rf"{_FIRST}{_FIRST_MINUTE}(?: ?{_HALF.format('first_half')})?",
                rf"{_LAST}{_MINUTE} ?{_HALF.format('half')}",
            ),
            _of_english_time,
        ),
        (re.compile(rf"{START}(\d{{1,2}}) o['\u2019]clock(?!\w)"), _of_oclock),
    ),
    "de": (
        (
            re.compile(rf"{START}(?P<day>\d{{1,2}})(?P<mark>\.) ?(?P<month>\d{{1,2}})\. ?(?P<year>\d{{4}}|\d\d){END}"),
            _of_day_first,
        ),
        (re.compile(rf"{START}(\d{{1,2}})\.(\d{{1,2}})\.(?!\w)"), _of_day_and_month),
        (
            _from_to(
                rf"{_FIRST}{_FIRST_MINUTE}(?: ?(?:(?i:Uhr)|h))?",
                rf"{_LAST}{_MINUTE} ?(?P<unit>(?i:Uhr)|h)(?!\w){_GERMAN_MINUTES}",
            ),
            _of_german_time,
        ),
        (re.compile(r"(?<!\w)(?i:halb) (\d{1,2})(?: Uhr)?(?!\w|[.,:/-]\d)"), _of_half),
    ),
    "fr": (
        (
            re.compile(
                rf"{START}(?P<day>\d{{1,2}})(?P<mark>[/.-])(?P<month>\d{{1,2}})(?P=mark)"
                rf"(?P<year>\d{{4}}|(?<=/)\d\d){END}"
            ),
            _of_day_first,
        ),
        (re.compile(rf"{START}(\d{{1,2}})/(\d{{1,2}}){END}"), _of_day_and_month),
        (_from_to(_FRENCH_FIRST, _FRENCH_LAST), _of_french_hours),
    ),
}


def rules(language: str) -> tuple[Rule, ...]:
    """The rules of a language."""
    return (*_RULES[language], *_named_date_rules(language), *_ANY)
