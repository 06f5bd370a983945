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

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path
from typing import Any

import keras
import numpy as np

import datasets
from datasets import photo_folder
from datasets.photo_folder import PhotoFolder
from shared.atomic import atomic_folder, remove_temporaries, reserve
from shared.batching import BucketedBatches
from shared.errors import UserError
from shared.fine_tuning import extended
from shared.media import prepare, read_image
from shared.packing import pad
from shared.vocabulary import WordVocabulary
from tasks.captioner.config import CORPORA, PRESETS, Config
from tasks.captioner.encoder import build_fixed_part
from tasks.captioner.features import ENCODE_BATCH, CachedFeatures, cached_features

PREPARED = ("scenes", "flickr8k")  # corpora with a builder
MIN_BATCH, EPOCH_STEPS, STEPS, MAX_EPOCHS = 8, 50, 1500, 30  # of a training on few photos
RARE = 10_000  # a word with fewer occurrences than one in as many words is rare, in a small corpus
SPACELESS = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff]")  # scripts without spaces


@dataclass(frozen=True, kw_only=True)
class Split:
    """One split of a corpus, ready for the model.

    The inputs are uint8 images or float16 features, in files, or float16 grids. View 1, if there is one, is the
    mirrored image.
    """

    records: Sequence[dict[str, Any]]  # the result of `open_records`, read on access
    captions: list[list[str]]  # the references of each image, as the corpus has them
    inputs: np.ndarray | CachedFeatures  # `(images, views, height, width, channels)`


def fingerprint(config: Config, data_dir: Path | None = None) -> dict[str, str]:
    """The hash of each corpus, by its name; `data_dir` belongs to the training corpus."""
    corpora = dict.fromkeys((config.corpus, config.dev_corpus, config.test_corpus))
    return {
        name: (datasets if name in PREPARED else photo_folder).fingerprint(
            name, data_dir if name == config.corpus else None
        )
        for name in corpora
        if name or name == config.corpus
    }


def open_records(config: Config, split: str, data_dir: Path | None = None) -> Sequence[dict[str, Any]]:
    """The records of a split.

    A development or test corpus of its own is measured as a whole, or its split of that name if it gives splits; its
    photos are left out of training.
    """
    own = {"dev": config.dev_corpus, "test": config.test_corpus}
    if corpus := own.get(split):
        data_dir = data_dir if corpus == config.corpus else None
        if corpus in PREPARED:
            return datasets.load(corpus, split, data_dir)
        return PhotoFolder.load(corpus, split if photo_folder.gives_splits(corpus, data_dir) else "all", data_dir)
    if config.corpus in PREPARED:
        return datasets.load(config.corpus, split, data_dir)
    photos = PhotoFolder.load(config.corpus, split, data_dir, [name for name in own if not own[name]])
    if split == "train":
        photos = photos.without(open_records(config, name) for name in own if own[name])
    return photos


def check_photos(config: Config, measured: Config, split: str, data_dir: Path | None = None) -> None:
    """Raises UserError if a run was trained on photos of one's own that it is to be measured on.

    Args:
        config: of the run; if its photos are not there any more, they are not compared.
        measured, split, data_dir: as of `load_split`.
    """
    photos = open_records(measured, split, data_dir)
    if not isinstance(photos, PhotoFolder) or config.corpus in PREPARED:
        return
    try:
        trained = open_records(config, "train")
    except datasets.CorpusError:
        return
    if count := len(photos) - len(photos.without([trained])):
        problem = f"the model was trained on {count:,} of these {len(photos):,} photos; others were expected"
        raise UserError(f"{measured.corpus}: {problem}")


def read_references(records: Sequence[dict[str, Any]]) -> list[list[str]]:
    """The captions of each record, as the corpus has them."""
    if isinstance(records, PhotoFolder):  # without reading the images
        return [list(photo.captions) for photo in records.photos]
    return [record["captions_en"] if "captions_en" in record else record["captions"] for record in records]


def load_split(config: Config, split: str, data_dir: Path | None = None) -> Split:
    """Open "train", "dev" or "test"; `data_dir` is the folder of the user's copy of the corpus.

    The inputs are the images or, if the encoder has a fixed part, its features. They are the same for every run,
    computed once, and cached.
    """
    records = open_records(config, split, data_dir)
    views = 2 if config.mirror and split == "train" else 1
    if isinstance(records, PhotoFolder):
        records, inputs = cached_features(config, records, views)
        return Split(records=records, captions=read_references(records), inputs=inputs)
    kind = "images" if config.encoder == "cnn" else f"features-{config.encoder}"
    corpus = {"dev": config.dev_corpus, "test": config.test_corpus}.get(split) or config.corpus
    identity = fingerprint(config, data_dir)[corpus]
    folder = datasets.prepared_folder() / "captioner" / f"{corpus}-{identity}-{kind}-{config.image_size}"
    path = folder / f"{split}-{views}" / "inputs.npy"
    if not path.exists():
        with atomic_folder(path.parent) as temporary:
            _write_inputs(temporary / path.name, records, config, views)
    remove_temporaries(folder)
    return Split(records=records, captions=read_references(records), inputs=_read_inputs(path, len(records)))


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
    images, views, *shape = split.inputs.shape
    grids = np.empty((images, views, *learned.compute_output_shape((None, *shape))[1:]), np.float16)
    for start in range(0, images, ENCODE_BATCH):
        batch = np.asarray(split.inputs[start : start + ENCODE_BATCH], np.float32)
        for view in range(views):
            grids[start : start + ENCODE_BATCH, view] = learned.predict_on_batch(batch[:, view])
    return replace(split, inputs=grids)


def fitted(config: Config, train: Split) -> Config:
    """The configuration for a corpus of one's own, which may be small: enough steps, in batches and epochs, to learn.

    What differs from the preset was chosen, and stays.
    """
    preset, captions = PRESETS["photos"], sum(map(len, train.captions))
    if config.corpus in CORPORA:
        return config
    batch_size = min(preset.batch_size, max(MIN_BATCH, captions // EPOCH_STEPS))
    batch_size = batch_size if config.batch_size == preset.batch_size else config.batch_size
    epochs = min(MAX_EPOCHS, max(preset.epochs, ceil(STEPS / ceil(captions / batch_size))))
    changes = {"batch_size": batch_size, "epochs": epochs, "patience": max(preset.patience, epochs // 6)}
    return replace(config, **{name: n for name, n in changes.items() if getattr(config, name) == getattr(preset, name)})


def build_vocabulary(config: Config, train: Split, initial: WordVocabulary | None = None) -> WordVocabulary:
    """The words of the training captions, or those of the initial run, extended by them.

    In a small corpus fewer occurrences than `min_count` suffice.

    Raises:
        CorpusError: The captions have no spaces between words.
    """
    normalisation = "none" if config.corpus == "scenes" else "captions"  # `datasets.scenes.parser` reads tokens as is
    texts = [caption for captions in train.captions for caption in captions]
    count = sum(len(text.split()) for text in texts)
    if config.corpus not in PREPARED and count < 2 * len(texts) and _is_spaceless("".join(texts)):
        raise datasets.CorpusError(f"captions such as {texts[0]!r} have no spaces between words, which were expected")
    min_count = min(config.min_count, 1 + count // RARE)
    if initial is not None:
        return extended(initial, texts, min_count)
    return WordVocabulary.build(texts, min_count=min_count, normalisation=normalisation)


def _is_spaceless(text: str) -> bool:
    """Whether most of a text is in scripts that write words without spaces."""
    return 2 * len(SPACELESS.findall(text)) > len(text)


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
