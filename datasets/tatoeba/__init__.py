"""Tatoeba: short sentences in English and another language."""
