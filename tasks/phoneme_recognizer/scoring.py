"""Metrics of recognitions: errors of phones, of their boundaries, and of their probabilities.

References and hypotheses are sequences of the 39 scored classes, aligned with the fewest edits.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from shared.audio import SAMPLE_RATE
from shared.phones import SILENCE, PhoneVocabulary, fold
from tasks.phoneme_recognizer.nearest import references_of

if TYPE_CHECKING:
    from tasks.phoneme_recognizer.data import Utterance
    from tasks.phoneme_recognizer.inference import Recognition

PROTOCOL = (
    "PER on 39 classes (Lee and Hon 1989), fewest edits, all utterances together; of words with several pronunciations"
    " the nearest one"
)
TOLERANCE = 0.020  # seconds within which a boundary counts as found
BINS = 15  # of probabilities, in the expected calibration error (Guo et al. 2017, section 2)

Phones = Sequence[str]


class Scores(NamedTuple):
    """Metrics of a split, and what plots and calibration need besides."""

    metrics: dict[str, float]
    confusions: Counter[tuple[str, str]]  # (reference, hypothesis) -> count
    probabilities: np.ndarray  # (phones,), of the recognized phones
    is_right: np.ndarray  # (phones,)
    references: list[list[str]]  # of each utterance, without silence; of several pronunciations the nearest ones


def score(
    utterances: "Sequence[Utterance]", recognitions: "Sequence[Recognition]", vocabulary: PhoneVocabulary
) -> Scores:
    """Score the recognition of each utterance.

    Metrics with silence need silences in the references, boundaries need times; without times both are left out.
    """
    hypotheses = [recognition.scored() for recognition in recognitions]
    references = references_of(utterances, hypotheses)
    counts = confusions(references, hypotheses)
    metrics = error_rates(counts)

    probabilities, is_right, distances = [], [], []
    scored_ids = [i for phone, i in vocabulary.ids.items() if is_scored(phone)]
    everything = zip(utterances, recognitions, references, hypotheses, strict=True)
    for utterance, recognition, reference, hypothesis in everything:
        phones = [phone for phone in recognition.phones if is_scored(phone.phone)]
        spans = None if utterance.spans is None else utterance.spans[np.isin(utterance.spans[:, 0], scored_ids)]
        for i, j in align_words(reference, hypothesis):
            if j is None:
                continue
            matches = i is not None and reference[i] == hypothesis[j]
            probabilities.append(phones[j].probability)
            is_right.append(matches)
            if matches and spans is not None:
                distances.append(abs(phones[j].start - spans[i, 1] / SAMPLE_RATE))
    metrics["ECE"] = calibration_error(np.array(probabilities), np.array(is_right))
    if all(utterance.spans is not None for utterance in utterances):
        with_silence = confusions(
            [utterance.scored(silence=True) for utterance in utterances],
            [recognition.scored(silence=True) for recognition in recognitions],
        )
        metrics |= {f"{name} with silence": rate for name, rate in error_rates(with_silence).items()}
        if distances:
            metrics["boundary median ms"] = 1000 * float(np.median(distances))
        boundaries = [_boundaries(utterance.spans) for utterance in utterances if utterance.spans is not None]
        metrics["boundary F1"] = boundary_f1(boundaries, [recognition.boundaries() for recognition in recognitions])
    return Scores(metrics, counts, np.array(probabilities), np.array(is_right), references)


def is_scored(phone: str) -> bool:
    """Whether a phone is among the 39 scored classes and not silence."""
    return fold(phone, 39) not in (None, SILENCE)


def _boundaries(spans: np.ndarray) -> np.ndarray:
    """Times in seconds between spans `(spans, 3)`; adjacent silences count as one."""
    is_new = np.append(True, (spans[1:, 0] > 0) | (spans[:-1, 0] > 0))
    return spans[is_new, 1][1:] / SAMPLE_RATE


def align_words(reference: Phones, hypothesis: Phones) -> Iterator[tuple[int | None, int | None]]:
    """Pairs of aligned indices; None on one side for an insertion or a deletion."""
    import jiwer

    if not reference or not hypothesis:
        yield from zip_longest(range(len(reference)), range(len(hypothesis)))
        return
    (chunks,) = jiwer.process_words(" ".join(reference), " ".join(hypothesis)).alignments
    for chunk in chunks:
        # One of the ranges is empty for a deletion or an insertion; otherwise they have the same length.
        in_reference = range(chunk.ref_start_idx, chunk.ref_end_idx)
        yield from zip_longest(in_reference, range(chunk.hyp_start_idx, chunk.hyp_end_idx))


def confusions(references: Sequence[Phones], hypotheses: Sequence[Phones]) -> Counter[tuple[str, str]]:
    """Number of occurrences of each aligned pair (reference, hypothesis); "" for an insertion or a deletion."""
    counts: Counter[tuple[str, str]] = Counter()
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        for i, j in align_words(reference, hypothesis):
            counts["" if i is None else reference[i], "" if j is None else hypothesis[j]] += 1
    return counts


def error_rates(counts: Counter[tuple[str, str]]) -> dict[str, float]:
    """PER and its parts, as fractions of the phones in the references."""
    total = sum(count for (reference, _), count in counts.items() if reference)
    kinds = {"substitutions": 0, "deletions": 0, "insertions": 0}
    for (reference, phone), count in counts.items():
        if reference != phone:
            kinds["insertions" if not reference else "substitutions" if phone else "deletions"] += count
    return {"PER": sum(kinds.values()) / max(total, 1)} | {name: n / max(total, 1) for name, n in kinds.items()}


def phone_error_rate(references: Sequence[Phones], hypotheses: Sequence[Phones]) -> float:
    """Substitutions, deletions and insertions of all utterances, as a fraction of the phones in the references."""
    return error_rates(confusions(references, hypotheses))["PER"]


def boundary_f1(references: Sequence[np.ndarray], hypotheses: Sequence[np.ndarray]) -> float:
    """F1 of boundaries `(boundaries,)`, in seconds, within `TOLERANCE`; each is matched once, nearest pairs first."""
    matched = total = 0
    for reference, hypothesis in zip(references, hypotheses, strict=True):
        total += len(reference) + len(hypothesis)
        if not len(reference) or not len(hypothesis):
            continue
        distances = np.abs(reference[:, None] - hypothesis)
        near = np.argwhere(distances <= TOLERANCE)
        free_reference, free_hypothesis = set(range(len(reference))), set(range(len(hypothesis)))
        for i, j in near[np.argsort(distances[near[:, 0], near[:, 1]], kind="stable")].tolist():
            if i in free_reference and j in free_hypothesis:
                free_reference.remove(i)
                free_hypothesis.remove(j)
                matched += 1
    return 2 * matched / max(total, 1)


def reliability(probabilities: np.ndarray, is_right: np.ndarray) -> list[tuple[float, float, int]]:
    """Mean probability, accuracy and number of phones of each non-empty bin of equal width."""
    index = np.minimum((np.asarray(probabilities) * BINS).astype(int), BINS - 1)
    bins = (index == i for i in range(BINS))
    return [
        (float(np.mean(probabilities[inside])), float(np.mean(is_right[inside])), int(inside.sum()))
        for inside in bins
        if inside.any()
    ]


def calibration_error(probabilities: np.ndarray, is_right: np.ndarray) -> float:
    """Expected calibration error (ECE; Guo et al. 2017, section 2)."""
    bins = reliability(probabilities, is_right)
    total = sum(count for *_, count in bins)
    return sum(abs(probability - accuracy) * count for probability, accuracy, count in bins) / max(total, 1)
