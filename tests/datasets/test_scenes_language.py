"""Captions in two languages, and the parser of English captions."""

import itertools

import numpy as np
import pytest

from datasets.scenes import world
from datasets.scenes.language import DECLENSION, Caption, Mention, write_caption, write_captions
from datasets.scenes.parser import Described, describes, parse
from datasets.scenes.templates import TEMPLATES
from datasets.scenes.world import Object, Scene, sample_scene

SCENE = Scene(
    (
        Object("circle", "red", "small", (10.0, 10.0, 25.0, 25.0)),
        Object("square", "blue", "large", (12.0, 50.0, 42.0, 80.0)),
        Object("heart", "orange", "small", (60.0, 55.0, 75.0, 70.0)),
    )
)
OPPOSITES = (("left", "right"), ("top", "bottom"), ("above", "below"), ("over", "under"), ("large", "small"))
OPPOSITE = {word: other for pair in OPPOSITES for word, other in (pair, pair[::-1])}
OPPOSITE |= {"beneath": "above", "underneath": "over", "little": "large", "big": "small"}


def captions_of_scenes(count: int) -> list[tuple[Scene, Caption]]:
    pairs = []
    for index in range(count):
        rng = np.random.default_rng([11, index])
        scene = sample_scene(rng, novel=index % 3 == 0)
        pairs += [(scene, caption) for caption in write_captions(rng, scene)]
    return pairs


CAPTIONS = captions_of_scenes(120)


def mention(shape: str, colour: str, size: str | None, form: str) -> Mention:
    return Mention(0, shape, colour, size, size or "", form, bare_reference=False)


def text(words) -> str:
    return " ".join(word.text for word in words)


def test_every_caption_describes_its_scene():
    for scene, caption in CAPTIONS:
        assert describes(caption.english, scene), caption.english


def test_captions_of_a_scene_are_distinct_and_name_all_colours():
    for index in range(30):
        rng = np.random.default_rng([11, index])
        scene = sample_scene(rng)
        captions = write_captions(rng, scene)
        assert len({caption.english for caption in captions}) == 5
        for caption in captions:
            assert {obj.colour for obj in scene.objects} <= set(caption.english.split())
            assert caption.english == " ".join(caption.english.lower().split())
            assert caption.english.endswith(" .")


def test_a_caption_with_an_altered_word_is_false():
    altered = 0
    for scene, caption in CAPTIONS:
        tokens = caption.english.split()
        attributes = [(caption.token_objects[i], token) for i, token in enumerate(tokens)]
        for i, token in enumerate(tokens):
            if token in OPPOSITE:
                others = (OPPOSITE[token],)
            elif (
                attributes[i][0] >= 0 and attributes[i] not in attributes[:i]
            ):  # altering a second mention, "the star", may give a true statement
                vocabulary = world.COLOURS if token in world.COLOURS else world.SHAPES
                others = tuple(word for word in vocabulary if word != token)
            else:
                continue
            for other in others:
                sentence = " ".join([*tokens[:i], other, *tokens[i + 1 :]])
                assert not describes(sentence, scene), f"{caption.english} -> {sentence}"
                altered += 1
    assert altered > 5000


def test_captions_of_scenes_with_other_objects_are_false():
    for (scene, _), (other, caption) in itertools.pairwise(CAPTIONS[::5]):
        pairs = [sorted((obj.colour, obj.shape) for obj in one.objects) for one in (scene, other)]
        if pairs[0] != pairs[1]:
            assert not describes(caption.english, scene)


def test_token_objects_are_the_indices_of_the_named_objects():
    for scene, caption in CAPTIONS:
        tokens = caption.english.split()
        assert len(tokens) == len(caption.token_objects)
        for token, index in zip(tokens, caption.token_objects, strict=True):
            if token in world.SHAPES or token in world.COLOURS:
                assert token in (scene.objects[index].shape, scene.objects[index].colour)
                assert index >= 0
            elif token not in ("small", "little", "large", "big"):
                assert index == -1


def test_alignment_links_translations():
    translations: dict[str, set[str]] = {}
    for _, caption in CAPTIONS:
        english, german = caption.english.split(), caption.german.split()
        assert caption.alignment == sorted(set(caption.alignment))
        linked = {i for i, _ in caption.alignment}
        for i, token in enumerate(english):
            assert i in linked or token in {"to", "the", "on", "at", "there", "be", "."}, caption.english
        for i, j in caption.alignment:
            translations.setdefault(english[i], set()).add(german[j])
    assert translations["left"] == {"links"}
    assert translations["heart"] == {"Herz", "Herzen"}
    assert translations["red"] >= {"rot", "roter", "roten", "rotes", "Rot"}
    assert translations["beneath"] == {"unterhalb", "von"}
    assert translations["which"] == {"der", "das", "dem"}


@pytest.mark.parametrize(
    ("shape", "case", "expected"),
    [
        ("circle", "nom", "ein kleiner roter Kreis"),
        ("circle", "acc", "einen kleinen roten Kreis"),
        ("star", "dat", "einem kleinen roten Stern"),
        ("square", "nom", "ein kleines rotes Quadrat"),
        ("triangle", "acc", "ein kleines rotes Dreieck"),
        ("cross", "dat", "einem kleinen roten Kreuz"),
        ("heart", "acc", "ein kleines rotes Herz"),
        ("heart", "dat", "einem kleinen roten Herzen"),
    ],
)
def test_german_declension(shape, case, expected):
    assert text(mention(shape, "red", "small", "plain").german(case)) == expected


@pytest.mark.parametrize(
    ("form", "size", "english", "german"),
    [
        ("in", "large", "a large circle in orange", "einen großen Kreis in Orange"),
        ("plain", None, "an orange circle", "einen orangefarbenen Kreis"),
        ("that", "large", "a circle that is orange and large", "einen Kreis , der orangefarben und groß ist ,"),
        ("that", None, "a circle that is orange", "einen Kreis , der orangefarben ist ,"),
        ("that size", "large", "an orange circle that is large", "einen orangefarbenen Kreis , der groß ist ,"),
    ],
)
def test_forms_of_a_mention(form, size, english, german):
    one = mention("circle", "orange", size, form)
    assert text(one.english()) == english
    assert text(one.german("acc")) == german


def test_second_mentions_are_definite():
    one = mention("heart", "blue", "small", "plain")
    assert text(one.english_reference()) == "the blue heart"
    assert text(one.german_reference()) == "dem blauen Herzen"
    assert DECLENSION["neuter", "dat"][2] == "dem"


def test_every_template_is_used_and_well_formed():
    for count, templates in TEMPLATES.items():
        scene = Scene({1: SCENE.objects[:1], 2: SCENE.objects[::2], 3: SCENE.objects}[count])
        for template in templates:
            written = [
                write_caption(np.random.default_rng(seed), template, scene, list(order))
                for seed in range(3)
                for order in itertools.permutations(range(count))
            ]
            captions = [caption for caption in written if caption]
            assert captions, template
            for caption in captions:
                assert describes(caption.english, scene), caption.english
                assert ", ," not in caption.german
                assert ", ." not in caption.german
                assert not set("/+") & set(caption.english + caption.german)


@pytest.mark.parametrize(
    ("caption", "true"),
    [
        ("a red circle , a blue square and an orange heart", True),
        ("A small red circle is left of a blue square and above an orange heart .", True),
        ("above an orange heart is a large blue square , left of which is a red circle .", True),
        ("a red circle is left of a blue square , which is above an orange heart .", True),
        ("a red circle , which is left of a blue square , is above an orange heart .", True),
        ("a red circle is left of a blue square and an orange heart is below the square .", True),
        ("there are three objects : a red circle , a blue square and an orange heart .", True),
        ("there are two objects : a red circle , a blue square and an orange heart .", False),
        ("a red circle is left of a blue square , which is below an orange heart .", False),
        ("a red circle is above a blue square and an orange heart .", False),  # the circle is level with the square
        ("a red circle is left of a blue square .", False),  # an object is missing
        ("a circle is left of a blue square and an orange heart .", False),  # a colour is missing
        ("a red circle , a blue square , an orange heart and a green star .", False),
        ("a large red circle , a blue square and an orange heart .", False),
        ("a red circle , a red circle and an orange heart .", False),
    ],
)
def test_describes_on_hand_written_captions(caption, true):
    assert describes(caption, SCENE) == true


@pytest.mark.parametrize(
    "caption",
    [
        "",
        ".",
        "a dog runs .",
        "a red",
        "a red circle is left of .",
        "a red circle is .",
        "a red circle and",
        "is a red circle",
        "a red circle a blue square",
        "a red green circle",
        "a small red circle that is large",
        "left of a red circle",
        "on the left is a red circle .",
        "which is a red circle",
        "a red circle . a blue square",
        "a red circle is left of the red circle .",
        "a red circle left of above a blue square .",
        "the the the",
    ],
)
def test_parse_returns_none_outside_the_language(caption):
    assert parse(caption) is None


def test_parse_returns_objects_and_relations():
    description = parse("there is a star that is red , and a big cross in black is beneath the star .")
    assert description is not None
    assert description.objects == (Described("star", "red"), Described("cross", "black", "large"))
    assert description.relations == (("below", 1, 0),)
    positions = parse("at the top is a red star , at the bottom is a black cross .")
    assert positions is not None
    assert positions.relations == (("above", 0, 1),)


def test_the_parser_never_crashes():
    rng = np.random.default_rng(5)
    vocabulary = sorted({token for _, caption in CAPTIONS for token in caption.english.split()})
    for _ in range(2000):
        parse(" ".join(vocabulary[i] for i in rng.integers(len(vocabulary), size=rng.integers(1, 14))))
    for _, caption in CAPTIONS:
        tokens = caption.english.split()
        parse(" ".join(tokens[i] for i in rng.permutation(len(tokens))))
        for end in range(len(tokens)):
            parse(" ".join(tokens[:end]))
