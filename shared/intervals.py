"""Confidence intervals by bootstrap (Efron 1979): the middle of what drawn samples give."""

import numpy as np

LEVEL = 95  # percent of the draws that are in an interval
DRAWS = 2_000


def middle(values: np.ndarray) -> dict[str, float]:
    """The interval of the middle `LEVEL` percent of the values of draws `(draws,)`."""
    low, high = np.percentile(values, [(100 - LEVEL) / 2, (100 + LEVEL) / 2])
    return {"from": round(float(low), 4), "to": round(float(high), 4)}


def around(estimate: float, values: np.ndarray) -> dict[str, float]:
    """The interval around a biased estimate that is 0 or more (the basic bootstrap; Davison and Hinkley 1997, 5.2).

    Draws of a calibration error are higher than it is, as a drawn bin is never less uneven than the bin. So the
    distances of the draws `(draws,)` from the estimate are taken, mirrored.
    """
    return middle(np.maximum(2 * estimate - values, 0.0))


def drawn(by_group: np.ndarray) -> np.ndarray:
    """The sums `(draws, sums)` over as many groups as there are, drawn with replacement from `(groups, sums)`.

    Groups are drawn, such as speakers or pictures, where what is in a group is alike.
    """
    count = len(by_group)
    return np.random.default_rng(0).multinomial(count, [1 / count] * count, size=DRAWS) @ by_group
