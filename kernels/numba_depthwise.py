"""Depthwise convolution, a kernel for each channel: lines (numba_lines.py) shifted, weighted and added.

A tile of a product would have one row only; here every tap is one pass over a line that lies in the first cache.
"""

from __future__ import annotations

import numpy as np

from tinymed.kernels.numba_jit import jit, plain, scratch
from tinymed.kernels.numba_launch import fetch, launch
from tinymed.kernels.numba_lines import lay, lay_all
from tinymed.kernels.shapes import ConvShape


@jit
def _add(y, x, weight):
    """y += weight · x"""
    for p in range(y.size):
        y[p] += weight * x[p]


@jit
def _dot(a, b):
    total = a.dtype.type(0)
    for p in range(a.size):
        total += a[p] * b[p]
    return total


@jit
def _forward(t, me, args):
    """One channel of one image."""
    x, w, bias, lines, offsets, y, spaces, outs = fetch(args)
    n, c = t // x.shape[1], t % x.shape[1]
    OH, OW = y.shape[2:]
    flat = (OH - 1) * lines.pitch + OW
    space, total = spaces[me], outs[me, :flat]
    lay_all(x[n, c : c + 1], lines, x.dtype.type(0), space, 0)
    total[:] = bias[c]
    for k in range(offsets.size):
        _add(total, space[offsets[k] :], w[c, k])
    for i in range(OH):
        y[n, c, i] = total[i * lines.pitch : i * lines.pitch + OW]


@jit
def _backward(c, me, args):
    """One channel of all images. What is empty of gx and gw is not computed."""
    x, x_lines, x_offsets, g, g_lines, g_base, g_offsets, turned, sums, gx, gw, gb, x_spaces, g_spaces, outs = fetch(
        args
    )
    N, OH, OW = g.shape[0], g.shape[2], g.shape[3]
    pitch = x_lines.pitch
    flat = (OH - 1) * pitch + OW
    x_space, g_space, out = x_spaces[me], g_spaces[me], outs[me]
    zero = g.dtype.type(0)
    gw[c] = 0
    total = zero
    for n in range(N):
        lay(g[n, c], g_lines, 0, 0, 0, g_lines.rows, zero, g_space, 0)
        inside = g_space[g_base : g_base + flat]
        for p in range(flat):
            total += inside[p]
        if gw.shape[1]:
            lay_all(x[n, c : c + 1], x_lines, zero, x_space, 0)
            for k in range(x_offsets.size):
                gw[c, k] += _dot(inside, x_space[x_offsets[k] :])
        if gx.size:
            for z in range(len(sums)):
                base, rows, cols, row0, row_step, col0, col_step, offset0, K, _ = sums[z]
                line = out[: (rows - 1) * pitch + cols]
                line[:] = 0
                for k in range(K):
                    _add(line, g_space[base + g_offsets[offset0 + k] :], turned[c, offset0 + k])
                for i in range(rows):
                    row, cells = line[i * pitch : i * pitch + cols], gx[n, c, row0 + i * row_step, col0:]
                    if col_step == 1:
                        for j in range(cols):
                            cells[j] = row[j]
                    else:
                        for j in range(cols):
                            cells[j * col_step] = row[j]
    gb[c] = total


def conv2d(x: np.ndarray, w: np.ndarray, bias: np.ndarray, s: ConvShape, p) -> np.ndarray:
    """conv2d of numba_conv.py where G = C = O; p is the shape's plan."""
    y = np.empty(s.y, x.dtype)
    out = scratch("line", s.OH * p.x.pitch, x.dtype)
    spaces = scratch("lines", p.x.each, x.dtype)
    launch(_forward, s.N * s.C, plain(x), plain(w).reshape(s.C, -1), bias, p.x, p.x_offsets, y, spaces, out)
    return y


def conv2d_grad(g: np.ndarray, x: np.ndarray | None, w: np.ndarray | None, s: ConvShape, p) -> tuple:
    """conv2d_grad of numba_conv_grad.py where G = C = O."""
    dtype, taps = g.dtype, s.KH * s.KW
    gx = (np.empty if p.whole else np.zeros)((0, 0, 0, 0) if w is None else s.x, dtype)
    gw, gb = np.empty((s.C, 0 if x is None else taps), dtype), np.empty(s.C, dtype)
    turned = np.empty((s.C, 0), dtype) if w is None else w.reshape(s.C, -1)[:, p.tap_order]
    launch(
        *(_backward, s.C, np.empty((0, 0, 0, 0), dtype) if x is None else plain(x), p.x, p.x_offsets),
        *(plain(g), p.g, p.g_base, p.g_offsets, plain(turned), p.sums, gx, gw, gb),
        *(scratch("x lines", p.x.each, dtype), scratch("g lines", p.g.size, dtype)),
        scratch("line", max(s.OH, s.H) * p.x.pitch, dtype),
    )
    return None if w is None else gx, None if x is None else gw.reshape(s.w), gb
