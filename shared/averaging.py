"""Averaged stochastic gradient descent."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="quatrain")
class AveragedSGD(keras.optimizers.SGD):
    """SGD that keeps the mean of the weights since `begin_averaging` (Polyak & Juditsky 1992).

    Part of NT-ASGD (Merity et al. 2018, algorithm 1): the trainer begins averaging once the development score stalls.
    Until then the mean equals the weights.
    """

    def __init__(self, learning_rate: float = 1.0, **kwargs: Any):
        super().__init__(learning_rate, **{**kwargs, "use_ema": True})

    def build(self, variables: list[keras.Variable]) -> None:
        super().build(variables)
        self.averaged = self.add_variable((), initializer="zeros", dtype="float32", name="averaged")
        self.averages = self.add_variable((), initializer="zeros", dtype="float32", name="averages")

    def begin_averaging(self) -> None:
        """Begin with the next step; averaging does not stop again."""
        self.averages.assign(1.0)

    def _update_model_variables_moving_average(self, trainable_variables: list[keras.Variable]) -> None:
        momentum = self.averaged / (self.averaged + 1)
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            average.assign(momentum * average + (1 - momentum) * variable)
        self.averaged.assign_add(self.averages)
