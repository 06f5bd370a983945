"""Sounds that were once copied as text: what a conversion of line ends does to samples, undone.

Such a copy has line feeds (byte 10) where carriage returns (byte 13) were, and one line feed for the two of them in a
row. Of samples of 16 bits, low byte first, the one lowers by 768 each sample whose high byte was 13; the other loses a
byte, so that from there on high and low bytes are mistaken for each other, and all is noise up to the next such loss.
NLTK's sample of TIMIT has been seen like this. Sound is smooth: that tells what has been there.
"""

import numpy as np

FEED, RETURN = 10, 13
SURE = 5_000  # bytes of a sound, of which one in some 256 is a return, that have none but by such a copy
ROUGH = 20_000.0  # most that one place may count; noise of this kind has more
LOSS = 1_500.0  # roughness that the loss of a byte must spare


def mended(samples: np.ndarray) -> tuple[np.ndarray, int]:
    """int16 `(samples,)` as they were, and how many lost bytes were put back; the same if there was no such copy."""
    data = np.frombuffer(samples.astype("<i2").tobytes(), np.uint8)
    if len(data) < SURE or RETURN in data:
        return samples, 0
    places = lost_bytes(data)
    data = np.insert(data, places, RETURN)
    return raised(as_samples(data)), len(places)


def as_samples(data: np.ndarray) -> np.ndarray:
    """Bytes, uint8, as int16 samples; half a sample at the end is left out."""
    return np.frombuffer(data[: len(data) // 2 * 2].tobytes(), "<i2").astype(np.int16)


def bends_of(samples: np.ndarray) -> np.ndarray:
    """How far each sample is from where the two before it point."""
    return np.abs(np.diff(samples, 2))


def lost_bytes(data: np.ndarray) -> list[int]:
    """Places of the line feeds before which a return is lost: those that leave the smoothest sound (Viterbi).

    There are two ways to read what is between two line feeds, by whether samples begin at even places or at odd ones;
    each lost byte turns one into the other.
    """
    feeds = np.flatnonzero(data == FEED)
    edges = np.concatenate([[0], feeds, [len(data)]])
    costs = []
    for way in (0, 1):
        bends = bends_of(as_samples(data[way:]).astype(np.int64))
        sums = np.concatenate([[0.0], np.cumsum(np.minimum(bends, ROUGH))])
        first, after = np.maximum(edges[:-1] - way + 1, 0) // 2, (edges[1:] - way) // 2 - 2
        first = np.minimum(first, len(sums) - 1)
        costs.append(sums[np.clip(after, first, len(sums) - 1)] - sums[first])
    steps = np.stack(costs, axis=1)
    best, turned = np.array([steps[0, 0], np.inf]), np.zeros((len(feeds), 2), bool)
    for number, step in enumerate(steps[1:]):
        other = best[::-1] + LOSS
        turned[number] = other < best
        best = np.minimum(best, other) + step
    way, places = int(np.argmin(best)), []
    for number in range(len(feeds) - 1, -1, -1):
        if turned[number, way]:
            places.append(int(feeds[number]))
            way = 1 - way
    return places[::-1]


def raised(samples: np.ndarray) -> np.ndarray:
    """With those samples raised whose high byte, 10, was 13: of each row so many at one end that it bends least."""
    found, step = samples.astype(np.int64), (RETURN - FEED) << 8
    is_low = np.concatenate([[False], found >> 8 == FEED, [False]])
    turns = np.flatnonzero(is_low[1:] != is_low[:-1])
    for begin, end in zip(turns[::2], turns[1::2], strict=True):
        first = max(begin - 2, 0)
        around, places = found[first : end + 2], np.arange(first, min(end + 2, len(found)))
        chosen = [(places >= begin) & (places < middle) for middle in range(begin, end + 1)]
        chosen += [(places >= middle) & (places < end) for middle in range(begin + 1, end)]
        found[first : end + 2] = min((around + step * part for part in chosen), key=lambda tried: bends_of(tried).sum())
    return found.astype(np.int16)
