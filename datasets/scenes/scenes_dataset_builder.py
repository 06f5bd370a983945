"""TFDS builder of the rendered scenes; nothing is downloaded, each record is a function of (seed, split, index)."""

import json
from collections.abc import Iterator
from functools import partial

import numpy as np
import tensorflow_datasets as tfds

from datasets.processes import mapped
from datasets.scenes.language import write_captions
from datasets.scenes.render import render, to_png
from datasets.scenes.world import IMAGE_SIZE, sample_scene

SEED = 1
SPLITS = {"train": 8000, "dev": 500, "test": 1000}
NUM_CAPTIONS = 5
# Test scenes of odd index have a colour-shape pair that is neither in train nor in dev.
NOVEL_SPLIT = "test"


def make_record(split: str, index: int, is_drawn: bool = True) -> dict:
    """Return a record as the builder stores it, with or without `image`; README.md describes `annotations`."""
    rng = np.random.default_rng([SEED, list(SPLITS).index(split), index])
    scene = sample_scene(rng, novel=split == NOVEL_SPLIT and index % 2 == 1)
    captions = write_captions(rng, scene, NUM_CAPTIONS)
    annotations = {
        "shapes": [obj.shape for obj in scene.objects],
        "colours": [obj.colour for obj in scene.objects],
        "sizes": [obj.size for obj in scene.objects],
        "boxes": [[round(edge / IMAGE_SIZE, 4) for edge in obj.box] for obj in scene.objects],
        "captions_en": [caption.english for caption in captions],
        "captions_de": [caption.german for caption in captions],
        "token_objects": [caption.token_objects for caption in captions],
        "alignments": [caption.alignment for caption in captions],
    }
    image = {"image": to_png(render(scene, rng))} if is_drawn else {}
    return image | {
        "name": f"{split}-{index:05d}",
        "novel": scene.novel,
        "annotations": json.dumps(annotations, ensure_ascii=False),
    }


class Builder(tfds.core.GeneratorBasedBuilder):
    """Rendered scenes with captions in English and German; the configuration `captions` has no images."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 - TFDS reads a plain class attribute

    @property
    def is_drawn(self) -> bool:
        """Whether records have images."""
        return self.builder_config is None

    def _info(self) -> tfds.core.DatasetInfo:
        image = tfds.features.Image(shape=(IMAGE_SIZE, IMAGE_SIZE, 3), encoding_format="png")
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(
                ({"image": image} if self.is_drawn else {})
                | {
                    "name": tfds.features.Text(),
                    "novel": tfds.features.Scalar(dtype=np.bool_),
                    # JSON, because nested lists of different lengths are awkward as TFDS features and slow to read.
                    "annotations": tfds.features.Text(),
                }
            ),
            disable_shuffling=True,  # record i is index i
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split: str) -> Iterator[tuple[int, dict]]:
        yield from enumerate(mapped(partial(make_record, split, is_drawn=self.is_drawn), range(SPLITS[split])))
