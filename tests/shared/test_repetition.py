"""Repeated options."""

from dataclasses import dataclass
from typing import Annotated

import pytest
import tyro

from shared.errors import UserError
from shared.repetition import join_repeated


@dataclass(frozen=True, kw_only=True)
class Sizes:
    batch_size: int = 1


@dataclass(frozen=True, kw_only=True)
class Arguments:
    texts: tyro.conf.Positional[tuple[str, ...]] = ()
    sizes: Sizes = Sizes()
    stop: tuple[str, ...] = ()
    prompt: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    source: Annotated[str, tyro.conf.arg(name="from")] = ""
    json: bool = False


@pytest.mark.parametrize(
    ("arguments", "joined"),
    [
        ("a --stop b c --json --stop d", "a --stop b c d --json"),
        ("--stop=b --json --stop c --stop=d", "--stop b c d --json"),
        ("--stop --stop", "--stop"),
        ("--json --json a", "--json --json a"),
        ("--prompt a --prompt b", "--prompt a --prompt b"),
        ("--stop a -- --stop b --stop", "--stop a -- --stop b --stop"),
        ("--unknown 1 --unknown 2", "--unknown 1 --unknown 2"),
    ],
)
def test_values_of_a_repeated_option_are_joined(arguments, joined):
    assert join_repeated(Arguments, arguments.split()) == joined.split()


@pytest.mark.parametrize("arguments", ["--batch-size 1 --batch_size 2", "--batch-size=1 a --batch-size 1"])
def test_a_value_that_would_be_dropped_is_refused(arguments):
    with pytest.raises(UserError, match=r"^--batch-size is given twice; one value was expected$"):
        join_repeated(Arguments, arguments.split())


def test_an_option_of_another_name():
    with pytest.raises(UserError, match="--from is given twice"):
        join_repeated(Arguments, ["--from", "a", "--from", "b"])
