"""From a corpus to batches.

    records (datasets)  image bytes, captions
      -> Split          records, captions, and inputs: uint8 images or cached float16 features, memory-mapped
      -> token ids      <s> a small dog runs </s>

A batch holds captions of about the same length, padded to the longest, each with the grid of its image:

    inputs   grid       (batch, rows, columns, channels)
             token_ids  (batch, 1, target)    <s> a    small dog  runs
    targets             (batch, 1, target)    a   small dog  runs </s>
"""

import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

import datasets
from shared.batching import BucketedBatches, pad
from shared.media import read_image, resize
from shared.runs import atomic_folder
from shared.vocabulary import WordVocabulary
from tasks.captioner.config import Config

CAPTIONS = {"scenes": "captions_en", "flickr8k": "captions"}  # the records' field
NORMALISATION = {"scenes": "none", "flickr8k": "captions"}  # the scenes' own tokens are meant to be parsed back

# "a man 's dog , asleep .": what tokenization split off is joined on again; a pattern that TensorFlow reads alike.
SPLIT_OFF = r" ((?:'s|'m|'d|'re|'ll|'ve|n't)\b|[.,:;?!])"

ENCODE_BATCH = 32  # images on their way through the image encoder: enough to keep both cores busy


def readable(text: str) -> str:
    """A caption as people write it, from its tokens joined with spaces."""
    return re.sub(SPLIT_OFF, r"\1", text)


@dataclass(frozen=True, kw_only=True)
class Split:
    """One split of a corpus, ready for the model.

    Attributes:
        records: as `datasets.load` gives them, read when asked for.
        captions: the references of each image, in the words of the corpus.
        inputs: (images, views, height, width, channels), memory-mapped: uint8 images, or float16 features; or
            the grids that the encoder makes of either. View 1, where there is one, is the mirrored picture.
    """

    records: Sequence[dict[str, Any]]
    captions: list[list[str]]
    inputs: np.ndarray


def read_references(config: Config, records: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The captions of each record, in the words of the corpus."""
    return [record[CAPTIONS[config.corpus]] for record in records]


def load_split(config: Config, split: str, encode: Callable[[np.ndarray], Any] | None, data_dir=None) -> Split:
    """Opens a split, computing what `encode` makes of its images once per corpus.

    Args:
        config: names corpus, image size and encoder.
        split: "train", "dev" or "test".
        encode: images float32 (batch, height, width, 3) in 0..255 -> features; None keeps the images.
        data_dir: where the user's copy of the corpus lies.
    """
    records = datasets.load(config.corpus, split, data_dir)
    views = 2 if config.mirror and split == "train" else 1
    cached = "images" if encode is None else f"features-{config.encoder}"
    identity = datasets.fingerprint(config.corpus, data_dir)
    folder = datasets.prepared_folder() / "captioner" / f"{config.corpus}-{identity}-{cached}-{config.image_size}"
    path = folder / f"{split}-{views}"
    if not (path / "inputs.npy").exists():
        with atomic_folder(path) as temporary:
            _write_inputs(temporary / "inputs.npy", records, config, encode, views)
    return Split(
        records=records,
        captions=read_references(config, records),
        inputs=np.load(path / "inputs.npy", mmap_mode="r", allow_pickle=False),
    )


def _write_inputs(path, records, config: Config, encode, views: int) -> None:
    """Writes every view of every image as the model reads it: (images, views, height, width, channels)."""
    inputs = None
    for start in range(0, len(records), ENCODE_BATCH):
        read = (read_image(record["image"]) for record in records[start : start + ENCODE_BATCH])
        images = np.concatenate([prepare(image[None], config.image_size) for image in read])
        for view in range(views):
            batch = images[:, :, ::-1] if view else images
            batch = batch.astype(np.uint8) if encode is None else np.asarray(encode(batch), np.float16)
            if inputs is None:
                shape = (len(records), views, *batch.shape[1:])
                inputs = np.lib.format.open_memmap(path, "w+", batch.dtype, shape)
            inputs[start : start + len(batch), view] = batch
        if sys.stderr.isatty():
            print(f"\r{start + len(images)} of {len(records)} images read", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)


def prepare(images: Any, size: int) -> Any:
    """Images (batch, height, width, 3) in 0..255 as float32 (batch, size, size, 3), on which nothing else is done.

    The one preprocessing: of training, evaluation, command line and SavedModel. The values are whole numbers, since
    those that training reads from its cache are.
    """
    return keras.ops.round(resize(images, size))


def example_files(config: Config, count: int) -> list[bytes]:
    """Image files of the development split; of the scenes, which every checkout can draw, if there is no copy."""
    corpus = config.corpus if datasets.is_at_hand(config.corpus) else "scenes"
    return [record["image"] for record in datasets.load(corpus, "dev")[:count]]


def build_vocabulary(config: Config, train: Split) -> WordVocabulary:
    """The words of the training captions."""
    texts = (caption for captions in train.captions for caption in captions)
    return WordVocabulary.build(texts, min_count=config.min_count, normalisation=NORMALISATION[config.corpus])


def training_batches(config: Config, train: Split, vocabulary: WordVocabulary) -> BucketedBatches:
    """Batches of captions, each with one of the views of its image; an epoch shows every caption once."""
    images = [i for i, captions in enumerate(train.captions) for _ in captions]
    token_ids = [_framed(caption, vocabulary, config.max_length) for captions in train.captions for caption in captions]

    def make_batch(indices: np.ndarray, rng: np.random.Generator):
        padded = pad([token_ids[index] for index in indices])[:, None]
        shown = np.array([images[index] for index in indices])
        views = rng.integers(train.inputs.shape[1], size=len(indices))
        return {"grid": train.inputs[shown, views], "token_ids": padded[:, :, :-1]}, padded[:, :, 1:]

    return BucketedBatches([len(ids) for ids in token_ids], config.batch_size, make_batch, config.seed)


def _framed(caption: str, vocabulary: WordVocabulary, max_length: int) -> list[int]:
    """<s> words </s>; a caption that is cut at `max_length` words has no </s>, lest the model learn to stop there."""
    ids = vocabulary.encode(caption)
    framed = [vocabulary.start_id, *ids[:max_length]]
    return framed if len(ids) > max_length else [*framed, vocabulary.end_id]


@dataclass(frozen=True, kw_only=True)
class Caption:
    """One caption of an image.

    Attributes:
        text: as people write it.
        tokens: its words.
        log_prob: natural logarithm of its probability, the end included.
        attention: (target, rows, columns), where the model looked as it chose each word.
        sentinel: (target,), how much it relied on the words before instead.
    """

    text: str
    tokens: list[str]
    log_prob: float
    attention: np.ndarray
    sentinel: np.ndarray


def read_captions(found: dict[str, Any], vocabulary: WordVocabulary, grid: tuple[int, int]) -> list[list[Caption]]:
    """The captions of each image, best first, from what `Describer` found on a grid of rows and columns.

    There may be fewer than the beam: a place that search left empty, of length 0, is no caption.
    """
    found = {name: np.asarray(value) for name, value in found.items()}
    return [
        [_caption(*best, vocabulary, grid) for best in zip(*image, strict=True) if best[1] > 0]
        for image in zip(found["token_ids"], found["lengths"], found["log_probs"], found["extras"], strict=True)
    ]


def _caption(token_ids, length, log_prob, attention, vocabulary: WordVocabulary, grid: tuple[int, int]) -> Caption:
    token_ids = [int(token_id) for token_id in token_ids[:length] if token_id != vocabulary.end_id]
    tokens, weights = vocabulary.tokens(token_ids), attention[: len(token_ids)]
    return Caption(
        text=readable(" ".join(tokens)),
        tokens=tokens,
        log_prob=float(log_prob),
        attention=weights[:, :-1].reshape(-1, *grid),
        sentinel=weights[:, -1],
    )
