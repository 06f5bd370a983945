"""Fixtures: a recognizer trained in seconds on tones that stand for phones, shared by all tests of this package."""

import contextlib
import io
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import soundfile

import shared.runs
from datasets import cmudict, spoken
from datasets.records import as_int16
from datasets.speech import Request, Speech
from datasets.spoken_scenes import spoken_scenes_dataset_builder as builder
from shared.audio import SAMPLE_RATE
from shared.cli import TrainingOptions
from shared.phones import PhoneVocabulary
from shared.runs import Run
from tasks.phoneme_recognizer.config import SPOKEN_SCENES, Config
from tasks.phoneme_recognizer.inference import SoundRecognizer
from tasks.phoneme_recognizer.train import train

TONES = {"aa": 300, "iy": 900, "s": 2500, "m": 5000}  # Hz
LETTERS = dict(zip("aism", TONES, strict=True))
SPLITS = {"train": 96, "dev": 6, "test": 6}
CONFIG = replace(
    SPOKEN_SCENES,
    mels=16,
    front_channels=4,
    step_ms=20,
    units=32,
    num_layers=1,
    frame_only_steps=60,
    augment_probability=0.25,
    min_snr_db=20.0,
    max_silence=0.0,
    no_speech_fraction=0.0,
    frequency_mask_width=1,
    time_mask_width=2,
    beam=0,
    batch_size=8,
    epochs=22,
    seed=3,
    patience=22,
    learning_rate=2e-2,
    warmup_steps=5,
    weight_average=0.8,
)
VOCABULARY = PhoneVocabulary(CONFIG.classes)


def say(text: str, seed: int = 0) -> Speech:
    """A tone for each letter a, i, s and m, silence for any other character; each lasts 80 to 140 ms."""
    rng = np.random.default_rng([seed, *text.encode()])
    pieces, phones = [], []
    for letter in f" {text} ":
        seconds = np.arange(int(rng.integers(1280, 2240))) / SAMPLE_RATE
        phone = LETTERS.get(letter, "sil")
        pieces.append(0.3 * np.sin(2 * np.pi * TONES.get(phone, 0) * seconds) + 1e-4 * rng.normal(size=len(seconds)))
        phones.append(phone)
    ends = np.cumsum([len(piece) for piece in pieces]).tolist()
    return Speech(as_int16(np.concatenate(pieces)), phones, [0, *ends[:-1]], ends)


def sound(text: str, seed: int = 0) -> np.ndarray:
    """The samples of `say`, float32."""
    return say(text, seed).samples.astype(np.float32) / 32_768


def make_requests() -> dict[str, list[Request]]:
    rng = np.random.default_rng(5)
    return {
        split: [
            Request("".join(rng.choice(list("aism "), rng.integers(3, 9))).strip() or "a", f"{split}{n}", 1, 1, 1)
            for n in range(count)
        ]
        for split, count in SPLITS.items()
    }


@dataclass(frozen=True)
class Trained:
    """A run, the standard output of its training, and the names of its plots before other commands add more."""

    run: Run
    config: Config
    output: str
    plots: set[str]


@pytest.fixture(scope="package")
def tones(tmp_path_factory):
    """Replaces the spoken scenes by tones, and `saved_models` by a temporary folder; returns the folder of runs."""
    folder = tmp_path_factory.mktemp("phoneme_recognizer")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shared.runs, "ROOT", folder / "saved_models")
        patch.setenv("QUATRAIN_PREPARED", str(folder / "prepared"))
        patch.setattr(builder, "make_requests", make_requests)
        patch.setattr(spoken, "check_engine", lambda: None)
        patch.setattr(spoken, "synthesize_all", lambda shards: ([say(r.text) for r in shard] for shard in shards))
        yield folder / "saved_models" / "phoneme_recognizer"


@pytest.fixture(scope="package")
def trained(tones) -> Trained:
    """A run named `tiny`."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        train(CONFIG, TrainingOptions(run="tiny"))
    run = Run(tones / "tiny")
    return Trained(run, CONFIG, output.getvalue(), {path.name for path in (run.path / "plots").iterdir()})


@pytest.fixture(scope="package")
def recognizer(trained) -> SoundRecognizer:
    """Without a beam; each shape of sounds that it meets is compiled once."""
    return SoundRecognizer.load("tiny")


@pytest.fixture
def spoken_words(tmp_path, monkeypatch) -> Iterator[Path]:
    """A folder with twenty sounds of one word each and their transcripts, and a dictionary that has the words."""
    cmudict.load_dictionary.cache_clear()
    words = ["".join(letters) for letters in permutations("aism")][:20]
    pronunciations = {"a": "AA1", "i": "IY1", "s": "S", "m": "M"}
    lines = [f"{word} {' '.join(pronunciations[letter] for letter in word)}" for word in words]
    (tmp_path / "cmudict").mkdir()
    (tmp_path / "cmudict" / "cmudict.dict").write_text("\n".join(lines))
    monkeypatch.setenv("QUATRAIN_DATA", str(tmp_path))
    folder = tmp_path / "spoken"
    folder.mkdir()
    for index, word in enumerate(words):
        soundfile.write(folder / f"{index:02}.wav", say(word).samples, SAMPLE_RATE)
        (folder / f"{index:02}.txt").write_text(word)
    yield folder
    cmudict.load_dictionary.cache_clear()
