"""Options that a command line repeats: their values are joined, or they are refused; none is dropped in silence."""

import dataclasses
import typing
from collections.abc import Iterator

import tyro

from shared.errors import UserError


def join_repeated(kind: type, arguments: list[str]) -> list[str]:
    """The arguments with all values of an option that takes several, such as `--stop a --stop b`, after its first name.

    Flags stay as they are, and options that are made to be repeated. Raises UserError for any other option that is
    given twice: a parser would take the last value.

    Args:
        kind: the dataclass of the options; its fields may be dataclasses of options.
        arguments: the command line.
    """
    takes_several = dict(_options(kind))
    groups: list[list[str]] = [[]]  # an option and what follows it
    first: dict[str, list[str]] = {}
    end = arguments.index("--") if "--" in arguments else len(arguments)
    for argument in arguments[:end]:
        name, equals, value = argument.partition("=")
        name = name.replace("_", "-")
        if not argument.startswith("--"):
            groups[-1].append(argument)
        elif name not in takes_several:
            groups.append([argument])
        elif name not in first:
            first[name] = [argument]
            groups.append(first[name])
        elif not takes_several[name]:
            raise UserError(f"{name} is given twice; one value was expected")
        else:
            if "=" in first[name][0]:
                first[name][:1] = first[name][0].split("=", 1)
            groups.append(first[name])  # values after it are appended to those of the first one
            first[name] += [value] * bool(equals)
    unique = {id(group): group for group in groups}
    return [argument for group in unique.values() for argument in group] + arguments[end:]


def _options(kind: type) -> Iterator[tuple[str, bool]]:
    """The options with values of a dataclass, and whether each takes several; not those made to be repeated."""
    hints = typing.get_type_hints(kind, include_extras=True)
    for field in dataclasses.fields(kind):
        hint, markers = hints[field.name], ()
        if typing.get_origin(hint) is typing.Annotated:
            hint, *markers = typing.get_args(hint)
        if dataclasses.is_dataclass(hint):
            yield from _options(typing.cast(type, hint))
        elif hint is not bool and tyro.conf.UseAppendAction not in markers and tyro.conf.Positional not in markers:
            names = [field.name, *(name for marker in markers if (name := getattr(marker, "name", None)))]
            yield from ((f"--{name.replace('_', '-')}", typing.get_origin(hint) is tuple) for name in names)
