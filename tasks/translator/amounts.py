"""Numbers, ordinals, percentages, prices and quantities in a sentence, and their forms in another language.

    1,234.5   10–12   1990–1995   21st   1980s   37%   $5-10   €3.5 million   $5m   -5 °C   5-10 km   2 h

Each language has patterns of its own. A rule is a pattern and a function from its match and the target language to the
forms of the value, which are () if the match is none.
"""

import re
from collections.abc import Callable

from tasks.translator.forms import (
    CURRENCIES,
    CURRENCY_CODES,
    DECIMAL,
    UNITS,
    Forms,
    coded_price_forms,
    decade_forms,
    duration_forms,
    folded,
    number_forms,
    ordinal_forms,
    percent_forms,
    price_forms,
    quantity_forms,
    range_forms,
    scaled_price_forms,
    signed_forms,
)

Match = re.Match[str]
Rule = tuple[re.Pattern[str], Callable[[Match, str], Forms]]

# Where a number may begin and end: not within a word, another number or an address.
START = r"(?<![\w@#&=])(?<!\d[-\u2013\u2014.,:/'\u2019])"
END = r"(?![\w@²³])(?![.,:/'\u2019-]\d|\u2013\d)"
DASH = r"[-\u2013\u2014]"
_SIGN = r"(?P<sign>[-+\u2212]?)"
_SYMBOLS = r"(?:US)?\$|[€£¥]"
_BEFORE = rf"(?P<before>{_SYMBOLS}|{'|'.join(CURRENCY_CODES)})"

_GROUPED = {  # digits in groups of three
    "en": r"\d{1,3}(?:,\d{3})+",
    "de": r"\d{1,3}(?:\.\d{3})+|\d{1,3}(?:['\u2019]\d{3})+",
    "fr": r"\d{1,3}(?: \d{3})+",
}
# Groups between spaces, where the language has another mark: "5 200" may be two numbers.
_SPACED = r"\d{1,3}(?: \d{3}){2,}|\d{1,3}(?: \d{3})* 000"
_DECIMALS = {language: rf"(?:{re.escape(mark)}\d+)?" for language, mark in DECIMAL.items()}
_NUMBER = {
    language: rf"(?:{_SPACED}|{grouped}|\d+){_DECIMALS[language]}(?!\d)" for language, grouped in _GROUPED.items()
}
_PARTS = {
    language: re.compile(rf"({_SPACED}|{grouped}|\d+)(?:{re.escape(DECIMAL[language])}(\d+))?")
    for language, grouped in _GROUPED.items()
}
_ADDRESS = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.|$)){4}")  # of a computer: four numbers up to 255

# Words of currencies and of "percent" after a number; "livres" are books.
_WORDS = {
    "en": {
        "percent": "%", "per cent": "%", "euro": "€", "euros": "€", "dollar": "$", "dollars": "$", "US dollars": "US$",
        "pounds": "£", "yen": "¥",
    },
    "de": {
        "Prozent": "%", "Euro": "€", "Euros": "€", "Dollar": "$", "Dollars": "$", "US-Dollar": "US$", "Pfund": "£",
        "Yen": "¥",
    },
    "fr": {
        "pour cent": "%", "euro": "€", "euros": "€", "d'euros": "€", "d\u2019euros": "€", "dollar": "$", "dollars": "$",
        "de dollars": "$", "yens": "¥", "de yens": "¥",
    },
}  # fmt: skip
_HOURS = {"en": ("h", "hrs", "hr"), "de": ("h", "Std.", "Std"), "fr": ("h",)}
_MORE_UNITS = (
    "µm", "nm", "m²", "km²", "cm²", "m³", "cm³", "ha", "mg", "t", "cl", "dl", "hl", "m/s", "mph", "min", "s", "ms",
    "Wh", "MWh", "mAh", "kW", "MW", "GW", "V", "Hz", "kHz", "MHz", "GHz", "kB", "MB", "GB", "TB", "Mbit/s", "MB/s",
    "dB", "hPa", "kcal", "kJ", "°F", "ppm",
)  # fmt: skip
# Powers of ten after a number, and letters for them, which need a currency before or after.
_SCALES = {
    "en": {
        "thousand": 3, "million": 6, "billion": 9, "trillion": 12, "k": 3, "m": 6, "mn": 6, "b": 9, "bn": 9, "tn": 12,
    },
    "de": {
        "tausend": 3, "tsd": 3, "million": 6, "millionen": 6, "mio": 6, "milliarde": 9, "milliarden": 9, "mrd": 9,
        "billion": 12, "billionen": 12,
    },
    "fr": {
        "mille": 3, "million": 6, "millions": 6, "milliard": 9, "milliards": 9, "billion": 12, "billions": 12, "k": 3,
        "m": 6, "md": 9, "mds": 9,
    },
}  # fmt: skip
_SCALE = {
    "en": r" (?i:thousand|[mbt]r?illion)(?!\w)|(?(before) ?(?i:k|mn?|bn?|tn)(?!\w)|(?!))",
    "de": r" (?i:Tausend|Tsd|Million(?:en)?|Mio|Milliarden?|Mrd|Billion(?:en)?)(?!\w)\.?",
    "fr": rf" (?i:mille|millions?|milliards?|billions?)(?!\w)| ?(?:k|M|Mds?)(?= ?(?:{_SYMBOLS}))",
}


def any_of(words: tuple[str, ...]) -> str:
    """A pattern of any of these words, the longest first."""
    return "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))


_AFTER = {  # a unit, whose letters are as they are, or a word in any case
    language: (
        rf"(?:{_SYMBOLS}|%|{'|'.join(CURRENCY_CODES)}|{any_of((*UNITS, *_MORE_UNITS, *hours))}|°[ ]?[CF]"
        rf"|(?i:{any_of(tuple(_WORDS[language]))}))(?![\w'\u2019²³])"
    )
    for language, hours in _HOURS.items()
}
UNIT_FOLLOWS = {language: rf"(?! ?{after})" for language, after in _AFTER.items()}


def _number_forms(text: str, source: str, target: str, is_thousands: bool = False) -> Forms:
    """The forms of a number of a sentence; () for what is none."""
    match = _PARTS[source].fullmatch(text)
    if not match or _ADDRESS.fullmatch(text):
        return ()
    digits, decimals = re.sub(r"\D", "", match[1]), match[2] or ""
    if is_thousands:
        thousands = (digits + decimals[:3].ljust(3, "0")).lstrip("0") or "0"
        return number_forms(thousands, decimals[3:], True, target)
    if digits[0] == "0" and len(digits) > 1:  # of a telephone number or a code
        return (text,)
    return number_forms(digits, decimals, digits != match[1], target)


def _value_forms(text: str, source: str, target: str, is_thousands: bool = False) -> Forms:
    """The forms of a number, or of a range from one number to another; () for what is neither."""
    first, *rest = re.split(rf"( ?{DASH} ?)", text)
    ends = [_number_forms(number, source, target, is_thousands) for number in (first, *rest[1::2])]
    if not all(ends) or len(ends) > 2:
        return ()
    return range_forms(ends[0], ends[1], rest[0], target) if rest else ends[0]


# A number with a decimal point after these is a version or a section, which stays. So it does after a name, a word with
# a capital letter, unless that has it at the beginning of a sentence alone.
_NUMBERED = re.compile(
    r"(?:\b(?i:version|release|build|section|chapter|part|step|level|table|figure|fig\.|equation|article|paragraph|page"
    r"|exercise|question|item|appendix|room|channel|firmware|kernel|no\.|v\.?)"
    r"|\b(?!(?:A|About|Above|Add|After|All|Almost|Another|Around|At|Before|Below|Between|But|By|Divide|Each|Every|Exactly"
    r"|For|From|Give|Had|Has|I|If|In|Is|It|Its|Just|Make|Multiply|Nearly|Of|On|Only|Or|Over|Roughly|Since|Some|Subtract"
    r"|Take|That|The|Then|These|This|To|Under|Until|Use|Was|We|With|You)\b)[A-Z][\w+#.]*"
    r"|\b[a-z]+[A-Z]\w*) (?:\d[\d.]*(?:,| and| or| to| and up to|,? and) )*$"
)
_COUNTED = re.compile(
    r" (?:hundred|thousand|[mbt]r?illion|times|hours?|minutes?|seconds?|days?|weeks?|months?|years?|miles?|feet|inch\w*"
    r"|stars?|points?|percent\w*|people|lit(?:er|re)s?|met(?:er|re)s?|pounds?|ounces?|gallons?)\b"
)
LOOK_BACK = 60  # characters of a sentence before a match that are looked at


def before(match: Match) -> str:
    """The end of the sentence before a match."""
    return match.string[max(0, match.start() - LOOK_BACK) : match.start()]


def _is_version(match: Match) -> bool:
    if re.match(r" (?:release|version|update)\b", match.string[match.end() :]):
        return True
    return bool(_NUMBERED.search(before(match))) and not _COUNTED.match(match.string, match.end())


def _number_rule(source: str) -> Rule:
    """A number or a range, alone or before letters: "18-jährig", "2mal"."""
    number = rf"{_NUMBER[source]}(?:{DASH}{_NUMBER[source]})?"

    def forms(match: Match, target: str) -> Forms:
        has_point = DECIMAL[source] == "." and "." in match["number"]
        if has_point and _is_version(match):
            return (match[0],)
        values = signed_forms(match["sign"], _value_forms(match["number"], source, target), target)
        # "3.11" of an English sentence may still be a version or a section.
        return (*values, match[0]) if has_point and values and "," not in match["number"] else values

    return re.compile(rf"{START}{_SIGN}(?P<number>{number})(?:{END}|(?=[^\W\d_]{{3,}}(?!\w)))"), forms


def _amount_rule(source: str) -> Rule:
    """A percentage, a price or a quantity: a number or a range, with what is before or after it."""
    number = rf"{_NUMBER[source]}(?: ?{DASH} ?(?:{_SYMBOLS})?{_NUMBER[source]})?"
    words = {folded(word): symbol for word, symbol in _WORDS[source].items()}

    def forms(match: Match, target: str) -> Forms:
        scale = match["scale"] and _SCALES[source][folded(match["scale"].strip(" ."))]
        text = re.sub(_SYMBOLS, "", match["number"])
        numbers = _value_forms(text, source, target, is_thousands=scale == 3)
        if not numbers:
            return ()
        unit = match["before"] or match["after"]
        unit = words.get(folded(unit), unit)
        if scale and scale > 3:
            if unit not in CURRENCIES:
                return ()
            found = scaled_price_forms(numbers, scale, unit, target)
        elif unit in CURRENCIES:
            found = price_forms(numbers, unit, target)
            if unit == "£" and match["after"] not in (None, "£"):  # "pounds" may be a weight, in all languages
                found = tuple(sorted(found, key=lambda form: "£" in form))
        elif unit in CURRENCY_CODES:
            found = coded_price_forms(numbers, unit, target)
        elif scale:
            return ()
        elif unit == "%":
            found = percent_forms(numbers, target)
        elif unit in _HOURS[source]:
            found = duration_forms(numbers, "", target)
        else:
            found = quantity_forms(numbers, unit.replace("° ", "°"))
        return signed_forms(match["sign"], found, target)

    return re.compile(
        rf"{START}{_SIGN}(?:{_BEFORE} ?)?(?P<number>{number})(?P<scale>{_SCALE[source]})?"
        rf"(?(before){END}|[ ]?(?P<after>{_AFTER[source]}))"
    ), forms


def _of_ordinal(match: Match, target: str) -> Forms:
    return ordinal_forms(int(match[1]), target)


# Words before a German ordinal; without one, "3." may end a sentence, or begin an entry of a list.
_BEFORE_ORDINAL = re.compile(
    r"(?i:\b(?:der|die|das|dem|den|des|am|im|zum|zur|vom|beim|ins|eine?[mnrs]?|jede[mnrs]?|k?eine?[mnrs]?|diese[mnrs]?"
    r"|(?:[mds]ein|ihr|unser|eue?r)(?:e[mnrs]?)?|und|oder|bis)) $"
)


def _of_german_ordinal(match: Match, target: str) -> Forms:
    sentence, number = match.string, int(match[1])
    if match[0] == sentence or _BEFORE_ORDINAL.search(before(match)):
        return ordinal_forms(number, target)
    following = sentence[match.end() + 1 : match.end() + 2]
    if match.start() == 0 and following.isupper():  # an entry of a list, or a title
        return (match[0], *ordinal_forms(number, target))
    return ordinal_forms(number, target) if following.islower() else ()


def _of_decade(match: Match, target: str) -> Forms:
    return decade_forms(match[1], target)


_ORDINALS: dict[str, tuple[Rule, ...]] = {
    "en": (
        (re.compile(rf"{START}(\d+)(?i:st|nd|rd|th)(?!\w)"), _of_ordinal),
        (re.compile(rf"{START}(\d{{2}}|\d{{3}}0)['\u2019]?s(?!\w)"), _of_decade),
    ),
    "de": (
        (re.compile(rf"{START}(\d{{1,3}})\.(?=$|[\"”“»)]*$| [^\W\d_])"), _of_german_ordinal),
        (re.compile(rf"{START}(\d0|\d{{3}}0)er(?:-Jahren?)?(?!\w)"), _of_decade),
    ),
    "fr": ((re.compile(rf"{START}(\d+)(?:ers?|ères?|res?|èmes?|emes?|ièmes?|es?|nde?s?)(?!\w)"), _of_ordinal),),
}


def rules(language: str) -> tuple[Rule, ...]:
    """The rules of a language."""
    return (*_ORDINALS[language], _amount_rule(language), _number_rule(language))
