"""Products against those of NumPy, and threads that wait for each other."""

import threading

import ml_dtypes
import numba
import numpy as np
import pytest

from shared.native import bfloat16
from shared.native.products import (
    ZERO_ROW,
    barrier,
    multiply,
    native,
    pack,
    pack_transposed,
    panel_width,
    product,
    round_row,
    run_on_threads,
    scratch_shape,
    whole_tiles,
    words_of,
)


@native
def _product(
    thread, num_threads, counter, scratch, a, a_transposed, indices, b, b_transposed, start, columns, bfloat16, out,
    accumulate,
):  # fmt: skip
    product(
        thread, num_threads, scratch, a, a_transposed, indices, b, b_transposed, start, columns, bfloat16, out,
        accumulate,
    )  # fmt: skip


FLOAT32 = pytest.param(False, id="float32")
BFLOAT16 = pytest.param(
    True,
    id="bfloat16",
    marks=pytest.mark.skipif(not bfloat16.is_available(), reason="needs a processor that multiplies bfloat16 numbers"),
)


def rounded(x: np.ndarray, to_bfloat16: bool) -> np.ndarray:
    """The factors that are multiplied, in float64."""
    return (x.astype(ml_dtypes.bfloat16) if to_bfloat16 else x).astype(np.float64)


def scratch_for(columns: int, to_bfloat16: bool = False) -> np.ndarray:
    """Memory of the smallest size, full of NaN, which a product must not read."""
    return np.full(scratch_shape(2, 1, 0, columns, to_bfloat16), np.nan, np.float32)


IN_ORDER = np.empty(0, np.int64)


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("to_bfloat16", [FLOAT32, BFLOAT16])
@pytest.mark.parametrize("b_transposed", [False, True])
@pytest.mark.parametrize("a_transposed", [False, True])
@pytest.mark.parametrize(("rows", "depth", "columns"), [(1, 1, 1), (7, 5, 3), (101, 520, 37), (20, 30, 640)])
def test_product(rows, depth, columns, a_transposed, b_transposed, to_bfloat16):
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
    expected = rounded(a, to_bfloat16) @ rounded(b, to_bfloat16)
    for factor, accumulate in ((1, False), (2, True)):
        scratch = scratch_for(columns, to_bfloat16)
        run_on_threads(_product, 2, scratch, *operands, 0, columns, to_bfloat16, out, accumulate)
        np.testing.assert_allclose(out, factor * expected, rtol=1e-5, atol=2e-7 * depth)


def test_product_refuses_float64():
    a = np.ones((2, 2))
    with pytest.raises(numba.TypingError):
        multiply(a.reshape(-1), 0, 2, 2, a[None], 0, 1, False, a)


@pytest.mark.parametrize("to_bfloat16", [FLOAT32, BFLOAT16])
def test_product_of_some_columns(to_bfloat16):
    a, b, out = normal(4, 6), normal(6, 50), np.zeros((4, 50), np.float32)
    scratch = scratch_for(50, to_bfloat16)
    run_on_threads(_product, 2, scratch, a, False, IN_ORDER, b, False, 20, 25, to_bfloat16, out, False)
    expected = rounded(a, to_bfloat16) @ rounded(b, to_bfloat16)
    np.testing.assert_allclose(out[:, 20:45], expected[:, 20:45], atol=1e-5)
    assert not out[:, :20].any()
    assert not out[:, 45:].any()


@pytest.mark.parametrize("to_bfloat16", [FLOAT32, BFLOAT16])
def test_product_of_rows_in_another_order(to_bfloat16):
    a, b, out = normal(7, 40), normal(5, 3), np.empty((40, 3), np.float32)
    scratch, order = scratch_for(3, to_bfloat16), np.array([6, ZERO_ROW, 0, 3, 3])
    run_on_threads(_product, 2, scratch, a, True, order, b, False, 0, 3, to_bfloat16, out, False)
    expected = rounded(a[[6, 0, 3, 3]], to_bfloat16).T @ rounded(b[[0, 2, 3, 4]], to_bfloat16)
    np.testing.assert_allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize("to_bfloat16", [FLOAT32, BFLOAT16])
@pytest.mark.parametrize("columns", [75, 120])
@pytest.mark.parametrize("rows", [1, 3, 4, 33])
def test_multiply_by_panels(rows, columns, to_bfloat16):
    """Small tiles and large ones, with AVX-512 wide and narrow ones; a is every second row of a matrix, from its fourth
    column on, and not all panels are multiplied."""
    a, kernel = normal(2 * rows, 9), normal(5, columns)
    width = panel_width(rows, columns, 2, to_bfloat16)
    panels, depth = -(-columns // width), words_of(5, to_bfloat16)
    scratch, other_scratch = (np.full(panels * width * depth, np.nan, np.float32) for _ in range(2))
    packed = pack(kernel, 0, columns, 0, panels, width, to_bfloat16, scratch)
    transposed = pack_transposed(kernel.T.copy(), 0, 5, 0, panels, width, to_bfloat16, other_scratch)
    np.testing.assert_array_equal(packed.view(np.int32), transposed.view(np.int32))
    factors, out = (a.reshape(-1), 4, 18), np.full((whole_tiles(rows), panels * width), np.nan, np.float32)
    if to_bfloat16:
        words = np.zeros((whole_tiles(rows), depth), np.float32)
        for row in range(rows):
            round_row(a[2 * row, 4:], words[row])
        factors = words.reshape(-1), 0, depth
    multiply(*factors, rows, packed, 1, panels, to_bfloat16, out)
    out = out[:rows]
    expected = rounded(a[::2, 4:], to_bfloat16) @ rounded(kernel, to_bfloat16)[:, width:]
    np.testing.assert_allclose(out[:, : columns - width], expected, atol=1e-5)
    assert not out[:, columns - width : (panels - 1) * width].any()


@pytest.mark.skipif(not bfloat16.HAS_AVX512, reason="needs AVX-512 with products of bfloat16 numbers")
@pytest.mark.parametrize("accumulate", [False, True])
@pytest.mark.parametrize(("num_tiles", "num_panels"), [(1, 1), (1, 2), (2, 1), (2, 2)])
def test_a_block_by_avx512(num_tiles, num_panels, accumulate):
    """What a processor without AMX calls."""
    a, b = normal(32, 64), normal(64, 32)
    words, panels = np.zeros((32, 32), np.float32), np.full(64 * 32, np.nan, np.float32)
    for row in range(32):
        round_row(a[row], words[row])
    packed = pack(b, 0, 32, 0, 2, 16, True, panels)
    out = np.ones((32, 40), np.float32)

    @numba.njit
    def run(a, panels, out):
        bfloat16.multiply_block_by_avx512(
            a, 0, 32, panels, 0, 32 * 16, out, 3, 40, 32, num_tiles, num_panels, accumulate
        )

    run(words.reshape(-1), packed.reshape(-1), out)
    expected = np.ones((32, 40))
    rows, columns = 16 * num_tiles, 16 * num_panels
    product = (rounded(a, True) @ rounded(b, True))[:rows, :columns]
    expected[:rows, 3 : 3 + columns] = product + accumulate
    np.testing.assert_allclose(out, expected, atol=1e-5)


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
