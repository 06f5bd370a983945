"""The common fields of all configurations, and the optimizer that they describe."""

import keras
import pytest

from shared.errors import UserError
from shared.optimizers import Adam, AveragedSGD
from shared.recipe import Recipe

pytestmark = pytest.mark.any_backend


def test_adam_with_the_options_of_the_recipe():
    optimizer = Recipe(clip_norm=0.5, weight_average=0.99, weight_decay=1e-4).build_optimizer()
    assert type(optimizer) is Adam
    assert (optimizer.global_clipnorm, optimizer.weight_decay) == (0.5, 1e-4)
    assert (optimizer.use_ema, optimizer.ema_momentum) == (True, 0.99)


def test_a_recipe_is_fitted_to_few_steps():
    recipe = Recipe(warmup_steps=300, weight_average=0.998)
    assert recipe.fitted(6810) == recipe
    short = recipe.fitted(180)
    assert (short.warmup_steps, short.weight_average) == (18, pytest.approx(1 - 10 / 180))
    assert (recipe.fitted(5).warmup_steps, recipe.fitted(5).weight_average) == (0, 0)


def test_sgd_without_decay_and_averaging():
    optimizer = Recipe(optimizer="sgd").build_optimizer()
    assert type(optimizer) is keras.optimizers.SGD
    assert not optimizer.use_ema
    assert optimizer.weight_decay is None


def test_the_schedule_averaging_uses_averaged_sgd():
    optimizer = Recipe(optimizer="sgd", schedule="averaging", clip_norm=0.25).build_optimizer()
    assert type(optimizer) is AveragedSGD
    assert optimizer.global_clipnorm == 0.25


@pytest.mark.parametrize("changes", [{}, {"optimizer": "sgd", "weight_average": 0.9}])
def test_averaging_needs_plain_sgd(changes):
    with pytest.raises(UserError, match="schedule averaging needs optimizer sgd and weight_average 0"):
        Recipe(schedule="averaging", **changes)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch_size", 0),
        ("epochs", 0),
        ("patience", 0),
        ("learning_rate", 0.0),
        ("clip_norm", -1.0),
        ("warmup_steps", -1),
        ("weight_decay", -0.1),
        ("seed", -1),
        ("weight_average", 1.0),
    ],
)
def test_values_outside_their_range_are_refused(field, value):
    with pytest.raises(UserError, match=f"{field} {value}: "):
        Recipe(**{field: value})
