"""Small matrix products and the threads that share them: what the compiled loops stand on.

A library's product of a few rows packs its operands anew at every call, and starts and joins its threads. Over a
sequence the recurrent kernel stays the same, so it is laid out once for all steps, and the threads stay together from
the first step to the last. Products are computed in tiles whose sums stay in vector registers (Goto and van de Geijn
2008, section 4): some rows, a panel of columns, all of the depth.
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
from numba.extending import intrinsic

from shared.native.ahead import KEPT


def native(function: Callable) -> Any:
    """The function in machine code, which needs no lock of the interpreter's."""
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy"}
    folder, numba.config.CACHE_DIR = numba.config.CACHE_DIR, str(KEPT)
    try:
        return numba.njit(function, cache=True, **options)
    except RuntimeError:  # there is no place to keep it
        return numba.njit(function, **options)
    finally:
        numba.config.CACHE_DIR = folder


_WIDE_REGISTERS = llvmlite.binding.get_host_cpu_features().get("avx512f", False)
_VECTOR = 64 if _WIDE_REGISTERS else 32  # bytes
# Rows and vectors of a tile: their product is how many registers hold sums, of 16, or 32 of the wide ones. One vector
# of those makes a panel, that few units may be shared by several threads; a few rows take more columns to be enough.
_ROWS, _VECTORS = (16, 1) if _WIDE_REGISTERS else (6, 2)
_FEW_ROWS, _MORE_VECTORS = 3, 4
NONE = -1  # no row, one of zeros
_BLOCK, _DEPTH = 96, 512  # rows and depth of a block that stays in a core's cache while all panels pass by


def _tile(most_rows: int, vectors: int) -> Any:
    """A function that multiplies up to so many rows by a panel of so many vectors."""

    @intrinsic
    def tile(typing_context, a, first, stride, step, panel, offset, out, out_first, out_stride, depth, rows, add):
        size = types.intp
        signature = types.void(a, size, size, size, panel, size, out, size, size, size, size, types.boolean)

        def generate(context, builder, signature, arguments):
            number = context.get_value_type(signature.args[0].dtype)
            width = _VECTOR // (4 if isinstance(number, ir.FloatType) else 8)
            vector = ir.VectorType(number, width)
            _, first, stride, step, _, offset, _, out_first, out_stride, depth, rows, add = arguments
            word, lane = first.type, ir.IntType(32)
            multiply_add = cgutils.get_or_insert_function(
                builder.module,
                ir.FunctionType(vector, [vector] * 3),
                f"llvm.fma.v{width}f{32 if isinstance(number, ir.FloatType) else 64}",
            )

            def address(argument: int, begin):
                array = context.make_array(signature.args[argument])(context, builder, arguments[argument])
                return builder.gep(array.data, [begin])

            def vector_at(begin, number: int):
                place = builder.gep(begin, [ir.Constant(word, number * width)])
                return builder.bitcast(place, vector.as_pointer())

            def everywhere(scalar):
                one = builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.Constant(lane, 0))
                return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(lane, width), [0] * width))

            a, panel, out = address(0, first), address(4, offset), address(6, out_first)
            end = builder.append_basic_block("end")
            cases = builder.switch(rows, end)
            for count in range(1, most_rows + 1):
                before, loop, after = (builder.append_basic_block(f"{part}_{count}") for part in ("in", "loop", "out"))
                cases.add_case(ir.Constant(word, count), before)
                builder.position_at_end(before)
                of_rows = [builder.gep(a, [builder.mul(stride, ir.Constant(word, row))]) for row in range(count)]
                lines = [builder.gep(out, [builder.mul(out_stride, ir.Constant(word, row))]) for row in range(count)]
                zero = ir.Constant(vector, [0.0] * width)
                places = [[vector_at(line, number) for number in range(vectors)] for line in lines]
                with builder.if_else(add) as (then, otherwise):
                    with then:
                        ready = builder.block
                        found = [[builder.load(place, align=4) for place in row] for row in places]
                    with otherwise:
                        empty = builder.block
                start = []
                for row in found:
                    start.append([builder.phi(vector) for _ in row])
                    for phi, old in zip(start[-1], row, strict=True):
                        phi.add_incoming(old, ready)
                        phi.add_incoming(zero, empty)
                before = builder.block
                builder.branch(loop)

                builder.position_at_end(loop)
                k = builder.phi(word)
                sums = [[builder.phi(vector) for _ in range(vectors)] for _ in range(count)]
                line = builder.gep(panel, [builder.mul(k, ir.Constant(word, vectors * width))])
                columns = [builder.load(vector_at(line, number), align=4) for number in range(vectors)]
                factors = [everywhere(builder.load(builder.gep(row, [builder.mul(k, step)]))) for row in of_rows]
                added = [
                    [
                        builder.call(multiply_add, [factor, column, old])
                        for column, old in zip(columns, row, strict=True)
                    ]
                    for factor, row in zip(factors, sums, strict=True)
                ]
                following = builder.add(k, ir.Constant(word, 1))
                k.add_incoming(ir.Constant(word, 0), before)
                k.add_incoming(following, loop)
                for row_sums, row_start, row_added in zip(sums, start, added, strict=True):
                    for old, begun, new in zip(row_sums, row_start, row_added, strict=True):
                        old.add_incoming(begun, before)
                        old.add_incoming(new, loop)
                builder.cbranch(builder.icmp_signed("<", following, depth), loop, after)

                builder.position_at_end(after)
                for row_places, row_added in zip(places, added, strict=True):
                    for place, new in zip(row_places, row_added, strict=True):
                        builder.store(new, place, align=4)
                builder.branch(end)
            builder.position_at_end(end)
            return context.get_dummy_value()

        return signature, generate

    return tile


_tile_of_many = _tile(_ROWS, _VECTORS)
_tile_of_few = _tile(_FEW_ROWS, _MORE_VECTORS)


@native
def panel_width(rows: int, itemsize: int) -> int:
    """Columns of a panel for products of so many rows."""
    return (_VECTORS if rows > _FEW_ROWS else _MORE_VECTORS) * (_VECTOR // itemsize)


@native
def share(panels: int, thread: int, threads: int) -> tuple[int, int]:
    """The first panel of a thread, and the first after its last."""
    return panels * thread // threads, panels * (thread + 1) // threads


@native
def pack(matrix, begin, columns, first, after, width, room):
    """Columns of a matrix as panels, `(depth, any)` -> `(panels, depth, width)`, in `room`, a flat array.

    Of the `columns` from `begin` on, the panels from `first` to before `after`. Where they end within a panel, the rest
    of it is 0.
    """
    depth = matrix.shape[0]
    packed = _panels(room, depth, columns, first, after, width)
    for k in range(depth):
        for panel in range(first, after):
            for j in range(min(width, columns - panel * width)):
                packed[panel - first, k, j] = matrix[k, begin + panel * width + j]
    return packed


@native
def _panels(room, depth, columns, first, after, width):
    packed = room[: (after - first) * depth * width].reshape(after - first, depth, width)
    if after * width > columns and after > first:
        packed[-1] = 0
    return packed


@native
def pack_transposed(matrix, begin, depth, first, after, width, room):
    """`pack` of the transpose of the `depth` columns from `begin` on: its columns are the rows of the matrix."""
    packed = _panels(room, depth, matrix.shape[0], first, after, width)
    for panel in range(first, after):
        for j in range(min(width, matrix.shape[0] - panel * width)):
            for k in range(depth):
                packed[panel - first, k, j] = matrix[panel * width + j, begin + k]
    return packed


def room_for(threads: int, rows: int, units: int, columns: int, itemsize: int) -> tuple[int, int]:
    """The shape of the array in which threads pack: all of `(units, columns)` for products of so many rows, or of so
    many columns what a block of `product` is deep."""

    def most(of_all: int, rows: int) -> int:
        """What a thread has in whole panels."""
        width = int(panel_width(rows, itemsize))
        return -(-of_all // (width * threads)) * width

    return threads, max(most(units, rows) * columns, most(columns, _ROWS) * _DEPTH)


@native
def multiply(a, begin, stride, rows, panels, first, after, out):
    """out = a times the panels from `first` to before `after`.

    a lies in a flat array, its rows `stride` apart from `begin` on, as long as the panels are deep. `out` is
    `(rows, columns)`, as wide as those panels at least.
    """
    out_stride = out.shape[1]
    depth, width = panels.shape[1:]
    many = rows > _FEW_ROWS
    tiles = -(-rows // (_ROWS if many else _FEW_ROWS))
    for panel in range(first, after):
        for tile in range(tiles):
            row = rows * tile // tiles
            count = rows * (tile + 1) // tiles - row
            a_first, out_first = begin + row * stride, row * out_stride + (panel - first) * width
            offset = panel * depth * width
            if many:
                _tile_of_many(a, a_first, stride, 1, panels, offset, out, out_first, out_stride, depth, count, False)
            else:
                _tile_of_few(a, a_first, stride, 1, panels, offset, out, out_first, out_stride, depth, count, False)


@native
def _pack_lines(a, transposed, places, begin, end, first, depth, lines):
    """Rows of a, or columns, from `begin` to before `end`, `depth` of each, into `lines` `(tiles, depth, rows)`."""
    for row in range(begin, end, _ROWS):
        tile, count = (row - begin) // _ROWS, min(_ROWS, end - row)
        for k in range(depth):
            place = places[first + k] if places.size else first + k
            for i in range(count):
                if place == NONE:
                    lines[tile, k, i] = 0
                else:
                    lines[tile, k, i] = a[place, row + i] if transposed else a[row + i, place]


@native
def product(thread, threads, room, a, a_transposed, places, b, b_transposed, begin, columns, out, add):
    """out = a b, or += a b; a thread's part of the columns. `room`: see `room_for`.

    Of b and out the `columns` from `begin` on alone, unless b is transposed. If a is transposed, `places` may name the
    row of it that goes with each of b's, or NONE; else they are empty.
    """
    rows, depth = out.shape[0], b.shape[1] if b_transposed else b.shape[0]
    width = _VECTORS * (_VECTOR // a.itemsize)
    first, after = share(-(-columns // width), thread, threads)
    if depth == 0 and not add:
        out[:, begin + first * width : begin + min(after * width, columns)] = 0
    # Laid out anew, the rows of a tile are no pages apart. That pays if many panels pass by.
    packed = a_transposed or after - first > 32
    edge = np.empty((_ROWS, width), a.dtype)
    lines = np.empty((-(-_BLOCK // _ROWS), _DEPTH, _ROWS), a.dtype)
    for k in range(0, depth, _DEPTH):
        deep = min(_DEPTH, depth - k)
        if b_transposed:
            panels = pack_transposed(b, k, deep, first, after, width, room[thread])
        else:
            panels = pack(b[k : k + deep], begin, columns, first, after, width, room[thread])
        for block in range(0, rows, _BLOCK):
            last = min(block + _BLOCK, rows)
            if packed:
                _pack_lines(a, a_transposed, places, block, last, k, deep, lines)
            for panel in range(first, after):
                column, offset = begin + panel * width, (panel - first) * deep * width
                whole = (panel + 1) * width <= columns
                for row in range(block, last, _ROWS):
                    more = (add or k > 0) and whole
                    target, out_first, stride = (
                        (out, row * out.shape[1] + column, out.shape[1]) if whole else (edge, 0, width)
                    )
                    count = min(_ROWS, last - row)
                    if packed:
                        a_first = (row - block) * _DEPTH
                        _tile_of_many(
                            lines, a_first, 1, _ROWS, panels, offset, target, out_first, stride, deep, count, more
                        )
                    else:
                        a_first = row * depth + k
                        _tile_of_many(
                            a, a_first, depth, 1, panels, offset, target, out_first, stride, deep, count, more
                        )
                    if not whole:
                        for i in range(count):
                            for j in range(columns - panel * width):
                                before = out[row + i, column + j] if add or k > 0 else 0
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
def _stay():
    return 0


_give_way: Any = types.ExternalFunction("sched_yield", types.int32()) if os.name == "posix" else _stay


arrive: Any = _arrive  # a type checker takes the typing context for an argument
arrived: Any = _arrived
_NO_LONGER = 1 << 60  # a counter as high as this keeps nobody waiting


@native
def meet(counter, threads):
    """Returns once all threads have come here as often as this one; `counter` int64 `(1,)`, 0 at first."""
    if threads == 1:
        return
    due = min((arrive(counter) // threads + 1) * threads, _NO_LONGER)
    looks = 0
    while arrived(counter) < due:
        looks += 1
        if looks > 2000:  # some microseconds: the other has lost its core, perhaps to somebody who would like this one
            _give_way()


_CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
_pool = ThreadPoolExecutor(4 * _CORES, "recurrent")  # a thread begins when there is none to spare
_seats = threading.Condition()  # threads of a team that wait for one another must all be running
_busy = 0


@contextmanager
def _seated(threads: int) -> Iterator[None]:
    """Within the block there is a core for each of the threads, or all are theirs."""
    global _busy
    threads = min(threads, _CORES)
    with _seats:
        _seats.wait_for(lambda: _busy + threads <= _CORES)
        _busy += threads
    try:
        yield
    finally:
        with _seats:
            _busy -= threads
            _seats.notify_all()


def together(work: Callable, threads: int, *arguments: Any) -> None:
    """Calls `work(thread, threads, counter, *arguments)` on so many threads at once; `counter` is for `meet`."""
    counter = np.zeros(1, np.int64)

    def take_part(thread: int) -> None:
        try:
            work(thread, threads, counter, *arguments)
        except BaseException:
            counter[0] = _NO_LONGER
            raise

    with _seated(threads):
        helpers = []
        try:
            for thread in range(1, threads):
                helpers.append(_pool.submit(take_part, thread))
            take_part(0)
        except BaseException:
            counter[0] = _NO_LONGER  # some may never come
            raise
        finally:
            wait(helpers)
    for helper in helpers:
        helper.result()


def team(rows: int, units: int, itemsize: int, parts: int = 1) -> int:
    """How many threads for a recurrence of so many units: four panels each, or they would meet too often.

    With `parts`, that share of the cores, since others are at work beside it.
    """
    return max(1, min(_CORES // int(parts), -(-units // int(panel_width(rows, itemsize))) // 4))
