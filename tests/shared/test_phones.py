"""Phone sets and the mappings between them."""

import os
from itertools import pairwise
from pathlib import Path

import pytest

from shared.phones import IPA, PHONES_39, PHONES_48, PHONES_61, SILENCE, SILENCES, fold, fold_all


def test_sizes_of_the_sets():
    assert (len(PHONES_61), len(PHONES_48), len(PHONES_39)) == (61, 48, 39)
    assert {fold(label, 48) for label in PHONES_61} == set(PHONES_48)
    assert {fold(label, 39) for label in PHONES_61} - {None} == set(PHONES_39)
    assert {fold(phone, 39) for phone in PHONES_48} == set(PHONES_39)
    assert {*PHONES_39, *PHONES_48, *PHONES_61} == IPA.keys()
    letters = [letter for letter in IPA.values() if letter]
    assert len(set(letters)) == len(letters)
    assert {phone for phone, letter in IPA.items() if not letter} == SILENCES


@pytest.mark.parametrize(
    ("label", "of_48", "of_39"),
    [
        ("ax-h", "ax", "ah"),
        ("ux", "uw", "uw"),
        ("nx", "n", "n"),
        ("eng", "ng", "ng"),
        ("tcl", "cl", "sil"),
        ("gcl", "vcl", "sil"),
        ("epi", "epi", "sil"),
        ("h#", "sil", "sil"),
        ("q", "cl", None),
        ("ao", "ao", "aa"),
        ("ZH", "zh", "sh"),
        ("AH0", "ah", "ah"),
        ("dx", "dx", "dx"),
    ],
)
def test_folding(label, of_48, of_39):
    assert fold(label, 48) == of_48
    assert fold(label, 39) == of_39


def test_consecutive_silences_are_merged_and_phones_are_not():
    assert fold_all(["h#", "pau", "tcl", "t", "t", "q", "epi", "h#"], 39) == ["sil", "t", "t", "sil"]
    assert fold_all(["h#", "tcl", "t"], 48) == ["sil", "cl", "t"]
    assert fold_all(["tcl", "kcl"], 48) == ["cl", "cl"]
    assert fold_all(["h#", "t", "t", "pau"], 39, silence=False) == ["t", "t"]


def test_unknown_phones_and_sets_are_refused():
    for label in ("xx", "", "AH5", "aa0"):
        with pytest.raises(ValueError, match="Received"):
            fold(label, 39)
    with pytest.raises(ValueError, match="Received: 40"):
        fold("aa", 40)


def test_timit_uses_these_phones():
    folder = Path(os.environ.get("QUATRAIN_DATA", "")) / "timit_sample"
    if not folder.is_dir():
        pytest.skip("QUATRAIN_DATA does not hold timit_sample")
    files = sorted(folder.glob("dr*/*.phn"))
    labels = [[line.split()[2] for line in file.read_text().splitlines()] for file in files]
    assert {label for of_file in labels for label in of_file} <= set(PHONES_61)
    for of_file in labels:
        folded = fold_all(of_file, 39)
        assert folded[0] == folded[-1] == SILENCE
        assert (SILENCE, SILENCE) not in pairwise(folded)
