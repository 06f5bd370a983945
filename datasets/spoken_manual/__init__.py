"""Spoken manual: sentences of Python's manual in the voices of espeak-ng, with times."""
