"""Confidence intervals by bootstrap (Efron 1979): the middle of what drawn samples give."""

import numpy as np

LEVEL = 95  # percent of the draws that are in an interval


def middle(values: np.ndarray) -> dict[str, float]:
    """The interval of the middle `LEVEL` percent of the values of draws `(draws,)`."""
    low, high = np.percentile(values, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return {"from": round(float(low), 4), "to": round(float(high), 4)}
