"""Spoken manual: sentences of Python's manual, synthesized with phone times."""
