"""NumPy: convolution as one product over windows laid out in columns; pooling tap by tap.

A *tap* (u, v) is one cell of the window. For each tap, the cells that all windows read through it form one
strided slice of the padded image: a loop over KH·KW taps replaces the loops over all windows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinymed.kernels.numpy_optim import adagrad_step, adam_step, rmsprop_step, sgd_step
from tinymed.kernels.numpy_recurrent import gru, gru_grad, lstm, lstm_grad, rnn, rnn_grad
from tinymed.kernels.shapes import DEAD, ConvShape, Pair, PoolShape, pool_shape

__all__ = [
    "adagrad_step", "adam_step", "available", "avg_pool2d", "avg_pool2d_grad", "conv2d", "conv2d_grad",
    "conv2d_input_grad", "conv2d_max_pool2d", "conv2d_max_pool2d_grad", "conv2d_weight_grad", "cross_entropy",
    "cross_entropy_grad", "gru", "gru_grad", "lstm", "lstm_grad", "matmul", "max_pool2d", "max_pool2d_grad",
    "rmsprop_step", "rnn", "rnn_grad", "sgd_step", "softmax", "softmax_grad",
]  # fmt: skip


def available() -> tuple[bool, str]:
    return True, f"NumPy {np.__version__}"


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """(…,M,K) @ (…,K,N) → (…,M,N)"""
    return np.matmul(a, b)


# ---------------------------------------------------------------- windows


def _padded_size(s: ConvShape | PoolShape) -> tuple[int, int]:
    """How far the windows reach, the padding before the image included."""
    reach_h = (s.OH - 1) * s.SH + (s.KH - 1) * s.DH + 1
    reach_w = (s.OW - 1) * s.SW + (s.KW - 1) * s.DW + 1
    return max(reach_h, s.PH + s.H), max(reach_w, s.PW + s.W)


def _padded(x: np.ndarray, s: ConvShape | PoolShape, value: float) -> np.ndarray:
    """x with all that its windows read around it."""
    height, width = _padded_size(s)
    if (height, width) == (s.H, s.W):
        return x
    out = np.full((s.N, s.C, height, width), value, x.dtype)
    out[:, :, s.PH : s.PH + s.H, s.PW : s.PW + s.W] = x
    return out


def _cropped(x: np.ndarray, s: ConvShape | PoolShape) -> np.ndarray:
    """The image inside its padding."""
    return x[:, :, s.PH : s.PH + s.H, s.PW : s.PW + s.W]


def _taps(x: np.ndarray, s: ConvShape | PoolShape) -> Iterator[tuple[int, int, np.ndarray]]:
    """(u, v, what every window reads through that tap, a view (N,C,OH,OW)) in reading order."""
    for u in range(s.KH):
        for v in range(s.KW):
            rows = slice(u * s.DH, u * s.DH + (s.OH - 1) * s.SH + 1, s.SH)
            columns = slice(v * s.DW, v * s.DW + (s.OW - 1) * s.SW + 1, s.SW)
            yield u, v, x[:, :, rows, columns]


def _columns(x: np.ndarray, s: ConvShape) -> np.ndarray:
    """im2col: (N,C,H,W) → (N, G, C/G·KH·KW, OH·OW), each window a column."""
    x = _padded(x, s, 0)
    columns = np.empty((s.N, s.C, s.KH, s.KW, s.OH, s.OW), x.dtype)
    for u, v, tap in _taps(x, s):
        columns[:, :, u, v] = tap
    return columns.reshape(s.N, s.G, -1, s.OH * s.OW)


# ---------------------------------------------------------------- convolution


def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, s: ConvShape) -> np.ndarray:
    """(N,C,H,W) * (O,C/G,KH,KW) + (O) → (N,O,OH,OW)"""
    y = np.matmul(w.reshape(s.G, s.O // s.G, -1), _columns(x, s)).reshape(s.y)
    if b is not None:
        y += b[:, None, None]
    return y


def conv2d_input_grad(g: np.ndarray, w: np.ndarray, s: ConvShape) -> np.ndarray:
    """g (N,O,OH,OW) spread back through w over the windows → (N,C,H,W)"""
    w_t = w.reshape(s.G, s.O // s.G, -1).swapaxes(1, 2)
    columns = np.matmul(w_t, g.reshape(s.N, s.G, s.O // s.G, -1))  # (N, G, C/G·KH·KW, OH·OW)
    columns = columns.reshape(s.N, s.C, s.KH, s.KW, s.OH, s.OW)
    gx = np.zeros((s.N, s.C, *_padded_size(s)), g.dtype)
    for u, v, tap in _taps(gx, s):
        tap += columns[:, :, u, v]
    return _cropped(gx, s)


def conv2d_weight_grad(x: np.ndarray, g: np.ndarray, s: ConvShape) -> np.ndarray:
    """windows of x (N,C,H,W), weighted by g (N,O,OH,OW) and summed → (O,C/G,KH,KW)"""
    columns = _columns(x, s)
    g = g.reshape(s.N, s.G, s.O // s.G, -1)
    if s.G == 1:  # one product over all images and windows
        return np.tensordot(g[:, 0], columns[:, 0], ((0, 2), (0, 2))).reshape(s.w)
    return np.matmul(g, columns.swapaxes(2, 3)).sum(axis=0).reshape(s.w)


def conv2d_grad(
    g: np.ndarray, x: np.ndarray | None, w: np.ndarray | None, s: ConvShape
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray]:
    """All of g (N,O,OH,OW): gx (if w is given), gw (if x is given), gb."""
    gx = None if w is None else conv2d_input_grad(g, w, s)
    gw = None if x is None else conv2d_weight_grad(x, g, s)
    return gx, gw, g.sum(axis=(0, 2, 3))


# ---------------------------------------------------------------- convolution, bounds and pooling


def conv2d_max_pool2d(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, s: ConvShape, window: Pair, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """The largest of each window of conv2d, windows side by side, kept between low and high; and where it stood.

    → y and where, both (N,O,OH/h,OW/w): where is u·w + v in the window (h,w), or DEAD beyond the bounds
    """
    y, where = max_pool2d(conv2d(x, w, b, s), _tiles(s, window))
    cut = ((y <= low) & (low > -np.inf)) | ((y >= high) & (high < np.inf))  # an infinite bound cuts nothing
    where = np.where(cut, DEAD, where).astype(np.uint8)
    return np.clip(y, low, high, out=y), where


def conv2d_max_pool2d_grad(
    g: np.ndarray, where: np.ndarray, x: np.ndarray | None, w: np.ndarray | None, s: ConvShape, window: Pair
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray]:
    """g to where the largest stood, and from there → gx (if w is given), gw (if x is given), gb."""
    return conv2d_grad(max_pool2d_grad(g, where, _tiles(s, window)), x, w, s)  # DEAD is no tap's number


def _tiles(s: ConvShape, window: Pair) -> PoolShape:
    return pool_shape("max_pool2d", s.y, window, window, (0, 0))


# ---------------------------------------------------------------- pooling


def max_pool2d(x: np.ndarray, s: PoolShape) -> tuple[np.ndarray, np.ndarray]:
    """(N,C,H,W) → the largest of each window and where it stood, u·KW + v: both (N,C,OH,OW)"""
    lowest = -np.inf if x.dtype.kind == "f" else np.iinfo(x.dtype).min
    y = np.full(s.y, lowest, x.dtype)
    where = np.broadcast_to(_first_inside(s), s.y).copy()
    taps = list(_taps(_padded(x, s, lowest), s))
    for u, v, tap in taps:
        where[tap > y] = u * s.KW + v
        np.maximum(y, tap, out=y)  # passes NaN on
    if np.isnan(y).any():  # NaN wins, the last of several: so rare that it is looked for afterwards
        for u, v, tap in taps:
            where[np.isnan(tap)] = u * s.KW + v
    return y, where


def _first_inside(s: PoolShape) -> np.ndarray:
    """(OH,OW): each window's first tap that is no padding; it wins where all are −inf."""
    u = np.maximum(0, -(-(s.PH - np.arange(s.OH) * s.SH) // s.DH))
    v = np.maximum(0, -(-(s.PW - np.arange(s.OW) * s.SW) // s.DW))
    return (u[:, None] * s.KW + v).astype(np.int32)


def max_pool2d_grad(g: np.ndarray, where: np.ndarray, s: PoolShape) -> np.ndarray:
    """g (N,C,OH,OW), each back to where the largest stood → (N,C,H,W)"""
    gx = np.zeros((s.N, s.C, *_padded_size(s)), g.dtype)
    for u, v, tap in _taps(gx, s):
        tap += np.where(where == u * s.KW + v, g, 0)
    return _cropped(gx, s)


def avg_pool2d(x: np.ndarray, count: np.ndarray, s: PoolShape) -> np.ndarray:
    """(N,C,H,W) → each window's sum over `count` (OH,OW or 1,1) → (N,C,OH,OW)"""
    y = np.zeros(s.y, x.dtype)
    for _, _, tap in _taps(_padded(x, s, 0), s):
        y += tap
    return y / count


def avg_pool2d_grad(g: np.ndarray, count: np.ndarray, s: PoolShape) -> np.ndarray:
    """g/count (N,C,OH,OW) to every cell of its window → (N,C,H,W)"""
    share = g / count
    gx = np.zeros((s.N, s.C, *_padded_size(s)), g.dtype)
    for _, _, tap in _taps(gx, s):
        tap += share
    return _cropped(gx, s)


# ---------------------------------------------------------------- softmax


def softmax(x: np.ndarray, log: bool) -> np.ndarray:
    """softmax of x (N,C,P) over C, or its logarithm"""
    below = x - x.max(axis=1, keepdims=True)
    e = np.exp(below)
    total = e.sum(axis=1, keepdims=True)
    if log:
        below -= np.log(total)
        return below
    e /= total
    return e


def softmax_grad(g: np.ndarray, y: np.ndarray, log: bool) -> np.ndarray:
    """From g into y, which softmax gave, to g into x: (N,C,P)"""
    if log:
        return g - np.exp(y) * g.sum(axis=1, keepdims=True)
    return y * (g - (g * y).sum(axis=1, keepdims=True))


# ---------------------------------------------------------------- the loss of several classes


def cross_entropy(x: np.ndarray, t: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """−w · ln softmax(x)[t], and softmax(x): x (N,C,P), t and w (N,P) → (N,P), (N,C,P)"""
    below = x - x.max(axis=1, keepdims=True)
    p = np.exp(below)
    total = p.sum(axis=1, keepdims=True)
    loss = np.log(total) - np.take_along_axis(below, t[:, None], 1)
    p /= total
    return w * loss[:, 0], p


def cross_entropy_grad(g: np.ndarray, p: np.ndarray, t: np.ndarray, w: np.ndarray) -> np.ndarray:
    """g · w · (softmax(x) − 1 at t) → (N,C,P)"""
    scale, at = (g * w)[:, None], t[:, None]
    gx = p * scale
    np.put_along_axis(gx, at, np.take_along_axis(gx, at, 1) - scale, 1)
    return gx
