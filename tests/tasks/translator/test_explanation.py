"""Explanations of translations, by a tiny trained translator."""

import numpy as np
import pytest

from shared.errors import UserError
from tasks.translator.explanation import TranslationExplainer

SENTENCE = "four two one three"


@pytest.fixture(scope="module")
def explain(translator):
    return TranslationExplainer(translator)


def test_translations_are_those_of_the_translator_and_in_the_tree(translator, explain):
    ((part, explained),) = explain.by_part(SENTENCE)
    plain = translator([SENTENCE])[0]
    assert part == SENTENCE
    assert [best.text for best in explained.translations] == [best.text for best in plain]
    searched = explain(SENTENCE)
    assert [best.text for best in searched.translations] == [best.text for best in plain]
    np.testing.assert_allclose(searched.translations[1].attention, plain[1].attention, atol=1e-5)
    table = explain.vocabulary.target.table
    for rank, best in enumerate(plain):
        path = [node for node in explained.tree if rank in node.ranks]
        assert [table[node.token_id] for node in path[: len(best.tokens)]] == best.tokens
        assert path[-1].log_prob == pytest.approx(best.log_prob, rel=1e-4)


def test_translations_go_on_from_a_prefix(translator, explain):
    best = translator([SENTENCE])[0][0]
    prefix = " ".join(best.words[:2])
    again = explain(SENTENCE, prefix).translations[0]
    assert again.text.startswith(prefix)
    assert again.score >= best.score - 1e-4
    other = explain(SENTENCE, best.words[-2]).translations
    assert all(one.words[0] == best.words[-2] for one in other)


def test_alternatives_are_the_most_probable_continuations(translator, explain):
    best = translator([SENTENCE])[0][0]
    prefix = " ".join(best.words[:2])
    found = explain.alternatives(SENTENCE, prefix, 5)
    assert len(found) == 5
    probabilities = {one.word: one.probability for one in found}
    assert list(probabilities.values()) == sorted(probabilities.values(), reverse=True)
    assert probabilities[best.words[2]] == pytest.approx(best.probabilities[2], rel=1e-3)
    for one in found:
        if one.word:
            assert one.translation.text == explain(SENTENCE, f"{prefix} {one.word}").translations[0].text
    assert all(one.word for one in explain.alternatives(SENTENCE, "", 5))


def test_what_cannot_be_explained_is_refused(explain):
    with pytest.raises(UserError, match="the sentence is empty"):
        explain(" ", "eins")
    with pytest.raises(UserError, match="translated in 2 parts; the beginning of one was expected"):
        explain("One two. Three four.", "eins")
    with pytest.raises(UserError, match=r"the beginning has \d+ tokens; at most"):
        explain(SENTENCE, "ein " * 500)
