"""The confidence of a caption: the probability that it is right, calibrated on the development split.

The probability of a caption, word for word, is low however good it is: there are many good ones. So the score of the
search, by which captions are ordered, is turned into the share of captions of that score that are right:

    scenes   true in every object, attribute and relation
    photos   a CIDEr-D of at least `AS_PEOPLE`, which half of the captions of Flickr8k reach that people wrote, each
             scored against the others of its photo (`scores_and_right` of `evaluate.py`)
"""

from dataclasses import asdict, dataclass
from math import isfinite
from typing import Any

import keras
import numpy as np

from shared.calibration import fit_log_odds, probability
from shared.runs import Run, RunError, read_json, write_json

ops: Any = keras.ops  # Keras declares no result types for its operations

AS_PEOPLE = 0.66  # the median
FEWEST, SPREAD = 20, 1e-3  # captions that say something about their scores, and the deviation of these
FILE = "calibration.json"


@dataclass(frozen=True)
class Confidence:
    """The confidence of a score of the search: its log-odds are `slope` * score + `offset`."""

    slope: float  # 0 or more, so that a list in the order of scores is in that of confidences
    offset: float

    def __call__(self, score: float) -> float:
        return float(probability(np.array(self.slope * score + self.offset)))

    def of_tensor(self, scores: Any) -> Any:
        """The same of a tensor of scores, 0 for one of -inf."""
        is_found = scores > -np.inf
        return ops.where(is_found, ops.sigmoid(self.slope * ops.where(is_found, scores, 0.0) + self.offset), 0.0)

    def save(self, run: Run) -> None:
        """Write `calibration.json`."""
        write_json(run.path / FILE, asdict(self))

    @classmethod
    def load(cls, run: Run) -> "Confidence | None":
        """The confidence of a run; None if none was fitted. Raises RunError if the file is damaged."""
        path = run.path / FILE
        if not path.exists():
            return None
        saved = read_json(path)
        slope, offset = saved.get("slope"), saved.get("offset")
        if not (isinstance(slope, float) and isinstance(offset, float) and isfinite(slope) and isfinite(offset)):
            raise RunError(f"{path}: a slope and an offset were expected; the run is damaged")
        return cls(slope, offset)

    @classmethod
    def fit(cls, scores: np.ndarray, is_right: np.ndarray) -> "Confidence":
        """Fit to the scores of captions and whether they are right, both `(captions,)`.

        The share of captions that are right is the confidence of each if the scores say nothing about them.
        """
        mean, deviation = scores.mean(), scores.std() + 1e-6
        slope, offset = fit_log_odds((scores - mean) / deviation, is_right)
        if slope < 0 or len(scores) < FEWEST or scores.std() < SPREAD:
            right = (is_right.sum() + 1) / (len(is_right) + 2)
            slope, offset = 0.0, np.log(right / (1 - right))
        return cls(float(slope / deviation), float(offset - slope * mean / deviation))
