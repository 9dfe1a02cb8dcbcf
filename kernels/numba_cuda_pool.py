"""Pooling on the device: a thread for each window, and backwards a thread for each x, which asks its windows."""

from __future__ import annotations

import numpy as np
from numba import cuda

from tinymed.kernels import numpy_backend
from tinymed.kernels.numba_cuda_conv import conv2d, conv2d_grad
from tinymed.kernels.numba_cuda_device import ZERO, Array, empty, for_each, hosted, place
from tinymed.kernels.shapes import DEAD, ConvShape, Pair, PoolShape, pool_shape


@cuda.jit
def _max_pool2d(x, y, where, s):
    """y[n,c,i,j] = max over u, v of x[n,c, i·s+u·d−p, j·s+v·d−p]; where = u·KW + v of the first that is so large"""
    t = cuda.grid(1)
    if t < y.size:
        n, c, i, j = place(t, y.shape)
        best, winner = ZERO, -1
        for u in range(s.KH):
            for v in range(s.KW):
                h, q = i * s.SH + u * s.DH - s.PH, j * s.SW + v * s.DW - s.PW
                if 0 <= h < s.H and 0 <= q < s.W:
                    value = x[n, c, h, q]
                    if winner < 0 or value > best or value != value:  # NaN wins
                        best, winner = value, u * s.KW + v
        y[n, c, i, j], where[n, c, i, j] = best, winner


@cuda.jit
def _max_pool2d_grad(g, where, gx, s):
    """∂L/∂x[n,c,h,q] = Σ of the g of all windows that this x won"""
    t = cuda.grid(1)
    if t < gx.size:
        n, c, h, q = place(t, gx.shape)
        total = ZERO
        for u in range(s.KH):
            for v in range(s.KW):
                i, j = h + s.PH - u * s.DH, q + s.PW - v * s.DW  # times the stride
                if i % s.SH == 0 and j % s.SW == 0:
                    i, j = i // s.SH, j // s.SW
                    if 0 <= i < s.OH and 0 <= j < s.OW and where[n, c, i, j] == u * s.KW + v:
                        total += g[n, c, i, j]
        gx[n, c, h, q] = total


@cuda.jit
def _avg_pool2d(x, count, y, s):
    """y[n,c,i,j] = 1/k Σ_u Σ_v x[n,c, i·s+u·d−p, j·s+v·d−p], k = count[i,j], or one for all"""
    t = cuda.grid(1)
    if t < y.size:
        n, c, i, j = place(t, y.shape)
        total = ZERO
        for u in range(s.KH):
            for v in range(s.KW):
                h, q = i * s.SH + u * s.DH - s.PH, j * s.SW + v * s.DW - s.PW
                if 0 <= h < s.H and 0 <= q < s.W:
                    total += x[n, c, h, q]
        y[n, c, i, j] = total / count[i % count.shape[0], j % count.shape[1]]


@cuda.jit
def _avg_pool2d_grad(g, count, gx, s):
    """∂L/∂x[n,c,h,q] = Σ of the g/k of all windows that this x is in"""
    t = cuda.grid(1)
    if t < gx.size:
        n, c, h, q = place(t, gx.shape)
        total = ZERO
        for u in range(s.KH):
            for v in range(s.KW):
                i, j = h + s.PH - u * s.DH, q + s.PW - v * s.DW  # times the stride
                if i % s.SH == 0 and j % s.SW == 0:
                    i, j = i // s.SH, j // s.SW
                    if 0 <= i < s.OH and 0 <= j < s.OW:
                        total += g[n, c, i, j] / count[i % count.shape[0], j % count.shape[1]]
        gx[n, c, h, q] = total


@cuda.jit
def _bound(y, where, low, high, kept):
    """y ← min(max(y, low), high), and kept = where, or DEAD where a bound cut y off"""
    t = cuda.grid(1)
    if t < y.size:
        n, c, i, j = place(t, y.shape)
        value = y[n, c, i, j]
        kept[n, c, i, j] = where[n, c, i, j] if low < value < high else DEAD
        y[n, c, i, j] = low if value <= low else high if value >= high else value  # NaN stays


# ---------------------------------------------------------------- what starts them


@hosted(numpy_backend.max_pool2d)
def max_pool2d(x: Array, s: PoolShape) -> tuple[Array, Array]:
    """(N,C,H,W) → the largest of each window and where it stood, u·KW + v: both (N,C,OH,OW)"""
    y, where = empty(s.y, x.dtype), empty(s.y, np.dtype(np.int32))
    for_each(y.size, _max_pool2d, x, y, where, s)
    return y, where


@hosted(numpy_backend.max_pool2d_grad)
def max_pool2d_grad(g: Array, where: Array, s: PoolShape) -> Array:
    """g (N,C,OH,OW), each back to where the largest stood → (N,C,H,W)"""
    gx = empty(s.x, g.dtype)
    for_each(gx.size, _max_pool2d_grad, g, where, gx, s)
    return gx


@hosted(numpy_backend.avg_pool2d)
def avg_pool2d(x: Array, count: Array, s: PoolShape) -> Array:
    """(N,C,H,W) → each window's sum over `count` (OH,OW or 1,1) → (N,C,OH,OW)"""
    y = empty(s.y, x.dtype)
    for_each(y.size, _avg_pool2d, x, count, y, s)
    return y


@hosted(numpy_backend.avg_pool2d_grad)
def avg_pool2d_grad(g: Array, count: Array, s: PoolShape) -> Array:
    """g/count (N,C,OH,OW) to every cell of its window → (N,C,H,W)"""
    gx = empty(s.x, g.dtype)
    for_each(gx.size, _avg_pool2d_grad, g, count, gx, s)
    return gx


# ---------------------------------------------------------------- convolution, bounds and pooling, one after another


@hosted(numpy_backend.conv2d_max_pool2d)
def conv2d_max_pool2d(
    x: Array, w: Array, b: Array | None, s: ConvShape, window: Pair, low: float, high: float
) -> tuple[Array, Array]:
    """The largest of each window of conv2d, windows side by side, kept between low and high; and where it stood"""
    y, where = max_pool2d(conv2d(x, w, b, s), _side_by_side(s, window))
    kept = empty(tuple(y.shape), np.dtype(np.uint8))
    for_each(y.size, _bound, y, where, y.dtype.type(low), y.dtype.type(high), kept)
    return y, kept


@hosted(numpy_backend.conv2d_max_pool2d_grad)
def conv2d_max_pool2d_grad(
    g: Array, where: Array, x: Array | None, w: Array | None, s: ConvShape, window: Pair
) -> tuple[Array | None, Array | None, Array]:
    """g to where the largest stood, and from there → gx (if w is given), gw (if x is given), gb"""
    return conv2d_grad(max_pool2d_grad(g, where, _side_by_side(s, window)), x, w, s)  # DEAD is no tap's number


def _side_by_side(s: ConvShape, window: Pair) -> PoolShape:
    return pool_shape("max_pool2d", s.y, window, window, (0, 0))
