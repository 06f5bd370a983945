"""What the confidences of captions and words are fitted to (`confidence.py`), and how far off they are."""

from collections.abc import Sequence

import numpy as np
from keras import ops

from datasets.scenes.parser import describes
from datasets.scenes.world import scene_of
from shared.calibration import calibration_error
from shared.metrics import CiderD, caption_tokens
from tasks.captioner.confidence import AS_PEOPLE, Calibration, log_odds
from tasks.captioner.data import Split
from tasks.captioner.inference import Caption

Outcomes = tuple[np.ndarray, np.ndarray]  # evidence, and whether what it is about is right, both `(items,)`


def captions_and_right(captions: Sequence[Sequence[Caption]], split: Split, corpus: str) -> Outcomes:
    """The score of the best caption of each image, and whether it is right."""
    scores = np.array([best[0].score for best in captions])
    if corpus == "scenes":
        pairs = zip(captions, split.records, strict=True)
        return scores, np.array([describes(" ".join(best[0].tokens), scene_of(record)) for best, record in pairs])
    references = [[caption_tokens(caption) for caption in image] for image in split.captions]
    _, cider = CiderD(references).score([caption_tokens(best[0].text) for best in captions])
    return scores, cider >= AS_PEOPLE


def words_and_right(captions: Sequence[Sequence[Caption]], split: Split) -> Outcomes:
    """The log-odds of each word of the best captions, punctuation left out, and whether a reference has the word."""
    probabilities, is_right = [], []
    for best, references in zip(captions, split.captions, strict=True):
        used = {token for reference in references for token in caption_tokens(reference)}
        for word, probability in zip(best[0].tokens, best[0].probabilities, strict=True):
            if caption_tokens(word):
                probabilities.append(probability)
                is_right.append(word in used)
    evidence = log_odds(np.log(np.array(probabilities, np.float32)))
    return np.asarray(ops.convert_to_numpy(evidence)), np.array(is_right, bool)


def calibration_errors(calibration: Calibration, outcomes: Sequence[Outcomes]) -> dict[str, float]:
    """The expected calibration errors of captions and of words, `ECE` and `word ECE`, from their outcomes."""
    parts = zip(("ECE", "word ECE"), calibration, outcomes, strict=True)
    return {
        name: calibration_error(confidence(evidence), is_right)
        for name, confidence, (evidence, is_right) in parts
        if confidence is not None and len(evidence)
    }
