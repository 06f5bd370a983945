"""Synthetic pairs, and the cases on which copying is measured."""

import random

import pytest

from tasks.translator.conventions import find_values
from tasks.translator.forms import LANGUAGES, occurrence
from tasks.translator.synthetic import Case, copying_cases, fill, synthetic_pairs
from tasks.translator.templates import HELD_OUT, TEMPLATES
from tasks.translator.values import KINDS, draw

DIRECTIONS = [("de", "en"), ("en", "de"), ("en", "fr"), ("fr", "en")]
CORPUS = [("Tom lacht.", "Tom laughs."), ("Er hat 37 Bücher!", "He has 37 books."), ("Toms Hut.", "Tom's hat.")]


def test_every_kind_has_templates_with_one_value_in_every_language():
    assert TEMPLATES.keys() == {*KINDS}
    for templates in TEMPLATES.values():
        assert len(templates) > HELD_OUT + 4
        for template in templates:
            assert [sentence.count("{}") for sentence in template] == [1] * len(LANGUAGES)
        assert len({sentence for template in templates for sentence in template}) == 3 * len(templates)


@pytest.mark.parametrize("kind", KINDS)
def test_values_have_forms_in_every_language(kind):
    rng = random.Random(3)
    for _ in range(200):
        value = draw(kind, rng)
        assert value.keys() == {*LANGUAGES}
        for forms in value.values():
            assert len(forms) == len({*forms}) > 0
            assert all(form == form.strip() and form for form in forms)
    assert draw(kind, random.Random(3)) == draw(kind, random.Random(3))


def test_values_of_the_corpus_are_replaced_on_both_sides():
    pairs = synthetic_pairs(CORPUS, "de", "en", 3000, seed=1)
    assert pairs == synthetic_pairs(CORPUS, "de", "en", 3000, seed=1) != synthetic_pairs(CORPUS, "de", "en", 3000, 2)
    assert len(pairs) == 3000
    laughing = [pair for pair in pairs if pair[0].endswith(" lacht.") and "Tom" not in pair[0] and ":" not in pair[0]]
    assert len(laughing) > 200
    assert all(first.removesuffix(" lacht.") == second.removesuffix(" laughs.") for first, second in laughing)
    books = [
        pair for pair in pairs if pair[1].startswith("He has ") and pair[1].endswith("books.") and ":" not in pair[1]
    ]
    assert len(books) > 200
    assert any("." in first.split()[2] and "," in second.split()[2] for first, second in books)
    assert not any("s Hut." in first and not first.startswith("Tom") and ": " not in first for first, _ in pairs)


@pytest.mark.parametrize(("source", "target"), DIRECTIONS)
def test_no_case_is_made_from_a_template_of_training(source, target):
    index = LANGUAGES.index(source)
    starts = {template[index].split("{}")[0] for templates in TEMPLATES.values() for template in templates[-HELD_OUT:]}
    trained = {fill(template[index], "\0") for templates in TEMPLATES.values() for template in templates[:-HELD_OUT]}
    cases = copying_cases(source, target, "test", 30)
    assert len(cases) == 30 * len(KINDS)
    for case in cases:
        assert any(case.sentence.startswith(start) for start in starts)
        assert case.sentence not in trained
    assert cases == copying_cases(source, target, "test", 30) != copying_cases(source, target, "dev", 30)


def test_a_case_is_met_by_any_of_its_forms():
    case = Case("price", "Das kostet 1.250,00 €.", ("€1,250.00", "1,250.00 euros"))
    assert case.is_met_by("It costs €1,250.00.")
    assert case.is_met_by("It costs 1,250.00 euros.")
    for translation in ("It costs 1.250,00 €.", "It costs €11,250.00.", "It costs."):
        assert not case.is_met_by(translation)


def test_a_full_stop_of_the_value_ends_the_sentence():
    assert fill("It is {}.", "2:30 p.m.") == "It is 2:30 p.m."
    assert fill("It is {}.", "14:30") == "It is 14:30."
    assert fill("Is it {}?", "2 p.m.") == "Is it 2 p.m.?"


@pytest.mark.parametrize(("source", "target"), DIRECTIONS)
def test_the_values_of_a_pair_are_those_that_are_kept(source, target):
    count = 0
    for first, second in synthetic_pairs([], source, target, 500, seed=5):
        values = find_values(first, source, target)
        count += bool(values)
        for value in values:
            assert any(occurrence(form).search(second) for form in value.forms), (first, second, value)
    assert count > 400  # all but names
