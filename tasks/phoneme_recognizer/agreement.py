"""How scores of pronunciation agree with those of experts: Pearson's correlation (PCC) and mean squared error (MSE).

The standard protocol of speechocean762: all phones, words or utterances of a split together. Intervals are of 95 %, by
bootstrap over speakers (Efron 1979), since the utterances of a speaker are alike.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from datasets.speechocean762.expert_scores import ExpertScores
from shared.intervals import drawn, middle
from shared.runs import Run
from tasks.phoneme_recognizer.expert_scores import JudgedSplit, load_judged
from tasks.phoneme_recognizer.inference import SoundRecognizer
from tasks.phoneme_recognizer.pronunciation import BEST, PASS, BatchScores, PronunciationScorer
from tasks.phoneme_recognizer.scorer import MAX_SCORE, PhoneScorer

PROTOCOL = "PCC and MSE over all phones, words or utterances of the split, scores from 0 to 2; intervals by speaker"
CHUNK = 200  # utterances in memory at a time


def measure_scores(recognizer: SoundRecognizer, run: Run, split: str, data_dir: Path | None = None) -> dict[str, Any]:
    """The metrics of a run's scorer on a split of the corpus that experts have scored.

    Raises UserError if the run has no scorer, or the corpus has no scores.
    """
    scorer = PronunciationScorer.of(recognizer, run)
    judged = load_judged(split, recognizer.config, data_dir)
    return agreement(judged, judge(scorer, judged), scorer.scorer)


def judge(scorer: PronunciationScorer, split: JudgedSplit) -> list[BatchScores]:
    """The scores of each utterance of a split."""
    found = []
    for start in range(0, len(split.utterances), CHUNK):
        indices = range(start, min(start + CHUNK, len(split.utterances)))
        found += scorer.batch_scores([split.samples(i) for i in indices], [split.label_ids[i] for i in indices])
    return found


def agreement(split: JudgedSplit, found: Sequence[BatchScores], scorer: PhoneScorer) -> dict[str, Any]:
    """The metrics of the scorer and, named `goodness alone`, of one number a phone."""
    metrics: dict[str, Any] = {}
    scores = [each.scores for each in found]
    alone = [scorer.by_goodness(each.goodness) for each in found]
    for suffix, of_phones in (("", scores), (", goodness alone", alone)):
        for level in ("phone", "word", "utterance"):
            predicted = [at_level(level, own, judged) for own, judged in zip(of_phones, split.scores, strict=True)]
            expected = [by_experts(level, judged) for judged in split.scores]
            metrics |= {
                f"{level} {name}{suffix}": x for name, x in compare(predicted, expected, split.speakers).items()
            }
    right = np.concatenate([judged.of_phones for judged in split.scores]) == MAX_SCORE
    low = np.concatenate(scores) * BEST / MAX_SCORE < PASS
    metrics["right phones below 50"] = round(float(low[right].mean()), 4) if right.any() else 0.0
    derived = any(judged.are_derived for judged in split.scores)
    metrics["words and utterances"] = "means of the experts' scores of phones" if derived else "scored by the experts"
    return metrics | {"protocol of scores": PROTOCOL}


def at_level(level: str, of_phones: np.ndarray, judged: ExpertScores) -> np.ndarray:
    """The scores of phones, or their means over each word or the utterance, 1-dimensional."""
    if level == "phone":
        return of_phones
    parts = np.split(of_phones, np.cumsum(judged.word_lengths)[:-1]) if level == "word" else [of_phones]
    return np.array([part.mean() for part in parts])


def by_experts(level: str, judged: ExpertScores) -> np.ndarray:
    """The experts' scores of the phones, the words or the utterance, 1-dimensional."""
    return {"phone": judged.of_phones, "word": judged.of_words, "utterance": np.array([judged.of_utterance])}[level]


def compare(predicted: Sequence[np.ndarray], expected: Sequence[np.ndarray], speakers: Sequence[str]) -> dict[str, Any]:
    """PCC, its interval if there are two speakers, and MSE, of the scores `(items,)` of utterances by `speakers`."""
    moments = {speaker: np.zeros(6) for speaker in speakers}
    for x, y, speaker in zip(predicted, expected, speakers, strict=True):
        x, y = x.astype(np.float64), y.astype(np.float64)
        moments[speaker] += [len(x), x.sum(), y.sum(), x @ x, y @ y, x @ y]
    by_speaker = np.stack(list(moments.values()))
    total, people = by_speaker.sum(axis=0), len(by_speaker)
    found: dict[str, Any] = {"PCC": round(float(correlations(total[None])[0]), 4)}
    if people > 1:
        found["PCC interval"] = middle(correlations(drawn(by_speaker))) | {"speakers": people}
    count, _, _, squares_x, squares_y, products = total
    return found | {"MSE": round(float((squares_x + squares_y - 2 * products) / count), 4)}


def correlations(moments: np.ndarray) -> np.ndarray:
    """Pearson's correlations `(samples,)` from count and sums of x, y, xx, yy, xy, `(samples, 6)`.

    0 if x or y is constant.
    """
    count, x, y, xx, yy, xy = moments.T
    spread = np.maximum(count * xx - x**2, 0) * np.maximum(count * yy - y**2, 0)
    return np.where(spread > 0, (count * xy - x * y) / np.sqrt(np.where(spread > 0, spread, 1)), 0.0)
