"""What a command says to its user instead of a traceback."""


class UserError(Exception):
    """Something a user can mend; its message is one line: what is wrong, and what would be right."""
