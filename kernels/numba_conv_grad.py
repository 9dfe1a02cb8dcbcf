"""Convolution's gradients: into x a sum over the lines of g, into w a sum along the lines of x and g in step.

A task takes some images, a few at a time: it lays their g (or the g of a pooled window, back where its largest
stood) in lines that stay near the core, and computes from these all three gradients. What a task sums up for w and
b is its own; the tasks' sums are added at the end, in order.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tinymed.kernels import numba_depthwise
from tinymed.kernels import numba_tile as core
from tinymed.kernels.numba_conv import NEAR, ROWS, block, plan
from tinymed.kernels.numba_jit import jit, of_floats, plain, scratch
from tinymed.kernels.numba_launch import fetch, launch
from tinymed.kernels.numba_lines import lay, lay_all
from tinymed.kernels.numba_pairs import spread_pair
from tinymed.kernels.shapes import DEAD, ConvShape, Pair
from tinymed.kernels.threads import get_num_threads

SECOND = 400_000  # bytes of lines that a task holds: they stay in the second cache


class Backward(NamedTuple):
    x_own: bool  # whether x, and g, are their own lines
    g_own: bool
    g_base: int
    G: int
    OH: int
    OW: int
    together: int  # images that lie in lines at a time
    KH: int  # of the pooling window
    KW: int


@jit
def _backward(t, me, args):
    """Some images, with sums gw[t], gb[t] of their own. What is empty of gx and gw is not computed."""
    (
        x,
        x_lines,
        x_offsets,
        g,
        where,
        g_lines,
        g_offsets,
        w,
        sums,
        job,
        gx,
        gws,
        gbs,
        x_spaces,
        g_spaces,
        buffers,
    ) = fetch(args)
    first, last = t * g.shape[0] // gbs.shape[0], (t + 1) * g.shape[0] // gbs.shape[0]
    gw, gb, x_space, g_space, buffer = gws[t], gbs[t], x_spaces[me], g_spaces[me], buffers[me]
    x_step, g_step = x.shape[1] * x_lines.SH * x_lines.SW * x_lines.size, gb.size * g_lines.size
    x_flat, g_flat = x.reshape(-1), g.reshape(-1)
    gw[:] = 0
    gb[:] = 0
    for n0 in range(first, last, job.together):
        images = min(job.together, last - n0)
        g_source, g0 = g_flat, n0 * g_step
        if not job.g_own:
            g_source, g0 = g_space, 0
        for n in range(images):
            if where.size:
                _unpool(g[n0 + n], where[n0 + n], g_lines, job, gb, g_source, n * g_step)
            else:
                _lay_g(g[n0 + n], g_lines, job, gb, g_source, n * g_step)
        if gw.size:
            x_source, x0 = x_flat, n0 * x_step
            if not job.x_own:
                x_source, x0 = x_space, 0
                for n in range(images):
                    lay_all(x[n0 + n], x_lines, x.dtype.type(0), x_source, n * x_step)
            _weight_sums(
                g_source,
                g0 + job.g_base,
                g_step,
                g_lines,
                x_source,
                x0,
                x_step,
                x_lines,
                x_offsets,
                images,
                job,
                gb.size,
                gw,
            )
        if gx.size:
            for n in range(images):
                for z in range(len(sums)):
                    at = g0 + n * g_step
                    _spread(g_source, at, g_step // job.G, g_lines, g_offsets, w, sums[z], job.G, gx[n0 + n], buffer)


@jit
def _lay_g(g, lines, job, gb, out, start):
    """g of an image (O,OH,OW) into lines, where it is not its own; and its sums into gb."""
    for o in range(g.shape[0]):
        cells, total = g[o].reshape(-1), gb[o]
        for i in range(cells.size):
            total += cells[i]
        gb[o] = total
        if not job.g_own:
            lay(g[o], lines, 0, 0, 0, lines.rows, g.dtype.type(0), out, start + o * lines.size)


@jit
def _unpool(g, where, lines, job, gb, out, start):
    """_lay_g of pooled windows: g where the largest stood, among zeros."""
    zero = g.dtype.type(0)
    out[start : start + g.shape[0] * lines.size] = 0
    for o in range(g.shape[0]):
        total = gb[o]
        for i in range(g.shape[1]):
            row, places, part = g[o, i], where[o, i], zero
            for j in range(row.size):
                part += row[j] if places[j] != DEAD else zero
            total += part
            for u in range(job.KH):
                at = start + o * lines.size + job.g_base + (i * job.KH + u) * lines.pitch
                line = out[at : at + row.size * job.KW]
                if job.KW == 2:
                    spread_pair(row, places, np.uint8(2 * u), line)
                else:
                    for j in range(row.size):
                        v = places[j] - u * job.KW
                        if 0 <= v < job.KW and places[j] != DEAD:
                            line[j * job.KW + v] = row[j]
        gb[o] = total


@jit
def _weight_sums(g, g_base, g_step, g_lines, x, x_base, x_step, x_lines, offsets, images, job, O, sums):
    """sums += Σ g·x along the lines of some images: a block of DOT_ROWS channels x DOT_COLUMNS taps after another."""
    M, K = O // job.G, offsets.size
    blocks, columns = (M + core.DOT_ROWS - 1) // core.DOT_ROWS, (K + core.DOT_COLUMNS - 1) // core.DOT_COLUMNS
    left, right = np.empty(core.DOT_ROWS, np.int64), np.empty(core.DOT_COLUMNS, np.int64)
    flat = (job.OH - 1) * x_lines.pitch + job.OW
    some = max(256, 2 * NEAR // images)  # so far along the lines at a time: what rows and taps share stays near
    for p in range(0, flat, some):
        n = min(some, flat - p)
        for k in range(job.G):
            for m in range(blocks):
                for i in range(core.DOT_ROWS):
                    left[i] = g_base + (k * M + min(m * core.DOT_ROWS + i, M - 1)) * g_lines.size + p
                for c in range(columns):
                    for j in range(core.DOT_COLUMNS):
                        tap = offsets[min(c * core.DOT_COLUMNS + j, K - 1)]
                        right[j] = x_base + k * (x_step // job.G) + tap + p
                    at = ((k * blocks + m) * columns + c) * core.DOT_ROWS * core.DOT_COLUMNS
                    core.dot(g, left, x, right, n, images, g_step, x_step, sums, at)


@jit
def _spread(g, g0, group, lines, offsets, w, phase, G, gx, buffer):
    """g of one image, spread back through the taps of one phase, into gx (C,H,W)."""
    base, rows, cols, row0, row_step, col0, col_step, offset0, K, w0 = phase
    M, pitch = gx.shape[0] // G, lines.pitch
    blocks = (M + ROWS - 1) // ROWS
    R = max(1, min(rows, NEAR // pitch))
    for r0 in range(0, rows, R):
        count = min(R, rows - r0)
        for q in range(G * blocks):
            k, m = q // blocks, q % blocks * ROWS
            channels = min(ROWS, M - m)
            at = g0 + k * group + base + r0 * pitch
            row = w0 + (k * M + m) * K
            flat = block(g, at, pitch, offsets, offset0, K, w, row, channels, count, cols, buffer)
            for i in range(channels):
                for r in range(count):
                    row = buffer[i * flat + r * pitch : i * flat + r * pitch + cols]
                    _every(row, col_step, gx[k * M + m + i, row0 + (r0 + r) * row_step, col0:])


@jit
def _every(row, step, out):
    """out[::step] = row"""
    if step == 1:
        for j in range(row.size):
            out[j] = row[j]
    else:
        for j in range(row.size):
            out[j * step] = row[j]


@of_floats
def conv2d_input_grad(g: np.ndarray, w: np.ndarray, s: ConvShape) -> np.ndarray:
    """g (N,O,OH,OW) spread back through w over the windows → (N,C,H,W)"""
    return _grads(g, None, None, w, s, (1, 1))[0]


@of_floats
def conv2d_weight_grad(x: np.ndarray, g: np.ndarray, s: ConvShape) -> np.ndarray:
    """windows of x (N,C,H,W), weighted by g (N,O,OH,OW) and summed → (O,C/G,KH,KW)"""
    return _grads(g, None, x, None, s, (1, 1))[1]


@of_floats
def conv2d_grad(
    g: np.ndarray, x: np.ndarray | None, w: np.ndarray | None, s: ConvShape
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray]:
    """All of g (N,O,OH,OW): gx (if w is given), gw (if x is given), gb."""
    return _grads(g, None, x, w, s, (1, 1))


@of_floats
def conv2d_max_pool2d_grad(
    g: np.ndarray, where: np.ndarray, x: np.ndarray | None, w: np.ndarray | None, s: ConvShape, window: Pair
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray]:
    """g to where the largest stood, and from there → gx (if w is given), gw (if x is given), gb."""
    return _grads(g, where, x, w, s, window)


def _grads(g, where, x, w, s: ConvShape, window: Pair) -> tuple:
    """gx, gw and gb in one walk over the images; without `where` g is conv2d's own."""
    p, dtype = plan(s), g.dtype
    if where is None and s.G == s.C == s.O > 1:
        return numba_depthwise.conv2d_grad(g, x, w, s, p)
    M, K = s.O // s.G, p.x_offsets.size
    T = min(s.N, get_num_threads())
    blocks = s.G, -(-M // core.DOT_ROWS), -(-K // core.DOT_COLUMNS), core.DOT_ROWS, core.DOT_COLUMNS
    gw = np.empty((T, 0 if x is None else math.prod(blocks)), dtype)
    gb = np.empty((T, s.O), dtype)
    gx = (np.empty if p.whole else np.zeros)((0, 0, 0, 0) if w is None else s.x, dtype)
    each = s.C * p.x.each + s.O * p.g.size
    together = max(1, min(-(-s.N // T), 4 * NEAR // (s.OH * p.x.pitch), SECOND // (each * dtype.itemsize)))
    job = Backward(p.x.own, p.g.own and where is None, p.g_base, s.G, s.OH, s.OW, together, *window)
    launch(
        *(_backward, T, np.empty(s.x, dtype) if x is None else plain(x), p.x, p.x_offsets),
        *(plain(g), np.empty((0, 0, 0, 0), np.uint8) if where is None else plain(where), p.g, p.g_offsets),
        *(np.empty(0, dtype) if w is None else plain(w).reshape(-1).take(p.turned), p.sums, job, gx, gw, gb),
        scratch("x lines", 0 if job.x_own else together * s.C * p.x.each, dtype),
        scratch("g lines", 0 if job.g_own else together * s.O * p.g.size, dtype),
        scratch("block", ROWS * max(NEAR, p.x.pitch), dtype),
    )
    if x is not None:
        gw = gw.sum(axis=0).reshape(blocks).swapaxes(2, 3).reshape(s.G, -1, blocks[2] * core.DOT_COLUMNS)
        gw = gw[:, :M, :K].reshape(s.w)
    return None if w is None else gx, None if x is None else gw, gb.sum(axis=0)
