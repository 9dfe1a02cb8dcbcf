"""Convolution on the device: a thread for each y; the same as a tiled product; and gradients that gather.

No thread writes what another one writes, so nothing is lost and every run gives the same numbers: ∂L/∂x has a thread
for each x, ∂L/∂w a block for each w.
"""

from __future__ import annotations

from numba import cuda

from tinymed.kernels import numpy_backend
from tinymed.kernels.numba_cuda_device import THREADS, ZERO, Array, empty, for_each, hosted, place, zeros
from tinymed.kernels.numba_cuda_matmul import TILE, tiles
from tinymed.kernels.shapes import ConvShape


@cuda.jit(device=True)
def _padded(x, n, c, h, q):
    """x[n,c,h,q], and 0 beyond the image"""
    if 0 <= h < x.shape[2] and 0 <= q < x.shape[3]:
        return x[n, c, h, q]
    return ZERO


@cuda.jit
def _direct(x, w, b, y, s):
    """y[n,o,i,j] = b[o] + Σ_c Σ_u Σ_v  w[o,c,u,v] · x[n,c, i·s+u·d−p, j·s+v·d−p]"""
    t = cuda.grid(1)
    if t < y.size:
        n, o, i, j = place(t, y.shape)
        channels = w.shape[1]
        first = o // (s.O // s.G) * channels  # channel of o's group
        total = b[o]
        for c in range(channels):
            for u in range(s.KH):
                for v in range(s.KW):
                    h, q = i * s.SH + u * s.DH - s.PH, j * s.SW + v * s.DW - s.PW
                    total += w[o, c, u, v] * _padded(x, n, first + c, h, q)
        y[n, o, i, j] = total


@cuda.jit
def _tiled(x, w, b, y, s):
    """The same sum as a product of matrices: w (O, K) · windows (K, N·OH·OW), K = C·KH·KW, in tiles as in matmul.

    The matrix of windows (im2col) is never stored: its tile is gathered from x. A block computes TILE filters at TILE
    pixels, so what it gathers serves TILE filters, and the weights TILE pixels.
    """
    weights = cuda.shared.array((TILE, TILE), y.dtype)
    windows = cuda.shared.array((TILE, TILE), y.dtype)
    row, column = cuda.threadIdx.y, cuda.threadIdx.x
    group, filters, channels = cuda.blockIdx.z, s.O // s.G, s.C // s.G
    f, p = cuda.blockIdx.y * TILE + row, cuda.blockIdx.x * TILE + column
    o = group * filters + f
    n, i, j = p // (s.OH * s.OW), p // s.OW % s.OH, p % s.OW
    K, taps = channels * s.KH * s.KW, s.KH * s.KW
    total = ZERO
    for first in range(0, K, TILE):
        k = first + column
        weights[row, column] = w[o, k // taps, k // s.KW % s.KH, k % s.KW] if f < filters and k < K else ZERO
        k = first + row
        h, q = i * s.SH + k // s.KW % s.KH * s.DH - s.PH, j * s.SW + k % s.KW * s.DW - s.PW
        windows[row, column] = _padded(x, n, group * channels + k // taps, h, q) if n < s.N and k < K else ZERO
        cuda.syncthreads()
        for k in range(TILE):
            total += weights[row, k] * windows[k, column]
        cuda.syncthreads()
    if f < filters and n < s.N:
        y[n, o, i, j] = total + b[o]


@cuda.jit
def _input_grad(g, w, gx, s):
    """∂L/∂x[n,c,h,q] = Σ_o Σ_u Σ_v  w[o,c,u,v] · g[n,o,i,j] over the i, j with i·s+u·d−p = h and j·s+v·d−p = q"""
    t = cuda.grid(1)
    if t < gx.size:
        n, c, h, q = place(t, gx.shape)
        filters, channels = s.O // s.G, s.C // s.G
        first = c // channels * filters  # filter of c's group
        total = ZERO
        for u in range(s.KH):
            for v in range(s.KW):
                i, j = h + s.PH - u * s.DH, q + s.PW - v * s.DW  # times the stride
                if i % s.SH == 0 and j % s.SW == 0:
                    for o in range(first, first + filters):
                        total += w[o, c % channels, u, v] * _padded(g, n, o, i // s.SH, j // s.SW)
        gx[n, c, h, q] = total


@cuda.jit(device=True)
def _block_sum(parts):
    """parts[0] ← Σ parts, one a thread: the second half is added to the first, log₂ times. Always in one order."""
    t, half = cuda.threadIdx.x, cuda.blockDim.x // 2
    cuda.syncthreads()
    while half > 0:
        if t < half:
            parts[t] += parts[t + half]
        cuda.syncthreads()
        half //= 2


@cuda.jit
def _weight_grad(x, g, gw, s):
    """∂L/∂w[o,c,u,v] = Σ_n Σ_i Σ_j  x[n,c, i·s+u·d−p, j·s+v·d−p] · g[n,o,i,j]: a block for each w shares its terms"""
    parts = cuda.shared.array(THREADS, gw.dtype)
    o, c, u, v = place(cuda.blockIdx.x, gw.shape)
    channel = o // (s.O // s.G) * (s.C // s.G) + c
    total = ZERO
    for p in range(cuda.threadIdx.x, s.N * s.OH * s.OW, cuda.blockDim.x):
        n, i, j = p // (s.OH * s.OW), p // s.OW % s.OH, p % s.OW
        total += g[n, o, i, j] * _padded(x, n, channel, i * s.SH + u * s.DH - s.PH, j * s.SW + v * s.DW - s.PW)
    parts[cuda.threadIdx.x] = total
    _block_sum(parts)
    if cuda.threadIdx.x == 0:
        gw[o, c, u, v] = parts[0]


@cuda.jit
def _channel_sums(g, gb):
    """∂L/∂b[o] = Σ_n Σ_i  g[n,o,i]: a block for each o"""
    parts = cuda.shared.array(THREADS, gb.dtype)
    o, P = cuda.blockIdx.x, g.shape[2]
    total = ZERO
    for t in range(cuda.threadIdx.x, g.shape[0] * P, cuda.blockDim.x):
        total += g[t // P, o, t % P]
    parts[cuda.threadIdx.x] = total
    _block_sum(parts)
    if cuda.threadIdx.x == 0:
        gb[o] = parts[0]


# ---------------------------------------------------------------- what starts them


def _threads(terms: int) -> int:
    """Threads to share a sum: a power of two, so that it can be halved down to 1, and none without a term."""
    return min(THREADS, 1 << (terms.bit_length() - 1))


def channel_sums(g: Array) -> Array:
    """(N,O,P) → (O,), on the device"""
    N, O, P = g.shape
    gb = empty((O,), g.dtype)
    _channel_sums[O, _threads(N * P)](g, gb)
    return gb


@hosted(numpy_backend.conv2d)
def conv2d_direct(x: Array, w: Array, b: Array | None, s: ConvShape) -> Array:
    """conv2d as its formula: to read, to measure against, and for groups"""
    y = empty(s.y, x.dtype)
    for_each(y.size, _direct, x, w, zeros((s.O,), x.dtype) if b is None else b, y, s)
    return y


@hosted(numpy_backend.conv2d)
def conv2d_tiled(x: Array, w: Array, b: Array | None, s: ConvShape) -> Array:
    """conv2d as a product of matrices in shared memory"""
    y = empty(s.y, x.dtype)
    grid = tiles(s.N * s.OH * s.OW), tiles(s.O // s.G), s.G
    _tiled[grid, (TILE, TILE)](x, w, zeros((s.O,), x.dtype) if b is None else b, y, s)
    return y


def conv2d(x: Array, w: Array, b: Array | None, s: ConvShape) -> Array:
    """(N,C,H,W) * (O,C/G,KH,KW) + (O) → (N,O,OH,OW); the few filters of a group would not fill a tile"""
    return conv2d_direct(x, w, b, s) if s.G > 1 else conv2d_tiled(x, w, b, s)


@hosted(numpy_backend.conv2d_input_grad)
def conv2d_input_grad(g: Array, w: Array, s: ConvShape) -> Array:
    """g (N,O,OH,OW), gathered through w by every x that gave to it → (N,C,H,W)"""
    gx = empty(s.x, g.dtype)
    for_each(gx.size, _input_grad, g, w, gx, s)
    return gx


@hosted(numpy_backend.conv2d_weight_grad)
def conv2d_weight_grad(x: Array, g: Array, s: ConvShape) -> Array:
    """windows of x (N,C,H,W), weighted by g (N,O,OH,OW) and summed → (O,C/G,KH,KW)"""
    gw = empty(s.w, x.dtype)
    _weight_grad[gw.size, _threads(s.N * s.OH * s.OW)](x, g, gw, s)
    return gw


@hosted(numpy_backend.conv2d_grad)
def conv2d_grad(g: Array, x: Array | None, w: Array | None, s: ConvShape) -> tuple[Array | None, Array | None, Array]:
    """All of g (N,O,OH,OW): gx (if w is given), gw (if x is given), gb"""
    gx = None if w is None else conv2d_input_grad(g, w, s)
    gw = None if x is None else conv2d_weight_grad(x, g, s)
    return gx, gw, channel_sums(g.reshape(s.N, s.O, s.OH * s.OW))
