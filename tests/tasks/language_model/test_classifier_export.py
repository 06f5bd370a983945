"""The SavedModel of a classifier gives the labels of the Python model."""

from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf

from shared.export import ParityError
from shared.loaded import Loaded
from shared.text_in_graph import text_table
from shared.vocabulary import SubwordVocabulary
from tasks.language_model.classification import NO_WORDS, NONE_KNOWN, TextClassifier
from tasks.language_model.classifier import build_classifier, load_classifier
from tasks.language_model.classifier_export import WordsInGraph, endpoints, parity_check
from tasks.language_model.export import export
from tasks.language_model.plain_words import spaced
from tests.tasks.language_model.test_plain_words import TEXTS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def loaded(classifier):
    return tf.saved_model.load(str(export("labels")))


def test_words_in_a_graph():
    texts = [text for text in TEXTS if "\ud800" not in text] + ["x" * 5 + "\u212b\u2126 \uac00", "'s 's n't"]
    found = [text.decode() for text in WordsInGraph()(tf.constant(texts)).numpy()]
    assert found == [spaced(text) for text in texts]


def test_labels_and_errors(classifier, loaded):
    texts = ["The cat LIKES the dog.", "", "\u732b", "the hen feeds the fox . " * 200]
    outputs = {name: value.numpy() for name, value in loaded.classify(tf.constant(texts)).items()}
    expected = TextClassifier(load_classifier(classifier.run))(texts)
    assert outputs["labels"].tolist() == [b"plain fact", b"warm"]
    assert [label.decode() or None for label in outputs["label"]] == [found.label for found in expected]
    np.testing.assert_allclose(outputs["probability"], [found.probability for found in expected], atol=1e-4)
    assert [error.decode() for error in outputs["error"]] == ["", NO_WORDS, NONE_KNOWN, ""]
    slim = loaded.signatures["serving_default"](text=tf.constant([b"the \xff cat likes"]))
    assert slim.keys() == {"label", "probability", "error"}
    assert "is not UTF-8" in slim["error"].numpy()[0].decode()
    assert loaded.classify(tf.zeros([0], tf.string))["probabilities"].shape == (0, 2)


def test_a_line_break_is_read_as_a_space(classifier):
    vocabulary = SubwordVocabulary.characters(["the cat likes"])
    config = replace(classifier.config, vocabulary="characters")
    in_python = Loaded(config, vocabulary, build_classifier(config, vocabulary, ["cold", "warm"]))
    classify = endpoints(in_python, text_table(vocabulary), None)["classify"].function
    texts = ["the\r\ncat likes", "the cat likes"]
    found = classify(tf.constant(texts))["probability"].numpy()
    np.testing.assert_allclose(found, [each.probability for each in TextClassifier(in_python)(texts)], atol=1e-5)
    assert found[0] == pytest.approx(found[1])


def test_a_model_with_different_outputs_is_refused(classifier, loaded, monkeypatch):
    check = parity_check(load_classifier(classifier.run))
    check(loaded)
    monkeypatch.setattr("tasks.language_model.classifier_export.TOLERANCE", -1.0)
    with pytest.raises(ParityError, match="nothing was exported"):
        check(loaded)
