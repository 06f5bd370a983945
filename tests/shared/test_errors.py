"""Ranges of configuration fields."""

from types import SimpleNamespace

import pytest

from shared.errors import UserError, expect

RANGES = [
    ("at least 1", [1, 7], [0, -1]),
    ("at least 2", [2], [1]),
    ("0 or more", [0, 0.5], [-1]),
    ("above 0", [1e-9], [0, -1.0]),
    ("from 0 to 1", [0, 0.5, 1], [-0.1, 1.1]),
    ("from 0 to below 1", [0, 0.99], [1, -0.1]),
]


@pytest.mark.parametrize(("expected", "valid", "invalid"), RANGES)
def test_fields_outside_their_range_are_refused(expected, valid, invalid):
    for value in valid:
        expect(expected, SimpleNamespace(units=value), "units")
    for value in [*invalid, float("nan")]:
        with pytest.raises(UserError) as error:
            expect(expected, SimpleNamespace(layers=valid[0], units=value), "layers units")
        assert str(error.value) == f"units {value}: {expected} was expected"
