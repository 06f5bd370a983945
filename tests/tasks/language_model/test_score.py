"""The command `score`: tables, pages and n-best lists."""

import csv
import io
import json
import math
import re
from pathlib import Path

import numpy as np
import pytest

from shared.errors import UserError
from tasks.language_model.inference import TextScorer
from tasks.language_model.model import load_model
from tasks.language_model.rescoring import kaldi_scores
from tasks.language_model.score import main
from tasks.language_model.tables import Total
from tests.tasks.language_model.test_inference import LINES, line_nats

pytestmark = pytest.mark.any_backend


@pytest.fixture(scope="module")
def loaded(trained):
    return load_model(trained.run)


def test_json(loaded, capsys):
    assert main(["--model", "tiny", "--json", LINES[0], LINES[2]]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["text"] for record in records] == [LINES[0], ""]
    assert records[0]["log_prob"] == pytest.approx(-line_nats(loaded, LINES[0]).sum(), abs=1e-3)
    assert sum(records[0]["log_probs"]) == pytest.approx(records[0]["log_prob"], abs=1e-2)
    assert records[1]["without_end"] is None


def test_table_and_tsv(loaded, capsys):
    assert main(["--model", "tiny", *LINES[:2]]) == 0
    heading, *rows, total, unknown = capsys.readouterr().out.splitlines()
    assert unknown == "unknown: zebra"
    assert heading.split() == ["log_prob", "perplexity", "without_end", "per_word", "bpc", "unknown", "text"]
    assert float(rows[0].split()[0]) == pytest.approx(-line_nats(loaded, LINES[0]).sum(), abs=0.01)
    assert rows[1].split()[5] == "1"
    both = np.concatenate([line_nats(loaded, line) for line in LINES[:2]])
    assert f"perplexity {math.exp(both.mean()):.2f}" in total
    assert "2 lines, 14 tokens, 1 unknown" in total
    assert main(["--model", "tiny", "--tsv", *LINES[:2]]) == 0
    heading, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert heading[-1] == "text"
    assert [row[-1] for row in rows] == LINES[:2]


QUOTED = ['the "cat" sees', '"', "it's", "a\tb, c"]


@pytest.mark.parametrize(("option", "delimiter"), [("--csv", ","), ("--tsv", "\t")])
@pytest.mark.parametrize("by", ["--by-word", "--by-token", None])
def test_every_row_is_read_whatever_its_quotation_marks(by, option, delimiter, trained, capsys):
    assert main(["--model", "tiny", option, *([by] if by else []), *QUOTED]) == 0
    output = capsys.readouterr().out
    heading, *rows = csv.reader(io.StringIO(output), delimiter=delimiter, strict=True)
    assert all(len(row) == len(heading) for row in rows)
    records = [dict(zip(heading, row, strict=True)) for row in rows]
    if by == "--by-word":
        assert [record["word"] for record in records] == ["the", '"cat"', "sees", '"', "it's", "a", "b,", "c"]
        assert [record["position"] for record in records] == [*"123", *"1", *"1", *"123"]
    elif by == "--by-token":
        assert [record["token"] for record in records if record["line"] == "2"] == ['"', "</s>"]
    else:
        assert [record["text"] for record in records] == [*QUOTED[:3], "a b, c"]


def test_the_surprisal_of_words_is_the_sum_of_their_tokens(loaded, capsys):
    text = "the cat sees (the dog)."
    nats = line_nats(loaded, "the cat sees ( the dog ) .")
    sums = {
        "attached": [*nats[:3], nats[3] + nats[4], nats[5] + nats[6] + nats[7]],
        "apart": nats[:-1],
    }
    words = {"attached": "the cat sees (the dog).", "apart": "the cat sees ( the dog ) ."}
    for punctuation, expected in sums.items():
        assert main(["--model", "tiny", "--json", "--by-word", "--punctuation", punctuation, text]) == 0
        rows = json.loads(capsys.readouterr().out)["words"]
        assert [row["word"] for row in rows] == words[punctuation].split()
        assert [row["position"] for row in rows] == list(range(1, len(rows) + 1))
        np.testing.assert_allclose([row["surprisal_nats"] for row in rows], expected, atol=1e-3)
        np.testing.assert_allclose([row["surprisal_bits"] for row in rows], np.array(expected) / math.log(2), atol=1e-3)


def test_unknown_words_are_named(trained, capsys):
    assert main(["--model", "tiny", "--json", "the zebra likes a gnu"]) == 0
    assert json.loads(capsys.readouterr().out)["unknown_words"] == ["zebra", "a", "gnu"]
    assert main(["--model", "tiny", "the zebra likes a zebra"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "unknown: zebra (2), a"


def test_kaldi_lists_get_a_cost_for_each_hypothesis(loaded, tmp_path, capsys):
    (tmp_path / "text").write_text("utt-a-1 the cat sees\nutt-a-2  the dog \nutt-b-1\n")
    assert main(["--model", "tiny", "--kaldi", str(tmp_path / "text")]) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert [name for name, _ in rows] == ["utt-a-1", "utt-a-2", "utt-b-1"]
    expected = [line_nats(loaded, text).sum() for text in ("the cat sees", "the dog", "")]
    np.testing.assert_allclose([float(cost) for _, cost in rows], expected, atol=1e-3)
    (tmp_path / "text").write_text("utt-a-1 the\n\n")
    assert main(["--model", "tiny", "--kaldi", str(tmp_path / "text"), "--output", str(tmp_path / "costs")]) == 2
    assert "line 2: expected `utterance-n words`" in capsys.readouterr().err


def test_lines_of_kaldi_lists_are_numbered_over_all_batches(loaded):
    scorer = TextScorer(loaded)
    with pytest.raises(UserError, match=r"^line 4: expected"):
        list(kaldi_scores(scorer, [["a-1 the cat", "a-2 the"], ["a-3"], ["", "a-5"]]))


RELEASED = Path(__file__).parents[3] / "saved_models" / "language_model" / "wikitext2"


def test_the_released_model_reads_ordinary_text(capsys):
    assert main(["--model", str(RELEASED), "--json", "on the mat.", "on the mat .", "He didn't."]) == 0
    text, tokens, other = map(json.loads, capsys.readouterr().out.splitlines())
    assert (text["form"], tokens["form"]) == ("text", "tokens")
    assert text["tokens"] == tokens["tokens"] == ["on", "the", "mat", ".", "</s>"]
    assert text["log_prob"] == tokens["log_prob"]
    assert other["tokens"] == ["He", "didn", "'t", ".", "</s>"]


def test_what_was_read_is_said():
    total = Total()
    total.forms.update(text=2)
    assert total.how_read("X").startswith("2 lines read as ordinary text, split into the tokens of X; ")
    total.forms.update(tokens=1)
    assert total.how_read("X").startswith("2 lines read as ordinary text, 1 line read as tokens of X; ")


def test_tsv_by_token(loaded, capsys):
    assert main(["--model", "tiny", "--tsv", "--by-token", *LINES[:2]]) == 0
    heading, *rows = (line.split("\t") for line in capsys.readouterr().out.splitlines())
    assert heading == ["line", "token", "log_prob", "unknown"]
    assert [row[0] for row in rows] == ["1"] * 7 + ["2"] * 7
    both = np.concatenate([line_nats(loaded, line) for line in LINES[:2]])
    np.testing.assert_allclose([float(row[2]) for row in rows], -both, atol=1e-3)
    assert sum(int(row[3]) for row in rows) == 1


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


def test_the_surprisal_page(trained, tmp_path):
    page = tmp_path / "page.html"
    assert main(["--model", "tiny", "--html", str(page), "--output", str(tmp_path / "out"), "the <b> dog ."]) == 0
    text = page.read_text()
    assert "&lt;" in text
    assert "<b>" not in text
    assert len(re.findall(r'title="[\d.]+ bits"', text)) == 7
    shown = re.sub("<.*?>", "", text[text.rindex("<p>") :]).strip()
    assert shown == "the &lt;b&gt; dog . &lt;/s&gt;"  # as it is written


def test_n_best_lists_are_rescored(loaded, tmp_path, capsys):
    lines = [
        "0 ||| dog the sees cat the . ||| TM= 1 ||| -1.0",
        "0 ||| the dog sees the cat . ||| TM= 2 ||| -1.5 ||| 0-0",
        "1 ||| the cow ||| ||| 2",
    ]
    (tmp_path / "list").write_text("\n".join(lines))
    assert main(["--model", "tiny", "--nbest", str(tmp_path / "list"), "--weight", "0.5"]) == 0
    rescored = [line.split(" ||| ") for line in capsys.readouterr().out.splitlines()]
    assert [fields[1] for fields in rescored] == ["the dog sees the cat .", "dog the sees cat the .", "the cow"]
    for fields, before, feature in zip(rescored, (-1.5, -1.0, 2), ("TM= 2 ", "TM= 1 ", ""), strict=True):
        log_prob = -line_nats(loaded, fields[1]).sum()
        assert float(fields[3]) == pytest.approx(before + 0.5 * log_prob, abs=1e-3)
        assert fields[2] == f"{feature}RNNLM0= {log_prob:.4f}"
    assert rescored[0][4] == "0-0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "texts, --file, --nbest or --kaldi"),
        (["--file", "nowhere.txt"], "nowhere.txt: no such file"),
        (["--tsv", "--json", "a"], "one of the three"),
        (["a", "--html", "nowhere/page.html"], "no folder nowhere"),
        (["a", "--by-word", "--by-token"], "one of the two"),
        (["a", "--punctuation", "apart"], "--by-word was expected with it"),
        (["--kaldi", __file__, "--by-word"], "--kaldi: only --form"),
        (["--file", str(RELEASED / "weights.safetensors")], "is binary data, with NUL characters"),
        (["a", "--form", "tokens", "--form", "text"], "--form is given twice"),
    ],
)
def test_invalid_options_are_refused_in_one_line(arguments, message, capsys):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_an_empty_file_and_a_list_of_another_format(trained, tmp_path, capsys):
    for content, option, message in (("", "--file", "no lines to score"), ("0 ||| a\n", "--nbest", "line 1: expected")):
        (tmp_path / "file").write_text(content)
        assert main(["--model", "tiny", option, str(tmp_path / "file")]) == 2
        assert message in capsys.readouterr().err
