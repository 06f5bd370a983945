"""Inputs of the model for photos of one's own: the encoder's features, cached for each photo and view.

    <prepared>/captioner/photos-<encoder>-<size>/<first two digits>/<SHA-256 of the photo>.npy
    <prepared>/captioner/photos-<encoder>-<size>/<first two digits>/<SHA-256 of the photo>-mirrored.npy

So photos that are added to a corpus cost their own features only, and corpora that share photos share features.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import datasets
from datasets.photo_folder import Photo, PhotoFolder
from shared.atomic import replacement
from shared.files import MediaError
from shared.media import prepare, read_image
from tasks.captioner.config import Config
from tasks.captioner.encoder import build_fixed_part

VIEWS = ("", "-mirrored")  # suffixes of the files of each view
ENCODE_BATCH = 32  # images encoded at a time: enough for all cores
MAX_BAD = 0.01  # maximum fraction of photos that cannot be read
ALLOWED_BAD = 5  # as many may be bad in any case


class CachedFeatures(Sequence[np.ndarray]):
    """Features float16 `(images, views, rows, columns, channels)`, read from their files on access."""

    def __init__(self, paths: Sequence[Sequence[Path]]) -> None:
        self.paths = paths
        self.shape = (len(paths), *self[0].shape)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        """The features of an image, or of a slice of images."""
        if isinstance(index, slice):
            return np.stack([self[i] for i in range(*index.indices(len(self)))])
        return np.stack([_read(path) for path in self.paths[index]])


def cached_features(config: Config, photos: PhotoFolder, views: int) -> tuple[PhotoFolder, CachedFeatures]:
    """The photos that can be read, and their features; those that are not in the cache are computed.

    Raises:
        CorpusError: More than `MAX_BAD` of the photos cannot be read.
    """
    folder = datasets.prepared_folder() / "captioner" / f"photos-{config.encoder}-{config.image_size}"

    def paths_of(photo: Photo) -> list[Path]:
        return [folder / photo.sha256[:2] / f"{photo.sha256}{view}.npy" for view in VIEWS[:views]]

    paths = {photo.sha256: paths_of(photo) for photo in photos.photos}
    missing = [photo for photo in photos.photos if not all(path.exists() for path in paths[photo.sha256])]
    bad: set[str] = set()
    if missing:
        _compute(config, missing, paths, bad, max(ALLOWED_BAD, MAX_BAD * len(photos)))
    readable = [photo for photo in photos.photos if photo.sha256 not in bad]
    if not readable:
        raise datasets.CorpusError("no photo can be read; at least one was expected")
    return PhotoFolder(readable), CachedFeatures([paths[photo.sha256] for photo in readable])


def _compute(
    config: Config, photos: Sequence[Photo], paths: dict[str, list[Path]], bad: set[str], max_bad: float
) -> None:
    """Write the features of photos; add the hashes of those that cannot be read to `bad`, and report them."""
    fixed, done = build_fixed_part(config), 0
    if fixed is None:
        raise ValueError(f"Expected an encoder with a fixed part. Received: {config.encoder}")
    for batch in _readable(photos, bad, max_bad):
        images = np.concatenate([prepare(image[None], config.image_size) for _, image in batch])
        for view in range(len(paths[batch[0][0]])):
            features = fixed.predict_on_batch(images[:, :, ::-1] if view else images)
            for (sha256, _), values in zip(batch, np.asarray(features, np.float16), strict=True):
                path = paths[sha256][view]
                path.parent.mkdir(parents=True, exist_ok=True)
                with replacement(path) as temporary, temporary.open("wb") as file:
                    np.save(file, values, allow_pickle=False)
        done += len(batch)
        if sys.stderr.isatty():
            print(f"\r{done} of {len(photos)} photos read", end="", file=sys.stderr)
    if sys.stderr.isatty():
        print("\r\033[K", end="", file=sys.stderr)


def _readable(photos: Sequence[Photo], bad: set[str], max_bad: float) -> Iterator[list[tuple[str, np.ndarray]]]:
    """Batches of different photos: hashes and pixels."""
    batch: list[tuple[str, np.ndarray]] = []
    for photo in {photo.sha256: photo for photo in photos}.values():
        try:
            batch.append((photo.sha256, read_image(photo.path)))
        except MediaError as error:
            print(f"skipped {photo.path}: it {error}", file=sys.stderr)
            bad.add(photo.sha256)
            if len(bad) > max_bad:
                raise datasets.CorpusError(
                    f"more than {max_bad:.0f} photos cannot be read; the last is {photo.path}"
                ) from None
        if len(batch) == ENCODE_BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _read(path: Path) -> np.ndarray:
    try:
        return np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = " ".join(str(error).split())
        raise datasets.CorpusError(f"{path} is damaged ({reason}); delete it, so that it is written again") from None
