"""What a translation copies from a sentence: addresses of the web, telephone numbers, codes, and postal addresses.

    https://example.com/a?b=1   info@example.org   #summer   +49 30 12345   DE89 3704 0044 0532 0130 00   LH 452   A380
    221B Baker Street   Lindenweg 3, 10115 Berlin   12 rue des Lilas, 69003 Lyon

The patterns of streets are those of one language each: its word for a street, before or after the name.
"""

import re

_CAPITALISED = r"[A-ZÀ-Ý][\w'\u2019-]*"

_EVERYWHERE = [re.compile(pattern) for pattern in (
    r"""(?:https?://|ftp://|www\.)\S*[^\s.,;:!?)\]}"'»”]""",
    r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+",
    r"""(?:[\w-]+\.)+[a-z]{2,6}(?:/\S*[^\s.,;:!?)\]}"'»”]|(?!\w|\.\w))""",  # example.com/page, notes.txt
    r"[@#]\w[\w-]*",
    r"(?:/[\w.-]+){2,}",  # a path
    # +49 30 12345, (555) 123-4567, 01 23 45 67 89, 555 123 4567
    r"(?<![\w.,:/+-])(?:(?:\+\d{1,3}|\(?0\d{1,4}\)?|\(\d{3}\))(?:[ ]?[-/(]?\d{2,}+\)?|[ ]\d(?=[ ]\d))+(?:[ /-]\d+)*"
    r"|\+\d{6,15}|\d{3}[ .-]\d{3}[ .-]\d{4})(?!\w|[.,:]\d)",
    r"(?<!\w)[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){3,7}(?: ?[A-Z0-9]{1,3})?(?!\w)",  # of a bank account
    r"(?<![\w.,:/+-])\d{4}(?: \d{4}){2,3}(?!\w)",  # of a card
)]  # fmt: skip
_CODE = re.compile(  # M-AB 1234, and LH 452 where no word follows that it might belong to
    r"(?<![\w-])(?:[A-Z]{1,3}-[A-Z]{1,2} \d{1,4}(?!\w)"
    r"|(?!(?:US|USA|UK|EU|UN|UNO|UAE|TV|PC|CD|DVD|AM|PM|AD|BC|OK|NO|IT|BBC|CNN|NBA|FBI|CIA|IBM|DM)\b)[A-Z]{2,3} "
    r"(?!(?:19|20)\d\d\b)\d{3,4}(?=$|[.,;:!?)\]\"'»”\u2019](?!\d)))"
)
_WITH_DIGITS = re.compile(  # A380  HW-7963  2051-03-12  v1.2.3; a number before a word, such as 18-jährig, is no code
    r"(?!\d+[^\W\d_]{3,}(?!\w))(?:[A-Z]{1,5}-)*[^\W\d]*\d\w*"
    r"(?:[.,:/'\u2019+\u2013-]+(?:\w*\d\w*|[A-Z]{1,2}(?!\w)))*[%°€$£]?"
)
_STREET_TEXTS = {
    "en": (
        r"(?<!\w)\d{1,4}[A-Za-z]?(?: (?:[NSEW]\.? )?(?:[A-Z][\w'\u2019.-]*|\d{1,3}(?:st|nd|rd|th))){1,3}? "
        r"(?:(?:Street|Road|Avenue|Lane|Drive|Square|Court|Way|Boulevard|Terrace|Crescent|Highway|Parkway)(?!\w)"
        r"|(?:St|Rd|Ave|Blvd|Ln|Dr|Sq)(?!\w)\.?)(?: (?:[NS][EW]|[NSEW])(?!\w))?"
        rf"(?:,(?: {_CAPITALISED}){{1,3}},?(?: [A-Z]{{1,2}}\d{{1,2}}[A-Z]? \d[A-Z]{{2}}(?!\w)"
        r"|(?: [A-Z]{2})? \d{5}(?:-\d{4})?(?!\w)))?",
    ),
    "de": tuple(
        rf"(?<![\w-]){street} \d{{1,3}}(?: ?[a-z])?(?!\w|[.,:]\d| (?-i:[A-ZÄÖÜ]))"
        rf"(?:,? \d{{5}} (?:(?:Bad|Sankt|St\.) )?{_CAPITALISED}(?: (?:am|an der|im) {_CAPITALISED})?)?"
        for street in (
            r"[A-ZÄÖÜ][\w-]*(?:straße|strasse|str\.|gasse|allee|-Straße|-Str\.|-Allee|-Gasse)",
            r"(?!(?:Park|Sitz|Steh|Stell|Start|Schlaf|Spiel|Sport|Zelt|Camping|Bau|Arbeits|Studien|Ausbildungs|Speicher"
            r"|Um|Hin|Rück|Heim|Aus|Schul|Arbeits|Rad|Wander|He|Sp|Ohr|Ehe|Box|Schlüssel|Monito|Tutor|Stau|See"
            r")(?:weg|platz|ring|damm|ufer)\b)[A-ZÄÖÜ][\w-]*[a-zäöüß-](?:weg|Weg|platz|Platz|ring|Ring|damm|Damm|ufer|Ufer)",
            r"(?!(?:Dieser|Jeder|Unser|Einer|Ihrer|Seiner|Meiner|Über|Unter|Hinter|Aber|Oder|Immer|Letzter|Erster) )"
            r"(?:[A-ZÄÖÜ][\w-]+er|Alter?|Neuer?|Langer?|Breiter?|Hoher?|Großer?|Kleiner?) "
            r"(?:Straße|Strasse|Str\.|Weg|Gasse|Allee|Platz|Ring|Damm|Ufer)",
        )
    ),
    "fr": (
        r"(?<!\w)\d{1,3}(?: ?[a-z]| bis| ter)?,? "
        r"(?:(?:rue|avenue|av\.|boulevard|bd|place|chemin|allée|quai|impasse|cours|route|square|passage)"
        rf"(?: (?:de l['\u2019]|d['\u2019])| (?:de la|des?|du|la|les?))?(?: ?{_CAPITALISED})+"
        r"|(?:rue|avenue|boulevard|chemin|allée|quai|impasse) (?:de la |du |des |de l['\u2019])[a-zà-ÿ]{3,}(?!\w))"
        rf"(?:,? \d{{5}} (?:(?:L[ea]s?) )?{_CAPITALISED})?",
    ),
}
_STREETS = {language: [re.compile(pattern) for pattern in patterns] for language, patterns in _STREET_TEXTS.items()}
_IN_YEAR = re.compile(r"(?i:\b(?:in|since|by|until|till|from|after|before|during|of)) $")
_LOOK_BACK = 10  # characters that such a word is searched in


def copied(sentence: str, language: str, start: int, stop: int) -> list[tuple[int, int]]:
    """Where in a part of a sentence in a language something begins and ends that is copied; some overlap."""
    patterns = [*_EVERYWHERE]
    if not sentence.isupper():  # capital letters and numbers of such a sentence are no codes and addresses
        patterns += [_CODE, *_STREETS.get(language, ())]
    found = [match.span() for pattern in patterns for match in pattern.finditer(sentence, start, stop)]
    whole = [span for span in found if not _begins_with_year(sentence, *span)]
    return [*whole, *(match.span() for match in _WITH_DIGITS.finditer(sentence, start, stop))]


def _begins_with_year(sentence: str, begin: int, end: int) -> bool:
    """Whether a street is a year and a name: "In 2020 Wall Street fell." """
    is_year = re.match(r"(?:19|20)\d\d ", sentence[begin:end])
    return bool(is_year and _IN_YEAR.search(sentence[max(0, begin - _LOOK_BACK) : begin]))
