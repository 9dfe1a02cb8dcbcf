"""Softmax and cross-entropy in one pass: each row of scores is read once while it is near."""

from __future__ import annotations

import math

import numpy as np

from tinymed.kernels.numba_jit import jit, of_floats, plain
from tinymed.kernels.numba_launch import fetch, launch

Array = np.ndarray
BLOCK = 1 << 12  # scores to a task


@jit
def _cross_entropy(task, me, args):
    """Some rows: for each place the largest score, the sum of exponentials, the loss."""
    x, t, w, rows, loss, p = fetch(args)
    N, C, P = x.shape
    for n in range(task * rows, min(N, (task + 1) * rows)):
        for i in range(P):
            top, total = x[n, 0, i], x.dtype.type(0)
            for c in range(C):
                top = x[n, c, i] if x[n, c, i] > top else top
            for c in range(C):
                p[n, c, i] = math.exp(x[n, c, i] - top)
                total += p[n, c, i]
            for c in range(C):
                p[n, c, i] /= total
            loss[n, i] = w[n, i] * (math.log(total) + top - x[n, t[n, i], i])


@jit
def _cross_entropy_grad(task, me, args):
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
    loss, p = np.empty_like(w), np.empty(x.shape, x.dtype)
    rows = max(1, BLOCK // (x.shape[1] * x.shape[2]))
    launch(_cross_entropy, -(-len(x) // rows), plain(x), plain(t), plain(w), rows, loss, p)
    return loss, p


@of_floats
def cross_entropy_grad(g: Array, p: Array, t: Array, w: Array) -> Array:
    """g · w · (softmax(x) − 1 at t) → (N,C,P)"""
    gx = np.empty(p.shape, p.dtype)
    rows = max(1, BLOCK // (p.shape[1] * p.shape[2]))
    launch(_cross_entropy_grad, -(-len(p) // rows), plain(g), plain(p), plain(t), plain(w), rows, gx)
    return gx
