"""The temperature: what is told under each is what the model itself tells under it. Belief: odds that are right."""

from dataclasses import replace

import numpy as np
import pytest

from tasks.phoneme_recognizer.calibration import TEMPERATURES, Thermometer, fit_belief, fit_temperature
from tasks.phoneme_recognizer.data import Split, load_split, pad_samples
from tasks.phoneme_recognizer.model import load_model, load_ngrams
from tests.tasks.phoneme_recognizer.conftest import CONFIG, sound


def test_every_temperature_tells_what_the_model_tells_under_it(trained):
    _, model = load_model(trained.run)
    samples, lengths = pad_samples([sound("aims"), sound("si")])
    _, counts, told = Thermometer(model).predict_on_batch({"samples": samples, "lengths": lengths})
    for place in (0, 11, 24):
        model.temperature.assign(TEMPERATURES[place])
        found = model.find(samples, lengths)
        np.testing.assert_array_equal(np.asarray(found.label_lengths)[:, 0], counts)
        for row, count in enumerate(counts):
            np.testing.assert_allclose(told[place, row, :count], found.probabilities[row, 0, :count], atol=1e-4)


def test_a_model_that_is_wrong_more_often_is_made_less_sure(trained):
    _, model = load_model(trained.run)
    dev = load_split(CONFIG, "dev")
    fitted = fit_temperature(model, dev)
    assert float(model.temperature) == pytest.approx(fitted)
    others = [  # the first phone of each is another than it was
        replace(utterance, label_ids=np.append(utterance.label_ids[0] % 38 + 1, utterance.label_ids[1:]))
        for utterance in dev.utterances
    ]
    assert fit_temperature(model, Split(dev.records, others)) > fitted


def test_belief_stretches_and_shifts_the_odds_to_those_of_being_right():
    rng = np.random.default_rng(4)
    odds = rng.normal(0, 2, 50_000)
    right = rng.random(50_000) < 1 / (1 + np.exp(-(0.5 * odds + 1)))
    np.testing.assert_allclose(fit_belief(1 / (1 + np.exp(-odds)), right), [0.5, 1], atol=0.05)
    assert np.isfinite(fit_belief(np.ones(9), np.ones(9, bool))).all()
    assert np.isfinite(fit_belief(np.array([]), np.array([], bool))).all()


def test_what_ngrams_helped_to_find_is_told_by_belief(trained):
    _, model = load_model(trained.run)
    samples, lengths = pad_samples([sound("aims"), sound("si")])
    ngrams = load_ngrams(trained.run)
    model.belief.assign([1, 0])
    plain = np.asarray(model.find(samples, lengths, beam=3, ngrams=ngrams).probabilities)
    model.belief.assign([0, -1])
    told = np.asarray(model.find(samples, lengths, beam=3, ngrams=ngrams).probabilities)
    np.testing.assert_allclose(told, np.where(plain > 0, 1 / (1 + np.e), 0), rtol=1e-5)
