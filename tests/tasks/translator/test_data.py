"""From pairs to batches, by hand."""

from dataclasses import replace

import numpy as np
import pytest

import datasets
from datasets import CorpusError
from shared.errors import UserError
from tasks.translator.config import PRESETS, SCENES
from tasks.translator.data import Split, build_vocabularies, fingerprint, load_split, source_batch, training_batches

PAIRS = Split(["a dog", "a red dog runs", "a cat"], ["ein Hund", "ein roter Hund läuft", "eine Katze"])


def test_the_scenes_in_either_direction(monkeypatch):
    records = [{"captions_en": ["a dog .", "one dog ."], "captions_de": ["ein Hund .", "ein Hund ist da ."]}]
    monkeypatch.setattr(datasets, "load", lambda *_: records)
    split = load_split(SCENES, "train")
    assert split == Split(["a dog .", "one dog ."], ["ein Hund .", "ein Hund ist da ."])
    backwards = load_split(replace(SCENES, source="de", target="en"), "train")
    assert (backwards.sources, backwards.targets) == (split.targets, split.sources)
    with pytest.raises(CorpusError, match="scenes has no fr; there are en, de"):
        load_split(replace(SCENES, target="fr"), "train")


def test_pairs_of_which_a_side_is_empty_are_left_out(monkeypatch):
    records = [{"en": "a", "de": "ein", "fr": ""}, {"en": "", "de": "x", "fr": "y"}, {"en": "b", "de": " ", "fr": "c"}]
    monkeypatch.setattr(datasets, "load", lambda *_: records)
    assert load_split(replace(SCENES, corpus="multi30k"), "dev") == Split(["a"], ["ein"])
    with pytest.raises(CorpusError, match="multi30k has no es; there are en, de, fr"):
        load_split(replace(SCENES, corpus="multi30k", target="es"), "dev")
    with pytest.raises(
        CorpusError, match="penn_treebank is no corpus of pairs; there are scenes, multi30k, tatoeba and"
    ):
        load_split(replace(SCENES, corpus="penn_treebank"), "dev")


def test_two_files(tmp_path):
    (tmp_path / "a.en").write_text("".join(f"line {number}\n" for number in range(400)))
    (tmp_path / "a.de").write_text("".join(f"Zeile {number}\n" for number in range(400)))
    files = {"source_file": str(tmp_path / "a.en"), "target_file": str(tmp_path / "a.de")}
    config = replace(SCENES, corpus="files", **files)
    split = load_split(config, "train")
    assert 350 < len(split.sources) < 400
    assert [text.split()[1] for text in split.sources] == [text.split()[1] for text in split.targets]
    assert fingerprint(config) != fingerprint(replace(config, target_file=files["source_file"]))
    for wrong in ({"corpus": "scenes"}, {"source_file": ""}):
        with pytest.raises(UserError, match="--source-file and --target-file go together"):
            replace(config, **wrong)


def test_a_batch_by_hand():
    config = replace(SCENES, batch_size=2, word_dropout=0.0)
    source, target = build_vocabularies(config, PAIRS)
    batches = training_batches(config, PAIRS, source, target)
    assert len(batches) == 2
    batch = next(batch for batch in (batches[0], batches[1]) if len(batch[1]) == 2)  # the two short ones
    inputs, targets = batch
    read = {tuple(source.tokens(row)) for row in inputs["source_ids"]}
    assert read == {("a", "dog", "</s>"), ("a", "cat", "</s>")}
    for before, after in zip(inputs["target_ids"], targets, strict=True):
        assert target.tokens(before)[0] == "<s>"
        assert target.tokens(after)[-1] == "</s>"
        np.testing.assert_array_equal(before[1:], after[:-1])
    assert inputs["alignment"].shape == (2, 3, 3)
    np.testing.assert_allclose(inputs["alignment"].sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(inputs["alignment"].argmax(axis=-1), [[0, 1, 2]] * 2)


def test_long_pairs_are_left_out_and_counted(capsys):
    source, target = build_vocabularies(SCENES, PAIRS)
    batches = training_batches(replace(SCENES, max_length=3), PAIRS, source, target)
    assert sum(len(batches[number][1]) for number in range(len(batches))) == 2
    assert capsys.readouterr().err == "1 pairs of more than 3 tokens are left out\n"
    with pytest.raises(CorpusError, match="all pairs have more than 1 tokens"):
        training_batches(replace(SCENES, max_length=1), PAIRS, source, target)


def test_some_words_are_read_as_unknown():
    source, target = build_vocabularies(SCENES, PAIRS)
    plain = training_batches(replace(SCENES, word_dropout=0.0), PAIRS, source, target)[0]
    dropped = training_batches(replace(SCENES, word_dropout=0.5), PAIRS, source, target)[0]
    np.testing.assert_array_equal(dropped[1], plain[1])  # what is to be written stays
    changed = dropped[0]["source_ids"] != plain[0]["source_ids"]
    assert changed.any()
    assert np.all(dropped[0]["source_ids"][changed] == source.unknown_id)
    assert np.all(plain[0]["source_ids"][changed] > source.unknown_id)


def test_one_vocabulary_for_both():
    source, target = build_vocabularies(replace(SCENES, joint=True), PAIRS)
    assert source is target
    assert {"dog", "Hund"} <= set(source.table)
    subwords, _ = build_vocabularies(replace(SCENES, vocabulary="subwords", vocabulary_size=300), PAIRS)
    assert subwords.decode(subwords.encode("Žižek 犬")) == "Žižek 犬"


def test_sources_end_and_are_padded():
    np.testing.assert_array_equal(source_batch([[5], [6, 7]]), [[5, 2, 0], [6, 7, 2]])


def test_presets_hold_what_they_say():
    assert [PRESETS[name].target for name in ("multi30k-en-de", "multi30k-de-en", "multi30k-en-fr")] == [
        "de",
        "en",
        "fr",
    ]
    with pytest.raises(UserError, match="source and target are both de"):
        replace(SCENES, source="de")


def test_a_pair_is_learned_from_once_and_measured_as_often_as_it_is_there(monkeypatch):
    records = [{"en": "b", "de": "y"}, {"en": "a", "de": "x"}, {"en": "b", "de": "y"}, {"en": "b", "de": "z"}]
    monkeypatch.setattr(datasets, "load", lambda *_: records)
    config = replace(SCENES, corpus="multi30k")
    assert load_split(config, "train") == Split(["b", "a", "b"], ["y", "x", "z"])
    assert load_split(config, "dev") == Split(["b", "a", "b", "b"], ["y", "x", "y", "z"])
