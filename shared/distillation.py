"""A training that imitates other runs, its teachers, so that an ensemble becomes one model.

    loss = -log p(token) + weight KL(q || p),    q the mean of the teachers' distributions

(Hinton et al. 2015, with a temperature of 1; for sequences Kim and Rush 2016, section 3.1). The teachers read the same
tokens, without dropout, and do not change.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from shared.errors import FieldError
from shared.loaded import Loaded
from shared.losses import divergence, real_tokens_mean
from shared.recipe import DistillingRecipe
from shared.runs import Run
from shared.training import OtherRun, check_is_other

ops: Any = keras.ops  # Keras declares no result types for its operations


def load_teachers(
    task: str,
    name: str,
    config: DistillingRecipe,
    vocabulary: Any,
    find_run: Callable[[str], Run],
    load_model: Callable[[Run], Loaded[Any, Any, Any]],
    terms: Callable[[Run], str],
) -> list[OtherRun]:
    """The runs that `config.teachers` names.

    Args:
        task, name, config: of the run that is trained.
        vocabulary: its vocabulary, or a tuple of several.
        find_run, load_model, terms: the task's functions.

    Raises:
        RunError: there is no such run of this task, its files are damaged, or it is the one that is trained.
        FieldError: a run has another vocabulary.
    """
    teachers = []
    for teacher in filter(None, map(str.strip, config.teachers.split(","))):
        run = find_run(teacher)
        check_is_other(run, task, name, "--teachers")
        loaded = load_model(run)
        if _fingerprints(loaded.vocabulary) != _fingerprints(vocabulary):
            problem = f"{run.name} has another vocabulary; one trained on the same corpus was expected"
            raise FieldError("teachers", config.teachers, problem)
        teachers.append(OtherRun(run, loaded, terms(run)))
    return teachers


def _fingerprints(vocabulary: Any) -> list[str]:
    return [part.fingerprint for part in (vocabulary if isinstance(vocabulary, tuple) else (vocabulary,))]


class Distilled(keras.Model):
    """A model in training: its logits, and in training the loss above.

    Args:
        student: the model, inputs -> logits `(..., target, vocab)`.
        teachers: models of the same inputs and shapes; they are not part of this model, nor of its checkpoints.
        weight: of the divergence.
        tokens: the key of the inputs that has the student's input tokens `(..., target)`, 0 for padding.
    """

    def __init__(self, student: keras.Model, teachers: Sequence[keras.Model], weight: float, tokens: str):
        super().__init__(name="distilled")
        self.student, self.weight, self.tokens = student, weight, tokens
        self.log_mean = lambda inputs: mean_log_probs([teacher(inputs, training=False) for teacher in teachers])
        self.built = True

    def call(self, inputs: dict[str, Any], training: bool = False) -> Any:
        """Logits `(..., target, vocab)`."""
        logits = self.student(inputs, training=training)
        if training:
            log_probs = ops.log_softmax(ops.cast(logits, "float32"), axis=-1)
            nats = divergence(ops.stop_gradient(self.log_mean(inputs)), log_probs)
            self.add_loss(self.weight * real_tokens_mean(nats, inputs[self.tokens]))
        return logits


def imitating(model: keras.Model, teachers: Sequence[OtherRun], config: DistillingRecipe, tokens: str) -> keras.Model:
    """The model to train: `Distilled`, or the model itself without teachers; `tokens` as there."""
    models = [teacher.loaded.model for teacher in teachers]
    return Distilled(model, models, config.distillation_weight, tokens) if teachers else model


def mean_log_probs(logits: Sequence[Any]) -> Any:
    """The logarithm of the mean of the distributions that have these logits `(..., vocab)`, float32."""
    log_probs = [ops.log_softmax(ops.cast(x, "float32"), axis=-1) for x in logits]
    return ops.logsumexp(ops.stack(log_probs), axis=0) - np.log(len(log_probs)).astype(np.float32)
