"""A tile of vector registers as a Numba value: what lets a matrix-product kernel stay plain Python and reach the peak.

A tile is ROWS × VECTORS accumulators, each a vector of VECTOR_BYTES: as many as the register file holds beside the
operands. One call below updates the whole tile, 24 multiply-adds of 16 float32 on AVX-512, from 11 loads. Compilers do
not keep such a block in registers when it is written as loops over an array; here it is one value, so LLVM does.

All functions take one-dimensional contiguous arrays and element indices, unchecked, and need no alignment.
"""

from __future__ import annotations

from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils
from numba.extending import models, register_model


def _register_file() -> tuple[int, int]:
    """(bytes of a vector register, how many rows of three vectors fit) on this machine."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return 64, 8  # 32 registers: 24 accumulators, 3 loads, 1 broadcast
    if features.get("avx2"):
        return 32, 4  # 16 registers: 12 accumulators, 3 loads, 1 broadcast
    return 16, 8 if features.get("neon") else 4


VECTOR_BYTES, ROWS = _register_file()
VECTORS = 3
intrinsic: Any = extending.intrinsic  # its callers leave out the first argument, which type checkers cannot know


class TileType(types.Type):
    """The Numba type of a tile whose elements are `dtype`."""

    def __init__(self, dtype: Any):
        self.dtype = dtype
        super().__init__(name=f"Tile({dtype}, {ROWS}x{VECTORS}x{VECTOR_BYTES})")


def _vector(dtype: Any) -> ir.VectorType:
    element = {32: ir.FloatType(), 64: ir.DoubleType()}[dtype.bitwidth]
    return ir.VectorType(element, VECTOR_BYTES * 8 // dtype.bitwidth)


@register_model(TileType)
class _TileModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: TileType):
        super().__init__(dmm, fe_type, ir.ArrayType(_vector(fe_type.dtype), ROWS * VECTORS))


class _Array:
    """Loads and stores at element indices of an array argument of an intrinsic."""

    def __init__(self, context: Any, builder: ir.IRBuilder, array_type: Any, value: ir.Value):
        self.builder, self.dtype = builder, array_type.dtype
        self.data = context.make_array(array_type)(context, builder, value).data
        self.align = array_type.dtype.bitwidth // 8

    def _pointer(self, index: ir.Value, offset: int, kind: ir.Type) -> ir.Value:
        pointer = self.builder.gep(self.builder.gep(self.data, [index]), [index.type(offset)])
        return self.builder.bitcast(pointer, kind.as_pointer())

    def load(self, index: ir.Value, offset: int = 0, kind: ir.Type | None = None) -> ir.Value:
        return self.builder.load(self._pointer(index, offset, kind or _vector(self.dtype)), align=self.align)

    def store(self, value: ir.Value, index: ir.Value, offset: int = 0) -> None:
        self.builder.store(value, self._pointer(index, offset, value.type), align=self.align)

    def store_masked(self, value: ir.Value, mask: ir.Value, index: ir.Value, offset: int) -> None:
        pointer = self._pointer(index, offset, value.type)
        name = f"llvm.masked.store.v{value.type.count}f{self.align * 8}.p0"
        arguments = [value.type, pointer.type, ir.IntType(32), mask.type]
        function = cgutils.get_or_insert_function(self.builder.module, ir.FunctionType(ir.VoidType(), arguments), name)
        self.builder.call(function, [value, pointer, ir.IntType(32)(self.align), mask])

    def broadcast(self, index: ir.Value, offset: int = 0) -> ir.Value:
        vector = _vector(self.dtype)
        scalar = self.builder.load(self._pointer(index, offset, vector.element))
        first = self.builder.insert_element(ir.Constant(vector, ir.Undefined), scalar, ir.IntType(32)(0))
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), vector.count), None)
        return self.builder.shuffle_vector(first, first, zeros)


def _multiply_add(builder: ir.IRBuilder, a: ir.Value, b: ir.Value, c: ir.Value) -> ir.Value:
    """a·b + c: fused where the machine can."""
    name = f"llvm.fmuladd.v{a.type.count}{'f32' if isinstance(a.type.element, ir.FloatType) else 'f64'}"
    function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(a.type, [a.type] * 3), name)
    return builder.call(function, [a, b, c])


def _pack(builder: ir.IRBuilder, vectors: list[ir.Value]) -> ir.Value:
    tile = ir.Constant(ir.ArrayType(vectors[0].type, len(vectors)), ir.Undefined)
    for k, vector in enumerate(vectors):
        tile = builder.insert_value(tile, vector, k)
    return tile


@intrinsic
def lanes(typingctx, array):  # type: ignore[no-untyped-def]
    """How many elements of the array's dtype a vector holds, a constant to the compiler."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return ir.Constant(ir.IntType(64), _vector(array.dtype).count)

    return types.intp(array), codegen


@intrinsic
def zeros(typingctx, array):  # type: ignore[no-untyped-def]
    """A tile of zeros of the array's dtype."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        return ir.Constant(ir.ArrayType(_vector(array.dtype), ROWS * VECTORS), None)

    return TileType(array.dtype)(array), codegen


@intrinsic
def broadcast_rows(typingctx, array, index):  # type: ignore[no-untyped-def]
    """The tile whose row r is array[index + r] throughout."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        source = _Array(context, builder, array, args[0])
        rows = [source.broadcast(args[1], r) for r in range(ROWS)]
        return _pack(builder, [row for row in rows for _ in range(VECTORS)])

    return TileType(array.dtype)(array, types.intp), codegen


@intrinsic
def add_outer(typingctx, tile, column, i, row, j):  # type: ignore[no-untyped-def]
    """tile[r, v] + column[i + r] · row[j + v]: one step of a matrix product, v running over VECTORS · lanes."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        column_array = _Array(context, builder, column, args[1])
        row_array = _Array(context, builder, row, args[3])
        count = _vector(tile.dtype).count
        right = [row_array.load(args[4], v * count) for v in range(VECTORS)]
        result = []
        for r in range(ROWS):
            left = column_array.broadcast(args[2], r)
            for v in range(VECTORS):
                old = builder.extract_value(args[0], r * VECTORS + v)
                result.append(_multiply_add(builder, left, right[v], old))
        return _pack(builder, result)

    return tile(tile, column, types.intp, row, types.intp), codegen


@intrinsic
def add_products(typingctx, tile, left, i, step, right, starts):  # type: ignore[no-untyped-def]
    """tile[r, v] + left[i + r·step] · right[i + starts[v]], lane by lane: one step of ROWS × VECTORS dot products."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        left_array = _Array(context, builder, left, args[1])
        right_array = _Array(context, builder, right, args[4])
        columns = [right_array.load(builder.add(args[2], builder.extract_value(args[5], v))) for v in range(VECTORS)]
        result = []
        for r in range(ROWS):
            a = left_array.load(builder.add(args[2], builder.mul(args[3], args[3].type(r))))
            for v in range(VECTORS):
                old = builder.extract_value(args[0], r * VECTORS + v)
                result.append(_multiply_add(builder, a, columns[v], old))
        return _pack(builder, result)

    return tile(tile, left, types.intp, types.intp, right, types.UniTuple(types.intp, VECTORS)), codegen


@intrinsic
def store(typingctx, tile, array, index, step, rows, low, high):  # type: ignore[no-untyped-def]
    """array[index + r·step + v] = tile[r, v] for r < rows and low ≤ v < high, v running over VECTORS · lanes."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        target = _Array(context, builder, array, args[1])
        tile_value, _, index_value, step_value, rows_value, low_value, high_value = args
        count = _vector(tile.dtype).count
        masks = [_range_mask(builder, low_value, high_value, v * count, count) for v in range(VECTORS)]
        for r in range(ROWS):
            with builder.if_then(builder.icmp_signed(">", rows_value, rows_value.type(r)), likely=True):
                start = builder.add(index_value, builder.mul(step_value, step_value.type(r)))
                for v in range(VECTORS):
                    target.store_masked(builder.extract_value(tile_value, r * VECTORS + v), masks[v], start, v * count)
        return context.get_dummy_value()

    return types.void(tile, array, *[types.intp] * 5), codegen


def _range_mask(builder: ir.IRBuilder, low: ir.Value, high: ir.Value, first: int, count: int) -> ir.Value:
    """Which of the positions first … first + count − 1 lie in low ≤ position < high."""
    integers = ir.VectorType(ir.IntType(32), count)
    positions = ir.Constant(integers, list(range(first, first + count)))
    zeros = ir.Constant(integers, None)

    def spread(value: ir.Value) -> ir.Value:
        short, first_lane = builder.trunc(value, ir.IntType(32)), ir.IntType(32)(0)
        one = builder.insert_element(ir.Constant(integers, ir.Undefined), short, first_lane)
        return builder.shuffle_vector(one, one, zeros)

    above, below = (builder.icmp_signed(sign, positions, spread(end)) for sign, end in ((">=", low), ("<", high)))
    return builder.and_(above, below)


@intrinsic
def add_sums(typingctx, tile, array, index):  # type: ignore[no-untyped-def]
    """array[index + v·ROWS + r] += Σ over the lanes of tile[r, v], summed in a tree."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        target = _Array(context, builder, array, args[1])
        for v in range(VECTORS):
            sums = _sum_lanes(builder, [builder.extract_value(args[0], r * VECTORS + v) for r in range(ROWS)])
            for k, vector in enumerate(sums):
                offset = v * ROWS + k * vector.type.count
                old = target.load(args[2], offset, vector.type)
                target.store(builder.fadd(old, vector), args[2], offset)
        return context.get_dummy_value()

    return types.void(tile, array, types.intp), codegen


def _sum_lanes(builder: ir.IRBuilder, vectors: list[ir.Value]) -> list[ir.Value]:
    """The sums of all vectors' lanes, in order, as one vector (or several full ones): neighbours are added at once."""
    unsummed = vectors[0].type.count
    while unsummed > 1:
        lanes = vectors[0].type.count * (2 if len(vectors) > 1 else 1)
        pairs = zip(vectors[::2], vectors[1::2] or vectors, strict=True)
        vectors = [builder.fadd(*_even_and_odd(builder, a, b, lanes)) for a, b in pairs]
        unsummed //= 2
    return vectors


def _even_and_odd(
    builder: ir.IRBuilder, a: ir.Value, b: ir.Value, count: int | None = None
) -> tuple[ir.Value, ir.Value]:
    """The elements at even, and those at odd positions, of the first `count` (all) of a and b end to end."""
    positions = range(count or 2 * a.type.count)
    kind = ir.VectorType(ir.IntType(32), len(positions) // 2)
    even, odd = (
        builder.shuffle_vector(a, b, ir.Constant(kind, [ir.IntType(32)(k) for k in positions[first::2]]))
        for first in (0, 1)
    )
    return even, odd


@intrinsic
def relu_pool(typingctx, source, above, below, target, index, count):  # type: ignore[no-untyped-def]
    """target[index + j] = max(0, source[above + 2·j], source[above + 2·j + 1], the same from below), for j < count.

    One vector at most: count is 1 to lanes, or more for all lanes. Reads 2 · lanes elements whatever the count.
    """

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        from_, to = _Array(context, builder, source, args[0]), _Array(context, builder, target, args[3])
        lanes = _vector(source.dtype).count
        columns = [_larger(builder, *(from_.load(row, half) for row in args[1:3])) for half in (0, lanes)]
        even, odd = _even_and_odd(builder, *columns)
        largest = _larger(builder, _larger(builder, even, odd), ir.Constant(even.type, None))
        to.store_masked(largest, _range_mask(builder, args[5].type(0), args[5], 0, lanes), args[4], 0)
        return context.get_dummy_value()

    return types.void(source, types.intp, types.intp, target, types.intp, types.intp), codegen


def _larger(builder: ir.IRBuilder, a: ir.Value, b: ir.Value) -> ir.Value:
    """The larger of a and b, lane by lane; a where one of them is NaN."""
    return builder.select(builder.fcmp_ordered("<", a, b), b, a)


@intrinsic
def copy(typingctx, target, i, source, j, count):  # type: ignore[no-untyped-def]
    """target[i:i + count] = source[j:j + count], without a slice's checks."""

    def codegen(context, builder, signature, args):  # type: ignore[no-untyped-def]
        to, source_ = (_Array(context, builder, kind, args[k]) for kind, k in ((target, 0), (source, 2)))
        size = builder.mul(args[4], args[4].type(to.align))
        cgutils.raw_memcpy(builder, builder.gep(to.data, [args[1]]), builder.gep(source_.data, [args[3]]), size, 1)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.intp), codegen
