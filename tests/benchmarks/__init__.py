"""Timings, side by side within one run. `shared` chooses the backend before Keras is imported, and keeps it quiet."""

import shared  # noqa: F401
