"""Regions of words, and the finder from Python."""

import numpy as np
import pytest

from shared.errors import ListError, UserError
from tasks.captioner.find import as_text, position
from tasks.captioner.finder import WIDTH
from tasks.captioner.finding import MAX_WORDS, FoundWord, Match
from tests.tasks.captioner.conftest import picture


def word(relevance, text="dog") -> FoundWord:
    relevance = np.array(relevance, float)
    return FoundWord(word=text, is_known=True, score=float(relevance.sum()), relevance=relevance, fit=relevance)


def test_a_region_is_what_is_connected_with_the_maximum():
    relevance = [[0.0, 0.9, 0.5, 0.1, 0.8], [0.1, 0.4, 0.6, 0.0, 0.0]]  # 0.8 is apart
    assert word(relevance).region == (0, 0.2, 1, 0.6)
    assert word([[0, 0, 0, 0], [0, 0, 0, 1]]).region == (0.5, 0.75, 1, 1)
    assert word([[-2, -1, -2, -3]]).region == (0, 0.25, 1, 0.5)


@pytest.mark.parametrize(
    ("relevance", "where"),
    [([[0, 0, 0], [0, 0, 0], [0, 0, 1]], "bottom right"), ([[1, 1, 1]], "middle"), ([[1], [0], [0]], "top middle")],
)
def test_a_position_in_words(relevance, where):
    assert position(word(relevance)) == where


def test_telling_words_have_at_least_an_equal_share():
    words = [word([[0.5, 0.1]], "dog"), word([[0.1, 0.0]], "a"), word([[-0.3, 0.2]], "in"), word([[0.0, 0.3]], "snow")]
    match = Match(sentence="Dog!", score=0.9, words=words)
    assert [each.word for each in match.telling] == ["dog", "snow"]
    assert as_text("x.jpg", match) == "0.900  x.jpg  (dog middle left, snow middle right)"
    assert Match(sentence="dog", score=-0.2, words=[word([[-0.2, -0.1]])]).telling == []


def test_scores_are_products_and_sums_of_shares(finder):
    images, sentences = [picture(), picture(30, 64, seed=5)], ["a small red circle .", "a star"]
    scores = finder.of_images(images) @ finder.of_texts(sentences).T
    assert scores.shape == (2, 2)
    for image, row in zip(images, scores, strict=True):
        for match, score in zip(finder.match(image, sentences), row, strict=True):
            assert match.score == pytest.approx(score, abs=1e-5)
            assert sum(each.score for each in match.words) == pytest.approx(score, abs=1e-4)
            assert all(each.relevance.shape == (4, 4) for each in match.words)
    assert [each.word for each in finder.match(images[0], sentences)[0].words] == ["a", "small", "red", "circle", "."]


def test_sentences_that_say_nothing_are_refused(finder):
    for text, problem in (
        ("", "has no word;"),
        ("zzz qqq", "no word that the model"),
        ("a " * 201, f"most {MAX_WORDS}"),
    ):
        with pytest.raises(UserError, match=problem):
            finder.of_texts(["a circle", text])
    assert finder.match(picture(), ["a zzz"])[0].words[1].is_known is False
    with pytest.raises(ListError):
        finder.of_texts("a circle")
    with pytest.raises(ListError):
        finder.of_images(picture())


def test_no_image_gives_no_vector(finder):
    assert finder.of_images([]).shape == (0, WIDTH)
    assert finder.of_texts([]).shape == (0, WIDTH)
