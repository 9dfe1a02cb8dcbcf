"""Activation functions (article 1.4.3, 3.1.2, 4.2.1): each y = f(x), number by number, but softmax, along an axis."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinymed import kernels
from tinymed.autograd import Function
from tinymed.ops.axes import filled
from tinymed.ops.dtypes import floating
from tinymed.tensor import Tensor, method


class ReLU(Function):
    """y = max(0, x);  ∂y/∂x = 1 where x > 0, else 0        (article 1.4.3)"""

    def forward(ctx, x):
        ctx.y = np.maximum(x, 0)
        return ctx.y

    def backward(ctx, g):
        return g * ~(ctx.y <= 0)  # NaN passes on


class ReLU6(Function):
    """y = min(max(0, x), 6);  ∂y/∂x = 1 where 0 < x < 6, else 0        (article 1.4.3)"""

    def forward(ctx, x):
        ctx.y = np.clip(x, 0, 6)
        return ctx.y

    def backward(ctx, g):
        return g * ~((ctx.y <= 0) | (ctx.y >= 6))


class LeakyReLU(Function):
    """y = x where x > 0, else a·x;  ∂y/∂x = 1, else a"""

    def forward(ctx, x, a):
        ctx.slope = np.where(x > 0, x.dtype.type(1), x.dtype.type(a))
        return x * ctx.slope

    def backward(ctx, g):
        return g * ctx.slope


class PReLU(Function):
    """y = x where x > 0, else a·x with a learnt;  ∂y/∂x = 1, else a;  ∂y/∂a = 0, else x        (He et al. 2015)"""

    def forward(ctx, x, a):
        ctx.x, ctx.slope = x, np.where(x > 0, x.dtype.type(1), a)
        return x * ctx.slope

    def backward(ctx, g):
        return g * ctx.slope, g * np.minimum(ctx.x, 0)


class ELU(Function):
    """y = x where x > 0, else a·(eˣ − 1);  ∂y/∂x = 1, else y + a"""

    def forward(ctx, x, a):
        ctx.x, ctx.a = x, a
        ctx.y = np.where(x > 0, x, a * np.expm1(np.minimum(x, 0)))
        return ctx.y

    def backward(ctx, g):
        return g * np.where(ctx.x > 0, 1, ctx.y + ctx.a)


class GELU(Function):
    """y = x·Φ(x), Φ the normal distribution function;  ∂y/∂x = Φ(x) + x·φ(x)        (Hendrycks & Gimpel 2016)"""

    def forward(ctx, x):
        from scipy.special import ndtr

        ctx.x, ctx.cdf = x, ndtr(x)
        return x * ctx.cdf

    def backward(ctx, g):
        return g * (ctx.cdf + ctx.x * np.exp(-np.square(ctx.x) / 2) / math.sqrt(2 * math.pi))


class Sigmoid(Function):
    """y = σ(x) = 1 / (1 + e⁻ˣ);  ∂y/∂x = y·(1 − y)        (article 4.2.1)"""

    def forward(ctx, x):
        e = np.exp(-np.abs(x))  # never overflows: e ≤ 1
        ctx.y = np.where(x >= 0, 1, e) / (1 + e)
        return ctx.y

    def backward(ctx, g):
        return g * ctx.y * (1 - ctx.y)


class Tanh(Function):
    """y = tanh x;  ∂y/∂x = 1 − y²"""

    def forward(ctx, x):
        ctx.y = np.tanh(x)
        return ctx.y

    def backward(ctx, g):
        return g * (1 - ctx.y * ctx.y)


class Softplus(Function):
    """y = ln(1 + e^{bx}) / b;  ∂y/∂x = σ(bx).  Beyond bx > threshold, y = x to within rounding"""

    def forward(ctx, x, b, threshold):
        ctx.linear = b * x > threshold
        ctx.slope = np.where(ctx.linear, 1, Sigmoid().forward(b * x))
        return np.where(ctx.linear, x, np.logaddexp(0, b * x) / b).astype(x.dtype)

    def backward(ctx, g):
        return g * ctx.slope


class Softmax(Function):
    """yᵢ = e^{xᵢ} / Σⱼ e^{xⱼ};  ∂L/∂x = y ∘ (g − Σⱼ gⱼyⱼ)        (article 1.4.3, 3.1.2)"""

    log = False

    def forward(ctx, x, axis):
        ctx.split = math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])
        ctx.y = kernels.softmax(x.reshape(ctx.split), ctx.log)
        return ctx.y.reshape(x.shape)

    def backward(ctx, g):
        return kernels.softmax_grad(g.reshape(ctx.split), ctx.y, ctx.log).reshape(g.shape)


class LogSoftmax(Softmax):
    """yᵢ = xᵢ − ln Σⱼ e^{xⱼ};  ∂L/∂x = g − e^y Σⱼ gⱼ"""

    log = True


# ---------------------------------------------------------------- the functions


@method()
def relu(input: Tensor) -> Tensor:
    """max(0, x)"""
    return ReLU.apply(input)


@method()
def relu6(input: Tensor) -> Tensor:
    """min(max(0, x), 6)"""
    return ReLU6.apply(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """x where positive, else negative_slope · x"""
    return LeakyReLU.apply(floating(input), negative_slope)


def prelu(input: Tensor, weight: Tensor) -> Tensor:
    """x where positive, else weight · x; weight (1) for all, or (C) for the channels of x (N,C,…)"""
    C = input.shape[1] if input.ndim > 1 else 1
    if weight.shape not in ((), (1,), (C,)):
        raise ValueError(f"prelu: x {input.shape} needs a weight of shape (1,) or ({C},), got {weight.shape}")
    return PReLU.apply(input, weight if input.ndim < 2 else weight.reshape(-1, *(1,) * (input.ndim - 2)))


def elu(input: Tensor, alpha: float = 1.0) -> Tensor:
    """x where positive, else alpha · (eˣ − 1)"""
    return ELU.apply(floating(input), float(alpha))


def gelu(input: Tensor, approximate: str = "none") -> Tensor:
    """x · Φ(x); approximate="tanh": x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))"""
    if approximate == "tanh":
        return 0.5 * input * (1 + tanh(math.sqrt(2 / math.pi) * (input + 0.044715 * input**3)))
    if approximate != "none":
        raise ValueError(f'gelu: approximate is "none" or "tanh", got {approximate!r}')
    return GELU.apply(floating(input))


def silu(input: Tensor) -> Tensor:
    """x · σ(x)"""
    return input * sigmoid(input)


def softplus(input: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """ln(1 + e^{beta·x}) / beta"""
    return Softplus.apply(floating(input), float(beta), float(threshold))


@method()
def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + e⁻ˣ)"""
    return Sigmoid.apply(floating(input))


@method()
def tanh(input: Tensor) -> Tensor:
    """hyperbolic tangent"""
    return Tanh.apply(floating(input))


@method()
def softmax(input: Tensor, dim: int) -> Tensor:
    """e^{xᵢ} / Σⱼ e^{xⱼ} along dim: positive, and 1 in sum"""
    return _along(Softmax, "softmax", input, dim)


@method()
def log_softmax(input: Tensor, dim: int) -> Tensor:
    """ln softmax along dim, exact where softmax underflows"""
    return _along(LogSoftmax, "log_softmax", input, dim)


def _along(op: Any, name: str, x: Tensor, dim: int) -> Tensor:
    if not isinstance(dim, int):
        raise TypeError(f"{name}: dim must be an axis of shape {x.shape}, got {dim!r}; classes are mostly dim=1")
    if not x.ndim:
        return _along(op, name, x.reshape(1), dim).reshape(())
    (axis,) = filled(name, x, dim)
    return op.apply(floating(x), axis)
