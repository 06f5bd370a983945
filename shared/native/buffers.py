"""Memory of results that is reused: new pages took a quarter of a training step with inputs `(20, 35, 200)`."""

import math
import threading

import numpy as np

_ALIGNMENT = 64  # bytes; TensorFlow takes over an aligned array and copies another one
_MAX_FREE = 64


class _Owner:
    """What an array gets its memory from. NumPy keeps it alive as long as any view of the array."""

    __slots__ = ("__array_interface__", "buffer", "free")

    def __del__(self):
        self.free.append(self.buffer)  # without the lock, since an owner may be deleted at any time, also in `_take`


class BufferPool:
    """Allocates float32 arrays in the memory of those that no longer exist."""

    def __init__(self):
        self.free: list[np.ndarray] = []
        self._lock = threading.Lock()

    def empty(self, *shape: int) -> np.ndarray:
        """An array of the given shape, its values undefined."""
        buffer, owner = self._take(4 * math.prod(shape) + _ALIGNMENT), _Owner()
        owner.buffer, owner.free = buffer, self.free
        address = buffer.ctypes.data
        data = address + -address % _ALIGNMENT, False
        owner.__array_interface__ = {"version": 3, "typestr": np.dtype(np.float32).str, "shape": shape, "data": data}
        return np.asarray(owner)

    def _take(self, size: int) -> np.ndarray:
        """A buffer of at least `size` bytes, and at most twice as many."""
        with self._lock:
            for i in range(len(self.free)):
                if size <= self.free[i].size <= 2 * size:
                    return self.free.pop(i)
            if len(self.free) >= _MAX_FREE:
                self.free.clear()
            return np.empty(size, np.uint8)
