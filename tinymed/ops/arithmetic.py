"""Ops on two operands, number by number: arithmetic, powers, maximum, where, comparisons."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.autograd import Function, refuse_two_devices
from tinymed.ops.dtypes import floating, operands, promote, scalar_like
from tinymed.tensor import Tensor, as_tensor, method

# ---------------------------------------------------------------- arithmetic


class Add(Function):
    """y = a + b;  ∂y/∂a = 1,  ∂y/∂b = 1"""

    def forward(ctx, a, b):
        return a + b

    def backward(ctx, g):
        return g, g


class Sub(Function):
    """y = a − b;  ∂y/∂a = 1,  ∂y/∂b = −1"""

    def forward(ctx, a, b):
        return a - b

    def backward(ctx, g):
        return g, -g if ctx.needs[1] else None


class Mul(Function):
    """y = a · b;  ∂y/∂a = b,  ∂y/∂b = a"""

    def forward(ctx, a, b):
        ctx.a, ctx.b = a, b
        return a * b

    def backward(ctx, g):
        return g * ctx.b if ctx.needs[0] else None, g * ctx.a if ctx.needs[1] else None


class Div(Function):
    """y = a / b;  ∂y/∂a = 1/b,  ∂y/∂b = −a/b²"""

    def forward(ctx, a, b):
        ctx.a, ctx.b = a, b
        return a / b

    def backward(ctx, g):
        return g / ctx.b, -g * ctx.a / (ctx.b * ctx.b) if ctx.needs[1] else None


class Neg(Function):
    """y = −x;  ∂y/∂x = −1"""

    def forward(ctx, x):
        return -x

    def backward(ctx, g):
        return -g


class Pow(Function):
    """y = a^b;  ∂y/∂a = b·a^(b−1),  ∂y/∂b = a^b·ln a"""

    def forward(ctx, a, b):
        ctx.a, ctx.b, ctx.y = a, b, np.power(a, b)
        return ctx.y

    def backward(ctx, g):
        a, b = (v if hasattr(v, "ndim") else scalar_like(ctx.y, v, ctx.y.dtype) for v in (ctx.a, ctx.b))
        grad_a = grad_b = None
        if ctx.needs[0]:  # where b = 0, 0 whatever a is
            grad_a = np.where(b == 0, 0, g * b * np.power(a, np.where(b == 0, 1, b - 1)))
        if ctx.needs[1]:  # where a = 0 and b is not negative, y stays 0
            grad_b = g * ctx.y * np.log(np.where((a == 0) & (b >= 0), 1, a))
        return grad_a, grad_b


class Maximum(Function):
    """y = max(a, b);  the gradient goes to the larger, half to each at a tie"""

    pick: np.ufunc = np.maximum
    wins: np.ufunc = np.greater

    def forward(ctx, a, b):
        ctx.tie, ctx.first = np.equal(a, b), ctx.wins(a, b)
        return ctx.pick(a, b)

    def backward(ctx, g):
        half = g * ctx.tie / 2
        return g * ctx.first + half, g * ~(ctx.first | ctx.tie) + half


class Minimum(Maximum):
    """y = min(a, b);  the gradient goes to the smaller, half to each at a tie"""

    pick = np.minimum
    wins = np.less


class Where(Function):
    """y = a where the condition holds, else b;  the gradient goes where the value came from"""

    def forward(ctx, condition, a, b):
        ctx.condition = condition
        return np.where(condition, a, b)

    def backward(ctx, g):
        return None, np.where(ctx.condition, g, 0), np.where(ctx.condition, 0, g)


# ---------------------------------------------------------------- the functions


@method("add", "__add__", "__radd__")
def add(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """input + alpha · other"""
    return _binary(Add, "add", input, other if alpha == 1 else mul(other, alpha))


@method("sub", "__sub__")
def sub(input: Any, other: Any, *, alpha: float = 1) -> Tensor:
    """input − alpha · other"""
    return _binary(Sub, "sub", input, other if alpha == 1 else mul(other, alpha))


@method("mul", "multiply", "__mul__", "__rmul__")
def mul(input: Any, other: Any) -> Tensor:
    """input · other, number by number"""
    return _binary(Mul, "mul", input, other)


@method("div", "divide", "__truediv__")
def div(input: Any, other: Any) -> Tensor:
    """input / other; of integers, in float32"""
    a, b = operands(input, other)
    return _binary(Div, "div", floating(a), floating(b))


@method("pow", "__pow__")
def pow(input: Any, exponent: Any) -> Tensor:
    """input ^ exponent"""
    return _binary(Pow, "pow", input, exponent)


@method("__rsub__")
def _rsub(self: Tensor, other: Any) -> Tensor:
    return sub(other, self)


@method("__rtruediv__")
def _rdiv(self: Tensor, other: Any) -> Tensor:
    return div(other, self)


@method("__rpow__")
def _rpow(self: Tensor, other: Any) -> Tensor:
    return pow(other, self)


@method("neg", "__neg__")
def neg(input: Tensor) -> Tensor:
    """−input"""
    return Neg.apply(input)


@method()
def maximum(input: Any, other: Any) -> Tensor:
    """The larger of two, number by number."""
    return _binary(Maximum, "maximum", input, other)


@method()
def minimum(input: Any, other: Any) -> Tensor:
    """The smaller of two, number by number."""
    return _binary(Minimum, "minimum", input, other)


def where(condition: Tensor, input: Any, other: Any) -> Tensor:
    """input where the condition holds, else other."""
    condition = as_tensor(condition)
    if condition.dtype != bool:
        raise TypeError(f"where: the condition must be bool, got {condition.dtype}; compare first, such as x > 0")
    a, b = operands(input, other)
    dtype = promote(a, b)
    like = condition.array
    return Where.apply(condition, *(v if isinstance(v, Tensor) else scalar_like(like, v, dtype) for v in (a, b)))


@method("floor_divide", "__floordiv__")
def floor_divide(input: Any, other: Any) -> Tensor:
    """⌊input / other⌋; no gradient"""
    return _plain(np.floor_divide, input, other)


@method("__rfloordiv__")
def _rfloordiv(self: Tensor, other: Any) -> Tensor:
    return floor_divide(other, self)


@method("remainder", "__mod__")
def remainder(input: Any, other: Any) -> Tensor:
    """input − other · ⌊input / other⌋, of other's sign; no gradient"""
    return _plain(np.remainder, input, other)


@method("__rmod__")
def _rmod(self: Tensor, other: Any) -> Tensor:
    return remainder(other, self)


def _binary(op: type[Function], name: str, a: Any, b: Any) -> Tensor:
    a, b = operands(a, b)
    try:
        return op.apply(a, b)
    except ValueError as error:
        if "broadcast" not in str(error):
            raise
        raise ValueError(
            f"{name}: shapes {np.shape(_raw(a))} and {np.shape(_raw(b))} do not broadcast; "
            "from the last axis backwards, two sizes must be equal or one of them 1"
        ) from None


# ---------------------------------------------------------------- comparisons and bits: no gradient


def _raw(value: Any) -> Any:
    return value.array if isinstance(value, Tensor) else value


def _plain(function: Any, a: Any, b: Any) -> Tensor:
    a, b = operands(a, b)
    try:
        return Tensor(function(_raw(a), _raw(b)))
    except TypeError:
        refuse_two_devices(function.__name__, (a, b))
        raise


def _comparison(function: Any, *names: str) -> Any:
    def compare(input: Any, other: Any) -> Tensor:
        return _plain(function, input, other)

    compare.__name__ = compare.__qualname__ = names[0]
    compare.__doc__ = f"{function.__name__.replace('_', ' ')}, number by number, as a bool tensor."
    return method(*names)(compare)


eq = _comparison(np.equal, "eq", "__eq__")
ne = _comparison(np.not_equal, "ne", "__ne__")
lt = _comparison(np.less, "lt", "__lt__")
le = _comparison(np.less_equal, "le", "__le__")
gt = _comparison(np.greater, "gt", "__gt__")
ge = _comparison(np.greater_equal, "ge", "__ge__")
logical_and = _comparison(np.logical_and, "logical_and")
logical_or = _comparison(np.logical_or, "logical_or")
logical_not = method("logical_not")(lambda input: Tensor(np.logical_not(input.array)))
bitwise_and = _comparison(np.bitwise_and, "bitwise_and", "__and__", "__rand__")
bitwise_or = _comparison(np.bitwise_or, "bitwise_or", "__or__", "__ror__")
bitwise_xor = _comparison(np.bitwise_xor, "bitwise_xor", "__xor__", "__rxor__")
bitwise_not = method("bitwise_not", "__invert__")(lambda input: Tensor(np.invert(input.array)))


@method()
def equal(input: Tensor, other: Tensor) -> bool:
    """Whether shapes and all numbers are the same."""
    refuse_two_devices("equal", (input, other))
    return bool(np.array_equal(input.array, other.array))


@method()
def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether |input − other| ≤ atol + rtol · |other| everywhere."""
    refuse_two_devices("allclose", (input, other))
    return bool(np.allclose(input.array, other.array, rtol, atol, equal_nan))
