"""What a model knows before the first token, as NumPy arrays."""

import numpy as np

from tasks.language_model.config import Config

BELOW = -1e9  # any state


def initial_states(config: Config, rows: int) -> list[np.ndarray]:
    """The zero states of the recurrent layers, a list of `(rows, units)`."""
    return [np.zeros((rows, size), np.float32) for size in config.state_sizes]


def initial_memory(config: Config, rows: int) -> list[np.ndarray]:
    """A `classifier.Memory` as a list: its states, then its other items."""
    zeros = np.zeros((rows, config.widths[-1]), np.float32)
    return [*initial_states(config, rows), zeros, zeros + np.float32(BELOW), zeros, zeros[:, :1]]
