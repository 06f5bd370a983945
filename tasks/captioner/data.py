"""From a corpus to batches.

    records (datasets)  image bytes, captions
      -> Split          records, captions, and inputs: uint8 images or cached float16 features, memory-mapped
      -> with_grids     the same with the grids of a run's encoder as inputs
      -> token ids      <s> a small dog runs </s>

A batch has captions of similar length, padded to the longest, each with the grid of its image:

    inputs   grid       `(batch, rows, columns, channels)`
             token_ids  `(batch, 1, target)`    <s> a    small dog  runs
    targets             `(batch, 1, target)`    a   small dog  runs </s>
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

import datasets
from shared.atomic import atomic_folder, remove_temporaries, reserve
from shared.batching import BucketedBatches, pad
from shared.fine_tuning import extended
from shared.media import prepare, read_image
from shared.vocabulary import WordVocabulary
from tasks.captioner.config import Config
from tasks.captioner.encoder import build_fixed_part

CAPTIONS = {"scenes": "captions_en", "flickr8k": "captions"}  # field of the records
NORMALISATION = {"scenes": "none", "flickr8k": "captions"}  # `datasets.scenes.parser` reads the tokens of scenes as is

ENCODE_BATCH = 32  # images encoded at a time: enough for all cores


@dataclass(frozen=True, kw_only=True)
class Split:
    """One split of a corpus, ready for the model.

    The inputs are uint8 images or float16 features, memory-mapped, or float16 grids. View 1, if there is one, is the
    mirrored image.
    """

    records: Sequence[dict[str, Any]]  # the result of `datasets.load`, read on access
    captions: list[list[str]]  # the references of each image, as the corpus has them
    inputs: np.ndarray  # `(images, views, height, width, channels)`


def fingerprint(config: Config, data_dir: Path | None = None) -> dict[str, str]:
    """The hash of the corpus, by its name."""
    return {config.corpus: datasets.fingerprint(config.corpus, data_dir)}


def read_references(config: Config, records: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The captions of each record, as the corpus has them."""
    return [record[CAPTIONS[config.corpus]] for record in records]


def load_split(config: Config, split: str, data_dir: Path | None = None) -> Split:
    """Open "train", "dev" or "test"; `data_dir` is the folder of the user's copy of the corpus.

    The inputs are the images or, if the encoder has a fixed part, its features. They are the same for every run,
    computed once per corpus, and cached.
    """
    records = datasets.load(config.corpus, split, data_dir)
    views = 2 if config.mirror and split == "train" else 1
    kind = "images" if config.encoder == "cnn" else f"features-{config.encoder}"
    (identity,) = fingerprint(config, data_dir).values()
    folder = datasets.prepared_folder() / "captioner" / f"{config.corpus}-{identity}-{kind}-{config.image_size}"
    path = folder / f"{split}-{views}" / "inputs.npy"
    if not path.exists():
        with atomic_folder(path.parent) as temporary:
            _write_inputs(temporary / path.name, records, config, views)
    remove_temporaries(folder)
    return Split(records=records, captions=read_references(config, records), inputs=_read_inputs(path, len(records)))


def _read_inputs(path: Path, count: int) -> np.ndarray:
    """Open a file of `_write_inputs`; raises CorpusError if it is damaged."""
    try:
        inputs = np.load(path, mmap_mode="r", allow_pickle=False)
        if inputs.ndim != 5 or len(inputs) != count:
            raise ValueError(f"shape {inputs.shape}, {count} images were expected")
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise datasets.CorpusError(f"{path} is damaged ({reason}); delete it, so that it is written again") from None
    return inputs


def _write_inputs(path: Path, records: Sequence[dict[str, Any]], config: Config, views: int) -> None:
    """Write `(images, views, height, width, channels)`: every view of every image, or its features."""
    fixed, inputs = build_fixed_part(config), None
    for start in range(0, len(records), ENCODE_BATCH):
        pictures = (read_image(record["image"]) for record in records[start : start + ENCODE_BATCH])
        images = np.concatenate([prepare(image[None], config.image_size) for image in pictures])
        for view in range(views):
            batch = images[:, :, ::-1] if view else images
            batch = batch.astype(np.uint8) if fixed is None else fixed.predict_on_batch(batch).astype(np.float16)
            if inputs is None:
                shape = (len(records), views, *batch.shape[1:])
                inputs = np.lib.format.open_memmap(path, "w+", batch.dtype, shape)
                reserve(path)
            inputs[start : start + len(batch), view] = batch
        if sys.stderr.isatty():
            print(f"\r{start + len(images)} of {len(records)} images read", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)


def with_grids(split: Split, encoder: keras.Sequential) -> Split:
    """The split with grids as inputs: the outputs of the encoder's last layer, in memory."""
    learned = encoder.layers[-1]
    images, views = split.inputs.shape[:2]
    flat = split.inputs.reshape(-1, *split.inputs.shape[2:])  # (images * views, height, width, channels)
    grids = np.empty((len(flat), *learned.compute_output_shape((None, *flat.shape[1:]))[1:]), np.float16)
    for start in range(0, len(flat), ENCODE_BATCH):
        batch = flat[start : start + ENCODE_BATCH].astype(np.float32)
        grids[start : start + ENCODE_BATCH] = learned.predict_on_batch(batch)
    return replace(split, inputs=grids.reshape(images, views, *grids.shape[1:]))


def build_vocabulary(config: Config, train: Split, initial: WordVocabulary | None = None) -> WordVocabulary:
    """The words of the training captions, or those of the initial run, extended by them."""
    texts = (caption for captions in train.captions for caption in captions)
    if initial is not None:
        return extended(initial, texts, config.min_count)
    return WordVocabulary.build(texts, min_count=config.min_count, normalisation=NORMALISATION[config.corpus])


def training_batches(config: Config, train: Split, vocabulary: WordVocabulary) -> BucketedBatches:
    """Batches of captions, each with a random view of its image; an epoch has every caption once."""
    images = [i for i, captions in enumerate(train.captions) for _ in captions]
    token_ids = [_framed(caption, vocabulary, config.max_length) for captions in train.captions for caption in captions]

    def make_batch(indices: np.ndarray, rngs: Sequence[np.random.Generator], sizes: Mapping[str, int]):
        padded = pad([token_ids[index] for index in indices], sizes.get("target"))[:, None]
        batch_images = np.array([images[index] for index in indices])
        views = random_views(train, rngs)
        grid = train.inputs[batch_images, views].astype(np.float32)  # for float16, oneDNN logs errors on some CPUs
        return {"grid": grid, "token_ids": padded[:, :, :-1]}, padded[:, :, 1:]

    lengths = [len(ids) for ids in token_ids]
    return BucketedBatches(lengths, config.batch_size, make_batch, config.seed, {"target": lengths})


def random_views(train: Split, rngs: Sequence[np.random.Generator]) -> np.ndarray:
    """The index of a view for each generator, `(batch,)`."""
    return np.array([rng.integers(train.inputs.shape[1]) for rng in rngs])


def _framed(caption: str, vocabulary: WordVocabulary, max_length: int) -> list[int]:
    """<s> words </s>; no </s> if it is cut at `max_length` words, so that the model does not learn to stop there."""
    ids = vocabulary.encode(caption)
    framed = [vocabulary.start_id, *ids[:max_length]]
    return framed if len(ids) > max_length else [*framed, vocabulary.end_id]
