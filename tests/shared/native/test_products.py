"""Products against those of NumPy, and threads that wait for each other."""

import threading

import numba
import numpy as np
import pytest

from shared.native.products import (
    ZERO_ROW,
    barrier,
    multiply,
    native,
    pack,
    pack_transposed,
    panel_width,
    product,
    run_on_threads,
    scratch_shape,
)


@native
def _product(
    thread, num_threads, counter, scratch, a, a_transposed, indices, b, b_transposed, start, columns, out, accumulate
):
    product(thread, num_threads, scratch, a, a_transposed, indices, b, b_transposed, start, columns, out, accumulate)


def scratch_for(columns: int) -> np.ndarray:
    """Memory of the smallest size, full of NaN, which a product must not read."""
    return np.full(scratch_shape(2, 1, 0, columns), np.nan, np.float32)


IN_ORDER = np.empty(0, np.int64)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("b_transposed", [False, True])
@pytest.mark.parametrize("a_transposed", [False, True])
@pytest.mark.parametrize(("rows", "depth", "columns"), [(1, 1, 1), (7, 5, 3), (101, 520, 37), (20, 30, 640)])
def test_product(rows, depth, columns, a_transposed, b_transposed):
    """Also with more rows and depth than a block, and with panels that are not full."""
    a, b = normal(rows, depth), normal(depth, columns)
    operands = (
        (a.T.copy() if a_transposed else a),
        a_transposed,
        IN_ORDER,
        (b.T.copy() if b_transposed else b),
        b_transposed,
    )
    out = np.full((rows, columns), np.nan, np.float32)
    expected = a.astype(np.float64) @ b
    for factor, accumulate in ((1, False), (2, True)):
        run_on_threads(_product, 2, scratch_for(columns), *operands, 0, columns, out, accumulate)
        np.testing.assert_allclose(out, factor * expected, rtol=1e-5, atol=2e-7 * depth)


def test_product_refuses_float64():
    a = np.ones((2, 2))
    with pytest.raises(numba.TypingError):
        multiply(a.reshape(-1), 0, 2, 2, a[None], 0, 1, a)


def test_product_of_some_columns():
    a, b, out = normal(4, 6), normal(6, 50), np.zeros((4, 50), np.float32)
    run_on_threads(_product, 2, scratch_for(50), a, False, IN_ORDER, b, False, 20, 25, out, False)
    np.testing.assert_allclose(out[:, 20:45], a @ b[:, 20:45], atol=1e-5)
    assert not out[:, :20].any()
    assert not out[:, 45:].any()


def test_product_of_rows_in_another_order():
    a, b, out = normal(7, 40), normal(5, 3), np.empty((40, 3), np.float32)
    run_on_threads(_product, 2, scratch_for(3), a, True, np.array([6, ZERO_ROW, 0, 3, 3]), b, False, 0, 3, out, False)
    np.testing.assert_allclose(out, a[[6, 0, 3, 3]].T @ b[[0, 2, 3, 4]], atol=1e-5)


@pytest.mark.parametrize("rows", [1, 3, 4, 33])
def test_multiply_by_panels(rows):
    """Small tiles and large ones; a is every second row of a matrix, from its fourth column on."""
    a, kernel = normal(2 * rows, 9), normal(5, 11)
    width = panel_width(rows)
    panels = -(-11 // width)
    scratch, other_scratch = (np.full(panels * width * 5, np.nan, np.float32) for _ in range(2))
    packed = pack(kernel, 0, 11, 0, panels, width, scratch)
    transposed = pack_transposed(kernel.T.copy(), 0, 5, 0, panels, width, other_scratch)
    np.testing.assert_array_equal(packed, transposed)
    out = np.empty((rows, panels * width), np.float32)
    multiply(a.reshape(-1), 4, 18, rows, packed, 0, panels, out)
    np.testing.assert_allclose(out[:, :11], a[::2, 4:] @ kernel, atol=1e-5)
    assert not out[:, 11:].any()


@native
def _scaled(x, factor):
    return x * factor


def test_a_function_is_compiled_once_for_all_constants():
    for constant in (2, 3):
        _scaled.get_call_template((numba.types.float64, numba.types.literal(constant)), {})
    assert len(_scaled.signatures) == 1


@native
def _add_up(thread, num_threads, counter, sums, steps):
    """Each step reads what all threads wrote in the step before."""
    for step in range(1, steps):
        sums[step, thread] = sums[step - 1].sum() + 1
        barrier(counter, num_threads)


@pytest.mark.parametrize("num_threads", [1, 2, 3])
def test_threads_wait_at_a_barrier(num_threads):
    sums = np.zeros((30, num_threads))
    run_on_threads(_add_up, num_threads, sums, 30)
    expected = np.zeros(30)
    for step in range(1, 30):
        expected[step] = num_threads * expected[step - 1] + 1
    np.testing.assert_allclose(sums, np.broadcast_to(expected[:, None], sums.shape))


@pytest.mark.parametrize("failing", [0, 1])
def test_an_error_is_raised_and_stops_no_other_thread(failing):
    def work(thread, num_threads, counter):
        if thread == failing:
            raise ArithmeticError("failed")
        barrier(counter, num_threads)

    with pytest.raises(ArithmeticError, match="failed"):
        run_on_threads(work, 2)


def test_concurrent_calls_do_not_block_each_other():
    """Calls from several threads, as by the two directions of a layer."""
    runs = [np.zeros((200, 2)) for _ in range(4)]
    callers = [threading.Thread(target=run_on_threads, args=(_add_up, 2, sums, 200)) for sums in runs]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(timeout=60)
        assert not caller.is_alive()
    for sums in runs[1:]:
        np.testing.assert_array_equal(sums, runs[0])
