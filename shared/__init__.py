"""Code that knows no task. Importing it keeps TensorFlow from logging its start."""

from shared.quiet import install

install()
