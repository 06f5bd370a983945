"""The command `evaluate`: its output, and the files that it writes."""

import json
import re

import pytest

from tasks.phoneme_recognizer.evaluate import Arguments, main, measure
from tasks.phoneme_recognizer.model import load_model

pytestmark = pytest.mark.any_backend


def test_metrics_of_a_split_are_printed_and_saved(trained, capsys):
    assert main(["--model", "tiny", "--split", "test", "--json", "--noise", "--worst", "2"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["utterances"] == 6
    assert record["PER"] < 0.3
    assert record["PER at 0 dB"] >= record["PER at 20 dB"] - 0.1
    assert [row.keys() for row in record["worst"]] == 2 * [{"name", "PER", "said", "recognized"}]
    assert record["worst"][0]["PER"] >= max(record["PER"], record["worst"][1]["PER"])
    assert record["PER"] == pytest.approx(
        record["substitutions"] + record["deletions"] + record["insertions"], abs=2e-4
    )
    saved = trained.run.load_metrics()
    assert saved["test"]["PER"] == record["PER"]
    assert {"ECE", "PER with silence", "boundary F1", "boundary median ms", "protocol", "beam"} <= saved["test"].keys()
    assert saved["test in noise"].keys() == {f"PER at {snr} dB" for snr in (20, 10, 5, 0)}


def test_an_unseen_folder_is_measured_as_a_whole(trained, spoken_words, tmp_path, capsys):
    assert (
        main(["--model", "tiny", "--corpus", str(spoken_words), "--plots", str(tmp_path / "plots"), "--beam", "2"]) == 0
    )
    lines = dict(re.split(r" +", line, maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (lines["utterances"], lines["split"], lines["beam"]) == ("20", "all", "2")
    assert float(lines["PER"]) < 0.3
    names = {f"{kind}-spoken-all.png" for kind in ("confusions", "reliability")}
    assert {path.name for path in (tmp_path / "plots").iterdir()} == names
    assert names <= {path.name for path in (trained.run.path / "plots").iterdir()}
    assert {"dev", "spoken all"} <= trained.run.load_metrics().keys()


@pytest.mark.parametrize(("option", "value"), [("--beam", "-1"), ("--beam", "101"), ("--worst", "-1")])
def test_options_out_of_range_are_refused(option, value, capsys):
    assert main([option, value]) == 2
    assert f"error: {option} {value}: " in capsys.readouterr().err


def test_a_model_in_memory_gives_the_metrics_of_its_training(trained):
    saved = trained.run.load_metrics()["dev"]
    assert measure(trained.run, Arguments(), load_model(trained.run)) == {"split": "dev", **saved}


def test_a_corpus_that_does_not_exist_is_refused(trained, capsys):
    assert main(["--model", "tiny", "--corpus", "nowhere"]) == 2
    assert "nowhere is neither a corpus nor a folder" in capsys.readouterr().err
