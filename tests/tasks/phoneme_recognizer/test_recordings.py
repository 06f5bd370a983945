"""The released recognizer on what a person records: silence, quiet and noisy speech, and sounds without speech."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from datasets.speechocean762.speechocean762_dataset_builder import read_split
from shared.audio import SAMPLE_RATE, read_sound
from shared.phones import fold_all
from tasks.phoneme_recognizer.augmentation import coloured_noise
from tasks.phoneme_recognizer.config import RELEASED
from tasks.phoneme_recognizer.inference import SoundRecognizer
from tasks.phoneme_recognizer.recognize import main
from tasks.phoneme_recognizer.scoring import phone_error_rate
from tests.benchmarks.recordings import CHANGES, music, quiet

REACHED = 0.38  # PER of these utterances, best path; whole split with the beam: 0.321
RUN = Path(__file__).parents[3] / "saved_models" / "phoneme_recognizer" / RELEASED  # fixtures move the root of runs
CORPUS = Path(os.environ.get("QUATRAIN_DATA", "")) / "speechocean762"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (CORPUS / "test").is_dir(), reason="speechocean762 is not in QUATRAIN_DATA"),
]


@pytest.fixture(scope="module")
def recognizer():
    return SoundRecognizer.load(str(RUN), beam=0)


@pytest.fixture(scope="module")
def utterances():
    """Every fiftieth utterance of the test split: its samples, and its phones."""
    chosen = read_split(CORPUS, "test")[::50]
    return [(read_sound(each.path), fold_all(each.phones.split(), 39)) for each in chosen]


def error_rate(recognizer, sounds, utterances) -> float:
    return phone_error_rate([phones for _, phones in utterances], [best[0].scored() for best in recognizer(sounds)])


def test_silence_quiet_and_a_fan_cost_little(recognizer, utterances):
    alone = error_rate(recognizer, [sound for sound, _ in utterances], utterances)
    assert alone < REACHED
    for name in ("3 s of zeros at both ends", "10 s of zeros before"):
        assert error_rate(recognizer, [CHANGES[name](sound) for sound, _ in utterances], utterances) < alone + 0.015
    # A sentence with pauses, 30 dB too quiet, beside a fan.
    recorded = [CHANGES["30 dB too quiet, beside a fan"](sound) for sound, _ in utterances]
    assert error_rate(recognizer, recorded, utterances) < alone + 0.08


def test_a_folder_says_which_sounds_hold_speech(utterances, tmp_path, capsys):
    noise = np.clip(0.05 * coloured_noise(10 * SAMPLE_RATE, np.random.default_rng(0)), -1, 1)
    sounds = {
        "fan": noise, "hiss": quiet(10, -30), "music": music(10), "silence": quiet(10), "speech": utterances[3][0],
    }  # fmt: skip
    for name, sound in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", sound, SAMPLE_RATE)
    assert main([str(tmp_path), "--brief", "--model", str(RUN)]) == 0
    lines = dict(line.split(": ") for line in capsys.readouterr().out.splitlines())
    phones = lines.pop(str(tmp_path / "speech.wav")).split()
    assert len(phones) > len(utterances[3][1]) / 2
    assert set(lines.values()) == {"(no-speech)"}
    assert main([str(tmp_path), "--json", "--model", str(RUN)]) == 0
    records = map(json.loads, capsys.readouterr().out.splitlines())
    assert [record["speech"] for record in records] == [False, False, False, False, True]
