"""Intervals of drawn groups."""

import numpy as np

from shared.intervals import DRAWS, around, drawn, middle


def test_as_many_groups_are_drawn_as_there_are_with_replacement():
    sums = drawn(np.array([[1, 10.0], [2, 20.0], [4, 40.0]]))
    assert sums.shape == (DRAWS, 2)
    np.testing.assert_allclose(sums[:, 1], 10 * sums[:, 0])
    assert set(sums[:, 0]) == {3, 4, 5, 6, 7, 8, 9, 10, 12}  # all three draws, in any order
    np.testing.assert_allclose((sums[:, 0] == 7).mean(), 6 / 27, atol=0.03)
    assert middle(np.arange(1001)) == {"from": 25, "to": 975}


def test_the_interval_around_a_biased_estimate_has_its_distances_mirrored():
    draws = np.arange(1001) / 1000  # the middle is 0.025 to 0.975
    assert around(0.7, draws) == {"from": 0.425, "to": 1.375}
    assert around(0.01, draws) == {"from": 0, "to": 0}
