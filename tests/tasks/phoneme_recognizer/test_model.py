"""The model: padding and company change nothing, a stream tells what the whole sound tells, times are in seconds."""

from dataclasses import replace

import keras
import numpy as np
import pytest

from shared.errors import UserError
from shared.features import log_mel
from tasks.phoneme_recognizer.data import pad_samples
from tasks.phoneme_recognizer.model import SpectrumMask, VocalTract, build_model, load_model, measure_bands
from tasks.phoneme_recognizer.streaming import StreamRecognizer
from tests.tasks.phoneme_recognizer.conftest import CONFIG, sound

STREAMING = replace(CONFIG, bidirectional=False, normalisation="corpus", num_layers=2)


@pytest.mark.parametrize("config", [CONFIG, STREAMING, replace(CONFIG, pace=40)])
def test_padding_and_company_change_nothing(config):
    keras.utils.set_random_seed(2)
    model = build_model(config)
    sounds = [sound(text)[: -17 * n or None] for n, text in enumerate(("ai", "smiasm", "aimsaims", "i"))]
    samples, lengths = pad_samples(sounds)
    rng = np.random.default_rng(1)  # what lies beyond the end of a sound may be anything
    noisy = np.where(np.arange(samples.shape[1]) < lengths[:, None], samples, rng.normal(size=samples.shape))
    together = model.hear(noisy.astype(np.float32), lengths)
    for row, alone in enumerate(sounds):
        heard = model.hear(alone[None], np.array([len(alone)], np.int32))
        for logits, counts, of_all, counts_of_all in (
            (heard.ctc_logits, heard.ctc_lengths, together.ctc_logits, together.ctc_lengths),
            (heard.frame_logits, heard.frame_lengths, together.frame_logits, together.frame_lengths),
        ):
            count = int(counts[0])
            assert count == int(counts_of_all[row]) == logits.shape[1]
            np.testing.assert_allclose(logits[0], of_all[row, :count], atol=2e-5)


@pytest.mark.parametrize("pace", [20, 40])
def test_frames_are_of_10_ms_and_labels_of_the_pace(pace):
    model = build_model(replace(CONFIG, pace=pace))
    for samples, frames in ((400, 1), (559, 1), (560, 2), (720, 3), (16_000, 98)):
        heard = model.hear(np.zeros((1, samples), np.float32), np.array([samples], np.int32))
        assert (int(heard.frame_lengths[0]), int(heard.ctc_lengths[0])) == (frames, -(-frames // (pace // 10)))
        assert heard.frame_logits.shape == (1, frames, 39)
        assert heard.ctc_logits.shape == (1, -(-frames // (pace // 10)), 39)


def test_an_utterance_is_normalised_by_its_own_frames():
    model = build_model(CONFIG)
    samples, lengths = pad_samples([sound("aims"), sound("i")])
    features, frames = (np.asarray(x) for x in model.features(samples, lengths))
    for row, count in enumerate(frames):
        np.testing.assert_allclose(features[row, :count].mean(0), 0, atol=1e-4)
        assert np.all(features[row, :count].std(0) < 1.001)
        assert not np.any(features[row, count:])
    np.testing.assert_allclose(features[0, : frames[0]].std(0).max(), 1, atol=0.01)


def test_a_corpus_is_normalised_by_its_bands():
    model = build_model(STREAMING)
    sounds = [sound("aims"), sound("mi")]
    measure_bands(model, sounds)
    bands = np.concatenate([np.asarray(log_mel(samples[None], CONFIG.mels)[0]) for samples in sounds])
    np.testing.assert_allclose(model.mean, bands.mean(0), rtol=1e-4)
    np.testing.assert_allclose(model.deviation, bands.std(0), rtol=1e-3)


@pytest.mark.parametrize("pace", [20, 40])
@pytest.mark.parametrize("pieces", [[160], [1], [4000], [333, 1601, 90]])
def test_a_stream_tells_what_the_whole_sound_tells(pieces, pace):
    keras.utils.set_random_seed(3)
    model = build_model(replace(STREAMING, pace=pace))
    samples = sound("aim si")[: 9_999 if pieces == [1] else None]
    measure_bands(model, [samples])
    heard = model.hear(samples[None], np.array([len(samples)], np.int32))
    whole = np.asarray(model.log_probs(heard)[0])
    if pieces == [1]:
        pieces = [len(samples) - 40, *[1] * 40]
    stream, told, at = StreamRecognizer(model), [], 0
    while at < len(samples):
        size = pieces[len(told) % len(pieces)]
        told.append(stream.posteriors(samples[at : at + size]))
        at += size
    told.append(stream.posteriors(np.zeros(0, np.float32), is_last=True))
    np.testing.assert_allclose(np.concatenate(told), whole, atol=1e-5)


def test_a_stream_spells_the_best_path():
    keras.utils.set_random_seed(3)
    model = build_model(STREAMING)
    samples = sound("aim si asim")
    measure_bands(model, [samples])
    found = model.find(samples[None], np.array([len(samples)], np.int32))
    wanted = [CONFIG.phones[label - 1] for label in np.asarray(found.label_ids[0, 0]) if label]
    stream = StreamRecognizer(model)
    told = [*stream.feed(samples[:5000]), *stream.feed(samples[5000:]), *stream.finish()]
    assert [phone for phone, _ in told] == wanted
    assert [second for _, second in told] == sorted(second for _, second in told)


def test_a_model_that_needs_the_whole_sound_refuses_a_stream():
    with pytest.raises(UserError, match="needs the whole sound"):
        StreamRecognizer(build_model(CONFIG))


def test_phones_are_told_where_they_are(trained):
    """The tones' own times, within two frames."""
    _, model = load_model(trained.run)
    from tests.tasks.phoneme_recognizer.conftest import say

    speech = say("ai ms", seed=9)
    samples = speech.samples.astype(np.float32)[None] / 32_768
    found = model.find(samples, np.array([samples.shape[1]], np.int32))
    labels = [CONFIG.phones[label - 1] for label in np.asarray(found.label_ids[0, 0])]
    wanted = [(phone, start, end) for phone, start, end in zip(*speech[1:], strict=True) if phone != "sil"]
    assert labels == [phone for phone, *_ in wanted]
    for place, (_, start, end) in enumerate(wanted):
        assert float(found.starts[0, 0, place]) == pytest.approx(start / 16_000, abs=0.025)
        assert float(found.ends[0, 0, place]) == pytest.approx(end / 16_000, abs=0.025)
        assert 0 < float(found.probabilities[0, 0, place]) <= 1.0001


def test_vocal_tracts_differ_in_training_alone():
    features = np.random.default_rng(0).standard_normal((3, 4, 20)).astype(np.float32)
    tract = VocalTract(0.2)
    np.testing.assert_array_equal(tract(features), features)
    heard = np.asarray(tract(features, training=True))
    assert heard.shape == features.shape
    assert all(np.abs(one - other).max() > 1e-3 for one, other in zip(heard, features, strict=True))
    np.testing.assert_array_equal(VocalTract(0.0)(features, training=True), features)


def test_the_mask_blanks_stripes_in_training_alone():
    keras.utils.set_random_seed(1)
    mask = SpectrumMask(bands=3, frames=5)
    features = np.ones((2, 40, 20), np.float32)
    np.testing.assert_array_equal(mask(features), features)
    masked = np.asarray(mask(features, training=True))
    blank_frames, blank_bands = (masked == 0).all(axis=2).sum(1), (masked == 0).all(axis=1).sum(1)
    assert np.all(blank_frames <= 2 * 6)
    assert np.all(blank_bands <= 2 * 4)
    assert 0 < (masked == 0).sum() < masked.size / 2
    assert len(np.unique(masked)) == 2


def test_the_beam_tells_several_and_the_best_first(trained):
    _, model = load_model(trained.run)
    samples, lengths = pad_samples([sound("aims"), sound("si")])
    found = model.find(samples, lengths, beam=5, n_best=5)
    log_probs = np.asarray(found.log_probs)
    assert found.label_ids.shape[:2] == (2, 5)
    assert np.all(np.diff(log_probs, axis=1) <= 1e-4)
    spelt = {tuple(row) for row in np.asarray(found.label_ids[0]).tolist()}
    assert len(spelt) == 5
    assert model.find(samples, lengths, beam=5, n_best=2).label_ids.shape[:2] == (2, 2)
    greedy = model.find(samples, lengths)
    assert np.all(log_probs[:, 0] >= np.asarray(greedy.log_probs)[:, 0] - 1e-4)
