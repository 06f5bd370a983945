"""Calibration: temperature and log-odds."""

from dataclasses import replace

import numpy as np
import pytest

from shared.audio import pad_samples
from shared.phones import SpokenWord
from tasks.phoneme_recognizer.calibration import (
    TEMPERATURES,
    TemperatureFitter,
    fit_belief,
    fit_temperature,
    transcribed,
)
from tasks.phoneme_recognizer.data import Split, load_split
from tasks.phoneme_recognizer.model import load_model, load_ngrams
from tests.tasks.phoneme_recognizer.conftest import CONFIG, VOCABULARY, sound

pytestmark = pytest.mark.any_backend


def test_probabilities_at_each_temperature_equal_those_of_the_model(trained):
    model = load_model(trained.run).model
    samples, lengths = pad_samples([sound("aims"), sound("si")])
    _, counts, probabilities = TemperatureFitter(model).predict_on_batch({"samples": samples, "lengths": lengths})
    for index in (0, 11, 24):
        model.temperature.assign(TEMPERATURES[index])
        segments = model.decode(samples, lengths)
        np.testing.assert_array_equal(np.asarray(segments.label_lengths)[:, 0], counts)
        for row, count in enumerate(counts):
            expected = segments.probabilities[row, 0, :count]
            np.testing.assert_allclose(probabilities[row, index, :count], expected, atol=1e-4)


def test_more_errors_raise_the_temperature(trained):
    loaded = load_model(trained.run)
    dev = load_split(CONFIG, "dev")
    fitted = fit_temperature(loaded, dev)
    assert float(loaded.model.temperature) == pytest.approx(fitted)
    others = dict(zip(VOCABULARY.phones, (*VOCABULARY.phones[1:], VOCABULARY.phones[0]), strict=True))
    changed = [
        replace(utterance, phones=(others[utterance.phones[0]], *utterance.phones[1:])) for utterance in dev.utterances
    ]
    assert fit_temperature(loaded, Split(dev.records, changed)) > fitted


def test_phones_of_a_dictionary_do_not_count_beside_transcribed_ones(trained):
    dev = load_split(CONFIG, "dev")
    said = SpokenWord("a", (("aa",), ("iy",)))
    pronounced = [replace(utterance, words=(said,)) for utterance in dev.utterances]
    mixed = transcribed(Split(dev.records, [*pronounced[:4], *dev.utterances[4:]]))
    assert [utterance.index for utterance in mixed.utterances] == [4, 5]
    assert mixed.records is dev.records
    assert transcribed(Split(dev.records, pronounced)).utterances == pronounced


def test_belief_recovers_the_slope_and_offset_of_the_log_odds():
    rng = np.random.default_rng(4)
    log_odds = rng.normal(0, 2, 50_000)
    is_right = rng.random(50_000) < 1 / (1 + np.exp(-(0.5 * log_odds + 1)))
    np.testing.assert_allclose(fit_belief(1 / (1 + np.exp(-log_odds)), is_right), [0.5, 1], atol=0.05)
    assert np.isfinite(fit_belief(np.ones(9), np.ones(9, bool))).all()
    assert np.isfinite(fit_belief(np.array([]), np.array([], bool))).all()


def test_belief_applies_to_probabilities_found_with_ngrams(trained):
    model = load_model(trained.run).model
    samples, lengths = pad_samples([sound("aims"), sound("si")])
    ngrams = load_ngrams(trained.run)
    model.belief.assign([1, 0])
    unchanged = np.asarray(model.decode(samples, lengths, beam=3, ngrams=ngrams).probabilities)
    model.belief.assign([0, -1])
    changed = np.asarray(model.decode(samples, lengths, beam=3, ngrams=ngrams).probabilities)
    np.testing.assert_allclose(changed, np.where(unchanged > 0, 1 / (1 + np.e), 0), rtol=1e-5)
