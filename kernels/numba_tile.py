"""The compute core: a block of a matrix product held in vector registers, as LLVM code written from Python.

Products, convolutions and recurrent layers all come down to two sums. `tile` multiplies rows of A by
rows of B that may begin anywhere: a table of offsets makes the same code a matrix product (rows one after another)
and a convolution (rows of the image, shifted by each tap of the kernel). `dot` sums along both operands.

How many numbers one register holds, and how many registers there are, is asked of the CPU. Below the machine's
version of each stands the plain one, which runs where Numba's compiler is switched off (NUMBA_DISABLE_JIT=1).
"""

from __future__ import annotations

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic

from tinymed.kernels.numba_jit import jit

_features = llvmlite.binding.get_host_cpu_features()
BYTES = 64 if _features.get("avx512f") else 32 if _features.get("avx2") else 16
MANY = BYTES == 64 or not _features.get("sse2", False)  # 32 registers: AVX-512 and ARM; else 16
ROWS = 8 if MANY else 4  # of a tile, one broadcast number each
VECTORS = 3  # of a tile's row: ROWS · VECTORS sums, VECTORS of B and one of A fit the registers
DOT_ROWS, DOT_COLUMNS = (4, 6) if MANY else (3, 4)


def lanes(dtype: np.dtype) -> int:
    """How many numbers one register holds."""
    return BYTES // np.dtype(dtype).itemsize


def columns(dtype: np.dtype) -> int:
    """How many columns a tile has."""
    return VECTORS * lanes(dtype)


_INT = ir.IntType(64)
_int = lambda value: ir.Constant(_INT, value)  # noqa: E731


class _Emit:
    """LLVM's instructions for vectors of one type."""

    def __init__(self, context, builder, dtype: types.Float) -> None:
        self.context, self.b = context, builder
        self.scalar = context.get_value_type(dtype)
        self.bytes = dtype.bitwidth // 8
        self.lanes = BYTES // self.bytes
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.kind = f"v{self.lanes}f{dtype.bitwidth}"
        self.zero = ir.Constant(self.vector, None)

    def data(self, array_type, array):
        return self.context.make_array(array_type)(self.context, self.b, array).data

    def at(self, pointer, index):
        return self.b.gep(pointer, [index])

    def _called(self, name, returns, takes, values):
        function = cgutils.get_or_insert_function(self.b.module, ir.FunctionType(returns, takes), name)
        return self.b.call(function, values)

    def fma(self, x, y, z):
        """x·y + z, rounded once"""
        return self._called(f"llvm.fma.{self.kind}", self.vector, [self.vector] * 3, [x, y, z])

    def load(self, pointer):
        vector = self.b.load(self.b.bitcast(pointer, self.vector.as_pointer()))
        vector.align = self.bytes  # any address of a number will do
        return vector

    def store(self, vector, pointer):
        self.b.store(vector, self.b.bitcast(pointer, self.vector.as_pointer()), align=self.bytes)

    def mask(self, n):
        """True in the first n lanes."""
        index = ir.Constant(ir.VectorType(_INT, self.lanes), list(range(self.lanes)))
        return self.b.icmp_signed("<", index, self.splat(n, ir.VectorType(_INT, self.lanes)))

    def load_first(self, pointer, mask):
        """The lanes under the mask, and 0: what lies beyond is not read."""
        pointer = self.b.bitcast(pointer, self.vector.as_pointer())
        takes = [pointer.type, ir.IntType(32), mask.type, self.vector]
        values = [pointer, ir.Constant(ir.IntType(32), self.bytes), mask, self.zero]
        return self._called(f"llvm.masked.load.{self.kind}.p0", self.vector, takes, values)

    def store_first(self, vector, pointer, mask):
        pointer = self.b.bitcast(pointer, self.vector.as_pointer())
        takes = [self.vector, pointer.type, ir.IntType(32), mask.type]
        values = [vector, pointer, ir.Constant(ir.IntType(32), self.bytes), mask]
        self._called(f"llvm.masked.store.{self.kind}.p0", ir.VoidType(), takes, values)

    def splat(self, number, kind=None):
        """One number in every lane."""
        kind = kind or self.vector
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), number, ir.Constant(ir.IntType(32), 0))
        return self.b.shuffle_vector(one, one, ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None))

    def total(self, vector):
        """The sum of all lanes, halves upon halves."""
        n = self.lanes
        while n > 1:
            n //= 2
            low, high = (
                ir.Constant(ir.VectorType(ir.IntType(32), n), list(range(start, start + n))) for start in (0, n)
            )
            vector = self.b.fadd(
                self.b.shuffle_vector(vector, vector, low), self.b.shuffle_vector(vector, vector, high)
            )
        return self.b.extract_element(vector, ir.Constant(ir.IntType(32), 0))

    def loop(self, n, carried, body):
        """for i in range(n): carried = body(i, carried); n may be 0."""
        before = self.b.block
        head, inside, after = (self.b.append_basic_block(name) for name in ("head", "inside", "after"))
        self.b.branch(head)
        self.b.position_at_end(head)
        i = self.b.phi(_INT)
        i.add_incoming(_int(0), before)
        values = []
        for value in carried:
            values.append(self.b.phi(value.type))
            values[-1].add_incoming(value, before)
        self.b.cbranch(self.b.icmp_signed("<", i, n), inside, after)
        self.b.position_at_end(inside)
        new = body(i, values)
        i.add_incoming(self.b.add(i, _int(1)), self.b.block)
        for phi, value in zip(values, new):
            phi.add_incoming(value, self.b.block)
        self.b.branch(head)
        self.b.position_at_end(after)
        return values


def _make_tile(height: int, vectors: int):
    """A tile of `height` rows and `vectors` registers across."""

    @intrinsic
    def tile(typing_context, a, a0, a_row, a_k, b, b0, offsets, o0, K, c, c0, step, rows, cols, add):
        def generate(context, builder, signature, values):
            names = "a a0 a_row a_k b b0 offsets o0 K c c0 step rows cols add"
            at = dict(zip(names.split(), values))
            e = _Emit(context, builder, a.dtype)
            A, B, C = (e.at(e.data(kind, at[name]), at[name + "0"]) for kind, name in ((a, "a"), (b, "b"), (c, "c")))
            table = e.at(e.data(offsets, at["offsets"]), at["o0"])
            last = e.mask(builder.sub(at["cols"], _int((vectors - 1) * e.lanes)))
            starts = []  # of A's rows; those that there are not read the last one
            for i in range(height):
                there = builder.icmp_signed("<", _int(i), at["rows"])
                row = builder.select(there, _int(i), builder.sub(at["rows"], _int(1)))
                starts.append(e.at(A, builder.mul(row, at["a_row"])))

            def row(pointer):  # all its vectors, the last cut to `cols`
                parts = [e.at(pointer, _int(j * e.lanes)) for j in range(vectors)]
                return [*map(e.load, parts[:-1]), e.load_first(parts[-1], last)]

            def step(k, sums):
                along = builder.mul(k, at["a_k"])
                xs = row(e.at(B, builder.load(e.at(table, k))))
                new = []
                for i in range(height):
                    w = e.splat(builder.load(e.at(starts[i], along)))
                    new += [e.fma(w, x, s) for x, s in zip(xs, sums[i * vectors :])]
                return new

            sums = e.loop(at["K"], [e.zero] * (height * vectors), step)
            every = e.mask(_int(e.lanes))
            for i in range(height):
                below = e.splat(builder.icmp_signed("<", _int(i), at["rows"]), last.type)
                out = e.at(C, builder.mul(at["step"], _int(i)))
                for j in range(vectors):
                    mask = builder.and_(below, last if j == vectors - 1 else every)
                    place = e.at(out, _int(j * e.lanes))
                    before = e.load_first(place, builder.and_(mask, e.splat(at["add"], last.type)))
                    e.store_first(builder.fadd(sums[i * vectors + j], before), place, mask)
            return context.get_dummy_value()

        index = types.intp
        takes = (a, *[index] * 3, b, index, offsets, index, index, c, *[index] * 4, types.boolean)
        return types.void(*takes), generate

    return tile


@intrinsic
def _dot(typing_context, a, rows, b, columns, n, segments, a_step, b_step, out, o0):
    def generate(context, builder, signature, values):
        av, rv, bv, cv, n, segments, a_step, b_step, ov, o0 = values
        e = _Emit(context, builder, a.dtype)
        A, B, R, Q = e.data(a, av), e.data(b, bv), e.data(rows, rv), e.data(columns, cv)
        xs = [e.at(A, builder.load(e.at(R, _int(i)))) for i in range(DOT_ROWS)]
        ys = [e.at(B, builder.load(e.at(Q, _int(j)))) for j in range(DOT_COLUMNS)]
        whole = builder.sdiv(n, _int(e.lanes))
        rest = builder.sub(n, builder.mul(whole, _int(e.lanes)))
        last = e.mask(rest)

        def products(load, i, j, sums):
            left, right = [load(e.at(x, i)) for x in xs], [load(e.at(y, j)) for y in ys]
            return [e.fma(x, y, sums[k]) for k, (x, y) in enumerate((x, y) for x in left for y in right)]

        def segment(s, sums):
            i, j = builder.mul(s, a_step), builder.mul(s, b_step)

            def vector(k, sums):
                k = builder.mul(k, _int(e.lanes))
                return products(e.load, builder.add(i, k), builder.add(j, k), sums)

            sums = e.loop(whole, sums, vector)
            end = builder.mul(whole, _int(e.lanes))
            some = builder.select(builder.icmp_signed(">", rest, _int(0)), _int(1), _int(0))
            return e.loop(
                some,
                sums,
                lambda _, sums: products(
                    lambda p: e.load_first(p, last), builder.add(i, end), builder.add(j, end), sums
                ),
            )

        sums = e.loop(segments, [e.zero] * (DOT_ROWS * DOT_COLUMNS), segment)
        where = e.at(e.data(out, ov), o0)
        for k, s in enumerate(sums):
            p = e.at(where, _int(k))
            builder.store(builder.fadd(builder.load(p), e.total(s)), p)
        return context.get_dummy_value()

    index = types.intp
    return types.void(a, rows, b, columns, index, index, index, index, out, index), generate


def _plain_tile(a, a0, a_row, a_k, b, b0, offsets, o0, K, c, c0, step, rows, cols, add):
    """c[i, j] = Σ_k a[i, k] · b[offsets[k] + j], or added to what is there; row i of a begins at a0 + i·a_row."""
    lines = np.stack([b[b0 + o : b0 + o + cols] for o in offsets[o0 : o0 + K]]) if K else np.empty((0, cols), b.dtype)
    out = a[a0 + np.arange(rows)[:, None] * a_row + np.arange(K) * a_k] @ lines
    for i in range(rows):
        row = c[c0 + i * step : c0 + i * step + cols]
        row[:] = row + out[i] if add else out[i]


def _plain_dot(a, rows, b, columns, n, segments, a_step, b_step, out, o0):
    """out[i, j] += Σ_s Σ_p a[rows[i] + s·a_step + p] · b[columns[j] + s·b_step + p], p < n."""
    for s in range(segments):
        left = np.stack([a[r + s * a_step :][:n] for r in rows])
        right = np.stack([b[c + s * b_step :][:n] for c in columns])
        out[o0 : o0 + left.shape[0] * right.shape[0]] += (left @ right.T).reshape(-1)


if config.DISABLE_JIT:
    tile, dot = _plain_tile, _plain_dot
else:
    dot = _dot
    _wide, _middle, _narrow = (_make_tile(ROWS, n) for n in (3, 2, 1))
    _wide_half, _middle_half, _narrow_half = (_make_tile(ROWS // 2, n) for n in (3, 2, 1))

    @jit
    def tile(a, a0, a_row, a_k, b, b0, offsets, o0, K, c, c0, step, rows, cols, add):
        lanes = BYTES // a.itemsize
        if rows > ROWS // 2:
            if cols > 2 * lanes:
                _wide(a, a0, a_row, a_k, b, b0, offsets, o0, K, c, c0, step, rows, cols, add)
            elif cols > lanes:
                _middle(a, a0, a_row, a_k, b, b0, offsets, o0, K, c, c0, step, rows, cols, add)
            else:
                _narrow(a, a0, a_row, a_k, b, b0, offsets, o0, K, c, c0, step, rows, cols, add)
        elif cols > 2 * lanes:
            _wide_half(a, a0, a_row, a_k, b, b0, offsets, o0, K, c, c0, step, rows, cols, add)
        elif cols > lanes:
            _middle_half(a, a0, a_row, a_k, b, b0, offsets, o0, K, c, c0, step, rows, cols, add)
        else:
            _narrow_half(a, a0, a_row, a_k, b, b0, offsets, o0, K, c, c0, step, rows, cols, add)
