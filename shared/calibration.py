"""Calibration of confidences: evidence, such as log-odds or a score of a search, to the probability of being right."""

import numpy as np

TEMPERATURES = np.geomspace(0.2, 10, 200)
BINS = 10


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


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """log p of logits `(..., classes)`."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """The temperature that logits `(items, classes)` are divided by, so that the targets `(items,)` are most probable.

    Guo et al. 2017, section 4.2, with targets smoothed by 1 / (n + 2), as in Platt (1999): otherwise items that are all
    right would ask for certainty. 1 without items.
    """
    if not len(targets):
        return 1.0
    rest = 1 / (len(targets) + 2)

    def nats(temperature: float) -> float:
        log_probs = log_softmax(logits.astype(np.float64) / temperature)
        right = log_probs[np.arange(len(targets)), targets]
        return -float(((1 - rest) * right + rest * log_probs.mean(axis=-1)).mean())

    return min(TEMPERATURES.tolist(), key=nats)


def calibration_error(probabilities: np.ndarray, is_right: np.ndarray, bins: int = BINS) -> float:
    """Expected calibration error: the mean difference between a probability and how often such an answer is right.

    In bins with equal numbers of items, in the order of probability (Nguyen and O'Connor 2015, section 3).

    Args:
        probabilities: of the answers, `(items,)`.
        is_right: whether each is right, `(items,)`.
        bins: number of bins.
    """
    order = np.argsort(probabilities, kind="stable")
    differences = probabilities[order] - is_right[order]
    parts = np.array_split(differences, min(bins, len(differences)))
    return float(sum(abs(part.sum()) for part in parts) / max(1, len(differences)))
