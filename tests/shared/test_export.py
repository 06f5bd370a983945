"""SavedModels: atomic, numbered, checked, with warm-up requests."""

import struct

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from shared.export import Endpoint, ParityError, _field, latest_export, write_saved_model
from shared.runs import Run

# --- warm-up requests, decoded by hand: tensorflow_serving/apis/{prediction_log,predict,model}.proto ------------------


def fields(message: bytes) -> list[tuple[int, bytes]]:
    """The fields, as number and content, of a message of length-delimited fields."""
    result, position = [], 0

    def varint() -> int:
        nonlocal position
        value = shift = 0
        while True:
            byte = message[position]
            position += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while position < len(message):
        key = varint()
        assert key & 7 == 2
        size = varint()
        result.append((key >> 3, message[position : position + size]))
        assert len(result[-1][1]) == size
        position += size
    return result


def one(message: bytes, number: int) -> bytes:
    """The only field of a number."""
    (content,) = [content for key, content in fields(message) if key == number]
    return content


def tensor_records(path) -> list[bytes]:
    """The contents of a TFRecord file: length, checksum, content, checksum."""
    data, contents = path.read_bytes(), []
    while data:
        (size,) = struct.unpack("<Q", data[:8])
        contents.append(data[12 : 12 + size])
        data = data[16 + size :]
    return contents


def read_requests(path) -> list[tuple[str, str, dict[str, np.ndarray]]]:
    """Model, endpoint and inputs of each warm-up request."""
    contents = [content.numpy() for content in tf.data.TFRecordDataset(str(path))]  # verifies the checksums
    assert contents == tensor_records(path)
    requests = []
    for content in contents:
        request = one(one(content, 6), 1)  # PredictionLog.predict_log.request
        inputs = {
            one(entry, 1).decode(): tf.make_ndarray(TensorProto.FromString(one(entry, 2)))
            for number, entry in fields(request)
            if number == 2
        }
        requests.append((one(one(request, 1), 1).decode(), one(one(request, 1), 3).decode(), inputs))
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
    return {
        "apply": Endpoint(
            function=lambda rows: {"result": model(rows)}, signature={"rows": rows}, example={"rows": [[1, 2, 3]]}
        ),
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
    assert [(model, endpoint) for model, endpoint, _ in requests] == [("toy", "apply"), ("toy", "greet")]
    np.testing.assert_array_equal(requests[0][2]["rows"], np.array([[1, 2, 3]], np.float32))
    assert requests[1][2]["names"].tolist() == [b"", b"x"]


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


@pytest.mark.parametrize("size", [0, 1, 127, 128, 300, 70_000])
def test_fields_of_any_length(size):
    assert fields(_field(5, b"x" * size)) == [(5, b"x" * size)]
