"""Calibration of confidences: evidence, such as log-odds or a score of a search, to the probability of being right."""

import numpy as np


def fit_log_odds(evidence: np.ndarray, is_right: np.ndarray) -> np.ndarray:
    """Slope and offset `(2,)` of the log-odds, linear in the evidence `(items,)`, that best predict what is right.

    Platt scaling (Platt 1999): Newton's method on the likelihood, with a right and a wrong item at evidence 0 added.
    """
    evidence = np.stack([np.append(evidence, [0.0, 0.0]), np.ones(len(evidence) + 2)])
    is_right, fitted = np.append(is_right, [1, 0]), np.array([1.0, 0.0])
    for _ in range(20):
        predicted = probability(fitted @ evidence)
        curvature = (evidence * predicted * (1 - predicted)) @ evidence.T + 1e-6 * np.eye(2)
        fitted = fitted + np.linalg.solve(curvature, evidence @ (is_right - predicted))
    return fitted


def probability(log_odds: np.ndarray) -> np.ndarray:
    """The probability of log-odds."""
    return 1 / (1 + np.exp(np.minimum(-log_odds, 700)))  # exp(710) overflows
