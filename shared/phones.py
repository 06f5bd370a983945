"""Phone sets: TIMIT's 61 labels, the 48 usual in training, the 39 usual in scoring (Lee and Hon 1989, section 4).

    61   ... pcl p ... ax-h ax ix ... h# pau epi q        TIMIT's transcription
    48   ... cl p ... ax ix ... sil epi cl                allophones merged
    39   ... sil p ... ah ih ... sil                      easily confused phones merged; q removed

The ARPAbet of dictionaries, in capitals and with stress, is accepted too.
"""

import re
from collections.abc import Iterable
from itertools import groupby
from typing import NamedTuple

from shared.errors import check_list

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
SILENCES = {SILENCE, "h#", "pau", "epi"}  # without closures, which belong to stops in the sets of 61 and 48

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
    """Map a phone of any set, or ARPAbet such as AH0, to the set of 61, 48 or 39 phones; None for q in the set of 39.

    Raises ValueError if the label or the set does not exist.
    """
    if classes not in SETS:
        raise ValueError(f"classes must be one of {sorted(SETS)}. Received: {classes}")
    phone = re.sub(r"(?<=[A-Z])[0-2]$", "", label).lower()
    if phone not in PHONES_61 and phone not in PHONES_48:
        raise ValueError(f"label must be one of TIMIT or ARPAbet. Received: {label!r}")
    if phone == "q" and classes == 39:
        return None
    if classes < 61:
        phone = _ALLOPHONES.get(phone, phone)
    return _CONFUSED.get(phone, phone) if classes == 39 else phone


def fold_all(labels: Iterable[str], classes: int, silence: bool = True) -> list[str]:
    """`fold` each label; merge consecutive silences or, without `silence`, remove them. Raises ValueError as `fold`."""
    check_list(labels, "phones")
    folded = [phone for phone in (fold(label, classes) for label in labels) if phone is not None]
    if not silence:
        return [phone for phone in folded if phone != SILENCE]
    return [phone for phone, same in groupby(folded) for _ in (same if phone != SILENCE else [phone])]


class SpokenWord(NamedTuple):
    """A word as it is written, and how it may be said, usual pronunciations first."""

    text: str
    pronunciations: tuple[tuple[str, ...], ...]


class PhoneVocabulary:
    """The phones of a set of 61, 48 or 39, with ids from 1 in the set's order; id 0 is silence and the blank of CTC."""

    def __init__(self, classes: int):
        self.phones = tuple(phone for phone in SETS[classes] if phone not in SILENCES)
        self.table = ("", *self.phones)  # the phone of each id
        self.ids = {phone: index for index, phone in enumerate(self.phones, start=1)}

    def __len__(self) -> int:
        """Number of ids, 0 included: the width of a softmax."""
        return len(self.table)

    def encode(self, labels: Iterable[str]) -> list[int]:
        """The ids of phones; labels that are not in the vocabulary, such as silences, are left out.

        Raises ListError for one text.
        """
        check_list(labels, "phones")
        return [self.ids[label] for label in labels if label in self.ids]

    def decode(self, ids: Iterable[int]) -> list[str]:
        """The phones of ids; id 0 is left out."""
        return [self.table[index] for index in ids if index]
