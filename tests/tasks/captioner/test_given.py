"""Captions that exist, found by the names of their photos."""

import pytest

from shared.errors import UserError
from tasks.captioner.given import given_captions


def captions_of(folder, rows, *names):
    path = folder / "captions.csv"
    path.write_text("image,caption\n" + "".join(f"{name},{caption}\n" for name, caption in rows.items()))
    return given_captions(path, names)


def test_photos_of_one_name_in_two_folders_have_their_own_captions(tmp_path, capsys):
    rows = {
        "photos/home/1.jpg": "a cat",
        "photos/trip/1.jpg": "a ship",
        "2.png": "a dog",
        "A.jpg": "up",
        "a.jpg": "low",
    }
    names = "trip/1.jpg", "home/1.jpg", "trip/2.jpg", "a.jpg"
    assert captions_of(tmp_path, rows, *names) == ["a ship", "a cat", "a dog", "low"]
    assert capsys.readouterr().err.endswith("captions.csv: 1 captions of other photos are not measured\n")


@pytest.mark.parametrize("rows", [{"x/1.jpg": "a cat", "y/1.jpg": "a ship"}, {"1.jpg": "a cat"}])
def test_names_that_may_be_of_several_photos_are_refused(tmp_path, rows):
    problem = r"captions.csv does not say which caption is that of 2 of 2 photos, such as trip/1.jpg, home/1.jpg; one"
    with pytest.raises(UserError, match=problem):
        captions_of(tmp_path, rows, "trip/1.jpg", "home/1.jpg")
