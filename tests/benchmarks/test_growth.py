"""The benchmark of growth: slopes, the table, and that it runs with tiny sizes; what it measures is not tested."""

import pytest

from tests.benchmarks import growth


def test_slope_is_the_exponent_of_the_upper_half():
    assert growth.slope({1: 9.0, 2: 9.0, 4: 32.0, 8: 128.0, 16: 512.0}) == pytest.approx(2)


def test_every_point_is_measured(monkeypatch):
    monkeypatch.setattr(growth, "POINTS", {"length": (2, 3), "batch": (1,), "units": (4,), "vocabulary": (5, 7)})
    monkeypatch.setattr(growth, "FIXED", {"batch": 2, "length": 3, "units": 4})
    monkeypatch.setattr(growth, "VOCABULARY_UNITS", 6)
    monkeypatch.setattr(growth, "SECONDS", 0)
    found = growth.measure(None)
    assert {varied: tuple(lines) for varied, lines in found.items()} == dict.fromkeys(found, ("Keras", "ours"))
    assert [tuple(lines["ours"]) for lines in found.values()] == [(2, 3), (1,), (4,), (5, 7)]
    assert all(seconds > 0 for lines in found.values() for line in lines.values() for seconds in line.values())


def test_table_has_a_row_for_each_line():
    found = {"vocabulary": {"ours": {point: 2e-6 * point for point in growth.POINTS["vocabulary"]}}}
    header, _, row = growth.table(found)[1:]
    assert header == "| vocabulary | slope | 1,000 | 2,000 | 4,000 | 8,000 | 16,000 | 32,000 |"
    assert row == "| ours, ms | 1.00 | 2.0 | 4.0 | 8.0 | 16.0 | 32.0 | 64.0 |"
    assert len(growth.draw(found).axes) == 1
