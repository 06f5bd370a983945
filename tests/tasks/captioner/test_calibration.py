"""Which captions and words are right, and how far off their confidences are."""

import numpy as np
import pytest

from tasks.captioner.calibration import calibration_errors, captions_and_right, words_and_right
from tasks.captioner.confidence import Calibration, Confidence, log_odds
from tasks.captioner.data import Split
from tasks.captioner.inference import Caption

pytestmark = pytest.mark.any_backend

REFERENCES = [["A dog, running.", "The dog runs in snow."], ["Two boys play ball."], ["A red car.", "The car's red."]]
CAPTIONS = [("a red dog , runs", [0.9, 0.5, 0.25, 0.3, 0.6]), ("two boys play ball", [0.8] * 4), ("snow", [0.2])]


def captions() -> list[list[Caption]]:
    nothing = {"log_prob": -1.0, "confidence": None, "word_confidences": None}
    zeros = {"attention": np.zeros((0, 2, 2)), "sentinel": np.zeros(0)}
    return [
        [Caption(text=text, tokens=text.split(), score=-i, probabilities=np.array(p), **nothing, **zeros)]
        for i, (text, p) in enumerate(CAPTIONS)
    ]


@pytest.fixture
def split():
    return Split(records=[{}] * 3, captions=REFERENCES, inputs=np.zeros(0))


def test_a_caption_is_right_with_the_score_of_people(split):
    scores, is_right = captions_and_right(captions(), split, "flickr8k")
    np.testing.assert_array_equal(scores, [0, -1, -2])
    np.testing.assert_array_equal(is_right, [True, True, False])


def test_a_word_is_right_if_a_reference_has_it(split):
    evidence, is_right = words_and_right(captions(), split)  # without the comma
    np.testing.assert_allclose(evidence, np.log([9, 1, 1 / 3, 1.5, 4, 4, 4, 4, 0.25]), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(is_right, [True, False, True, True, True, True, True, True, False])


def test_the_log_odds_of_certain_words_are_bounded():
    log_probs = np.array([0, -1e-9, -np.log(2), -30, -np.inf], np.float32)
    np.testing.assert_allclose(log_odds(log_probs), [7, 7, 0, -7, -7], atol=1e-4)


def test_errors_of_captions_and_of_words():
    outcomes = [(np.zeros(2), np.array([True, False])), (np.log([9.0, 1.0, 1 / 3]), np.array([True, False, True]))]
    found = calibration_errors(Calibration(Confidence(1.0, np.log(3.0)), Confidence(1.0, 0.0)), outcomes)
    assert found == {"ECE": pytest.approx((0.25 + 0.75) / 2), "word ECE": pytest.approx((0.1 + 0.5 + 0.75) / 3)}
    assert calibration_errors(Calibration(Confidence(0.0, 0.0), None), outcomes) == {"ECE": 0.5}
