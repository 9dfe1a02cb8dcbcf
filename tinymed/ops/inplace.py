"""Writing into a tensor. What a graph still needs cannot be written over: such writes are refused.

A tensor made by an op can never be written to; a leaf that requires grad only inside no_grad(). Any other may,
and its version counts the writes, so that a backward which had kept the old numbers refuses to go on.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.autograd import modes, refuse_two_devices
from tinymed.cuda import moved
from tinymed.ops.dtypes import tensor_or_number
from tinymed.ops.elementwise import clamp_bounds
from tinymed.ops.index import view_and_picks
from tinymed.random import Generator, default_generator
from tinymed.tensor import Tensor, is_writable, method


def _writable(x: Tensor, what: str) -> np.ndarray:
    if not x.is_leaf:
        raise ValueError(
            f"{what} would overwrite the result of {type(x.grad_fn).__name__}, which backward may still need; "
            "make a new tensor instead (y = x + 1), or write to x.detach().clone()"
        )
    if x.requires_grad and modes.grad:
        raise ValueError(
            f"{what} would overwrite a leaf that requires grad (shape {x.shape}); "
            "do it inside `with tinymed.no_grad():`"
        )
    if not is_writable(x.array):
        raise ValueError(f"{what}: this tensor stands on read-only memory; write to x.clone()")
    x._version[0] += 1
    return x.array


def _value(x: Tensor, what: str, value: Any) -> Any:
    given, value = value, tensor_or_number(value)
    if isinstance(value, Tensor) and value.requires_grad and modes.grad:
        raise ValueError(
            f"{what} with a value that requires grad would lose its gradient; "
            "build the result with where, cat or stack, or use no_grad()"
        )
    if not isinstance(value, Tensor):
        return value
    return value.array if value is given else moved(value.array, x.device)  # lists and NumPy's have no device


def _copied(x: Tensor, what: str, value: Any) -> Any:
    """As _value, from whichever device."""
    value = _value(x, what, value)
    return moved(value, x.device) if hasattr(value, "shape") else value


@method("__setitem__")
def setitem(input: Tensor, index: Any, value: Any) -> None:
    """x[index] = value"""
    value = _copied(input, "x[…] = value", value)
    view, picks = view_and_picks(index, input.device)
    _writable(input, "x[…] = value")[view][... if picks is None else picks] = value


def _operation(name: str, symbol: str, function: Any, dunder: str) -> None:
    def write(self: Tensor, other: Any) -> Tensor:
        value = _value(self, symbol, other)
        try:
            function(self.array, value, out=_writable(self, symbol), casting="same_kind")
        except TypeError:
            refuse_two_devices(symbol, (self, other))
            raise TypeError(f"{symbol}: the result is no {self.dtype}; make a new tensor instead") from None
        return self

    write.__name__ = write.__qualname__ = name
    write.__doc__ = f"`{symbol}`, into the tensor's own memory."
    method(name, dunder)(write)


_operation("add_", "x += value", np.add, "__iadd__")
_operation("sub_", "x -= value", np.subtract, "__isub__")
_operation("mul_", "x *= value", np.multiply, "__imul__")
_operation("div_", "x /= value", np.true_divide, "__itruediv__")


@method()
def copy_(self: Tensor, source: Any) -> Tensor:
    """Takes over source's numbers, from whichever device they are on."""
    value = _copied(self, "x.copy_(source)", source)
    _writable(self, "x.copy_(source)")[...] = value
    return self


@method()
def fill_(self: Tensor, value: float) -> Tensor:
    """All become value."""
    _writable(self, "x.fill_(value)")[...] = value
    return self


@method()
def zero_(self: Tensor) -> Tensor:
    """All become 0."""
    return fill_(self, 0)


@method()
def clamp_(self: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """Each number held between min and max."""
    low, high = clamp_bounds(min, max)
    array = _writable(self, "x.clamp_()")
    np.clip(array, low, high, out=array)
    return self


@method()
def uniform_(self: Tensor, a: float = 0.0, b: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fresh random numbers, uniform in [a, b)."""
    drawn = (generator or default_generator).numpy.uniform(a, b, self.shape)
    _writable(self, "x.uniform_()")[...] = moved(drawn, self.device)
    return self


@method()
def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0, *, generator: Generator | None = None) -> Tensor:
    """Fresh random numbers, normal."""
    drawn = (generator or default_generator).numpy.normal(mean, std, self.shape)
    _writable(self, "x.normal_()")[...] = moved(drawn, self.device)
    return self
