"""The confidence of captions and words: the probability that they are right, calibrated on the development split.

The probability of a caption, word for word, is low however good it is: there are many good ones. So the score of the
search, by which captions are ordered, is turned into the share of captions of that score that are right:

    scenes   true in every object, attribute and relation
    photos   a CIDEr-D of at least `AS_PEOPLE`, which half of the captions of Flickr8k reach that people wrote, each
             scored against the others of its photo (`calibration.py`)

The log-odds of a word's probability are turned into the share of such words that are right: that a caption which people
wrote for the image has.
"""

from dataclasses import asdict, dataclass
from math import exp, isfinite
from typing import Any, NamedTuple

import numpy as np

from shared.calibration import fit_log_odds, probability
from shared.runs import Run, RunError, read_json, write_json

AS_PEOPLE = 0.66  # the median
FEWEST, SPREAD = 20, 1e-3  # captions that say something about their scores, and the deviation of these
MAX_LOG_ODDS = 7.0  # of a word; those of higher ones depend on the last bits of a float32 probability
FILE = "calibration.json"


@dataclass(frozen=True)
class Confidence:
    """A confidence: its log-odds are `slope` * evidence + `offset`."""

    slope: float  # 0 or more, so that a list in the order of evidence is in that of confidences
    offset: float

    def __call__(self, evidence: Any) -> np.ndarray:
        """The confidence of each score or log-odds of an array."""
        return probability(self.slope * np.asarray(evidence, np.float64) + self.offset)

    def of_tensor(self, evidence: Any) -> Any:
        """The same of a tensor, 0 for -inf."""
        import keras

        ops: Any = keras.ops  # Keras declares no result types for its operations
        is_found = evidence > -np.inf
        return ops.where(is_found, ops.sigmoid(self.slope * ops.where(is_found, evidence, 0.0) + self.offset), 0.0)

    @classmethod
    def fit(cls, evidence: np.ndarray, is_right: np.ndarray) -> "Confidence":
        """Fit to evidence about captions or words and whether they are right, both `(items,)`.

        The share of items that are right is the confidence of each if the evidence says nothing about them.
        """
        right = (is_right.sum() + 1) / (len(is_right) + 2)
        share = cls(0.0, float(np.log(right / (1 - right))))
        if len(evidence) < FEWEST or evidence.std() < SPREAD:
            return share
        mean, deviation = evidence.mean(), evidence.std()
        slope, offset = fit_log_odds((evidence - mean) / deviation, is_right)
        return cls(float(slope / deviation), float(offset - slope * mean / deviation)) if slope > 0 else share


class Calibration(NamedTuple):
    """The confidences of a run."""

    caption: Confidence  # from the score of the search
    word: Confidence | None  # from the `log_odds` of the word; None for runs that were calibrated before there was one

    def as_json(self) -> dict[str, float]:
        """The content of `calibration.json`."""
        words = {} if self.word is None else {f"word_{name}": value for name, value in asdict(self.word).items()}
        return asdict(self.caption) | words

    def save(self, run: Run) -> None:
        """Write `calibration.json`."""
        write_json(run.path / FILE, self.as_json())

    @classmethod
    def load(cls, run: Run) -> "Calibration | None":
        """The confidences of a run; None if none were fitted. Raises RunError if the file is damaged."""
        path = run.path / FILE
        if not path.exists():
            return None
        saved = read_json(path)

        def read(prefix: str) -> Confidence:
            slope, offset = saved.get(f"{prefix}slope"), saved.get(f"{prefix}offset")
            if not (isinstance(slope, float) and isinstance(offset, float) and isfinite(slope) and isfinite(offset)):
                raise RunError(f"{path}: a {prefix}slope and an offset were expected; the run is damaged")
            return Confidence(slope, offset)

        return cls(read(""), read("word_") if "word_slope" in saved else None)


def log_odds(log_probs: Any, ops: Any = np) -> Any:
    """log p / (1 - p) of log-probabilities, at most `MAX_LOG_ODDS`; `ops` is `keras.ops` for a tensor."""
    rest = ops.maximum(-ops.expm1(log_probs), exp(-MAX_LOG_ODDS))  # a float of Python keeps the type
    return ops.maximum(log_probs - ops.log(rest), -MAX_LOG_ODDS)
