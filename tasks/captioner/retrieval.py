"""How well sentences and photos find each other, and words their regions.

    image_to_text   the sentences of a split are ranked for each photo; the rank is that of its best own sentence
    text_to_image   the photos are ranked for each sentence; the rank is that of its own photo

R@k is the fraction of ranks of at most k (Hodosh, Young and Hockenmaier 2013); ranks depend on the number of photos.
For scenes, `pointing` is the fraction of shape words of their captions whose best cell is in the object's box; shapes
that occur twice in a scene are left out.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from shared.batching import pad
from shared.vocabulary import WordVocabulary
from tasks.captioner.data import Split
from tasks.captioner.finder import Finder, ImageFunction, TextFunction

DEPTHS = 1, 5, 10  # of R@k
BATCH = 50  # photos, and captions, at a time


def measure_finder(finder: Finder, vocabulary: WordVocabulary, split: Split) -> dict[str, float]:
    """The metrics of a finder on a split with grids; uses the first view."""
    of_images, of_texts = ImageFunction(finder, None), TextFunction(finder)
    captions = [(photo, caption) for photo, captions in enumerate(split.captions) for caption in captions]
    pairs = [(photo, caption, ids) for photo, caption in captions if (ids := vocabulary.encode(caption))]
    photos, sentences, words, cells = [], [], [], []
    for start in range(0, len(split.captions), BATCH):
        found = of_images.predict_on_batch(split.inputs[start : start + BATCH, 0].astype(np.float32))
        photos.append(found["photo"])
        cells += list(found["cells"])
    for start in range(0, len(pairs), BATCH):
        found = of_texts.predict_on_batch({"token_ids": pad([ids for *_, ids in pairs[start : start + BATCH]])})
        sentences.append(found["sentence"])
        words += list(found["words"])
    owners = np.array([photo for photo, *_ in pairs])
    metrics = recalls(np.concatenate(photos) @ np.concatenate(sentences).T, owners)
    if "boxes" in split.records[0]:
        described = zip(owners, [vocabulary.words(caption) for _, caption, _ in pairs], words, strict=True)
        is_right = [pointed(split.records[photo], named, vectors, cells[photo]) for photo, named, vectors in described]
        metrics["pointing"] = float(np.mean(list(chain.from_iterable(is_right))))
    return metrics


def pointed(record: Mapping[str, Any], words: Sequence[str], vectors: np.ndarray, cells: np.ndarray) -> list[bool]:
    """Whether each shape word of a caption points inside the object's box, by vectors of words and cells."""
    shapes = record["shapes"]
    named = [(i, word) for i, word in enumerate(words) if shapes.count(word) == 1]
    return [is_inside(cells @ vectors[i], record["boxes"][shapes.index(word)]) for i, word in named]


def rank(metrics: Mapping[str, float]) -> float:
    """What the best epoch is chosen by: the sum of all R@k."""
    return sum(value for name, value in metrics.items() if "R@" in name)


def recalls(scores: np.ndarray, owners: np.ndarray) -> dict[str, float]:
    """R@1, 5, 10 and the median rank in both directions.

    Args:
        scores: `(photos, sentences)`.
        owners: `(sentences,)`, the index of the photo of each sentence; every photo has one.
    """
    own = scores[owners, np.arange(len(owners))]
    best = np.full(len(scores), -np.inf)
    np.maximum.at(best, owners, own)
    of_photos, of_sentences = (scores > best[:, None]).sum(axis=1), (scores > own).sum(axis=0)
    metrics = {}
    for direction, better in (("image_to_text", of_photos), ("text_to_image", of_sentences)):
        metrics |= {f"{direction} R@{depth}": float((better < depth).mean()) for depth in DEPTHS}
        metrics[f"{direction} median rank"] = float(np.median(better + 1))
    return metrics


def is_inside(relevance: np.ndarray, box: Sequence[float]) -> bool:
    """Whether the maximum of `(rows, columns)` is in a box (top, left, bottom, right), in fractions of the image."""
    row, column = np.unravel_index(np.argmax(relevance), relevance.shape)
    y, x = (row + 0.5) / relevance.shape[0], (column + 0.5) / relevance.shape[1]
    top, left, bottom, right = box
    return bool(top <= y <= bottom and left <= x <= right)
