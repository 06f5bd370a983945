"""The model: padding and batching, lengths, normalisation, decoding."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from shared.audio import pad_samples
from shared.features import log_mel
from shared.ngrams import count_ngrams
from shared.runs import Run, RunError
from shared.training import weights_as_arrays
from tasks.phoneme_recognizer.model import PhonemeRecognizer, build_model, load_model, load_ngrams, measure_bands
from tests.tasks.phoneme_recognizer.conftest import CONFIG, VOCABULARY, say, sound

pytestmark = pytest.mark.any_backend

STREAMING = replace(CONFIG, bidirectional=False, normalisation="corpus", num_layers=2)


@pytest.mark.parametrize("config", [CONFIG, STREAMING, replace(CONFIG, step_ms=40)])
def test_logits_do_not_depend_on_padding_and_batch(config):
    keras.utils.set_random_seed(2)
    model = build_model(config, VOCABULARY)
    sounds = [sound(text)[: -17 * n or None] for n, text in enumerate(("ai", "smiasm", "i"))]
    samples, lengths = pad_samples(sounds)
    rng = np.random.default_rng(1)  # the padding holds noise
    noisy = np.where(np.arange(samples.shape[1]) < lengths[:, None], samples, rng.normal(size=samples.shape))
    batched = model.logits(noisy.astype(np.float32), lengths)
    for row, samples in enumerate(sounds):
        single = model.logits(samples[None], np.array([len(samples)], np.int32))
        for logits, counts, batched_logits, batched_counts in (
            (single.ctc_logits, single.ctc_lengths, batched.ctc_logits, batched.ctc_lengths),
            (single.frame_logits, single.frame_lengths, batched.frame_logits, batched.frame_lengths),
        ):
            count = int(counts[0])
            assert count == int(batched_counts[row]) == logits.shape[1]
            np.testing.assert_allclose(logits[0], batched_logits[row, :count], atol=2e-5)


@pytest.mark.parametrize("step_ms", [20, 40])
def test_frames_last_10_ms_and_steps_step_ms(step_ms):
    model = build_model(replace(CONFIG, step_ms=step_ms), VOCABULARY)
    lengths, frames = np.array([400, 559, 560, 720, 16_000], np.int32), np.array([1, 1, 2, 3, 98])
    steps = -(-frames // (step_ms // 10))
    for rows in (slice(0, 2), slice(2, 5)):  # each shape is compiled for seconds
        logits = model.logits(np.zeros((rows.stop - rows.start, lengths[rows].max()), np.float32), lengths[rows])
        np.testing.assert_array_equal(logits.frame_lengths, frames[rows])
        np.testing.assert_array_equal(logits.ctc_lengths, steps[rows])
        assert logits.frame_logits.shape[1:] == (frames[rows][-1], 39)
        assert logits.ctc_logits.shape[1:] == (steps[rows][-1], 39)


def test_utterance_normalisation_uses_real_frames_alone():
    model = build_model(replace(CONFIG, normalisation="utterance"), VOCABULARY)
    samples, lengths = pad_samples([sound("aims"), sound("i")])
    features, frames = (np.asarray(x) for x in model.features(samples, lengths))
    for row, count in enumerate(frames):
        np.testing.assert_allclose(features[row, :count].mean(0), 0, atol=1e-4)
        assert np.all(features[row, :count].std(0) < 1.001)
        assert not np.any(features[row, count:])
    np.testing.assert_allclose(features[0, : frames[0]].std(0).max(), 1, atol=0.01)


def test_corpus_normalisation_uses_the_statistics_of_all_sounds():
    model = build_model(STREAMING, VOCABULARY)
    sounds = [sound("aims"), sound("mi")]
    measure_bands(model, sounds)
    bands = np.concatenate([np.asarray(log_mel(samples[None], CONFIG.mels)[0]) for samples in sounds])
    np.testing.assert_allclose(model.mean, bands.mean(0), rtol=1e-4)
    np.testing.assert_allclose(model.deviation, bands.std(0), rtol=1e-3)


def test_times_are_within_two_frames_of_the_truth(trained):
    model = load_model(trained.run).model
    speech = say("ai ms", seed=9)
    samples = speech.samples.astype(np.float32)[None] / 32_768
    segments = model.decode(samples, np.array([samples.shape[1]], np.int32))
    expected = [(phone, start, end) for phone, start, end in zip(*speech[1:], strict=True) if phone != "sil"]
    assert VOCABULARY.decode(np.asarray(segments.label_ids[0, 0])) == [phone for phone, *_ in expected]
    for i, (_, start, end) in enumerate(expected):
        assert float(segments.starts[0, 0, i]) == pytest.approx(start / 16_000, abs=0.025)
        assert float(segments.ends[0, 0, i]) == pytest.approx(end / 16_000, abs=0.025)
        assert 0 < float(segments.probabilities[0, 0, i]) <= 1.0001


def test_a_beam_returns_different_hypotheses_best_first(trained):
    model = load_model(trained.run).model
    samples, lengths = pad_samples([sound("aims"), sound("si")])
    segments = model.decode(samples, lengths, beam=5, n_best=5)
    log_probs = np.asarray(segments.log_probs)
    assert segments.label_ids.shape[:2] == (2, 5)
    assert np.all(np.diff(log_probs, axis=1) <= 0.1)  # the search ranks them without the paths that it dropped
    assert len({tuple(row) for row in np.asarray(segments.label_ids[0]).tolist()}) == 5
    assert model.decode(samples, lengths, beam=5, n_best=2).label_ids.shape[:2] == (2, 2)
    greedy = model.decode(samples, lengths)
    assert np.all(log_probs[:, 0] >= np.asarray(greedy.log_probs)[:, 0] - 1e-4)


def test_configurations_of_older_model_files_are_read():
    model = build_model(CONFIG, VOCABULARY)
    saved = model.get_config()
    assert PhonemeRecognizer.from_config(saved).get_config() == saved
    former = {current: name for name, current in CONFIG.RENAMED.items()}
    older = {former.get(name, name): value for name, value in saved["config"].items()}
    assert PhonemeRecognizer.from_config({"config": older, "name": "older"}).config == CONFIG


@pytest.fixture
def run(tmp_path):
    """An untrained run with the n-grams of two sequences."""
    run = Run.create("phoneme_recognizer", "untrained", CONFIG, {}, tmp_path)
    run.save_weights(weights_as_arrays(build_model(CONFIG, VOCABULARY)))
    run.save_weights(count_ngrams([[1, 2, 3], [2, 3]], len(VOCABULARY), 2)._asdict(), "ngrams")
    return run


@pytest.mark.parametrize(("name", "value"), [("temperature", 0), ("temperature", -1), ("deviation", 0)])
def test_a_temperature_and_deviations_above_0_are_expected(run, name, value):
    load_model(run)
    weights = run.load_weights()
    run.save_weights(weights | {name: np.full_like(weights[name], value)})
    with pytest.raises(RunError, match=r"a temperature and deviations above 0 were expected in weights\.safetensors"):
        load_model(run)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x | {"following": x["following"] + 5}, "states from 0 to 3 were expected in following"),
        (lambda x: x | {"following": x["following"].astype(np.int8) - 1}, "states from 0 to 3 were expected"),
        (lambda x: x | {"following": x["following"].astype(np.float32)}, "integers for following were expected"),
        (lambda x: x | {"log_probs": x["log_probs"].astype(np.float64)}, "float32 for log_probs"),
        (lambda x: x | {"log_probs": x["log_probs"] * np.nan}, "values that are not finite"),
        (lambda x: x | {"log_probs": x["log_probs"][1:]}, "were expected"),
        (lambda x: {name: value[:, 1:] for name, value in x.items()}, r"of shape \(states, 39\) were expected"),
        (lambda x: {name: value[:0] for name, value in x.items()}, "were expected"),
        (lambda x: {"log_probs": x["log_probs"]}, "log_probs and following"),
        (lambda x: x | {"more": x["log_probs"]}, "log_probs and following"),
    ],
)
def test_ngrams_that_do_not_fit_are_refused(run, change, message):
    ngrams = load_ngrams(run)
    assert ngrams.following.max() == len(ngrams.following) - 1 == 3
    run.save_weights(change(ngrams._asdict()), "ngrams")
    with pytest.raises(RunError, match=message):
        load_ngrams(run)
