"""Products of bfloat16 numbers with float32 sums, where the processor has instructions for them: AMX or AVX-512 BF16.

Arrays of bfloat16 are float32 arrays of *words*: a word is a pair of numbers that follow each other along the depth of
a product, the first in its lower half. An odd end is filled up with 0. Tiles of AMX and the layout of both operands:
Intel's Architecture Instruction Set Extensions Programming Reference, chapter 3 (TDPBF16PS); VDPBF16PS reads the same.
"""

import ctypes
import platform
import sys
from functools import cache
from typing import Any

import numba
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

WIDTH = 16  # columns of a panel, and rows of a tile
TILE_WORDS = 16  # of a row of a tile: panels and rows are filled up with 0 to a multiple
BLOCK = 2  # tiles of rows and panels whose products are summed at the same time

# Those that numba compiles for, which users may choose. AMX only multiplies; AVX-512 rounds.
_FEATURES = set((numba.config.CPU_FEATURES or get_host_cpu_features()).split(","))
HAS_AVX512 = {"+avx512bf16", "+avx512vl"} <= _FEATURES
HAS_AMX = HAS_AVX512 and {"+amx-tile", "+amx-bf16"} <= _FEATURES

_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA = 158, 0x1023, 18  # of Linux on x86-64


@cache
def is_available() -> bool:
    """Whether this process may multiply bfloat16 numbers; Linux has to permit the use of AMX's registers."""
    if not HAS_AMX:
        return HAS_AVX512
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return False
    return ctypes.CDLL(None).syscall(_ARCH_PRCTL, _REQUEST_PERMISSION, _TILE_DATA) == 0


class _BFloat16(ir.Type):
    """LLVM's type, which llvmlite does not declare."""

    def _to_string(self) -> str:
        return "bfloat"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _BFloat16)

    def __hash__(self) -> int:
        return hash(_BFloat16)


_BYTE, _INDEX, _LANE = ir.IntType(8), ir.IntType(64), ir.IntType(32)
_POINTER = _BYTE.as_pointer()


def _procedure(builder: Any, name: str, *arguments: Any) -> Any:
    return cgutils.get_or_insert_function(builder.module, ir.FunctionType(ir.VoidType(), arguments), name)


def _bytes(builder: Any, address: Any) -> Any:
    return builder.bitcast(address, _POINTER)


def _index(number: int) -> Any:
    return ir.Constant(_INDEX, number)


@intrinsic
def _begin_tiles(typing_context):
    """Before `multiply_block` in a thread: the registers of AMX become tiles of 16 rows of 64 bytes."""

    def generate(context, builder, signature, arguments):
        if HAS_AMX:
            config = bytearray(64)
            config[0] = 1  # palette
            config[16:32] = bytes([64, 0] * 8)  # bytes of a row, for each tile
            config[48:56] = bytes([WIDTH] * 8)  # rows
            constant = cgutils.global_constant(builder.module, "tiles", cgutils.create_constant_array(_BYTE, config))
            builder.call(_procedure(builder, "llvm.x86.ldtilecfg", _POINTER), [_bytes(builder, constant)])
        return context.get_dummy_value()

    return types.void(), generate


@intrinsic
def _end_tiles(typing_context):
    """After `multiply_block`: Linux need not save the registers any more."""

    def generate(context, builder, signature, arguments):
        if HAS_AMX:
            builder.call(_procedure(builder, "llvm.x86.tilerelease"), [])
        return context.get_dummy_value()

    return types.void(), generate


def _multiply_by_amx(builder: Any, rows: int, panels: int, factors: Any, columns: Any, out: Any, words: Any, add: Any):
    """The body of `multiply_block` for `rows` tiles of rows; three functions of indices give the addresses in bytes.

    Args:
        factors: tile of rows, word -> address and bytes from a row to the next.
        columns: panel, word -> address and bytes from a word to the next.
        out: tile of rows, panel -> address and bytes from a row to the next.
    """
    move = (_BYTE, _POINTER, _INDEX)
    load = _procedure(builder, "llvm.x86.tileloadd64", *move)
    store = _procedure(builder, "llvm.x86.tilestored64", *move)
    zero = _procedure(builder, "llvm.x86.tilezero", _BYTE)
    multiply = _procedure(builder, "llvm.x86.tdpbf16ps", *[_BYTE] * 3)

    def register(number: int):
        return ir.Constant(_BYTE, number)

    sums = {(row, panel): register(BLOCK * row + panel) for row in range(rows) for panel in range(panels)}
    left, right = [register(4 + row) for row in range(rows)], [register(6 + panel) for panel in range(panels)]
    with builder.if_else(add) as (then, otherwise):
        with then:
            for key, target in sums.items():
                builder.call(load, [target, *out(*key)])
        with otherwise:
            for target in sums.values():
                builder.call(zero, [target])
    with cgutils.for_range_slice(builder, _index(0), words, _index(TILE_WORDS), inc=True) as (word, _):
        for panel in range(panels):
            builder.call(load, [right[panel], *columns(panel, word)])
        for row in range(rows):
            builder.call(load, [left[row], *factors(row, word)])
            for panel in range(panels):
                builder.call(multiply, [sums[row, panel], left[row], right[panel]])
    for key, target in sums.items():
        builder.call(store, [target, *out(*key)])


def _multiply_by_avx512(
    builder: Any, rows: int, panels: int, factors: Any, columns: Any, out: Any, words: Any, add: Any
):
    """`_multiply_by_amx` in other instructions: the sums of a tile of rows and a panel are 16 vectors."""
    vector, pairs = ir.VectorType(ir.FloatType(), WIDTH), ir.VectorType(_BFloat16(), 2 * WIDTH)
    multiply = cgutils.get_or_insert_function(
        builder.module, ir.FunctionType(vector, [vector, pairs, pairs]), "llvm.x86.avx512bf16.dpbf16ps.512"
    )
    lanes = ir.VectorType(_LANE, WIDTH)

    def at(place, row: int, kind):
        start, stride = place
        return builder.bitcast(builder.gep(start, [builder.mul(stride, _index(row))]), kind.as_pointer())

    for row in range(rows):
        for panel in range(panels):
            sums = [cgutils.alloca_once(builder, vector) for _ in range(WIDTH)]
            targets = [at(out(row, panel), i, vector) for i in range(WIDTH)]
            with builder.if_else(add) as (then, otherwise):
                with then:
                    for total, target in zip(sums, targets, strict=True):
                        builder.store(builder.load(target, align=4), total)
                with otherwise:
                    for total in sums:
                        builder.store(ir.Constant(vector, [0.0] * WIDTH), total)
            with cgutils.for_range(builder, words) as loop:
                line = builder.load(at(columns(panel, loop.index), 0, lanes), align=4)
                for i, total in enumerate(sums):
                    word = builder.load(at(factors(row, loop.index), i, _LANE), align=4)
                    one = builder.insert_element(ir.Constant(lanes, ir.Undefined), word, ir.Constant(_LANE, 0))
                    same = builder.shuffle_vector(one, one, ir.Constant(lanes, [0] * WIDTH))
                    arguments = builder.load(total), builder.bitcast(same, pairs), builder.bitcast(line, pairs)
                    builder.store(builder.call(multiply, arguments), total)
            for total, target in zip(sums, targets, strict=True):
                builder.store(builder.load(total), target, align=4)


def _multiply_block(emit: Any) -> Any:
    @intrinsic
    def multiply_block(
        typing_context, a, a_start, row_stride, panels, panel_start, panel_stride, out, out_start, out_stride, words,
        num_tiles, num_panels, accumulate,
    ):  # fmt: skip
        """out = a times panels, or out += a times panels, between `begin_tiles` and `end_tiles`.

        Args:
            a: words, flat; the rows of `num_tiles` tiles, 1 or 2, begin at `a_start`.
            panels: words; `num_panels`, 1 or 2, begin at `panel_start`; `(words, 16)` each.
            out: float32, from `out_start` on whole tiles.
            words: the depth, a multiple of `TILE_WORDS`.
        """
        if not a.dtype == panels.dtype == out.dtype == types.float32:
            return None
        index = types.intp
        signature = types.void(
            a, index, index, panels, index, index, out, index, index, index, index, index, types.boolean
        )

        def generate(context, builder, signature, arguments):
            (_, a_start, row_stride, _, panel_start, panel_stride, _, out_start, out_stride, words, tiles, panels,
             add) = arguments  # fmt: skip
            starts = []
            for argument, start in ((0, a_start), (3, panel_start), (6, out_start)):
                array = context.make_array(signature.args[argument])(context, builder, arguments[argument])
                starts.append(builder.gep(array.data, [start]))
            a, panel, out = starts

            def size(words):
                return builder.mul(words, _index(4))

            def factors_at(row: int, word):
                offset = builder.add(builder.mul(row_stride, _index(WIDTH * row)), word)
                return _bytes(builder, builder.gep(a, [offset])), size(row_stride)

            def columns_at(i: int, word):
                offset = builder.add(builder.mul(panel_stride, _index(i)), builder.mul(word, _index(WIDTH)))
                return _bytes(builder, builder.gep(panel, [offset])), size(_index(WIDTH))

            def out_at(row: int, i: int):
                offset = builder.add(builder.mul(out_stride, _index(WIDTH * row)), _index(WIDTH * i))
                return _bytes(builder, builder.gep(out, [offset])), size(out_stride)

            for num_tiles in range(1, BLOCK + 1):
                for num_panels in range(1, BLOCK + 1):
                    chosen = builder.and_(
                        builder.icmp_signed("==", tiles, _index(num_tiles)),
                        builder.icmp_signed("==", panels, _index(num_panels)),
                    )
                    with builder.if_then(chosen):
                        emit(builder, num_tiles, num_panels, factors_at, columns_at, out_at, words, add)
            return context.get_dummy_value()

        return signature, generate

    return multiply_block


def _emit_nothing(builder, *arguments) -> None:
    """Without instructions `is_available` is False, and nothing calls `multiply_block`."""


multiply_block_by_avx512 = _multiply_block(_multiply_by_avx512 if HAS_AVX512 else _emit_nothing)
multiply_block = _multiply_block(_multiply_by_amx) if HAS_AMX else multiply_block_by_avx512


@intrinsic
def _to_bfloat16(typing_context, x):
    """The bits of a float32 number that is rounded to bfloat16."""

    def generate(context, builder, signature, arguments):
        if not HAS_AVX512:
            return ir.Constant(ir.IntType(16), 0)
        return builder.bitcast(builder.fptrunc(arguments[0], _BFloat16()), ir.IntType(16))

    return types.uint16(types.float32), generate


begin_tiles: Any = _begin_tiles  # a type checker takes the typing context for an argument
end_tiles: Any = _end_tiles
to_bfloat16: Any = _to_bfloat16
