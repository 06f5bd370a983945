"""TFDS builder of Flickr8k, from the two original archives, their extracted folders or a copy with the same files."""

import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow_datasets as tfds

from datasets import CORPORA, CorpusError
from datasets.builders import extracted, manual_instructions, user_folder
from datasets.records import readable_records
from shared.files import MediaError
from shared.media import read_image
from shared.text import as_lines

LISTS = {split: f"Flickr_8k.{split}Images.txt" for split in ("train", "dev", "test")}
CAPTIONS = "Flickr8k.token.txt"
ARCHIVES = ("Flickr8k_Dataset.zip", "Flickr8k_text.zip")
# Number of images in each official list. Some copies have a known subset of the test images only.
EXPECTED = {"train": (6000,), "dev": (1000,), "test": (1000, 200)}
NUM_CAPTIONS = 5
MAX_BAD = 0.01  # maximum fraction of unusable images in a split


class Builder(tfds.core.GeneratorBasedBuilder):
    """Photographs, each with five English captions by different people."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 - TFDS reads a plain class attribute
    MANUAL_DOWNLOAD_INSTRUCTIONS = manual_instructions("flickr8k")
    skipped = 0  # number of bad records

    def _info(self) -> tfds.core.DatasetInfo:
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(encoding_format="jpeg"),
                    "name": tfds.features.Text(),
                    "captions": tfds.features.Sequence(tfds.features.Text(), length=NUM_CAPTIONS),
                }
            ),
            disable_shuffling=True,  # the order of the official lists
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        roots = self._roots(dl_manager)
        captions = read_captions(_find(roots, CAPTIONS).read_bytes().decode())
        images = {path.name: path for root in roots for path in root.rglob("*.jpg") if not path.name.startswith(".")}
        splits = {}
        for split, list_name in LISTS.items():
            names = _find(roots, list_name).read_text(encoding="utf-8").split()
            if len(names) not in EXPECTED[split] or len(set(names)) != len(names):
                expected = " or ".join(f"{count:,}" for count in EXPECTED[split])
                raise CorpusError(
                    f"flickr8k: {list_name} has {len(set(names)):,} different images, expected {expected}."
                )
            if len(names) != EXPECTED[split][0]:
                print(f"flickr8k: {split} has {len(names):,} of {EXPECTED[split][0]:,} images", file=sys.stderr)
            missing = [name for name in names if name not in images]
            if missing:
                raise CorpusError(
                    f"flickr8k: {len(missing):,} of {len(names):,} images of {list_name} are missing: {missing[0]}..."
                )
            splits[split] = self._generate_examples([(images[name], captions.get(name, [])) for name in names])
        return splits

    def _generate_examples(self, items: list[tuple[Path, list[str]]]) -> Iterator[tuple[str, dict]]:
        yield from readable_records(self, items, lambda item: item[0].name, read_record, MAX_BAD)

    def _roots(self, dl_manager: tfds.download.DownloadManager) -> list[Path]:
        """Return the folders to search: the user's copy and its extracted archives, or the extracted downloads."""
        folder = user_folder(dl_manager)
        if folder is None:
            urls = CORPORA["flickr8k"].urls
            return [extracted(dl_manager, Path(dl_manager.download(url))) for url in urls]
        archives = [folder / name for name in ARCHIVES if (folder / name).exists()]
        return [folder, *(extracted(dl_manager, archive) for archive in archives)]


def read_captions(text: str) -> dict[str, list[str]]:
    """Parse lines `image.jpg#0<tab>caption` into a list of captions per image name, in order of their numbers."""
    numbered: dict[str, list[tuple[str, str]]] = {}
    for line in as_lines(text):
        if line.strip():
            key, _, caption = line.partition("\t")
            name, _, number = key.rpartition("#")
            numbered.setdefault(name, []).append((number, caption.strip()))
    return {name: [caption for _, caption in sorted(captions)] for name, captions in numbered.items()}


def read_record(item: tuple[Path, list[str]]) -> dict:
    """Return the record of an image file and its captions; raises MediaError when it is unusable."""
    path, captions = item
    encoded = path.read_bytes()
    if problem := find_problem(encoded, captions):
        raise MediaError(problem)
    # The bytes of the file: encoding a JPEG again would lose quality.
    return {"image": encoded, "name": path.name, "captions": captions}


def find_problem(encoded: bytes, captions: list[str]) -> str:
    """Return why a JPEG file and its captions are unusable, or an empty string."""
    if len(captions) != NUM_CAPTIONS:
        return f"has {len(captions)} captions, expected {NUM_CAPTIONS}"
    if not all(captions):
        return "has an empty caption"
    try:
        read_image(encoded)
    except MediaError as error:
        return str(error)
    return ""


def _find(roots: list[Path], name: str) -> Path:
    """Return the first file of this name in the folders or their subfolders."""
    for root in roots:
        for path in sorted(root.rglob(name)):
            return path
    raise CorpusError(f"flickr8k: no {name} in {', '.join(map(str, roots))}.")
