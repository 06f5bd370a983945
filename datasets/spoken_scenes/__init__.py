"""Captions of the rendered scenes, spoken by many voices."""
