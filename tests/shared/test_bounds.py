"""Bounds of options and of fields: each number has them, NaN is never inside, messages name the value."""

import ast
import dataclasses
import inspect
import math
import types
import typing
from dataclasses import dataclass, fields, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import pytest

from shared import bounds
from shared.bounds import Bounds, bounds_of, check_bounds, check_product, check_recurrence
from shared.cli import parse
from shared.errors import FieldError, UserError

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("limits", "words", "inside", "outside"),
    [
        (Bounds(1, 2000), "a number from 1 to 2,000", [1, 2000], [0, 2001, 10**400]),
        (Bounds(0, 1, above=True), "a number above 0 and at most 1", [5e-324, 1], [0, 1.5]),
        (Bounds(0, 1, below=True), "a number from 0 to below 1", [0, 0.99], [-0.1, 1]),
        (Bounds(-0.5, 3, above=True, below=True), "a number above -0.5 and below 3", [-0.4, 2.9], [-0.5, 3]),
    ],
)
def test_numbers_inside_and_outside(limits, words, inside, outside):
    for value in [*inside, None]:
        limits.check("size", value)
    for value in [*outside, math.nan, math.inf, -math.inf]:
        with pytest.raises(FieldError) as error:
            limits.check("size", value)
        assert str(error.value).endswith(f": {words} was expected")


def test_a_long_value_is_cut_in_the_message():
    with pytest.raises(FieldError) as error:
        Bounds(0, 1).check("size", 10**400)
    assert len(str(error.value)) < 140


@dataclass(frozen=True)
class Base:
    size: Annotated[int, Bounds(1, 9)] = 2
    rate: Annotated[float | None, Bounds(0, 1)] = None


@dataclass(frozen=True)
class Derived(Base):
    size: int = 12
    name: str = ""


def test_a_field_with_another_default_keeps_its_bounds():
    assert bounds_of(Derived) == {"size": Bounds(1, 9), "rate": Bounds(0, 1)}
    with pytest.raises(FieldError, match="size 12: a number from 1 to 9 was expected"):
        check_bounds(Derived())
    check_bounds(Derived(size=9))


def test_options_are_named_as_they_are_typed():
    @dataclass(frozen=True)
    class Arguments:
        top_k: Annotated[int, Bounds(0, 5)] = 0

    assert parse(Arguments, ["--top-k", "5"], "tasks.tagger.tag", None).top_k == 5
    with pytest.raises(UserError, match=r"^--top-k 6: a number from 0 to 5 was expected$"):
        parse(Arguments, ["--top-k", "6"], "tasks.tagger.tag", None)


def test_products_are_bounded():
    check_product("cells", 12, ("rows", 3), ("columns", 4))
    with pytest.raises(UserError, match=r"^rows 3 x columns 4: 12 cells; at most 11 were expected$"):
        check_product("cells", 11, ("rows", 3), ("columns", 4))
    check_recurrence(1, 5000)
    with pytest.raises(UserError, match=r"num_layers 2 x units 5,000 x units 5,000: 50,000,000 recurrent weights"):
        check_recurrence(2, 5000)


def numbers(kind: type) -> set[str]:
    """The names of the numeric fields of a dataclass, those of a set of choices excepted."""

    def is_number(hint: object) -> bool:
        if typing.get_origin(hint) in (typing.Union, types.UnionType, tuple, list):
            return any(is_number(part) for part in typing.get_args(hint))
        return hint in (int, float)

    hints = typing.get_type_hints(kind)
    return {field.name for field in fields(kind) if is_number(hints[field.name])}


def of_command_lines() -> list[type]:
    """The configuration of each task, and the options of each verb; shared ones are their base classes."""
    kinds = []
    for path in sorted(ROOT.glob("tasks/**/*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [node.name for node in tree.body if isinstance(node, ast.ClassDef)]
        if {"Arguments", "Config"} & set(names):
            module = import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
            kinds += [getattr(module, name) for name in names if name in ("Arguments", "Config")]
    options = [kind for _, kind in inspect.getmembers(import_module("shared.cli"), inspect.isclass)]
    return kinds + [kind for kind in options if is_dataclass(kind) and kind.__module__ == "shared.cli"]


@pytest.mark.parametrize("kind", of_command_lines(), ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_every_number_has_bounds_and_a_default_inside(kind):
    found = bounds_of(kind)
    assert numbers(kind) == found.keys()
    for field in fields(kind):
        if field.name in found and field.default is not dataclasses.MISSING:
            found[field.name].check(field.name, field.default)
        if field.name == "seed":
            assert found["seed"] == Bounds(0, 2**32 - 1)


def test_there_are_options_and_configurations():
    kinds = of_command_lines()
    assert len([kind for kind in kinds if kind.__name__ == "Config"]) == 4
    assert sum(len(bounds_of(kind)) for kind in kinds) > 100
    assert numbers(Derived) == {"size", "rate"}
    assert typing.get_origin(Literal[1]) is Literal
    assert bounds.MAX_BEAM == 100
