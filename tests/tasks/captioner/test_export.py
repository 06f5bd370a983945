"""The SavedModel: it needs TensorFlow only and captions as the command line does."""

import json
import shutil
import struct
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import shared.export
from shared.export import MISSING, ParityError
from shared.media import prepare, read_image
from shared.runs import Run
from tasks.captioner.export import example_files, export, main
from tasks.captioner.finder import WIDTH
from tasks.captioner.finding import MAX_WORDS
from tasks.captioner.inference import ImageCaptioner
from tests.shared.test_export import read_requests
from tests.tasks.captioner.conftest import encoded, odd_images, picture

BEAM, TARGET, ROWS, COLUMNS = 3, 21, 4, 4


@pytest.fixture(scope="module")
def folder(found):
    return export("found")


@pytest.fixture(scope="module")
def loaded(folder):
    return tf.saved_model.load(str(folder))


@pytest.fixture(scope="module")
def captioner(found):
    return ImageCaptioner.load("found")


def test_a_version_is_complete(found, folder):
    assert folder == found.path / "export" / "1"
    assert (folder / "saved_model.pb").exists()
    assert (folder / "variables" / "variables.index").exists()
    assert [path.name for path in folder.parent.iterdir()] == ["1"]  # no temporary folder is left


PROGRAM = """
import json, sys
sys.modules["keras"] = None  # TensorFlow imports it if it can; nothing here may need it
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
files = [open(name, "rb").read() for name in sys.argv[2:]]
result = model.signatures["caption_bytes"](image=tf.constant(files))
one = model.signatures["caption"](image=tf.zeros((1, 7, 300, 3), tf.uint8))
slim = model.signatures["serving_default"](image_bytes=tf.constant([files[0], b"no image", *files[1:]]))
print(json.dumps({
    "text": [[text.decode() for text in beam] for beam in result["text"].numpy()],
    "log_prob": result["log_prob"].numpy().tolist(),
    "confidence": result["confidence"].numpy().tolist(),
    "tokens": [[[token.decode() for token in row] for row in beam] for beam in result["tokens"].numpy()],
    "attention": list(result["attention"].shape),
    "sentinel": list(result["sentinel"].shape),
    "one": list(one["attention"].shape),
    "slim": {name: value.numpy().astype(str).tolist() for name, value in slim.items()},
    "imported": [name for name in sys.modules if name.split(".")[0] in ("tasks", "shared", "datasets")],
}))
"""


def test_a_process_with_tensorflow_only_captions_as_the_command_line_does(tmp_path, folder, captioner):
    names = []
    for name, content in odd_images().items():
        (tmp_path / name).write_bytes(content)
        names.append(str(tmp_path / name))
    result = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), *names], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert result.returncode == 0, result.stderr
    output = json.loads(result.stdout)
    assert output["imported"] == []
    assert output["attention"] == [len(names), BEAM, TARGET, ROWS, COLUMNS]
    assert output["sentinel"] == [len(names), BEAM, TARGET]
    assert output["one"] == [1, BEAM, TARGET, ROWS, COLUMNS]
    expected = captioner([read_image(content) for content in odd_images().values()])
    assert output["text"] == [[caption.text for caption in captions] for captions in expected]
    np.testing.assert_allclose(
        output["log_prob"], [[caption.log_prob for caption in captions] for captions in expected], atol=1e-3
    )
    np.testing.assert_allclose(
        output["confidence"], [[caption.confidence for caption in captions] for captions in expected], atol=1e-3
    )
    tokens = [[[token for token in row if token] for row in beam] for beam in output["tokens"]]
    assert tokens == [[caption.tokens for caption in captions] for captions in expected]
    assert output["slim"].keys() == {"text", "log_prob", "error"}
    assert output["slim"]["text"] == [output["text"][0], [""] * BEAM, *output["text"][1:]]
    assert output["slim"]["error"] == ["", NO_IMAGE, *[""] * (len(names) - 1)]
    assert "OP_REQUIRES" not in result.stderr


@pytest.mark.parametrize(("batch", "height", "width"), [(1, 96, 96), (3, 40, 57), (2, 32, 32), (1, 1, 200)])
def test_any_number_and_size_of_images(loaded, captioner, batch, height, width):
    images = np.stack([picture(height, width, seed) for seed in range(batch)])
    output = loaded.signatures["caption"](image=tf.constant(images))
    assert output["attention"].shape == (batch, BEAM, TARGET, ROWS, COLUMNS)
    for i, captions in enumerate(captioner(list(images))):
        for j, caption in enumerate(captions):
            assert output["text"][i, j].numpy().decode() == caption.text
            steps = len(caption.tokens)
            np.testing.assert_allclose(output["attention"][i, j, :steps], caption.attention, atol=1e-4)
            np.testing.assert_allclose(output["sentinel"][i, j, :steps], caption.sentinel, atol=1e-4)


def test_the_graph_prepares_the_same_pixels(tmp_path):
    """Equal captions would not show small differences."""
    from shared.media_in_graph import decode_image_in_graph

    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def prepared(file):
        return prepare(decode_image_in_graph(file)[None], 32)

    for name, content in odd_images().items():
        expected = np.asarray(prepare(read_image(content)[None], 32))
        np.testing.assert_array_equal(prepared(content), expected, err_msg=name)


def test_every_endpoint_has_a_warmup_request(folder, loaded):
    requests = read_requests(folder / "assets.extra" / "tf_serving_warmup_requests")
    endpoints = ["serving_default", "caption_bytes", "caption", "embed_image", "embed_text"]
    assert [(model, endpoint) for model, endpoint, _ in requests] == [("found", endpoint) for endpoint in endpoints]
    for _, endpoint, inputs in requests:
        output = loaded.signatures[endpoint](**{name: tf.constant(value) for name, value in inputs.items()})
        answer = output["embedding" if endpoint.startswith("embed") else "text"]
        assert answer.shape == (1, WIDTH if endpoint.startswith("embed") else BEAM)
        assert output["error"].numpy().tolist() == [b""]


def test_images_and_texts_are_embedded_as_in_python(loaded, finder):
    files = list(odd_images().values())
    images = loaded.embed_image(tf.constant([b"no image", *files]))
    assert [error.decode() for error in images["error"].numpy()] == [NO_IMAGE, *[""] * len(files)]
    assert images["cells"].shape == (len(files) + 1, ROWS, COLUMNS, WIDTH)
    assert not np.any(images["embedding"][0])
    np.testing.assert_allclose(
        images["embedding"][1:], finder.of_images([read_image(file) for file in files]), atol=1e-4
    )
    texts = ["a small red circle .", "a circle", "the green zebra", "a " * MAX_WORDS]
    embedded = loaded.embed_text(tf.constant([*texts, "", "zebra", "a " * (MAX_WORDS + 1)]))
    np.testing.assert_allclose(embedded["embedding"][:4], finder.of_texts(texts), atol=1e-4)
    assert [word.decode() for word in embedded["tokens"][0, :6].numpy()] == [*texts[0].split(), ""]
    np.testing.assert_allclose(tf.reduce_sum(embedded["words"][1], axis=0), embedded["embedding"][1], atol=1e-4)
    errors = [error.decode() for error in embedded["error"].numpy()]
    nothing = "has no word that the model knows; a sentence like a caption was expected"
    assert errors == ["", "", "", "", nothing, nothing, f"has more than {MAX_WORDS} words"]
    assert loaded.embed_text(tf.constant([""]))["words"].shape[::2] == (1, WIDTH)
    assert loaded.embed_text(tf.zeros([0], tf.string))["embedding"].shape == (0, WIDTH)


def test_onnx_files_embed_as_in_python(found, finder):
    from shared.onnx.runtime import OnnxFunction

    folder = export("found", format="onnx")
    assert {path.stem for path in folder.glob("*.onnx")} == {"caption", "embed_image", "embed_text"}
    embed = {name: OnnxFunction((folder / f"{name}.onnx").read_bytes()) for name in ("embed_image", "embed_text")}
    ids = np.array([finder.encode("a small red circle .")], np.int32)
    sentence = embed["embed_text"].predict_on_batch({"token_ids": ids})["sentence"]
    np.testing.assert_allclose(sentence, finder.of_texts(["a small red circle ."]), atol=1e-4)
    image = picture()
    photo = embed["embed_image"].predict_on_batch(prepare(image[None], 32))["photo"]
    np.testing.assert_allclose(photo, finder.of_images([image]), atol=1e-4)


def test_examples_are_drawn_and_of_several_sizes(monkeypatch):
    monkeypatch.setenv("QUATRAIN_PREPARED", "/nonexistent")  # no corpus is read
    images = [read_image(file) for file in example_files()]
    assert images[0].shape == (96, 96, 3)
    assert len({image.shape for image in images}) >= 8
    assert example_files() == example_files()


NO_IMAGE = "is not an image that can be read; one of JPEG, PNG, BMP, GIF was expected"
DAMAGED = {
    b"": "is empty (0 bytes); an image file was expected",
    b"no image": NO_IMAGE,
    odd_images()["turned.jpg"][:60]: "is a damaged or truncated JPEG file; a complete file was expected",
    odd_images()["wide.png"][:90]: "is a damaged or truncated PNG file; a complete file was expected",
    encoded(picture(), "WEBP"): NO_IMAGE,
    b"GIF89a\xff\xff\xff\xff" + bytes(9): "has 4294836225 pixels, the limit is 50,000,000; scale it down first",
    b"BM" + bytes(12) + struct.pack("<Iii", 40, 10_000, -5_001): (
        "has 50010000 pixels, the limit is 50,000,000; scale it down first"
    ),
}


def as_json(outputs) -> str:
    """The outputs as strict JSON, which has neither infinity nor NaN."""
    lists = {name: value.numpy().astype(str if value.dtype == tf.string else None) for name, value in outputs.items()}
    return json.dumps({name: value.tolist() for name, value in lists.items()}, allow_nan=False)


@pytest.mark.parametrize("position", [0, 1, 3])
def test_a_damaged_image_does_not_end_the_batch(loaded, position):
    good = [odd_images()[name] for name in ("turned.jpg", "clear.png", "exact.png")]
    alone = [loaded.caption_bytes(tf.constant([file])) for file in good]
    for content, error in DAMAGED.items():
        batch = loaded.caption_bytes(tf.constant([*good[:position], content, *good[position:]]))
        errors = ["" if row != position else error for row in range(4)]
        assert [one.decode() for one in batch["error"].numpy()] == errors
        rows = [row for row in range(4) if row != position]
        for row, one in zip(rows, alone, strict=True):
            assert batch["text"][row].numpy().tolist() == one["text"][0].numpy().tolist()
            for name in ("log_prob", "attention", "sentinel"):
                np.testing.assert_allclose(batch[name][row], one[name][0], atol=1e-5)
        assert set(batch["text"][position].numpy()) | set(batch["tokens"][position].numpy().ravel()) == {b""}
        assert batch["log_prob"][position].numpy().tolist() == [MISSING] * BEAM
        assert not np.any(batch["attention"][position])
        assert not np.any(batch["sentinel"][position])
        as_json(batch)


def test_all_images_of_a_batch_may_be_damaged(loaded):
    output = loaded.signatures["serving_default"](image_bytes=tf.constant(list(DAMAGED)))
    assert [error.decode() for error in output["error"].numpy()] == list(DAMAGED.values())
    assert output["text"].shape == (len(DAMAGED), BEAM)
    assert json.loads(as_json(output))["log_prob"] == [[MISSING] * BEAM] * len(DAMAGED)


def test_a_batch_may_be_empty(loaded):
    files = tf.zeros([0], tf.string)
    for size in (0, 5):
        output = loaded.caption(tf.zeros([0, size, 7, 3], tf.uint8))
        assert output["attention"].shape == (0, BEAM, TARGET, ROWS, COLUMNS)
    output = loaded.caption_bytes(files)
    assert output["attention"].shape == (0, BEAM, TARGET, ROWS, COLUMNS)
    assert output["tokens"].shape == (0, BEAM, TARGET)
    assert output["error"].shape == (0,)
    output = loaded.signatures["serving_default"](image_bytes=files)
    assert {name: tuple(value.shape) for name, value in output.items()} == {
        "text": (0, BEAM),
        "log_prob": (0, BEAM),
        "error": (0,),
    }


@pytest.mark.parametrize("shape", [(2, 0, 4, 3), (1, 5, 0, 3), (1, 7072, 7071, 3)])
def test_images_without_pixels_or_with_too_many_are_refused(loaded, shape):
    output = loaded.caption(tf.zeros(shape, tf.uint8))
    error = f"has {shape[2]} x {shape[1]} pixels; 1 to 50,000,000 pixels were expected"
    assert output["error"].numpy().tolist() == [error.encode()] * shape[0]


def test_a_saved_model_with_other_outputs_is_refused(monkeypatch, trained, loaded):
    class Another:
        """The SavedModel with higher log-probabilities."""

        def caption_bytes(self, image):
            output = loaded.caption_bytes(image)
            return {**output, "log_prob": output["log_prob"] + 0.01}

    monkeypatch.setattr(
        shared.export, "write_saved_model", lambda run, model, endpoints, check, resources: check(Another())
    )
    with pytest.raises(ParityError, match="nothing was exported: for image 1 the SavedModel returns"):
        export("tiny")


def test_the_beam_can_be_chosen(monkeypatch, trained, capsys):
    def write(run, model, endpoints, check, resources):
        assert list(endpoints) == ["serving_default", "caption_bytes", "caption"]
        return f"{run.name}, beam {model.config.beam}"

    monkeypatch.setattr(shared.export, "write_saved_model", write)
    assert main(["tiny", "--beam", "2"]) == 0
    assert capsys.readouterr().out == "tiny, beam 2\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["none"], "none: neither a folder nor a run"), (["tiny", "--beam", "0"], "--beam 0: a number from 1")],
)
def test_wrong_usage_is_reported_in_one_line(trained, capsys, arguments, message):
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_run_of_another_task_is_refused(trained, tmp_path, capsys):
    run = shutil.copytree(trained.run.path, tmp_path / "copy", ignore=shutil.ignore_patterns("checkpoints", "export"))
    config = json.loads((run / "config.json").read_text()) | {"task": "translator"}
    (run / "config.json").write_text(json.dumps(config))
    assert main([str(run)]) == 2
    assert "a run of task 'translator'" in capsys.readouterr().err
    assert not (Run(run).path / "export").exists()
