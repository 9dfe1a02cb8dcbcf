"""Softmax and cross-entropy in one pass: a row of scores is worked on while it is near."""

from __future__ import annotations

import math

import numpy as np

from tinymed.kernels.numba_jit import jit, of_floats, plain, scratch
from tinymed.kernels.numba_launch import fetch, launch
from tinymed.kernels.numba_softmax import BLOCK, PLACES, largest
from tinymed.kernels.numba_tanh import exp

Array = np.ndarray


@jit
def _rows(task, me, args):
    """Some rows (C): the largest score, the sum of exponentials, the loss."""
    x, t, w, loss, p = fetch(args)
    some = max(1, BLOCK // x.shape[1])
    for n in range(task * some, min(len(x), (task + 1) * some)):
        row, out = x[n], p[n]
        top, total = row[0], row.dtype.type(0)
        for c in range(row.size):
            top = row[c] if row[c] > top else top
        for c in range(row.size):
            out[c] = row[c] - top
        below = out[t[n]]
        for c in range(row.size):
            out[c] = exp(out[c])
            total += out[c]
        for c in range(row.size):
            out[c] /= total
        loss[n] = w[n] * (math.log(total) - below)


@jit
def _places(task, me, args):
    """_rows for some places of one picture (C,P), side by side: memory runs along the places."""
    x, t, w, loss, p, tops, totals = fetch(args)
    C, P = x.shape[1:]
    blocks = (P + PLACES - 1) // PLACES
    n, a = task // blocks, task % blocks * PLACES
    top, total = tops[me][: min(PLACES, P - a)], totals[me][: min(PLACES, P - a)]
    total[:] = 0
    largest(x, n, a, top)
    for c in range(C):
        row, out = x[n, c, a : a + PLACES], p[n, c, a : a + PLACES]
        for i in range(top.size):
            out[i] = exp(row[i] - top[i])
            total[i] += out[i]
    for c in range(C):
        out = p[n, c, a : a + PLACES]
        for i in range(top.size):
            out[i] /= total[i]
    for i in range(top.size):
        loss[n, a + i] = w[n, a + i] * (math.log(total[i]) - (x[n, t[n, a + i], a + i] - top[i]))


@jit
def _grad(task, me, args):
    g, p, t, w, rows, gx = fetch(args)
    N, C, P = p.shape
    for n in range(task * rows, min(N, (task + 1) * rows)):
        for c in range(C):
            for i in range(P):
                gx[n, c, i] = g[n, i] * w[n, i] * p[n, c, i]
        for i in range(P):
            gx[n, t[n, i], i] -= g[n, i] * w[n, i]


@of_floats
def cross_entropy(x: Array, t: Array, w: Array) -> tuple[Array, Array]:
    """−w · ln softmax(x)[t], and softmax(x): x (N,C,P), t and w (N,P) → (N,P), (N,C,P)"""
    (N, C, P), x, t, w = x.shape, plain(x), plain(t), plain(w)
    loss, p = np.empty((N, P), x.dtype), np.empty((N, C, P), x.dtype)
    if P == 1:
        launch(_rows, -(-N // max(1, BLOCK // C)), x[:, :, 0], t[:, 0], w[:, 0], loss[:, 0], p[:, :, 0])
    else:
        space = (scratch(name, PLACES, x.dtype) for name in ("tops", "totals"))
        launch(_places, N * -(-P // PLACES), x, t, w, loss, p, *space)
    return loss, p


@of_floats
def cross_entropy_grad(g: Array, p: Array, t: Array, w: Array) -> Array:
    """g · w · (softmax(x) − 1 at t) → (N,C,P)"""
    gx = np.empty(p.shape, p.dtype)
    rows = max(1, BLOCK // (p.shape[1] * p.shape[2]))
    launch(_grad, -(-len(p) // rows), plain(g), plain(p), plain(t), plain(w), rows, gx)
    return gx
