"""TensorFlow Serving's REST interface: its two forms, and the answers of exported SavedModels."""

import base64
import io
import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
import soundfile
import tensorflow as tf

from shared.runs import Run
from tasks.serve.app import Server
from tasks.serve.limits import Limits
from tasks.serve.models import Models
from tasks.serve.signatures import Signature
from tasks.serve.tensor_json import TensorError, read_prediction, to_arrays, to_json
from tests.deploy.exports import MAKE, export
from tests.serve.conftest import picture, run
from tests.serve.test_app import b64, error

TASKS = "captioner", "language_model", "phoneme_recognizer", "translator"
TEXT = tf.TensorSpec([None], tf.string, "text")
NUMBERS = {"x": tf.TensorSpec([None, 2], tf.float32, "x"), "n": tf.TensorSpec([], tf.int32, "n")}


def wav(samples: np.ndarray) -> bytes:
    """A WAV file of 16-bit samples at 16,000 Hz."""
    file = io.BytesIO()
    soundfile.write(file, samples, 16_000, format="WAV", subtype="PCM_16")
    return file.getvalue()


def tone(seconds: float) -> np.ndarray:
    return (0.3 * np.sin(np.arange(int(16_000 * seconds)) * 0.2)).astype(np.float32)


REQUESTS: dict[str, list[tuple[str, dict[str, Any]]]] = {  # signature, and its inputs in the column form
    "captioner": [
        ("serving_default", {"image_bytes": [b64(picture(9, 7)), b64(b"no image")]}),
        ("caption_bytes", {"image": [b64(picture(31, 20))]}),
        ("caption", {"image": np.arange(2 * 3 * 4 * 3).reshape(2, 3, 4, 3).tolist()}),
    ],
    "translator": [
        ("serving_default", {"text": ["a red circle", "", "the  Square ."]}),
        ("translate", {"text": ["small blue circle"]}),
        ("score", {"source": ["a red circle", "blue"], "target": ["elcric", "der a"]}),
    ],
    "language_model": [
        ("score", {"text": ["a red circle", "zyzzyva left"]}),
        (
            "generate",
            {
                "prompt": ["a red", ""],
                "max_tokens": 5,
                "temperature": 0.5,
                "top_k": 3,
                "top_p": 1.0,
                "seed": 7,
            },
        ),
    ],
    "phoneme_recognizer": [
        ("serving_default", {"sound_bytes": [b64(wav(tone(0.4))), b64(b"RIFF")]}),
        ("recognize", {"waveform": tone(0.25).reshape(2, -1).tolist(), "lengths": [2000, 1500]}),
        ("posteriors", {"waveform": [tone(0.1).tolist()], "lengths": [1600]}),
    ],
}


class Loaded(NamedTuple):
    http: httpx.Client
    exports: dict[str, Any]  # SavedModels, by task


@pytest.fixture(scope="module")
def loaded(tmp_path_factory) -> Iterator[Loaded]:
    """A server of tiny models, and the SavedModels of the same."""
    folder = tmp_path_factory.mktemp("exports")
    exports, runs, signatures = {}, {}, {}
    with pytest.MonkeyPatch.context() as patch:
        for task in TASKS:
            made = MAKE[task]()
            patch.setitem(MAKE, task, lambda made=made: made)
            exports[task] = tf.saved_model.load(str(export(task, folder)[1]))
            runs[task] = [Run(folder / task)]
            signatures[task] = {name: Signature(endpoint) for name, endpoint in made.endpoints.items()}
    server = Server(Models(runs), [], Limits(decoders=1), lambda task, run: signatures[task])
    for address in run(server):
        with httpx.Client(base_url=address, timeout=60) as http:
            yield Loaded(http, exports)


def of_export(exported: Any, signature: str, inputs: dict[str, Any]) -> dict[str, np.ndarray]:
    """The outputs of a SavedModel for inputs in JSON, read without the code of the server."""
    specs = exported.signatures[signature].structured_input_signature[1]
    values = {name: inputs[name] for name in specs}
    tensors = {}
    for name, value in values.items():
        if specs[name].dtype == tf.string:
            value = [base64.b64decode(one["b64"]) if isinstance(one, dict) else one for one in value]
        tensors[name] = tf.constant(value, specs[name].dtype)
    return {name: tensor.numpy() for name, tensor in exported.signatures[signature](**tensors).items()}


def as_array(value: Any) -> np.ndarray:
    array = np.array(value)
    return np.char.encode(array, "utf-8").astype(object) if array.dtype.kind == "U" else array


@pytest.mark.campaign
@pytest.mark.parametrize("task", TASKS)
def test_an_answer_is_that_of_the_exported_model(loaded: Loaded, task):
    for signature, inputs in REQUESTS[task]:
        body = {"signature_name": signature, "inputs": inputs}
        found = loaded.http.post(f"/v1/models/{task}:predict", json=body).json()["outputs"]
        expected = of_export(loaded.exports[task], signature, inputs)
        assert found.keys() == expected.keys()
        for name, array in expected.items():
            if array.dtype == object:
                np.testing.assert_array_equal(as_array(found[name]), array, f"{signature}: {name}")
            else:
                np.testing.assert_allclose(np.array(found[name]), array, 1e-5, 1e-6, err_msg=f"{signature}: {name}")


@pytest.mark.campaign
def test_rows_have_the_values_of_columns(loaded: Loaded):
    texts = ["a red circle", "left of the square"]
    columns = loaded.http.post("/v1/models/language_model:predict", json={"inputs": texts}).json()["outputs"]
    rows = loaded.http.post("/v1/models/language_model/versions/1:predict", json={"instances": texts}).json()
    by_name = {"instances": [{"text": text} for text in texts]}
    assert loaded.http.post("/v1/models/language_model:predict", json=by_name).json() == rows
    assert rows["predictions"] == [
        {"error": "", "log_prob": columns["log_prob"][0]},
        {"error": "", "log_prob": columns["log_prob"][1]},
    ]


@pytest.mark.campaign
@pytest.mark.parametrize(
    ("address", "body", "status", "sentence"),
    [
        ("captioner:predict", b"{", 400, "JSON Parse error: Expecting property name"),
        ("captioner:predict", b"[" * 100_000, 400, "JSON Parse error: maximum recursion depth"),
        ("captioner:predict", b"{}", 400, "one of the keys 'instances' and 'inputs' was expected"),
        ("captioner:predict", {"instances": ["a"], "signature_name": "x"}, 400, "signature_name 'x': one of serving_"),
        ("captioner:predict", {"instances": [{"b64": "*"}]}, 400, 'image_bytes: a string or {"b64": base64 text} was'),
        ("captioner:predict", {"inputs": {"image": ["a"]}}, 400, "inputs image: the signature serving_default takes"),
        ("captioner/versions/2:predict", {"instances": ["a"]}, 404, "Servable not found for request: Specific(captio"),
        ("painter:predict", {"instances": ["a"]}, 404, "Servable not found for request: Latest(painter)"),
        ("translator:predict", {"instances": ["a"] * 65}, 400, "text: 64 rows and 4,194,304 values at most were"),
        ("translator:predict", {"instances": ["a" * 8001]}, 400, "text: texts of 2,000 characters at most were"),
        (
            "language_model:predict",
            {"signature_name": "generate", "inputs": {**REQUESTS["language_model"][1][1], "max_tokens": 1001}},
            400,
            "max_tokens 1001: a number from 0 to 1,000 was expected",
        ),
        (
            "phoneme_recognizer:predict",
            {"signature_name": "recognize", "inputs": {"waveform": [[0.0]], "lengths": [1, 1]}},
            400,
            "the same number of rows was expected in waveform, lengths",
        ),
        (
            "phoneme_recognizer:predict",
            {"signature_name": "posteriors", "instances": [{"waveform": tone(0.1).tolist(), "lengths": 1600}]},
            400,
            "the output phones has no row for each instance; ask with 'inputs'",
        ),
    ],
)
def test_a_wrong_request_is_refused_as_tensorflow_serving_does(loaded: Loaded, address, body, status, sentence):
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    found = error(loaded.http.post(f"/v1/models/{address}", content=content))
    assert found[0] == status
    assert sentence in found[1]


@pytest.mark.campaign
def test_state_and_signatures_of_versions(loaded: Loaded):
    status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for address in ("translator", "translator/versions/1"):
        assert loaded.http.get(f"/v1/models/{address}").json() == {"model_version_status": [status]}
    assert error(loaded.http.get("/v1/models/translator/versions/7"))[0] == 404
    found = loaded.http.get("/v1/models/phoneme_recognizer/metadata").json()
    assert found["model_spec"] == {"name": "phoneme_recognizer", "signature_name": "", "version": "1"}
    signature = found["metadata"]["signature_def"]["signature_def"]["recognize"]
    assert signature["method_name"] == "tensorflow/serving/predict"
    waveform, log_prob = signature["inputs"]["waveform"], signature["outputs"]["log_prob"]
    assert (waveform["dtype"], log_prob["dtype"], signature["inputs"]["lengths"]["dtype"]) == (
        "DT_FLOAT", "DT_FLOAT", "DT_INT32",
    )  # fmt: skip
    assert waveform["tensor_shape"]["dim"] == [{"size": "-1", "name": ""}] * 2


def test_the_first_run_is_the_highest_version(tmp_path):
    from tasks.serve.tensorflow_serving import Versions

    runs = {"translator": [Run(tmp_path / name) for name in ("new", "middle", "old")]}
    versions = Versions(Models(runs), lambda task, run: {})
    assert versions.find("translator", None) == ("translator", 3, runs["translator"][0])
    assert versions.find("translator", "1") == ("translator", 1, runs["translator"][2])
    assert versions.find("middle", None) == ("translator", 1, runs["translator"][1])


def read(body: Any, specs: Any) -> dict[str, np.ndarray]:
    return to_arrays(read_prediction(json.dumps(body).encode()), specs)


def test_tensors_of_both_forms():
    rows = read({"instances": ["é", {"b64": "/w=="}]}, {"text": TEXT})["text"]
    assert rows.tolist() == ["é".encode(), b"\xff"]
    columns = read({"inputs": {"x": [[1, 2.5], [3, 4]], "n": 7}}, NUMBERS)
    assert (columns["x"].tolist(), columns["x"].dtype, columns["n"].tolist()) == ([[1, 2.5], [3, 4]], np.float32, 7)
    assert read({"inputs": []}, {"text": TEXT})["text"].shape == (0,)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"inputs": {"x": [[1, 2], [3]], "n": 7}}, "x: lists of equal length were expected"),
        ({"inputs": {"x": [[1, 2, 3]], "n": 7}}, "x: the shape [-1, 2] was expected, not [1, 3]"),
        ({"inputs": {"x": [["1", "2"]], "n": 7}}, "x: values of type float32 were expected"),
        ({"inputs": {"x": [[True, False]], "n": 7}}, "x: values of type float32 were expected"),
        ({"inputs": {"x": [[1, 2]], "n": 7.5}}, "n: values of type int32 were expected"),
        ({"inputs": {"x": [[1, 2]], "n": 2**31}}, "n: values in the range of int32 were expected"),
        ({"inputs": {"x": [[1, 2]], "n": 10**30}}, "n: values of type int32 were expected"),
        ({"inputs": {"x": [[1, 2]], "n": None}}, "n: values of type int32 were expected"),
        ({"inputs": {"x": [[1, 2]], "n": {"y": 1}}}, "n: values of type int32 were expected"),
        ({"inputs": [[1, 2]]}, "the signature takes x, n; an object with their names was expected"),
        ({"instances": [{"x": [1, 2]}, {"n": 7}]}, "instances: objects with the same inputs were expected"),
        ({"instances": [{"x": [1, 2], "n": 7}]}, "n: the shape [] was expected, not [1]"),
        ({"instances": []}, "instances: a list with an element at least was expected"),
        ({"instances": [1], "inputs": [1]}, "one of the keys 'instances' and 'inputs' was expected"),
        ({"instances": [1], "signature_name": 3}, "signature_name 3: a string was expected"),
        ([], "a JSON object was expected, not []"),
    ],
)
def test_tensors_that_do_not_fit(body, sentence):
    with pytest.raises(TensorError) as refused:
        read(body, NUMBERS)
    assert str(refused.value) == sentence


def test_outputs_of_both_forms():
    outputs = {"text": np.array([b"\xc3\xa9", b"\xff"], object), "image_bytes": np.array([b"\xff", b""], object)}
    assert json.loads(to_json(outputs, 2)) == {
        "predictions": [{"text": "é", "image_bytes": {"b64": "/w=="}}, {"text": "\ufffd", "image_bytes": {"b64": ""}}]
    }
    assert json.loads(to_json({"x": np.float32([[0.5], [1]])}, None)) == {"outputs": [[0.5], [1.0]]}
    assert json.loads(to_json({"x": np.float32([[0.5], [1]])}, 2)) == {"predictions": [[0.5], [1.0]]}
