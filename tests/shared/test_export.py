"""SavedModels: atomic, numbered, checked, with warm-up requests."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

import shared.export
from shared.atomic import remove_temporaries
from shared.export import (
    MISSING,
    Endpoint,
    ParityError,
    _field,
    attempt,
    first_error,
    for_any_batch,
    latest_export,
    message,
    write_saved_model,
)
from shared.runs import Run

# --- warm-up requests, as TensorFlow Serving reads them -------------------------------------------------------------


def read_requests(path) -> list[tuple[str, str, dict[str, np.ndarray]]]:
    """Model, endpoint and inputs of each warm-up request."""
    contents = [content.numpy() for content in tf.data.TFRecordDataset(str(path))]  # verifies the checksums
    assert len(contents) <= 1000  # TensorFlow Serving refuses more
    requests = []
    for content in contents:
        log = PredictionLog.FromString(content)
        assert [field.name for field, _ in log.ListFields()] == ["predict_log"]
        request = log.predict_log.request
        inputs = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        requests.append((request.model_spec.name, request.model_spec.signature_name, inputs))
    return requests


# --- a toy model ----------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path):
    (tmp_path / "toy").mkdir()
    return Run(tmp_path / "toy")


@pytest.fixture
def model():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, name="dense")])
    model.layers[0].set_weights([np.arange(6, dtype=np.float32).reshape(3, 2), np.array([1, -1], np.float32)])
    return model


def endpoints(model) -> dict[str, Endpoint]:
    rows = tf.TensorSpec([None, 3], tf.float32, name="rows")
    names = tf.TensorSpec([None], tf.string, name="names")
    words = tf.constant(["none", "some"])
    apply = Endpoint(
        function=lambda rows: {"result": model(rows)}, signature={"rows": rows}, example={"rows": [[1, 2, 3]]}
    )
    return {
        "serving_default": apply,
        "apply": apply,
        "greet": Endpoint(
            function=lambda names: {"words": tf.gather(words, tf.strings.length(names))},
            signature={"names": names},
            example={"names": ["", "x"]},
        ),
    }


def test_outputs_equal_those_of_the_model(run, model):
    folder = write_saved_model(run, model, endpoints(model), lambda loaded: None)
    assert folder == run.path / "export" / "1"
    loaded = tf.saved_model.load(str(folder))
    assert set(loaded.signatures) == {"apply", "greet", "serving_default"}
    for batch in (1, 4):
        rows = np.random.default_rng(batch).normal(size=(batch, 3)).astype(np.float32)
        for function in (loaded.signatures["apply"], loaded.signatures["serving_default"], loaded.apply):
            np.testing.assert_allclose(function(rows=tf.constant(rows))["result"], model(rows), rtol=1e-6)
    assert loaded.greet(tf.constant(["x"]))["words"].numpy().tolist() == [b"some"]
    requests = read_requests(folder / "assets.extra" / "tf_serving_warmup_requests")
    names = ["serving_default", "apply", "greet"]
    assert [(model, endpoint) for model, endpoint, _ in requests] == [("toy", name) for name in names]
    np.testing.assert_array_equal(requests[1][2]["rows"], np.array([[1, 2, 3]], np.float32))
    assert requests[2][2]["names"].tolist() == [b"", b"x"]


def test_versions_count_up_from_the_last(run, model):
    (run.path / "export" / "7").mkdir(parents=True)
    (run.path / "export" / "notes").mkdir()
    assert latest_export(run) == run.path / "export" / "7"
    assert write_saved_model(run, model, endpoints(model), lambda loaded: None).name == "8"


def test_a_failed_check_leaves_no_version(run, model):
    assert latest_export(run) is None

    def check(loaded):
        assert loaded.apply(tf.zeros((1, 3)))["result"].numpy().tolist() == [[1, -1]]
        raise ParityError("different")

    with pytest.raises(ParityError, match="different"):
        write_saved_model(run, model, endpoints(model), check)
    assert list((run.path / "export").iterdir()) == []


def test_two_exports_at_once_both_keep_theirs(run, model):
    def check(_):
        other = write_saved_model(run, model, endpoints(model), lambda loaded: None)
        assert other.name == "1"
        (other / "mine").touch()

    assert write_saved_model(run, model, endpoints(model), check).name == "2"
    assert sorted(path.name for path in (run.path / "export").iterdir()) == ["1", "2"]
    assert (run.path / "export" / "1" / "mine").exists()
    assert (run.path / "export" / "2" / "saved_model.pb").exists()


def test_a_version_that_appears_before_the_rename_is_kept(run, model, monkeypatch):
    """Both processes have seen the same latest version."""
    (run.path / "export" / "1").mkdir(parents=True)
    (run.path / "export" / "1" / "saved_model.pb").write_bytes(b"theirs")
    seen = iter([None])
    monkeypatch.setattr(shared.export, "latest_export", lambda run: next(seen, run.path / "export" / "1"))
    assert write_saved_model(run, model, endpoints(model), lambda loaded: None).name == "2"
    assert (run.path / "export" / "1" / "saved_model.pb").read_bytes() == b"theirs"


KILLED = """
import os, signal, sys
from pathlib import Path
from shared.atomic import temporary_folder
with temporary_folder(Path(sys.argv[1]), "export") as folder:
    (folder / "half").write_text("")
    print(folder, flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_export_leaves_is_removed_by_the_next(run, model):
    parent = run.path / "export"
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(parent)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        folder = Path(process.stdout.readline().strip())
        remove_temporaries(parent)
        assert (folder / "half").exists()  # of a living process
        process.communicate("")
    assert folder.parent == parent
    assert folder.name.startswith(".")
    assert (folder / "half").exists()
    assert write_saved_model(run, model, endpoints(model), lambda loaded: None) == parent / "1"
    assert list(parent.iterdir()) == [parent / "1"]


# --- rows -----------------------------------------------------------------------------------------------------------


def served(function, **signature):
    """An endpoint as it is exported."""
    specs = {name: tf.TensorSpec(shape, dtype, name) for name, (shape, dtype) in signature.items()}
    endpoint = Endpoint(function=function, signature=specs, example={})
    return tf.function(for_any_batch(endpoint), list(specs.values()), autograph=False)


def test_rows_without_an_answer_are_empty_and_an_error_says_why():
    def divide(x, y):
        return {
            "log_prob": tf.math.log(x / y),
            "result": tf.stack([x / y, y / x], axis=1),
            "text": tf.strings.as_string(tf.cast(x, tf.int32)),
            "names": tf.constant(["x/y", "y/x"]),
            "error": first_error((y < 0, message("y is ", y)), (x == 5, "x is five")),
            "notice": tf.where(x == 4, "x is four", ""),
        }

    function = served(divide, x=([None], tf.float32), y=([None], tf.float32))
    outputs = function(tf.constant([2.0, 3, 4, 5, 6]), tf.constant([1.0, -0.5, 2, 2, 0]))
    no_result = b"gives a result that is not finite"
    assert outputs["error"].numpy().tolist() == [b"", b"y is -0.5", b"x is four", b"x is five", no_result]
    assert outputs["text"].numpy().tolist() == [b"2", b"", b"4", b"", b""]
    np.testing.assert_allclose(outputs["log_prob"], [np.log(2), MISSING, np.log(2), MISSING, MISSING], rtol=1e-6)
    np.testing.assert_allclose(outputs["result"], [[2, 0.5], [0, 0], [2, 0.5], [0, 0], [0, 0]], rtol=1e-6)
    assert outputs["names"].numpy().tolist() == [b"x/y", b"y/x"]
    none = function(tf.zeros([0]), tf.zeros([0]))
    shapes = {"log_prob": (0,), "result": (0, 2), "text": (0,), "names": (2,), "error": (0,)}
    assert {name: tuple(value.shape) for name, value in none.items()} == shapes


def test_what_a_search_does_not_find_has_a_log_prob_that_json_can_hold():
    function = served(lambda x: {"log_prob": tf.stack([x, x - np.inf], axis=1)}, x=([None], tf.float32))
    outputs = function(tf.constant([-0.5, -2.0]))
    assert outputs["log_prob"].numpy().tolist() == [[-0.5, MISSING], [-2, MISSING]]
    assert outputs["error"].numpy().tolist() == [b"", b""]
    assert json.dumps(outputs["log_prob"].numpy().tolist(), allow_nan=False).count("-1000000000.0") == 2


def test_inputs_of_different_numbers_of_rows_are_refused():
    function = served(lambda x, y: {"result": x}, x=([None], tf.float32), y=([None], tf.float32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="the same number of rows was expected in x, y"):
        function(tf.zeros([3]), tf.zeros([1]))


def test_the_first_function_without_an_error_gives_the_result():
    @tf.function(input_signature=[tf.TensorSpec([], tf.int32)], autograph=False)
    def first(x):
        def at_least(minimum):
            def function(x):
                with tf.control_dependencies([tf.debugging.assert_greater_equal(x, minimum)]):
                    return tf.constant(minimum), tf.strings.as_string(x)

            return function

        return attempt([at_least(9), at_least(5)], x, (tf.constant(-1), tf.constant("none")))

    found = [[value.numpy() for value in first(tf.constant(x))] for x in (12, 7, 2)]
    assert found == [[9, b"12"], [5, b"7"], [-1, b"none"]]


# --- warm-up requests -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 70_000])
def test_fields_of_any_length(size):
    message = _field(1, _field(3, b"x" * size))  # model_spec.signature_name
    assert PredictRequest.FromString(message).model_spec.signature_name == "x" * size
