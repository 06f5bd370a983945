"""How right a recognizer is: errors of phones, of their boundaries, of the probabilities that it tells.

References and hypotheses are sequences of the 39 classes that are scored; they are aligned by the fewest edits.
"""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

PROTOCOL = "PER on 39 classes (Lee and Hon 1989), fewest edits, all utterances together"
CLOSE = 0.020  # seconds within which a boundary counts as found
BINS = 15  # of probabilities, in the expected calibration error (Guo et al. 2017, section 2)

Phones = Sequence[str]


def aligned(reference: Phones, hypothesis: Phones) -> Iterator[tuple[int | None, int | None]]:
    """Places of the one and of the other that belong together; None on one side is an insertion or a deletion."""
    import jiwer

    if not reference or not hypothesis:
        yield from ((place, None) for place in range(len(reference)))
        yield from ((None, place) for place in range(len(hypothesis)))
        return
    (chunks,) = jiwer.process_words(" ".join(reference), " ".join(hypothesis)).alignments
    for chunk in chunks:
        ours = range(chunk.ref_start_idx, chunk.ref_end_idx)
        theirs = range(chunk.hyp_start_idx, chunk.hyp_end_idx)
        if chunk.type == "delete":
            yield from ((place, None) for place in ours)
        elif chunk.type == "insert":
            yield from ((None, place) for place in theirs)
        else:
            yield from zip(ours, theirs, strict=True)


def confusions(references: Sequence[Phones], hypotheses: Sequence[Phones]) -> Counter[tuple[str, str]]:
    """How often each phone was taken for each; "" stands for nothing, on either side."""
    counts: Counter[tuple[str, str]] = Counter()
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        for ours, theirs in aligned(reference, hypothesis):
            counts["" if ours is None else reference[ours], "" if theirs is None else hypothesis[theirs]] += 1
    return counts


def error_rates(counts: Counter[tuple[str, str]]) -> dict[str, float]:
    """PER, and its parts, as shares of the phones of the references."""
    total = sum(count for (reference, _), count in counts.items() if reference)
    kinds = {
        "substitutions": sum(n for (ours, theirs), n in counts.items() if ours and theirs and ours != theirs),
        "deletions": sum(n for (ours, theirs), n in counts.items() if ours and not theirs),
        "insertions": sum(n for (ours, theirs), n in counts.items() if theirs and not ours),
    }
    return {"PER": sum(kinds.values()) / max(total, 1)} | {name: n / max(total, 1) for name, n in kinds.items()}


def phone_error_rate(references: Sequence[Phones], hypotheses: Sequence[Phones]) -> float:
    """Substitutions, deletions and insertions, all utterances together, as a share of the references' phones."""
    return error_rates(confusions(references, hypotheses))["PER"]


def boundary_f1(references: Sequence[np.ndarray], hypotheses: Sequence[np.ndarray]) -> float:
    """F1 of boundaries found within `CLOSE`, each counted once, the nearest pairs first.

    Args:
        references, hypotheses: of each utterance where anything ends and the next begins, seconds, `(boundaries,)`.
    """
    found = told = wanted = 0
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        told, wanted = told + len(hypothesis), wanted + len(reference)
        if not len(reference) or not len(hypothesis):
            continue
        apart = np.abs(reference[:, None] - hypothesis)
        near = np.argwhere(apart <= CLOSE)
        free_reference, free_hypothesis = set(range(len(reference))), set(range(len(hypothesis)))
        for i, j in near[np.argsort(apart[near[:, 0], near[:, 1]], kind="stable")].tolist():
            if i in free_reference and j in free_hypothesis:
                free_reference.remove(i)
                free_hypothesis.remove(j)
                found += 1
    return 2 * found / max(told + wanted, 1)


def reliability(probabilities: np.ndarray, right: np.ndarray) -> list[tuple[float, float, int]]:
    """Mean probability, share that is right, and how many, of each bin of equal width that is not empty."""
    place = np.minimum((np.asarray(probabilities) * BINS).astype(int), BINS - 1)
    bins = (place == number for number in range(BINS))
    return [
        (float(np.mean(probabilities[inside])), float(np.mean(right[inside])), int(inside.sum()))
        for inside in bins
        if inside.any()
    ]


def calibration_error(probabilities: np.ndarray, right: np.ndarray) -> float:
    """ECE: how far, on average, what is told is from what holds (Guo et al. 2017, section 2)."""
    bins = reliability(probabilities, right)
    total = sum(count for *_, count in bins)
    return sum(abs(told - held) * count for told, held, count in bins) / max(total, 1)
