"""Softmax and its logarithm in one pass: a row is worked on while it is near."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinymed.kernels.numba_jit import jit, of_floats, plain, scratch
from tinymed.kernels.numba_launch import fetch, launch
from tinymed.kernels.numba_tanh import exp

Array = np.ndarray
BLOCK = 1 << 12  # numbers to a task
PLACES = 256  # of a picture, worked on side by side


@jit
def _rows(task, me, args):
    """Some rows (C): the largest, the sum of exponentials, the result."""
    x, log, y = fetch(args)
    some = max(1, BLOCK // x.shape[1])
    for n in range(task * some, min(len(x), (task + 1) * some)):
        row, out = x[n], y[n]
        top, total = row[0], row.dtype.type(0)
        for c in range(row.size):
            top = row[c] if row[c] > top else top
        for c in range(row.size):
            out[c] = row[c] - top
        if log:
            for c in range(row.size):
                total += exp(out[c])
            rest = row.dtype.type(math.log(total))
            for c in range(row.size):
                out[c] -= rest
        else:
            for c in range(row.size):
                out[c] = exp(out[c])
                total += out[c]
            for c in range(row.size):
                out[c] /= total


@jit
def largest(x, n, a, top):
    """For each place of picture n from a on, the largest over its channels."""
    top[:] = x[n, 0, a : a + PLACES]
    for c in range(x.shape[1]):
        row = x[n, c, a : a + PLACES]
        for i in range(top.size):
            top[i] = row[i] if row[i] > top[i] else top[i]


@jit
def _places(task, me, args):
    """_rows for some places of one picture (C,P), side by side: memory runs along the places."""
    x, log, y, tops, totals = fetch(args)
    C, P = x.shape[1:]
    blocks = (P + PLACES - 1) // PLACES
    n, a = task // blocks, task % blocks * PLACES
    top, total = tops[me][: min(PLACES, P - a)], totals[me][: min(PLACES, P - a)]
    total[:] = 0
    largest(x, n, a, top)
    for c in range(C):
        row, out = x[n, c, a : a + PLACES], y[n, c, a : a + PLACES]
        for i in range(top.size):
            out[i] = row[i] - top[i]
        if log:
            for i in range(top.size):
                total[i] += exp(out[i])
        else:
            for i in range(top.size):
                out[i] = exp(out[i])
                total[i] += out[i]
    for i in range(top.size):
        total[i] = math.log(total[i]) if log else 1 / total[i]
    for c in range(C):
        out = y[n, c, a : a + PLACES]
        if log:
            for i in range(top.size):
                out[i] -= total[i]
        else:
            for i in range(top.size):
                out[i] *= total[i]


@jit
def _rows_grad(task, me, args):
    """y · (g − Σ g·y), or for the logarithm g − e^y · Σ g"""
    g, y, log, gx = fetch(args)
    some = max(1, BLOCK // y.shape[1])
    for n in range(task * some, min(len(y), (task + 1) * some)):
        into, row, out = g[n], y[n], gx[n]
        total = row.dtype.type(0)
        if log:
            for c in range(row.size):
                total += into[c]
            for c in range(row.size):
                out[c] = into[c] - exp(row[c]) * total
        else:
            for c in range(row.size):
                total += into[c] * row[c]
            for c in range(row.size):
                out[c] = row[c] * (into[c] - total)


@jit
def _places_grad(task, me, args):
    g, y, log, gx, totals = fetch(args)
    C, P = y.shape[1:]
    blocks = (P + PLACES - 1) // PLACES
    n, a = task // blocks, task % blocks * PLACES
    total = totals[me][: min(PLACES, P - a)]
    total[:] = 0
    for c in range(C):
        into, row = g[n, c, a : a + PLACES], y[n, c, a : a + PLACES]
        if log:
            for i in range(total.size):
                total[i] += into[i]
        else:
            for i in range(total.size):
                total[i] += into[i] * row[i]
    for c in range(C):
        into, row, out = g[n, c, a : a + PLACES], y[n, c, a : a + PLACES], gx[n, c, a : a + PLACES]
        if log:
            for i in range(total.size):
                out[i] = into[i] - exp(row[i]) * total[i]
        else:
            for i in range(total.size):
                out[i] = row[i] * (into[i] - total[i])


@of_floats
def softmax(x: Array, log: bool) -> Array:
    """softmax of x (N,C,P) over C, or its logarithm"""
    return _over_rows(_rows, log, x) if x.shape[2] == 1 else _over_places(_places, ("tops", "totals"), log, x)


@of_floats
def softmax_grad(g: Array, y: Array, log: bool) -> Array:
    """From g into y, which softmax gave, to g into x: (N,C,P)"""
    return _over_rows(_rows_grad, log, g, y) if y.shape[2] == 1 else _over_places(_places_grad, ("totals",), log, g, y)


def _over_rows(task: Any, log: bool, *arrays: Array) -> Array:
    (N, C, P), dtype = arrays[0].shape, arrays[0].dtype
    y = np.empty((N, C, P), dtype)
    launch(task, -(-N // max(1, BLOCK // C)), *(plain(a)[:, :, 0] for a in arrays), log, y[:, :, 0])
    return y


def _over_places(task: Any, space: tuple[str, ...], log: bool, *arrays: Array) -> Array:
    (N, C, P), dtype = arrays[0].shape, arrays[0].dtype
    y = np.empty((N, C, P), dtype)
    launch(task, N * -(-P // PLACES), *map(plain, arrays), log, y, *(scratch(name, PLACES, dtype) for name in space))
    return y
