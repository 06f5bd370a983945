"""The command `evaluate`."""

import json
import shutil

from tasks.translator.evaluate import main


def test_command_measures_and_writes_the_card(trained, capsys):
    assert main(["--split", "test", "--json", "--worst", "1"]) == 0
    output = capsys.readouterr()
    record = json.loads(output.out)
    assert (record["run"], record["split"]) == ("a-en-de", "test")
    assert record["exact"] > 0.5
    assert output.err.count("\n") == 3
    metrics = trained.run.load_metrics()
    assert metrics["test"] == {name: value for name, value in record.items() if name not in ("run", "split")}
    card = (trained.run.path / "README.md").read_text()
    assert "# Translator from en to de, trained on files" in card
    assert str(record["BLEU"]) in card


def test_metrics_of_an_ensemble_or_another_search_are_not_saved(trained, capsys):
    before = trained.run.load_metrics()
    assert main(["--beam", "2"]) == main(["--as-is"]) == main(["--bleu-tokenizer", "char"]) == 0
    assert trained.run.load_metrics() == before
    assert main(["--model", "a-en-de", "--model", "a-en-de", "--beam", "2"]) == 0
    assert "a-en-de + a-en-de" in capsys.readouterr().out
    assert trained.run.load_metrics() == before


def test_wrong_usage_is_refused(trained, capsys):
    assert main(["--beam", "0"]) == 2
    assert main(["--language-model-weight", "-1"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
    assert main(["--from", "de", "--to", "en"]) == 2
    assert "no model translates from German to English; there is no released model" in capsys.readouterr().err
    assert main(["--model", "a-en-de", "--to", "fr"]) == 2
    assert "a-en-de translates from English to German; a model to French was expected" in capsys.readouterr().err


def test_a_corpus_that_has_changed_is_refused(trained, tmp_path, capsys):
    run = shutil.copytree(trained.run.path, tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints"))
    config = json.loads((run / "config.json").read_text())
    config["data"] = {"files": "of other pairs"}
    (run / "config.json").write_text(json.dumps(config))
    assert main(["--model", str(run)]) == 2
    assert f"not the pairs that {run} was trained on" in capsys.readouterr().err


def test_own_files_and_outputs_that_exist(trained, tmp_path, capsys):
    before = trained.run.load_metrics()
    (tmp_path / "own.tsv").write_text("one two\tzwei eins\nthree four five\tfünf vier drei\n")
    (tmp_path / "own.de").write_text("zwei eins\nfünf vier drei\n")
    (tmp_path / "out").write_text("zwei eins\nfünf drei\n")
    own = ["--pairs-file", str(tmp_path / "own.tsv"), "--json"]
    assert main(own) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["pairs"], record["split"], record["run"]) == (2, str(tmp_path / "own.tsv"), "a-en-de")
    assert main([*own, "--outputs", str(tmp_path / "out")]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["run"], record["exact"]) == (str(tmp_path / "out"), 0.5)
    assert "tok:13a" in record["protocol"]
    outputs = ["--json", "--outputs", str(tmp_path / "own.de")]
    assert main([*outputs, "--target-file", str(tmp_path / "own.de")]) == 0  # without the sentences
    assert json.loads(capsys.readouterr().out)["exact"] == 1
    (tmp_path / "short").write_text("zwei eins\n")
    assert main([*own, "--outputs", str(tmp_path / "short")]) == 2
    assert main(["--source-file", str(tmp_path / "own.de")]) == 2
    assert main(["--outputs", str(tmp_path / "none")]) == 2
    errors = capsys.readouterr().err.splitlines()
    assert "has 1 lines; 2 were expected, one for each reference" in errors[0]
    assert "were expected together" in errors[1]
    assert "no such file" in errors[2]
    assert trained.run.load_metrics() == before


def test_outputs_are_read_like_their_references(trained, tmp_path, capsys):
    (tmp_path / "own.en").write_text("one  two\n\nthree &amp; four\nfive\none\n")
    (tmp_path / "own.de").write_text("zwei  eins\nnull\nvier &amp; drei\n&nbsp;\neins\n")
    (tmp_path / "other.de").write_text("zwei eins\n\nvier & drei\nsechs\n\n")
    own = ["--source-file", str(tmp_path / "own.en"), "--target-file", str(tmp_path / "own.de"), "--json"]
    found = []
    for outputs in ("own.de", "other.de"):
        assert main([*own, "--outputs", str(tmp_path / outputs)]) == 0
        record = json.loads(capsys.readouterr().out)
        found.append((record["pairs"], record["exact"]))
    assert found == [(3, 1), (3, 0.6667)]  # the last output is empty
    (tmp_path / "whole").write_text("zwei eins\nvier & drei\neins\n")
    assert main([*own, "--outputs", str(tmp_path / "whole")]) == 2
    assert "has 3 lines; 5 were expected" in capsys.readouterr().err
    assert main(own) == 0  # a side of white space alone is empty
    assert json.loads(capsys.readouterr().out)["pairs"] == 3
