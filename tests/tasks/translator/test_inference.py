"""Translation and scoring: alignment, unknown words, batches, ensembles."""

from dataclasses import replace

import numpy as np
import pytest

from shared.errors import UserError
from shared.loaded import Loaded
from shared.runs import write_json
from shared.vocabulary import SubwordVocabulary, WordVocabulary
from tasks.translator import inference
from tasks.translator.config import SCENES
from tasks.translator.inference import PairScore, PairScorer, Translator
from tasks.translator.model import build_model
from tasks.translator.translation import Kept, hard_alignment, word_attention, word_indices
from tasks.translator.vocabularies import Vocabularies
from tests.tasks.translator.conftest import needs_right_words, translation

pytestmark = pytest.mark.any_backend


def test_translation_and_alignment(translator):
    best, second, *_ = translator(["one two three"])[0]
    assert (best.text, best.words, best.source_words) == ("drei zwei eins", best.text.split(), ["one", "two", "three"])
    assert best.log_prob > second.log_prob
    assert best.attention.shape == (3, 4)
    assert best.alignment == [(2, 0), (1, 1), (0, 2)]
    np.testing.assert_allclose(np.log(best.probabilities), best.token_log_probs, rtol=1e-5)
    assert best.log_prob < best.token_log_probs.sum()  # which lack the end token


def test_other_sentences_order_and_white_space_change_nothing(translator):
    sentences = ["one two three", "five four", "", "two   two\tone\n", "five"]
    in_batch = translator(sentences)
    for sentence, translations in zip(sentences, in_batch, strict=True):
        (alone,) = translator([sentence])
        assert [best.text for best in alone] == [best.text for best in translations]
        assert alone[0].log_prob == pytest.approx(translations[0].log_prob, abs=1e-4)
    assert [best[0].text for best in translator(sentences[::-1])] == [best[0].text for best in in_batch[::-1]]
    assert in_batch[3][0].text == "eins zwei zwei"
    (empty,) = in_batch[2]
    assert (empty.text, empty.log_prob, empty.alignment) == ("", 0.0, [])


@needs_right_words
def test_repeated_sentences_are_searched_once(translator, monkeypatch):
    searched = []
    search = translator.search.predict_on_batch
    monkeypatch.setattr(
        translator.search, "predict_on_batch", lambda inputs: searched.extend(inputs["source_ids"]) or search(inputs)
    )
    first, other, again = translator(["two one", "three", " two  one"])
    assert len(searched) == 2
    assert (again, other[0].text) == (first, "drei")


@needs_right_words
def test_unknown_words_are_copied_along_attention(translator):
    best = translator(["four \u732b\U0001f600"])[0][0]
    assert best.unknown == ["\u732b\U0001f600"]
    assert best.text == "\u732b\U0001f600 vier"
    assert best.tokens == best.words == ["\u732b\U0001f600", "vier"]


def test_long_sentences_are_refused(translator):
    assert translator.refusal("one " * 18) is None
    assert translator.refusal("one " * 19) == "has 19 tokens, more than twice the 9 of training; split it"
    with pytest.raises(UserError, match="has 5,000 tokens"):
        translator(["one", "one " * 5000])
    assert translator.accepted(["one", "one " * 5000]) == ["one", ""]


@pytest.mark.parametrize("text", ["\u00a0", "&nbsp; ", "\u3000\u3000", " \u2028 ", ""])
def test_white_space_of_any_kind_is_an_empty_text(translator, text):
    (best,), *_ = translator([text, "one"])
    assert (best.text, best.score, translator.refusal(text)) == ("", 0, None)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("one two ! three four", ["one two !", "three four"]),
        ("one two three four five one , two three four five", ["one two three four five one ,", "two three four five"]),
    ],
)
def test_texts_are_divided_and_their_translations_joined(translator, text, parts):
    (whole, *_), *divided = translator([text, *parts])
    bests = [best for best, *_ in divided]
    assert whole.text == " ".join(best.text for best in bests)
    assert whole.source_words == text.split()
    assert whole.score == pytest.approx(sum(best.score for best in bests), abs=1e-4)
    assert whole.attention.shape == (len(whole.words), len(text.split()) + 1)
    as_is = Translator(*translator.loaded, beam=3, as_is=True)
    assert as_is([text])[0][0].log_prob != pytest.approx(whole.log_prob, abs=1e-3)


def test_numbers_are_kept_by_placeholders():
    """A model that copies known words, and translates unknown ones to a dot."""
    pieces = [f" {word}" for word in ("Ein", "Hund", "5", "3", "John")]
    subwords = SubwordVocabulary([*SubwordVocabulary.reserved, *pieces, "."])
    translator = Translator.__new__(Translator)
    translator.vocabulary, translator.as_is = Vocabularies(subwords, subwords), False
    translator.config = replace(SCENES, source="en", target="de")

    def search(sentences):
        searched.extend(sentences)
        found = []
        for sentence in sentences:
            words = sentence.split()
            known = [word if len(subwords.encode(word)) == 1 else "." for word in words]
            best = translation(known, np.eye(len(words), len(words) + 1), words)
            found.append([replace(best, score=-1.0 * known.count(".") - known.count("5"))])
        return found

    searched: list[str] = []
    translator._search = search
    ((best,), (known,)) = ([t[0]] for t in translator(["Ein Hund 37", "Ein Hund 3"]))
    assert (best.text, best.kept) == ("Ein Hund 37", [Kept("37", 2, 2, "placeholder")])
    assert best.score == 0  # with the placeholder 3, not 5
    assert (known.text, known.kept) == ("Ein Hund 3", [Kept("3", 2, 2, "model")])
    assert searched == ["Ein Hund 37", "Ein Hund 3", "Ein Hund 5", "Ein Hund 3"]


def test_an_ensemble_of_a_model_with_itself_changes_nothing(translator):
    twice = Translator.load("a-en-de", "a-en-de", beam=3)
    (expected,), (translations,) = translator(["one two three"]), twice(["one two three"])
    for one, other in zip(expected, translations, strict=True):
        assert one.text == other.text
        assert one.log_prob == pytest.approx(other.log_prob, abs=1e-4)
        np.testing.assert_allclose(one.attention, other.attention, atol=1e-5)


def test_ensembles_of_different_languages_or_vocabularies_are_refused(trained, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    for path in trained.run.path.glob("*.*"):
        (other / path.name).write_bytes(path.read_bytes())
    config = trained.run.config
    write_json(other / "config.json", config | {"config": config["config"] | {"source": "fr"}})
    with pytest.raises(UserError, match="other translates from fr to de, a-en-de from en to de"):
        Translator.load("a-en-de", str(other))
    write_json(other / "config.json", config)
    table = list(WordVocabulary.load(other / "vocabulary.json").table)
    WordVocabulary([*table[:-2], table[-1], table[-2]]).save(other / "vocabulary.json")
    with pytest.raises(UserError, match="other and a-en-de have different vocabularies"):
        Translator.load("a-en-de", str(other))


def test_tokens_to_words_by_hand():
    vocabulary = SubwordVocabulary([*SubwordVocabulary.reserved, " a", " dog", "s", "."])
    ids = vocabulary.encode("dogs a.")
    indices = word_indices(vocabulary, ids)
    assert vocabulary.tokens(ids) == [" dog", "s", " a", "."]
    assert indices.tolist() == [0, 0, 1, 1]
    attention = np.array([[0.5, 0.25, 0.25, 0, 0], [0.1, 0.1, 0.2, 0.2, 0.4]])  # (target, source + 1)
    of_words = word_attention(attention, indices, np.array([0, 0]))
    np.testing.assert_allclose(of_words, [[0.475, 0.325, 0.2]])
    assert hard_alignment(of_words) == [(0, 0)]
    assert hard_alignment(np.array([[0.1, 0.2, 0.7], [0.0, 0.6, 0.4], [0.0, 0.0, 0.0]])) == [(1, 1)]


@pytest.mark.slow
def test_translations_of_subwords_have_words():
    config = replace(SCENES, vocabulary="subwords", joint_vocabulary=True, units=5, embedding_units=6, max_length=7)
    subwords = SubwordVocabulary.train(["a dog runs", "dogs run"] * 3, 280)
    vocabulary = Vocabularies(subwords, subwords)
    translator = Translator(Loaded(config, vocabulary, build_model(config, vocabulary)), beam=2)  # untrained
    assert [best.text for best in translator(["", " \t"])[1]] == [""]
    for best in translator(["a dog \u732b runs"])[0]:
        assert best.source_words == ["a", "dog", "\u732b", "runs"]
        assert best.attention.shape == (len(best.words), 5)
        assert best.unknown == []
        assert subwords.unknown_id not in subwords.encode(best.text)


def test_the_score_of_a_translation_is_that_of_the_search(translator, scorer):
    for translations in translator(["one two three", "five four"]):
        for best in translations[:2]:
            (score,) = scorer([(" ".join(best.source_words), best.text)])
            assert score.log_prob == pytest.approx(best.log_prob, abs=1e-4)
            np.testing.assert_allclose(score.log_probs[:-1], best.token_log_probs, atol=1e-4)
            np.testing.assert_allclose(score.attention[:-1], best.attention, atol=1e-4)


def test_right_translations_are_more_probable(scorer):
    right, wrong = scorer([("one two", "zwei eins"), ("one two", "eins zwei")])
    assert right.log_prob > wrong.log_prob + 2
    assert right.tokens == ["zwei", "eins", "</s>"]
    assert right.perplexity == pytest.approx(np.exp(-right.log_prob / 3))
    assert right.attention.shape == (3, 3)
    np.testing.assert_allclose(right.attention.sum(axis=1), 1, rtol=1e-5)


def test_an_alignment_of_subwords_is_of_words():
    """Attention by hand: both tokens of `runs` look at those of `läuft`, `a` at `ein`, the end at the end."""
    source, target = (
        SubwordVocabulary([*SubwordVocabulary.reserved, *pieces])
        for pieces in ((" ein", " l\u00e4u", "ft"), (" a", " ru", "ns"))
    )
    scorer = PairScorer.__new__(PairScorer)
    scorer.vocabulary = Vocabularies(source, target)
    attention = np.array([[0.6, 0.2, 0.1, 0.1], [0.4, 0.3, 0.3, 0.0], [0.4, 0.3, 0.3, 0.0], [0, 0, 0, 1]])
    tokens = {"tokens": ["a", "ru", "ns", "</s>"], "log_probs": np.zeros(4), "unknown": [False] * 4}
    score = PairScore(source="ein l\u00e4uft", target="a runs", attention=attention, **tokens)
    assert scorer.alignment(score) == [(0, 0), (1, 1)]


def test_pairs_that_are_too_long_are_refused(scorer, monkeypatch):
    monkeypatch.setattr(inference, "MAX_ATTENTION", 12)
    assert len(scorer([("one two three", "eins zwei")])) == 1
    too_long = "'one two three four' and its translation: tokens of a sentence 5 x of its translation 3: 15 attention"
    with pytest.raises(UserError, match=too_long):
        scorer([("one", "eins"), ("one two three four", "eins zwei")])
    monkeypatch.setattr(inference, "MAX_LOGITS", 3 * len(scorer.vocabulary.target))
    with pytest.raises(UserError, match="tokens of a translation 4 x words"):
        scorer([("one", "eins zwei drei")])


def test_other_pairs_change_no_score(scorer):
    pairs = [("one two", "zwei eins"), ("", ""), ("three", "zyzzyva drei drei drei"), ("one  two\t", " zwei eins")]
    in_batch = scorer(pairs)
    for pair, score in zip(pairs, in_batch, strict=True):
        np.testing.assert_allclose(scorer([pair])[0].log_probs, score.log_probs, atol=1e-5)
    assert in_batch[0].log_prob == pytest.approx(in_batch[3].log_prob, abs=1e-5)
    assert in_batch[1].tokens == ["</s>"]
    assert in_batch[2].unknown == [True, False, False, False, False]


def test_batches_are_smaller_with_a_wide_beam(translator, monkeypatch):
    sentences = ["one two", "three", "four five one", ""]
    expected = [best[0].text for best in translator(sentences)]
    monkeypatch.setattr(inference, "MAX_SCORES", translator.config.beam * len(translator.vocabulary.target) * 4)
    assert translator._batch_tokens == 4
    assert [best[0].text for best in translator(sentences)] == expected
