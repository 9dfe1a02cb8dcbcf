"""The article's sums as plain loops: the oracle for every fast kernel, and lesson one.

Each function says what it computes in the letters of its formula, and then computes just that, one number at
a time. Nothing here is fast. `tinymed.use_backend("reference")` runs a whole network on it.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tinymed.kernels.reference_activation import (
    cross_entropy,
    cross_entropy_grad,
    elementwise,
    elementwise_grad,
    relu,
    relu6,
    relu6_slope,
    relu_slope,
    sigmoid,
    sigmoid_slope,
    softmax,
    softmax_grad,
)
from tinymed.kernels.reference_optim import adagrad_step, adam_step, rmsprop_step, sgd_step
from tinymed.kernels.reference_recurrent import article_rnn, gru, gru_grad, lstm, lstm_grad, rnn, rnn_grad
from tinymed.kernels.shapes import DEAD, ConvShape, Pair, PoolShape, pool_shape

__all__ = [
    "adagrad_step", "adam_step", "article_rnn", "available", "avg_pool2d", "avg_pool2d_grad", "conv2d",
    "conv2d_bias_grad", "conv2d_grad", "conv2d_input_grad", "conv2d_max_pool2d", "conv2d_max_pool2d_grad",
    "conv2d_weight_grad", "cross_entropy", "cross_entropy_grad", "elementwise", "elementwise_grad", "gru", "gru_grad",
    "linear", "linear_grad", "lstm", "lstm_grad", "matmul", "max_pool2d", "max_pool2d_grad", "relu", "relu6",
    "relu6_slope", "relu_slope", "rmsprop_step", "rnn", "rnn_grad", "sgd_step", "sigmoid", "sigmoid_slope", "softmax",
    "softmax_grad",
]  # fmt: skip


def available() -> tuple[bool, str]:
    return True, "plain Python loops, for reading and checking"


# ---------------------------------------------------------------- the fully connected layer (article 3.1.2)


def matmul(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y[i,j] = Σ_k a[i,k] · b[k,j], for every matrix of a stack"""
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = np.broadcast_to(a, stack + a.shape[-2:])
    b = np.broadcast_to(b, stack + b.shape[-2:])
    y = np.zeros((*stack, a.shape[-2], b.shape[-1]), np.result_type(a, b))
    for at in np.ndindex(stack):
        for i in range(a.shape[-2]):
            for j in range(b.shape[-1]):
                for k in range(a.shape[-1]):
                    y[(*at, i, j)] += a[(*at, i, k)] * b[(*at, k, j)]
    return y


def linear(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """y[n,o] = b[o] + Σ_i w[o,i] · x[n,i]        (FC)"""
    (N, I), O = x.shape, len(w)
    y = np.zeros((N, O), x.dtype)
    for n in range(N):
        for o in range(O):
            for i in range(I):
                y[n, o] += w[o, i] * x[n, i]
            y[n, o] += b[o]
    return y


def linear_grad(g: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """∂L/∂x = Σ_o g·w,  ∂L/∂w = Σ_n g·x,  ∂L/∂b = Σ_n g: each product of the sum, seen from its factors"""
    gx, gw, gb = np.zeros_like(x), np.zeros_like(w), np.zeros(len(w), w.dtype)
    for n in range(len(x)):
        for o in range(len(w)):
            for i in range(x.shape[1]):
                gx[n, i] += g[n, o] * w[o, i]
                gw[o, i] += g[n, o] * x[n, i]
            gb[o] += g[n, o]
    return gx, gw, gb


# ---------------------------------------------------------------- convolution (article 4.1.1)


def products(s: ConvShape) -> Iterator[tuple[tuple, tuple, tuple]]:
    """Every product of the convolution once, as three places: y[n,o,i,j] gains w[o,c,u,v] · x[n,k,h,q].

    The forward sum and both gradients run over these same products; they differ in what is added to what.
    """
    channels = s.C // s.G
    for n in range(s.N):
        for o in range(s.O):
            group = o // (s.O // s.G)
            for i in range(s.OH):
                for j in range(s.OW):
                    for c in range(channels):
                        for u in range(s.KH):
                            for v in range(s.KW):
                                h = i * s.SH + u * s.DH - s.PH
                                q = j * s.SW + v * s.DW - s.PW
                                if 0 <= h < s.H and 0 <= q < s.W:  # padding is 0 and adds nothing
                                    yield (n, o, i, j), (o, c, u, v), (n, group * channels + c, h, q)


def conv2d(x: np.ndarray, w: np.ndarray, b: np.ndarray | None, s: ConvShape) -> np.ndarray:
    """y[n,o,i,j] = b[o] + Σ_c Σ_u Σ_v  w[o,c,u,v] · x[n,c, i·s+u·d−p, j·s+v·d−p]"""
    y = np.zeros(s.y, x.dtype)
    for at_y, at_w, at_x in products(s):
        y[at_y] += w[at_w] * x[at_x]
    if b is not None:
        for n, o, i, j in np.ndindex(s.y):
            y[n, o, i, j] += b[o]
    return y


def conv2d_input_grad(g: np.ndarray, w: np.ndarray, s: ConvShape) -> np.ndarray:
    """∂L/∂x: each x receives w · g from every y that it was a part of"""
    gx = np.zeros(s.x, g.dtype)
    for at_y, at_w, at_x in products(s):
        gx[at_x] += w[at_w] * g[at_y]
    return gx


def conv2d_weight_grad(x: np.ndarray, g: np.ndarray, s: ConvShape) -> np.ndarray:
    """∂L/∂w: each w receives x · g from every product that it was a part of"""
    gw = np.zeros(s.w, x.dtype)
    for at_y, at_w, at_x in products(s):
        gw[at_w] += x[at_x] * g[at_y]
    return gw


def conv2d_bias_grad(g: np.ndarray, s: ConvShape) -> np.ndarray:
    """∂L/∂b: each b receives g from every y of its channel"""
    gb = np.zeros(s.O, g.dtype)
    for n, o, i, j in np.ndindex(s.y):
        gb[o] += g[n, o, i, j]
    return gb


# ---------------------------------------------------------------- pooling (article 4.1.2)


def windows(s: PoolShape) -> Iterator[tuple[tuple, list[tuple[int, tuple]]]]:
    """For each output its place and its window: (number u·KW + v, place in x) of every cell inside the image."""
    for n in range(s.N):
        for c in range(s.C):
            for i in range(s.OH):
                for j in range(s.OW):
                    cells = []
                    for u in range(s.KH):
                        for v in range(s.KW):
                            h = i * s.SH + u * s.DH - s.PH
                            q = j * s.SW + v * s.DW - s.PW
                            if 0 <= h < s.H and 0 <= q < s.W:
                                cells.append((u * s.KW + v, (n, c, h, q)))
                    yield (n, c, i, j), cells


def max_pool2d(x: np.ndarray, s: PoolShape) -> tuple[np.ndarray, np.ndarray]:
    """y = max of the window, and which of its cells that was (the first of several)"""
    y, where = np.zeros(s.y, x.dtype), np.zeros(s.y, np.int32)
    for at, cells in windows(s):
        where[at], best = cells[0]
        for number, cell in cells[1:]:
            if x[cell] > x[best] or np.isnan(x[cell]):
                where[at], best = number, cell
        y[at] = x[best]
    return y, where


def max_pool2d_grad(g: np.ndarray, where: np.ndarray, s: PoolShape) -> np.ndarray:
    """∂L/∂x: the winner of each window receives its g, the others nothing"""
    gx = np.zeros(s.x, g.dtype)
    for at, cells in windows(s):
        gx[dict(cells)[int(where[at])]] += g[at]
    return gx


def avg_pool2d(x: np.ndarray, count: np.ndarray, s: PoolShape) -> np.ndarray:
    """y = 1/k Σ of the window, k = count[i,j]"""
    count = np.broadcast_to(count, (s.OH, s.OW))
    y = np.zeros(s.y, x.dtype)
    for at, cells in windows(s):
        for _, cell in cells:
            y[at] += x[cell]
        y[at] /= count[at[2:]]
    return y


def avg_pool2d_grad(g: np.ndarray, count: np.ndarray, s: PoolShape) -> np.ndarray:
    """∂L/∂x: every cell of a window receives g/k"""
    count = np.broadcast_to(count, (s.OH, s.OW))
    gx = np.zeros(s.x, g.dtype)
    for at, cells in windows(s):
        for _, cell in cells:
            gx[cell] += g[at] / count[at[2:]]
    return gx


def conv2d_grad(
    g: np.ndarray, x: np.ndarray | None, w: np.ndarray | None, s: ConvShape
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray]:
    """∂L/∂x (if w is given), ∂L/∂w (if x is given) and ∂L/∂b"""
    gx = None if w is None else conv2d_input_grad(g, w, s)
    gw = None if x is None else conv2d_weight_grad(x, g, s)
    return gx, gw, conv2d_bias_grad(g, s)


# ---------------------------------------------------------------- ReLU6-Conv-Pool (article 1.4.3)


def conv2d_max_pool2d(
    x: np.ndarray, w: np.ndarray, b: np.ndarray | None, s: ConvShape, window: Pair, low: float, high: float
) -> tuple[np.ndarray, np.ndarray]:
    """y = min(max(the largest of the window of conv2d, low), high), and which of its cells that was, or DEAD

    The largest of bounded numbers is the largest, bounded; ReLU's bounds are 0 and ∞, ReLU6's 0 and 6.
    """
    y, where = max_pool2d(conv2d(x, w, b, s), pool_shape("max_pool2d", s.y, window, window, (0, 0)))
    for at in np.ndindex(y.shape):
        if -np.inf < low >= y[at] or np.inf > high <= y[at]:  # NaN passes, and no infinite bound cuts anything
            where[at] = DEAD
            y[at] = low if y[at] <= low else high
    return y, where.astype(np.uint8)


def conv2d_max_pool2d_grad(
    g: np.ndarray, where: np.ndarray, x: np.ndarray | None, w: np.ndarray | None, s: ConvShape, window: Pair
) -> tuple[np.ndarray | None, np.ndarray | None, np.ndarray]:
    """∂L/∂x, ∂L/∂w, ∂L/∂b: the winner of each window that is not DEAD receives its g; then as in conv2d"""
    into_conv = np.zeros(s.y, g.dtype)
    for at, cells in windows(pool_shape("max_pool2d", s.y, window, window, (0, 0))):
        if where[at] != DEAD:
            into_conv[dict(cells)[int(where[at])]] += g[at]
    return conv2d_grad(into_conv, x, w, s)
