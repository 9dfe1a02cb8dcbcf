"""What recurrent layers share: a loop over time in which each thread keeps its rows, products with packed weights.

A thread takes some rows of the batch through the whole sequence and waits for nobody. In each step it multiplies
x_t and h_{t−1}, side by side, by [W_ih W_hh], tile by tile, and runs the cell over each row; backwards the gradients
of both come out of one product likewise. What the gradients of the weights need is kept for one product at the end.
Letters and shapes as in numpy_recurrent.py.
"""

from __future__ import annotations

import numpy as np

from tinymed.kernels import numba_tile as core
from tinymed.kernels.numba_jit import jit
from tinymed.kernels.numba_launch import fetch, launch
from tinymed.kernels.numba_matmul import lay_strip, matmul, turned
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


@jit
def _strip(t, me, args):
    w, turned, out = fetch(args)
    K, wide = out.shape[1:]
    n = min(wide, (w.shape[0] if turned else w.shape[1]) - t * wide)
    lay_strip(w, turned, t * wide, n, 0, K, wide, out[t].reshape(-1))


def in_strips(w: Array) -> tuple[Array, Array]:
    """(K,N) → strips (K, a tile's width) one after another, and where a strip's rows begin."""
    (K, N), wide = w.shape, core.columns(w.dtype)
    out = np.empty((-(-N // wide), K, wide), w.dtype)
    launch(_strip, len(out), *turned(w), out)
    return out.reshape(-1), np.arange(K) * wide


def share_out(N: int) -> int:
    """How many rows of the batch a task takes."""
    each = max(1, -(-N // get_num_threads()))
    return min(HEIGHT, each if each <= ROWS else -(-each // ROWS) * ROWS)


def inputs(x: Array, w_ih: Array) -> Array:
    """W_ih·x_t for all t, in one product; the bias is the cell's to add, in a pass that it makes anyway."""
    return matmul(x.reshape(-1, x.shape[2]), w_ih.T).reshape(*x.shape[:2], len(w_ih))


def joined(x: Array, w_ih: Array, w_hh: Array, height: int) -> tuple[Array, Array]:
    """x and [W_ih W_hh], for one product a step of x_t and h_{t−1} side by side: so a_t is written once.

    Where a task has few rows, W_ih would be read again at each step for little: then no column of x, and W_hh.
    """
    if height < ROWS and x.shape[2] > w_hh.shape[1]:
        return x[:, :, :0], w_hh
    return x, np.concatenate([w_ih, w_hh], axis=1)


@jit
def beside(x, states, r0, r1, both):
    """Rows r0 … r1 of x (N,I) and of the states (N,H), side by side: both take part in one product with da."""
    I = x.shape[1]
    for r in range(r0, r1):
        row = both[r]
        row[:I] = x[r]
        row[I:] = states[r]


def input_grad(da: Array, w_ih: Array) -> Array:
    """da_t·W_ih for all t, in one product"""
    return matmul(da.reshape(-1, da.shape[2]), w_ih).reshape(*da.shape[:2], w_ih.shape[1])


def weight_grad(da: Array, before: Array) -> Array:
    """Σ_t da_tᵀ·before_t, what was multiplied by the weights at t"""
    return matmul(da.reshape(-1, da.shape[2]).T, before.reshape(-1, before.shape[2]))


@jit
def _sums(t, me, args):
    a, out = fetch(args)
    M, parts, total = a.shape[0], out.shape[0], out[t]
    total[:] = 0
    for m in range(t * M // parts, (t + 1) * M // parts):
        row = a[m]
        for j in range(total.size):
            total[j] += row[j]


def bias_grad(da: Array) -> Array:
    """Σ_t Σ_n da_t[n]; each thread sums some rows."""
    a = da.reshape(-1, da.shape[2])
    out = np.empty((get_num_threads(), a.shape[1]), a.dtype)
    launch(_sums, len(out), a, out)
    return out.sum(axis=0)


def states_before(hs: Array, h0: Array) -> Array:
    """h_{t−1} for every t."""
    return np.concatenate([h0[None], hs[:-1]])
