"""TFDS's own test case of a builder, on tiny versions of the corpora."""

from functools import partial
from unittest import mock

import tensorflow_datasets as tfds

from datasets.aligned_files import assign_splits
from datasets.english_speech import english_speech_dataset_builder
from datasets.flickr8k import flickr8k_dataset_builder
from datasets.multi30k import multi30k_dataset_builder
from datasets.penn_treebank import penn_treebank_dataset_builder
from datasets.python_manual import python_manual_dataset_builder
from datasets.scenes import scenes_dataset_builder
from datasets.speechocean762 import speechocean762_dataset_builder
from datasets.sst2 import sst2_dataset_builder
from datasets.tatoeba import tatoeba_dataset_builder
from datasets.timit import timit_dataset_builder
from datasets.wikitext2 import wikitext2_dataset_builder


class ScenesTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = scenes_dataset_builder.Builder
    SPLITS = {"train": 5, "dev": 2, "test": 4}  # noqa: RUF012 - TFDS reads a plain class attribute

    def setUp(self):
        patch = mock.patch.dict(scenes_dataset_builder.SPLITS, self.SPLITS)
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()


class Flickr8kTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = flickr8k_dataset_builder.Builder
    SPLITS = {"train": 3, "dev": 1, "test": 2}  # noqa: RUF012
    SKIP_CHECKSUMS = True  # no checksums are registered; see README.md of the corpus

    def setUp(self):
        expected = {split: (count,) for split, count in self.SPLITS.items()}
        patch = mock.patch.dict(flickr8k_dataset_builder.EXPECTED, expected)
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()


class PennTreebankTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = penn_treebank_dataset_builder.Builder
    SPLITS = {"train": 3, "dev": 1, "test": 2}  # noqa: RUF012
    SKIP_CHECKSUMS = True

    def setUp(self):
        counts = {"train": (3, 13), "dev": (1, 5), "test": (2, 9)}
        patch = mock.patch.object(penn_treebank_dataset_builder.Builder, "EXPECTED", counts)
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()


class WikiText2Test(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = wikitext2_dataset_builder.Builder
    SPLITS = {"train": 4, "dev": 2, "test": 3}  # noqa: RUF012
    OVERLAPPING_SPLITS = ["dev", "test"]  # noqa: RUF012 - blank lines
    SKIP_CHECKSUMS = True

    def setUp(self):
        counts = {"train": (4, 13), "dev": (2, 5), "test": (3, 6)}
        patch = mock.patch.object(wikitext2_dataset_builder.Builder, "EXPECTED", counts)
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()


class PythonManualTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = python_manual_dataset_builder.Builder
    SPLITS = {"train": 7, "dev": 1, "test": 1}  # noqa: RUF012

    def setUp(self):
        texts = [f"Paragraph {index} of the manual." for index in range(9)]
        patch = mock.patch.object(python_manual_dataset_builder, "paragraphs", return_value=texts)
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()


class Multi30kTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = multi30k_dataset_builder.Builder
    SPLITS = {"train": 3, "dev": 1, "test": 2}  # noqa: RUF012
    SKIP_CHECKSUMS = True

    def setUp(self):
        patch = mock.patch.dict(multi30k_dataset_builder.EXPECTED, self.SPLITS)
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()


class TatoebaTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = tatoeba_dataset_builder.Builder
    SPLITS = {"train": 7, "dev": 2, "test": 1}  # noqa: RUF012
    SKIP_CHECKSUMS = True

    def setUp(self):
        patch = mock.patch.object(tatoeba_dataset_builder, "assign_splits", partial(assign_splits, buckets=5))
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()


class Sst2Test(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = sst2_dataset_builder.Builder
    SPLITS = {"train": 3, "dev": 1, "test": 2}  # noqa: RUF012
    SKIP_CHECKSUMS = True  # nothing is downloaded

    def setUp(self):
        patch = mock.patch.object(sst2_dataset_builder.Builder, "EXPECTED", self.SPLITS)
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()


class Speechocean762Test(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = speechocean762_dataset_builder.Builder
    SPLITS = {"train": 3, "dev": 1, "test": 2}  # noqa: RUF012
    SKIP_CHECKSUMS = True

    def setUp(self):
        counts = {"train": (4,), "test": (2,)}
        for name, value in (("EXPECTED", counts), ("DEV_PERIOD", 3)):
            patch = mock.patch.object(speechocean762_dataset_builder, name, value)
            patch.start()
            self.addCleanup(patch.stop)
        super().setUp()


class TimitTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = timit_dataset_builder.Builder
    SPLITS = {"train": 2, "dev": 1, "test": 1}  # noqa: RUF012
    SKIP_CHECKSUMS = True  # nothing is downloaded

    def setUp(self):
        patch = mock.patch.dict(timit_dataset_builder.EXPECTED, self.SPLITS)
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()


class EnglishSpeechTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = english_speech_dataset_builder.Builder
    SPLITS = {"train": 3, "dev": 1, "test": 2}  # noqa: RUF012
    SKIP_CHECKSUMS = True  # nothing is downloaded

    def setUp(self):
        dictionary = {word: [("t", "ah")] for word in ("the", "cat", "a", "t")}
        patch = mock.patch.object(english_speech_dataset_builder, "load_stressed", return_value=dictionary)
        patch.start()
        self.addCleanup(patch.stop)
        super().setUp()
