"""Sentences of film reviews, positive or negative."""
