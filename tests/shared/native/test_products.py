"""Products against NumPy's, and threads that work together."""

import threading

import numpy as np
import pytest

from shared.native.products import (
    NONE,
    meet,
    multiply,
    native,
    pack,
    pack_transposed,
    panel_width,
    product,
    room_for,
    together,
)


@native
def _product(thread, threads, counter, room, a, a_transposed, places, b, b_transposed, begin, columns, out, add):
    product(thread, threads, room, a, a_transposed, places, b, b_transposed, begin, columns, out, add)


def room_of(columns: int, dtype: str = "float32") -> np.ndarray:
    """No larger than it must be, and full of what must not be read."""
    return np.full(room_for(2, 1, 0, columns, np.dtype(dtype).itemsize), np.nan, dtype)


IN_PLACE = np.empty(0, np.int64)


def normal(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(dtype)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("b_transposed", [False, True])
@pytest.mark.parametrize("a_transposed", [False, True])
@pytest.mark.parametrize(("rows", "depth", "columns"), [(1, 1, 1), (7, 5, 3), (101, 520, 37), (20, 30, 640)])
def test_product(rows, depth, columns, a_transposed, b_transposed, dtype):
    """Also more rows and depth than a block has, and panels that are not full."""
    a, b = normal(rows, depth, dtype=dtype), normal(depth, columns, dtype=dtype)
    given = (
        (a.T.copy() if a_transposed else a),
        a_transposed,
        IN_PLACE,
        (b.T.copy() if b_transposed else b),
        b_transposed,
    )
    out = np.full((rows, columns), np.nan, dtype)
    tolerance = 1e-3 if dtype == "float32" else 1e-11
    room = room_of(columns, dtype)
    for times, add in ((1, False), (2, True)):
        together(_product, 2, room, *given, 0, columns, out, add)
        np.testing.assert_allclose(out, times * (a @ b), atol=tolerance)


def test_product_of_some_columns():
    a, b, out = normal(4, 6), normal(6, 50), np.zeros((4, 50), np.float32)
    together(_product, 2, room_of(50), a, False, IN_PLACE, b, False, 20, 25, out, False)
    np.testing.assert_allclose(out[:, 20:45], a @ b[:, 20:45], atol=1e-5)
    assert not out[:, :20].any()
    assert not out[:, 45:].any()


def test_product_of_rows_in_another_order():
    a, b, out = normal(7, 40), normal(5, 3), np.empty((40, 3), np.float32)
    together(_product, 2, room_of(3), a, True, np.array([6, NONE, 0, 3, 3]), b, False, 0, 3, out, False)
    np.testing.assert_allclose(out, a[[6, 0, 3, 3]].T @ b[[0, 2, 3, 4]], atol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 4, 33])
def test_multiply_by_panels(rows):
    """Few rows and many, of every second row of a the columns from the fourth on, as many as the panels are deep."""
    a, kernel = normal(2 * rows, 9), normal(5, 11)
    width = panel_width(rows, 4)
    panels = -(-11 // width)
    room, other_room = (np.full(panels * width * 5, np.nan, np.float32) for _ in range(2))
    packed = pack(kernel, 0, 11, 0, panels, width, room)
    transposed = pack_transposed(kernel.T.copy(), 0, 5, 0, panels, width, other_room)
    np.testing.assert_array_equal(packed, transposed)
    out = np.empty((rows, panels * width), np.float32)
    multiply(a.reshape(-1), 4, 18, rows, packed, 0, panels, out)
    np.testing.assert_allclose(out[:, :11], a[::2, 4:] @ kernel, atol=1e-5)
    assert not out[:, 11:].any()


@native
def _relay(thread, threads, counter, baton, rounds):
    """Each thread adds in its turn; one that does not wait would read what is not there yet."""
    for step in range(1, rounds):
        baton[step, thread] = baton[step - 1].sum() + 1
        meet(counter, threads)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_wait_for_one_another(threads):
    baton = np.zeros((30, threads))
    together(_relay, threads, baton, 30)
    expected = np.zeros(30)
    for step in range(1, 30):
        expected[step] = threads * expected[step - 1] + 1
    np.testing.assert_allclose(baton, np.broadcast_to(expected[:, None], baton.shape))


@pytest.mark.parametrize("lost", [0, 1])
def test_what_goes_wrong_is_told_and_keeps_nobody_waiting(lost):
    def work(thread, threads, counter):
        if thread == lost:
            raise ArithmeticError("lost")
        meet(counter, threads)

    with pytest.raises(ArithmeticError, match="lost"):
        together(work, 2)


def test_teams_do_not_wait_for_each_other():
    """Calls from several threads at once, as of the two directions of a layer."""
    batons = [np.zeros((200, 2)) for _ in range(4)]
    callers = [threading.Thread(target=together, args=(_relay, 2, baton, 200)) for baton in batons]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
        assert not caller.is_alive()
    for baton in batons[1:]:
        np.testing.assert_array_equal(baton, batons[0])
