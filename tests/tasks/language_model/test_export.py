"""The SavedModel says what the command line says, with TensorFlow alone."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from shared.export import ParityError
from tasks.language_model.export import export
from tasks.language_model.model import load_model
from tasks.language_model.score import TextScorer


@pytest.fixture(scope="module")
def exported(trained):
    return export("tiny")


ALONE = """
import sys
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
answer = model.signatures["serving_default"](text=tf.constant(sys.argv[2:]))
print(*answer["log_prob"].numpy().tolist())
assert "keras.src" not in sys.modules or not any("quatrain" in name for name in sys.modules)
"""


def test_score_with_tensorflow_alone(trained, exported, tmp_path):
    texts = ["the cat sees the dog .", "the hen"]
    found = subprocess.run(
        [sys.executable, "-c", ALONE, exported, *texts], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    _, vocabulary, model = load_model(trained.run)
    expected = [score.log_prob for score in TextScorer(model, vocabulary)(texts)]
    np.testing.assert_allclose([float(x) for x in found.stdout.split()], expected, rtol=1e-4)


def test_a_seed_repeats_and_another_does_not(exported):
    model = tf.saved_model.load(str(exported))

    def text(seed, **changed):
        options = {"max_tokens": 12, "temperature": 2.0, "top_k": 0, "top_p": 1.0, "seed": seed} | changed
        return model.generate(tf.constant(["the", "the cat"]), *options.values())["text"].numpy().tolist()

    assert text(1) == text(1)
    assert text(1) != text(2)
    assert text(1, top_k=1) == text(2, top_k=1)
    assert all(len(one.split()) <= 3 for one in text(3, max_tokens=3))


def test_what_differs_is_not_exported(trained, monkeypatch):
    monkeypatch.setattr("tasks.language_model.export.TOLERANCE", -1.0)
    before = sorted((trained.run.path / "export").glob("*"))
    with pytest.raises(ParityError, match="nothing was exported"):
        export("tiny")
    assert sorted((trained.run.path / "export").glob("*")) == before
