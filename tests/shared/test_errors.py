"""Errors of fields, as those of a configuration and of an option."""

import pytest

from shared.errors import MAX_SHOWN, FieldError, shortened


def test_a_field_and_its_option():
    error = FieldError("image_size", 4, "a multiple of 8 was expected")
    assert str(error) == "image_size 4: a multiple of 8 was expected"
    assert str(error.of_option()) == "--image-size 4: a multiple of 8 was expected"


@pytest.mark.parametrize(("length", "shown"), [(MAX_SHOWN, MAX_SHOWN), (MAX_SHOWN + 1, MAX_SHOWN + 3)])
def test_long_values_are_cut(length, shown):
    assert len(shortened("x" * length)) == shown
