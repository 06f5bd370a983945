"""Where the arrays of a training lie: on the devices of this process, or of all processes of one training."""

from typing import Any


def place(batch: Any) -> Any:
    """A nest of NumPy arrays on the device."""
    import jax

    return jax.device_put(batch)
