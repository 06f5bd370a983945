"""Small matrix products and the threads that compute them, for the compiled loops.

A library packs its operands and starts its threads at every product. Over a sequence the recurrent kernel stays the
same, so it is packed once for all steps, and the threads run from the first step to the last. Products are computed in
tiles whose sums stay in vector registers (Goto and van de Geijn 2008, section 4): a few rows, a panel of columns, the
whole depth.

A panel holds some columns of a matrix, contiguous in memory: `(depth, width)`. Factors are float32 or, with `bfloat16`,
rounded to it and multiplied as pairs, where `shared.native.bfloat16` has instructions for that; sums are float32.
Functions marked `@native` call each other in machine code; arrays are float32 and C-contiguous.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.caching import UserProvidedCacheLocator
from numba.extending import intrinsic

from shared.machine import cores
from shared.native.bfloat16 import (
    BLOCK,
    TILE_WORDS,
    WIDTH,
    begin_tiles,
    end_tiles,
    multiply_block,
    to_bfloat16,
)
from shared.native.precompile import cache_folder


class SharedCache(UserProvidedCacheLocator):
    """A folder of numba's cache for all copies of the project, not one for each folder of sources."""

    @classmethod
    def get_suitable_cache_subpath(cls, py_file: str) -> str:
        return ""


def native(function: Callable) -> Any:
    """Compiles a function to machine code that runs without the interpreter's lock."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    names = "CACHE_DIR", "CACHE_LOCATOR_CLASSES"
    before = [getattr(numba.config, name, "") for name in names]
    numba.config.CACHE_DIR, numba.config.CACHE_LOCATOR_CLASSES = str(cache_folder()), f"{__name__}.SharedCache"
    try:
        compiled: Any = numba.njit(function, cache=True, **options)
    except RuntimeError:  # the cache folder is not writable
        compiled = numba.njit(function, **options)
    finally:
        for name, value in zip(names, before, strict=True):
            setattr(numba.config, name, value)
    # To numba each constant is a type; without this a function is compiled for every constant that it is called with.
    find = compiled.get_call_template
    compiled.get_call_template = lambda args, kws: find([types.unliteral(arg) for arg in args], kws)
    return compiled


_AVX512 = llvmlite.binding.get_host_cpu_features().get("avx512f", False)
_LANES = 16 if _AVX512 else 8  # float32 numbers in a vector register
# A tile of rows x vectors needs as many registers for its sums, of 16 (AVX2) or 32 (AVX-512). Tiles of few rows take
# more columns to fill the registers. Narrow ones divide few columns among the threads more evenly.
_TILE_ROWS, _TILE_VECTORS = (8, 3) if _AVX512 else (6, 2)
_SMALL_TILE_ROWS, _SMALL_TILE_VECTORS = 3, 4
_NARROW_TILE_VECTORS = 2
_MIN_UNITS = 64  # of a thread: with less work, threads wait at barriers most of the time
_TILE_START = 0.5  # time to load the factors of a tile, as a part of the time that a vector of its columns takes
_BLOCK_ROWS, _BLOCK_DEPTH = 96, 512  # a block that stays in a core's cache while all panels are multiplied with it
ZERO_ROW = -1  # an index that stands for a row of zeros


def _tile(max_rows: int, vectors: int) -> Any:
    """The product of at most `max_rows` rows and one panel of `vectors` vectors, as an intrinsic function."""

    @intrinsic
    def tile(
        typing_context, a, a_start, row_stride, depth_stride, panels, panel_start, out, out_start, out_stride, depth,
        rows, accumulate,
    ):  # fmt: skip
        if not a.dtype == panels.dtype == out.dtype == types.float32:
            return None  # no such function: a type error for the caller
        index = types.intp
        signature = types.void(a, index, index, index, panels, index, out, index, index, index, index, types.boolean)

        def generate(context, builder, signature, arguments):
            vector = ir.VectorType(ir.FloatType(), _LANES)
            _, a_start, row_stride, depth_stride, _, panel_start, _, out_start, out_stride, depth, rows, add = arguments
            word, lane = a_start.type, ir.IntType(32)
            multiply_add = cgutils.get_or_insert_function(
                builder.module, ir.FunctionType(vector, [vector] * 3), f"llvm.fma.v{_LANES}f32"
            )

            def address(argument: int, start):
                array = context.make_array(signature.args[argument])(context, builder, arguments[argument])
                return builder.gep(array.data, [start])

            def vector_address(start, i: int):
                return builder.bitcast(builder.gep(start, [ir.Constant(word, i * _LANES)]), vector.as_pointer())

            def broadcast(scalar):
                one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(lane, 0))
                return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(lane, _LANES), [0] * _LANES))

            def row_addresses(start, stride, count: int):
                return [builder.gep(start, [builder.mul(stride, ir.Constant(word, row))]) for row in range(count)]

            a, panel, out = address(0, a_start), address(4, panel_start), address(6, out_start)
            end = builder.append_basic_block("end")
            cases = builder.switch(rows, end)
            for count in range(1, max_rows + 1):
                entry, loop, exit = (builder.append_basic_block(f"{name}_{count}") for name in ("in", "loop", "out"))
                cases.add_case(ir.Constant(word, count), entry)
                builder.position_at_end(entry)
                a_rows, out_rows = row_addresses(a, row_stride, count), row_addresses(out, out_stride, count)
                zero = ir.Constant(vector, [0.0] * _LANES)
                targets = [[vector_address(row, i) for i in range(vectors)] for row in out_rows]
                with builder.if_else(add) as (then, otherwise):
                    with then:
                        loaded = builder.block
                        old_sums = [[builder.load(target, align=4) for target in row] for row in targets]
                    with otherwise:
                        empty = builder.block
                initial_sums = []
                for row in old_sums:
                    initial_sums.append([builder.phi(vector) for _ in row])
                    for phi, old in zip(initial_sums[-1], row, strict=True):
                        phi.add_incoming(old, loaded)
                        phi.add_incoming(zero, empty)
                entry = builder.block
                builder.branch(loop)

                builder.position_at_end(loop)
                k = builder.phi(word)
                sums = [[builder.phi(vector) for _ in range(vectors)] for _ in range(count)]
                line = builder.gep(panel, [builder.mul(k, ir.Constant(word, vectors * _LANES))])
                columns = [builder.load(vector_address(line, i), align=4) for i in range(vectors)]
                factors = [broadcast(builder.load(builder.gep(row, [builder.mul(k, depth_stride)]))) for row in a_rows]
                new_sums = [
                    [
                        builder.call(multiply_add, [factor, column, old])
                        for column, old in zip(columns, row, strict=True)
                    ]
                    for factor, row in zip(factors, sums, strict=True)
                ]
                next_k = builder.add(k, ir.Constant(word, 1))
                k.add_incoming(ir.Constant(word, 0), entry)
                k.add_incoming(next_k, loop)
                for row_sums, row_initial, row_new in zip(sums, initial_sums, new_sums, strict=True):
                    for phi, initial, new in zip(row_sums, row_initial, row_new, strict=True):
                        phi.add_incoming(initial, entry)
                        phi.add_incoming(new, loop)
                builder.cbranch(builder.icmp_signed("<", next_k, depth), loop, exit)

                builder.position_at_end(exit)
                for row_targets, row_new in zip(targets, new_sums, strict=True):
                    for target, new in zip(row_targets, row_new, strict=True):
                        builder.store(new, target, align=4)
                builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return signature, generate

    return tile


_wide_tile, _narrow_tile = _tile(_TILE_ROWS, _TILE_VECTORS), _tile(_TILE_ROWS, _NARROW_TILE_VECTORS)
_small_tile = _tile(_SMALL_TILE_ROWS, _SMALL_TILE_VECTORS)


@native
def _multiply_tile(
    a, a_start, row_stride, depth_stride, panels, panel_start, width, out, out_start, out_stride, depth, rows,
    accumulate,
):  # fmt: skip
    """out = a times a panel of `width` columns, or out += it: `rows` rows, at most `_TILE_ROWS`."""
    target = out, out_start, out_stride
    if width == _TILE_VECTORS * _LANES:
        _wide_tile(a, a_start, row_stride, depth_stride, panels, panel_start, *target, depth, rows, accumulate)
    else:
        _narrow_tile(a, a_start, row_stride, depth_stride, panels, panel_start, *target, depth, rows, accumulate)


@native
def panel_width(rows: int, columns: int, num_threads: int, bfloat16: bool) -> int:
    """Columns of a panel for products of `rows` rows, with which the busiest thread has the least to do."""
    if bfloat16:
        return WIDTH
    if rows <= _SMALL_TILE_ROWS:
        return _SMALL_TILE_VECTORS * _LANES
    wide, narrow = _TILE_VECTORS * _LANES, _NARROW_TILE_VECTORS * _LANES
    is_narrow = _time(columns, num_threads, narrow) < _time(columns, num_threads, wide)
    return narrow if is_narrow else wide


@native
def _time(columns, num_threads, width):
    """The time of the busiest thread for panels of this width; that of a vector of columns is 1."""
    panels = -(-columns // width)
    return -(-panels // num_threads) * (width // _LANES + _TILE_START)


@native
def words_of(depth: int, bfloat16: bool) -> int:
    """Numbers, or words with two of them, of a packed row or column."""
    return -(-depth // (2 * TILE_WORDS)) * TILE_WORDS if bfloat16 else depth


@native
def whole_tiles(rows: int) -> int:
    """`rows`, filled up to whole tiles of bfloat16 products."""
    return -(-rows // WIDTH) * WIDTH


@native
def partition(size: int, thread: int, num_threads: int) -> tuple[int, int]:
    """The range of a thread's indices out of `size`: the first, and the one after the last."""
    return size * thread // num_threads, size * (thread + 1) // num_threads


@native
def pack(matrix, start, columns, first_panel, num_panels, width, bfloat16, scratch):
    """Packs columns of a matrix `(depth, any)` as panels.

    Args:
        matrix: float32 `(depth, any)`.
        start, columns: the first of the columns that the panels divide, and how many there are.
        first_panel, num_panels: which panels to pack. The last one is filled up with 0.
        width: columns of a panel.
        scratch: float32, flat: the memory of the result.

    Returns:
        float32 `(panels, words_of(depth), width)`.
    """
    depth = matrix.shape[0]
    packed = _empty_panels(scratch, depth, columns, first_panel, num_panels, width, bfloat16)
    if bfloat16:
        halves = packed.view(np.uint16)
        for word in range((depth + 1) // 2):
            for panel in range(first_panel, first_panel + num_panels):
                size, column = min(width, columns - panel * width), start + panel * width
                even, pairs = matrix[2 * word, column : column + size], halves[panel - first_panel, word]
                if 2 * word + 1 < depth:
                    odd = matrix[2 * word + 1, column : column + size]
                    for j in range(size):
                        pairs[2 * j], pairs[2 * j + 1] = to_bfloat16(even[j]), to_bfloat16(odd[j])
                else:
                    for j in range(size):
                        pairs[2 * j], pairs[2 * j + 1] = to_bfloat16(even[j]), 0
        return packed
    for k in range(depth):
        for panel in range(first_panel, first_panel + num_panels):
            for j in range(min(width, columns - panel * width)):
                packed[panel - first_panel, k, j] = matrix[k, start + panel * width + j]
    return packed


@native
def _empty_panels(scratch, depth, columns, first_panel, num_panels, width, bfloat16):
    words = words_of(depth, bfloat16)
    packed = scratch[: num_panels * words * width].reshape(num_panels, words, width)
    if bfloat16:
        packed[:, depth // 2 :] = 0
    if (first_panel + num_panels) * width > columns and num_panels > 0:
        packed[-1] = 0
    return packed


@native
def pack_transposed(matrix, start, depth, first_panel, num_panels, width, bfloat16, scratch):
    """`pack` for the transpose of `matrix[:, start : start + depth]`: its columns are the rows of `matrix`."""
    packed = _empty_panels(scratch, depth, matrix.shape[0], first_panel, num_panels, width, bfloat16)
    halves = packed.view(np.uint16)
    for panel in range(first_panel, first_panel + num_panels):
        for j in range(min(width, matrix.shape[0] - panel * width)):
            row = matrix[panel * width + j, start : start + depth]
            if bfloat16:
                for k in range(depth):
                    halves[panel - first_panel, k // 2, 2 * j + k % 2] = to_bfloat16(row[k])
            else:
                for k in range(depth):
                    packed[panel - first_panel, k, j] = row[k]
    return packed


@native
def _pack_block(b, transposed, k, depth, start, columns, first_panel, num_panels, width, bfloat16, scratch):
    """The panels of rows `k` to before `k + depth` of b, or of its transpose."""
    if transposed:
        return pack_transposed(b, k, depth, first_panel, num_panels, width, bfloat16, scratch)
    return pack(b[k : k + depth], start, columns, first_panel, num_panels, width, bfloat16, scratch)


@native
def round_row(row, words):
    """Writes a row of numbers as bfloat16 words; those after its end are left as they are."""
    halves = words.view(np.uint16)
    for k in range(row.size):
        halves[k] = to_bfloat16(row[k])


def scratch_shape(num_threads: int, rows: int, units: int, columns: int, bfloat16: bool = False) -> tuple[int, int]:
    """The shape of the threads' scratch memory, `(num_threads, numbers)`.

    It holds a thread's panels of a `(columns, units)` matrix for products of `rows` rows, or those of one block of
    `product` with `columns` columns.
    """

    def packed_columns(columns: int, rows: int) -> int:
        """Most columns of a thread, in whole panels, the widest: narrower ones are chosen if they are fewer columns."""
        vectors = _TILE_VECTORS if rows > _SMALL_TILE_ROWS else _SMALL_TILE_VECTORS
        width = WIDTH if bfloat16 else vectors * _LANES
        return -(-columns // (width * num_threads)) * width

    # With `bfloat16` the parts of a kernel, at most 4, are filled up each.
    depth = columns + 4 * TILE_WORDS if bfloat16 else columns
    recurrent, block = packed_columns(units, rows) * depth, packed_columns(columns, _TILE_ROWS) * _BLOCK_DEPTH
    return num_threads, max(recurrent, block)


@native
def multiply(a, start, stride, rows, panels, first_panel, end_panel, bfloat16, out):
    """out = a times the panels from `first_panel` to before `end_panel`.

    Args:
        a: float32, flat. Its rows begin at `start`, are `stride` numbers apart and as long as the panels are deep. With
            `bfloat16` they are words, as of `round_row`, in whole tiles.
        panels: float32 `(panels, words_of(depth), width)`.
        out: float32 `(rows, columns)`, at least as wide as those panels; with `bfloat16` in whole tiles.
    """
    out_stride = out.shape[1]
    depth, width = panels.shape[1:]
    if bfloat16:
        begin_tiles()
        for panel in range(first_panel, end_panel, BLOCK):
            num_panels = min(BLOCK, end_panel - panel)
            for row in range(0, rows, BLOCK * WIDTH):
                num_tiles = 1 if rows - row <= WIDTH else BLOCK
                multiply_block(
                    a, start + row * stride, stride, panels, panel * depth * width, depth * width, out,
                    row * out_stride + (panel - first_panel) * width, out_stride, depth, num_tiles, num_panels, False,
                )  # fmt: skip
        end_tiles()
        return
    small = rows <= _SMALL_TILE_ROWS
    tiles = -(-rows // (_SMALL_TILE_ROWS if small else _TILE_ROWS))
    for panel in range(first_panel, end_panel):
        for tile in range(tiles):
            row = rows * tile // tiles
            count = rows * (tile + 1) // tiles - row
            a_start, out_start = start + row * stride, row * out_stride + (panel - first_panel) * width
            offset = panel * depth * width
            if small:
                _small_tile(a, a_start, stride, 1, panels, offset, out, out_start, out_stride, depth, count, False)
            else:
                _multiply_tile(
                    a, a_start, stride, 1, panels, offset, width, out, out_start, out_stride, depth, count, False
                )


@native
def _pack_rows(a, transposed, indices, start, end, first, depth, packed):
    """Packs rows `start` to before `end` of a, or of its transpose, `depth` numbers of each from `first` on.

    `packed`: `(tiles, depth, rows)`.
    """
    for row in range(start, end, _TILE_ROWS):
        tile, count = (row - start) // _TILE_ROWS, min(_TILE_ROWS, end - row)
        for k in range(depth):
            index = indices[first + k] if indices.size else first + k
            for i in range(count):
                if index == ZERO_ROW:
                    packed[tile, k, i] = 0
                else:
                    packed[tile, k, i] = a[index, row + i] if transposed else a[row + i, index]


@native
def _round_rows(a, transposed, indices, start, end, first, depth, packed):
    """`_pack_rows` as bfloat16 words, `(rows, words)`."""
    packed[:, depth // 2 : words_of(depth, True)] = 0
    if not transposed:
        for row in range(start, end):
            round_row(a[row, first : first + depth], packed[row - start])
        return
    halves = packed.view(np.uint16)
    for row in range(start, end, WIDTH):  # a tile at a time, whose lines stay in the nearest cache
        count = min(WIDTH, end - row)
        for k in range(depth):
            index = indices[first + k] if indices.size else first + k
            for i in range(count):
                halves[row - start + i, k] = 0 if index == ZERO_ROW else to_bfloat16(a[index, row + i])


@native
def _bfloat16_product(
    thread, num_threads, scratch, a, a_transposed, indices, b, b_transposed, start, columns, out, accumulate
):
    """`product` of numbers that are rounded to bfloat16."""
    rows, depth = out.shape[0], b.shape[1] if b_transposed else b.shape[0]
    first_panel, end_panel = partition(-(-columns // WIDTH), thread, num_threads)
    num_panels = end_panel - first_panel
    packed_rows = np.empty((whole_tiles(_BLOCK_ROWS), words_of(_BLOCK_DEPTH, True)), np.float32)
    flat_rows, stride = packed_rows.reshape(packed_rows.size), packed_rows.shape[1]
    edge = np.empty((BLOCK * WIDTH, BLOCK * WIDTH), np.float32)
    for k in range(0, depth, _BLOCK_DEPTH):
        block_depth = min(_BLOCK_DEPTH, depth - k)
        panels = _pack_block(
            b, b_transposed, k, block_depth, start, columns, first_panel, num_panels, WIDTH, True, scratch[thread]
        )
        words = panels.shape[1]
        begin_tiles()
        for first_row in range(0, rows, _BLOCK_ROWS):
            end_row = min(first_row + _BLOCK_ROWS, rows)
            _round_rows(a, a_transposed, indices, first_row, end_row, k, block_depth, packed_rows)
            for panel in range(first_panel, end_panel, BLOCK):
                panels_here = min(BLOCK, end_panel - panel)
                offset, column = (panel - first_panel) * words * WIDTH, panel * WIDTH
                width = min(panels_here * WIDTH, columns - column)
                for row in range(first_row, end_row, BLOCK * WIDTH):
                    count = min(BLOCK * WIDTH, end_row - row)
                    num_tiles = -(-count // WIDTH)
                    whole = width == panels_here * WIDTH and count == num_tiles * WIDTH
                    add = accumulate or k > 0
                    target, out_start, out_stride = (
                        (out, row * out.shape[1] + start + column, out.shape[1]) if whole else (edge, 0, edge.shape[1])
                    )
                    multiply_block(
                        flat_rows, (row - first_row) * stride, stride, panels, offset, words * WIDTH, target, out_start,
                        out_stride, words, num_tiles, panels_here, add and whole,
                    )  # fmt: skip
                    if not whole:
                        for i in range(count):
                            result = out[row + i, start + column : start + column + width]
                            for j in range(width):
                                result[j] = result[j] + edge[i, j] if add else edge[i, j]
        end_tiles()


@native
def product(
    thread, num_threads, scratch, a, a_transposed, indices, b, b_transposed, start, columns, bfloat16, out, accumulate
):
    """out = a b, or out += a b: a thread's part of the columns.

    Args:
        scratch: float32, of `scratch_shape`.
        a: float32 `(rows, depth)`; `(any, rows)` if `a_transposed`.
        indices: int64 `(depth,)`, if `a_transposed`: the row of a for each row of b, or `ZERO_ROW`; empty: row by row.
        b: float32 `(depth, any)`; `(any, depth)` if `b_transposed`.
        start, columns: the range of columns of b and out, unless `b_transposed`.
        bfloat16: round a and b to it.
        out: float32 `(rows, any)`.
        accumulate: add to out.
    """
    rows, depth = out.shape[0], b.shape[1] if b_transposed else b.shape[0]
    width = panel_width(_TILE_ROWS, columns, num_threads, bfloat16)
    first_panel, end_panel = partition(-(-columns // width), thread, num_threads)
    if depth == 0 and not accumulate:
        out[:, start + first_panel * width : start + min(end_panel * width, columns)] = 0
    if bfloat16:
        _bfloat16_product(
            thread, num_threads, scratch, a, a_transposed, indices, b, b_transposed, start, columns, out, accumulate
        )
        return
    num_panels = end_panel - first_panel
    # Rows of a large matrix lie in different memory pages; packing a tile of them pays off for many columns.
    packed = a_transposed or num_panels * width > 512
    edge = np.empty((_TILE_ROWS, width), np.float32)
    packed_rows = np.empty((-(-_BLOCK_ROWS // _TILE_ROWS), _BLOCK_DEPTH, _TILE_ROWS), np.float32)
    for k in range(0, depth, _BLOCK_DEPTH):
        block_depth = min(_BLOCK_DEPTH, depth - k)
        panels = _pack_block(
            b, b_transposed, k, block_depth, start, columns, first_panel, num_panels, width, False, scratch[thread]
        )
        for first_row in range(0, rows, _BLOCK_ROWS):
            end_row = min(first_row + _BLOCK_ROWS, rows)
            if packed:
                _pack_rows(a, a_transposed, indices, first_row, end_row, k, block_depth, packed_rows)
            for panel in range(first_panel, end_panel):
                column, offset = start + panel * width, (panel - first_panel) * block_depth * width
                whole = (panel + 1) * width <= columns
                for row in range(first_row, end_row, _TILE_ROWS):
                    add = (accumulate or k > 0) and whole
                    target, out_start, out_stride = (
                        (out, row * out.shape[1] + column, out.shape[1]) if whole else (edge, 0, width)
                    )
                    count = min(_TILE_ROWS, end_row - row)
                    if packed:
                        a_start = (row - first_row) * _BLOCK_DEPTH
                        _multiply_tile(
                            packed_rows, a_start, 1, _TILE_ROWS, panels, offset, width, target, out_start, out_stride,
                            block_depth, count, add,
                        )  # fmt: skip
                    else:
                        a_start = row * depth + k
                        _multiply_tile(
                            a, a_start, depth, 1, panels, offset, width, target, out_start, out_stride, block_depth,
                            count, add,
                        )  # fmt: skip
                    if not whole:
                        for i in range(count):
                            for j in range(columns - panel * width):
                                before = out[row + i, column + j] if accumulate or k > 0 else 0
                                out[row + i, column + j] = before + edge[i, j]


@intrinsic
def _arrive(typing_context, counter):
    def generate(context, builder, signature, arguments):
        pointer = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.atomic_rmw("add", pointer, ir.Constant(pointer.type.pointee, 1), "acq_rel")

    return types.int64(counter), generate


@intrinsic
def _arrived(typing_context, counter):
    def generate(context, builder, signature, arguments):
        pointer = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        return builder.load_atomic(pointer, "acquire", align=8)

    return types.int64(counter), generate


@native
def _no_yield():
    return 0


_yield_core: Any = types.ExternalFunction("sched_yield", types.int32()) if os.name == "posix" else _no_yield


arrive: Any = _arrive  # a type checker takes the typing context for an argument
arrived: Any = _arrived
_ABORTED = 1 << 60  # a counter of at least this lets every thread pass


@native
def barrier(counter, num_threads):
    """Waits until all threads have called this as often as the caller. `counter`: int64 `(1,)`, 0 at first."""
    if num_threads == 1:
        return
    target = min((arrive(counter) // num_threads + 1) * num_threads, _ABORTED)
    spins = 0
    while arrived(counter) < target:
        spins += 1
        if spins > 2000:  # some microseconds: another process may have the core of a late thread
            _yield_core()


_CORES = cores()
_pool = ThreadPoolExecutor(4 * _CORES, "recurrent")  # starts a thread when no idle one is left
_cores_changed = threading.Condition()  # threads that wait for each other at a barrier must all be running
_cores_in_use = 0


@contextmanager
def _reserve_cores(count: int) -> Iterator[None]:
    """Within the block, `count` cores, or all that the machine has, are reserved for the caller."""
    global _cores_in_use
    count = min(count, _CORES)
    with _cores_changed:
        _cores_changed.wait_for(lambda: _cores_in_use + count <= _CORES)
        _cores_in_use += count
    try:
        yield
    finally:
        with _cores_changed:
            _cores_in_use -= count
            _cores_changed.notify_all()


def run_on_threads(function: Callable, num_threads: int, *arguments: Any) -> None:
    """Calls `function(thread, num_threads, counter, *arguments)` on each thread; `counter` is for `barrier`.

    Raises:
        Exception: whatever a call raises; the other threads then pass their barriers.
    """
    counter = np.zeros(1, np.int64)

    def run(thread: int) -> None:
        try:
            function(thread, num_threads, counter, *arguments)
        except BaseException:
            counter[0] = _ABORTED
            raise

    with _reserve_cores(num_threads):
        futures = []
        try:
            for thread in range(1, num_threads):
                futures.append(_pool.submit(run, thread))
            run(0)
        except BaseException:
            counter[0] = _ABORTED  # also if a thread could not be started
            raise
        finally:
            wait(futures)
    for future in futures:
        future.result()


def thread_count(units: int, num_concurrent: int = 1) -> int:
    """Number of threads for a recurrence of `units` units.

    Of the cores, a call takes its part when `num_concurrent` calls run at the same time.
    """
    return max(1, min(_CORES // int(num_concurrent), units // _MIN_UNITS))
