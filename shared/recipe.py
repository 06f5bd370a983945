"""How a model is optimized: the fields that the configurations of all tasks have."""

from dataclasses import dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import tyro

from shared.bounds import Bounds, Count, CountOrZero, DropoutRate, LearningRate, Seed, Weight, check_bounds
from shared.errors import FieldError, UserError

LEAST_SHARE = 10  # warm-up and averaging each take at most one in this number of a training's steps


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """The optimization of a model; a task's Config adds its own fields, and reasons for its own defaults."""

    initial_run: Annotated[str, tyro.conf.arg(name="from", aliases=["--initial-run"])] = ""
    """Run or folder whose weights the training starts from: with its sizes and vocabulary, to which words are added.
    Without a PRESET, all other values are those of that run too."""
    batch_size: Annotated[int, Bounds(1, 10_000)] = 64
    """Examples per batch."""
    epochs: Count = 1
    """Maximum number of epochs."""
    optimizer: Literal["adam", "sgd"] = "adam"
    """Adam converges faster; SGD, averaged at the end, set the records in language modelling."""
    learning_rate: LearningRate = 3e-3
    """Peak learning rate."""
    warmup_steps: CountOrZero = 100
    """Steps of linear warm-up to the peak rate."""
    schedule: Literal["cosine", "plateau", "averaging", "slanted"] = "cosine"
    """`cosine` decays to zero over all epochs; `slanted` linearly to 1/32 (Howard & Ruder 2018, section 3.2); `plateau`
    halves the rate after an epoch without a better development score; `averaging` keeps the rate, and begins to average
    the weights after an epoch with a score below the best of all but the last 5 (NT-ASGD; Merity et al. 2018, algorithm
    1)."""
    patience: Count = 5
    """Epochs without a better development score after which training stops."""
    weight_average: DropoutRate = 0.0
    """Momentum of the moving average of weights that is evaluated and kept; 0 for none."""
    clip_norm: Annotated[float, Bounds(0, 1_000_000, above=True)] = 1.0
    """Global norm to which gradients are clipped."""
    weight_decay: Annotated[float, Bounds(0, 1)] = 0.0
    """Fraction of every weight that a step subtracts, times the learning rate."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of products and activations in training; weights, states and sums are float32. An accelerator computes
    faster in `bfloat16`, and so does a processor with AMX or AVX-512 BF16."""
    seed: Seed = 1
    """Seed of weights, dropout, augmentation and order."""

    PROLONGING: ClassVar[tuple[str, ...]] = ("epochs", "patience")
    """The fields that may be increased for a run that exists: its training goes on."""

    def __post_init__(self):
        check_bounds(self)
        if self.schedule == "averaging" and (self.optimizer != "sgd" or self.weight_average):
            raise UserError("schedule averaging needs optimizer sgd and weight_average 0")

    @property
    def inherited(self) -> tuple[str, ...]:
        """The fields that decide weights and vocabulary: a training that starts from a run has that run's values."""
        return ()

    def starting_from(self, initial: Self) -> Self:
        """This recipe for a training that starts from a run of the configuration `initial`."""
        return replace(self, **{name: getattr(initial, name) for name in initial.inherited})

    def check_inherited(self, initial: Self) -> None:
        """Raises FieldError for a field in which a run of `initial` cannot be the `initial_run` of this recipe."""
        for name in initial.inherited:
            value, expected = getattr(self, name), getattr(initial, name)
            if value != expected:
                raise FieldError(name, value, f"{expected} was expected, as in {self.initial_run} that --from names")

    def fitted(self, steps: int) -> Self:
        """The recipe for a training of that number of steps in all, which may be few.

        Warm-up, and the steps that the average of weights covers, take at most a tenth of them each: otherwise a short
        training ends before it has the full rate, or with an average that is mostly untrained weights.
        """
        average = min(self.weight_average, max(0.0, 1 - LEAST_SHARE / max(1, steps)))
        return replace(self, warmup_steps=min(self.warmup_steps, steps // LEAST_SHARE), weight_average=average)

    def build_optimizer(self) -> Any:
        """A new Keras optimizer; the trainer sets its learning rate at every step."""
        import keras

        from shared.optimizers import Adam, AveragedSGD

        options: dict[str, Any] = {"global_clipnorm": self.clip_norm, "weight_decay": self.weight_decay or None}
        if self.schedule == "averaging":
            return AveragedSGD(**options)
        if self.weight_average:
            options |= {"use_ema": True, "ema_momentum": self.weight_average}
        return {"adam": Adam, "sgd": keras.optimizers.SGD}[self.optimizer](**options)


@dataclass(frozen=True, kw_only=True)
class DistillingRecipe(Recipe):
    """How a model is optimized that may imitate others; see `shared.distillation`."""

    teachers: str = ""
    """Runs with the same vocabulary, separated by commas: the training also imitates the mean of their distributions
    of the next token (Hinton et al. 2015; Kim and Rush 2016, section 3.1)."""
    distillation_weight: Weight = 1.0
    """Weight of the divergence from that mean, beside the loss of the tokens."""
