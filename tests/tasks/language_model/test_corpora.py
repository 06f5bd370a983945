"""Text files and folders as corpora, in words, subwords or characters, from training to export."""

import gzip
import json
import math
from dataclasses import replace

import numpy as np
import pytest

from shared.cli import TrainingOptions
from shared.errors import UserError
from shared.runs import Run
from tasks.language_model import data
from tasks.language_model.config import Config
from tasks.language_model.data import load_split
from tasks.language_model.evaluate import main as evaluate
from tasks.language_model.export import export
from tasks.language_model.generate import main as generate
from tasks.language_model.inference import TextGenerator, TextScorer
from tasks.language_model.train import main, train
from tests.tasks.language_model.conftest import CONFIG, sentences


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    folder = tmp_path_factory.mktemp("book")
    lines = sentences()
    (folder / "a.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(lines[:30]).encode() + b"\r\n")
    (folder / "deeper").mkdir()
    (folder / "deeper" / "b.txt").write_text("\n".join([*lines[30:], lines[0], "the \u732b sees \U0001f408"]))
    (folder / "picture.png").write_bytes(b"no text")
    return folder


def test_the_lines_of_a_folder_are_split_without_overlap(book):
    config = replace(CONFIG, corpus=str(book))
    train, dev, test = (load_split(config, split).lines for split in ("train", "dev", "test"))
    lines = sentences()
    assert train == lines[: len(train)]  # no byte order mark, no carriage return
    assert dev == lines[len(train) : len(train) + len(dev)]
    assert test == [*lines[len(train) + len(dev) :], "the \u732b sees \U0001f408"]  # lines[0] is in train
    assert len(train) == (len(lines) + 2) * 18 // 20


@pytest.mark.slow
@pytest.mark.parametrize("vocabulary", ["characters", "subwords"])
def test_subwords_and_characters_know_any_text(vocabulary, book, small_manual, capsys):
    config = replace(CONFIG, corpus=str(book), vocabulary=vocabulary, vocabulary_size=290, epochs=2)
    train(config, TrainingOptions(run=vocabulary))
    assert evaluate(["--model", vocabulary, "--split", "test", "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert metrics["unknown"] == 0
    lines = load_split(config, "test").lines
    bits = metrics["tokens"] * math.log2(metrics["perplexity"])
    sizes = [sum(len(x) + 1 for x in of) for of in (lines, [line.encode() for line in lines], map(str.split, lines))]
    found = [metrics[f"bits_per_{unit}"] for unit in ("character", "byte")]
    np.testing.assert_allclose(found, [bits / size for size in sizes[:2]], rtol=1e-2)
    assert math.log2(metrics["word_perplexity"]) == pytest.approx(bits / sizes[2], rel=1e-2)

    (score,) = TextScorer.load(vocabulary)(["the c\u00e4t \U0001f408"])
    assert "".join(score.tokens[:-1]).startswith(" the c")
    assert not any(score.unknown)
    assert [word.text for word in score.words()] == ["the", "c\u00e4t", "\U0001f408"]
    assert score.word_perplexity == pytest.approx(math.exp(-score.log_prob / 4))

    assert generate(["--model", vocabulary, "--max-tokens", "1", "--json"]) == 0
    assert not json.loads(capsys.readouterr().out)["text"].startswith(" ")  # it starts a line

    assert generate(["--model", vocabulary, "--prompt", "the \u732b", "--max-tokens", "9", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["tokens"]) == 9
    generator = TextGenerator.load(vocabulary)
    for seed in range(5):  # the space at the end of a prompt is that of the next word
        (found,) = generator("the cat ", max_tokens=6, seed=seed)
        line = "".join(found.tokens).split("</s>")[0]
        assert line.startswith(" ")
        assert "<0x" in line or found.text.split("\n")[0] == line.removeprefix(" ")
    if vocabulary == "subwords":
        assert export(vocabulary).is_dir()  # after its parity check


BAD = {
    "empty": (b"", "no text in it"),
    "blank": (b" \n\n\t\n", "no text in it"),
    "one_word": (b"word", "too few lines to split (train 0, dev 0, test 1)"),
    "one_line": (b"a b c " * 2000, "too few lines to split (train 0, dev 0, test 1); --split-by tokens cuts lines"),
    "chinese": (
        "".join(f"\u8fd9\u53ea\u732b\u5728\u57ab\u5b50\u4e0a\u7761\u89c9{number}\n" for number in range(60)).encode(),
        "--vocabulary characters or subwords",
    ),
    "zip": (b"PK\x03\x04\x14\x00", "is a ZIP archive or an office document"),
    "utf16": ("the cat sat\n".encode("utf-16-le") * 40, "is UTF-16 without a byte order mark"),
    "latin": ("gr\u00fc\u00dfe\n".encode("latin-1") * 40, "is not UTF-8: line 1"),
    "smaller_than_a_batch": (
        b"".join(b"a %d\n" % number for number in range(20)),
        "tokens are too few for 100 streams",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_too_little_text_is_refused_in_one_line(name, tmp_path, small_manual, capsys):
    contents, message = BAD[name]
    (tmp_path / f"{name}.txt").write_bytes(contents)
    assert main(["--corpus", str(tmp_path / f"{name}.txt"), "--batch-size", "100"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.splitlines()) == 1 + (name == "latin")  # its first line is reported too
    assert not (small_manual / name).exists()  # so the name is free for the next attempt


SMALL = ["--units", "4", "--embedding-units", "4", "--batch-size", "2", "--epochs", "1"]


def test_splits_of_their_own_in_any_form(tmp_path, small_manual, capsys):
    lines = [f"the cat sees dog {number % 5}." for number in range(60)]
    (tmp_path / "corpus.gz").write_bytes(gzip.compress(" ".join(lines).encode("utf-16")))
    (tmp_path / "dev.txt").write_text("the cat sees dog 1.\nthe gnu sees dog 2.\n" * 3)
    corpora = ["--corpus", str(tmp_path / "corpus.gz"), "--dev-corpus", str(tmp_path / "dev.txt")]
    assert main([*corpora, "--split-by", "tokens", "--run", "own", *SMALL]) == 0
    output = capsys.readouterr().out
    assert "unknown words: 0.0% of the training tokens, 7.1% of the development tokens" in output  # 3 of 42
    config = Run(small_manual / "own").read_config(Config)
    assert config.dev_corpus == str(tmp_path / "dev.txt")
    assert len(load_split(config, "dev").lines) == 6
    (train_line,), (test_line,) = (load_split(config, split).lines for split in ("train", "test"))
    assert f"{train_line} {test_line}" == " ".join(lines)
    assert evaluate(["--model", "own", "--json"]) == 0
    dev = json.loads(capsys.readouterr().out)
    assert (dev["split"], dev["tokens"], dev["unknown"]) == ("dev", 42, round(3 / 42, 4))
    assert evaluate(["--model", "own", "--json", "--corpus", str(tmp_path / "dev.txt")]) == 0
    assert json.loads(capsys.readouterr().out) == dev | {"split": "all"}
    assert Run(small_manual / "own").load_metrics().keys() == {"dev", "dev.txt all"}
    (tmp_path / "dev.txt").write_text("another text\n" * 30)
    data._splits.cache_clear()
    assert evaluate(["--model", "own"]) == 2
    assert "not the text that" in capsys.readouterr().err


def test_a_text_that_has_changed_is_refused(tmp_path, small_manual, capsys, monkeypatch):
    texts = [f"line {number} of text\n" for number in range(60)]
    (tmp_path / "my book.txt").write_text("".join(texts))
    monkeypatch.chdir(tmp_path)
    assert main(["--corpus", "my book.txt", *SMALL]) == 0
    monkeypatch.chdir("/")
    assert evaluate(["--model", "my-book"]) == 0  # found from anywhere
    (tmp_path / "moved.txt").write_text("".join(texts))
    (tmp_path / "my book.txt").write_text("".join(texts[::-1]))
    capsys.readouterr()
    data._splits.cache_clear()
    assert evaluate(["--model", "my-book"]) == 2
    assert "not the text that" in capsys.readouterr().err
    assert evaluate(["--model", "my-book", "--data-dir", str(tmp_path / "moved.txt"), "--split", "test"]) == 0
    assert evaluate(["--model", "my-book", "--data-dir", "/nowhere"]) == 2
    assert "corpus /nowhere: no such file or folder" in capsys.readouterr().err


def test_missing_corpora_are_named(tmp_path):
    with pytest.raises(UserError, match=r"none of python_manual, .*, english_text, and no such file or folder"):
        load_split(replace(CONFIG, corpus="war_and_peace"), "train")
    with pytest.raises(UserError, match=r"no \.txt file in it"):
        load_split(replace(CONFIG, corpus=str(tmp_path)), "train")


LINES = b"".join(b"a b c %d\n" % number for number in range(60))
STRANGE = {
    "no_final_newline": LINES + b"d e f",
    "one_line_of_many_words": b"a b c d " * 3000 + b"\n" + LINES,
    "invalid": LINES[:300] + b"a \xff\xfe b\nc \xc3\n" + LINES[300:],
    "chinese_emoji_control": "\u732b\u5728 \U0001f408 \x07\x01\n".encode() + LINES,
}


@pytest.mark.parametrize("name", STRANGE)
@pytest.mark.parametrize("vocabulary", ["words", "characters"])
def test_any_text_can_be_trained_on(name, vocabulary, tmp_path, small_manual, capsys):
    (tmp_path / f"{name}.txt").write_bytes(STRANGE[name])
    arguments = ["--corpus", str(tmp_path / f"{name}.txt"), "--vocabulary", vocabulary, "--min-count", "1", *SMALL]
    assert main([*arguments, "--run", f"{name}-{vocabulary}"]) == 0
    assert capsys.readouterr().err.count("is not UTF-8") == (name == "invalid")
    assert Run(small_manual / f"{name}-{vocabulary}").load_weights()
