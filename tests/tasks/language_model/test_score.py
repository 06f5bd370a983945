"""What `score` says of texts, line by line, carried, rescored and drawn."""

import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest

from tasks.language_model.adapt import stream_nats
from tasks.language_model.model import load_model
from tasks.language_model.score import TextScorer, main

LINES = ["the cat sees the dog .", "the hen likes the zebra .", "", "dog dog"]


@pytest.fixture(scope="module")
def loaded(trained):
    return load_model(trained.run)


def costs(loaded, text: str) -> np.ndarray:
    """-log p of each token of a line by itself."""
    _, vocabulary, model = loaded
    return stream_nats(model, np.array([*vocabulary.encode(text), vocabulary.end_id], np.int32), vocabulary.end_id)


def test_each_line_by_itself(loaded):
    _, vocabulary, model = loaded
    scores = TextScorer(model, vocabulary)(LINES * 6)  # more than are scored side by side
    assert [score.text for score in scores] == LINES * 6
    for score in scores:
        expected = np.append(costs(loaded, score.text), [])
        np.testing.assert_allclose(-score.log_probs, expected, rtol=1e-4, atol=1e-5)
        assert score.perplexity == pytest.approx(math.exp(expected.mean()), rel=1e-4)
        assert score.bits_per_character == pytest.approx(expected.sum() / math.log(2) / (len(score.text) + 1), rel=1e-4)
    assert scores[0].without_end == pytest.approx(math.exp(costs(loaded, LINES[0])[:-1].mean()), rel=1e-4)
    assert scores[2].without_end is None
    assert scores[1].tokens == ["the", "hen", "likes", "the", "zebra", ".", "</s>"]
    assert scores[1].unknown == [False, False, False, False, True, False, False]


def test_carried_is_one_long_pass(loaded):
    _, vocabulary, model = loaded
    scorer = TextScorer(model, vocabulary, carry=True)
    scores = [score for chunk in (LINES[:1], LINES[1:]) for score in scorer(chunk)]
    ids = [token for line in LINES for token in (*vocabulary.encode(line), vocabulary.end_id)]
    whole = stream_nats(model, np.array(ids, np.int32), vocabulary.end_id)
    np.testing.assert_allclose(np.concatenate([-score.log_probs for score in scores]), whole, rtol=1e-4, atol=1e-5)


def test_a_line_longer_than_is_read_at_a_time(loaded):
    text = " ".join(["the cat sees"] * 60)
    _, vocabulary, model = loaded
    (score,) = TextScorer(model, vocabulary)([text])
    np.testing.assert_allclose(-score.log_probs, costs(loaded, text), rtol=1e-4, atol=1e-5)


def test_json_of_arguments(loaded, capsys):
    assert main(["--model", "tiny", "--json", LINES[0], LINES[2]]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["text"] for record in records] == [LINES[0], ""]
    assert records[0]["log_prob"] == pytest.approx(-costs(loaded, LINES[0]).sum(), abs=1e-3)
    assert sum(records[0]["log_probs"]) == pytest.approx(records[0]["log_prob"], abs=1e-2)
    assert records[1]["without_end"] is None


def test_table_and_tsv(loaded, capsys):
    assert main(["--model", "tiny", *LINES[:2]]) == 0
    heading, *rows, total = capsys.readouterr().out.splitlines()
    assert heading.split() == ["log_prob", "perplexity", "without_end", "bpc", "unknown", "text"]
    assert float(rows[0].split()[0]) == pytest.approx(-costs(loaded, LINES[0]).sum(), abs=0.01)
    assert rows[1].split()[4] == "1"
    both = np.concatenate([costs(loaded, line) for line in LINES[:2]])
    assert f"perplexity {math.exp(both.mean()):.2f}" in total
    assert "2 lines, 14 tokens, 1 unknown" in total
    assert main(["--model", "tiny", "--tsv", *LINES[:2]]) == 0
    heading, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert heading[-1] == "text"
    assert [row[-1] for row in rows] == LINES[:2]


def test_tokens_between_tabs(loaded, capsys):
    assert main(["--model", "tiny", "--tsv", "--by-token", *LINES[:2]]) == 0
    heading, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert heading == ["line", "token", "log_prob", "unknown"]
    assert [row[0] for row in rows] == ["1"] * 7 + ["2"] * 7
    both = np.concatenate([costs(loaded, line) for line in LINES[:2]])
    np.testing.assert_allclose([float(row[2]) for row in rows], -both, atol=1e-3)
    assert sum(int(row[3]) for row in rows) == 1


def test_a_long_line_is_scored_by_itself(loaded, monkeypatch):
    _, vocabulary, model = loaded
    lines = [LINES[0], " ".join([LINES[1]] * 5), LINES[1]]
    expected = TextScorer(model, vocabulary)(lines)
    monkeypatch.setattr("tasks.language_model.score.LONG", 10)
    scorer, read = TextScorer(model, vocabulary), []
    monkeypatch.setattr(
        scorer, "_read", lambda *args, **kwargs: read.append(args[0]) or TextScorer._read(scorer, *args, **kwargs)
    )
    for one, other in zip(scorer(lines), expected, strict=True):
        np.testing.assert_allclose(one.log_probs, other.log_probs, atol=1e-4)
    assert read == [scorer.together, scorer.alone]


ENDLESS = """
import resource, sys
from tasks.language_model.generate import Sampling, TextGenerator
from tasks.language_model.score import TextScorer, score_lines
from shared.cli import command

def lines(count):
    return ("the cat sees the dog ." for _ in range(count))

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

scorer, generator = TextScorer.load(sys.argv[1], carry=True), TextGenerator.load(sys.argv[1])
peaks = []
for count in (200, 2000):
    for _ in score_lines(scorer, lines(count)):
        pass
    for _ in generator.draw(count):
        pass
    peaks.append(peak())
print(*peaks)
"""


def test_an_endless_stream_takes_no_more_memory(trained):
    found = subprocess.run(
        [sys.executable, "-c", ENDLESS, str(trained.run.path)], capture_output=True, text=True, check=True
    )
    after_few, after_many = map(int, found.stdout.split())
    assert after_many - after_few < 4_000  # kilobytes


ODD = {
    "crlf": b"the cat sees\r\nthe dog\r\n",
    "bom": b"\xef\xbb\xbfthe cat sees\nthe dog",
    "no_final_newline": b"the cat sees\nthe dog",
    "broken": b"the cat \xff sees\nthe dog",
    "chinese": "\u732b \u770b\nthe \U0001f408 \x07".encode(),
    "one_word": b"cat",
}


@pytest.mark.parametrize("kind", ODD)
def test_any_file(kind, trained, tmp_path, capsys):
    (tmp_path / "odd.txt").write_bytes(ODD[kind])
    assert main(["--model", "tiny", "--json", "--file", str(tmp_path / "odd.txt")]) == 0
    output = capsys.readouterr()
    texts = [json.loads(line)["text"] for line in output.out.splitlines()]
    assert texts == ODD[kind].decode("utf-8-sig", "replace").replace("\r\n", "\n").splitlines()
    assert output.err.count("\n") == (kind == "broken")


def test_a_page_to_look_at(trained, tmp_path):
    page = tmp_path / "page.html"
    assert main(["--model", "tiny", "--html", str(page), "--output", str(tmp_path / "out"), "the <b> dog ."]) == 0
    text = page.read_text()
    assert "&lt;" in text
    assert "<b>" not in text
    assert len(re.findall(r'title="[\d.]+ bits"', text)) == 7


def test_n_best_lists_are_rescored(loaded, tmp_path, capsys):
    lines = [
        "0 ||| dog the sees cat the . ||| TM= 1 ||| -1.0",
        "0 ||| the dog sees the cat . ||| TM= 2 ||| -1.5 ||| 0-0",
        "1 ||| the cow ||| ||| 2",
    ]
    (tmp_path / "list").write_text("\n".join(lines))
    assert main(["--model", "tiny", "--nbest", str(tmp_path / "list"), "--weight", "0.5"]) == 0
    found = [line.split(" ||| ") for line in capsys.readouterr().out.splitlines()]
    assert [fields[1] for fields in found] == ["the dog sees the cat .", "dog the sees cat the .", "the cow"]
    for fields, before, feature in zip(found, (-1.5, -1.0, 2), ("TM= 2 ", "TM= 1 ", ""), strict=True):
        log_prob = -costs(loaded, fields[1]).sum()
        assert float(fields[3]) == pytest.approx(before + 0.5 * log_prob, abs=1e-3)
        assert fields[2] == f"{feature}RNNLM0= {log_prob:.4f}"
    assert found[0][4] == "0-0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name either texts, or --file, or --nbest"),
        (["--file", "nowhere.txt"], "nowhere.txt: no such file"),
        (["--tsv", "--json", "a"], "one of the two"),
        (["a", "--html", "nowhere/page.html"], "no folder nowhere"),
    ],
)
def test_what_cannot_be_scored_is_told(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_empty_file_and_a_list_of_another_form(trained, tmp_path, capsys):
    for content, option, message in (("", "--file", "no lines to score"), ("0 ||| a\n", "--nbest", "line 1: expected")):
        (tmp_path / "file").write_text(content)
        assert main(["--model", "tiny", option, str(tmp_path / "file")]) == 2
        assert message in capsys.readouterr().err
