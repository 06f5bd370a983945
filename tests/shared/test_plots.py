"""Plots: reasonable sizes for images of any shape and any text; errors of one line."""

import numpy as np
import pytest
from PIL import Image

from shared import plots
from shared.errors import UserError
from shared.media import read_image
from shared.plots import _lit, draw_alignment, draw_history, draw_image_attention, draw_regions


def draw(path, height: int = 30, width: int = 40, words=("a", "red", "dog"), title="a red dog") -> np.ndarray:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (height, width, 3), dtype=np.uint8)
    attention = rng.random((len(words), 2, 3), np.float32)
    draw_image_attention(image, title, list(words), attention, np.linspace(0, 1, len(words)), path)
    return read_image(path)


def test_one_panel_per_word_and_one_for_the_image(tmp_path):
    three, six, seven = (draw(tmp_path / f"{n}.png", words=["word"] * n).shape for n in (3, 6, 7))
    assert three[0] == six[0]  # one row holds the image and six words
    assert three[1] < six[1] == seven[1]
    assert seven[0] > 1.5 * six[0]


@pytest.mark.parametrize(("height", "width"), [(5, 400), (400, 5), (1, 1), (700, 900)])
def test_images_of_any_shape_give_plots_of_reasonable_size(tmp_path, height, width):
    picture = draw(tmp_path / "look.png", height, width)
    assert max(picture.shape) < 1200
    assert min(picture.shape[:2]) > 60


def test_text_is_drawn_literally(tmp_path):
    words = ["$x^", "_{", "\\frac", "$"]  # matplotlib could parse these as mathematics
    assert draw(tmp_path / "a.png", words=words, title=" ".join(words) * 20).size > 0
    assert draw(tmp_path / "b.png", words=[], title="").size > 0


def test_light_follows_the_attention_and_fades_with_the_sentinel():
    picture = Image.fromarray(np.full((40, 60, 3), 200, np.uint8))
    weights = np.zeros((4, 6), np.float32)
    weights[1, 4] = 0.3  # rows 10 to 20, columns 40 to 50
    lit = _lit(picture, weights, strength=1.0).astype(int).sum(axis=-1)
    assert lit.shape == (40, 60)
    row, column = np.unravel_index(np.argmax(lit), lit.shape)
    assert 10 <= row < 20
    assert 40 <= column < 50
    faint, dark = (_lit(picture, weights, strength).astype(int).sum(axis=-1) for strength in (0.1, 0.0))
    assert lit.max() > faint.max() > dark.max()
    assert dark.max() == dark.min()


def test_regions_are_as_bright_as_the_share_of_their_word(tmp_path, monkeypatch):
    image, words = np.full((20, 30, 3), 200, np.uint8), ["dog", "the", "snow"]
    draw_regions(image, "", [], np.zeros(0), np.zeros(0), tmp_path / "a.png")
    assert read_image(tmp_path / "a.png").size > 0
    drawn = []
    monkeypatch.setattr(plots, "_draw_words", lambda *arguments: drawn.append(arguments))
    draw_regions(image, "", words, np.ones((3, 2, 2)), np.array([0.6, -0.5, 0.15]), tmp_path / "b.png")
    *_, strengths, shares, name, _ = drawn[0]
    np.testing.assert_allclose(strengths, [1, 0, 0.25])
    np.testing.assert_allclose(shares, [0.8, 0, 0.2])
    assert name == "share"


def test_unknown_formats_and_unwritable_paths_are_reported_in_one_line(tmp_path):
    draw_history([{"epoch": 1, "loss": 2.0}], ["loss"], tmp_path / "a.svg")
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    with pytest.raises(UserError, match=r"a.xyz: cannot be drawn \(Format 'xyz' is not supported"):
        draw_history([{"epoch": 1, "loss": 2.0}], ["loss"], tmp_path / "a.xyz")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be drawn"):
        draw_history([{"epoch": 1, "loss": 2.0}], ["loss"], tmp_path / "file" / "a.png")
    assert {path.name for path in tmp_path.iterdir()} == {"a.svg", "file"}


def test_an_alignment_has_a_row_per_target_word(tmp_path):
    heights = []
    for target in ([], ["a"], ["a", "$b", "c"]):
        draw_alignment(["x", "y^"], target, np.full((len(target), 3), 0.3), tmp_path / "alignment.png")
        heights.append(read_image(tmp_path / "alignment.png").shape[0])
    assert heights[0] <= heights[1] < heights[2]


@pytest.mark.parametrize("rows", [[], [{"epoch": 1, "a": 1.0}], [{"epoch": 1, "a": 1.0}, {"epoch": 2, "b": 3.0}]])
def test_histories_with_gaps(tmp_path, rows):
    draw_history(rows, ["a", "b"], tmp_path / "history.png")
    assert read_image(tmp_path / "history.png").shape[1] > 300
