"""R@k and median ranks against hand-computed ones, and maxima in boxes."""

import numpy as np
import pytest

from tasks.captioner.retrieval import is_inside, rank, recalls


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


@pytest.mark.parametrize(
    ("box", "inside"), [((0, 0.5, 0.5, 1), True), ((0.5, 0.5, 1, 1), False), ((0, 0, 1, 0.8), False)]
)
def test_a_cell_is_where_its_centre_is(box, inside):
    relevance = np.array([[0.0, 0.1, 0.9], [0.3, 0.2, 0.1]])  # the maximum is at y 0.25, x 0.83
    assert is_inside(relevance, box) is inside
