"""Pooling: tap by tap along each row of the output, with no branch inside; a thread owns whole channels.

Windows of 2x2 side by side, the usual case, have loops of their own: they read and write both columns at once.
"""

from __future__ import annotations

import numpy as np

from tinymed.kernels.numba_jit import jit, of_floats, plain, scratch
from tinymed.kernels.numba_launch import fetch, launch
from tinymed.kernels.numba_lines import lay_all, lift, lines_of, tap_offsets
from tinymed.kernels.numba_pairs import larger_of_four, spread_pair
from tinymed.kernels.shapes import PoolShape


def _is_pairs(s: PoolShape) -> bool:
    """Windows of 2x2 side by side, all inside the image."""
    return (
        (s.KH, s.KW, s.SH, s.SW, s.PH, s.PW, s.DH, s.DW) == (2, 2, 2, 2, 0, 0, 1, 1)
        and 2 * s.OH <= s.H
        and 2 * s.OW <= s.W
    )


@jit
def _max_pool_pairs(c, me, args):
    x, y, where = fetch(args)
    for i in range(y.shape[1]):
        larger_of_four(x[c, 2 * i], x[c, 2 * i + 1], y[c, i], where[c, i])


@jit
def _max_pool_pairs_grad(c, me, args):
    g, where, gx = fetch(args)
    OH, OW = g.shape[1:]
    gx[c, 2 * OH :] = 0
    for i in range(OH):
        for u in range(2):
            row = gx[c, 2 * i + u]
            spread_pair(g[c, i], where[c, i], np.uint8(2 * u), row)
            row[2 * OW :] = 0


@jit
def _avg_pool_pairs(c, me, args):
    x, count, y = fetch(args)
    for i in range(y.shape[1]):
        upper, lower, row, n = x[c, 2 * i], x[c, 2 * i + 1], y[c, i], count[i]
        for j in range(row.size):
            row[j] = ((upper[2 * j] + upper[2 * j + 1]) + (lower[2 * j] + lower[2 * j + 1])) / n[j]


@jit
def _avg_pool_pairs_grad(c, me, args):
    g, count, gx = fetch(args)
    OH, OW = g.shape[1:]
    gx[c, 2 * OH :] = 0
    for i in range(OH):
        for u in range(2):
            row, n, out = g[c, i], count[i], gx[c, 2 * i + u]
            for j in range(row.size):
                share = row[j] / n[j]
                out[2 * j] = share
                out[2 * j + 1] = share
            out[2 * OW :] = 0


# ---------------------------------------------------------------- any window


@jit
def _lift_all(line, lines, image):
    for a in range(lines.SH):
        for b in range(lines.SW):
            lift(line, lines, a, b, (a * lines.SW + b) * lines.size, image)


@jit
def _larger(y, where, x, tap):
    """y = max(y, x), and its tap; NaN is larger than all."""
    for j in range(y.size):
        v, best, place = x[j], y[j], where[j]
        wins = (v > best) | (v != v)
        y[j] = v if wins else best
        where[j] = tap if wins else place


@jit
def _max_pool(c, me, args):
    x, lines, offsets, first, lowest, y, where, spaces, outs, places = fetch(args)
    OH, OW = y.shape[1:]
    flat = (OH - 1) * lines.pitch + OW
    space, best, place = spaces[me], outs[me, :flat], places[me, :flat]
    lay_all(x[c : c + 1], lines, lowest, space, 0)
    best[:] = lowest
    place[:] = first[:flat]
    for tap in range(offsets.size):
        _larger(best, place, space[offsets[tap] :], where.dtype.type(tap))
    for i in range(OH):
        y[c, i] = best[i * lines.pitch : i * lines.pitch + OW]
        where[c, i] = place[i * lines.pitch : i * lines.pitch + OW]


@jit
def _add_where(x, g, where, tap):
    for j in range(g.size):
        x[j] += g[j] if where[j] == tap else g.dtype.type(0)


@jit
def _max_pool_grad(c, me, args):
    g, where, lines, offsets, gx, spaces, outs, places = fetch(args)
    OH, OW = g.shape[1:]
    flat = (OH - 1) * lines.pitch + OW
    space, line, place = spaces[me, : lines.SH * lines.SW * lines.size], outs[me, :flat], places[me, :flat]
    space[:] = 0
    line[:] = 0
    place[:] = 0
    for i in range(OH):
        line[i * lines.pitch : i * lines.pitch + OW] = g[c, i]
        place[i * lines.pitch : i * lines.pitch + OW] = where[c, i]
    for tap in range(offsets.size):
        _add_where(space[offsets[tap] :], line, place, where.dtype.type(tap))
    gx[c] = 0
    _lift_all(space, lines, gx[c])


@jit
def _add(y, x):
    for j in range(y.size):
        y[j] += x[j]


@jit
def _avg_pool(c, me, args):
    x, count, y, lines, offsets, spaces, outs = fetch(args)
    OH, OW = y.shape[1:]
    flat = (OH - 1) * lines.pitch + OW
    space, total = spaces[me], outs[me, :flat]
    lay_all(x[c : c + 1], lines, x.dtype.type(0), space, 0)
    total[:] = 0
    for tap in range(offsets.size):
        _add(total, space[offsets[tap] :])
    for i in range(OH):
        row, n, sums = y[c, i], count[i], total[i * lines.pitch : i * lines.pitch + OW]
        for j in range(OW):
            row[j] = sums[j] / n[j]


@jit
def _avg_pool_grad(c, me, args):
    g, count, gx, lines, offsets, spaces, outs = fetch(args)
    OH, OW = g.shape[1:]
    flat = (OH - 1) * lines.pitch + OW
    space, line = spaces[me, : lines.SH * lines.SW * lines.size], outs[me, :flat]
    space[:] = 0
    line[:] = 0
    for i in range(OH):
        row, n, share = g[c, i], count[i], line[i * lines.pitch : i * lines.pitch + OW]
        for j in range(OW):
            share[j] = row[j] / n[j]
    for tap in range(offsets.size):
        x = space[offsets[tap] : offsets[tap] + flat]
        _add(x, line)
    gx[c] = 0
    _lift_all(space, lines, gx[c])


@of_floats
def max_pool2d(x: np.ndarray, s: PoolShape) -> tuple[np.ndarray, np.ndarray]:
    """(N,C,H,W) → the largest of each window and where it stood, u·KW + v: both (N,C,OH,OW)"""
    x = plain(x)
    y, where = np.empty(s.y, x.dtype), np.empty(s.y, np.uint8 if s.KH * s.KW <= 256 else np.int32)
    if _is_pairs(s):
        launch(_max_pool_pairs, s.N * s.C, _images(x), _images(y), _images(where))
        return y, where
    lowest = x.dtype.type(-np.inf)
    lines, offsets, spaces, outs = _ready(s, x.dtype)
    first = np.zeros((s.OH, lines.pitch), where.dtype)  # a window's first tap inside the image: wins where all are −inf
    u, v = (
        np.maximum(0, -(-(p - np.arange(n) * k) // d))
        for p, n, k, d in ((s.PH, s.OH, s.SH, s.DH), (s.PW, s.OW, s.SW, s.DW))
    )
    first[:, : s.OW] = u[:, None] * s.KW + v
    places = scratch("places", s.OH * lines.pitch, where.dtype)
    launch(
        _max_pool,
        s.N * s.C,
        _images(x),
        lines,
        offsets,
        first.reshape(-1),
        lowest,
        _images(y),
        _images(where),
        spaces,
        outs,
        places,
    )
    return y, where


@of_floats
def max_pool2d_grad(g: np.ndarray, where: np.ndarray, s: PoolShape) -> np.ndarray:
    """g (N,C,OH,OW), each back to where the largest stood → (N,C,H,W)"""
    g, where = plain(g), plain(where)
    gx = np.empty(s.x, g.dtype)
    if _is_pairs(s):
        launch(_max_pool_pairs_grad, s.N * s.C, _images(g), _images(where), _images(gx))
        return gx
    lines, offsets, spaces, outs = _ready(s, g.dtype)
    places = scratch("places", s.OH * lines.pitch, where.dtype)
    launch(_max_pool_grad, s.N * s.C, _images(g), _images(where), lines, offsets, _images(gx), spaces, outs, places)
    return gx


@of_floats
def avg_pool2d(x: np.ndarray, count: np.ndarray, s: PoolShape) -> np.ndarray:
    """(N,C,H,W) → each window's sum over `count` (OH,OW or 1,1) → (N,C,OH,OW)"""
    x = plain(x)
    y = np.empty(s.y, x.dtype)
    if _is_pairs(s):
        launch(_avg_pool_pairs, s.N * s.C, _images(x), _counts(count, s), _images(y))
        return y
    launch(_avg_pool, s.N * s.C, _images(x), _counts(count, s), _images(y), *_ready(s, x.dtype))
    return y


@of_floats
def avg_pool2d_grad(g: np.ndarray, count: np.ndarray, s: PoolShape) -> np.ndarray:
    """g/count (N,C,OH,OW) to every cell of its window → (N,C,H,W)"""
    g = plain(g)
    gx = np.empty(s.x, g.dtype)
    if _is_pairs(s):
        launch(_avg_pool_pairs_grad, s.N * s.C, _images(g), _counts(count, s), _images(gx))
        return gx
    launch(_avg_pool_grad, s.N * s.C, _images(g), _counts(count, s), _images(gx), *_ready(s, g.dtype))
    return gx


def _ready(s: PoolShape, dtype: np.dtype) -> tuple:
    """Lines, the taps' offsets, and each thread's memory for an image in lines and for a line of outputs."""
    lines = lines_of(s)
    return (
        lines,
        tap_offsets(s, lines).reshape(-1),
        scratch("lines", lines.each, dtype),
        scratch("line", s.OH * lines.pitch, dtype),
    )


def _images(a: np.ndarray) -> np.ndarray:
    return a.reshape(-1, *a.shape[2:])


def _counts(count: np.ndarray, s: PoolShape) -> np.ndarray:
    return np.array(np.broadcast_to(count, (s.OH, s.OW)), order="C")
