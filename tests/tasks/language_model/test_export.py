"""The SavedModel gives the outputs of the Python model, and needs only TensorFlow."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from shared.errors import UserError
from shared.export import ParityError
from tasks.language_model.export import export
from tasks.language_model.inference import TextScorer
from tasks.language_model.model import load_model


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


def test_it_runs_with_tensorflow_alone(trained, exported, tmp_path):
    texts = ["the cat sees the dog .", "the hen"]
    done = subprocess.run(
        [sys.executable, "-c", ALONE, exported, *texts], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    expected = [score.log_prob for score in TextScorer(load_model(trained.run))(texts)]
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


def test_a_model_with_different_outputs_is_not_exported(trained, monkeypatch):
    monkeypatch.setattr("tasks.language_model.export.TOLERANCE", -1.0)
    before = sorted((trained.run.path / "export").glob("*"))
    with pytest.raises(ParityError, match="nothing was exported"):
        export("tiny")
    assert sorted((trained.run.path / "export").glob("*")) == before


def test_a_beam_is_refused():
    with pytest.raises(UserError, match="--beam 3: no beam was expected"):
        export("tiny", 3)
