"""Spoken scenes: captions of the rendered scenes, synthesized with phone times."""
