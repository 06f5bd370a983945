"""Errors that a user can fix, reported as one line without a traceback."""


class UserError(Exception):
    """An error that a user can fix; its message is one line: what is wrong, and what is expected."""


RANGES = {
    "at least 1": lambda value: value >= 1,
    "at least 2": lambda value: value >= 2,
    "0 or more": lambda value: value >= 0,
    "above 0": lambda value: value > 0,
    "from 0 to 1": lambda value: 0 <= value <= 1,
    "from 0 to below 1": lambda value: 0 <= value < 1,
}


def expect(expected: str, config: object, names: str) -> None:
    """Raises UserError unless each field in `names` (separated by spaces) of `config` is in the range `expected`.

    Args:
        expected: a key of `RANGES`.
    """
    for name in names.split():
        if not RANGES[expected](value := getattr(config, name)):
            raise UserError(f"{name} {value}: {expected} was expected")
