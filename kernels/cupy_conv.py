"""Convolution on a GPU: on its tensor cores (cuda/conv.cu) where TF32 will do, else exactly (cuda/conv_simple.cu).

Images are (N,C,H,W) as everywhere, with the channels last in memory: so they come back, and so they cost no copy.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np

from tinymed.kernels.cupy_launch import (
    BLOCK,
    MOST,
    RESIDENT,
    Array,
    blocks,
    first,
    grid_of,
    last,
    number,
    run,
    sizes,
    tf32,
)
from tinymed.kernels.shapes import DEAD, ConvShape, Pair

ROWS = 128  # of the product that a block of conv.cu computes
LONGEST = 65000  # that conv.cuh's Milometer counts: it divides n by d rightly while n · d < 2³²
STEP, STAGES = 16, 3  # k between two barriers, and how many such steps shared memory holds


def conv2d(x: Array, w: Array, b: Array | None, s: ConvShape) -> Array:
    """(N,C,H,W) * (O,C/G,KH,KW) + (O) → (N,O,OH,OW)"""
    return first(_conv2d(x, w, b, s))


def _conv2d(x: Array, w: Array, b: Array | None, s: ConvShape) -> Array:
    """→ (N,OH,OW,O)"""
    real, x, w = number(x.dtype, "conv2d"), last(x), _contiguous(w)
    y = _empty((s.N, s.OH, s.OW, s.O), real)
    if b is not None:
        b = _contiguous(b)
    if not on_tensor_cores(s, real, s.C // s.G):
        args = _sizes(s), x, w, b, real(-inf), real(inf), y
        run("conv_simple", "conv2d_simple", grid_of(y.size), (BLOCK,), *args, dtype=real)
        return y
    macros, shared, grid = _product(x, s.C // s.G, s.N * s.OH * s.OW, s.O // s.G, s.G)
    args = _sizes(s), x, _packed(w, s, 0, macros), b, real(-inf), real(inf), y
    run("conv", "conv2d", grid, (BLOCK,), *args, shared=shared, **macros)
    return y


def conv2d_input_grad(g: Array, w: Array, s: ConvShape) -> Array:
    """g (N,O,OH,OW), spread back through w over the windows → (N,C,H,W)"""
    real, g, w = number(g.dtype, "conv2d_input_grad"), last(g), _contiguous(w)
    gx, phases = _empty((s.N, s.H, s.W, s.C), real), s.G * s.SH * s.SW
    if not on_tensor_cores(s, real, s.O // s.G) or phases > MOST:
        run("conv_simple", "conv2d_input_grad_simple", grid_of(gx.size), (BLOCK,), _sizes(s), g, w, gx, dtype=real)
        return first(gx)
    rows = s.N * blocks(s.H, s.SH) * blocks(s.W, s.SW)
    macros, shared, grid = _product(g, s.O // s.G, rows, s.C // s.G, phases)
    args = _sizes(s), g, _packed(w, s, 1, macros), gx
    run("conv", "conv2d_input_grad", grid, (BLOCK,), *args, shared=shared, **macros)
    return first(gx)


def conv2d_weight_grad(x: Array, g: Array, s: ConvShape) -> Array:
    """windows of x (N,C,H,W), weighted by g (N,O,OH,OW) and summed → (O,C/G,KH,KW)

    The pixels are cut into slices so that there is work for the whole GPU; a second kernel adds them up in order.
    """
    real, x, g = number(x.dtype, "conv2d_weight_grad"), last(x), last(g)
    gw, pixels = _empty(s.w, real), s.N * s.OH * s.OW
    if not on_tensor_cores(s, real, max(s.OH, s.OW)):
        slices = max(1, min(blocks(RESIDENT * BLOCK, gw.size), blocks(pixels, 32)))
        part, cut = _empty((slices, gw.size), real), (_sizes(s), np.int32(slices))
        run("conv_simple", "conv2d_weight_grad_simple", grid_of(part.size), (BLOCK,), *cut, x, g, part, dtype=real)
        run("conv_simple", "conv2d_weight_grad_simple_sum", grid_of(gw.size), (BLOCK,), *cut, part, gw, dtype=real)
        return gw
    C, O = s.C // s.G, s.O // s.G
    macros, shared, (down, across, _) = _product(x, C, s.KH * s.KW * C, O, s.G, along_k=False)
    macros["VEC"] = min(macros["VEC"], _vector(g, O))
    slices = max(1, min(blocks(RESIDENT, down * across * s.G), blocks(pixels, 16 * STEP), MOST // s.G))
    part, cut, grid = _empty((slices, gw.size), real), (_sizes(s), np.int32(slices)), (down, across, s.G * slices)
    run("conv", "conv2d_weight_grad", grid, (BLOCK,), *cut, x, g, part, shared=shared, **macros)
    run("conv", "conv2d_weight_grad_sum", grid_of(gw.size), (BLOCK,), *cut, part, gw, **macros)
    return gw


def conv2d_grad(g: Array, x: Array | None, w: Array | None, s: ConvShape) -> tuple[Array | None, Array | None, Array]:
    """All of g (N,O,OH,OW): gx (if w is given), gw (if x is given), gb"""
    g = first(last(g))  # if it needs a copy, one for all three
    gx = None if w is None else conv2d_input_grad(g, w, s)
    gw = None if x is None else conv2d_weight_grad(x, g, s)
    return gx, gw, _bias_grad(g, None)


# ---------------------------------------------------------------- convolution, bounds and pooling


def conv2d_max_pool2d(
    x: Array, w: Array, b: Array | None, s: ConvShape, window: Pair, low: float, high: float
) -> tuple[Array, Array]:
    """The largest of each window of conv2d, windows side by side, kept between low and high; and where it stood.

    → y and where, both (N,O,OH/h,OW/w): where is u·w + v in the window (h,w), or DEAD beyond the bounds
    """
    import cupy

    real, tiles = number(x.dtype, "conv2d_max_pool2d"), _tiles(s, window)
    conv = _conv2d(x, w, None, s)
    b = cupy.zeros(s.O, real) if b is None else _contiguous(b)
    pooled = s.N, *tiles[-2:], s.O
    y, where = _empty(pooled, real), _empty(pooled, np.uint8)
    args = sizes(tiles), conv, b, real(low), real(high), y, where
    run("elementwise", "bias_clamp_max_pool2d", grid_of(y.size), (BLOCK,), *args, dtype=real)
    return first(y), first(where)


def conv2d_max_pool2d_grad(
    g: Array, where: Array, x: Array | None, w: Array | None, s: ConvShape, window: Pair
) -> tuple[Array | None, Array | None, Array]:
    """g to where the largest stood, and from there → gx (if w is given), gw (if x is given), gb"""
    g, where, into_conv = last(g), last(where.astype(np.uint8, copy=False)), _empty((s.N, s.OH, s.OW, s.O), g.dtype)
    args = sizes(_tiles(s, window)), g, where, into_conv
    run("elementwise", "bias_clamp_max_pool2d_grad", grid_of(into_conv.size), (BLOCK,), *args, dtype=g.dtype)
    into_conv = first(into_conv)
    gx = None if w is None else conv2d_input_grad(into_conv, w, s)
    gw = None if x is None else conv2d_weight_grad(x, into_conv, s)
    return gx, gw, _bias_grad(first(g), where)  # the pooled quarter holds all that passed


def _tiles(s: ConvShape, window: Pair) -> tuple[int, ...]:
    """elementwise.cu's Tiles; raises ValueError for a window that does not fit in y, or in a byte."""
    (KH, KW), OH, OW = window, s.OH // window[0], s.OW // window[1]
    if min(OH, OW) < 1:
        raise ValueError(f"conv2d_max_pool2d: the window {window} is larger than the image {s.OH} x {s.OW}")
    if KH * KW > DEAD:
        raise ValueError(f"conv2d_max_pool2d: a window has at most {DEAD} cells, got {KH} x {KW}")
    return s.N, s.O, s.OH, s.OW, KH, KW, OH, OW


def _bias_grad(g: Array, where: Array | None) -> Array:
    """g (N,O,OH,OW) summed over all but its channels, where `where` (N,OH,OW,O) is not DEAD → (O,)"""
    g, C = last(g), g.shape[1]
    rows, across = g.size // C, blocks(C, 32)
    slabs = max(1, min(blocks(4 * RESIDENT, across), blocks(rows, 64)))
    part, gb = _empty((slabs, C), g.dtype), _empty((C,), g.dtype)
    args = np.int32(rows), np.int32(C), g, where, part
    run("elementwise", "bias_grad", (across, slabs), (32, 8), *args, dtype=g.dtype)
    run("elementwise", "bias_grad_sum", (blocks(C),), (BLOCK,), np.int32(slabs), np.int32(C), part, gb, dtype=g.dtype)
    return gb


# ---------------------------------------------------------------- how a kernel is started


def _sizes(s: ConvShape) -> np.ndarray:
    if max(s.N * s.H * s.W, s.N * s.OH * s.OW, s.O * s.C // s.G * s.KH * s.KW) >= 1 << 31:
        raise ValueError(f"conv2d: a GPU's kernels count to 2147483647 pixels, and weights; take fewer images ({s})")
    return sizes(s)


def on_tensor_cores(s: ConvShape, real: type, count: int) -> bool:
    """Whether conv.cu computes this; `count` is the longest of what its sums run over, but the kernel.

    A depthwise convolution, a channel in or out to a group, leaves a product of matrices nothing to use twice.
    """
    depthwise = s.G > 1 and min(s.C, s.O) == s.G
    return real is np.float32 and not depthwise and count < LONGEST and s.G <= MOST and tf32()


def _product(
    left: Array, inner: int, rows: int, cols: int, groups: int, along_k: bool = True
) -> tuple[dict[str, int], int, tuple[int, int, int]]:
    """Of a product (rows, k) · (k, cols): conv.cu's macros, bytes of shared memory and blocks.

    Wide blocks use each number fetched more often; narrow ones waste less on few columns, and are more where few
    would leave multiprocessors idle. (∂L/∂w, not along_k, has slices for that.)
    """
    width, down = next((n for n in (32, 64) if cols <= n), 128), max(1, blocks(rows, ROWS))
    while along_k and width > 32 and down * blocks(cols, width) * groups < RESIDENT:
        width //= 2
    line = (STEP + 4) * (ROWS + width) if along_k else STEP * (ROWS + 8 + width + 8)
    macros = {"COLS": width, "VEC": _vector(left, inner)}
    return macros, 4 * STAGES * line, (down, blocks(cols, width), groups)


def _vector(a: Array, channels: int) -> int:
    """How many numbers a copy may bring: 16 bytes where channels come in fours and begin at a multiple of 16."""
    return 4 if channels % 4 == 0 and a.data.ptr % 16 == 0 else 1


def _packed(w: Array, s: ConvShape, turned: int, macros: dict[str, int]) -> Array:
    """w (O,C/G,KH,KW) → (O,KH,KW,C/G), or turned for the input gradient → (C,KH,KW,O/G)"""
    if not turned and s.KH == s.KW == 1 and w.data.ptr % 16 == 0:
        return w
    out = _empty((w.size,), w.dtype)
    run("conv", "conv2d_pack", grid_of(w.size), (BLOCK,), _sizes(s), np.int32(turned), w, out, **macros)
    return out


def _contiguous(a: Array) -> Array:
    import cupy

    return cupy.ascontiguousarray(a)


def _empty(shape: tuple[int, ...], dtype: Any) -> Array:
    import cupy

    return cupy.empty(shape, dtype)
