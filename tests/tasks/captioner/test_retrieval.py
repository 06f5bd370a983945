"""R@k and median ranks against hand-computed ones."""

import numpy as np
import pytest

from tasks.captioner.retrieval import rank, recalls


def test_recalls_in_both_directions():
    # Photo 0 has sentences 0 and 1, photo 1 has sentence 2.
    scores = np.array([[0.1, 0.3, 0.9], [0.2, 0.0, 0.5]])
    metrics = recalls(scores, np.array([0, 0, 1]))
    assert metrics["image_to_text R@1"] == 0.5  # sentence 2 is before the best own one of photo 0
    assert metrics["image_to_text R@5"] == 1
    assert metrics["image_to_text median rank"] == 1.5
    assert metrics["text_to_image R@1"] == pytest.approx(1 / 3)  # of sentence 1 alone
    assert metrics["text_to_image median rank"] == 2
    assert rank(metrics) == pytest.approx(0.5 + 1 / 3 + 4)


def test_equal_scores_have_the_mean_rank():
    """A model that gives all pairs the same score has the recall of chance."""
    metrics = recalls(np.zeros((20, 40)), np.arange(40) // 2)
    assert metrics["text_to_image median rank"] == 1 + 19 / 2
    assert metrics["image_to_text median rank"] == 1 + 38 / 2
    assert [metrics[f"text_to_image R@{depth}"] for depth in (1, 5, 10)] == [0, 0, 1]
