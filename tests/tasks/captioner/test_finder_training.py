"""The losses of the finder against hand-computed ones, its batches, and where it is written."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from keras import ops

import shared.runs
from shared.errors import UserError
from shared.runs import Run, RunError
from tasks.captioner import finder_training
from tasks.captioner.config import FINDER, has_finder
from tasks.captioner.data import load_split, with_grids
from tasks.captioner.encoder import load_encoder
from tasks.captioner.finder import load_finder
from tasks.captioner.finder_training import contrast, pair_batches, scores_by_parts, train_finder, writable_run
from tasks.captioner.model import load_model


def test_a_word_counts_in_the_cell_that_it_fits_best():
    words = np.array([[[2.0, 0.0], [0.0, 1.0], [0.0, 0.0]]], np.float32)  # the last one is padding
    cells = np.array([[[5.0, 0.0], [0.6, 0.8]], [[0.0, 1.0], [-1.0, 0.0]]], np.float32)
    np.testing.assert_allclose(scores_by_parts(words, cells), [[2 + 0.8, 0 + 1]], atol=1e-6)


def test_contrast_is_the_cross_entropy_of_both_directions():
    logits = np.array([[2.0, 0.0], [1.0, 1.0]], np.float32)
    of_sentences = np.log1p(np.exp(-2)) + np.log(2)
    of_photos = np.log1p(np.exp(-1)) + np.log1p(np.exp(-1))
    loss = ops.convert_to_numpy(contrast(ops.convert_to_tensor(logits), ops.convert_to_tensor([0, 1])))
    assert loss == pytest.approx((of_sentences + of_photos) / 2, rel=1e-5)


def test_another_caption_of_the_photo_is_not_wrong():
    logits = ops.convert_to_tensor(np.array([[2.0, 9.0, 0.0], [9.0, 2.0, 0.0], [0.0, 0.0, 1.0]], np.float32))
    alone = contrast(logits, ops.convert_to_tensor([7, 8, 9]))
    same = ops.convert_to_numpy(contrast(logits, ops.convert_to_tensor([7, 7, 9])))
    row, last = np.log1p(np.exp(-2)), np.log1p(2 * np.exp(-1))
    assert float(alone) > 4
    assert same == pytest.approx(2 * (2 * row + last) / 3, rel=1e-5)


def test_a_batch_has_pairs(trained):
    config, vocabulary, _ = load_model(trained.run)
    split = with_grids(load_split(config, "dev"), load_encoder(trained.run, config))
    inputs, _ = pair_batches(split, vocabulary, seed=1)[0]
    captions = [(vocabulary.encode(text), i) for i, texts in enumerate(split.captions) for text in texts]
    assert len(inputs["owners"]) == len(captions)
    for owner, token_ids, grid in zip(inputs["owners"], inputs["token_ids"], inputs["grid"], strict=True):
        assert (token_ids[token_ids > 0].tolist(), owner) in captions
        np.testing.assert_array_equal(grid, split.inputs[owner, 0])


def test_a_trained_finder_is_part_of_its_run(found, trained):
    config, vocabulary, _ = load_model(found)
    assert load_finder(found, config, vocabulary).embedding.input_dim == len(vocabulary)
    assert not (trained.run.path / f"{FINDER}.safetensors").exists()
    with pytest.raises(RunError, match="has no finder of photos; train it with"):
        load_finder(trained.run, config, vocabulary)


def test_a_finder_of_another_vocabulary_is_refused(found, trained):
    config, vocabulary, _ = load_model(trained.run)
    larger = type(vocabulary)([*vocabulary.table, "zebra"], vocabulary.normalisation)
    with pytest.raises(RunError, match=r"finder\.safetensors: "):
        load_finder(found, config, larger)


@pytest.fixture
def untrained(monkeypatch):
    """In place of the training of finders and their measurement: metrics that are given, one for each."""
    metrics: list[dict[str, float]] = []
    monkeypatch.setattr(finder_training, "fit", lambda finder, batches, epochs: iter([1.0] * epochs))
    monkeypatch.setattr(finder_training, "measure_finder", lambda *_: metrics.pop(0))
    return metrics


def of_rank(value: float) -> dict[str, float]:
    return {"text_to_image R@1": value}


def test_a_released_run_gets_its_finder_in_a_copy(trained, untrained, tmp_path, monkeypatch):
    monkeypatch.setattr(shared.runs, "ROOT", tmp_path / "saved_models")
    path = tmp_path / "saved_models" / "captioner" / "signed"
    path.mkdir(parents=True)
    for file in trained.run.path.glob("*.*"):
        (path / file.name).write_bytes(file.read_bytes())
    config = json.loads((path / "config.json").read_text())
    (path / "config.json").write_text(json.dumps(config | {"weights_sha256": "0"}))
    with pytest.raises(RunError, match="is a released model and is never written to; --run NAME"):
        writable_run(Run(path), None)
    for name, problem in (("signed", "--run signed: exists, and is no copy of"), ("a/b", "run name 'a/b' is invalid")):
        with pytest.raises(RunError, match=problem):
            writable_run(Run(path), name)
    copy = writable_run(Run(path), "copy")
    assert copy.path == path.parent / "copy"
    with pytest.raises(RunError, match="SHA-256 differs"):
        train_finder(Run(path), copy, seed=1, epochs=1)
    assert not copy.path.exists()
    signature = hashlib.sha256((path / "weights.safetensors").read_bytes()).hexdigest()
    (path / "config.json").write_text(json.dumps(config | {"weights_sha256": signature}))
    untrained += [of_rank(0.1)]
    train_finder(Run(path), copy, seed=1, epochs=1)
    assert has_finder(copy)
    assert not copy.is_released
    assert load_model(copy).config == trained.config


def test_a_training_that_fails_leaves_no_copy_and_the_same_command_goes_on_with_its_own(trained, untrained):
    copy = writable_run(trained.run, "again")
    with pytest.raises(UserError, match="none is not a folder"):
        train_finder(trained.run, copy, seed=1, epochs=1, data_dir=Path("none"))
    assert not copy.path.exists()

    untrained += [of_rank(0.2)]  # of the first epoch; the training is killed in the second
    with pytest.raises(IndexError):
        train_finder(trained.run, copy, seed=1, epochs=2)
    assert has_finder(copy)
    untrained += [of_rank(0.2), of_rank(0.2), of_rank(0.3)]  # of the finder there is, and of the epochs
    assert train_finder(trained.run, writable_run(trained.run, "again"), seed=1, epochs=2) == of_rank(0.3)
    (copy.path / "vocabulary.json").write_text("{}")
    with pytest.raises(RunError, match="--run again: exists, and is no copy of"):
        writable_run(trained.run, "again")
    shutil.rmtree(copy.path)


def test_the_better_finder_stays_unless_it_is_to_be_replaced(found, trained, untrained, tmp_path, capsys):
    run = Run(shutil.copytree(found.path, tmp_path / "found"))
    file = run.path / f"{FINDER}.safetensors"
    before = file.read_bytes()
    untrained += [of_rank(0.4), of_rank(0.3), of_rank(0.4)]
    assert train_finder(run, run, seed=1, epochs=2) == of_rank(0.4)
    assert file.read_bytes() == before
    assert "no epoch is better than the run's finder, which stays; --replace" in capsys.readouterr().out
    untrained += [of_rank(0.3), of_rank(0.2)]
    assert train_finder(run, run, seed=1, epochs=2, replace=True) == of_rank(0.3)
    assert file.read_bytes() != before
