"""The command `evaluate`: its output, and the files that it writes."""

import json
import re
import shutil
from dataclasses import replace

import pytest

from shared.errors import UserError
from shared.runs import Run
from tasks.phoneme_recognizer.data import check_corpus, fingerprint
from tasks.phoneme_recognizer.evaluate import Arguments, main, measure
from tasks.phoneme_recognizer.model import load_model
from tests.tasks.phoneme_recognizer.conftest import CONFIG

pytestmark = pytest.mark.any_backend


def test_metrics_of_a_split_are_printed_and_saved(trained, capsys):
    assert main(["--model", "tiny", "--split", "test", "--json", "--noise", "--worst", "2"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["utterances"] == 6
    assert record["PER"] < 0.3
    assert record["PER at 0 dB"] >= record["PER at 20 dB"] - 0.2  # of 29 phones
    assert [row.keys() for row in record["worst"]] == 2 * [{"name", "PER", "said", "recognized"}]
    assert record["worst"][0]["PER"] >= max(record["PER"], record["worst"][1]["PER"])
    assert record["PER"] == pytest.approx(
        record["substitutions"] + record["deletions"] + record["insertions"], abs=2e-4
    )
    saved = trained.run.load_metrics()
    assert saved["test"]["PER"] == record["PER"]
    assert 0 <= record["PFER"] <= record["PER"]
    assert record["PER interval"]["from"] <= record["PER"] <= record["PER interval"]["to"]
    assert {"ECE", "PER with silence", "boundary F1", "boundary median ms", "protocol", "beam"} <= saved["test"].keys()
    assert saved["test in noise"].keys() == {f"PER at {snr} dB" for snr in (20, 10, 5, 0)}


def test_an_unseen_folder_is_measured_as_a_whole(trained, spoken_words, tmp_path, capsys):
    measured = ["--model", "tiny", "--corpus", str(spoken_words)]
    assert main([*measured, "--plots", str(tmp_path / "plots")]) == 0
    lines = dict(re.split(r" {2,}", line, maxsplit=1) for line in capsys.readouterr().out.splitlines() if "  " in line)
    assert (lines["utterances"], lines["split"], lines["beam"]) == ("20", "all", "0")
    assert float(lines["PER"]) < 0.3
    names = {f"{kind}-spoken-all.png" for kind in ("confusions", "reliability")}
    assert {path.name for path in (tmp_path / "plots").iterdir()} == names
    assert names <= {path.name for path in (trained.run.path / "plots").iterdir()}
    saved = trained.run.load_metrics()
    assert {"dev", "spoken all"} <= saved.keys()
    assert main([*measured, "--beam", "2"]) == 0
    assert trained.run.load_metrics() == saved  # those of the run's own beam alone


@pytest.mark.parametrize(("option", "value"), [("--beam", "-1"), ("--beam", "101"), ("--worst", "-1")])
def test_options_out_of_range_are_refused(option, value, capsys):
    assert main([option, value]) == 2
    assert f"error: {option} {value}: " in capsys.readouterr().err


def given(capsys, tmp_path, outputs, references, *options):
    """The exit code, the record and the errors of an evaluation of two texts."""
    for name, text in {"outputs.txt": outputs, "references.txt": references}.items():
        (tmp_path / name).write_text(text)
    paths = "--outputs", tmp_path / "outputs.txt", "--references", tmp_path / "references.txt"
    code = main([*map(str, (*paths, *options)), "--json"])
    printed = capsys.readouterr()
    return code, json.loads(printed.out) if printed.out else {}, printed.err


def test_a_split_that_has_sounds_of_the_training_is_refused(spoken_words, tmp_path):
    """A sound more moves those after it to other splits."""
    config = replace(CONFIG, corpus=str(spoken_words))
    run = Run.create("phoneme_recognizer", "mine", config, fingerprint(config), tmp_path / "runs")
    check_corpus(run, config, config.corpus, "test")
    others = replace(config, dev_corpus="others")
    check_corpus(run, others, config.corpus, "test")
    with pytest.raises(UserError, match="mine was trained on its dev split, since it has another dev corpus"):
        check_corpus(run, others, config.corpus, "dev")
    for suffix in (".wav", ".txt"):
        shutil.copy(spoken_words / f"00{suffix}", spoken_words / f"000{suffix}")
    with pytest.raises(UserError, match="spoken: has changed since mine was trained on it"):
        check_corpus(run, config, config.corpus, "test")


@pytest.mark.parametrize(
    ("outputs", "references"),
    [
        ("x/u1.wav: s m ao l\nu2.wav: (silence)\n", "u2 AA IH0\nu1 S M AO1 L sil\n"),
        ("b (silence)\nu1 s m aa l\n", "u1 h# s m aa l pau\nb aa ix\n"),
        ("out/more/u.wav: (silence)\nout/u.wav: s m aa l\n", "u s m ao l\nmore/u aa ih\n"),
        ("s m aa l\n(silence)\n", "s m ao l\naa ih\n"),
        ("u1: s m \u0251 l\nu2: (silence)", "u1 s m ao l\nu2 aa ih"),
        (
            '{"sound": "u1.wav", "recognitions": [{"phones": [{"phone": "s"}, {"phone": "m"}, {"phone": "aa"},'
            ' {"phone": "l"}]}]}\n{"sound": "u2.wav", "recognitions": [{"phones": []}]}\n',
            "u1 s m ao l\nu2 aa ih\n",
        ),
    ],
)
def test_phones_that_exist_are_scored_by_name_or_in_order(capsys, tmp_path, outputs, references):
    """Of six phones in the references two are missing; ao and aa are one of the scored classes."""
    code, record, err = given(capsys, tmp_path, outputs, references)
    assert (code, err) == (0, "")
    assert [record[name] for name in ("utterances", "PER", "deletions", "insertions")] == [2, 0.3333, 0.3333, 0]
    assert record["PER interval"] == {"from": 0, "to": 1}  # of the draws: u1 is right, u2 silent


def test_outputs_and_references_that_do_not_belong_together(capsys, tmp_path):
    code, record, err = given(capsys, tmp_path, "u1: s\nu3: s\n", "u1 s\nu2 m m\n", "--worst", "1")
    assert (code, record["PER"], record["worst"][0]["name"]) == (0, 0.6667, "u2")
    first, second = err.splitlines()
    assert first.endswith("1 reference without an output, which counts as one without phones: u2")
    assert second.endswith("1 output without a reference, which is left out: u3")
    for outputs, references, message in (
        ("s m\n", "s m\nm\n", "has 1 line without names for 2 references"),
        ("u1: s\nu1: m\n", "u1 s\n", "u1 occurs twice"),
        ("u2: s\n", "u1 s\n", "u2 is no name of the references, such as u1"),
        ("u: s\n", "x/u s\ny/u m\n", "u may be x/u or y/u; names with folders were expected"),
        ("x/u1: s\ny/u1: m\n", "u1 s\n", "x/u1 and y/u1 may both be u1; one of them was expected"),
        ("u1: s qq\n", "u1 s\n", "line 1: qq is no phone"),
        ("", "u1 s\n", "outputs.txt is empty"),
        ("{}", "u1 s\n", "line 1: an object of `recognize --json` was expected"),
    ):
        code, _, err = given(capsys, tmp_path, outputs, references)
        assert (code, err.count("\n")) == (2, 1)
        assert message in err
    assert main(["--references", "x"]) == 2
    assert "--references are those of --outputs" in capsys.readouterr().err


def test_phones_that_exist_are_scored_against_a_folder(spoken_words, tmp_path, capsys):
    """No model is needed."""
    texts = {path.stem: path.read_text() for path in spoken_words.glob("*.txt")}
    phones = {"a": "aa", "i": "iy", "s": "s", "m": "m"}
    lines = [f"{name}.wav: {' '.join(phones[letter] for letter in text)}\n" for name, text in sorted(texts.items())]
    (tmp_path / "outputs.txt").write_text("".join(lines[:-1]))
    arguments = "--outputs", tmp_path / "outputs.txt", "--corpus", spoken_words, "--json"
    assert main(list(map(str, arguments))) == 0
    printed = capsys.readouterr()
    record = json.loads(printed.out)
    assert [record[name] for name in ("split", "utterances", "PER", "deletions")] == ["all", 20, 0.05, 0.05]
    assert "1 reference without an output" in printed.err


def test_sounds_of_one_name_in_two_folders_are_both_scored(spoken_words, tmp_path, capsys):
    folder = tmp_path / "two"
    for name, index in {"trip": "00", "home": "01"}.items():
        (folder / name).mkdir(parents=True)
        for suffix in (".wav", ".txt"):
            shutil.copy(spoken_words / f"{index}{suffix}", folder / name / f"a{suffix}")
    (tmp_path / "outputs.txt").write_text("home/a.wav: aa iy m s\ntrip/a.wav: aa iy s m\n")
    arguments = "--outputs", tmp_path / "outputs.txt", "--json", "--corpus"
    assert main([*map(str, arguments), str(folder)]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["utterances"], record["PER"]) == (2, 0)
    shutil.copytree(folder, tmp_path / "three")
    shutil.copy(folder / "trip" / "a.wav", tmp_path / "three" / "trip" / "a.WAV")
    assert main([*map(str, arguments), str(tmp_path / "three")]) == 2
    assert "two sounds are called trip/a; different names were expected" in capsys.readouterr().err


def test_a_model_in_memory_gives_the_metrics_of_its_training(trained):
    saved = trained.run.load_metrics()["dev"]
    assert measure(trained.run, Arguments(), load_model(trained.run)) == {"split": "dev", **saved}


@pytest.mark.parametrize("corpus", ["timit+spoken_scenes", "timit*0.5"])
def test_one_whole_corpus_is_expected(corpus, capsys):
    for others in ([], ["--outputs", "phones.txt"]):
        assert main(["--corpus", corpus, *others]) == 2
        expected = "one whole corpus was expected; measure several one after the other"
        assert capsys.readouterr().err == f"error: --corpus {corpus}: {expected}\n"


def test_a_corpus_that_does_not_exist_is_refused(trained, capsys):
    assert main(["--model", "tiny", "--corpus", "nowhere"]) == 2
    assert "nowhere is neither a corpus nor a folder" in capsys.readouterr().err
