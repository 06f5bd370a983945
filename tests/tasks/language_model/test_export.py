"""The SavedModel gives the outputs of the Python model, and needs only TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from shared.errors import UserError
from shared.export import MISSING, ParityError
from shared.loaded import Loaded
from shared.text_in_graph import text_table
from shared.vocabulary import SubwordVocabulary
from tasks.language_model.export import endpoints, export
from tasks.language_model.inference import TextScorer
from tasks.language_model.model import build_model, load_model
from tests.shared.test_export import read_requests
from tests.tasks.language_model.conftest import CONFIG


@pytest.fixture(scope="module")
def in_python(trained):
    return load_model(trained.run)


@pytest.fixture(scope="module")
def exported(trained):
    return export("tiny")


ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("quatrain", "tasks", "shared", "datasets", "numba"):
            raise ImportError(f"{name} is not part of TensorFlow")

sys.meta_path.insert(0, Refuse())
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
answer = model.signatures["serving_default"](text=tf.constant(sys.argv[2:]))
print(*answer["log_prob"].numpy().tolist())
"""


def test_it_runs_with_tensorflow_alone(in_python, exported, tmp_path):
    texts = ["the cat sees the dog .", "the hen"]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, exported, *texts], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    expected = [score.log_prob for score in TextScorer(in_python)(texts)]
    np.testing.assert_allclose([float(x) for x in done.stdout.split()], expected, rtol=1e-4)


def test_it_refers_to_no_python_code(exported):
    """Neither to classes, nor to Python functions that an operation calls."""
    saved = saved_model_pb2.SavedModel.FromString((exported / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0]
    assert references(graph) == set()
    graph.graph_def.library.function[0].node_def.add(op="EagerPyFunc")
    graph.object_graph_def.nodes[0].user_object.identifier = "_tf_keras_model"
    assert references(graph) == {"EagerPyFunc", "_tf_keras_model"}


def references(graph) -> set[str]:
    """Kinds of saved objects, and operations, that need Python code."""
    nodes = graph.object_graph_def.nodes
    kinds = {node.user_object.identifier for node in nodes if node.WhichOneof("kind") == "user_object"}
    kinds |= {node.registered_name for node in nodes if not node.registered_name.startswith("tf.")}
    operations = {node.op for function in graph.graph_def.library.function for node in function.node_def}
    plain = {"", "_generic_user_object", "trackable_list_wrapper", "trackable_dict_wrapper", "signature_map"}
    return kinds - plain | {name for name in operations if "PyFunc" in name}


def test_a_seed_gives_equal_texts(exported):
    model = tf.saved_model.load(str(exported))

    def text(seed, **changed):
        options = {"max_tokens": 12, "temperature": 2.0, "top_k": 0, "top_p": 1.0, "seed": seed} | changed
        return model.generate(tf.constant(["the", "the cat"]), *options.values())["text"].numpy().tolist()

    assert text(1) == text(1)
    assert text(1) != text(2)
    assert text(1, top_k=1) == text(2, top_k=1)
    assert all(len(one.split()) <= 3 for one in text(3, max_tokens=3))


@pytest.fixture(scope="module")
def loaded(exported):
    return tf.saved_model.load(str(exported))


def test_every_endpoint_has_a_warm_up_request(exported, loaded):
    requests = read_requests(exported / "assets.extra" / "tf_serving_warmup_requests")
    assert [endpoint for _, endpoint, _ in requests] == ["serving_default", "score", "generate", "step"]
    for _, endpoint, inputs in requests:
        outputs = loaded.signatures[endpoint](**{name: tf.constant(value) for name, value in inputs.items()})
        assert outputs["error"].numpy().tolist() == [b""]


def test_the_default_endpoint_gives_the_score_alone(loaded):
    texts = tf.constant(["the cat", "", "the hen ."])
    outputs = loaded.signatures["serving_default"](text=texts)
    assert outputs.keys() == {"log_prob", "error"}
    np.testing.assert_array_equal(outputs["log_prob"], loaded.score(texts)["log_prob"])


def test_a_line_break_is_read_as_a_space():
    vocabulary = SubwordVocabulary.characters(["the cat"])
    in_python = Loaded(CONFIG, vocabulary, build_model(CONFIG, vocabulary))
    score = endpoints(in_python, text_table(vocabulary))["score"].function
    texts = ["the\r\ncat", "the cat"]
    outputs = score(tf.constant(texts))["log_prob"].numpy()
    np.testing.assert_allclose(outputs, [each.log_prob for each in TextScorer(in_python)(texts)], rtol=1e-4)
    assert outputs[0] == pytest.approx(outputs[1])


@pytest.mark.parametrize("position", [0, 1, 2])
def test_invalid_utf_8_is_scored_with_replacements_and_named(loaded, position):
    texts = [b"the cat", b"hen"]
    alone = [loaded.score([text]) for text in texts]
    outputs = loaded.score([*texts[:position], b"the \xff\xfe cat", *texts[position:]])
    errors = [b"", b"", b""]
    errors[position] = "is not UTF-8; invalid bytes are read as \ufffd".encode()
    assert outputs["error"].numpy().tolist() == errors
    for row, one in zip([row for row in range(3) if row != position], alone, strict=True):
        np.testing.assert_allclose(outputs["log_prob"][row], one["log_prob"][0], rtol=1e-5)
    replaced = loaded.score(["the \ufffd\ufffd cat"])
    np.testing.assert_allclose(outputs["log_prob"][position], replaced["log_prob"][0], rtol=1e-5)
    assert replaced["error"].numpy().tolist() == [b""]


def test_long_texts_are_scored_in_parts(in_python, loaded):
    """Of three texts, parts have 341 tokens each."""
    texts = ["the cat " * 700, "the hen", "the dog sees " * 114]
    outputs = loaded.score(texts)
    for row, score in enumerate(TextScorer(in_python)(texts)):
        np.testing.assert_allclose(outputs["log_prob"][row], score.log_prob, rtol=1e-4)
        np.testing.assert_allclose(
            outputs["token_log_probs"][row, : len(score.tokens)], score.log_probs, rtol=1e-3, atol=1e-4
        )
        assert not np.any(outputs["token_log_probs"][row, len(score.tokens) :])


OPTIONS = {"max_tokens": 3, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "seed": 1}


@pytest.mark.parametrize(
    ("name", "value", "shown", "expected"),
    [
        ("top_k", -1, "-1", "from 0 to 300,000"),
        ("temperature", 0.0, "0", "from 0.001 to 1,000"),
        ("temperature", -0.5, "-0.5", "from 0.001 to 1,000"),
        ("temperature", np.inf, "inf", "from 0.001 to 1,000"),
        ("temperature", np.nan, "nan", "from 0.001 to 1,000"),
        ("top_p", 0.0, "0", "above 0 and at most 1"),
        ("top_p", 1.5, "1.5", "above 0 and at most 1"),
        ("top_p", np.nan, "nan", "above 0 and at most 1"),
        ("max_tokens", -1, "-1", "from 0 to 100,000"),
        ("max_tokens", 100_001, "100001", "from 0 to 100,000"),
        ("seed", -1, "-1", "from 0 to 2,147,483,647"),
    ],
)
def test_a_value_out_of_its_range_is_an_error_of_every_row(loaded, name, value, shown, expected):
    outputs = loaded.generate(["the", "the cat"], *(OPTIONS | {name: value}).values())
    assert outputs["text"].numpy().tolist() == [b"", b""]
    assert outputs["error"].numpy().tolist() == [f"{name} {shown}: a number {expected} was expected".encode()] * 2


def test_extreme_values_that_are_allowed_give_text(loaded):
    greedy = loaded.generate(["the", ""], *(OPTIONS | {"top_k": 1}).values())["text"].numpy().tolist()
    cold = loaded.generate(["the", ""], *(OPTIONS | {"temperature": 0.001}).values())
    assert cold["text"].numpy().tolist() == greedy
    hot = loaded.generate(["the", ""], *(OPTIONS | {"temperature": 1000.0, "top_k": 300_000, "top_p": 1e-30}).values())
    none = loaded.generate(["the", b"\xff"], *(OPTIONS | {"max_tokens": 0}).values())
    assert none["text"].numpy().tolist() == [b"", b""]
    assert [error != b"" for error in none["error"].numpy()] == [False, True]
    for outputs in (cold, hot):
        assert outputs["error"].numpy().tolist() == [b"", b""]


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_wrong_row_of_a_step_does_not_end_the_batch(in_python, loaded, position):
    model = in_python.model
    states = [np.array(state) for state in model.initial_state(3)]
    size = model.vocabulary_size
    good = loaded.step(tf.constant([5, 5, 5]), *map(tf.constant, states))
    for token_id, value in ((-1, 0), (size, 0), (2, np.nan), (2, np.inf)):
        token_ids = np.full(3, 5, np.int32)
        token_ids[position] = token_id
        wrong = [state.copy() for state in states]
        wrong[0][position, 0] = value
        outputs = loaded.step(tf.constant(token_ids), *map(tf.constant, wrong))
        reason = "a state is not finite; the states of a step were expected"
        if token_id != 2:
            reason = f"token id {token_id}: 0 to {size - 1} was expected"
        assert [error.decode() for error in outputs["error"].numpy()] == [
            reason if row == position else "" for row in range(3)
        ]
        assert np.all(outputs["log_probs"][position] == MISSING)
        rows = [row for row in range(3) if row != position]
        for name in good.keys() - {"error"}:
            np.testing.assert_allclose(outputs[name].numpy()[rows], good[name].numpy()[rows], atol=1e-5)


def test_a_batch_may_be_empty(in_python, loaded):
    model = in_python.model
    texts = tf.zeros([0], tf.string)
    outputs = loaded.score(texts)
    shapes = {"log_prob": 1, "token_log_probs": 2, "tokens": 2, "error": 1}
    assert {name: value.shape.rank for name, value in outputs.items()} == shapes
    assert all(value.shape[0] == 0 for value in outputs.values())
    assert loaded.signatures["serving_default"](text=texts)["log_prob"].shape == (0,)
    assert loaded.generate(texts, *OPTIONS.values())["text"].shape == (0,)
    outputs = loaded.step(
        tf.zeros([0], tf.int32), *(tf.zeros([0, *state.shape[1:]]) for state in model.initial_state(1))
    )
    assert outputs["log_probs"].shape == (0, model.vocabulary_size)


def test_a_model_with_different_outputs_is_not_exported(trained, monkeypatch):
    monkeypatch.setattr("tasks.language_model.export.TOLERANCE", -1.0)
    before = sorted((trained.run.path / "export").glob("*"))
    with pytest.raises(ParityError, match="nothing was exported"):
        export("tiny")
    assert sorted((trained.run.path / "export").glob("*")) == before


def test_a_beam_is_refused():
    with pytest.raises(UserError, match="--beam 3: no beam was expected"):
        export("tiny", 3)


def test_onnx_files_of_all_kinds_of_models(trained, bidirectional, classifier):
    names = "tiny", "fill", str(classifier.run.path)
    causal, filling, labels = (export(name, format="onnx") for name in names)
    files = [{path.stem for path in folder.glob("*.onnx")} for folder in (causal, filling, labels)]
    assert files == [{"score", "read", "sample"}, {"fill"}, {"classify"}]
    assert (labels / "labels.json").is_file()
