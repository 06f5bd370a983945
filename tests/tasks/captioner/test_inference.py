"""Captions from Python."""

import numpy as np
import pytest

from shared.vocabulary import WordVocabulary
from tasks.captioner.confidence import Calibration, Confidence
from tasks.captioner.encoder import load_encoder
from tasks.captioner.inference import ImageCaptioner, read_captions
from tasks.captioner.model import load_model
from tests.tasks.captioner.conftest import picture

pytestmark = pytest.mark.any_backend


def test_captions_are_read_from_hypotheses():
    vocabulary = WordVocabulary(["<pad>", "<s>", "</s>", "<unk>", "a", "dog", "'s"])
    beam, target, rows, columns = 3, 4, 2, 5
    extras = np.arange(beam * target * (rows * columns + 1), dtype=np.float32).reshape(1, beam, target, -1)
    result = {
        "token_ids": np.array([[[4, 5, 6, 2], [2, 0, 0, 0], [0, 0, 0, 0]]]),
        "lengths": np.array([[4, 1, 0]]),
        "log_probs": np.array([[-1.5, -2.5, -np.inf]]),
        "scores": np.array([[-1.0, -2.0, -np.inf]]),
        "token_log_probs": np.log([[[0.5, 0.25, 1, 0.125], [1, 1, 1, 1], [1, 1, 1, 1]]]),
        "extras": extras,
    }
    confidence = Calibration(Confidence(slope=2.0, offset=2.0), Confidence(slope=1.0, offset=0.0))
    ((best, empty),) = read_captions(result, vocabulary, (rows, columns), confidence)  # without the empty hypothesis
    assert (best.text, best.tokens, best.log_prob, best.score) == ("a dog's", ["a", "dog", "'s"], -1.5, -1.0)
    assert best.confidence == 0.5
    np.testing.assert_allclose(best.probabilities, [0.5, 0.25, 1])
    np.testing.assert_allclose(best.word_confidences, [0.5, 0.25, 1 / (1 + np.exp(-7))], rtol=1e-5)  # bounded
    assert best.attention.shape == (3, rows, columns)
    np.testing.assert_array_equal(best.attention[1].ravel(), extras[0, 0, 1, :-1])
    np.testing.assert_array_equal(best.sentinel, extras[0, 0, :3, -1])
    assert (empty.text, empty.tokens, empty.attention.shape) == ("", [], (0, rows, columns))


def test_a_cut_caption_keeps_its_last_word():
    vocabulary = WordVocabulary(["<pad>", "<s>", "</s>", "<unk>", "a", "dog"])
    result = {
        "token_ids": np.array([[[4, 5, 5]]]),
        "lengths": np.array([[3]]),
        "log_probs": np.array([[-1.0]]),
        "scores": np.array([[-1.0]]),
        "token_log_probs": np.zeros((1, 1, 3)),
        "extras": np.zeros((1, 1, 3, 7)),
    }
    assert read_captions(result, vocabulary, (2, 3))[0][0].tokens == ["a", "dog", "dog"]


def test_a_loaded_model_captions_as_its_run_does(trained):
    images = [picture(40, 56), picture(9, 31, seed=1)]
    captioner = ImageCaptioner.load(str(trained.run.path), n_best=5)
    loaded = load_model(trained.run)
    same = ImageCaptioner(loaded, load_encoder(trained.run, loaded.config), beam=5)
    for captions, others in zip(captioner(images), same(images), strict=True):
        assert len(captions) == 5
        assert [caption.tokens for caption in captions] == [other.tokens for other in others]
        assert [caption.log_prob for caption in captions] == [other.log_prob for other in others]


def test_the_caption_follows_the_image(captioner):
    """Fails for a preprocessing that makes all images equal."""
    images = [np.full((50, 60, 3), level, np.uint8) for level in (0, 255)]
    dark, bright = captioner(images)
    assert abs(dark[0].log_prob - bright[0].log_prob) > 1e-3
