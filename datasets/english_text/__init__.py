"""Ordinary English: paragraphs of Wikipedia and everyday sentences."""
