"""Error rates as statements about people: confidence intervals over speakers, and rates of groups of them.

The utterances of a speaker share a voice, so speakers are drawn, not utterances: the bootstrap (Efron 1979) draws as
many speakers as there are, with replacement, and takes the middle 95 % of the rates of the draws. Where speakers are
unknown, utterances are drawn.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from shared.intervals import drawn, middle
from tasks.phoneme_recognizer.articulation import feature_error_rate
from tasks.phoneme_recognizer.scoring import Phones, align_words

if TYPE_CHECKING:
    from tasks.phoneme_recognizer.data import Utterance


def by_population(
    references: Sequence[Phones], hypotheses: Sequence[Phones], utterances: "Sequence[Utterance]" = ()
) -> dict[str, Any]:
    """The PFER, the confidence interval of the PER, and the PER of each group that is not all utterances.

    Args:
        references, hypotheses: phones of the 39 scored classes without silence.
        utterances: these have the speakers and groups; without them both are unknown.
    """
    metrics: dict[str, Any] = {"PFER": round(feature_error_rate(references, hypotheses), 4)}
    errors = np.array([_edits(*pair) for pair in zip(references, hypotheses, strict=True)], np.int64)
    phones = np.array([len(reference) for reference in references], np.int64)
    speakers = np.array([utterance.speaker for utterance in utterances] or [""] * len(references))
    if whole := interval(errors, phones, speakers):
        metrics["PER interval"] = whole
    for group in sorted({group for utterance in utterances for group in utterance.groups}):
        inside = np.array([group in utterance.groups for utterance in utterances])
        if not inside.all():
            counts = errors[inside], phones[inside]
            metrics[f"PER of {group}"] = {
                "PER": round(float(counts[0].sum() / max(counts[1].sum(), 1)), 4),
                **interval(*counts, speakers[inside]),
                "utterances": int(inside.sum()),
            }
    return metrics


def interval(errors: np.ndarray, phones: np.ndarray, speakers: np.ndarray) -> dict[str, float]:
    """The confidence interval of an error rate, and how many speakers it is of; empty if there is one to be drawn.

    Args:
        errors, phones: of each utterance, `(utterances,)`.
        speakers: their names, `(utterances,)`; if one is empty, utterances are drawn.
    """
    known = bool(len(speakers)) and bool(np.all(speakers != ""))
    _, index = np.unique(speakers if known else np.arange(len(speakers)), return_inverse=True)
    by_speaker = np.stack([np.bincount(index, weights) for weights in (errors, phones)], axis=1)
    count = len(by_speaker)
    if count < 2:
        return {}
    totals = drawn(by_speaker)
    return middle(totals[:, 0] / np.maximum(totals[:, 1], 1)) | ({"speakers": count} if known else {})


def _edits(reference: Phones, hypothesis: Phones) -> int:
    pairs = align_words(reference, hypothesis)
    return sum(i is None or j is None or reference[i] != hypothesis[j] for i, j in pairs)
