"""The page without a server: what it is made of, and the released models in a browser against Python."""

import http.server
import re
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from shared.errors import UserError
from shared.machine import has_imagenet_weights
from tasks.serve.app import PAGE
from tasks.serve.static_page import RUNTIME, main, write_page
from tests.serve.chromium import launched, opened

PACKAGE = Path(__file__).resolve().parents[2] / "node_modules" / "onnxruntime-web"
EXAMPLES = PAGE / "examples"


@pytest.fixture
def package(tmp_path) -> Path:
    """A folder with the names of the package's files."""
    folder = tmp_path / "onnxruntime-web"
    (folder / "dist").mkdir(parents=True)
    for name in RUNTIME:
        (folder / "dist" / name).touch()
    return folder


def test_an_existing_folder_is_kept(tmp_path, package, capsys):
    (tmp_path / "site").mkdir()
    assert main([str(tmp_path / "site"), "--onnxruntime-web", str(package)]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path}/site exists; the name of a new folder was expected\n"


@pytest.mark.parametrize("missing", RUNTIME)
def test_a_package_needs_its_files(tmp_path, package, missing):
    (package / "dist" / missing).unlink()
    with pytest.raises(UserError, match=f"--onnxruntime-web: .* has no dist/{re.escape(missing)}; run npm install"):
        write_page(tmp_path / "site", package)
    assert not (tmp_path / "site").exists()


def test_large_weights_have_16_bits():
    pytest.importorskip("onnx")
    import keras

    from shared.any_size import AnySize
    from shared.onnx.files import as_onnx
    from shared.onnx.runtime import OnnxFunction
    from tasks.serve.static_page import in_16_bits

    class Layer(AnySize):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(40)
            self.dense.build((None, 50))

        def examples(self):
            return [np.ones((2, 50), np.float32), np.ones((1, 50), np.float32)]

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    layer = Layer()
    content = as_onnx(layer)
    smaller = in_16_bits(content, layer.weights)
    assert len(content) - len(smaller) > 0.9 * 2 * 40 * 50
    x = np.random.default_rng(0).standard_normal((3, 50)).astype(np.float32)
    assert OnnxFunction(in_16_bits(content, [])).predict_on_batch(np.ones((1, 50), np.float32)).shape == (1, 40)
    assert len(in_16_bits(content, [])) >= len(content) - 100
    results = [OnnxFunction(each).predict_on_batch(x) for each in (content, smaller)]
    np.testing.assert_allclose(*results, atol=5e-3)


class Files(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Iterator[str]:
    """The address of a page with the released models."""
    if not PACKAGE.exists():
        pytest.skip("no onnxruntime-web: npm install --no-save --no-package-lock onnxruntime-web")
    if not has_imagenet_weights():
        pytest.skip("no ImageNet weights of MobileNetV2 in KERAS_HOME")
    folder = tmp_path_factory.mktemp("static") / "site"
    assert main([str(folder), "--onnxruntime-web", str(PACKAGE)]) == 0
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture
def page(site) -> Iterator[Any]:
    with launched() as browser, opened(browser, site, viewport={"width": 1400, "height": 900}) as page:
        page.set_default_timeout(60_000)
        yield page


def answer(page: Any, path: str, body: dict[str, Any]) -> Any:
    """What the models in the browser answer."""
    script = "async ([path, body]) => (await import(new URL('server.js', location.href))).ask(path, body)"
    return page.evaluate(script, [path, body])


@pytest.mark.campaign
def test_captions_regions_and_scores_are_those_of_python(page):
    from shared.media import read_image
    from tasks.captioner.caption import finder_of
    from tasks.captioner.config import find_run
    from tasks.captioner.inference import ImageCaptioner
    from tasks.serve.shapes import as_base64

    page.wait_for_selector(".words .word")
    assert page.get_by_role("tab").all_inner_texts() == ["Captioner", "Recognizer"]
    assert not page.locator(".needs-server").first.is_visible()
    path = EXAMPLES / "beach.webp"
    image, encoded = read_image(path), {"b64": as_base64(path.read_bytes())}
    found = answer(page, "/api/caption", {"image": encoded, "tree": True, "regions": True, "n_best": 10})
    captioner = ImageCaptioner.load()
    finder = finder_of(captioner, find_run(None))
    expected = captioner([image])[0]
    assert [one["text"] for one in found["captions"]] == [one.text for one in expected]
    best, words = found["captions"][0], finder.match(image, [" ".join(expected[0].tokens)])[0].words
    assert best["log_prob"] == pytest.approx(expected[0].log_prob, abs=0.02)
    assert best["confidence"] == pytest.approx(expected[0].confidence, abs=0.01)
    assert [word["probability"] for word in best["words"]] == pytest.approx(expected[0].probabilities, abs=0.01)
    np.testing.assert_allclose([word["attention"] for word in best["words"]], expected[0].attention, atol=0.01)
    cell = 1 / len(words[2].fit)  # one at the edge may fit nearly half as well as the best one
    assert best["words"][2]["region"]["box"] == pytest.approx(words[2].region, abs=cell + 1e-6)

    sentence = "A dog's tail, in the quatrain"
    by_text = answer(page, "/api/find", {"sentence": sentence})
    by_photo = answer(page, "/api/find", {"image": encoded})
    assert by_text["unknown"] == ["quatrain"]
    np.testing.assert_allclose(by_text["sentence"], finder.of_texts([sentence])[0], atol=2e-3)
    np.testing.assert_allclose(by_photo["photo"], finder.of_images([image])[0], atol=2e-3)


@pytest.mark.campaign
def test_phones_are_those_of_python(page):
    from shared.audio import read_sound
    from tasks.phoneme_recognizer.inference import SoundRecognizer
    from tasks.serve.shapes import as_base64

    path = EXAMPLES / "dog.flac"
    found = answer(page, "/api/recognize", {"sound": {"b64": as_base64(path.read_bytes())}})
    recognizer, sound = SoundRecognizer.load(), read_sound(path)
    expected = recognizer([sound])[0][0]
    assert [phone["phone"] for phone in found["phones"]] == [phone.phone for phone in expected.phones]
    assert [phone["start"] for phone in found["phones"]] == pytest.approx([phone.start for phone in expected.phones])
    probabilities = [phone.probability for phone in expected.phones]
    assert [phone["probability"] for phone in found["phones"]] == pytest.approx(probabilities, abs=0.02)
    assert found["posteriors"]["columns"] == len(recognizer.posteriors(sound))
    assert found["seconds"] == pytest.approx(len(sound) / 16000)
    page.get_by_role("tab", name="Recognizer").click()
    page.wait_for_selector(".phone")
    assert page.locator("#panel-recognizer .tier").count() == 4  # waveform, spectrogram, phones, their probabilities


@pytest.mark.campaign
def test_what_the_browser_cannot_read_is_said(page):
    page.wait_for_selector(".words .word")
    page.set_input_files("[name=photos]", {"name": "a.png", "mimeType": "image/png", "buffer": b"no image"})
    page.get_by_text("The browser cannot read this image.").wait_for()
