"""What sequences of labels have in common, whether a graph or NumPy reads them; `ctc` has the rest."""

from typing import Any

import numpy as np

BLANK = 0  # the id of no label
LOG_ZERO = -1e30  # log-probability of an impossible event; with infinity, differences would be NaN


def min_frames(labels: Any) -> int:
    """The minimum number of frames for labels: one per label and a blank between equal neighbours."""
    labels = np.asarray(labels)
    return len(labels) + int(np.count_nonzero(labels[1:] == labels[:-1]))
