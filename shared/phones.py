"""Sets of phones: TIMIT's 61 labels, the 48 that are often trained on, the 39 that are scored (Lee and Hon 1989, 4).

    61   ... pcl p ... ax-h ax ix ... h# pau epi q        as TIMIT is transcribed
    48   ... cl p ... ax ix ... sil epi cl                allophones together
    39   ... sil p ... ah ih ... sil                      what is easily confused together; q is left out

ARPAbet as dictionaries have it, in capitals and with stress, is read too.
"""

import re
from collections.abc import Iterable
from itertools import groupby

SILENCE = "sil"

_ALLOPHONES = {
    "ux": "uw", "axr": "er", "ax-h": "ax", "em": "m", "nx": "n", "eng": "ng", "hv": "hh",
    "pcl": "cl", "tcl": "cl", "kcl": "cl", "q": "cl", "bcl": "vcl", "dcl": "vcl", "gcl": "vcl",
    "h#": SILENCE, "pau": SILENCE,
}  # fmt: skip
_CONFUSED = {
    "ix": "ih", "ax": "ah", "ao": "aa", "el": "l", "en": "n", "zh": "sh",
    "cl": SILENCE, "vcl": SILENCE, "epi": SILENCE,
}  # fmt: skip

PHONES_48 = (
    "aa", "ae", "ah", "ao", "aw", "ax", "ay", "b", "ch", "cl", "d", "dh", "dx", "eh", "el", "en", "epi", "er", "ey",
    "f", "g", "hh", "ih", "ix", "iy", "jh", "k", "l", "m", "n", "ng", "ow", "oy", "p", "r", "s", "sh", "sil", "t",
    "th", "uh", "uw", "v", "vcl", "w", "y", "z", "zh",
)  # fmt: skip
PHONES_39 = tuple(phone for phone in PHONES_48 if phone not in _CONFUSED)
PHONES_61 = tuple(sorted({*_ALLOPHONES, *PHONES_48} - {SILENCE, "cl", "vcl"}))
SETS = {61: PHONES_61, 48: PHONES_48, 39: PHONES_39}
SILENCES = {SILENCE, "h#", "pau", "epi"}  # closures are none among 61 and 48: there, they belong to a stop

IPA = {
    "aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "aʊ", "ay": "aɪ", "b": "b", "ch": "tʃ", "d": "d", "dh": "ð",
    "dx": "ɾ", "eh": "ɛ", "er": "ɝ", "ey": "eɪ", "f": "f", "g": "ɡ", "hh": "h", "ih": "ɪ", "iy": "i", "jh": "dʒ",
    "k": "k", "l": "l", "m": "m", "n": "n", "ng": "ŋ", "ow": "oʊ", "oy": "ɔɪ", "p": "p", "r": "ɹ", "s": "s", "sh": "ʃ",
    "sil": "", "t": "t", "th": "θ", "uh": "ʊ", "uw": "u", "v": "v", "w": "w", "y": "j", "z": "z", "zh": "ʒ",
    "ax": "ə", "ax-h": "ə̥", "axr": "ɚ", "ix": "ɨ", "ux": "ʉ", "el": "l̩", "em": "m̩", "en": "n̩", "eng": "ŋ̍", "hv": "ɦ",
    "nx": "ɾ̃", "q": "ʔ", "pcl": "p̚", "tcl": "t̚", "kcl": "k̚", "bcl": "b̚", "dcl": "d̚", "gcl": "ɡ̚", "cl": "◌̚", "vcl": "◌̬̚",
    "h#": "", "pau": "", "epi": "",
}  # fmt: skip


def fold(label: str, classes: int) -> str | None:
    """A label of TIMIT's or of a dictionary's in a smaller set; None for one that is left out, q among 39.

    Args:
        label: one of the 61, of the 48 or of the 39, or ARPAbet such as AH0.
        classes: 61, 48 or 39.

    Raises:
        ValueError: there is no such label, or no such set.
    """
    if classes not in SETS:
        raise ValueError(f"classes must be one of {sorted(SETS)}. Received: {classes}")
    phone = re.sub(r"(?<=[A-Z])[0-2]$", "", label).lower()
    if phone not in PHONES_61 and phone not in PHONES_48:
        raise ValueError(f"label must be one of TIMIT's or of ARPAbet's. Received: {label!r}")
    if phone == "q" and classes == 39:
        return None
    if classes < 61:
        phone = _ALLOPHONES.get(phone, phone)
    return _CONFUSED.get(phone, phone) if classes == 39 else phone


def fold_all(labels: Iterable[str], classes: int, silence: bool = True) -> list[str]:
    """`fold` of each; silences in a row are one, or, without `silence`, left out."""
    folded = [phone for phone in (fold(label, classes) for label in labels) if phone is not None]
    if not silence:
        return [phone for phone in folded if phone != SILENCE]
    return [phone for phone, same in groupby(folded) for _ in (same if phone != SILENCE else [phone])]
