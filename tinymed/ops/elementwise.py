"""Ops on one operand, number by number: exponentials, roots, absolute value, clamp."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.autograd import Function
from tinymed.ops.dtypes import cast, floating, promote
from tinymed.tensor import Tensor, as_tensor, method


class Exp(Function):
    """y = eˣ;  ∂y/∂x = y"""

    def forward(ctx, x):
        ctx.y = np.exp(x)
        return ctx.y

    def backward(ctx, g):
        return g * ctx.y


class Log(Function):
    """y = ln x;  ∂y/∂x = 1/x"""

    def forward(ctx, x):
        ctx.x = x
        return np.log(x)

    def backward(ctx, g):
        return g / ctx.x


class Log1p(Function):
    """y = ln(1 + x), exact for small x;  ∂y/∂x = 1/(1 + x)"""

    def forward(ctx, x):
        ctx.x = x
        return np.log1p(x)

    def backward(ctx, g):
        return g / (1 + ctx.x)


class Sqrt(Function):
    """y = √x;  ∂y/∂x = 1/(2y)"""

    def forward(ctx, x):
        ctx.y = np.sqrt(x)
        return ctx.y

    def backward(ctx, g):
        return g / (2 * ctx.y)


class Sin(Function):
    """y = sin x;  ∂y/∂x = cos x"""

    def forward(ctx, x):
        ctx.x = x
        return np.sin(x)

    def backward(ctx, g):
        return g * np.cos(ctx.x)


class Cos(Function):
    """y = cos x;  ∂y/∂x = −sin x"""

    def forward(ctx, x):
        ctx.x = x
        return np.cos(x)

    def backward(ctx, g):
        return -g * np.sin(ctx.x)


class Abs(Function):
    """y = |x|;  ∂y/∂x = sign x, and 0 at 0"""

    def forward(ctx, x):
        ctx.x = x
        return np.abs(x)

    def backward(ctx, g):
        return g * np.sign(ctx.x)


class Clamp(Function):
    """y = x held between low and high;  ∂y/∂x = 1 inside and on the bounds, 0 outside"""

    def forward(ctx, x, low, high):
        ctx.inside = ((x >= low) if low is not None else True) & ((x <= high) if high is not None else True)
        return np.clip(x, low, high)

    def backward(ctx, g):
        return g * ctx.inside


class Clone(Function):
    """y = a copy of x;  ∂y/∂x = 1"""

    def forward(ctx, x):
        return x.copy()

    def backward(ctx, g):
        return g


@method()
def exp(input: Tensor) -> Tensor:
    """eˣ of each number"""
    return Exp.apply(floating(input))


@method()
def log(input: Tensor) -> Tensor:
    """natural logarithm of each number"""
    return Log.apply(floating(input))


@method()
def log1p(input: Tensor) -> Tensor:
    """ln(1 + x) of each number, exact near 0"""
    return Log1p.apply(floating(input))


@method()
def sqrt(input: Tensor) -> Tensor:
    """square root of each number"""
    return Sqrt.apply(floating(input))


@method()
def rsqrt(input: Tensor) -> Tensor:
    """1 / √x of each number"""
    return 1 / sqrt(input)


@method()
def square(input: Tensor) -> Tensor:
    """x · x of each number"""
    return input * input


@method()
def sin(input: Tensor) -> Tensor:
    """sine of each number, in radians"""
    return Sin.apply(floating(input))


@method()
def cos(input: Tensor) -> Tensor:
    """cosine of each number, in radians"""
    return Cos.apply(floating(input))


@method("abs", "__abs__")
def abs(input: Tensor) -> Tensor:
    """|x| of each number"""
    return Abs.apply(input)


@method("clamp", "clip")
def clamp(input: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """Each number held between min and max; at least one of them must be given."""
    low, high = clamp_bounds(min, max)
    dtype = promote(input, *(bound for bound in (low, high) if bound is not None))
    return Clamp.apply(cast(input, dtype), low, high)


def clamp_bounds(*bounds: Any) -> list[Any]:
    """Python's numbers, or None for no bound. Raises ValueError for none at all, TypeError for tensors."""
    if any(isinstance(bound, Tensor) for bound in bounds):
        raise TypeError("clamp: min and max are numbers; between tensors use maximum and minimum")
    if all(bound is None for bound in bounds):
        raise ValueError("clamp: give min, max or both")
    return [bound.item() if isinstance(bound, np.generic) else bound for bound in bounds]


@method()
def clone(input: Tensor) -> Tensor:
    """A copy that stays in the graph."""
    return Clone.apply(input)


@method()
def contiguous(input: Tensor) -> Tensor:
    """The tensor itself where its rows lie one after another in memory, else such a copy."""
    return input if input.is_contiguous() else Clone.apply(input)


# ---------------------------------------------------------------- no gradient


def _plain(name: str, function: Any, doc: str) -> Any:
    def op(input: Tensor) -> Tensor:
        return Tensor(function(as_tensor(input).array))

    op.__name__ = op.__qualname__ = name
    op.__doc__ = doc
    return method(name)(op)


sign = _plain("sign", np.sign, "−1, 0 or 1 for each number; no gradient")
floor = _plain("floor", np.floor, "the next whole number below; no gradient")
ceil = _plain("ceil", np.ceil, "the next whole number above; no gradient")
round = _plain("round", np.round, "the nearest whole number, of two the even; no gradient")
isnan = _plain("isnan", np.isnan, "whether each number is NaN")
isinf = _plain("isinf", np.isinf, "whether each number is infinite")
isfinite = _plain("isfinite", np.isfinite, "whether each number is neither NaN nor infinite")
