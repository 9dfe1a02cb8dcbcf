"""Ops that fold axes away: sums, means, extremes, and their kin."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from tinymed.autograd import Function
from tinymed.ops.arithmetic import cast, floating
from tinymed.tensor import Tensor, method

Dim = int | tuple[int, ...] | list[int] | None


class ValuesIndices(NamedTuple):
    """What max, min, sort and topk return along one axis."""

    values: Tensor
    indices: Tensor


def axes(name: str, x: Tensor, dim: Dim) -> tuple[int, ...]:
    """dim as a tuple of axes ≥ 0. Raises IndexError for one that x does not have."""
    if dim is None or dim == ():
        return tuple(range(x.ndim))
    dims = tuple(dim) if isinstance(dim, tuple | list) else (dim,)
    ndim = x.ndim or 1  # a 0-d tensor lets itself be reduced over dim 0
    for d in dims:
        if not -ndim <= d < ndim:
            raise IndexError(f"{name}: dim {d} does not exist in a tensor of shape {x.shape}")
    return tuple(sorted(d % x.ndim for d in dims)) if x.ndim else ()


def _stretch(g: np.ndarray, kept: tuple[int, ...], shape: tuple[int, ...]) -> np.ndarray:
    """g, whose reduced axes are gone, as a view of the shape before the reduction."""
    return np.broadcast_to(np.reshape(g, kept), shape)


class _Reduce(Function):
    """A reduction over axes: remembers the shapes that take a gradient back over them."""

    def spread(ctx, g):
        return _stretch(g, ctx.kept, ctx.shape)

    def remember(ctx, x, axis):
        ctx.shape = x.shape
        ctx.kept = tuple(1 if k in axis else n for k, n in enumerate(x.shape))
        ctx.n = math.prod(x.shape[k] for k in axis)


class Sum(_Reduce):
    """y = Σ x;  ∂y/∂x = 1"""

    def forward(ctx, x, axis, keepdim):
        ctx.remember(x, axis)
        return x.sum(axis=axis, keepdims=keepdim)

    def backward(ctx, g):
        return ctx.spread(g)


class Mean(_Reduce):
    """y = 1/n Σ x;  ∂y/∂x = 1/n"""

    def forward(ctx, x, axis, keepdim):
        ctx.remember(x, axis)
        return x.mean(axis=axis, keepdims=keepdim)

    def backward(ctx, g):
        return ctx.spread(g / ctx.n)


class Var(_Reduce):
    """y = 1/(n − c) Σ (x − x̄)², c the correction;  ∂y/∂x = 2 (x − x̄) / (n − c)"""

    def forward(ctx, x, axis, correction, keepdim):
        ctx.remember(x, axis)
        ctx.centred = x - x.mean(axis=axis, keepdims=True)  # two passes: one alone cancels at a large mean
        ctx.n -= correction
        with np.errstate(all="ignore"):
            return np.square(ctx.centred).sum(axis=axis, keepdims=keepdim) / x.dtype.type(ctx.n if ctx.n > 0 else 0)

    def backward(ctx, g):
        return ctx.spread(g) * ctx.centred * (2 / ctx.n)


class Amax(_Reduce):
    """y = max x;  the gradient is shared evenly among the largest"""

    def forward(ctx, x, axis, keepdim):
        ctx.remember(x, axis)
        y = x.max(axis=axis, keepdims=True)
        ctx.share = (x == y) / (x == y).sum(axis=axis, keepdims=True)
        return y if keepdim else y.reshape([n for k, n in enumerate(y.shape) if k not in axis])

    def backward(ctx, g):
        return ctx.spread(g) * ctx.share


class LogSumExp(_Reduce):
    """y = ln Σ eˣ, with the largest x taken out first;  ∂y/∂x = eˣ⁻ʸ"""

    def forward(ctx, x, axis, keepdim):
        ctx.remember(x, axis)
        top = x.max(axis=axis, keepdims=True)
        top = np.where(np.isfinite(top), top, 0)  # a row of −inf gives −inf, not NaN
        with np.errstate(divide="ignore"):
            y = np.log(np.exp(x - top).sum(axis=axis, keepdims=True)) + top
        ctx.weights = np.exp(x - np.where(np.isfinite(y), y, 0))
        return y if keepdim else y.reshape([n for k, n in enumerate(y.shape) if k not in axis])

    def backward(ctx, g):
        return ctx.spread(g) * ctx.weights


class Prod(_Reduce):
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
    return Var.apply(floating(input), axes("var", input, dim), correction, keepdim)


@method()
def std(input: Tensor, dim: Dim = None, *, correction: int = 1, keepdim: bool = False) -> Tensor:
    """The standard deviation over dim: √var"""
    return var(input, dim, correction=correction, keepdim=keepdim).sqrt()


@method()
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Π over dim"""
    return Prod.apply(input, axes("prod", input, dim), keepdim)


@method()
def amax(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The largest over dim; ties share the gradient"""
    return Amax.apply(input, _filled("amax", input, dim), keepdim)


@method()
def amin(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The smallest over dim: −amax(−x)"""
    return -amax(-input, dim, keepdim)


@method()
def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest of all; with dim, (values, indices) along it; with a tensor, `maximum`."""
    return _extreme(input, dim, keepdim, "max")


@method()
def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest of all; with dim, (values, indices) along it; with a tensor, `minimum`."""
    return _extreme(input, dim, keepdim, "min")


def _extreme(x: Tensor, dim: Any, keepdim: bool, name: str) -> Any:
    if isinstance(dim, Tensor):
        return getattr(x, f"{name}imum")(dim)
    if dim is None:
        return getattr(x, f"a{name}")()
    indices = getattr(x, f"arg{name}")(dim, keepdim=True)
    values = x.gather(dim, indices) if x.ndim else x.clone()
    return ValuesIndices(values, indices) if keepdim else ValuesIndices(values.squeeze(dim), indices.squeeze(dim))


@method()
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the largest stands (the first of several), in int64"""
    return _arg(np.argmax, "argmax", input, dim, keepdim)


@method()
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Where the smallest stands (the first of several), in int64"""
    return _arg(np.argmin, "argmin", input, dim, keepdim)


def _arg(function: Any, name: str, x: Tensor, dim: int | None, keepdim: bool) -> Tensor:
    _filled(name, x, dim)
    return Tensor(np.asarray(function(x.array, axis=dim, keepdims=keepdim), np.int64))


def _filled(name: str, x: Tensor, dim: Dim) -> tuple[int, ...]:
    axis = axes(name, x, dim)
    if math.prod(x.shape[k] for k in axis) == 0:
        raise ValueError(f"{name}: shape {x.shape} is empty along dim {dim}")
    return axis


@method()
def logsumexp(input: Tensor, dim: Dim, keepdim: bool = False) -> Tensor:
    """ln Σ eˣ over dim, without overflow"""
    return LogSumExp.apply(floating(input), _filled("logsumexp", input, dim), keepdim)


@method()
def cumsum(input: Tensor, dim: int) -> Tensor:
    """Running sums along dim"""
    x = cast(input, np.int64) if input.dtype.kind in "bui" else input
    (axis,) = axes("cumsum", input, dim) or (0,)
    return Cumsum.apply(x, axis) if input.ndim else x.clone()


@method()
def norm(input: Tensor, p: float = 2, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """(Σ |x|ᵖ)^(1/p); the largest |x| for p = inf"""
    if p == float("inf"):
        return amax(input.abs(), dim, keepdim)
    if p == 2:
        return Norm2.apply(floating(input), axes("norm", input, dim), keepdim)
    return sum(input.abs() ** p, dim, keepdim) ** (1 / p)


class Norm2(_Reduce):
    """y = √Σx²;  ∂y/∂x = x / y, and 0 where y = 0"""

    def forward(ctx, x, axis, keepdim):
        ctx.remember(x, axis)
        ctx.x, ctx.y = x, np.sqrt(np.square(x).sum(axis=axis, keepdims=keepdim))
        return ctx.y

    def backward(ctx, g):
        return ctx.x * ctx.spread(g / np.where(ctx.y == 0, 1, ctx.y))


@method()
def all(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether all are true (not 0)"""
    return Tensor(np.asarray(np.all(input.array, axis=dim, keepdims=keepdim)))


@method()
def any(input: Tensor, dim: Any = None, keepdim: bool = False) -> Tensor:
    """Whether any is true (not 0)"""
    return Tensor(np.asarray(np.any(input.array, axis=dim, keepdims=keepdim)))
