"""Errors that a user can fix, reported as one line without a traceback."""

MAX_SHOWN = 80  # characters of a value in a message


class UserError(Exception):
    """An error that a user can fix; its message is one line: what is wrong, and what is expected."""


class FieldError(UserError):
    """A field has a wrong value; `problem` says what was expected."""

    def __init__(self, name: str, value: object, problem: str):
        super().__init__(f"{name} {shortened(str(value))}: {problem}")
        self.name, self.value, self.problem = name, value, problem

    def of_option(self) -> "FieldError":
        """The same error, with the name of the option that sets the field."""
        return FieldError(f"--{self.name.replace('_', '-')}", self.value, self.problem)


class ListError(UserError, TypeError):
    """One value was given where a list of them is meant."""


def check_list(values: object, meant: str, axes: int | None = None) -> None:
    """Raises ListError for one value where a list is meant, which Python would take apart into letters or rows.

    Args:
        values: what was given.
        meant: what it has, such as "sentences".
        axes: the number of axes of one array, if the list has arrays.
    """
    if isinstance(values, (str, bytes)):
        raise ListError(f"{shown(values)} is one text; a list of {meant} was expected, such as [{shown(values)}]")
    if axes is not None and getattr(values, "ndim", None) == axes:
        shape = getattr(values, "shape", ())
        raise ListError(f"one array of shape {shape} was given; a list of {meant} was expected")


def shown(value: object) -> str:
    """A value of an untrusted file in a message."""
    return shortened(repr(value))


def shortened(text: str, most: int = MAX_SHOWN) -> str:
    """The text, cut after `most` characters if it is longer."""
    return text if len(text) <= most else f"{text[:most]}..."
