"""What recurrent layers share: one product for all inputs, and a loop over time in which each thread keeps its rows.

A thread takes some rows of the batch through the whole sequence and waits for nobody. In each step it
multiplies its states by W_hh, tile by tile, and runs the cell over each row. What the gradients of the weights
need is kept for one product at the end. Letters and shapes as in numpy_recurrent.py.
"""

from __future__ import annotations

import numpy as np

from tinymed.kernels import numba_tile as core
from tinymed.kernels.numba_jit import jit
from tinymed.kernels.numba_launch import fetch, launch
from tinymed.kernels.numba_matmul import matmul
from tinymed.kernels.threads import get_num_threads

Array = np.ndarray
ROWS = core.ROWS
HEIGHT = 4 * ROWS  # of the batch, at most, to a thread at a time: so often is a strip of W_hh used while it is near


@jit
def times(a, r0, r1, strips, offsets, out, at, N, add):
    """out[r0 … r1] = a[r0 … r1] · strips, or added to it; out (·,N) is flat and begins at `at`."""
    K, rows = a.shape[1], a.reshape(-1)
    wide = core.VECTORS * (core.BYTES // out.itemsize)
    for n in range(0, N, wide):
        for r in range(r0, r1, ROWS):
            core.tile(
                rows, r * K, K, 1, strips, n * K, offsets, 0, K,
                out, at + r * N + n, N, min(ROWS, r1 - r), min(wide, N - n), add,
            )  # fmt: skip


def in_strips(w: Array) -> Array:
    """(K,N) → strips (K, a tile's width) one after another; zeros fill the last."""
    wide = core.columns(w.dtype)
    K, N = w.shape
    out = np.zeros((-(-N // wide), K, wide), w.dtype)
    for q in range(len(out)):
        out[q, :, : min(wide, N - q * wide)] = w[:, q * wide : (q + 1) * wide]
    return out.reshape(-1)


def share_out(N: int, K: int, dtype: np.dtype) -> tuple[int, Array]:
    """How many rows a task takes, and the offsets of a strip's rows."""
    parts = max(1, -(-N // get_num_threads()))
    height = min(HEIGHT, parts if parts <= ROWS else -(-parts // ROWS) * ROWS)
    return height, np.arange(K) * core.columns(dtype)


def inputs(x: Array, w_ih: Array) -> Array:
    """W_ih·x_t for all t; the bias is the cell's to add, in a pass that it makes anyway."""
    return matmul(x.reshape(-1, x.shape[2]), w_ih.T).reshape(*x.shape[:2], len(w_ih))


@jit
def beside(x, states, r0, r1, both):
    """Rows r0 … r1 of x (N,I) and of the states (N,H), side by side: both take part in one product with da."""
    I = x.shape[1]
    for r in range(r0, r1):
        row = both[r]
        row[:I] = x[r]
        row[I:] = states[r]


def both_grads(da: Array, both: Array, w_ih: Array) -> tuple[Array, Array, Array, Array]:
    """From da, into W_ih·x + W_hh·h + b, and x and h side by side: gx, gw_ih, gw_hh, gb."""
    flat, I = da.reshape(-1, da.shape[2]), w_ih.shape[1]
    gw = state_grad(da, both)
    gx = matmul(flat, w_ih).reshape(*both.shape[:2], I)
    return gx, gw[:, :I], gw[:, I:], column_sums(flat)


def input_grads(da: Array, x: Array, w_ih: Array) -> tuple[Array, Array, Array]:
    """From da, into W_ih·x + b: gx, gw_ih, gb."""
    flat = da.reshape(-1, da.shape[2])
    return matmul(flat, w_ih).reshape(x.shape), state_grad(da, x), column_sums(flat)


def state_grad(da: Array, before: Array) -> Array:
    """Σ_t da_tᵀ·h_{t−1}, computed turned, for da is the larger: rows of the second factor need no packing across."""
    return matmul(before.reshape(-1, before.shape[2]).T, da.reshape(-1, da.shape[2])).T


@jit
def _sums(t, me, args):
    a, out = fetch(args)
    M, parts, total = a.shape[0], out.shape[0], out[t]
    total[:] = 0
    for m in range(t * M // parts, (t + 1) * M // parts):
        row = a[m]
        for j in range(total.size):
            total[j] += row[j]


def column_sums(a: Array) -> Array:
    """(M,N) → (N); each thread sums some rows."""
    out = np.empty((get_num_threads(), a.shape[1]), a.dtype)
    launch(_sums, len(out), a, out)
    return out.sum(axis=0)


def states_before(hs: Array, h0: Array) -> Array:
    """h_{t−1} for every t."""
    return np.concatenate([h0[None], hs[:-1]])
