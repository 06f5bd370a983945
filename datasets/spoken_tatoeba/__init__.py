"""Spoken Tatoeba: sentences of everyday life in the voices of espeak-ng, with times."""
