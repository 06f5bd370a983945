"""Reduced pronunciations: one example of each change, and how several combine."""

import pytest

from datasets.reductions import flapped, reduced


@pytest.mark.parametrize(
    ("word", "phones", "expected"),
    [
        ("water", "w ao1 t er0", ["w ao dx er"]),
        ("party", "p aa1 r t iy0", ["p aa r dx iy"]),
        ("at", "ae1 t", ["ae dx"]),
        ("attack", "ah0 t ae1 k", []),  # before a stressed vowel
        ("tea", "t iy1", []),
        ("act", "ae1 k t", ["ae k"]),
        ("winter", "w ih1 n t er0", ["w ih n er"]),
        ("system", "s ih1 s t ah0 m", ["s ih s t m", "s ih s t ih m"]),
        ("sofa", "s ow1 f ah0", []),  # the last vowel of a word is weak, not ih
        ("the", "dh ah0", ["dh ih"]),
        ("butter", "b ah1 t er0", ["b ah dx er"]),  # a stressed ah stays
        ("his", "hh ih1 z", ["ih z"]),
        ("hit", "hh ih1 t", ["hh ih dx"]),
        ("going", "g ow1 ih0 ng", ["g ow ih n"]),
        ("sing", "s ih1 ng", []),
    ],
)
def test_a_change(word, phones, expected):
    assert [" ".join(said) for said in reduced(word, phones.split(), 8)] == expected


def test_single_changes_come_before_several_and_one_phone_changes_in_one_way():
    phones = ["b", "aa1", "t", "ah0", "l"]
    said = [" ".join(each) for each in reduced("bottle", phones, 8)]
    assert said == ["b aa dx ah l", "b aa t l", "b aa t ih l", "b aa dx l", "b aa dx ih l"]
    assert [" ".join(each) for each in reduced("bottle", phones, 2)] == said[:2]


@pytest.mark.parametrize(
    ("phones", "expected"),
    [
        ("w ao1 t er0", "w ao1 dx er0"),
        ("l ey1 d iy0", "l ey1 dx iy0"),
        ("b aa1 t ah0 l", "b aa1 dx ah0 l"),
        ("b ah1 t ah0 n", "b ah1 t ah0 n"),
        ("ah0 t ae1 k", "ah0 t ae1 k"),
        ("w ih1 n t er0", "w ih1 n t er0"),
        ("ae1 t", "ae1 t"),
    ],
)
def test_a_t_between_a_vowel_and_a_weak_one_is_flapped(phones, expected):
    assert " ".join(flapped(phones.split())) == expected
