"""The command `translate`: inputs, outputs, errors in one line."""

import io
import json
import math
import sys
from dataclasses import replace

import pytest
from PIL import Image

from tasks.translator.inference import Translator
from tasks.translator.translate import main, translate_batches
from tests.tasks.translator.conftest import needs_right_words, translation

pytestmark = pytest.mark.any_backend


@pytest.fixture(autouse=True)
def shared_translator(monkeypatch, translator):
    """Makes the command use one translator in all tests, since loading takes most of the time."""
    monkeypatch.setattr(Translator, "load", lambda *_, **__: translator)


def test_sentences_and_files_and_standard_input(tmp_path, monkeypatch, capsys):
    assert main(["one two", "five four three"]) == 0
    assert capsys.readouterr().out == "zwei eins\ndrei vier fünf\n"
    file = tmp_path / "numbers.txt"
    file.write_bytes(b"\xef\xbb\xbfone two\r\n\r\nfive four three")
    assert main(["--file", str(file), "--output", str(tmp_path / "out.txt")]) == 0
    assert (tmp_path / "out.txt").read_text() == "zwei eins\n\ndrei vier fünf\n"
    for arguments in (["-"], ["--file", "-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"two one\n")))
        assert main(arguments) == 0
        assert capsys.readouterr().out == "eins zwei\n"


def test_n_best_with_probabilities(capsys, tmp_path):
    assert main(["one two three", "--n-best", "2"]) == 0
    head, first, second = capsys.readouterr().out.splitlines()
    assert head == "one two three:"
    assert first.split()[1:] == ["drei", "zwei", "eins"]
    assert 1 >= float(first.split()[0]) > float(second.split()[0])
    assert main(["one two three", "two", "--n-best", "2", "--moses"]) == 0
    fields = [line.split(" ||| ") for line in capsys.readouterr().out.splitlines()]
    assert [field[0] for field in fields] == ["0", "0", "1", "1"]
    assert fields[0][1] == "drei zwei eins"
    assert float(fields[0][3]) > float(fields[1][3])
    assert main(["one", "two " * 50, "three", "--moses"]) == 1
    assert [line.split(" ||| ")[0] for line in capsys.readouterr().out.splitlines()] == ["0", "2"]
    (tmp_path / "list").write_text("of another input")
    assert main(["two " * 50, "--moses", "--output", str(tmp_path / "list")]) == 2
    assert (tmp_path / "list").read_text() == ""


def test_probabilities_of_words(capsys):
    assert main(["one two", "--confidence"]) == 0
    words = capsys.readouterr().out.split()
    assert words[::2] == ["zwei", "eins"]
    assert all(0 < float(word.strip("()")) <= 1 for word in words[1::2])


@needs_right_words
def test_json(capsys):
    assert main(["one zyzzyva", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert (record["source"], record["source_language"]) == ("one zyzzyva", "en")
    assert record["unknown"] == ["zyzzyva"]
    (best,) = record["translations"]
    assert best["text"] == "zyzzyva eins"
    assert best["alignment"] == [[1, 0], [0, 1]]
    assert len(best["probabilities"]) == len(best["words"]) == 2
    assert math.log(best["probabilities"][1]) == pytest.approx(best["token_log_probs"][1], abs=1e-3)


def test_alignment_as_pictures_and_pharaoh(tmp_path):
    arguments = ["one two", "", "five four three", "--pharaoh", str(tmp_path / "a.align")]
    assert main([*arguments, "--alignment", str(tmp_path / "a.png"), "--output", str(tmp_path / "out")]) == 0
    assert (tmp_path / "a.align").read_text() == "1-0 0-1\n\n2-0 1-1 0-2\n"
    assert sorted(path.name for path in tmp_path.glob("*.png")) == ["a-1.png", "a-2.png", "a-3.png"]
    for path in tmp_path.glob("*.png"):
        with Image.open(path) as image:
            assert min(image.size) > 100


@needs_right_words
def test_long_sentences_are_reported_and_the_others_are_translated(capsys):
    assert main(["one two", "one " * 5000, "three"]) == 1
    output = capsys.readouterr()
    assert output.out == "zwei eins\n\ndrei\n"
    assert output.err == "error: sentence 2 has 5,000 tokens, more than twice the 9 of training; split it\n"
    assert main(["one " * 5000]) == 2


def test_bytes_that_are_not_utf_8_are_reported(tmp_path, capsys):
    (tmp_path / "odd.txt").write_bytes(b"one \xff two\n\xe7\x8c\xab\n")
    assert main(["--file", str(tmp_path / "odd.txt")]) == 0
    output = capsys.readouterr()
    assert output.out.splitlines()[1] == "\u732b"
    assert output.err.count("\n") == 1
    assert "line 1 is not UTF-8" in output.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name either sentences, or --file, or - for standard input"),
        (["one", "--file", "x"], "name either sentences"),
        (["--file", "nowhere.txt"], "nowhere.txt: no such file"),
        (["one", "--beam", "0"], "--beam 0: a number from 1 to 100"),
        (["one", "--beam", "2", "--n-best", "3"], "--n-best 3: a number from 1 to 2, the beam,"),
        (["one", "--model", "none"], "none: neither a folder nor a run"),
        (["one", "--alignment", "a.txt"], "--alignment a.txt: a name that ends in .png"),
        (["one", "--pharaoh", "nowhere/a"], "there is no folder nowhere"),
        (["one", "--language-model", "none"], "none: neither a folder nor a run of task language_model"),
        (["one", "--language-model-weight", "-1"], "a number from 0 to 1,000 was expected"),
    ],
)
def test_wrong_usage_is_one_line(capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_translation_that_is_cut_off_is_reported(capsys):
    class Stub:
        def refusal(self, line):
            return None

        def __call__(self, lines):
            return [[replace(translation([line], [[1, 0]], [line]), is_complete=line != "b")] for line in lines]

    failed: list[int] = []
    results = list(translate_batches(Stub(), [["a"], ["b", "c"]], failed))
    assert [(line, best.text) for line, (best,) in results] == [("a", "a"), ("b", "b"), ("c", "c")]
    assert (failed, capsys.readouterr().err) == (
        [],
        "error: sentence 2: its translation is cut off; it may lack the end\n",
    )
