"""Bounds of numbers, declared beside each option and each field of a configuration, and checked in one place.

    beam: Annotated[int | None, Bounds(1, 100)] = None

A number without bounds fails a test. The upper bounds are generous; they keep a typing error, or the configuration of a
run by somebody else, from exhausting the memory.
"""

import math
from dataclasses import dataclass, fields
from typing import Annotated, Any

from shared.errors import FieldError, UserError


@dataclass(frozen=True)
class Bounds:
    """The numbers from `minimum` to `maximum`, NaN never; `above` and `below` exclude the minimum or the maximum."""

    minimum: float
    maximum: float
    above: bool = False
    below: bool = False

    def __str__(self) -> str:
        minimum, maximum = (f"{limit:,}" for limit in (self.minimum, self.maximum))
        if self.above:
            return f"a number above {minimum} and {'below' if self.below else 'at most'} {maximum}"
        return f"a number from {minimum} to {'below ' if self.below else ''}{maximum}"

    def __contains__(self, value: float) -> bool:
        is_inside = self.minimum <= value <= self.maximum  # False for NaN
        return is_inside and not (self.above and value == self.minimum) and not (self.below and value == self.maximum)

    def check(self, name: str, value: float | None) -> None:
        """Raises FieldError if a value is given that is outside."""
        if value is not None and value not in self:
            raise FieldError(name, value, f"{self} was expected")


MAX_BEAM = 100  # wider beams do not help
MAX_VOCABULARY = 300_000  # tokens; WikiText-103 has 268,000
MAX_LABELS = 1000  # of a classifier
MAX_PARAMETERS = 200_000_000  # of a model: 0.8 GB, five times that in training

Count = Annotated[int, Bounds(1, 1_000_000)]
CountOrZero = Annotated[int, Bounds(0, 1_000_000)]
Units = Annotated[int, Bounds(1, 10_000)]
Layers = Annotated[int, Bounds(1, 32)]
MaxLength = Annotated[int, Bounds(1, 1000)]
VocabularySize = Annotated[int, Bounds(1, MAX_VOCABULARY)]
Beam = Annotated[int, Bounds(1, MAX_BEAM)]
BeamOrBestPath = Annotated[int, Bounds(0, MAX_BEAM)]
Fraction = Annotated[float, Bounds(0, 1)]
DropoutRate = Annotated[float, Bounds(0, 1, below=True)]
Weight = Annotated[float, Bounds(0, 1000)]
LearningRate = Annotated[float, Bounds(0, 1000, above=True)]
Seed = Annotated[int, Bounds(0, 2**32 - 1)]


def bounds_of(kind: type) -> dict[str, Bounds]:
    """The bounds of each field of a dataclass; a field that gets another default in a subclass keeps its bounds."""
    found = {}
    for base in reversed(kind.__mro__):
        for name, hint in vars(base).get("__annotations__", {}).items():
            for part in getattr(hint, "__metadata__", ()):
                if isinstance(part, Bounds):
                    found[name] = part
    return found


def check_bounds(values: Any) -> None:
    """Raises FieldError for the first field of a dataclass that is out of its bounds."""
    bounds = bounds_of(type(values))
    for field in fields(values):
        if field.name in bounds:
            bounds[field.name].check(field.name, getattr(values, field.name))


def check_product(meaning: str, maximum: int, *factors: tuple[str, int]) -> None:
    """Raises UserError if the product of named numbers exceeds the maximum; `meaning` says what it counts."""
    product = math.prod(value for _, value in factors)
    if product > maximum:
        named = " x ".join(f"{name} {value:,}" for name, value in factors)
        raise UserError(f"{named}: {product:,} {meaning}; at most {maximum:,} were expected")


def check_recurrence(num_layers: int, units: int) -> None:
    """Raises UserError if recurrent layers of this size would have more than `MAX_PARAMETERS`."""
    factors = ("num_layers", num_layers), ("units", units), ("units", units)
    check_product("recurrent weights for each gate and input", MAX_PARAMETERS // 8, *factors)  # an LSTM has 4 x 2
