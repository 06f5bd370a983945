"""The command line: inputs, outputs and errors."""

import csv
import html
import io
import json
import math
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import shared.runs
from datasets.caption_files import read_captions
from shared.inputs import find_inputs
from shared.media import IMAGES, read_image, read_truncated_image
from shared.vocabulary import WordVocabulary
from tasks.captioner import caption
from tasks.captioner.caption import main
from tasks.captioner.inference import ImageCaptioner
from tests.tasks.captioner.conftest import encoded, odd_images, picture

pytestmark = pytest.mark.any_backend

ROOT = Path(__file__).parents[3]


@pytest.fixture
def warm(monkeypatch, captioner):
    """Use one captioner in all tests; loading takes most of the time."""
    monkeypatch.setattr(ImageCaptioner, "load", lambda *_: captioner)


@pytest.fixture
def folder(tmp_path):
    """Nine readable images."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name, content in odd_images().items():
        (folder / name).write_bytes(content)
    return folder


def records(text: str) -> list[dict]:
    def refuse(constant):
        raise ValueError(f"not JSON: {constant}")

    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


# --- good input -----------------------------------------------------------------------------------------------------


def test_one_file_many_and_a_folder_in_their_order(warm, captioner, folder, capsys):
    wide, dot = str(folder / "wide.png"), str(folder / "dot.gif")
    assert main(["--json", wide, str(folder), dot, wide, "--model", "tiny"]) == 0
    output = capsys.readouterr()
    lines = records(output.out)
    assert [line["image"] for line in lines] == [
        wide,
        *(str(folder / name) for name in sorted(odd_images())),
        dot,
        wide,
    ]
    assert lines[0] == lines[-1]
    assert output.err == ""
    for line in lines:
        assert line.keys() == {"image", "captions"}
        (best,) = line["captions"]
        assert best.keys() == {"text", "log_prob", "score", "confidence", "tokens", "probabilities", "word_confidences"}
        expected = captioner([read_image(Path(line["image"]))])[0][0]  # alone, as in the batch
        assert best["tokens"] == expected.tokens
        np.testing.assert_allclose(best["probabilities"], expected.probabilities, atol=1e-3)
        assert sum(map(math.log, best["probabilities"])) >= best["log_prob"] - 0.1  # of the words, without the end
        assert best["confidence"] == pytest.approx(expected.confidence, abs=1e-3)
        np.testing.assert_allclose(best["word_confidences"], expected.word_confidences, atol=1e-3)
        assert best["text"] == expected.text
        assert best["log_prob"] == pytest.approx(expected.log_prob, abs=1e-3)


def test_text_output(warm, captioner, folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    assert main(["./wide.png", "--model", "tiny"]) == 0
    best = captioner([read_image(Path("wide.png"))])[0]
    assert capsys.readouterr().out == f"./wide.png: {best[0].text}\n"
    assert main(["wide.png", "--n-best", "3", "--model", "tiny"]) == 0
    first, *lines = capsys.readouterr().out.splitlines()
    assert first == "wide.png:"
    for line, expected in zip(lines, best, strict=True):
        name, confidence, other, probability, text = line.split(maxsplit=4)
        assert (name, other, text) == ("confidence", "probability", expected.text)
        assert float(confidence) == pytest.approx(expected.confidence, abs=0.006)
        assert float(probability) == pytest.approx(math.exp(expected.log_prob), rel=0.05)


def test_a_model_without_calibration_shows_the_score_that_it_orders_by(warm, captioner, folder, capsys, monkeypatch):
    monkeypatch.setattr(captioner, "confidence", None)
    assert main([str(folder / "wide.png"), "--n-best", "3", "--model", "tiny"]) == 0
    _, *lines = capsys.readouterr().out.splitlines()
    scores = [float(line.split()[1]) for line in lines]
    assert all(line.startswith("  score ") for line in lines)
    assert scores == sorted(scores, reverse=True)
    assert main([str(folder / "wide.png"), "--json"]) == 0
    best = records(capsys.readouterr().out)[0]["captions"][0]
    assert (best["confidence"], best["word_confidences"]) == (None, None)


def test_n_best_widens_the_beam_and_is_sorted(trained, folder, capsys):
    assert main(["--json", "--n-best", "5", str(folder / "wide.png"), "--model", "tiny"]) == 0
    (line,) = records(capsys.readouterr().out)
    log_probs = [caption["log_prob"] for caption in line["captions"]]
    assert len(log_probs) == 5
    for name in ("score", "confidence"):
        values = [caption[name] for caption in line["captions"]]
        assert values == sorted(values, reverse=True)
    assert len({tuple(caption["tokens"]) for caption in line["captions"]}) == 5
    assert sum(map(math.exp, log_probs)) <= 1


def test_standard_input(warm, folder, capsys, monkeypatch):
    content = (folder / "turned.jpg").read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert main(["--json", "-", str(folder / "turned.jpg"), "-"]) == 1  # standard input can be read once
    output = capsys.readouterr()
    first, second = records(output.out)
    assert first["image"] == "-"
    assert first["captions"] == second["captions"]
    assert output.err == "error: - is empty (0 bytes); an image file was expected\n"


def test_standard_input_that_is_closed_or_endless(trained, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    assert main(["-"]) == 2
    assert capsys.readouterr().err == "error: - cannot be read: standard input is closed\n"
    monkeypatch.setattr(caption, "READER", replace(caption.READER, kind=replace(IMAGES, max_bytes=10)))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"GIF89a" * 9)))
    assert main(["-"]) == 2
    assert capsys.readouterr().err == "error: - has more than 10 bytes; scale the image down first\n"


def test_images_are_held_in_memory_by_the_batch(folder):
    inputs = find_inputs(IMAGES, [str(folder)])
    four = replace(caption.READER, max_items=4)
    assert [len(batch) for batch in four.batches(inputs, [])] == [4, 4, 1]
    few = replace(four, max_size=40 * 56)
    sizes = [[image.shape[0] * image.shape[1] for _, image in batch] for batch in few.batches(inputs, [])]
    assert sum(map(len, sizes)) == 9
    assert all(sum(batch[:-1]) <= 40 * 56 for batch in sizes)


# --- output files ---------------------------------------------------------------------------------------------------


def test_attention_is_plotted_for_each_image_in_the_order_of_the_lines(warm, folder, tmp_path, capsys):
    (folder / "broken.png").write_bytes(b"no image")
    path = tmp_path / "look.png"
    assert main([str(folder / "wide.png"), "--attention", str(path)]) == 0
    assert read_image(path).shape[1] > 300
    assert main([str(folder), "--attention", str(path)]) == 1
    plots = sorted(tmp_path.glob("look-*.png"))
    assert [file.name for file in plots] == [f"look-{i:02}.png" for i in range(1, 10)]
    assert len({file.read_bytes() for file in plots}) == 9


def test_the_gallery_is_one_page_with_escaped_file_names(warm, captioner, folder, tmp_path, capsys):
    name = '<script>alert("&")<'
    shutil.copy(folder / "wide.png", folder / name)
    not_unicode = os.fsdecode(os.fsencode(str(folder)) + b"/\xff.png")
    shutil.copy(folder / "wide.png", not_unicode)
    path = tmp_path / "page.html"
    assert main([str(folder / name), not_unicode, "--n-best", "2", "--gallery", str(path)]) == 0
    page = path.read_text(encoding="utf-8")
    assert "<script" not in page
    assert html.escape(name) in page
    assert "<h1>2 images</h1>" in page
    assert page.count("<figure>") == page.count('src="data:image/jpeg;base64,') == 2
    best, second, *_ = captioner([read_image(folder / "wide.png")])[0]
    assert page.count(f"<strong>{html.escape(best.text)}</strong>") == 2
    assert page.count(f"<li>{html.escape(second.text)}</li>") == 2
    assert "http" not in page  # the page is self-contained
    assert not re.search(r"[{}]{2}", page)


def test_output_goes_to_a_file(warm, folder, tmp_path, capsys):
    path = tmp_path / "captions.jsonl"
    assert main([str(folder), "--json", "--output", str(path)]) == 0
    assert capsys.readouterr().out == ""
    assert len(records(path.read_text(encoding="utf-8"))) == 9


def test_captions_before_an_interruption_are_kept(warm, monkeypatch, captioner, folder, tmp_path, capsys):
    paths = []

    def interrupted(path):
        paths.append(path)
        if len(paths) > 5:
            raise KeyboardInterrupt
        return read_image(path)

    monkeypatch.setattr(caption, "READER", replace(caption.READER, read=interrupted, max_items=4))
    output, gallery = tmp_path / "captions.jsonl", tmp_path / "page.html"
    assert main([str(folder), "--json", "--output", str(output), "--gallery", str(gallery)]) == 130
    assert len(records(output.read_text())) == 4
    assert "<h1>4 images</h1>" in gallery.read_text()


def test_csv_is_a_corpus_of_the_captions(warm, captioner, folder, tmp_path, capsys):
    """Names and captions with commas and quotes are read back; the header comes once, and only with a row."""
    shutil.copy(folder / "wide.png", folder / 'a, "b".png')
    path = tmp_path / "captions.csv"
    assert main([str(folder), "--csv", "--n-best", "2", "--output", str(path)]) == 0
    rows = list(csv.reader(path.read_text().splitlines()))
    assert rows[0] == ["image", "caption", "confidence", "log_prob"]
    assert len(rows) == 1 + 2 * 10
    assert rows[1][0] == str(folder / 'a, "b".png')
    best = captioner([read_image(folder / "wide.png")])[0][:2]
    assert [row[1] for row in rows[1:3]] == [caption.text for caption in best]
    assert read_captions(path)[0].captions == [caption.text for caption in best]
    (tmp_path / "none.png").write_bytes(b"none")
    assert main([str(tmp_path / "none.png"), "--csv"]) == 2
    assert capsys.readouterr().out == ""


def test_a_text_beside_each_image_which_is_never_replaced(warm, captioner, folder, capsys):
    (folder / "deep").mkdir()
    shutil.copy(folder / "grey.jpg", folder / "deep" / "grey.jpg")
    (folder / "tall.txt").write_text("of mine")
    before = set(folder.rglob("*"))
    assert main([str(folder), "--recursive", "--sidecars"]) == 2
    assert f"a text file exists, such as {folder / 'tall.txt'}; --skip-existing" in capsys.readouterr().err
    assert set(folder.rglob("*")) == before
    assert main([str(folder), "--recursive", "--sidecars", "--skip-existing", "--n-best", "2"]) == 0
    output = capsys.readouterr()
    assert output.err == "skipped 1 image that has a text file\n"
    assert len(set(folder.rglob("*")) - before) == 9
    best = captioner([read_image(folder / "deep" / "grey.jpg")])[0][:2]
    assert (folder / "deep" / "grey.txt").read_text() == "".join(f"{caption.text}\n" for caption in best)
    assert (folder / "tall.txt").read_text() == "of mine"
    assert main([str(folder), "--recursive", "--sidecars", "--skip-existing"]) == 0
    assert capsys.readouterr().out == ""
    (folder / "deep" / "grey.txt").unlink()
    shutil.copy(folder / "wide.png", folder / "deep" / "grey.png")
    assert main([str(folder / "deep"), "--sidecars"]) == 2
    assert "grey.txt is also the output of --sidecars" in capsys.readouterr().err


def test_what_is_left_of_a_truncated_photo_if_asked(warm, captioner, tmp_path, capsys):
    whole = encoded(picture(160, 90), "JPEG", quality=95)
    path = tmp_path / "cut.jpg"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    assert main([str(path)]) == 2
    capsys.readouterr()
    assert main([str(path), "--keep-going"]) == 0
    output = capsys.readouterr()
    assert re.fullmatch(rf"{path} is truncated; the upper \d\d% of it is captioned\n", output.err)
    part, _ = read_truncated_image(path)
    assert output.out == f"{path}: {captioner([part])[0][0].text}\n"
    path.write_bytes(b"\xff\xd8 none")
    assert main([str(path), "--keep-going"]) == 2
    assert "is not an image that can be read" in capsys.readouterr().err


# --- bad input ------------------------------------------------------------------------------------------------------


def bomb() -> bytes:
    """A PNG of a few bytes whose header states 60,000 x 60,000 pixels."""
    parts = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b""), b"IEND"
    chunks = (struct.pack(">I", len(part) - 4) + part + struct.pack(">I", zlib.crc32(part)) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def animation() -> bytes:
    frames = [Image.fromarray(picture(seed=seed)) for seed in range(3)]
    return encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])


BAD = {
    "empty.jpg": (b"", "is empty"),
    "text.png": (b"hello", "is not an image that can be read"),
    "truncated.png": (odd_images()["clear.png"][:100], "is a damaged or truncated PNG file"),
    "truncated.jpg": (odd_images()["turned.jpg"][:-100], "is a damaged or truncated JPEG file"),
    "bomb.png": (bomb(), "has more pixels than the limit of 50,000,000"),
}


def test_bad_images_are_reported_and_the_others_captioned(warm, tmp_path, capsys):
    paths = []
    for name, (content, _) in BAD.items():
        (tmp_path / name).write_bytes(content)
        paths += [str(tmp_path / name), str(tmp_path / f"good-{name}")]
        (tmp_path / f"good-{name}").write_bytes(animation())  # the first frame, whatever the suffix
    (tmp_path / "none").mkdir()
    missing = [
        str(tmp_path / "missing.jpg"),
        str(tmp_path / "none"),
        str(tmp_path / "none" / "x" / "y.png"),
        "a\nb.png",
    ]
    assert main(["--json", *paths, *missing]) == 1
    output = capsys.readouterr()
    captioned = records(output.out)
    assert [line["image"] for line in captioned] == paths[1::2]
    assert len({json.dumps(line["captions"]) for line in captioned}) == 1
    errors = output.err.splitlines()
    assert len(errors) == len(BAD) + len(missing)
    for error, path, (_, message) in zip(errors, paths[::2], BAD.values(), strict=False):
        assert error.startswith(f"error: {path} ")
        assert message in error
    assert "does not exist" in errors[-4]
    assert "is a folder without image files" in errors[-3]
    assert "does not exist" in errors[-2]


def test_bad_images_alone_load_no_model_and_write_nothing(monkeypatch, trained, tmp_path, capsys):
    monkeypatch.setattr(ImageCaptioner, "load", lambda *_: pytest.fail("the model was loaded"))
    (tmp_path / "bad.jpg").write_bytes(b"bad")
    kept, page = tmp_path / "kept.txt", tmp_path / "page.html"
    kept.write_text("earlier")
    assert main([str(tmp_path / "bad.jpg"), "--output", str(kept), "--gallery", str(page)]) == 2
    assert kept.read_text() == "earlier"
    assert not page.exists()
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_without_read_permission(warm, folder, capsys):
    closed = folder / "closed"
    closed.mkdir(mode=0)
    assert main([str(closed), str(folder / "wide.png")]) == 1
    assert "permission denied" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no images given; name files, folders, or - for standard input"),
        (["IMAGE", "--json", "--csv"], "--json and --csv are two formats of the output; one was expected"),
        (["IMAGE", "--skip-existing"], "--skip-existing is about the files of --sidecars"),
        (["-", "--sidecars"], "the image on standard input has no file"),
        (["IMAGE", "--beam", "0"], "--beam 0: a number from 1 to 100 was expected"),
        (["IMAGE", "--beam", "1000000"], "--beam 1000000: a number from 1 to 100"),
        (["IMAGE", "--n-best", "0"], "--n-best 0: a number from 1 to 100 was expected"),
        (["IMAGE", "--n-best", "4", "--beam", "3"], "--n-best 4: a number from 1 to 3, the beam, was expected"),
        (["IMAGE", "--output", "FOLDER"], "is a folder; the name of a file to write was expected"),
        (["IMAGE", "--gallery", "FOLDER/none/page.html"], "cannot be written: there is no folder"),
        (["IMAGE", "--output", "FOLDER/none/a.txt"], "cannot be written: there is no folder"),
        (["IMAGE", "--attention", "FOLDER/none/a.png"], "cannot be written: there is no folder"),
        (["IMAGE", "--attention", "FOLDER/a.tiff"], "a name that ends in .png .jpg .pdf .svg was expected"),
        (["IMAGE", "--attention", ""], "a name that ends in"),
        (["IMAGE", "--regions", "FOLDER/a.png"], "has no finder of photos; train it with"),
        (["IMAGE", "--output", "IMAGE"], "is one of the images to caption"),
        (["IMAGE", "--gallery", "FOLDER/../images/wide.png"], "is one of the images to caption"),
        (["IMAGE", "--model", "none"], "none: neither a folder nor a run of task captioner; there are tiny"),
    ],
)
def test_wrong_usage_is_refused_in_one_line_before_the_model_is_loaded(
    monkeypatch, trained, folder, capsys, arguments, message
):
    monkeypatch.setattr(ImageCaptioner, "load", lambda *_: pytest.fail("the model was loaded"))
    image = folder / "wide.png"
    before = image.read_bytes()
    arguments = [a.replace("IMAGE", str(image)).replace("FOLDER", str(folder)) for a in arguments]
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1
    assert message in output.err
    assert image.read_bytes() == before


def broken(run: Path, name: str) -> None:
    """Damage a run; `name` is the kind of damage."""
    if name == "half-written":
        (run / "weights.safetensors").unlink()
    elif name == "no config":
        (run / "config.json").unlink()
    elif name == "no vocabulary":
        (run / "vocabulary.json").unlink()
    elif name == "half a vocabulary":
        (run / "vocabulary.json").write_bytes((run / "vocabulary.json").read_bytes()[:80])
    elif name == "another vocabulary":
        WordVocabulary.build(["a b c"]).save(run / "vocabulary.json")
    elif name == "no encoder":
        (run / "encoder.safetensors").unlink()
    elif name == "damaged weights":
        (run / "weights.safetensors").write_bytes(b"\xff" * 100)
    else:
        config = json.loads((run / "config.json").read_text())
        if name == "another task":
            config["task"] = "translator"
        elif name == "another size":
            config["config"]["units"] = 17
        elif name == "impossible size":
            config["config"]["units"] = 0
        elif name == "unknown field":
            config["config"]["colour"] = "red"
        (run / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("half-written", "no weights.safetensors; its training has not finished an epoch"),
        ("no config", "config.json: no such file"),
        ("no vocabulary", "vocabulary.json"),
        ("half a vocabulary", "is not a vocabulary"),
        ("another vocabulary", "weights do not fit the model: "),
        ("no encoder", "encoder.safetensors: No such file"),
        ("damaged weights", "not a safetensors file"),
        ("another task", "a run of task 'translator', not of 'captioner'"),
        ("another size", "weights do not fit the model"),
        ("impossible size", "config.json: units 0: a number from 1 to 10,000 was expected"),
        ("unknown field", "field colour is unknown"),
    ],
)
def test_a_damaged_run_is_reported_in_one_line(trained, folder, tmp_path, capsys, name, message):
    run = shutil.copytree(trained.run.path, tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    broken(run, name)
    output = tmp_path / "kept.txt"
    output.write_text("earlier")
    assert main([str(folder / "wide.png"), "--model", str(run), "--output", str(output)]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert output.read_text() == "earlier"


def test_no_model_at_all(monkeypatch, tmp_path, folder, capsys):
    monkeypatch.setattr(shared.runs, "ROOT", tmp_path / "nothing")
    assert main([str(folder)]) == 2
    assert "train one with: python -m tasks.captioner.train" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(["--help"], 0), (["missing.jpg", "--model", "MODEL"], 2), (["missing.jpg", "--beam", "x"], 2), ([], 2)],
)
def test_without_a_model_neither_keras_nor_tensorflow_is_imported(trained, arguments, code):
    program = (
        "import sys\n"
        "from tasks.captioner.caption import main\n"
        "try:\n    code = main(sys.argv[1:])\n"
        "except SystemExit as exit:\n    code = exit.code or 0\n"
        "print([name for name in ('keras', 'tensorflow', 'matplotlib', 'jax') if name in sys.modules], code)\n"
    )
    arguments = [str(trained.run.path) if argument == "MODEL" else argument for argument in arguments]
    result = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert result.stdout.splitlines()[-1] == f"[] {code}"
    assert "Traceback" not in result.stderr
