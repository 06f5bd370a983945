"""Records and batches, against values computed by hand."""

from dataclasses import replace

import numpy as np
import pytest

from datasets import CorpusError
from shared.errors import UserError
from shared.phones import SpokenWord
from tasks.phoneme_recognizer.data import (
    Joined,
    as_batch,
    build_vocabulary,
    fingerprint,
    frame_ids,
    load_split,
    read_split,
    trainable,
    training_batches,
)
from tasks.phoneme_recognizer.evaluate import names_of
from tasks.phoneme_recognizer.spelling import Speller
from tests.tasks.phoneme_recognizer.conftest import CONFIG, SPLITS, VOCABULARY, say

RATE = 16_000


def record(phones, seconds: float = 1.0, **more) -> dict:
    return {"audio": np.zeros(int(seconds * RATE), np.int16), "phones": phones, "text": "", "name": "n", **more}


def test_phones_are_folded_and_silence_is_not_a_label():
    spans = {"starts": np.arange(7) * 1000, "ends": np.arange(1, 8) * 1000}
    records = [record(["h#", "bcl", "b", "ix", "q", "zh", "pau"], **spans), record("B IH1 SH")]
    by_39 = read_split(CONFIG, records)
    first, second = by_39.utterances
    assert first.phones == second.phones == ("b", "ih", "sh")
    assert first.reference == ("sil", "b", "ih", "sh", "sil")
    assert first.scored() == ["b", "ih", "sh"]
    assert first.scored(silence=True) == ["sil", "b", "ih", "sh", "sil"]
    b, ih, sh = VOCABULARY.encode(["b", "ih", "sh"])
    assert [label for label, *_ in first.spans] == [0, 0, b, ih, -1, sh, 0]
    np.testing.assert_array_equal(first.spans[2], [b, 2000, 3000])
    assert second.reference == ("b", "ih", "sh")
    assert second.spans is None

    (utterance,) = read_split(replace(CONFIG, classes=61), records[:1]).utterances
    assert utterance.phones == ("bcl", "b", "ix", "q", "zh")


def test_utterances_with_too_few_frames_are_not_trained_on(capsys):
    fits = record(["b", "b", "b"], seconds=0.105)  # at full speed 9 frames of 10 ms, 5 of 20 ms: b _ b _ b
    records = [fits, record(["b"] * 4, seconds=0.105), record([], seconds=1.0), record(["sil"], seconds=1.0)]
    split = read_split(replace(CONFIG, speed_range=0.1), records)
    assert len(split.utterances) == 4  # evaluation uses all
    config = replace(CONFIG, speed_range=0.0)
    assert [utterance.index for utterance in trainable(config, split).utterances] == [0]
    assert capsys.readouterr().err == "skipped 3 utterances that have no phones or are too short for them\n"
    with pytest.raises(CorpusError, match="no utterance has phones and is long enough for them"):
        trainable(replace(CONFIG, speed_range=0.5), split)


def test_pauses_that_are_cropped_give_no_frames():
    # 9 frames of 10 ms are 5 of 20 ms, as b _ b _ b needs; without the pauses of 500 and 340 samples 2, as b iy needs.
    three = record(
        ["h#", "b", "b", "b", "h#"], 0.105, starts=[0, 500, 700, 900, 1340], ends=[500, 700, 900, 1340, 1680]
    )
    two = record(["h#", "b", "iy", "h#"], 0.105, starts=[0, 500, 900, 1340], ends=[500, 900, 1340, 1680])
    split = read_split(CONFIG, [three, two])
    for max_crop, fitting in ((0.0, [0, 1]), (1.0, [1])):
        config = replace(CONFIG, speed_range=0.0, max_crop=max_crop)
        assert [utterance.index for utterance in trainable(config, split).utterances] == fitting


def test_a_frame_has_the_id_of_the_span_at_its_middle():
    # Middles at 200, 360, 520, 680, 840 samples.
    spans = np.array([[3, 0, 361], [0, 361, 680], [5, 680, 800]], np.int32)
    np.testing.assert_array_equal(frame_ids(spans, 5), [3, 3, 0, 5, -1])
    np.testing.assert_array_equal(frame_ids(None, 2), [-1, -1])


def test_a_batch_by_hand():
    sounds = [np.ones(600, np.float32), np.ones(400, np.float32)]
    spans = np.array([[4, 0, 600]], np.int32)
    inputs, targets = as_batch([(sounds[0], spans), (sounds[1], None)], [np.array([4]), np.array([1, 2])])
    np.testing.assert_array_equal(inputs["samples"].sum(1), [600, 400])
    np.testing.assert_array_equal(inputs["lengths"], [600, 400])
    np.testing.assert_array_equal(inputs["label_ids"], [[4, 0], [1, 2]])
    np.testing.assert_array_equal(inputs["label_lengths"], [1, 2])
    np.testing.assert_array_equal(inputs["frame_ids"], [[4, 4], [-1, -1]])
    assert targets is inputs["label_ids"]


def test_an_epoch_has_each_utterance_once_and_a_batch_depends_on_its_epoch_and_index_alone(tones):
    split = load_split(CONFIG, "train")
    assert len(split.utterances) == SPLITS["train"]
    vocabulary = build_vocabulary(CONFIG, split)
    assert vocabulary.table == VOCABULARY.table
    batches = training_batches(CONFIG, split, vocabulary)
    labels = sorted(tuple(vocabulary.decode(row)) for _, targets in batches for row in targets)
    assert labels == sorted(utterance.phones for utterance in split.utterances)
    batches.epoch = 3
    once = batches[2][0]["samples"]
    batches.epoch = 1
    batches.epoch = 3
    np.testing.assert_array_equal(batches[2][0]["samples"], once)


def test_a_sound_without_speech_has_no_labels_and_is_silent_in_all_frames(tones):
    split = load_split(CONFIG, "train")
    config = replace(CONFIG, no_speech_fraction=1.0)
    inputs, targets = training_batches(config, split, VOCABULARY)[0]
    np.testing.assert_array_equal(inputs["label_lengths"], np.zeros(CONFIG.batch_size))
    assert not targets.any()
    frames = 1 + (inputs["lengths"] - 400) // 160
    for ids, count in zip(inputs["frame_ids"], frames, strict=True):
        np.testing.assert_array_equal(ids[:count], np.zeros(count))
    some = [training_batches(replace(CONFIG, no_speech_fraction=0.3), split, VOCABULARY)[i][0] for i in range(12)]
    empty = np.concatenate([batch["label_lengths"] == 0 for batch in some])
    assert 12 < empty.sum() < 48  # of 96


def test_every_training_corpus_has_a_fingerprint(tones, spoken_words):
    scenes = fingerprint(CONFIG)
    assert scenes.keys() == {"spoken_scenes"}
    both = fingerprint(replace(CONFIG, corpus=f"{spoken_words}+spoken_scenes"))
    assert both == scenes | {str(spoken_words): both[str(spoken_words)]}
    (spoken_words / "00.txt").write_text("ma")
    assert fingerprint(replace(CONFIG, corpus=str(spoken_words))) != {str(spoken_words): both[str(spoken_words)]}


def test_an_utterance_has_the_sound_of_its_record(tones):
    split = load_split(CONFIG, "train")
    for index in (0, 17, 47):
        text = split.records[split.utterances[index].index]["text"]
        np.testing.assert_allclose(split.samples(index), say(text).samples / 32_768, atol=1e-6)


def test_corpora_are_joined_in_order():
    joined = Joined([[{"n": 0}, {"n": 1}], [{"n": 2}], [{"n": 3}, {"n": 4}]], [1, 1, 1])
    assert [joined[i]["n"] for i in range(len(joined))] == [0, 1, 2, 3, 4]
    parts = [[{"n": 0}, {"n": 9}], [{"n": n} for n in range(1, 9)], [{"n": 10}] * 3]
    assert [record["n"] for record in Joined(parts, [0.5, 0.5, 1 / 3])] == [0, 1, 3, 5, 7, 10]


def test_splits_of_ones_own(spoken_words, tmp_path):
    """Development data of one's own are taken as a whole, and the tenth that they replace is trained on."""
    own = tmp_path / "own"
    own.mkdir()
    for path in sorted(spoken_words.glob("0[0-2].*")):
        path.rename(own / path.name)
    config = replace(CONFIG, corpus=str(spoken_words), dev_corpus=str(own))
    splits = {split: load_split(config, split).utterances for split in ("train", "dev", "test")}
    assert {split: len(utterances) for split, utterances in splits.items()} == {"train": 16, "dev": 3, "test": 1}
    assert set(fingerprint(config)) == {str(spoken_words), str(own)}
    assert len(load_split(replace(config, dev_corpus=""), "train").utterances) == 15


def test_development_data_are_several_corpora(spoken_words, tones):
    """Of a folder that is trained on, they are its own tenth, which is not trained on."""
    config = replace(CONFIG, corpus=f"spoken_scenes+{spoken_words}*0.5", dev_corpus=f"spoken_scenes+{spoken_words}")
    assert (config.corpora, config.fractions) == (["spoken_scenes", str(spoken_words)], [1, 0.5])
    counts = {split: len(load_split(config, split).utterances) for split in ("train", "dev", "test")}
    assert counts == {"train": SPLITS["train"] + 8, "dev": SPLITS["dev"] + 2, "test": SPLITS["test"]}
    names = names_of(load_split(config, "dev"))
    assert len(set(names)) == SPLITS["dev"] + 2
    assert names[-2:] == ["09", "19"]
    assert fingerprint(config).keys() == {"spoken_scenes", str(spoken_words)}


def test_fractions_of_corpora():
    config = replace(CONFIG, corpus="timit+spoken_scenes+spoken_manual*.25", auxiliary_fraction=0.5)
    assert (config.corpora, config.fractions) == (["timit", "spoken_scenes", "spoken_manual"], [1, 0.5, 0.25])
    with pytest.raises(UserError, match=r"a fraction from 0 to 1 was expected after timit\*"):
        replace(CONFIG, corpus="spoken_scenes+timit*2")


def test_all_pronunciations_of_words_are_kept_and_missing_ones_are_spelled(monkeypatch, capsys):
    spelled = {"bo": [("b", "ao")], "zyx": []}
    monkeypatch.setattr(Speller, "load", lambda: lambda words: [spelled[word] for word in words])
    lines = ["a\tAH0\tEY1\tah", "bo"], ["bo"], ["zyx", "a\tah"]
    records = [record("", words=words) for words in lines]
    split = read_split(CONFIG, records)
    first, second = split.utterances  # the third has a word that cannot be pronounced
    assert first.words == (SpokenWord("a", (("ah",), ("ey",))), SpokenWord("bo", (("b", "aa"),)))
    assert (first.phones, first.reference) == (("ah", "b", "aa"), ("ah", "b", "aa"))
    assert (second.index, second.phones) == (1, ("b", "aa"))
    assert capsys.readouterr().err.splitlines() == [
        "words pronounced as spelled: 1",
        "utterances left out for a word without a pronunciation, such as zyx: 1",
    ]


def test_a_dictionary_of_ones_own_changes_phones_and_fingerprint(spoken_words, tmp_path):
    own = tmp_path / "own.dict"
    own.write_text("aims S IY\n")
    texts = {path.stem: path.read_text() for path in spoken_words.glob("*.txt")}
    (name,) = (name for name, text in texts.items() if text == "aims")
    (spoken_words / f"{name}.txt").write_text("Aims aims")
    plain, other = (replace(CONFIG, corpus=str(spoken_words), dictionary=path) for path in ("", str(own)))
    assert fingerprint(plain) != fingerprint(other)
    phones = [utterance.phones for utterance in load_split(other, "train").utterances]
    assert ("s", "iy", "s", "iy") in phones
