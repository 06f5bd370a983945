"""The command `find`: photos of a sentence, sentences of a photo."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from shared.media import read_image
from tasks.captioner import caption
from tasks.captioner.find import main
from tests.tasks.captioner.conftest import picture

SENTENCE = "a small red circle above a blue square ."


@pytest.fixture
def photos(found, tmp_path):
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, size in enumerate(((40, 56), (64, 30), (33, 33))):
        Image.fromarray(picture(*size, seed=i)).save(folder / f"{i}.png")
    return folder


def test_photos_are_listed_best_first_with_the_region_of_each_word(found, photos, tmp_path, capsys):
    options = ["--model", str(found.path), "--index", str(tmp_path / "photos.index")]
    gallery = tmp_path / "found.html"
    assert main([SENTENCE, str(photos), *options, "--json", "--gallery", str(gallery)]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {record["image"] for record in records} == {str(photos / f"{i}.png") for i in range(3)}
    scores = [record["score"] for record in records]
    assert scores == sorted(scores, reverse=True)
    for record in records:
        assert record["sentence"] == SENTENCE
        assert sum(word["score"] for word in record["words"]) == pytest.approx(record["score"], abs=2e-3)
        height, width = read_image(Path(record["image"])).shape[:2]
        for word in record["words"]:
            left, top, right, bottom = word["box"]
            assert 0 <= left < right <= width
            assert 0 <= top < bottom <= height
    page = gallery.read_text()
    assert page.count("<figure>") == 3
    assert "<rect " in page

    # From the index, in text, and only some.
    assert main([SENTENCE, str(photos), *options, "--top", "1"]) == 0
    output = capsys.readouterr().out
    assert output.startswith(f"{scores[0]:.3f}  {records[0]['image']}")
    assert len(output.splitlines()) == 1


def test_sentences_of_a_photo_are_listed_best_first(found, photos, tmp_path, capsys):
    texts = tmp_path / "captions.txt"
    own = "a GREEN  star !"  # the model reads "a green star" and two unknown words
    texts.write_text(f"{SENTENCE}\n\nzzz\n{own}\n")
    assert main([str(photos / "0.png"), str(texts), "--model", str(found.path), "--json"]) == 1  # zzz is not known
    output = capsys.readouterr()
    records = [json.loads(line) for line in output.out.splitlines()]
    assert {record["sentence"] for record in records} == {SENTENCE, own}
    assert np.all(np.diff([record["score"] for record in records]) <= 0)
    assert output.err.count("\n") == 1
    assert "'zzz' has no word that the model knows" in output.err


def test_the_regions_of_the_words_of_a_caption_are_drawn(found, photos, tmp_path, capsys):
    path = tmp_path / "regions.png"
    assert caption.main([str(photos / "0.png"), "--model", str(found.path), "--regions", str(path)]) == 0
    words = capsys.readouterr().out.split(": ")[1].split()
    pictures = 1 + len(words)
    assert read_image(path).shape[0] > 100 * -(-pictures // 7)


def test_an_unknown_word_is_named(found, photos, tmp_path, capsys):
    options = ["--model", str(found.path), "--index", str(tmp_path / "photos.index")]
    assert main(["a red zebra", str(photos), *options]) == 0
    assert "zebra" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["zzz qqq", "photos"], "no word that the model knows"),
        (["a circle"], "photos or folders of them"),
        (["photos/0.png"], "text files of sentences"),
        (["photos/9.png", "photos"], "neither a photo"),
        (["a circle", "-"], "not read from standard input"),
        (["photos/0.png", "none.txt"], "no such file"),
        (["photos/0.png", "empty.txt"], "no sentence to search"),
        (["a circle", "photos", "--gallery", "photos/0.png"], "--gallery photos/0.png"),
        (["a circle", "none"], "does not exist"),
    ],
)
def test_what_cannot_be_done_is_one_line(found, photos, tmp_path, monkeypatch, capsys, arguments, problem):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("\n\n")
    assert main([*arguments, "--model", str(found.path)]) == 2
    output = capsys.readouterr()
    assert problem in output.err
    assert output.out == ""
    assert output.err.count("\n") == 1


def test_a_run_without_a_finder_says_how_to_train_it(trained, photos, capsys):
    assert main(["a circle", str(photos), "--model", str(trained.run.path)]) == 2
    assert "train_finder --model" in capsys.readouterr().err
