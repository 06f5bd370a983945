"""Scenes: sampling, relations, rendering."""

import hashlib
import json

import numpy as np
import pytest

from datasets.scenes import world
from datasets.scenes.render import RGB, render
from datasets.scenes.scenes_dataset_builder import make_record
from datasets.scenes.world import Object, Scene, holds, sample_scene
from shared.media import read_image


def scenes(count: int, novel: bool = False) -> list[Scene]:
    return [sample_scene(np.random.default_rng([7, index]), novel) for index in range(count)]


def test_objects_are_apart_and_relations_are_unambiguous():
    for scene in scenes(200):
        for i, obj in enumerate(scene.objects):
            top, left, bottom, right = obj.box
            assert min(top, left) >= world.MARGIN
            assert max(bottom, right) <= world.IMAGE_SIZE - world.MARGIN + 1e-9
            low, high = world.SIZES[obj.size]
            assert low - 1e-9 <= max(bottom - top, right - left) <= high + 1e-9
            for other in scene.objects[:i]:
                assert (other.colour, other.shape) != (obj.colour, obj.shape)
                gaps = (other.box[0] - bottom, top - other.box[2], other.box[1] - right, left - other.box[3])
                assert max(gaps) >= world.MIN_GAP
                for offset in (abs(obj.x - other.x), abs(obj.y - other.y)):
                    assert not world.AMBIGUOUS[0] <= offset < world.AMBIGUOUS[1]
                assert any(holds(relation, obj, other) for relation in world.RELATIONS)


def test_held_out_pairs_appear_in_novel_scenes_only():
    assert len(world.SEEN) == 42
    assert not any(scene.novel for scene in scenes(300))
    assert all(scene.novel for scene in scenes(100, novel=True))
    seen = {(obj.colour, obj.shape) for scene in scenes(300) for obj in scene.objects}
    assert seen == set(world.SEEN)
    assert {len(scene.objects) for scene in scenes(50)} == {1, 2, 3}


def test_holds_on_hand_placed_objects():
    first = Object("circle", "red", "small", (10.0, 10.0, 20.0, 30.0))  # centre x 20, y 15
    second = Object("star", "blue", "large", (12.0, 40.0, 42.0, 70.0))  # centre x 55, y 27
    level = Object("star", "blue", "large", (13.0, 40.0, 17.0, 70.0))  # centre x 55, y 15
    assert [relation for relation in world.RELATIONS if holds(relation, first, second)] == ["left", "above"]
    assert [relation for relation in world.RELATIONS if holds(relation, second, first)] == ["right", "below"]
    assert [relation for relation in world.RELATIONS if holds(relation, first, level)] == ["left"]


@pytest.mark.parametrize("shape", world.SHAPES)
def test_rendering_fills_the_box_with_the_colour(shape):
    obj = Object(shape, "red", "large", (20.0, 50.0, 20.0 + 30 * _aspect(shape), 80.0))
    pixels = render(Scene((obj,)), np.random.default_rng(3))
    assert pixels.shape == (96, 96, 3)
    assert pixels.dtype == np.uint8
    near = np.abs(pixels.astype(int) - RGB["red"]).max(axis=-1) < 60
    rows, columns = np.nonzero(near)
    box = (rows.min(), columns.min(), rows.max() + 1, columns.max() + 1)
    np.testing.assert_allclose(box, obj.box, atol=2.5)  # pointed corners fade into the background


def _aspect(shape: str) -> float:
    width, height = np.ptp(world.outline(shape, 0.0), axis=0)
    return height / width


def test_pixels_and_captions_of_a_seed_are_fixed():
    record = make_record("test", 1)
    pixels = hashlib.sha256(read_image(record["image"]).tobytes()).hexdigest()
    captions = json.loads(record["annotations"])
    text = hashlib.sha256("\n".join(captions["captions_en"] + captions["captions_de"]).encode()).hexdigest()
    assert record["name"] == "test-00001"
    assert record["novel"]
    assert pixels == "9cd335d233ee2bec9df0b9a84e895dbf34617aba067383d5256bbeb7f737bd06"
    assert text == "f45e1085183b76365603da40c2c5065b0b5d92ab6792acda52c07f91cd241e1f"


def test_scene_of_restores_the_scene_of_a_record():
    record = make_record("train", 5)
    record |= json.loads(record.pop("annotations"))
    scene = world.scene_of(record)
    again = sample_scene(np.random.default_rng([1, 0, 5]))
    assert [(obj.shape, obj.colour, obj.size) for obj in scene.objects] == [
        (obj.shape, obj.colour, obj.size) for obj in again.objects
    ]
    for obj, other in zip(scene.objects, again.objects, strict=True):
        np.testing.assert_allclose(obj.box, other.box, atol=0.01)
