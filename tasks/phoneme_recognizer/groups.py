"""The groups of speakers and utterances whose error rates are compared."""

from collections.abc import Mapping
from typing import Any

ADULT = 18  # years
GOOD, GOOD_PHONES = 8, 1.6  # least scores of well pronounced utterances: the experts' accuracy, the mean of the phones


def groups_of(record: Mapping[str, Any]) -> tuple[str, ...]:
    """The groups that an utterance belongs to, by what its record says: accent, sex, age, source and experts' score."""
    sexes = {"f": "female speakers", "m": "male speakers"}
    groups = [sexes.get(record.get("sex", "").lower(), ""), record.get("source", "")]
    if native := record.get("native"):
        groups.append("native speakers" if native.startswith("en") else "other speakers")
    if age := record.get("age", 0):
        groups.append("adults" if age >= ADULT else "children")
    scores = ("utterances scored", "accuracy", GOOD), ("utterances with phones scored", "phone_score", GOOD_PHONES)
    for text, key, least in scores:
        if (score := record.get(key, -1)) >= 0:
            groups.append(f"{text} {least} or more" if score >= least else f"{text} below {least}")
    return tuple(filter(None, groups))
