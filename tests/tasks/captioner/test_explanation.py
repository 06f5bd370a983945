"""Explanations of captions, by a tiny trained captioner."""

import numpy as np
import pytest

from shared.errors import UserError
from tasks.captioner.explanation import CaptionExplainer
from tasks.captioner.inference import ImageCaptioner

IMAGE = np.random.default_rng(3).integers(0, 256, (40, 50, 3), np.uint8)


@pytest.fixture(scope="module")
def explain(captioner):
    return CaptionExplainer(captioner)


@pytest.fixture(scope="module")
def captioner(trained):
    return ImageCaptioner.load(str(trained.run.path))


def test_captions_are_those_of_the_captioner_and_in_the_tree(captioner, explain):
    explained, plain = explain(IMAGE), captioner([IMAGE])[0]
    assert [caption.text for caption in explained.captions] == [caption.text for caption in plain]
    np.testing.assert_allclose(explained.captions[1].attention, plain[1].attention, atol=1e-5)
    for rank, caption in enumerate(plain):
        path = [node for node in explained.tree if rank in node.ranks]
        assert [captioner.vocabulary.table[node.token_id] for node in path] == [*caption.tokens, "</s>"]
        assert path[-1].log_prob == pytest.approx(caption.log_prob, rel=1e-4)
        np.testing.assert_allclose([node.probability for node in path[:-1]], caption.probabilities, rtol=1e-3)
    assert len({(node.parent, node.token_id) for node in explained.tree}) == len(explained.tree)


def test_captions_go_on_from_a_prefix_with_words_that_the_model_does_not_know(captioner, explain):
    best = captioner([IMAGE])[0][0]
    again = explain(IMAGE, " ".join(best.tokens[:3])).captions[0]
    assert again.score >= best.score - 1e-4
    assert again.tokens[:3] == best.tokens[:3]
    np.testing.assert_allclose(again.probabilities[:3], best.probabilities[:3], rtol=1e-4)
    given = explain.words(f"{best.tokens[0]} Zyx")
    found = explain(IMAGE, " ".join(given))
    assert all(caption.tokens[:2] == given and given[1] in caption.text for caption in found.captions)
    with pytest.raises(UserError, match="has 20 words; at most 19"):
        explain(IMAGE, "a " * 20)


def test_alternatives_are_the_most_probable_next_words_with_their_captions(captioner, explain):
    best = captioner([IMAGE])[0][0]
    prefix = best.tokens[:2]
    found = explain.alternatives(IMAGE, " ".join(prefix), count=6)
    assert len(found) == 6
    probabilities = {one.word: one.probability for one in found}
    assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
    assert probabilities[best.tokens[2]] == pytest.approx(best.probabilities[2], rel=1e-3)
    for one in found:
        assert one.caption.tokens[: 2 + bool(one.word)] == [*prefix, one.word][: 2 + bool(one.word)]
        expected = explain(IMAGE, " ".join([*prefix, one.word])).captions[0].text if one.word else " ".join(prefix)
        assert one.caption.text == expected


def test_the_end_is_an_alternative_but_not_to_nothing(captioner, explain):
    best = captioner([IMAGE])[0][0]
    size = len(captioner.vocabulary)
    (end,) = [one for one in explain.alternatives(IMAGE, " ".join(best.tokens), count=size) if not one.word]
    assert end.caption.text == best.text
    assert end.caption.log_prob == pytest.approx(best.log_prob, rel=1e-4)
    at_start = explain.alternatives(IMAGE, count=size)
    assert all(one.word for one in at_start)
    assert len(at_start) == size - 4
