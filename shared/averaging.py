"""Averaged stochastic gradient descent, begun when plain descent no longer helps."""

from typing import Any

import keras

ops: Any = keras.ops  # Keras declares no result types for its operations


@keras.saving.register_keras_serializable(package="quatrain")
class AveragedSGD(keras.optimizers.SGD):
    """Gradient descent that keeps the mean of the weights since `begin_averaging` (Polyak & Juditsky 1992).

    NT-ASGD of Merity et al. (2018, algorithm 1), where the trainer begins it once development stalls. Until then the
    mean is the weights themselves.
    """

    def __init__(self, learning_rate=1.0, **kwargs):
        super().__init__(learning_rate, **{**kwargs, "use_ema": True})

    def build(self, variables):
        super().build(variables)
        self.averaged = self.add_variable((), initializer="zeros", dtype="float32", name="averaged")
        self.averages = self.add_variable((), initializer="zeros", dtype="float32", name="averages")

    def begin_averaging(self) -> None:
        """From the next step on; once begun it goes on."""
        self.averages.assign(1.0)

    def _update_model_variables_moving_average(self, trainable_variables):
        momentum = self.averaged / (self.averaged + 1)
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            average.assign(momentum * average + (1 - momentum) * variable)
        self.averaged.assign_add(self.averages)
