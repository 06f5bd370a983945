"""Repair of recordings whose bytes went through a newline conversion.

The conversion turns CR LF (bytes 13, 10) into LF and every other CR into LF. In 16-bit little-endian samples, a high
byte of 13 becomes 10, which lowers the sample by 768. A lost CR swaps high and low bytes up to the next lost CR, which
turns the signal into noise. NLTK's sample of TIMIT has such files. The repair searches for the smoothest signal.
"""

import numpy as np

LF, CR = 10, 13
MIN_BYTES = 5_000  # CR is about one byte in 256, so only converted recordings of this size have none
MAX_BEND = 20_000.0  # maximum cost of one sample; samples with swapped bytes often exceed it
LOSS_COST = 1_500.0  # cost of one lost byte


def repair(samples: np.ndarray) -> tuple[np.ndarray, int]:
    """Undo a newline conversion of int16 samples `(samples,)`.

    Returns:
        int16 samples `(samples,)` and the number of restored bytes; the same samples and 0 without a conversion.
    """
    data = np.frombuffer(samples.astype("<i2").tobytes(), np.uint8)
    if len(data) < MIN_BYTES or CR in data:
        return samples, 0
    indices = lost_bytes(data)
    return restore_high_bytes(to_samples(np.insert(data, indices, CR))), len(indices)


def to_samples(data: np.ndarray) -> np.ndarray:
    """Convert uint8 bytes `(bytes,)` to int16 samples `(samples,)`; an odd last byte is dropped."""
    return np.frombuffer(data[: len(data) // 2 * 2].tobytes(), "<i2").astype(np.int16)


def bends(samples: np.ndarray) -> np.ndarray:
    """Return the absolute second differences of samples `(samples,)`, `(samples - 2,)`."""
    return np.abs(np.diff(samples, 2))


def lost_bytes(data: np.ndarray) -> list[int]:
    """Return the indices of the LFs of uint8 `data` `(bytes,)` before which a CR is lost.

    Viterbi search for the smoothest signal. Its two states are the parity of the index at which samples start; a lost
    byte changes the state.
    """
    feeds = np.flatnonzero(data == LF)
    edges = np.concatenate([[0], feeds, [len(data)]])
    costs = []
    for parity in (0, 1):
        costs_of_samples = np.minimum(bends(to_samples(data[parity:]).astype(np.int64)), MAX_BEND)
        sums = np.concatenate([[0.0], np.cumsum(costs_of_samples)])
        first, after = np.maximum(edges[:-1] - parity + 1, 0) // 2, (edges[1:] - parity) // 2 - 2
        first = np.minimum(first, len(sums) - 1)
        costs.append(sums[np.clip(after, first, len(sums) - 1)] - sums[first])
    steps = np.stack(costs, axis=1)  # `(feeds + 1, 2)`
    best, switched = np.array([steps[0, 0], np.inf]), np.zeros((len(feeds), 2), bool)
    for index, step in enumerate(steps[1:]):
        other = best[::-1] + LOSS_COST
        switched[index] = other < best
        best = np.minimum(best, other) + step
    parity, lost = int(np.argmin(best)), []
    for index in range(len(feeds) - 1, -1, -1):
        if switched[index, parity]:
            lost.append(int(feeds[index]))
            parity = 1 - parity
    return lost[::-1]


def restore_high_bytes(samples: np.ndarray) -> np.ndarray:
    """Restore high bytes of 13 that became 10 in int16 samples `(samples,)`.

    Of each run of samples with a high byte of 10, raises the prefix or suffix that minimizes the sum of the bends.
    """
    restored, step = samples.astype(np.int64), (CR - LF) << 8
    is_low = np.concatenate([[False], restored >> 8 == LF, [False]])
    edges = np.flatnonzero(is_low[1:] != is_low[:-1])
    for begin, end in zip(edges[::2], edges[1::2], strict=True):
        first = max(begin - 2, 0)
        window, indices = restored[first : end + 2], np.arange(first, min(end + 2, len(restored)))
        masks = [(indices >= begin) & (indices < middle) for middle in range(begin, end + 1)]
        masks += [(indices >= middle) & (indices < end) for middle in range(begin + 1, end)]
        restored[first : end + 2] = min((window + step * mask for mask in masks), key=lambda tried: bends(tried).sum())
    return restored.astype(np.int16)
