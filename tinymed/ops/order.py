"""Ops that compare: the largest, the smallest, where they stand, and sorting."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from tinymed.ops.arithmetic import maximum, minimum
from tinymed.ops.axes import Dim, Reduction, axis_of, filled
from tinymed.ops.index import gather
from tinymed.tensor import Tensor, method


class ValuesIndices(NamedTuple):
    """What max, min and sort return along one axis."""

    values: Tensor
    indices: Tensor


class Amax(Reduction):
    """y = max x;  the gradient is shared evenly among the largest"""

    best = "max"

    def forward(ctx, x, axis, keepdim):
        ctx.remember(x, axis)
        y = getattr(x, ctx.best)(axis=axis, keepdims=True)
        ctx.axis, ctx.chosen = axis, x == y
        return y if keepdim else y.squeeze(axis)

    def backward(ctx, g):
        return ctx.spread(g) * ctx.chosen / ctx.chosen.sum(axis=ctx.axis, keepdims=True, dtype=g.dtype)


class Amin(Amax):
    """y = min x;  the gradient is shared evenly among the smallest"""

    best = "min"


@method()
def amax(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The largest over dim; ties share the gradient"""
    return Amax.apply(input, filled("amax", input, dim), keepdim)


@method()
def amin(input: Tensor, dim: Dim = None, keepdim: bool = False) -> Tensor:
    """The smallest over dim; ties share the gradient"""
    return Amin.apply(input, filled("amin", input, dim), keepdim)


@method()
def max(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The largest of all; with dim, (values, indices) along it; with a tensor, `maximum`."""
    if isinstance(dim, Tensor):
        return maximum(input, dim)
    return amax(input) if dim is None else _picked(input, dim, argmax(input, dim, keepdim=True), keepdim)


@method()
def min(input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The smallest of all; with dim, (values, indices) along it; with a tensor, `minimum`."""
    if isinstance(dim, Tensor):
        return minimum(input, dim)
    return amin(input) if dim is None else _picked(input, dim, argmin(input, dim, keepdim=True), keepdim)


def _picked(x: Tensor, dim: int, indices: Tensor, keepdim: bool) -> ValuesIndices:
    values = gather(x, dim, indices) if x.ndim else x.clone()
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
    filled(name, x, dim)
    return Tensor(function(x.array, axis=dim, keepdims=keepdim).astype(np.int64))


@method()
def argsort(input: Tensor, dim: int = -1, descending: bool = False) -> Tensor:
    """The indices that would sort along dim; equal numbers keep their order."""
    axis = axis_of("argsort", input, dim)
    if not descending:
        return Tensor(np.argsort(input.array, axis=axis, kind="stable"))
    backwards = np.argsort(np.flip(input.array, axis), axis=axis, kind="stable")
    return Tensor(np.flip(input.shape[axis] - 1 - backwards, axis))


@method()
def sort(input: Tensor, dim: int = -1, descending: bool = False) -> ValuesIndices:
    """(values, indices) in order along dim; the gradient flows through the values."""
    indices = argsort(input, dim, descending)
    return ValuesIndices(gather(input, dim, indices), indices)


@method()
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> ValuesIndices:
    """(values, indices) of the k largest, or smallest, along dim, the most extreme first; differentiable."""
    axis = axis_of("topk", input, dim)
    if not 0 <= k <= input.shape[axis]:
        raise ValueError(f"topk: k must be 0…{input.shape[axis]}, the size of dim {dim} of {input.shape}, got {k}")
    indices = argsort(input, dim, descending=largest)[(slice(None),) * axis + (slice(k),)]
    return ValuesIndices(gather(input, dim, indices), indices)
