"""Convolution as a product that needs no columns laid out: y[o, p] = Σ_k w[o,k] · line[offset[k] + p].

k runs over channels and taps; the rows of the product's second factor are the image's own lines (numba_lines.py),
each begun at its tap's offset, which is all that numba_tile.py asks for. The gradient into x is such a sum over the
lines of g, that into w a sum along both lines at once. Bias, bounds (ReLU, ReLU6) and windows of max pooling that
lie side by side are worked in while a block of y is still near the core.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from tinymed.kernels import numba_depthwise
from tinymed.kernels import numba_tile as core
from tinymed.kernels.numba_jit import jit, of_floats, plain, scratch
from tinymed.kernels.numba_launch import fetch, launch
from tinymed.kernels.numba_lines import Lines, lay, lines_of, tap_offsets
from tinymed.kernels.numba_pairs import bounded_of_four
from tinymed.kernels.shapes import DEAD, ConvShape, Pair
from tinymed.kernels.threads import get_num_threads

ROWS = core.ROWS
LITTLE = 1 << 19  # multiply-adds that a task should have
NEAR = 1024  # columns of y that one block computes: ROWS · NEAR numbers stay in the first cache


class Sum(NamedTuple):
    """One flat sum over taps: which rows and columns of the result it gives, and from where."""

    base: int  # (i,j) of the result reads base + i·pitch + j + offset
    rows: int
    cols: int
    row0: int  # and stands at row0 + i·row_step, col0 + j·col_step
    row_step: int
    col0: int
    col_step: int
    offset0: int  # its offsets begin there
    K: int  # and are so many
    w0: int  # its weights begin there, K to a row


class Plan(NamedTuple):
    """What a ConvShape comes down to: where the lines' taps are, and in which order w is read backwards."""

    x: Lines
    x_offsets: np.ndarray  # (C/G·KH·KW): of the taps, in the lines of a group
    g: Lines
    g_base: int  # where g[0,0] stands in its line
    g_offsets: np.ndarray  # of the taps of all phases of x, one phase after another
    turned: np.ndarray  # places in w: for each of the sums a row (G·C/G), of channels out and taps
    sums: np.ndarray  # a row, a Sum, for each phase of x that taps reach
    whole: bool  # whether they reach all
    tap_order: np.ndarray  # the taps u·KW + v, phase after phase


@lru_cache(maxsize=256)
def plan(s: ConvShape) -> Plan:
    """Lines for x and for g with one pitch, so that both can be walked in step."""
    rows = [divmod(u * s.DH, s.SH) for u in range(s.KH)]  # tap u reads phase a at row i + q: (q, a)
    cols = [divmod(v * s.DW, s.SW) for v in range(s.KW)]
    first_row, last_row = _ends(s.H, s.PH, s.SH)
    first_col, last_col = _ends(s.W, s.PW, s.SW)
    top = max(0, *(q - first_row[a] for q, a in rows))
    left = max(0, *(q - first_col[b] for q, b in cols))
    x = lines_of(s, max(left + s.OW, max(last_col) + 1))
    g_rows = max(s.OH + top, max(last_row) + top + 1)
    g = Lines(s.OH, s.OW, 1, 1, top, left, g_rows, x.pitch, g_rows * x.pitch + left)
    if (top, left, g_rows, x.pitch) == (0, 0, s.OH, s.OW):
        g = g._replace(size=s.OH * s.OW)
    M, CG = s.O // s.G, s.C // s.G
    places = np.arange(s.O * CG * s.KH * s.KW).reshape(s.G, M, CG, s.KH, s.KW)  # of the weights
    sums, offsets, turned, order = [], [np.empty(0, np.int64)], [np.empty(0, np.int64)], []
    for a in range(s.SH):
        for b in range(s.SW):
            taps = [(u, v) for u in range(s.KH) for v in range(s.KW) if (rows[u][1], cols[v][1]) == (a, b)]
            i, j = first_row[a], first_col[b]
            ends = last_row[a] - i + 1, last_col[b] - j + 1
            if taps and min(ends) > 0:
                us, vs = zip(*taps)
                order += [u * s.KW + v for u, v in taps]
                in_line = np.array([-rows[u][0] * x.pitch - cols[v][0] for u, v in taps])
                begins = sum(map(len, offsets)), M * len(taps), sum(map(len, turned))
                to = i * s.SH + a - s.PH, s.SH, j * s.SW + b - s.PW, s.SW
                sums.append(Sum((i + top) * x.pitch + j + left, *ends, *to, *begins))
                offsets.append((np.arange(M)[:, None] * g.size + in_line).reshape(-1))
                turned.append(places[..., us, vs].swapaxes(1, 2).reshape(-1))
    return Plan(
        x=x,
        x_offsets=(np.arange(CG)[:, None] * x.each + tap_offsets(s, x).reshape(-1)).reshape(-1),
        g=g,
        g_base=top * x.pitch + left,
        g_offsets=np.concatenate(offsets),
        turned=np.concatenate(turned),
        sums=np.array(sums, np.int64).reshape(-1, len(Sum._fields)),
        whole=len(sums) == s.SH * s.SW,
        tap_order=np.array(order, np.int64),
    )


def _ends(size: int, padding: int, stride: int) -> tuple[list[int], list[int]]:
    """For each phase, the first and the last of its places that hold a number of x."""
    phases = range(stride)
    return [-((a - padding) // stride) for a in phases], [(size - 1 + padding - a) // stride for a in phases]


@jit
def block(lines, base, pitch, offsets, offset0, K, w, w0, rows, count, cols, buffer):
    """ROWS channels and `count` rows of a result, flat, into the buffer; returns how long each channel is."""
    flat = (count - 1) * pitch + cols
    wide = core.VECTORS * (core.BYTES // lines.itemsize)
    for p in range(0, flat, wide):
        some = min(wide, flat - p)
        core.tile(w, w0, K, 1, lines, base + p, offsets, offset0, K, buffer, p, flat, rows, some, False)
    return flat


# ---------------------------------------------------------------- forward


class Forward(NamedTuple):
    size: int  # of the lines of R rows; 0 where x is its own lines
    G: int
    OH: int
    OW: int
    R: int  # rows of the output to a task
    cut: int  # and the channels in so many parts
    KH: int  # of the pooling window
    KW: int
    halo: int  # rows of the lines beyond those of the output
    low: float  # NaN where there is no bound: nothing is below or above it
    high: float


@jit
def _forward(t, me, args):
    """R rows of an image, a part of the channels. `where` is empty where nothing is pooled."""
    x, w, bias, lines, offsets, job, y, where, spaces, buffers = fetch(args)
    parts = (job.OH + job.R - 1) // job.R
    n, r0, c = t // (parts * job.cut), t // job.cut % parts * job.R, t % job.cut
    space, buffer = spaces[me], buffers[me]
    C, H, W = x.shape[1:]
    G, K, M = job.G, offsets.size, y.shape[1] // job.G
    blocks = (M + ROWS - 1) // ROWS  # of a group
    count = min(job.R, job.OH - r0)
    source, base, group = x.reshape(-1), n * C * H * W + r0 * W, C // G * H * W
    if job.size:
        phases = lines.SH * lines.SW
        source, base, group = space, 0, C // G * phases * job.size
        for k in range(C):
            for ab in range(phases):
                rows, start = count + job.halo, (k * phases + ab) * job.size
                lay(x[n, k], lines, ab // lines.SW, ab % lines.SW, r0, rows, x.dtype.type(0), source, start)
    for q in range(c * G * blocks // job.cut, (c + 1) * G * blocks // job.cut):
        k, m = q // blocks, q % blocks * ROWS
        rows = min(ROWS, M - m)
        at, w0 = base + k * group, (k * M + m) * K
        flat = block(source, at, lines.pitch, offsets, 0, K, w, w0, rows, count, job.OW, buffer)
        for i in range(rows):
            o = k * M + m + i
            if where.size:
                for r in range(r0 // job.KH, (r0 + count) // job.KH):
                    at = i * flat + (r * job.KH - r0) * lines.pitch
                    _pooled_row(buffer, at, lines.pitch, bias[o], job, y[n, o, r], where[n, o, r])
            else:
                for r in range(count):
                    _bounded(buffer[i * flat + r * lines.pitch :], bias[o], job.low, job.high, y[n, o, r0 + r])


@jit
def _bounded(row, bias, low, high, y):
    for j in range(y.size):
        v = row[j] + bias
        v = low if v < low else v
        y[j] = high if v > high else v


@jit
def _pooled_row(buffer, at, pitch, bias, job, y, where):
    """A row of windows (KH,KW) side by side: the largest + bias, bounded, and its tap."""
    if job.KH == 2 and job.KW == 2:
        bounded_of_four(buffer[at:], buffer[at + pitch :], bias, job.low, job.high, y, where)
        return
    for j in range(y.size):
        best, place = buffer[at + j * job.KW], 0
        for u in range(job.KH):
            for v in range(job.KW):
                x = buffer[at + u * pitch + j * job.KW + v]
                if x > best or x != x:
                    best, place = x, u * job.KW + v
        v = best + bias
        where[j] = DEAD if v <= job.low or v >= job.high else place
        v = job.low if v < job.low else v
        y[j] = job.high if v > job.high else v


@of_floats
def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, s: ConvShape) -> np.ndarray:
    """(N,C,H,W) * (O,C/G,KH,KW) + (O) → (N,O,OH,OW)"""
    if s.G == s.C == s.O > 1:
        return numba_depthwise.conv2d(x, w, np.zeros(s.O, x.dtype) if b is None else plain(b), s, plan(s))
    y = np.empty(s.y, x.dtype)
    _run(x, w, b, s, (1, 1), -np.inf, np.inf, y, np.empty((0, 0, 0, 0), np.uint8))
    return y


@of_floats
def conv2d_max_pool2d(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, s: ConvShape, window: Pair, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """The largest of each window of conv2d, windows side by side, held between low and high; and where it stood."""
    size = s.N, s.O, s.OH // window[0], s.OW // window[1]
    y, where = np.empty(size, x.dtype), np.empty(size, np.uint8)
    _run(x, w, b, s, window, low, high, y, where)
    return y, where


def _run(x, w, b, s, window, low, high, y, where) -> None:
    p = plan(s)
    job, offsets, tasks = _job(s, window, low, high, x.dtype, get_num_threads())
    launch(
        *(_forward, tasks, plain(x), plain(w).reshape(-1), np.zeros(s.O, x.dtype) if b is None else plain(b)),
        *(p.x, offsets, job, y, where),
        scratch("lines", s.C * p.x.SH * p.x.SW * job.size, x.dtype),
        scratch("block", ROWS * job.R * p.x.pitch, x.dtype),
    )


@lru_cache(maxsize=256)
def _job(
    s: ConvShape, window: Pair, low: float, high: float, dtype: np.dtype, threads: int
) -> tuple[Forward, np.ndarray, int]:
    """How the forward pass is cut into tasks, the offsets of the taps in a task's lines, the number of tasks."""
    x, offsets = plan(s).x, plan(s).x_offsets
    OH, OW = s.OH // window[0] * window[0], s.OW // window[1] * window[1]  # what the windows see
    parts = -(-OH // max(window[0], NEAR // x.pitch // window[0] * window[0]))
    R = -(-OH // (parts * window[0])) * window[0]  # rows to a task: about NEAR numbers, all tasks alike
    size = 0
    if not x.own:
        size = x.size - (s.OH - R) * x.pitch
        offsets = offsets // x.size * size + offsets % x.size
    tasks = s.N * -(-OH // R)
    worth = s.O * OH * OW * offsets.size * s.N // LITTLE  # so many tasks, at most, repay waking their threads
    cut = max(1, min(s.G * -(-(s.O // s.G) // ROWS), 2 * threads // tasks, worth // tasks))
    low, high = (dtype.type(bound if math.isfinite(bound) else math.nan) for bound in (low, high))
    return Forward(size, s.G, OH, OW, R, cut, *window, x.rows - s.OH, low, high), offsets, tasks * cut
