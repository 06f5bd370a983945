"""The finder's vectors: of length 1, sums of their parts, and the same in any batch."""

from typing import Any

import keras
import numpy as np
import pytest

from tasks.captioner.finder import WIDTH, Finder, ImageFunction, TextFunction, shares, unit

pytestmark = pytest.mark.any_backend
ops: Any = keras.ops  # Keras declares no result types for its operations
VOCAB, CHANNELS = 9, 6


@pytest.fixture(scope="module")
def finder():
    keras.utils.set_random_seed(3)
    finder = Finder(VOCAB, CHANNELS)
    finder.build()
    return finder


def test_shares_add_up_to_length_one():
    parts = np.array([[[3.0, 0.0], [0.0, 4.0]], [[0.0, 0.0], [0.0, 0.0]]], np.float32)
    np.testing.assert_allclose(shares(parts), [[[0.6, 0], [0, 0.8]], [[0, 0], [0, 0]]], atol=1e-6)


def test_zeros_have_no_direction_and_a_derivative():
    zeros: Any = ops.zeros((2, 3, 4))
    assert not ops.convert_to_numpy(unit(zeros)).any()
    if keras.backend.backend() == "jax":
        import jax

        found = jax.grad(lambda x: ops.sum(unit(x)) + ops.sum(shares(x)))(zeros)
    else:
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(zeros)
            total = ops.sum(unit(zeros)) + ops.sum(shares(zeros))
        found = tape.gradient(total, zeros)
    assert np.isfinite(found).all()


def test_a_score_is_the_sum_of_the_shares_of_words_and_cells(finder):
    grid = np.random.default_rng(0).standard_normal((2, 3, 5, CHANNELS)).astype(np.float32)
    photos = ImageFunction(finder, None).predict_on_batch(grid)
    texts = TextFunction(finder).predict_on_batch({"token_ids": np.array([[4, 5, 6, 4]], np.int32)})
    assert photos["cells"].shape == (2, 3, 5, WIDTH)
    np.testing.assert_allclose(np.linalg.norm(photos["photo"], axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(photos["photo"], ops.convert_to_numpy(finder.photos(grid)), atol=1e-5)
    parts = np.einsum("twd,phcd->tpwhc", texts["words"][:, :4], photos["cells"])
    np.testing.assert_allclose(parts.sum(axis=(2, 3, 4)), texts["sentence"] @ photos["photo"].T, atol=1e-5)


def test_padding_changes_nothing(finder):
    texts = TextFunction(finder)
    alone = texts.predict_on_batch({"token_ids": np.array([[4, 5, 6]], np.int32)})
    together = texts.predict_on_batch({"token_ids": np.array([[7, 8, 7, 8, 7], [4, 5, 6, 0, 0]], np.int32)})
    np.testing.assert_allclose(together["sentence"][1], alone["sentence"][0], atol=1e-5)
    np.testing.assert_allclose(together["words"][1, :3], alone["words"][0, :3], atol=1e-5)
    assert not together["words"][1, 3:].any()


def test_a_word_depends_on_the_words_before_and_after_it(finder):
    texts = TextFunction(finder).predict_on_batch({"token_ids": np.array([[4, 5, 6], [7, 5, 6], [4, 5, 8]], np.int32)})
    middle = finder.words(np.array([[4, 5, 6], [7, 5, 6], [4, 5, 8]], np.int32))[:, 1]
    assert texts["words"].shape[2] == WIDTH
    assert not np.allclose(middle[0], middle[1])
    assert not np.allclose(middle[0], middle[2])
