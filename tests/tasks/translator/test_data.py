"""Sentence pairs to batches."""

from dataclasses import replace

import numpy as np
import pytest

import datasets
from datasets import CorpusError
from tasks.translator.config import EVERYDAY, MULTI30K, SCENES
from tasks.translator.data import (
    Split,
    augmented,
    build_vocabulary,
    fingerprint,
    fitted,
    load_alignments,
    load_files,
    load_split,
    training_batches,
    unknown_words,
)

PAIRS = Split(["a dog", "a red dog runs", "a cat"], ["ein Hund", "ein roter Hund läuft", "eine Katze"])


def test_scenes_in_both_directions(monkeypatch):
    records = [
        {
            "captions_en": ["a dog .", "one dog ."],
            "captions_de": ["ein Hund .", "ein Hund ist da ."],
            "alignments": [[(0, 0), (1, 1), (2, 2)], [(0, 0), (1, 1), (2, 4)]],
        }
    ]
    monkeypatch.setattr(datasets, "load", lambda *_: records)
    split = load_split(SCENES, "train")
    assert split == Split(["a dog .", "one dog ."], ["ein Hund .", "ein Hund ist da ."])
    reverse = replace(SCENES, source="de", target="en")
    assert load_split(reverse, "train") == Split(split.targets, split.sources)
    assert load_alignments(SCENES, "dev") == [{(0, 0), (1, 1), (2, 2)}, {(0, 0), (1, 1), (2, 4)}]
    assert load_alignments(reverse, "dev")[1] == {(0, 0), (1, 1), (4, 2)}
    with pytest.raises(CorpusError, match="scenes has no language fr; expected en, de"):
        load_split(replace(SCENES, target="fr"), "train")


def test_pairs_with_an_empty_side_are_left_out(monkeypatch):
    records = [{"en": "a", "de": "ein", "fr": ""}, {"en": "", "de": "x", "fr": "y"}, {"en": "b", "de": " ", "fr": "c"}]
    monkeypatch.setattr(datasets, "load", lambda *_: records)
    assert load_split(replace(SCENES, corpus="multi30k"), "dev") == Split(["a"], ["ein"])
    with pytest.raises(CorpusError, match="multi30k has no language es; expected en, de, fr"):
        load_split(replace(SCENES, corpus="multi30k", target="es"), "dev")
    message = "penn_treebank is not a corpus of pairs; expected scenes, multi30k, tatoeba, everyday or files"
    with pytest.raises(CorpusError, match=message):
        load_split(replace(SCENES, corpus="penn_treebank"), "dev")


def test_repeated_pairs_are_removed_from_the_training_split_only(monkeypatch):
    records = [{"en": "b", "de": "y"}, {"en": "a", "de": "x"}, {"en": "b", "de": "y"}, {"en": "b", "de": "z"}]
    monkeypatch.setattr(datasets, "load", lambda *_: records)
    config = replace(SCENES, corpus="multi30k")
    assert load_split(config, "train") == Split(["b", "a", "b"], ["y", "x", "z"])
    assert load_split(config, "dev") == Split(["b", "a", "b", "b"], ["y", "x", "y", "z"])


def test_two_files(tmp_path):
    (tmp_path / "a.en").write_text("".join(f"line {number}\n" for number in range(400)))
    (tmp_path / "a.de").write_text("".join(f"Zeile {number}\n" for number in range(400)))
    files = {"source_file": str(tmp_path / "a.en"), "target_file": str(tmp_path / "a.de")}
    config = replace(SCENES, corpus="files", **files)
    split = load_split(config, "train")
    assert 350 < len(split.sources) < 400
    assert [text.split()[1] for text in split.sources] == [text.split()[1] for text in split.targets]
    assert fingerprint(config).keys() == {"files"}
    assert fingerprint(config) != fingerprint(replace(config, target_file=files["source_file"]))


def test_few_pairs_of_ones_own_have_smaller_batches_and_vocabularies(capsys):
    config = replace(MULTI30K, corpus="files", pairs_file="a.tmx")
    few = Split(["a b c d"] * 2400, ["x y"] * 2400)
    adapted = fitted(config, few)
    assert (adapted.batch_size, adapted.vocabulary_size) == (20, 500)  # 2400 / 120; 14,400 words / 32 are fewer
    assert adapted == replace(config, batch_size=20, learning_rate=3e-3, vocabulary_size=500)
    options = "--batch-size 20 --learning-rate 0.003 --vocabulary-size 500"
    assert f"2,400 pairs are few, so the training is one with {options}" in capsys.readouterr().err
    own = replace(config, batch_size=32, vocabulary_size=700)
    assert fitted(own, few) == own
    fine_tuned = replace(config, initial_run="x")
    assert fitted(fine_tuned, few) == fine_tuned
    assert fitted(MULTI30K, few) == MULTI30K
    assert capsys.readouterr().err == ""
    fitted(own, Split(["a"] * 60, ["x"] * 60))
    assert "60 pairs are too few to learn to translate from" in capsys.readouterr().err


def test_unknown_words_by_hand():
    vocabulary = build_vocabulary(SCENES, PAIRS)
    assert unknown_words(SCENES, Split(["a wolf runs ."], ["ein Hund"]), vocabulary) == {"en": 0.5, "de": 0}
    assert unknown_words(MULTI30K, PAIRS, vocabulary) == {}


def test_sentences_are_normalised_for_training(tmp_path):
    (tmp_path / "a.tsv").write_text("".join(f"Tom &amp;  Jerry {n}\tMu\u0308ller {n}\n" for n in range(300)))
    config = replace(MULTI30K, corpus="files", pairs_file=str(tmp_path / "a.tsv"))
    split = load_split(config, "train")
    assert (split.sources[0], split.targets[0]) == ("Tom & Jerry 0", "M\u00fcller 0")
    assert load_files((tmp_path / "a.tsv",), config).sources[299] == "Tom & Jerry 299"


def test_batch_by_hand():
    config = replace(SCENES, batch_size=2, word_dropout=0.0)
    source, target = vocabulary = build_vocabulary(config, PAIRS)
    batches = training_batches(config, PAIRS, vocabulary)
    assert len(batches) == 2
    inputs, targets = next(batch for batch in (batches[0], batches[1]) if len(batch[1]) == 2)  # the two short pairs
    assert {tuple(source.tokens(row)) for row in inputs["source_ids"]} == {("a", "dog", "</s>"), ("a", "cat", "</s>")}
    for before, after in zip(inputs["target_ids"], targets, strict=True):
        assert target.tokens(before)[0] == "<s>"
        assert target.tokens(after)[-1] == "</s>"
        np.testing.assert_array_equal(before[1:], after[:-1])
    assert inputs["alignment"].shape == (2, 3, 3)
    np.testing.assert_allclose(inputs["alignment"].sum(axis=-1), 1, rtol=1e-5)
    np.testing.assert_array_equal(inputs["alignment"].argmax(axis=-1), [[0, 1, 2]] * 2)


def test_long_pairs_are_left_out_and_counted(capsys):
    vocabulary = build_vocabulary(SCENES, PAIRS)
    batches = training_batches(replace(SCENES, max_length=3), PAIRS, vocabulary)
    assert sum(len(batches[index][1]) for index in range(len(batches))) == 2
    assert capsys.readouterr().err == "1 pairs of more than 3 tokens are left out\n"
    with pytest.raises(CorpusError, match="all pairs have more than 1 tokens"):
        training_batches(replace(SCENES, max_length=1), PAIRS, vocabulary)


def test_word_dropout_replaces_input_words_by_unknown():
    vocabulary = build_vocabulary(SCENES, PAIRS)
    plain = training_batches(replace(SCENES, word_dropout=0.0), PAIRS, vocabulary)[0]
    dropped = training_batches(replace(SCENES, word_dropout=0.5), PAIRS, vocabulary)[0]
    np.testing.assert_array_equal(dropped[1], plain[1])
    changed = dropped[0]["source_ids"] != plain[0]["source_ids"]
    assert changed.any()
    assert np.all(dropped[0]["source_ids"][changed] == vocabulary.source.unknown_id)
    assert np.all(plain[0]["source_ids"][changed] > vocabulary.source.unknown_id)


def test_joint_vocabulary():
    source, target = build_vocabulary(replace(SCENES, joint_vocabulary=True), PAIRS)
    assert source is target
    assert {"dog", "Hund"} <= set(source.table)
    subwords, _ = build_vocabulary(replace(SCENES, vocabulary="subwords", vocabulary_size=300), PAIRS)
    assert subwords.decode(subwords.encode("Žižek 犬")) == "Žižek 犬"


def test_the_pairs_of_tatoeba_for_two_languages(monkeypatch):
    loaded = []
    monkeypatch.setattr(
        datasets, "load", lambda name, *_: loaded.append(name) or [{"eng": "a", "fra": "un", "deu": "e"}]
    )
    for source, target, expected in (("de", "en", ("e", "a")), ("en", "fr", ("a", "un")), ("fra", "eng", ("un", "a"))):
        config = replace(EVERYDAY, source=source, target=target, synthetic_pairs=0.0)
        assert load_split(config, "dev") == Split([expected[0]], [expected[1]])
    assert loaded == ["tatoeba/deu", "tatoeba/fra", "tatoeba/fra"]
    load_split(replace(EVERYDAY, corpus="tatoeba", source="eng", target="fra"), "dev")
    load_split(replace(EVERYDAY, corpus="tatoeba/fra", source="eng", target="fra"), "dev")
    assert loaded[3:] == ["tatoeba/fra", "tatoeba/fra"]
    with pytest.raises(CorpusError, match="everyday has no pairs from de to fr; English and another language were"):
        load_split(replace(EVERYDAY, target="fr"), "dev")


def test_training_pairs_are_augmented():
    config = replace(EVERYDAY, synthetic_pairs=0.5, joined_pairs=0.2, noisy_pairs=0.1)
    train = Split([f"Das ist Tom {i}." for i in range(40)], [f"This is Tom {i}." for i in range(40)])
    split = augmented(config, train)
    assert (len(split.sources), len(split.targets)) == (40 + 20 + 8 + 4,) * 2
    assert (split.sources[:40], split.targets[:40]) == (train.sources, train.targets)
    assert augmented(config, train) == split != augmented(replace(config, seed=2), train)
    assert all(text == " ".join(text.split()) for text in (*split.sources, *split.targets))
    assert augmented(MULTI30K, train) == train


def test_digits_are_subwords_of_their_own():
    texts = [f"In {year} waren es {year * 7}." for year in range(1900, 2000)] * 3
    config = replace(EVERYDAY, vocabulary_size=400)
    vocabulary = build_vocabulary(config, Split(texts, texts)).source
    assert not [piece for piece in vocabulary.table[260:] if any(map(str.isdigit, piece)) and len(piece.strip()) > 1]
    assert vocabulary.pieces("In 1987") == [" In", " 1", "9", "8", "7"]
    plain = build_vocabulary(replace(config, single_digits=False), Split(texts, texts)).source
    assert " 19" in plain.table


def test_each_epoch_has_other_subwords_of_the_same_text():
    config = replace(EVERYDAY, vocabulary_size=300, batch_size=3, subword_dropout=0.4, alignment_weight=0.5)
    vocabulary = build_vocabulary(config, PAIRS)
    batches, seen = training_batches(config, PAIRS, vocabulary), set()
    longest = max(batches.sizes["target"])
    for epoch in range(8):
        batches.epoch = epoch
        inputs, targets = batches[0]
        assert {vocabulary.target.decode(row) for row in targets.tolist()} == {*PAIRS.targets}
        assert {vocabulary.source.decode(row) for row in inputs["source_ids"].tolist()} == {*PAIRS.sources}
        assert targets.shape[1] < longest
        np.testing.assert_allclose(inputs["alignment"].sum(axis=-1), targets > 0, rtol=1e-5)
        seen.add(targets.tobytes())
    assert len(seen) > 5
    batches.epoch = 0
    again = training_batches(config, PAIRS, vocabulary)
    np.testing.assert_array_equal(again[0][1], batches[0][1])
