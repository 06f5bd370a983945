"""What a command says to its user instead of a traceback."""


class UserError(Exception):
    """Something a user can mend; its message is one line: what is wrong, and what would be right."""


RANGES = {
    "at least 1": lambda number: number >= 1,
    "0 or more": lambda number: number >= 0,
    "above 0": lambda number: number > 0,
    "from 0 to 1": lambda number: 0 <= number <= 1,
    "from 0 to below 1": lambda number: 0 <= number < 1,
}


def expect(wanted: str, config: object, names: str) -> None:
    """UserError unless the fields of a configuration, their names between spaces, are in one of `RANGES`."""
    for name in names.split():
        if not RANGES[wanted](number := getattr(config, name)):
            raise UserError(f"{name} {number}: {wanted} was expected")
