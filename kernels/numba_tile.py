"""The compute core: a block of a matrix product held in vector registers, as LLVM code written from Python.

Products, convolutions and recurrent layers all come down to two sums. `tile` multiplies rows of A by
rows of B that may begin anywhere: a table of offsets makes the same code a matrix product (rows one after another)
and a convolution (rows of the image, shifted by each tap of the kernel). `dot` sums along both operands.

How many numbers one register holds, and how many registers there are, is asked of the CPU. Below the machine's
version of each stands the plain one, which runs where Numba's compiler is switched off (NUMBA_DISABLE_JIT=1).
"""

from __future__ import annotations

import numpy as np
from numba import config, types
from numba.extending import intrinsic

from tinymed.kernels.numba_emit import BYTES, MANY, Emit, int_
from tinymed.kernels.numba_jit import jit

ROWS = 8 if MANY else 4  # of a tile, one broadcast number each
VECTORS = 3  # of a tile's row: ROWS · VECTORS sums, VECTORS of B and one of A fit the registers
DOT_ROWS, DOT_COLUMNS = (4, 6) if MANY else (3, 4)


def lanes(dtype: np.dtype) -> int:
    """How many numbers one register holds."""
    return BYTES // np.dtype(dtype).itemsize


def columns(dtype: np.dtype) -> int:
    """How many columns a tile has."""
    return VECTORS * lanes(dtype)


def _make_tile(height: int, vectors: int):
    """A tile of `height` rows and `vectors` registers across."""

    @intrinsic
    def tile(typing_context, a, a0, a_row, a_k, b, b0, offsets, o0, K, c, c0, step, rows, cols, add):
        def generate(context, builder, signature, values):
            names = "a a0 a_row a_k b b0 offsets o0 K c c0 step rows cols add"
            at = dict(zip(names.split(), values))
            e = Emit(context, builder, a.dtype)
            A, B, C = (e.at(e.data(kind, at[name]), at[name + "0"]) for kind, name in ((a, "a"), (b, "b"), (c, "c")))
            table = e.at(e.data(offsets, at["offsets"]), at["o0"])
            last = e.mask(builder.sub(at["cols"], int_((vectors - 1) * e.lanes)))
            starts = []  # of A's rows; those that there are not read the last one
            for i in range(height):
                there = builder.icmp_signed("<", int_(i), at["rows"])
                row = builder.select(there, int_(i), builder.sub(at["rows"], int_(1)))
                starts.append(e.at(A, builder.mul(row, at["a_row"])))

            def row(pointer):  # all its vectors, the last cut to `cols`
                parts = [e.at(pointer, int_(j * e.lanes)) for j in range(vectors)]
                return [*map(e.load, parts[:-1]), e.load(parts[-1], last)]

            def step(k, sums):
                along = builder.mul(k, at["a_k"])
                xs = row(e.at(B, builder.load(e.at(table, k))))
                new = []
                for i in range(height):
                    w = e.splat(builder.load(e.at(starts[i], along)))
                    new += [e.fma(w, x, s) for x, s in zip(xs, sums[i * vectors :])]
                return new

            sums = e.loop(at["K"], [e.zero] * (height * vectors), step)
            every = e.mask(int_(e.lanes))
            for i in range(height):
                below = e.splat(builder.icmp_signed("<", int_(i), at["rows"]), last.type)
                out = e.at(C, builder.mul(at["step"], int_(i)))
                for j in range(vectors):
                    mask = builder.and_(below, last if j == vectors - 1 else every)
                    place = e.at(out, int_(j * e.lanes))
                    before = e.load(place, builder.and_(mask, e.splat(at["add"], last.type)))
                    e.store(builder.fadd(sums[i * vectors + j], before), place, mask)
            return context.get_dummy_value()

        index = types.intp
        takes = (a, *[index] * 3, b, index, offsets, index, index, c, *[index] * 4, types.boolean)
        return types.void(*takes), generate

    return tile


@intrinsic
def _dot(typing_context, a, rows, b, columns, n, segments, a_step, b_step, out, o0):
    def generate(context, builder, signature, values):
        av, rv, bv, cv, n, segments, a_step, b_step, ov, o0 = values
        e = Emit(context, builder, a.dtype)
        A, B, R, Q = e.data(a, av), e.data(b, bv), e.data(rows, rv), e.data(columns, cv)
        xs = [e.at(A, builder.load(e.at(R, int_(i)))) for i in range(DOT_ROWS)]
        ys = [e.at(B, builder.load(e.at(Q, int_(j)))) for j in range(DOT_COLUMNS)]
        whole = builder.sdiv(n, int_(e.lanes))
        rest = builder.sub(n, builder.mul(whole, int_(e.lanes)))
        last = e.mask(rest)

        def products(load, i, j, sums):
            left, right = [load(e.at(x, i)) for x in xs], [load(e.at(y, j)) for y in ys]
            return [e.fma(x, y, sums[k]) for k, (x, y) in enumerate((x, y) for x in left for y in right)]

        def segment(s, sums):
            i, j = builder.mul(s, a_step), builder.mul(s, b_step)

            def vector(k, sums):
                k = builder.mul(k, int_(e.lanes))
                return products(e.load, builder.add(i, k), builder.add(j, k), sums)

            sums = e.loop(whole, sums, vector)
            end = builder.mul(whole, int_(e.lanes))
            some = builder.select(builder.icmp_signed(">", rest, int_(0)), int_(1), int_(0))
            return e.loop(
                some,
                sums,
                lambda _, sums: products(lambda p: e.load(p, last), builder.add(i, end), builder.add(j, end), sums),
            )

        sums = e.loop(segments, [e.zero] * (DOT_ROWS * DOT_COLUMNS), segment)
        where = e.at(e.data(out, ov), o0)
        for k, s in enumerate(sums):
            p = e.at(where, int_(k))
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
