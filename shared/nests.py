"""Nests of dictionaries, lists and tuples, without the package of a backend."""

from collections.abc import Iterator
from typing import Any


def leaves(nest: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """The path, joined by underscores, and the value of each leaf of a nest."""
    if isinstance(nest, dict):
        for name, value in nest.items():
            yield from leaves(value, f"{path}_{name}" if path else name)
    elif isinstance(nest, (list, tuple)):
        for index, value in enumerate(nest):
            yield from leaves(value, f"{path}_{index}" if path else str(index))
    else:
        yield path, nest


def filled(nest: Any, values: Iterator[Any]) -> Any:
    """A nest of this form with other leaves; tuples become lists."""
    if isinstance(nest, dict):
        return {name: filled(value, values) for name, value in nest.items()}
    if isinstance(nest, (list, tuple)):
        return [filled(value, values) for value in nest]
    return next(values)


def ordered(nest: Any, form: Any) -> Any:
    """The nest with its dictionaries in the order of `form`; KeyError or ValueError if it has another form."""
    if isinstance(form, dict):
        return {name: ordered(nest[name], inner) for name, inner in form.items()}
    if isinstance(form, list):
        return [ordered(value, inner) for value, inner in zip(nest, form, strict=True)]
    return nest
