"""Noise of case, marks and accents, and several sentences a line."""

import random

import pytest

from tasks.translator import noise

GERMAN = ('Wie geht\'s, "Süßer"?', 'How\'s it going, "sweet"?')
FRENCH = ("Où est la forêt ?", "Where is the wood?")


@pytest.mark.parametrize(
    ("change", "pair", "languages", "expected"),
    [
        (noise.lower_case, ("Ein Hund.", "A Dog."), ("de", "en"), ("ein hund.", "A Dog.")),
        (noise.capitals, ("Ein Hund.", "A dog."), ("de", "en"), ("EIN HUND.", "A DOG.")),
        (noise.without_mark, ("Qui ?", "Who?"), ("fr", "en"), ("Qui", "Who")),
        (noise.without_mark, ("Wer da", "Who?"), ("de", "en"), ("Wer da", "Who?")),
        (noise.typography, GERMAN, ("de", "en"), ("Wie geht\u2019s, „Süßer“?", "How's it going, “sweet”?")),
        (noise.typography, ('A "x".', 'Un "x".'), ("en", "fr"), ("A “x”.", "Un « x ».")),
        (noise.plain_letters, GERMAN, ("de", "en"), ('Wie geht\'s, "Suesser"?', GERMAN[1])),
        (noise.plain_letters, FRENCH, ("fr", "en"), ("Ou est la foret ?", FRENCH[1])),
        (noise.french_spaces, FRENCH, ("fr", "en"), ("Où est la forêt?", FRENCH[1])),
        (noise.french_spaces, FRENCH[::-1], ("en", "fr"), FRENCH[::-1]),
    ],
)
def test_the_target_is_changed_where_it_should_be(change, pair, languages, expected):
    assert change(pair, languages, random.Random(1)) == expected


def test_more_marks_are_the_same_on_both_sides():
    rng = random.Random(2)
    found = {noise.more_marks(("Qui ?", "Who?"), ("fr", "en"), rng) for _ in range(50)}
    assert found == {("Qui ??", "Who??"), ("Qui ???", "Who???"), ("Qui ?!", "Who?!")}
    assert noise.more_marks(("Geh!", "Go."), ("de", "en"), rng) == ("Geh!", "Go.")
    assert noise.more_marks(("", ""), ("de", "en"), rng) == ("", "")
    assert ("Ja...", "Yes...") in {noise.more_marks(("Ja.", "Yes."), ("de", "en"), rng) for _ in range(50)}


def test_noisy_pairs_are_drawn_from_the_pairs():
    pairs = [GERMAN, ("Ein Hund läuft.", "A dog is running.")]
    found = noise.noisy_pairs(pairs, "de", "en", 200, seed=1)
    assert found == noise.noisy_pairs(pairs, "de", "en", 200, seed=1) != noise.noisy_pairs(pairs, "de", "en", 200, 2)
    assert len(found) == 200
    assert len({*found} - {*pairs}) > 10
    assert sum(pair in pairs for pair in found) < 10
    assert noise.noisy_pairs([], "de", "en", 0, seed=1) == []


def test_lines_of_several_sentences():
    pairs = [(f"s{i}.", f"t{i}!") for i in range(9)] + [("no mark", "none")]
    lines = noise.joined_pairs(pairs, 50, seed=1)
    assert {len(first.split()) for first, _ in lines} == {2, 3}
    for first, second in lines:
        assert first.replace("s", "t").replace(".", "!") == second
        assert len({*first.split()}) == len(first.split())
    assert noise.joined_pairs(pairs[:2], 50, seed=1) == []
