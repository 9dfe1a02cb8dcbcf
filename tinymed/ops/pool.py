"""Pooling: a window's largest or average (article 4.1.2). A window is a box, so three dimensions are two and one."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed import kernels
from tinymed.autograd import Function
from tinymed.kernels.shapes import PoolShape, pool_shape
from tinymed.ops.conv import batched, spatial
from tinymed.ops.join import cat
from tinymed.tensor import Tensor


class MaxPool2d(Function):
    """y[n,c,i,j] = max over u, v of x[n,c, i·s+u·d−p, j·s+v·d−p]        (article 4.1.2)

    The gradient goes to the cell that was the largest: the first of several, in reading order.
    """

    def forward(ctx, x, shape):
        ctx.shape = shape
        y, ctx.where = kernels.max_pool2d(x, shape)
        return y

    def backward(ctx, g):
        return kernels.max_pool2d_grad(g, ctx.where, ctx.shape)


class AvgPool2d(Function):
    """y[n,c,i,j] = 1/k Σ over u, v of x[n,c, i·s+u−p, j·s+v−p], k the cells counted        (article 4.1.2)

    ∂L/∂x: every cell of a window receives g/k.
    """

    def forward(ctx, x, count, shape):
        ctx.count, ctx.shape = count, shape
        return kernels.avg_pool2d(x, count, shape)

    def backward(ctx, g):
        return kernels.avg_pool2d_grad(g, ctx.count, ctx.shape)


def max_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest of every window (article 4.1.2); what lies outside the image never wins.

    input (N,C,H,W) or (C,H,W) → (N,C,OH,OW); stride defaults to kernel_size; ceil_mode keeps a last,
    incomplete window. Raises ValueError for sizes that do not fit.
    """
    name = "max_pool2d"
    x, single = batched(name, input, 2)
    K, S, P, D = (
        spatial(name, what, v, 2)
        for what, v in (
            ("kernel_size", kernel_size),
            ("stride", kernel_size if stride is None else stride),
            ("padding", padding),
            ("dilation", dilation),
        )
    )
    y = MaxPool2d.apply(x, pool_shape(name, x.shape, K, S, P, D, bool(ceil_mode)))
    return y.squeeze(0) if single else y


def avg_pool2d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The average of every window (article 4.1.2).

    count_include_pad: whether padding counts as cells of value 0; divisor_override: divide by this instead.
    """
    name = "avg_pool2d"
    x, single = batched(name, input, 2)
    K, S, P = (
        spatial(name, what, v, 2)
        for what, v in (
            ("kernel_size", kernel_size),
            ("stride", kernel_size if stride is None else stride),
            ("padding", padding),
        )
    )
    shape = pool_shape(name, x.shape, K, S, P, (1, 1), bool(ceil_mode))
    if divisor_override == 0:
        raise ValueError(f"{name}: divisor_override cannot be 0")
    count = np.full((1, 1), divisor_override) if divisor_override else _cells(shape, count_include_pad)
    y = AvgPool2d.apply(x, count.astype(x.dtype), shape)
    return y.squeeze(0) if single else y


def _cells(s: PoolShape, count_include_pad: bool) -> np.ndarray:
    """(OH,OW): how many cells each window averages; beyond image and padding there are none."""

    def along(n: int, out: int, K: int, S: int, P: int) -> np.ndarray:
        first = np.arange(out) * S - P
        low, high = (-P, n + P) if count_include_pad else (0, n)
        return np.minimum(first + K, high) - np.maximum(first, low)

    return np.outer(along(s.H, s.OH, s.KH, s.SH, s.PH), along(s.W, s.OW, s.KW, s.SW, s.PW))


# ---------------------------------------------------------------- one and three dimensions


def _one(
    pool2d: Any, name: str, input: Tensor, kernel_size: Any, stride: Any, padding: Any, *more: Any, **how: Any
) -> Tensor:
    """A signal is an image of height 1."""
    x, single = batched(name, input, 1)
    K, S, P = (spatial(name, "size", v, 1) for v in (kernel_size, kernel_size if stride is None else stride, padding))
    y = pool2d(x.unsqueeze(2), (1, *K), (1, *S), (0, *P), *more, **how).squeeze(2)
    return y.squeeze(0) if single else y


def _three(
    pool2d: Any,
    name: str,
    input: Tensor,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    **how: Any,
) -> Tensor:
    """A volume: first over every layer's height and width, then over the depth."""
    x, single = batched(name, input, 3)
    (KD, *K), (SD, *S), (PD, *P) = (
        spatial(name, "size", v, 3) for v in (kernel_size, kernel_size if stride is None else stride, padding)
    )
    flat, deep = {}, {}
    if dilation is not None:
        (DD, *D) = spatial(name, "dilation", dilation, 3)
        flat, deep = {"dilation": D}, {"dilation": (DD, 1)}
    N, C, depth = x.shape[:3]
    y = pool2d(x.flatten(1, 2), K, S, P, **flat, **how)  # (N,C·D,OH,OW)
    OH, OW = y.shape[2:]
    y = pool2d(y.reshape(N, C, depth, OH * OW), (KD, 1), (SD, 1), (PD, 0), **deep, **how)
    y = y.reshape(N, C, -1, OH, OW)
    return y.squeeze(0) if single else y


def max_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest of every window of a signal (N,C,L) or (C,L)."""
    D = (1, *spatial("max_pool1d", "dilation", dilation, 1))
    return _one(max_pool2d, "max_pool1d", input, kernel_size, stride, padding, D, ceil_mode)


def max_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> Tensor:
    """The largest of every window of a volume (N,C,D,H,W) or (C,D,H,W)."""
    return _three(max_pool2d, "max_pool3d", input, kernel_size, stride, padding, dilation, ceil_mode=ceil_mode)


def avg_pool1d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """The average of every window of a signal (N,C,L) or (C,L)."""
    return _one(avg_pool2d, "avg_pool1d", input, kernel_size, stride, padding, ceil_mode, count_include_pad)


def avg_pool3d(
    input: Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """The average of every window of a volume (N,C,D,H,W) or (C,D,H,W)."""
    how = {"ceil_mode": ceil_mode, "count_include_pad": count_include_pad}
    if divisor_override == 0:
        raise ValueError("avg_pool3d: divisor_override cannot be 0")
    if divisor_override:  # sums of sums, divided once
        y = _three(avg_pool2d, "avg_pool3d", input, kernel_size, stride, padding, None, **how, divisor_override=1)
        return y / divisor_override
    return _three(avg_pool2d, "avg_pool3d", input, kernel_size, stride, padding, None, **how)


# ---------------------------------------------------------------- adaptive: the number of windows is given


def _adaptive(name: str, input: Tensor, output_size: Any, n: int, pool_axis: Any) -> Tensor:
    """Axis by axis: window i of n over a length L goes from ⌊i·L/n⌋ to ⌈(i+1)·L/n⌉.

    The last axis comes first: so of several largest cells, the first in reading order gets the gradient.
    """
    x, single = batched(name, input, n)
    sizes = tuple(output_size) if isinstance(output_size, tuple | list) else (output_size,) * n
    if len(sizes) != n:
        raise ValueError(f"{name}: expected {n} output sizes for x {input.shape}, got {output_size!r}")
    for axis, out in zip(range(-1, -n - 1, -1), sizes[::-1]):
        L = x.shape[axis]
        out = L if out is None else out
        if not isinstance(out, int | np.integer) or out < 1:
            raise ValueError(f"{name}: an output size must be a whole number of at least 1, or None, got {out!r}")
        windows = [(i * L // out, -(-(i + 1) * L // out)) for i in range(out)]
        x = pool_axis(x, axis, windows) if out != L else x
    return x.squeeze(0) if single else x


def _average_axis(x: Tensor, axis: int, windows: list[tuple[int, int]]) -> Tensor:
    """A product with the matrix whose row i is 1/k inside window i."""
    A = np.zeros_like(x.array, shape=(x.shape[axis], len(windows)))
    for i, (a, b) in enumerate(windows):
        A[a:b, i] = 1 / (b - a)
    return (x.movedim(axis, -1) @ Tensor(A)).movedim(-1, axis)


def _max_axis(x: Tensor, axis: int, windows: list[tuple[int, int]]) -> Tensor:
    x = x.movedim(axis, -1)
    return cat([x[..., a:b].max(-1, keepdim=True).values for a, b in windows], -1).movedim(-1, axis)


def _adaptive_pool(name: str, n: int, pool_axis: Any, what: str, shape: str) -> Any:
    def pool(input: Tensor, output_size: Any) -> Tensor:
        return _adaptive(name, input, output_size, n, pool_axis)

    pool.__name__ = pool.__qualname__ = name
    pool.__doc__ = f"The {what} of output_size windows that cover {shape} evenly; None keeps a size."
    return pool


_SHAPES = {1: "a signal (N,C,L)", 2: "an image (N,C,H,W)", 3: "a volume (N,C,D,H,W)"}
adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d = (
    _adaptive_pool(f"adaptive_avg_pool{n}d", n, _average_axis, "average", _SHAPES[n]) for n in (1, 2, 3)
)
adaptive_max_pool1d, adaptive_max_pool2d, adaptive_max_pool3d = (
    _adaptive_pool(f"adaptive_max_pool{n}d", n, _max_axis, "largest", _SHAPES[n]) for n in (1, 2, 3)
)
