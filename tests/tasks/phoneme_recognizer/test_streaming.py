"""A stream has the posteriors of the whole sound."""

import io
import sys
from dataclasses import replace

import keras
import numpy as np
import pytest

from shared.audio import Headerless, resampled
from shared.errors import UserError
from shared.loaded import Loaded
from tasks.phoneme_recognizer.config import Config
from tasks.phoneme_recognizer.model import build_model, measure_bands
from tasks.phoneme_recognizer.streaming import StreamRecognizer, listen
from tests.tasks.phoneme_recognizer.conftest import CONFIG, VOCABULARY, sound

pytestmark = pytest.mark.any_backend

STREAMING = replace(CONFIG, bidirectional=False, normalisation="running", num_layers=2)


def untrained(config: Config, samples: np.ndarray) -> Loaded:
    """A model with random weights, normalised by the samples."""
    keras.utils.set_random_seed(3)
    model = build_model(config, VOCABULARY)
    measure_bands(model, [samples])
    return Loaded(config, VOCABULARY, model)


@pytest.mark.parametrize(
    ("pieces", "step_ms", "normalisation"),
    [
        ([160], 20, "running"),
        ([1], 20, "running"),
        ([4000], 20, "running"),
        ([333, 1601, 90], 20, "running"),
        ([1], 40, "running"),
        ([333, 1601, 90], 40, "running"),
        ([333, 1601, 90], 20, "corpus"),
    ],
)
def test_posteriors_do_not_depend_on_the_pieces(pieces, step_ms, normalisation):
    samples = sound("aim si")[: 9_999 if pieces == [1] else None]
    loaded = untrained(replace(STREAMING, step_ms=step_ms, normalisation=normalisation), samples)
    logits = loaded.model.logits(samples[None], np.array([len(samples)], np.int32))
    expected = np.asarray(loaded.model.log_probs(logits)[0])
    if pieces == [1]:
        pieces = [len(samples) - 40, *[1] * 40]
    stream, posteriors, start = StreamRecognizer(loaded), [], 0
    while start < len(samples):
        size = pieces[len(posteriors) % len(pieces)]
        posteriors.append(stream.posteriors(samples[start : start + size]))
        start += size
    posteriors.append(stream.posteriors(np.zeros(0, np.float32), is_last=True))
    np.testing.assert_allclose(np.concatenate(posteriors), expected, atol=1e-5)


def test_phones_are_those_of_the_best_path():
    samples = sound("aim si asim")
    loaded = untrained(STREAMING, samples)
    segments = loaded.model.decode(samples[None], np.array([len(samples)], np.int32))
    stream = StreamRecognizer(loaded)
    peaks = [*stream.feed(samples[:5000]), *stream.feed(samples[5000:]), *stream.finish()]
    assert [phone for phone, _ in peaks] == VOCABULARY.decode(np.asarray(segments.label_ids[0, 0]))
    assert [second for _, second in peaks] == sorted(second for _, second in peaks)


def test_a_bidirectional_model_is_refused():
    with pytest.raises(UserError, match="needs the whole sound"):
        StreamRecognizer(Loaded(CONFIG, VOCABULARY, build_model(CONFIG, VOCABULARY)))


class Interrupted(io.BytesIO):
    """Standard input that ends with Ctrl-C."""

    def read1(self, size=-1):
        if content := super().read1(size):
            return content
        raise KeyboardInterrupt


class Recognizer:
    """Recognizes one phone in each piece, and one at the end."""

    def __init__(self):
        self.lengths = []

    def feed(self, samples):
        self.lengths.append(len(samples))
        return [("aa", 0.25)]

    def finish(self):
        return [("s", 0.5)]


@pytest.mark.parametrize("kind", [io.BytesIO, Interrupted])
def test_listening_ends_with_the_last_phones(kind, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(kind(bytes(7001))))
    recognizer, written = Recognizer(), []
    listen(recognizer, written.extend)
    assert written == [("aa", 0.25)] * 3 + [("s", 0.5)]
    assert sum(recognizer.lengths) == 3500  # the odd byte is not a sample


class Collector(Recognizer):
    """Keeps the samples that it is fed."""

    def __init__(self):
        super().__init__()
        self.samples = []

    def feed(self, samples):
        self.samples.append(samples)
        return super().feed(samples)


@pytest.mark.parametrize(("channel", "factor"), [(None, 0.75), (2, 0.5)])
def test_any_rate_and_encoding_gives_the_samples_of_the_whole_sound(channel, factor, monkeypatch):
    left = sound("aim", seed=2)[:15_001]
    both = np.stack([left, left / 2], axis=1).astype(">f4")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(both.tobytes() + b"123")))
    recognizer = Collector()
    listen(recognizer, print, Headerless(44_100, 2, "f32be"), channel)
    assert len(recognizer.samples) > 3
    np.testing.assert_allclose(np.concatenate(recognizer.samples), resampled(factor * left, 44_100), atol=1e-6)


def test_values_that_are_not_finite_and_channels_that_cancel_out(monkeypatch, capsys):
    samples = np.array([[0.5, -0.5]] * 3000, "<f4")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(samples.tobytes())))
    listen(Recognizer(), lambda _: None, Headerless(channels=2, encoding="f32le"))
    assert capsys.readouterr().err.startswith("error: standard input has channels of opposite phase, which cancel out")
    samples[2000] = np.nan
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(samples.tobytes())))
    with pytest.raises(UserError, match=r"standard input holds nan at 0\.125 s; finite samples were expected"):
        listen(Recognizer(), lambda _: None, Headerless(channels=2, encoding="f32le"))


def test_closed_standard_input_is_an_error(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(UserError, match="--live: standard input is closed"):
        listen(Recognizer(), print)
