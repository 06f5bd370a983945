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


def shown(value: object) -> str:
    """A value of an untrusted file in a message."""
    return shortened(repr(value))


def shortened(text: str, most: int = MAX_SHOWN) -> str:
    """The text, cut after `most` characters if it is longer."""
    return text if len(text) <= most else f"{text[:most]}..."
