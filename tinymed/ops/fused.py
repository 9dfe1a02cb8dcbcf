"""Convolution, bias, ReLU or ReLU6 and max pooling in one pass: what a Sequential makes of layers in that order."""

from __future__ import annotations

from typing import Any

from tinymed import kernels
from tinymed.autograd import Function
from tinymed.kernels.shapes import pool_shape
from tinymed.ops.conv import conv2d_shape
from tinymed.tensor import Tensor


class Conv2dMaxPool2d(Function):
    """y = max over a window of min(max(conv(x) + b, low), high)        (article 4.1.1, 4.1.2; 1.4.3 ReLU6-Conv-Pool)

    x (N,C,H,W) * w (O,C/g,KH,KW) + b (O) → y (N,O,OH/h,OW/w) for windows (h,w) side by side
    g goes to where each window's largest stood, unless a bound cut it off; from there on as in Conv2d
    """

    def forward(ctx, x, w, b, shape, window, low, high):
        ctx.x, ctx.w, ctx.shape, ctx.window = x, w, shape, window
        y, ctx.where = kernels.conv2d_max_pool2d(x, w, b, shape, window, low, high)
        return y

    def backward(ctx, g):
        x, w = ctx.x if ctx.needs[1] else None, ctx.w if ctx.needs[0] else None
        return kernels.conv2d_max_pool2d_grad(g, ctx.where, x, w, ctx.shape, ctx.window)


def conv2d_max_pool2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: Any,
    padding: Any,
    dilation: Any,
    groups: int,
    window: tuple[int, int],
    low: float,
    high: float,
) -> Tensor:
    """max_pool2d(conv2d(...).clamp(low, high), window), with the same numbers. Raises ValueError as these two do."""
    shape = conv2d_shape(input, weight, bias, stride, padding, dilation, groups)
    pool_shape("max_pool2d", shape.y, window, window, (0, 0))  # raises where a window does not fit
    return Conv2dMaxPool2d.apply(input, weight, bias, shape, window, low, high)
