"""What evaluate tells and keeps."""

import json
import re

import numpy as np
import pytest

from tasks.phoneme_recognizer.data import load_split
from tasks.phoneme_recognizer.evaluate import main, score
from tasks.phoneme_recognizer.recognition import Phone, Recognition
from tests.tasks.phoneme_recognizer.conftest import CONFIG

RATES = ("PER", "substitutions", "deletions", "insertions")


def test_numbers_of_a_split_are_told_and_kept(trained, capsys):
    assert main(["--model", "tiny", "--split", "test", "--json", "--noise", "--worst", "2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["utterances"] == 6
    assert told["PER"] < 0.3
    assert told["PER at 0 dB"] >= told["PER at 20 dB"] - 0.1
    assert [row.keys() for row in told["worst"]] == 2 * [{"name", "PER", "said", "recognized"}]
    assert told["worst"][0]["PER"] >= told["worst"][1]["PER"] >= told["PER"]
    assert told["PER"] == pytest.approx(told["substitutions"] + told["deletions"] + told["insertions"], abs=2e-4)
    kept = trained.run.load_metrics()
    assert kept["test"]["PER"] == told["PER"]
    assert {"ECE", "PER with silence", "boundary F1", "boundary median ms", "protocol", "beam"} <= kept["test"].keys()
    assert kept["test in noise"].keys() == {f"PER at {snr} dB" for snr in (20, 10, 5, 0)}


def test_a_folder_is_measured_whole_and_beside_the_run_s_own(trained, spoken_words, tmp_path, capsys):
    assert main(["--model", "tiny", "--corpus", str(spoken_words), "--plots", str(tmp_path / "plots")]) == 0
    lines = dict(re.split(r" +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (lines["utterances"], lines["split"]) == ("20", "all")
    assert float(lines["PER"]) < 0.3
    names = {f"{kind}-spoken-all.png" for kind in ("confusions", "reliability")}
    assert {path.name for path in (tmp_path / "plots").iterdir()} == names
    assert names <= {path.name for path in (trained.run.path / "plots").iterdir()}
    assert {"dev", "spoken all"} <= trained.run.load_metrics().keys()


@pytest.mark.parametrize(("option", "number"), [("--beam", "-1"), ("--beam", "101"), ("--worst", "-1")])
def test_numbers_out_of_range(option, number, capsys):
    assert main([option, number]) == 2
    assert f"error: {option} {number}: " in capsys.readouterr().err


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
    metrics, counts, probabilities, right = score(split, perfect, CONFIG)
    rates = {f"{name}{silence}": 0 for silence in ("", " with silence") for name in RATES}
    assert metrics == rates | {"ECE": 0, "boundary median ms": 0, "boundary F1": 1}
    assert np.all(probabilities == 1)
    assert np.all(right)
    assert all(ours == theirs for ours, theirs in counts)


def test_another_split_of_a_corpus_that_lacks_it(trained, capsys):
    assert main(["--model", "tiny", "--corpus", "nowhere"]) == 2
    assert "nowhere is neither a corpus nor a folder" in capsys.readouterr().err
