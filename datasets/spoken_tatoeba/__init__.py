"""Spoken Tatoeba: everyday sentences, synthesized with phone times."""
