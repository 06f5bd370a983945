"""Ordinary English: paragraphs without the marks of WikiText, sentences in one split each."""

import pytest

import datasets
from datasets.english_text import english_text_dataset_builder as builder


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("= Valkyria Chronicles III =", []),
        ("", []),
        ("It cost 1 @,@ 250 @.@ 50 , a well @-@ known sum .", ["It cost 1,250.50, a well-known sum."]),
        ("He went . A <unk> came . She isn 't here . Why ?", ["He went.", "She isn't here. Why?"]),
        ('" I see <unk> . Go on . " he said . Then he left .', ["Then he left."]),  # the quotation is one sentence
        ("It ( the <unk> . In part ) fell . We rose .", ["We rose."]),
        ("A ) is odd . We rose .", ["We rose."]),
        ('" Go . " We rose , e.g. at 5 a.m. . Then', ['"Go." We rose, e.g. at 5 a.m. Then']),
    ],
)
def test_paragraphs_are_ordinary_text(line, expected):
    assert list(builder.paragraphs([line])) == expected


def test_a_sentence_is_in_one_split_and_frequent_names_are_rare():
    splits = {
        "train": ["Go on.", "He ran.", "Is it late?", *(f"Tom has {count} hens." for count in range(400))],
        "dev": ["GO ON", "She ran."],
        "test": ["she ran!", "Wait."],
    }
    found = builder.everyday(splits)
    named = [text for text in found["train"] if "Tom" in text]
    assert {*found["train"]} - {*named} == {"He ran.", "Is it late?"}
    assert 20 < len(named) < 80
    assert named != sorted(named, key=len)
    assert (found["dev"], sorted(found["test"])) == (["GO ON"], ["Wait.", "she ran!"])


def test_typesetting():
    text = """He said, "It's the dogs' 'best' toy" ("really") ..."""
    assert builder.typeset(text) == (
        "He said, \u201cIt\u2019s the dogs\u2019 \u2018best\u2019 toy\u201d (\u201creally\u201d) \u2026"
    )
    lines = [f'"Line {number}"' for number in range(200)]
    mixed = builder.mixed(lines)
    assert 25 < sum(line != own for line, own in zip(mixed, lines, strict=True)) < 75
    assert builder.mixed(lines) == mixed


def test_it_is_prepared_from_the_other_corpora(tmp_path, monkeypatch):
    records = {
        ("wikitext2", "train"): [{"text": "= A ="}, {"text": "A cat sat ."}],
        ("tatoeba/deu", "train"): [{"eng": "I see."}, {"eng": "Go."}],
        ("tatoeba/fra", "dev"): [{"eng": "Go!"}],
        ("tatoeba/fra", "test"): [{"eng": "Stop."}],
    }
    load = datasets.load
    monkeypatch.setenv("QUATRAIN_PREPARED", str(tmp_path))
    with monkeypatch.context() as patch:
        patch.setattr(datasets, "load", lambda name, split: records.get((name, split), []))
        datasets.prepare("english_text")
    assert [record["text"] for record in load("english_text", "train")] == ["A cat sat.", "I see."]
    assert [record["text"] for record in load("english_text", "dev")] == ["Go!"]
