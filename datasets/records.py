"""What builders of photographs and of sound share: a bad record is told, counted and left out, many stop it."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from datasets import CorpusError
from shared.files import MediaError


def usable(
    builder: Any, items: Sequence[Any], name: Callable[[Any], str], read: Callable[[Any], dict], max_bad: float
) -> Iterator[tuple[str, dict]]:
    """Names and records of those items that `read` does not refuse with a MediaError.

    Args:
        builder: of TFDS; its `skipped` counts the others.
        max_bad: share of the items that may be refused.

    Raises:
        CorpusError: more of them are.
    """
    bad = 0
    for item in items:
        try:
            record = read(item)
        except MediaError as error:
            bad += 1
            builder.skipped += 1
            print(f"{builder.name}: skipped {name(item)}: {error}", file=sys.stderr)
            if bad > max_bad * len(items):
                message = f"{builder.name}: more than {max_bad:.0%} of {len(items):,} records are bad."
                raise CorpusError(message) from None
            continue
        yield name(item), record


def sound() -> Any:
    """TFDS' feature of int16 samples: as bytes, for TFDS takes numbers one by one, and its own feature TensorFlow."""
    import tensorflow_datasets as tfds

    return tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding=tfds.features.Encoding.BYTES)


def timed_speech() -> Any:
    """TFDS' features of utterances whose phones have times: `starts` and `ends` in samples of `audio`."""
    import tensorflow_datasets as tfds

    texts = {name: tfds.features.Text() for name in ("name", "speaker", "text")}
    times = {name: tfds.features.Tensor(shape=(None,), dtype=np.int32) for name in ("starts", "ends")}
    phones = tfds.features.Sequence(tfds.features.Text())
    return tfds.features.FeaturesDict({"audio": sound(), "phones": phones, **times, **texts})


def as_int16(samples: np.ndarray) -> np.ndarray:
    """Samples in -1..1 as they are stored."""
    return np.round(samples.clip(-1, 1) * 32_767).astype(np.int16)
