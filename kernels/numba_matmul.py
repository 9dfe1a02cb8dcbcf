"""Matrix products: A where it lies, B in strips as wide as a tile; a tile for every ROWS rows and every strip."""

from __future__ import annotations

import numpy as np

from tinymed.kernels import numba_tile as core
from tinymed.kernels.numba_jit import FLOATS, jit, plain, scratch
from tinymed.kernels.numba_launch import fetch, launch
from tinymed.kernels.threads import get_num_threads

ROWS = core.ROWS
DEEP = 512  # of K at a time: a strip of B stays in the second cache
SMALL = 80**3  # multiply-adds: smaller products, and those of a few rows or columns, are BLAS's
FEW = 3
NEAR = 128  # of K: so many rows of a strip stay in the first cache


@jit
def lay_strip(b, turned, n0, n, k0, K, wide, out):
    """Columns n0 … n0+n of B (K,N), or of B given as its transpose: out[k·wide + j] = B[k0+k, n0+j]."""
    if turned:
        for first in range(0, K, NEAR):
            some = min(NEAR, K - first)
            for j in range(n):
                row, into = b[n0 + j, k0 + first : k0 + first + some], out[first * wide + j :]
                for k in range(some):
                    into[k * wide] = row[k]
    else:
        for k in range(K):
            row, into = b[k0 + k, n0:], out[k * wide :]
            for j in range(n):
                into[j] = row[j]


@jit
def _strip(a, a_turned, first, last, b, b_turned, n0, offsets, column, c):
    """C[first … last, n0 … n0 + a tile's width], both factors given as they are or turned."""
    N = c.shape[1]
    K = b.shape[1] if b_turned else b.shape[0]
    a_row, a_k = (1, a.shape[1]) if a_turned else (a.shape[1], 1)
    wide = core.VECTORS * (core.BYTES // c.itemsize)
    rows, flat, n = a.reshape(-1), c.reshape(-1), min(wide, N - n0)
    for k in range(0, K, DEEP):
        deep = min(DEEP, K - k)
        lay_strip(b, b_turned, n0, n, k, deep, wide, column)
        for m in range(first, last, ROWS):
            at = m * a_row + k * a_k
            some = min(ROWS, last - m)
            core.tile(rows, at, a_row, a_k, column, 0, offsets, 0, deep, flat, m * N + n0, N, some, n, k > 0)


@jit
def _multiply(t, me, args):
    """A strip of C, or a part of its rows."""
    a, a_turned, b, b_turned, height, offsets, columns, c = fetch(args)
    wide = core.VECTORS * (core.BYTES // c.itemsize)
    parts = (c.shape[0] + height - 1) // height
    n, m = t // parts * wide, t % parts * height
    _strip(a, a_turned, m, min(c.shape[0], m + height), b, b_turned, n, offsets, columns[me], c)


@jit
def _multiply_one(s, me, args):
    """One product of a stack."""
    a, a_turned, b, b_turned, offsets, columns, c = fetch(args)
    wide = core.VECTORS * (core.BYTES // c.itemsize)
    for n in range(0, c.shape[2], wide):
        _strip(a[s], a_turned, 0, c.shape[1], b[s], b_turned, n, offsets, columns[me], c[s])


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(…,M,K) @ (…,K,N) → (…,M,N)"""
    (M, K), N = a.shape[-2:], b.shape[-1]
    if a.dtype != b.dtype or a.dtype not in FLOATS or M * N * K <= SMALL or min(M, N) <= FEW or 0 in a.shape:
        return np.matmul(a, b)
    if a.ndim == b.ndim == 2:
        if M <= 4 * ROWS and 2 * M < N and b.T.flags.c_contiguous:  # the larger factor stays where it lies
            return np.ascontiguousarray(_product(b.T, a.T).T)
        return _product(a, b)
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    if b.ndim == 2 and a.flags.c_contiguous:  # one product over all rows
        return matmul(a.reshape(-1, K), b).reshape(*stack, M, N)
    a, b = (np.broadcast_to(x, (*stack, *x.shape[-2:])).reshape(-1, *x.shape[-2:]) for x in (a, b))
    return (_products(a, b) if len(a) > 1 else _product(a[0], b[0])).reshape(*stack, M, N)


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(M,K) @ (K,N)"""
    (M, K), N = a.shape, b.shape[1]
    c, strips = np.empty((M, N), a.dtype), -(-N // core.columns(a.dtype))
    parts = max(1, min(-(-M // (4 * ROWS)), -(-4 * get_num_threads() // strips)))  # some tasks for each thread
    height = -(-M // (parts * ROWS)) * ROWS
    launch(_multiply, strips * -(-M // height), *turned(a), *turned(b), height, *_strips_of(K, a.dtype), c)
    return c


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(S,M,K) @ (S,K,N)"""
    c = np.empty((*a.shape[:2], b.shape[2]), a.dtype)
    launch(_multiply_one, len(c), *turned(a), *turned(b), *_strips_of(a.shape[2], a.dtype), c)
    return c


def _strips_of(K: int, dtype: np.dtype) -> tuple[np.ndarray, np.ndarray]:
    """Where the rows of a strip begin, and each thread's memory for one."""
    deep, wide = min(K, DEEP), core.columns(dtype)
    return np.arange(deep) * wide, scratch("strip", deep * wide, dtype)


def turned(a: np.ndarray) -> tuple[np.ndarray, bool]:
    """a and False, or its transpose and True where that lies in C order; a copy where neither does."""
    t = a.swapaxes(-1, -2)
    is_turned = t.flags.c_contiguous and not a.flags.c_contiguous
    return plain(t if is_turned else a), is_turned
