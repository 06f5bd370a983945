"""Functions for builders of images and of sounds: features, and skipping of bad records."""

import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from datasets import CorpusError
from shared.files import MediaError


def readable_records(
    builder: Any, items: Sequence[Any], name: Callable[[Any], str], read: Callable[[Any], dict], max_bad: float
) -> Iterator[tuple[str, dict]]:
    """Yield the names and records of the items; report and skip an item for which `read` raises MediaError.

    Args:
        builder: TFDS builder; its attribute `skipped` counts the skipped items.
        items: Arguments of `name` and `read`, which return the name and the record of one item.
        max_bad: Maximum fraction of skipped items.

    Raises:
        CorpusError: More than `max_bad` of the items are skipped.
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


def audio_feature() -> Any:
    """Return a TFDS feature of int16 `(samples,)`, as bytes: TFDS is slow on numbers and its Audio needs TensorFlow."""
    import tensorflow_datasets as tfds

    return tfds.features.Tensor(shape=(None,), dtype=np.int16, encoding=tfds.features.Encoding.BYTES)


def timed_speech_features(*more: str) -> Any:
    """Return TFDS features of utterances with phone times: `starts` and `ends` `(phones,)`, in samples of `audio`.

    `more` are names of further texts.
    """
    import tensorflow_datasets as tfds

    texts = {name: tfds.features.Text() for name in ("name", "speaker", "text", *more)}
    times = {name: tfds.features.Tensor(shape=(None,), dtype=np.int32) for name in ("starts", "ends")}
    phones = tfds.features.Sequence(tfds.features.Text())
    return tfds.features.FeaturesDict({"audio": audio_feature(), "phones": phones, **times, **texts})


def as_int16(samples: np.ndarray) -> np.ndarray:
    """Convert float samples `(samples,)` in -1..1 to int16, clipping larger ones."""
    return np.round(samples.clip(-1, 1) * 32_767).astype(np.int16)
