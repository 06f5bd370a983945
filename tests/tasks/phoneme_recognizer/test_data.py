"""From records to batches, by hand."""

from dataclasses import replace

import numpy as np
import pytest

from datasets import CorpusError
from tasks.phoneme_recognizer.data import (
    Joined,
    add_noise,
    as_batch,
    at_speed,
    crop,
    fitting,
    frame_ids,
    load_split,
    read_split,
    training_batches,
)
from tests.tasks.phoneme_recognizer.conftest import CONFIG, SPLITS, say

RATE = 16_000


def record(phones, seconds: float = 1.0, **more) -> dict:
    return {"audio": np.zeros(int(seconds * RATE), np.int16), "phones": phones, "text": "", "name": "n", **more}


def test_phones_are_folded_and_silence_is_no_label():
    spans = {"starts": np.arange(7) * 1000, "ends": np.arange(1, 8) * 1000}
    records = [record(["h#", "bcl", "b", "ix", "q", "zh", "pau"], **spans), record("B IH1 SH")]
    by_39 = read_split(CONFIG, records)
    names = ("", *CONFIG.phones)
    for utterance in by_39.utterances:
        assert [names[label] for label in utterance.label_ids] == ["b", "ih", "sh"]
    first, second = by_39.utterances
    assert first.phones == ("sil", "b", "ih", "sh", "sil")
    assert [label for label, *_ in first.spans] == [0, 0, *map(names.index, ("b", "ih")), -1, names.index("sh"), 0]
    np.testing.assert_array_equal(first.spans[2], [names.index("b"), 2000, 3000])
    assert second.phones == ("b", "ih", "sh")
    assert second.spans is None

    config = replace(CONFIG, classes=61)
    (utterance,) = read_split(config, records[:1]).utterances
    names = ("", *config.phones)
    assert [names[label] for label in utterance.label_ids] == ["bcl", "b", "ix", "q", "zh"]


def test_what_does_not_fit_its_frames_is_no_training(capsys):
    fits = record(["b", "b", "b"], seconds=0.105)  # at full speed 9 frames of 10 ms, 5 of 20 ms: b _ b _ b
    records = [fits, record(["b"] * 4, seconds=0.105), record([], seconds=1.0), record(["sil"], seconds=1.0)]
    split = read_split(replace(CONFIG, speed=0.1), records)
    assert len(split.utterances) == 4  # all are measured
    config = replace(CONFIG, speed=0.0)
    assert [utterance.place for utterance in fitting(config, split).utterances] == [0]
    assert capsys.readouterr().err == "3 utterances without phones, or too short for theirs, are left out\n"
    with pytest.raises(CorpusError, match="no utterance has phones and is long enough for them"):
        fitting(replace(CONFIG, speed=0.5), split)


def test_frames_are_what_is_heard_in_their_middle():
    # Middles at 200, 360, 520, 680, 840 samples.
    spans = np.array([[3, 0, 361], [0, 361, 680], [5, 680, 800]], np.int32)
    np.testing.assert_array_equal(frame_ids(spans, 5), [3, 3, 0, 5, -1])
    np.testing.assert_array_equal(frame_ids(None, 2), [-1, -1])


def test_a_batch_by_hand():
    sounds = [np.ones(600, np.float32), np.ones(400, np.float32)]
    spans = np.array([[4, 0, 600]], np.int32)
    inputs, targets = as_batch([(sounds[0], spans), (sounds[1], None)], [np.array([4]), np.array([1, 2])])
    np.testing.assert_array_equal(inputs["samples"].sum(1), [600, 400])
    np.testing.assert_array_equal(inputs["lengths"], [600, 400])
    np.testing.assert_array_equal(inputs["label_ids"], [[4, 0], [1, 2]])
    np.testing.assert_array_equal(inputs["label_lengths"], [1, 2])
    np.testing.assert_array_equal(inputs["frame_ids"], [[4, 4], [-1, -1]])
    assert targets is inputs["label_ids"]


def test_an_epoch_hears_every_utterance_once_and_any_batch_can_be_named(tones):
    split = load_split(CONFIG, "train")
    assert len(split.utterances) == SPLITS["train"]
    batches = training_batches(CONFIG, split)
    labels = sorted(tuple(row[row > 0]) for _, targets in batches for row in targets)
    assert labels == sorted(tuple(utterance.label_ids) for utterance in split.utterances)
    batches.epoch = 3
    once = batches[2][0]["samples"]
    batches.epoch = 1
    batches.epoch = 3
    np.testing.assert_array_equal(batches[2][0]["samples"], once)


def test_the_sound_stays_where_its_phones_are(tones):
    split = load_split(CONFIG, "train")
    for number in (0, 17, 47):
        text = split.records[split.utterances[number].place]["text"]
        np.testing.assert_allclose(split.samples(number), say(text).samples / 32_768, atol=1e-6)


def test_faster_is_shorter_and_times_go_with_it():
    tone = np.sin(2 * np.pi * 1000 * np.arange(RATE) / RATE).astype(np.float32)
    spans = np.array([[1, 0, 8000], [2, 8000, RATE]], np.int32)
    played, moved = at_speed(tone, spans, 1.25)
    assert len(played) == pytest.approx(RATE / 1.25, abs=2)
    np.testing.assert_array_equal(moved, [[1, 0, 6400], [2, 6400, 12800]])
    spectrum = np.abs(np.fft.rfft(played))
    assert np.argmax(spectrum) * RATE / len(played) == pytest.approx(1250, abs=3)
    assert at_speed(tone, None, 0.9)[1] is None


def test_silence_is_cut_off_around_what_is_said():
    samples = np.arange(100, dtype=np.float32)
    spans = np.array([[0, 0, 20], [5, 20, 50], [0, 50, 60], [7, 60, 70], [0, 70, 90]], np.int32)
    kept, moved = crop(samples, spans, 0.5, 0.4)
    np.testing.assert_array_equal(kept, np.arange(10, 88))
    np.testing.assert_array_equal(moved, [[0, 0, 10], [5, 10, 40], [0, 40, 50], [7, 50, 60], [0, 60, 78]])
    alone, inner = crop(samples, spans, 1, 1)
    np.testing.assert_array_equal(alone, np.arange(20, 70))
    np.testing.assert_array_equal(inner[1:4], [[5, 0, 30], [0, 30, 40], [7, 40, 50]])
    assert crop(samples, spans[:1], 1, 1)[0] is samples


@pytest.mark.parametrize("snr", [0.0, 20.0])
def test_noise_is_as_loud_as_asked(snr):
    tone = np.sin(np.arange(RATE)).astype(np.float32)
    noise = add_noise(tone, snr, np.random.default_rng(1)) - tone
    assert 10 * np.log10(np.mean(tone**2) / np.mean(noise**2)) == pytest.approx(snr, abs=0.1)
    silence = np.zeros(500, np.float32)
    assert np.all(np.isfinite(add_noise(silence, snr, np.random.default_rng(1))))


def test_corpora_are_joined_in_their_order():
    joined = Joined([[{"n": 0}, {"n": 1}], [{"n": 2}], [{"n": 3}, {"n": 4}]])
    assert [joined[place]["n"] for place in range(len(joined))] == [0, 1, 2, 3, 4]
    half = Joined([[{"n": 0}], [{"n": n} for n in range(1, 9)]], 0.5)
    assert [record["n"] for record in half] == [0, 1, 3, 5, 7]
