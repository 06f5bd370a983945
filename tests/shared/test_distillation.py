"""A training that imitates other runs: the loss, by hand, and which runs it takes."""

from types import SimpleNamespace

import keras
import numpy as np
import pytest

from shared.distillation import Distilled, load_teachers, mean_log_probs
from shared.errors import FieldError
from shared.loaded import Loaded
from shared.losses import SequenceCrossEntropy, divergence
from shared.recipe import DistillingRecipe
from shared.runs import RunError

pytestmark = pytest.mark.any_backend

ops = keras.ops


class Table(keras.Model):
    """The logits after each token, `(vocab, vocab)`, whatever came before."""

    def __init__(self, rows):
        super().__init__()
        self.rows = self.add_weight(shape=np.shape(rows), initializer="zeros", name="rows")
        self.rows.assign(np.float32(rows))
        self.built = True

    def call(self, inputs, training=False):
        return ops.take(self.rows, inputs["ids"], axis=0)


def log(*probabilities: float) -> list[float]:
    return np.log(probabilities).tolist()


def test_the_mean_of_distributions_and_the_divergence_from_it():
    mean = mean_log_probs([np.float32([log(0.5, 0.25, 0.25)]) + 3, np.float32([log(0.1, 0.75, 0.15)])])
    np.testing.assert_allclose(np.exp(mean), [[0.3, 0.5, 0.2]], rtol=1e-6)
    nats = divergence(mean, ops.log_softmax(np.float32([log(0.25, 0.5, 0.25)]) - 7))
    assert np.asarray(nats) == pytest.approx([0.3 * np.log(0.3 / 0.25) + 0.2 * np.log(0.2 / 0.25)], abs=1e-6)


def test_a_step_adds_the_divergence_over_real_tokens_and_changes_the_student_alone():
    student = Table([log(1, 1), log(0.5, 0.5)])
    teachers = [Table([log(1, 1), log(0.7, 0.3)]), Table([log(1, 1), log(0.9, 0.1)])]
    model = Distilled(student, teachers, weight=2.0, tokens="ids")
    assert {id(weight) for weight in model.weights} == {id(student.rows)}
    model.compile(keras.optimizers.SGD(1.0), SequenceCrossEntropy())
    ids, targets = np.int32([[1, 1, 0]]), np.int32([[1, 1, 0]])
    result = model.train_on_batch({"ids": ids}, targets)
    kl = 0.8 * np.log(0.8 / 0.5) + 0.2 * np.log(0.2 / 0.5)
    assert float(np.ravel(result)[0]) == pytest.approx(-np.log(0.5) + 2 * kl, abs=1e-5)
    # dL/dlogits = p - onehot + 2 (p - q), p = (0.5, 0.5), q = (0.8, 0.2)
    expected = np.float32(log(0.5, 0.5)) - (np.float32([0.5, -0.5]) + 2 * np.float32([-0.3, 0.3]))
    np.testing.assert_allclose(student.rows[1], expected, atol=1e-5)
    np.testing.assert_allclose(teachers[0].rows[1], log(0.7, 0.3), atol=1e-6)
    np.testing.assert_allclose(model({"ids": ids}), student({"ids": ids}))


def test_runs_with_another_vocabulary_and_the_run_itself_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("shared.runs.ROOT", tmp_path)
    vocabularies = {"one": "a", "two": "a", "other": "b"}

    def load(names: str, vocabulary: object, name: str = "mine"):
        def find_run(name):
            return SimpleNamespace(name=name, path=tmp_path / "task" / name)

        def load_model(run):
            return Loaded(None, SimpleNamespace(fingerprint=vocabularies[run.name]), run.name)

        config = DistillingRecipe(teachers=names)
        return load_teachers("task", name, config, vocabulary, find_run, load_model, lambda run: f"of {run.name}")

    own = SimpleNamespace(fingerprint="a")
    assert load("", own) == []
    found = load("one, two", own)
    assert [(teacher.loaded.model, teacher.terms) for teacher in found] == [("one", "of one"), ("two", "of two")]
    with pytest.raises(FieldError, match="other has another vocabulary"):
        load("one,other", own)
    with pytest.raises(FieldError):
        load("one", (own, own))
    with pytest.raises(RunError, match="--teachers names"):
        load("one", own, "one")
