"""How well sentences and photos find each other.

    image_to_text   the sentences of a split are ranked for each photo; the rank is that of its best own sentence
    text_to_image   the photos are ranked for each sentence; the rank is that of its own photo

R@k is the fraction of ranks of at most k (Hodosh, Young and Hockenmaier 2013); ranks depend on the number of photos.
"""

from collections.abc import Mapping

import numpy as np

from shared.packing import pad
from shared.vocabulary import WordVocabulary
from tasks.captioner.data import Split
from tasks.captioner.finder import Finder, ImageFunction, TextFunction

DEPTHS = 1, 5, 10  # of R@k
BATCH = 50  # photos, and captions, at a time


def measure_finder(finder: Finder, vocabulary: WordVocabulary, split: Split) -> dict[str, float]:
    """The metrics of a finder on a split with grids; uses the first view."""
    of_images, of_texts = ImageFunction(finder, None), TextFunction(finder)
    token_ids = [(photo, vocabulary.encode(caption)) for photo, own in enumerate(split.captions) for caption in own]
    pairs = [(photo, ids) for photo, ids in token_ids if ids]
    photos, sentences = [], []
    for start in range(0, len(split.captions), BATCH):
        grids = split.inputs[start : start + BATCH, 0].astype(np.float32)
        photos.append(of_images.predict_on_batch(grids)["photo"])
    for start in range(0, len(pairs), BATCH):
        padded = pad([ids for _, ids in pairs[start : start + BATCH]])
        sentences.append(of_texts.predict_on_batch({"token_ids": padded})["sentence"])
    owners = np.array([photo for photo, _ in pairs])
    return recalls(np.concatenate(photos) @ np.concatenate(sentences).T, owners)


def rank(metrics: Mapping[str, float]) -> float:
    """What the best epoch is chosen by: the sum of all R@k."""
    return sum(value for name, value in metrics.items() if "R@" in name)


def recalls(scores: np.ndarray, owners: np.ndarray) -> dict[str, float]:
    """R@1, 5, 10 and the median rank in both directions; among equal scores the rank is the mean one.

    Args:
        scores: `(photos, sentences)`.
        owners: `(sentences,)`, the index of the photo of each sentence; every photo has one.
    """
    own = scores[owners, np.arange(len(owners))]
    best = np.full(len(scores), -np.inf)
    np.maximum.at(best, owners, own)
    others = owners != np.arange(len(scores))[:, None]

    def better(than: np.ndarray) -> np.ndarray:
        return (scores > than) + ((scores == than) & others) / 2

    of_photos, of_sentences = better(best[:, None]).sum(axis=1), better(own).sum(axis=0)
    metrics = {}
    for direction, ranks in (("image_to_text", of_photos), ("text_to_image", of_sentences)):
        metrics |= {f"{direction} R@{depth}": float((ranks < depth).mean()) for depth in DEPTHS}
        metrics[f"{direction} median rank"] = float(np.median(ranks + 1))
    return metrics
