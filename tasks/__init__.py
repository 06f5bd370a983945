"""The applications."""

import shared  # noqa: F401  # before anything imports TensorFlow: it silences the start
