"""Matrix products: A in panels of ROWS rows, B in panels as wide as a tile, and a tile for every pair of them."""

from __future__ import annotations

import numpy as np

from tinymed.kernels import numba_tile as core
from tinymed.kernels.numba_jit import jit, plain, scratch
from tinymed.kernels.numba_launch import fetch, launch
from tinymed.kernels.threads import get_num_threads

ROWS = core.ROWS
DEEP = 1024  # of K at a time: a panel of B stays in the second cache
BLOCK = 1 << 15  # numbers to pack in a task
SMALL = 128**3  # multiply-adds: smaller products, and those of a few rows or columns, are BLAS's
FEW = 3


@jit
def _pack_rows(a, turned, m0, k0, K, out, start):
    """Rows m0 … of A (M,K), or of A given as its transpose, side by side: out[k·ROWS + i] = A[m0+i, k0+k]."""
    M = a.shape[1] if turned else a.shape[0]
    rows = min(ROWS, M - m0)
    if rows < ROWS:
        out[start : start + K * ROWS] = 0
    if turned and rows == ROWS:  # a row of the transpose holds one number of each
        for k in range(K):
            row, into = a[k0 + k, m0 : m0 + ROWS], out[start + k * ROWS : start + (k + 1) * ROWS]
            for i in range(ROWS):
                into[i] = row[i]
        return
    for i in range(rows):
        into = out[start + i :]
        if turned:
            column = a[k0:, m0 + i]
            for k in range(K):
                into[k * ROWS] = column[k]
        else:
            row = a[m0 + i, k0:]
            for k in range(K):
                into[k * ROWS] = row[k]


@jit
def _pack_columns(b, turned, n0, n, k0, K, wide, out):
    """Columns n0 … n0+n of B (K,N), or of B given as its transpose: out[k·wide + j] = B[k0+k, n0+j]."""
    if turned:
        for j in range(n):
            row, into = b[n0 + j, k0:], out[j:]
            for k in range(K):
                into[k * wide] = row[k]
    else:
        for k in range(K):
            row, into = b[k0 + k, n0:], out[k * wide :]
            for j in range(n):
                into[j] = row[j]


@jit
def _strip(packed, step, first, last, column, offsets, K, c, n0, n, add):
    """C[:, n0 … n0+n] of the panels first … last of A."""
    M, N = c.shape
    flat = c.reshape(-1)
    for q in range(first, last):
        m = q * ROWS
        core.tile(packed, q * step, column, 0, offsets, 0, K, flat, m * N + n0, N, min(ROWS, M - m), n, add)


@jit
def _pack(t, me, args):
    """Some panels of A."""
    parts, blocks, a, turned, k0, deep, packed = fetch(args)
    for q in range(t * blocks // parts, (t + 1) * blocks // parts):
        _pack_rows(a, turned, q * ROWS, k0, deep, packed, q * ROWS * deep)


@jit
def _multiply(t, me, args):
    """One strip of C, or a part of its rows: a panel of B and the panels of A."""
    b, turned, k0, deep, offsets, cut, packed, c, columns = fetch(args)
    M, N = c.shape
    wide = core.VECTORS * (core.BYTES // c.itemsize)
    n0, part = t // cut * wide, t % cut
    n, blocks = min(wide, N - n0), (M + ROWS - 1) // ROWS
    _pack_columns(b, turned, n0, n, k0, deep, wide, columns[me])
    first, last = part * blocks // cut, (part + 1) * blocks // cut
    _strip(packed, ROWS * deep, first, last, columns[me], offsets, deep, c, n0, n, k0 > 0)


@jit
def _multiply_one(s, me, args):
    """One product of a stack."""
    a, a_turned, b, b_turned, offsets, c, packed, columns = fetch(args)
    (M, N), K = c.shape[1:], b.shape[2] if b_turned else b.shape[1]
    blocks = (M + ROWS - 1) // ROWS
    wide = core.VECTORS * (core.BYTES // c.itemsize)
    for k0 in range(0, K, DEEP):
        deep = min(DEEP, K - k0)
        for q in range(blocks):
            _pack_rows(a[s], a_turned, q * ROWS, k0, deep, packed[me], q * ROWS * deep)
        for n0 in range(0, N, wide):
            n = min(wide, N - n0)
            _pack_columns(b[s], b_turned, n0, n, k0, deep, wide, columns[me])
            _strip(packed[me], ROWS * deep, 0, blocks, columns[me], offsets, deep, c[s], n0, n, k0 > 0)


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(…,M,K) @ (…,K,N) → (…,M,N)"""
    (M, K), N = a.shape[-2:], b.shape[-1]
    if a.dtype != b.dtype or a.dtype.char not in "fd" or M * N * K <= SMALL or min(M, N) <= FEW:
        return np.matmul(a, b)
    if a.ndim == b.ndim == 2:
        return _product(a, b)
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if b.ndim == 2 and a.flags.c_contiguous:  # one product over all rows
        return matmul(a.reshape(-1, K), b).reshape(*stack, M, N)
    a, b = (np.broadcast_to(x, (*stack, *x.shape[-2:])).reshape(-1, *x.shape[-2:]) for x in (a, b))
    return (_products(a, b) if len(a) > 1 else _product(a[0], b[0])).reshape(*stack, M, N)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(M,K) @ (K,N): all threads pack A, then take strips of C."""
    (M, K), N = a.shape, b.shape[1]
    wide = core.columns(a.dtype)
    c, strips, blocks = np.empty((M, N), a.dtype), -(-N // wide), -(-M // ROWS)
    offsets, columns, packed = _space(M, K, a.dtype)
    cut = max(1, min(-(-M // (4 * ROWS)), -(-4 * get_num_threads() // strips)))
    (a, a_turned), (b, b_turned) = _turned(a), _turned(b)
    for k0 in range(0, K, DEEP):
        deep = min(DEEP, K - k0)
        parts = min(blocks, -(-M * deep // BLOCK))
        launch(_pack, parts, parts, blocks, a, a_turned, k0, deep, packed[0])
        launch(_multiply, strips * cut, b, b_turned, k0, deep, offsets, cut, packed[0], c, columns)
    return c


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(S,M,K) @ (S,K,N): each thread computes some of them."""
    (S, M, K), N = a.shape, b.shape[2]
    offsets, columns, packed = _space(M, K, a.dtype)
    c = np.empty((S, M, N), a.dtype)
    launch(_multiply_one, S, *_turned(a), *_turned(b), offsets, c, packed, columns)
    return c


def _space(M: int, K: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where a panel of B has its rows; memory for it, and for the panels of A."""
    deep, wide = min(K, DEEP), core.columns(dtype)
    packed = scratch("rows", -(-M // ROWS) * ROWS * deep, dtype)
    return np.arange(deep) * wide, scratch("columns", deep * wide, dtype), packed


def _turned(a: np.ndarray) -> tuple[np.ndarray, bool]:
    """a, or its transpose where that lies in C order; a copy where neither does."""
    t = a.swapaxes(-1, -2)
    turned = t.flags.c_contiguous and not a.flags.c_contiguous
    return plain(t if turned else a), turned
