"""What evaluate tells and keeps."""

import json

import numpy as np
import pytest

from tasks.phoneme_recognizer.data import load_split
from tasks.phoneme_recognizer.evaluate import main, score
from tasks.phoneme_recognizer.recognition import Phone, Recognition
from tests.tasks.phoneme_recognizer.conftest import CONFIG


def test_numbers_of_a_split_are_told_and_kept(trained, capsys):
    assert main(["--model", "tiny", "--split", "test", "--json", "--noise", "--worst", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["utterances"] == 6
    assert told["PER"] < 0.3
    assert told["PER at 0 dB"] >= told["PER at 20 dB"] - 0.1
    assert len(told["worst"]) == 2
    assert told["PER"] == pytest.approx(told["substitutions"] + told["deletions"] + told["insertions"], abs=2e-4)
    kept = trained.run.load_metrics()["test"]
    assert kept["PER"] == told["PER"]
    assert {"ECE", "PER with silence", "boundary F1", "boundary median ms", "protocol"} <= kept.keys()


def test_what_is_recognized_perfectly_has_no_errors(tones):
    split = load_split(CONFIG, "dev")
    names = ("sil", *CONFIG.phones)
    perfect = [
        Recognition(
            phones=[
                Phone(names[label], start / 16_000, end / 16_000, 1.0) for label, start, end in utterance.spans if label
            ],
            log_prob=0.0,
            seconds=utterance.seconds,
        )
        for utterance in split.utterances
    ]
    metrics, counts, (probabilities, right) = score(split, perfect, CONFIG)
    assert metrics == {
        "PER": 0, "substitutions": 0, "deletions": 0, "insertions": 0, "ECE": 0, "PER with silence": 0,
        "boundary median ms": 0, "boundary F1": 1,
    }  # fmt: skip
    assert np.all(probabilities == 1)
    assert np.all(right)
    assert all(ours == theirs for ours, theirs in counts)


def test_another_split_of_a_corpus_that_lacks_it(trained, capsys):
    assert main(["--model", "tiny", "--corpus", "nowhere"]) == 2
    assert "nowhere is neither a corpus nor a folder" in capsys.readouterr().err
