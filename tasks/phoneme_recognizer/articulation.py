"""How far phones are from each other in the mouth: edit distance over articulatory features.

The phone error rate counts `p` for `b` as an error. They differ in voicing alone, so the phone feature error rate
(PFER) counts 1/24 of one. It is `feature_error_rate` of PanPhon (Mortensen et al. 2016): the edit distance over the
segments of the IPA, as a fraction of the segments in the references. Diphthongs and affricates have two segments.

A segment has 24 features: +, - or 0, which is neither. A substitution costs half the difference of each feature, an
insertion or a deletion costs 1 for each that is + or - and 1/2 for each 0; all are divided by 24.

The table is that of PanPhon 0.22 (MIT), for the segments of the 39 scored classes. PanPhon as a dependency would bring
pandas and four other packages for 36 rows.
"""

from collections.abc import Iterable, Sequence

import numpy as np

from shared.phones import IPA

# syl son cons cont delrel lat nas strid voi sg cg ant cor distr lab hi lo back round velaric tense long hitone hireg
FEATURES = {
    "a": "++-+----+--0-0--++--+-00", "b": "--+-----+--+-0+-----0-00", "d": "--+-----+--++-------0-00",
    "e": "++-+----+--0-0------+-00", "f": "--++---+---+-0+-----0-00", "h": "-+++---------0---+--0-00",
    "i": "++-+----+--0-0-+----+-00", "j": "-+-+----+----0-+----0-00", "k": "--+----------0-+-+--0-00",
    "l": "-+++-+--+--++-------0-00", "m": "-++---+-+--+-0+-----0-00", "n": "-++---+-+--++-------0-00",
    "o": "++-+----+--0-0---++-+-00", "p": "--+--------+-0+-----0-00", "s": "--++---+---++-------0-00",
    "t": "--+--------++-------0-00", "u": "++-+----+--0-0++-++-+-00", "v": "--++---++--+-0+-----0-00",
    "w": "-+-+----+----0++-++-0-00", "z": "--++---++--++-------0-00", "æ": "++-+----+--0-0--+---+-00",
    "ð": "--++----+--+++------0-00", "ŋ": "-++---+-+----0-+-+--0-00", "ɑ": "++-+0---+--0-0--++--+-00",
    "ɔ": "++-+----+--0-0---++---00", "ɛ": "++-+----+--0-0--------00", "ɜ˞": "++-+----+----0-+-++---00",
    "ɡ": "--+-----+----0-+-+--0-00", "ɪ": "++-+----+--0-0-+------00", "ɹ": "-+-+----+--++--+--+-0-00",
    "ɾ": "-+++0---+--++--00---0-00", "ʃ": "--++---+----++------0-00", "ʊ": "++-+----+--0-0-+-++---00",
    "ʌ": "++-+----+--0-0---+--+-00", "ʒ": "--++---++---++------0-00", "θ": "--++-------+++------0-00",
}  # fmt: skip
SEGMENTS = {"er": ("ɜ˞",)}  # ɝ, which PanPhon does not have


def feature_error_rate(references: Sequence[Sequence[str]], hypotheses: Sequence[Sequence[str]]) -> float:
    """PFER of phones of the 39 scored classes, without silence: a fraction of the segments in the references."""
    pairs = [(vectors(a), vectors(b)) for a, b in zip(references, hypotheses, strict=True)]
    return sum(feature_distance(a, b) for a, b in pairs) / max(sum(len(reference) for reference, _ in pairs), 1)


def vectors(phones: Iterable[str]) -> np.ndarray:
    """The features -1, 0 or 1 of the segments of phones, int32 `(segments, 24)`."""
    rows = [FEATURES[segment] for phone in phones for segment in SEGMENTS.get(phone) or IPA[phone]]
    return np.array([["-0+".index(value) - 1 for value in row] for row in rows], np.int32).reshape(-1, 24)


def feature_distance(reference: np.ndarray, hypothesis: np.ndarray) -> float:
    """The edit distance of features `(segments, 24)`; as PanPhon's `feature_edit_distance`.

    All costs are multiples of 1/48, and are computed as integers.
    """
    replaced = np.abs(reference[:, None] - hypothesis).sum(axis=2)
    deleted, inserted = (24 + np.abs(features).sum(axis=1) for features in (reference, hypothesis))
    before = np.append(0, inserted.cumsum())  # of the hypothesis up to each segment
    costs = before
    for replacing, deleting in zip(replaced, deleted, strict=True):
        after = costs + deleting
        after[1:] = np.minimum(after[1:], costs[:-1] + replacing)
        costs = np.minimum.accumulate(after - before) + before
    return float(costs[-1]) / 48
