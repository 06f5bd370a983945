"""From a corpus to batches."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

import datasets
from shared.media import prepare, read_image
from shared.vocabulary import WordVocabulary
from tasks.captioner import data
from tasks.captioner.config import PRESETS, SCENES, Config
from tasks.captioner.data import Split, build_vocabulary, fingerprint, load_split, training_batches
from tests.tasks.captioner.conftest import encoded, odd_images, picture

CAPTIONS = [["a red star", "one star of red"], ["a cross"], ["a big blue circle", "here is one", "blue"]]


@pytest.fixture
def corpus(monkeypatch):
    """Replace every split by the same records: three images of different sizes."""
    files = [encoded(picture(12, 18), "PNG"), encoded(picture(16, 16, 1), "PNG"), encoded(picture(9, 31, 2), "PNG")]
    records = [{"image": f, "captions_en": c, "captions": c} for f, c in zip(files, CAPTIONS, strict=True)]
    monkeypatch.setattr(datasets, "load", lambda *_: records)
    monkeypatch.setattr(datasets, "fingerprint", lambda *_: "0")
    return records


@pytest.fixture
def prepared_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path))
    return tmp_path


def test_the_fingerprint_is_that_of_the_corpus(corpus):
    assert fingerprint(SCENES) == {"scenes": "0"}


def test_the_cache_has_the_pixels_of_the_command_line(corpus, prepared_folder):
    split = load_split(replace(SCENES, image_size=16), "dev")
    assert split.captions == CAPTIONS
    assert split.inputs.shape == (3, 1, 16, 16, 3)
    assert split.inputs.dtype == np.uint8
    for stored, record in zip(split.inputs, corpus, strict=True):
        np.testing.assert_array_equal(stored[0], np.asarray(prepare(read_image(record["image"])[None], 16))[0])


def test_images_of_all_kinds_are_the_same_in_cache_and_on_the_command_line(monkeypatch, corpus, prepared_folder):
    files = list(odd_images().values())
    monkeypatch.setattr(datasets, "load", lambda *_: [{"image": file, "captions_en": [""]} for file in files])
    inputs = load_split(replace(SCENES, image_size=16), "test").inputs
    for stored, file in zip(inputs, files, strict=True):
        np.testing.assert_array_equal(stored[0], np.asarray(prepare(read_image(file)[None], 16))[0])


def use_features(monkeypatch, encode) -> Config:
    """A configuration whose encoder has the fixed part `encode`."""
    monkeypatch.setattr(data, "build_fixed_part", lambda _: SimpleNamespace(predict_on_batch=encode))
    return replace(PRESETS["flickr8k"], image_size=32)


def test_the_cache_is_named_after_the_corpus_of_the_split(monkeypatch, corpus, prepared_folder):
    monkeypatch.setattr(data.photo_folder, "fingerprint", lambda *_: "1")
    config = use_features(monkeypatch, lambda images: images)
    config = replace(config, corpus=str(prepared_folder / "photos"), dev_corpus="scenes", test_corpus="flickr8k")
    for split in ("dev", "test"):
        load_split(config, split)
    names = {f"{name}-0-features-{config.encoder}-32" for name in ("scenes", "flickr8k")}
    assert {path.name for path in (prepared_folder / "captioner").iterdir()} == names
    assert [path.name for path in prepared_folder.iterdir()] == ["captioner"]


def test_features_are_computed_once_and_for_mirrored_images_too(monkeypatch, corpus, prepared_folder):
    batches = []

    def encode(images):
        batches.append(images)
        return images[:, ::16, ::16]

    config = use_features(monkeypatch, encode)
    inputs = load_split(config, "train").inputs
    assert inputs.shape == (3, 2, 2, 2, 3)
    assert inputs.dtype == np.float16
    np.testing.assert_array_equal(batches[1], batches[0][:, :, ::-1])
    np.testing.assert_array_equal(inputs[:, 1], batches[0][:, ::16, ::-16].astype(np.float16))
    np.testing.assert_array_equal(load_split(config, "train").inputs, inputs)
    assert len(batches) == 2
    assert load_split(config, "dev").inputs.shape == (3, 1, 2, 2, 3)  # only training images are mirrored


def test_an_interrupted_cache_leaves_nothing(monkeypatch, corpus, prepared_folder):
    def encode(images):
        raise KeyboardInterrupt

    config = use_features(monkeypatch, encode)
    with pytest.raises(KeyboardInterrupt):
        load_split(config, "train")
    assert not [path for path in prepared_folder.rglob("*") if path.is_file()]


def test_a_batch_has_captions_each_with_the_grid_of_its_image(corpus):
    inputs = np.arange(3 * 2 * 2 * 5, dtype=np.float16).reshape(3, 1, 2, 2, 5)
    split = Split(records=corpus, captions=CAPTIONS, inputs=inputs)
    config = replace(SCENES, batch_size=20, max_length=3)
    vocabulary = build_vocabulary(config, split)
    batches = training_batches(config, split, vocabulary)
    assert len(batches) == 1
    batch, targets = batches[0]
    total = sum(map(len, CAPTIONS))
    assert batch["token_ids"].shape == targets.shape == (total, 1, 4)  # (batch, captions, target)
    assert batch["grid"].shape == (total, 2, 2, 5)
    for image, captions in zip(inputs[:, 0], CAPTIONS, strict=True):
        own = [i for i, grid in enumerate(batch["grid"]) if (grid == image).all()]
        assert len(own) == len(captions)
        read = {" ".join(vocabulary.tokens(batch["token_ids"][i, 0])) for i in own}
        written = {" ".join(vocabulary.tokens(targets[i, 0])) for i in own}
        if captions == CAPTIONS[0]:  # the second is cut and has no end token
            assert read == {"<s> a red star", "<s> one star of"}
            assert written == {"a red star </s>", "one star of <pad>"}
        elif captions == CAPTIONS[1]:
            assert read == {"<s> a cross </s>"}
            assert written == {"a cross </s> <pad>"}


def test_the_order_of_batches_depends_on_seed_and_epoch():
    rng = np.random.default_rng(0)
    inputs = rng.integers(0, 255, (9, 2, 2, 2, 3), dtype=np.uint8)
    split = Split(records=[{}] * 9, captions=[["a " * (i % 4 + 1)] for i in range(9)], inputs=inputs)
    vocabulary = WordVocabulary.build(["a"])

    def order(seed, epoch):
        batches = training_batches(replace(SCENES, batch_size=2, seed=seed), split, vocabulary)
        batches.epoch = epoch
        return [batches[i][0]["grid"].tobytes() for i in range(len(batches))]

    assert order(1, 3) == order(1, 3)
    assert order(1, 3) != order(1, 4)
    assert order(1, 3) != order(2, 3)
