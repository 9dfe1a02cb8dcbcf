"""Which axes an op runs over, and what takes a gradient back over axes that are gone."""

from __future__ import annotations

import math

import numpy as np

from tinymed.autograd import Function
from tinymed.tensor import Tensor

Dim = int | tuple[int, ...] | list[int] | None


def axes(name: str, x: Tensor, dim: Dim) -> tuple[int, ...]:
    """dim as a tuple of axes ≥ 0. Raises IndexError for one that x does not have."""
    if dim is None or dim == ():
        return tuple(range(x.ndim))
    dims = tuple(dim) if isinstance(dim, tuple | list) else (dim,)
    ndim = x.ndim or 1  # a 0-d tensor lets itself be reduced over dim 0
    for d in dims:
        if not -ndim <= d < ndim:
            raise IndexError(f"{name}: dim {d} does not exist in a tensor of shape {x.shape}")
    found = sorted({d % ndim for d in dims})
    if len(found) < len(dims):
        raise ValueError(f"{name}: dim {dim} names an axis of shape {x.shape} twice")
    return tuple(found) if x.ndim else ()


def axis_of(name: str, x: Tensor, dim: int) -> int:
    """The one axis that dim names. Raises IndexError for one that x does not have; a 0-d tensor has none."""
    if type(dim) is int and -x.ndim <= dim < x.ndim:
        return dim % x.ndim
    if not x.ndim:
        raise IndexError(f"{name}: a 0-d tensor has no dim {dim}; give it one first: x.reshape(1)")
    return axes(name, x, dim)[0]


def filled(name: str, x: Tensor, dim: Dim) -> tuple[int, ...]:
    """As axes. Raises ValueError where nothing stands along them."""
    axis = axes(name, x, dim)
    if math.prod(x.shape[k] for k in axis) == 0:
        raise ValueError(f"{name}: shape {x.shape} is empty along dim {dim}")
    return axis


class Reduction(Function):
    """A reduction over axes: remembers the shapes that take a gradient back over them."""

    def spread(ctx, g):
        return np.broadcast_to(np.reshape(g, ctx.kept), ctx.shape)

    def remember(ctx, x, axis):
        ctx.shape = x.shape
        ctx.kept = tuple(1 if k in axis else n for k, n in enumerate(x.shape))
        ctx.n = math.prod(x.shape[k] for k in axis)
