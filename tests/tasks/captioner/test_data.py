"""From a corpus to batches and from search back to captions."""

from dataclasses import replace

import numpy as np
import pytest

import datasets
from shared.media import read_image, resize
from shared.vocabulary import WordVocabulary
from tasks.captioner.config import SCENES
from tasks.captioner.data import (
    Split,
    build_vocabulary,
    example_files,
    load_split,
    prepare,
    read_captions,
    readable,
    training_batches,
)
from tests.tasks.captioner.conftest import CONFIG, encoded, odd_images, picture

CAPTIONS = [["a red star", "one star of red"], ["a cross"], ["a big blue circle", "here is one", "blue"]]


@pytest.fixture
def corpus(monkeypatch):
    """Makes `datasets` give the same records for every split: three images of different sizes."""
    files = [encoded(picture(12, 18), "PNG"), encoded(picture(16, 16, 1), "PNG"), encoded(picture(9, 31, 2), "PNG")]
    records = [{"image": file, "captions_en": captions} for file, captions in zip(files, CAPTIONS, strict=True)]
    monkeypatch.setattr(datasets, "load", lambda *_: records)
    monkeypatch.setattr(datasets, "fingerprint", lambda *_: "0")
    return records


@pytest.fixture
def prepared_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path))
    return tmp_path


def test_readable_joins_what_tokenization_split():
    assert readable("a man 's dog , asleep , does n't bark : why ?") == "a man's dog, asleep, doesn't bark: why?"
    assert readable("the 'set of n'ts") == "the 'set of n'ts"


def test_prepare_squeezes_to_whole_numbers():
    images = np.stack([picture(seed=seed) for seed in range(3)])
    prepared = np.asarray(prepare(images, 16))
    assert prepared.shape == (3, 16, 16, 3)
    assert prepared.dtype == np.float32
    np.testing.assert_array_equal(prepared, np.rint(np.asarray(resize(images, 16))))
    np.testing.assert_array_equal(np.asarray(prepare(picture(16, 16)[None], 16))[0], picture(16, 16))


def test_the_cache_holds_what_the_command_line_sees(corpus, prepared_folder):
    split = load_split(replace(SCENES, image_size=16), "dev", None)
    assert split.captions == CAPTIONS
    assert split.inputs.shape == (3, 1, 16, 16, 3)
    assert split.inputs.dtype == np.uint8
    for stored, record in zip(split.inputs, corpus, strict=True):
        np.testing.assert_array_equal(stored[0], np.asarray(prepare(read_image(record["image"])[None], 16))[0])


def test_odd_images_are_the_same_in_cache_and_on_the_command_line(monkeypatch, corpus, prepared_folder):
    files = list(odd_images().values())
    monkeypatch.setattr(datasets, "load", lambda *_: [{"image": file, "captions_en": [""]} for file in files])
    inputs = load_split(replace(SCENES, image_size=16), "test", None).inputs
    for stored, file in zip(inputs, files, strict=True):
        np.testing.assert_array_equal(stored[0], np.asarray(prepare(read_image(file)[None], 16))[0])


def test_grids_are_computed_once_and_for_mirrored_pictures_too(corpus, prepared_folder):
    config = replace(SCENES, image_size=16, mirror=True)
    seen = []

    def encode(images):
        seen.append(images)
        return images[:, ::8, ::8]

    inputs = load_split(config, "train", encode).inputs
    assert inputs.shape == (3, 2, 2, 2, 3)
    assert inputs.dtype == np.float16
    np.testing.assert_array_equal(seen[1], seen[0][:, :, ::-1])
    np.testing.assert_array_equal(inputs[:, 1], seen[0][:, ::8, ::-8].astype(np.float16))
    np.testing.assert_array_equal(load_split(config, "train", encode).inputs, inputs)
    assert len(seen) == 2
    assert load_split(config, "dev", encode).inputs.shape == (3, 1, 2, 2, 3)  # only training is mirrored


def test_an_interrupted_cache_leaves_nothing(corpus, prepared_folder):
    def encode(images):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_split(replace(SCENES, image_size=16), "train", encode)
    assert not [path for path in prepared_folder.rglob("*") if path.is_file()]


def test_a_batch_holds_captions_each_with_the_grid_of_its_image(corpus):
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
        if captions == CAPTIONS[0]:  # the second is cut, and has no end that could be learned
            assert read == {"<s> a red star", "<s> one star of"}
            assert written == {"a red star </s>", "one star of <pad>"}
        elif captions == CAPTIONS[1]:
            assert read == {"<s> a cross </s>"}
            assert written == {"a cross </s> <pad>"}


def test_the_order_of_batches_follows_from_the_seed():
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


def test_captions_are_read_from_search():
    vocabulary = WordVocabulary(["<pad>", "<s>", "</s>", "<unk>", "a", "dog", "'s"])
    beam, target, rows, columns = 3, 4, 2, 5
    extras = np.arange(beam * target * (rows * columns + 1), dtype=np.float32).reshape(1, beam, target, -1)
    found = {
        "token_ids": np.array([[[4, 5, 6, 2], [2, 0, 0, 0], [0, 0, 0, 0]]]),
        "lengths": np.array([[4, 1, 0]]),
        "log_probs": np.array([[-1.5, -2.5, -np.inf]]),
        "extras": extras,
    }
    ((best, empty),) = read_captions(found, vocabulary, (rows, columns))  # what is not there is left out
    assert (best.text, best.tokens, best.log_prob) == ("a dog's", ["a", "dog", "'s"], -1.5)
    assert best.attention.shape == (3, rows, columns)
    np.testing.assert_array_equal(best.attention[1].ravel(), extras[0, 0, 1, :-1])
    np.testing.assert_array_equal(best.sentinel, extras[0, 0, :3, -1])
    assert (empty.text, empty.tokens, empty.attention.shape) == ("", [], (0, rows, columns))


def test_a_cut_caption_keeps_its_last_word():
    vocabulary = WordVocabulary(["<pad>", "<s>", "</s>", "<unk>", "a", "dog"])
    found = {
        "token_ids": np.array([[[4, 5, 5]]]),
        "lengths": np.array([[3]]),
        "log_probs": np.array([[-1.0]]),
        "extras": np.zeros((1, 1, 3, 7)),
    }
    assert read_captions(found, vocabulary, (2, 3))[0][0].tokens == ["a", "dog", "dog"]


def test_example_files_of_a_corpus_that_is_not_here_are_scenes(trained):
    assert len(example_files(CONFIG, 2)) == 2
    scenes = example_files(CONFIG, 3)
    assert example_files(replace(CONFIG, corpus="flickr8k"), 3) == scenes
    assert all(read_image(file).shape == (96, 96, 3) for file in scenes)
