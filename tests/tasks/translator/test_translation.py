"""From sentences to translations: alignment, unknown words, company, ensembles, a language model's say."""

from dataclasses import replace

import numpy as np
import pytest

from shared.errors import UserError
from shared.runs import write_json
from shared.vocabulary import SubwordVocabulary, WordVocabulary
from tasks.translator.fusion import LanguageModel
from tasks.translator.score import PairScorer
from tasks.translator.translation import Translator, between_words, hard_alignment, word_numbers


@pytest.fixture(scope="module")
def translate(trained):
    return Translator.load("a-en-de", beam=3)


def test_words_are_turned_around_and_known_to_be(translate):
    best, second, *_ = translate(["one two three"])[0]
    assert (best.text, best.words, best.source_words) == ("drei zwei eins", best.text.split(), ["one", "two", "three"])
    assert best.log_prob > second.log_prob
    assert best.attention.shape == (3, 4)
    assert best.alignment == [(2, 0), (1, 1), (0, 2)]
    np.testing.assert_allclose(np.log(best.probabilities), best.token_log_probs, rtol=1e-5)
    assert best.log_prob < best.token_log_probs.sum()  # the end costs something, too


def test_company_order_and_space_change_nothing(translate):
    sentences = ["one two three", "five four", "", "two   two\tone\n", "five"]
    together = translate(sentences)
    for sentence, found in zip(sentences, together, strict=True):
        (alone,) = translate([sentence])
        assert [one.text for one in alone] == [one.text for one in found]
        assert alone[0].log_prob == pytest.approx(found[0].log_prob, abs=1e-4)
    assert [best[0].text for best in translate(sentences[::-1])] == [best[0].text for best in together[::-1]]
    assert together[3][0].text == "eins zwei zwei"
    (nothing,) = together[2]
    assert (nothing.text, nothing.log_prob, nothing.alignment) == ("", 0.0, [])


def test_what_comes_again_is_asked_once(translate, monkeypatch):
    asked = []
    search = translate.searcher.predict_on_batch
    monkeypatch.setattr(translate.searcher, "predict_on_batch", lambda ids: asked.extend(ids) or search(ids))
    once, other, again = translate(["two one", "three", " two  one"])
    assert len(asked) == 2
    assert (again, other[0].text) == (once, "drei")


def test_unknown_words_are_copied_from_where_the_model_looked(translate):
    best = translate(["four \u732b\U0001f600"])[0][0]
    assert best.unknown == ["\u732b\U0001f600"]
    assert best.text == "\u732b\U0001f600 vier"
    assert best.tokens == best.words == ["\u732b\U0001f600", "vier"]


def test_its_score_is_that_of_the_same_pair(translate, trained):
    scorer = PairScorer.load("a-en-de")
    for found in translate(["one two three", "five four"]):
        for one in found[:2]:
            (score,) = scorer([(" ".join(one.source_words), one.text)])
            assert score.log_prob == pytest.approx(one.log_prob, abs=1e-4)
            np.testing.assert_allclose(score.log_probs[:-1], one.token_log_probs, atol=1e-4)
            np.testing.assert_allclose(score.attention[:-1], one.attention, atol=1e-4)


def test_a_sentence_far_longer_than_those_of_training_is_refused(translate):
    assert translate.refusal("one " * 18) is None
    assert translate.refusal("one " * 19) == "has 19 tokens, more than twice the 9 of training; split it"
    with pytest.raises(UserError, match="has 5,000 tokens"):
        translate(["one", "one " * 5000])


def test_a_model_together_with_itself_says_the_same(translate):
    twice = Translator.load("a-en-de", "a-en-de", beam=3)
    for one, two in zip(translate(["one two three"])[0], twice(["one two three"])[0], strict=True):
        assert one.text == two.text
        assert one.log_prob == pytest.approx(two.log_prob, abs=1e-4)
        np.testing.assert_allclose(one.attention, two.attention, atol=1e-5)


def test_models_that_do_not_belong_together_are_refused(trained, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for path in trained.run.path.glob("*.*"):
        (other / path.name).write_bytes(path.read_bytes())
    config = trained.run.config
    write_json(other / "config.json", config | {"config": config["config"] | {"source": "fr"}})
    with pytest.raises(UserError, match="other translates from fr to de, a-en-de from en to de"):
        Translator.load("a-en-de", str(other))
    write_json(other / "config.json", config)
    vocabulary = WordVocabulary.load(other / "vocabulary.json")
    table = list(vocabulary.table)
    WordVocabulary([*table[:-2], table[-1], table[-2]]).save(other / "vocabulary.json")
    with pytest.raises(UserError, match="other vocabularies"):
        Translator.load("a-en-de", str(other))


def test_a_language_model_has_its_say(translate):
    class Contrary(LanguageModel):
        """Likes what is long."""

        def __init__(self, weight):
            self.weight = weight

        def log_probs(self, texts):
            return [float(len(text)) for text in texts]

    (before,) = translate(["one two three"])
    for weight, expected in ((0.0, before), (100.0, sorted(before, key=lambda one: -len(one.text)))):
        joined = Translator(
            translate.models, translate.source, translate.target, replace(translate.config, length_penalty=0.0),
            Contrary(weight),
        )  # fmt: skip
        (found,) = joined(["one two three"])
        assert found[0].text == expected[0].text
        score = found[0].log_prob + weight * len(found[0].text)
        assert found[0].score == pytest.approx(score, rel=1e-5)


def test_tokens_become_words_by_hand():
    vocabulary = SubwordVocabulary([*SubwordVocabulary.reserved, " a", " dog", "s", "."])
    ids = vocabulary.encode("dogs a.")
    numbers = word_numbers(vocabulary, ids)
    assert vocabulary.tokens(ids) == [" dog", "s", " a", "."]
    assert numbers.tolist() == [0, 0, 1, 1]
    weights = np.array([[0.5, 0.25, 0.25, 0, 0], [0.1, 0.1, 0.2, 0.2, 0.4]])  # (target, source + 1)
    of_words = between_words(weights, numbers, np.array([0, 0]))
    np.testing.assert_allclose(of_words, [[0.475, 0.325, 0.2]])
    assert hard_alignment(of_words) == [(0, 0)]
    assert hard_alignment(np.array([[0.1, 0.2, 0.7], [0.0, 0.6, 0.4], [0.0, 0.0, 0.0]])) == [(1, 1)]


def test_subwords_are_told_as_words(trained):
    """An untrained model of subwords: whatever it writes, its words are those between spaces."""
    from tasks.translator.config import SCENES
    from tasks.translator.model import build_model

    config = replace(SCENES, vocabulary="subwords", joint=True, units=5, embedding_units=6, max_length=7, beam=2)
    vocabulary = SubwordVocabulary.train(["a dog runs", "dogs run"] * 3, 280)
    model = build_model(config, len(vocabulary), len(vocabulary))
    translator = Translator([model], vocabulary, vocabulary, config)
    assert [one.text for one in translator(["", " \t"])[1]] == [""]  # though subwords spell a space for nothing
    for found in translator(["a dog \u732b runs"])[0]:
        assert found.source_words == ["a", "dog", "\u732b", "runs"]
        assert found.attention.shape == (len(found.words), 5)
        assert found.unknown == []
        assert vocabulary.unknown_id not in vocabulary.encode(found.text)
