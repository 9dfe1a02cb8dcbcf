"""Ops that fold axes away by summing or multiplying: sum, mean, variance, norm, and their kin."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinymed.autograd import Function
from tinymed.ops.axes import Dim, Reduction, axes, axis_of, filled
from tinymed.ops.dtypes import cast, floating
from tinymed.ops.order import amax
from tinymed.tensor import Tensor, method


class Sum(Reduction):
    """y = Σ x;  ∂y/∂x = 1"""

    def forward(ctx, x, axis, keepdim):
        ctx.remember(x, axis)
        return x.sum(axis=axis, keepdims=keepdim)

    def backward(ctx, g):
        return ctx.spread(g)


class Mean(Reduction):
    """y = 1/n Σ x;  ∂y/∂x = 1/n"""

    def forward(ctx, x, axis, keepdim):
        ctx.remember(x, axis)
        return x.mean(axis=axis, keepdims=keepdim)

    def backward(ctx, g):
        return ctx.spread(g / ctx.n)


class Var(Reduction):
    """y = 1/(n − c) Σ (x − x̄)², c the correction;  ∂y/∂x = 2 (x − x̄) / (n − c)"""

    def forward(ctx, x, axis, correction, keepdim):
        ctx.remember(x, axis)
        ctx.centred = x - x.mean(axis=axis, keepdims=True)  # two passes: one alone cancels at a large mean
        ctx.scale = x.dtype.type(1 / (ctx.n - correction) if ctx.n > correction else math.inf)
        with np.errstate(invalid="ignore"):
            return np.square(ctx.centred).sum(axis=axis, keepdims=keepdim) * ctx.scale

    def backward(ctx, g):
        return ctx.spread(g) * ctx.centred * (2 * ctx.scale)


class Std(Var):
    """y = √var x;  ∂y/∂x = ∂var/∂x / (2y), and 0 where y = 0: there all x are equal"""

    def forward(ctx, x, axis, correction, keepdim):
        ctx.y = np.sqrt(super().forward(x, axis, correction, keepdim))
        return ctx.y

    def backward(ctx, g):
        return super().backward(g / np.where(ctx.y == 0, 1, 2 * ctx.y))


class LogSumExp(Reduction):
    """y = ln Σ eˣ, with the largest x taken out first;  ∂y/∂x = eˣ⁻ʸ"""

    def forward(ctx, x, axis, keepdim):
        ctx.remember(x, axis)
        top = x.max(axis=axis, keepdims=True)
        top = np.where(np.isfinite(top), top, 0)  # a row of −inf gives −inf, not NaN
        with np.errstate(divide="ignore"):
            y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
        ctx.weights = np.exp(x - np.where(np.isfinite(y), y, 0))
        return y if keepdim else y.squeeze(axis)

    def backward(ctx, g):
        return ctx.spread(g) * ctx.weights


class Prod(Reduction):
    """y = Π x;  ∂y/∂xᵢ = Π of all the others, also where some x are 0"""

    def forward(ctx, x, axis, keepdim):
        ctx.remember(x, axis)
        ctx.x, ctx.axis = x, axis
        return x.prod(axis=axis, keepdims=keepdim)

    def backward(ctx, g):
        rows = np.moveaxis(ctx.x, ctx.axis, range(-len(ctx.axis), 0))
        flat = rows.reshape(*rows.shape[: rows.ndim - len(ctx.axis)], ctx.n)
        ones = np.ones_like(flat[..., :1])
        before = np.cumprod(np.concatenate([ones, flat[..., :-1]], -1), -1)
        after = np.cumprod(np.concatenate([ones, flat[..., :0:-1]], -1), -1)[..., ::-1]
        others = np.moveaxis((before * after).reshape(rows.shape), range(-len(ctx.axis), 0), ctx.axis)
        return ctx.spread(g) * others


class Norm(Reduction):
    """y = (Σ |x|ᵖ)^(1/p);  ∂y/∂x = sign x · (|x| / y)^(p−1), and 0 where x = 0"""

    def forward(ctx, x, p, axis, keepdim):
        ctx.remember(x, axis)
        ctx.x, ctx.p = x, p
        ctx.y = (np.abs(x) ** p).sum(axis=axis, keepdims=keepdim) ** (1 / p)
        return ctx.y

    def backward(ctx, g):
        share = np.where(ctx.x == 0, 1, np.abs(ctx.x)) / ctx.spread(np.where(ctx.y == 0, 1, ctx.y))
        return ctx.spread(g) * np.sign(ctx.x) * share ** (ctx.p - 1)


class Cumsum(Function):
    """yₜ = Σ_{s≤t} xₛ;  ∂L/∂xₛ = Σ_{t≥s} gₜ: the sum runs backwards"""

    def forward(ctx, x, axis):
        ctx.axis = axis
        return np.cumsum(x, axis=axis)

    def backward(ctx, g):
        return np.flip(np.cumsum(np.flip(g, ctx.axis), axis=ctx.axis), ctx.axis)


# ---------------------------------------------------------------- the functions


@method()
def sum(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """Σ over dim (all axes if None); integers and bools in int64"""
    dtype = dtype or (np.int64 if input.dtype.kind in "bui" else input.dtype)
    return Sum.apply(cast(input, dtype), axes("sum", input, dim), keepdim)


@method()
def mean(input: Tensor, dim: Dim = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The average over dim. Raises TypeError for integers, ValueError for an empty tensor."""
    input = input if dtype is None else cast(input, dtype)
    if not input.is_floating_point():
        raise TypeError(f"mean: needs floating-point numbers, got {input.dtype}; use x.float().mean()")
    axis = axes("mean", input, dim)
    if math.prod(input.shape[k] for k in axis) == 0:
        raise ValueError(f"mean: nothing to average in shape {input.shape}, dim {dim}")
    return Mean.apply(input, axis, keepdim)


@method()
def var(input: Tensor, dim: Dim = None, *, correction: int = 1, keepdim: bool = False) -> Tensor:
    """The variance over dim, 1/(n − correction) Σ (x − x̄)²"""
    return Var.apply(floating(input), filled("var", input, dim), correction, keepdim)


@method()
def std(input: Tensor, dim: Dim = None, *, correction: int = 1, keepdim: bool = False) -> Tensor:
    """The standard deviation over dim: √var"""
    return Std.apply(floating(input), filled("std", input, dim), correction, keepdim)


@method()
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Π over dim; integers and bools in int64"""
    input = cast(input, np.int64) if input.dtype.kind in "bui" else input
    return Prod.apply(input, axes("prod", input, dim), keepdim)


@method()
def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """ln Σ eˣ over dim, without overflow"""
    return LogSumExp.apply(floating(input), filled("logsumexp", input, dim), keepdim)


@method()
def cumsum(input: Tensor, dim: int) -> Tensor:
    """Running sums along dim"""
    x = cast(input, np.int64) if input.dtype.kind in "bui" else input
    return Cumsum.apply(x, axis_of("cumsum", x, dim)) if x.ndim else x.clone()


@method()
def norm(input: Tensor, p: float = 2, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """(Σ |x|ᵖ)^(1/p) over dim; the largest |x| for p = inf. Raises ValueError for a p that is not above 0."""
    if not p > 0:
        raise ValueError(f"norm: p must be above 0, or inf, got {p}")
    if p == math.inf:
        return amax(input.abs(), dim, keepdim)
    return Norm.apply(floating(input), float(p), axes("norm", input, dim), keepdim)


@method()
def all(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether all are true (not 0)"""
    how: dict[str, Any] = {"axis": axes("all", input, dim), "keepdims": keepdim}
    return Tensor(np.all(input.array, **how))


@method()
def any(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """Whether any is true (not 0)"""
    how: dict[str, Any] = {"axis": axes("any", input, dim), "keepdims": keepdim}
    return Tensor(np.any(input.array, **how))
