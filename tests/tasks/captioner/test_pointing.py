"""The pointing game against hand-computed outcomes, on scenes and on pairs of photos."""

import numpy as np
import pytest

from datasets.scenes.scenes_dataset_builder import make_record
from shared.media import prepare, read_image
from tasks.captioner.data import Split, load_split, with_grids
from tasks.captioner.encoder import load_encoder
from tasks.captioner.finder import load_finder
from tasks.captioner.model import load_model
from tasks.captioner.pointing import (
    HALVES,
    Named,
    Outcome,
    agreed_words,
    attention_relevance,
    cells_inside,
    grids_of_pairs,
    measure_pointing,
    named_in_pairs,
    named_object,
    outcome,
    outcomes,
    pairs_of,
    summary,
)

pytestmark = pytest.mark.any_backend

LEFT, RIGHT = HALVES


@pytest.mark.parametrize(("box", "hit"), [((0, 0.5, 0.5, 1), 1), ((0.5, 0.5, 1, 1), 0), ((0, 0, 1, 0.8), 0)])
def test_a_cell_is_where_its_centre_is(box, hit):
    relevance = np.array([[0.0, 0.1, 0.9], [0.3, 0.2, 0.1]])  # the maximum is at y 0.25, x 0.83
    assert outcome(7, relevance, box)[:2] == (7, hit)


def test_the_middle_column_is_half_in_each_half():
    np.testing.assert_array_equal(cells_inside(LEFT, 2, 3), [[1, 0.5, 0]] * 2)
    np.testing.assert_array_equal(cells_inside(RIGHT, 1, 7), [[0, 0, 0, 0.5, 1, 1, 1]])
    np.testing.assert_array_equal(cells_inside((0.2, 0, 0.5, 1), 4, 1), [[0], [1], [0], [0]])
    assert outcome(0, np.array([[0.1, 0.2, 0.0]]), RIGHT) == (0, 0.5, 0.5)


def test_accuracy_chance_and_an_interval_over_pictures():
    found = [Outcome(0, 1, 0.5), Outcome(0, 1, 0.25), Outcome(4, 0, 0.5), Outcome(4, 0.5, 0.75)]
    metrics = summary("pointing", found)
    assert metrics["pointing"] == 0.625
    # Both pictures are drawn with probability 1/2, one of them twice with 1/4 each.
    assert metrics["pointing interval"] == {"from": 0.25, "to": 1, "chance": 0.5, "words": 4}
    assert summary("pointing", []) == {}


def test_a_shape_or_colour_of_two_objects_names_none():
    boxes = [[0, 0, 0.1, 0.2], [0.3, 0.3, 0.4, 0.5], [0.6, 0.6, 0.7, 0.8]]
    record = {"shapes": ["star", "heart", "star"], "colours": ["red", "red", "blue"], "boxes": boxes}
    named = [named_object(record, *of) for of in (("shapes", "heart"), ("colours", "blue"), ("shapes", "star"))]
    assert named == [boxes[1], boxes[2], None]
    assert named_object(record, "shapes", "blue") is None


def test_telling_words_are_agreed_on_and_not_of_the_other_photo():
    # Photo 2 has 5 and 1 twice, 6 once, 7 twice as photo 0 has it; photo 0 has 8 twice.
    captions = [[[8, 7], [8, 9]], [], [[5, 7, 1], [6, 5, 7, 1, 5]]]
    assert named_in_pairs(np.array([[2, 0]]), captions, {5, 6, 7, 8, 9}) == [
        Named(0, [5, 7, 1], {0: LEFT}),
        Named(0, [6, 5, 7, 1, 5], {1: LEFT, 4: LEFT}),
        Named(0, [8, 7], {0: RIGHT}),
        Named(0, [8, 9], {0: RIGHT}),
    ]


def test_words_that_people_agree_on():
    # 4 is in all captions of photo 0 alone: q is 1. Of 5, p is 3/8 and q 2/4; of 6, p is 4/8 and q 2/6.
    captions = [[[4, 4], [4, 5, 6], [4, 6]], [[5, 7], [5, 6]], [[8, 6], []], [[9]]]
    assert agreed_words(captions) == {4}
    assert agreed_words([[[4], [4], []], [[]] * 10]) == {4}  # p is 2/13 and q 2/4: kappa is 0.41
    assert agreed_words([[[4], [4], []], [[]] * 8]) == set()  # p is 2/11: kappa is 0.39
    assert agreed_words([[[4, 5]], [[4]]]) == set()  # a single caption agrees with none


def test_each_photo_is_in_one_pair_at_most():
    assert len(np.unique(pairs_of(7))) == 6
    assert pairs_of(1).shape == pairs_of(0).shape == (0, 2)
    assert len(pairs_of(1000)) == 100
    np.testing.assert_array_equal(pairs_of(50), pairs_of(50))


def test_words_are_looked_up_in_their_own_pictures():
    named = [Named(1, [4, 5], {1: RIGHT}), Named(0, [6], {}), Named(0, [7, 8, 9], {0: LEFT, 2: LEFT})]

    def relevance(pictures, token_ids):
        assert pictures == [1, 0]
        np.testing.assert_array_equal(token_ids, [[4, 5, 0], [7, 8, 9]])
        maps = np.zeros((2, 3, 1, 2))
        maps[0, 1, 0, 1] = maps[1, 0, 0, 0] = maps[1, 2, 0, 1] = 1
        return maps

    assert list(outcomes(named, relevance)) == [(1, 1, 0.5), (0, 1, 0.5), (0, 0, 0.5)]


def test_the_attention_is_that_of_the_captioner_for_the_words_it_is_given(trained):
    config, vocabulary, captioner = load_model(trained.run)
    split = with_grids(load_split(config, "dev"), load_encoder(trained.run, config))
    grids, ids = split.inputs[:, 0].astype(np.float32), np.array([[7, 5, 9]], np.int32)
    found = attention_relevance(captioner, grids)([2], ids)
    before = np.array([[[vocabulary.start_id, 7, 5]]], np.int32)
    _, _, expected = captioner.decode(captioner.encode(grids[[2]]), before)
    np.testing.assert_allclose(found[0, :3].reshape(3, -1), np.asarray(expected)[0, 0, :, :-1], atol=1e-5)


def test_photos_are_measured_in_pairs(found):
    """Scenes without their boxes, as photos."""
    config, vocabulary, _ = loaded = load_model(found)
    encoder = load_encoder(found, config)
    records = [make_record("dev", i) for i in range(5)]
    captions = [[f"the {word} heart .", f"a {word} heart ."] for word in ("red", "blue", "green", "yellow", "white")]
    split = Split(records=records, captions=captions, inputs=np.zeros(0))
    pairs = pairs_of(5)
    grids = grids_of_pairs(split, pairs, encoder)
    assert len(grids) == 2
    left, right = (prepare(read_image(records[i]["image"])[None], config.image_size) for i in pairs[1])
    picture = prepare(np.concatenate([left, right], axis=2), config.image_size)
    np.testing.assert_allclose(grids[1], encoder.predict_on_batch(picture)[0], atol=1e-5)

    finder = load_finder(found, config, vocabulary)
    metrics = measure_pointing([], split, found, loaded, encoder, finder)
    assert metrics.keys() == {"pointing", "pointing interval", "finder pointing", "finder pointing interval"}
    assert metrics["pointing interval"]["words"] == 8
    assert metrics["finder pointing interval"]["chance"] == 0.5
    alone = Split(records=records[:1], captions=captions[:1], inputs=np.zeros(0))
    assert measure_pointing([], alone, found, loaded, encoder, None) == {}
