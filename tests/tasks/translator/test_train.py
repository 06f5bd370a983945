"""Training: what it leaves behind, how runs are named, what is refused in one line."""

from dataclasses import replace

import pytest

import shared.runs
from shared.cli import TrainingOptions
from shared.runs import Run, RunError
from shared.vocabulary import WordVocabulary, load_vocabulary
from tasks.translator.config import PRESETS, SCENES
from tasks.translator.model import load_weights
from tasks.translator.train import main, run_name, train
from tasks.translator.translation import SentenceTranslator

WORDS = {"one": "eins", "two": "zwei", "three": "drei", "four": "vier", "five": "fünf"}


@pytest.fixture
def config(tmp_path, monkeypatch):
    """Of two files of numbers, to be translated backwards."""
    monkeypatch.setattr(shared.runs, "ROOT", tmp_path / "saved_models")
    names = list(WORDS)
    lines = [
        [names[(number // 5**place + place) % 5] for place in range(2 + number % 3)] + [str(number)] * (number > 400)
        for number in range(500)
    ]
    (tmp_path / "a.en").write_text("\n".join(" ".join(line) for line in lines))
    (tmp_path / "a.de").write_text("\n".join(" ".join(WORDS.get(word, word) for word in line[::-1]) for line in lines))
    files = {"source_file": str(tmp_path / "a.en"), "target_file": str(tmp_path / "a.de")}
    return replace(
        SCENES, corpus="files", **files, units=24, embedding_units=24, min_count=3, batch_size=16, epochs=12,
        learning_rate=1e-2, warmup_steps=20, weight_average=0.9, max_length=9,
    )  # fmt: skip


def test_it_learns_to_turn_words_around_and_leaves_a_whole_run(config, capsys):
    train(config, TrainingOptions())
    assert "500 pairs" not in capsys.readouterr().out
    run = Run.find("a-en-de", "translator", "a-en-de")
    source = load_vocabulary(run, WordVocabulary)
    target = WordVocabulary.load(run.path / "target_vocabulary.json")
    model = load_weights(run, config, len(source), len(target))
    translate = SentenceTranslator(model, source, target, beam=3)
    found = translate(["one two three", "five four", ""])
    assert [best[0].text for best in found[:2]] == ["drei zwei eins", "vier fünf"]
    best, second, *_ = found[0]
    assert best.log_prob > second.log_prob
    assert best.log_prob == pytest.approx(best.token_log_probs.sum(), abs=0.5)  # the end apart
    assert best.attention.shape == (3, 4)
    assert best.attention.argmax(axis=1).tolist() == [2, 1, 0]
    assert {path.name for path in run.path.iterdir()} >= {"config.json", "history.csv", "weights.safetensors", "plots"}
    alone = translate(["five four"])[0][0]
    assert (alone.text, alone.log_prob) == ("vier fünf", pytest.approx(found[1][0].log_prob, abs=1e-4))
    with pytest.raises(RunError, match="units 24 -> 25"):
        train(replace(config, units=25), TrainingOptions())


def test_runs_are_named_after_corpus_and_languages():
    names = {name: run_name(config) for name, config in PRESETS.items()}
    assert names == {
        "scenes": "scenes", "multi30k-en-de": "multi30k-en-de", "multi30k-de-en": "multi30k-de-en",
        "multi30k-en-fr": "multi30k-en-fr", "tatoeba": "tatoeba-deu-eng", "sutskever": "scenes-fixed",
    }  # fmt: skip


def test_what_cannot_be_trained_is_told_in_one_line(capsys):
    assert main(["--corpus", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere is no corpus of pairs; there are scenes, ")
    assert main(["--source-file", "a.en"]) == 2
    assert capsys.readouterr().err == ("error: --source-file and --target-file go together, and with --corpus files\n")
