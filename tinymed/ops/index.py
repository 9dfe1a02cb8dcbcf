"""Picking numbers out: slices, indices, masks, triangles."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.autograd import Function
from tinymed.cuda import moved
from tinymed.kernels.cupy_scatter import scatter_add
from tinymed.ops.arithmetic import where
from tinymed.ops.axes import axis_of
from tinymed.ops.checks import checks_values, first_of
from tinymed.ops.dtypes import cast, scalar_like
from tinymed.tensor import Tensor, as_tensor, method


class Slice(Function):
    """y = x[slices, integers, None, …], a view;  ∂L/∂x is 0 but there"""

    is_view = True

    def forward(ctx, x, index):
        ctx.like, ctx.index = x, index
        return x[index]

    def backward(ctx, g):
        gx = np.zeros_like(ctx.like)
        gx[ctx.index] = g
        return gx


def scattered(g, index, like):
    """g at its places in an array of zeros, shaped like `like`; what was picked twice gets both gradients"""
    gx = np.zeros_like(like, order="C")
    (np.add.at if isinstance(gx, np.ndarray) else scatter_add)(gx, index, g)
    return gx


class Index(Function):
    """y = x[integer arrays or masks], a copy;  what was picked twice gets both gradients"""

    def forward(ctx, x, index):
        ctx.like, ctx.index = x, index
        return x[index]

    def backward(ctx, g):
        return scattered(g, ctx.index, ctx.like)


class Gather(Function):
    """y[i, j] = x[index[i, j], j] along axis 0, and so on;  each gradient goes back to where it was picked"""

    def forward(ctx, x, axis, index):
        ctx.like, ctx.axis, ctx.index = x, axis, index
        corner = tuple(slice(None) if k == axis else slice(n) for k, n in enumerate(index.shape))
        return np.take_along_axis(x[corner], index, axis)

    def backward(ctx, g):
        at = [np.arange(n, like=g).reshape(-1, *(1,) * (g.ndim - 1 - k)) for k, n in enumerate(g.shape)]
        at[ctx.axis] = ctx.index
        return scattered(g, tuple(at), ctx.like)


# ---------------------------------------------------------------- x[...]


@method("__getitem__")
def getitem(input: Tensor, index: Any) -> Tensor:
    """x[...] by integers, slices, None, Ellipsis (views), or by integer arrays and masks (copies)."""
    view, picks = view_and_picks(index, input.device)
    try:
        if picks is None or any(not _is_whole(part) for part in view):
            input = Slice.apply(input, view)
        return input if picks is None else Index.apply(input, picks)
    except IndexError as error:
        raise IndexError(f"indexing a tensor of shape {input.shape}: {error}") from None


def view_and_picks(index: Any, device: str) -> tuple[tuple, tuple | None]:
    """An index in two steps: what a view can do, then the arrays and masks, on the device (None where there are none).

    So integers come first, as in PyTorch: x[0, :, [2, 3]] is x[0][:, [2, 3]], where NumPy would turn the axes round.
    """
    view: list[Any] = []
    picks: list[Any] = []
    for part in map(_plain, index if isinstance(index, tuple) else (index,)):
        if _is_array(part):
            view += [slice(None)] * (part.ndim if part.dtype == bool else 1)
            picks.append(moved(part, device))
        else:
            view.append(part)
            if not isinstance(part, int):
                picks.append(part if part is Ellipsis else slice(None))
    if not any(part is Ellipsis for part in view):
        view.append(Ellipsis)  # so that NumPy gives a view even of one number
    return tuple(view), tuple(picks) if any(map(_is_array, picks)) else None


def _plain(part: Any) -> Any:
    """Tensors and lists as arrays, whole numbers of any kind as int."""
    if isinstance(part, list):
        part = np.asarray(part) if part else np.empty(0, np.int64)
    elif isinstance(part, Tensor):
        part = part.array
    elif isinstance(part, bool | np.generic):
        part = np.asarray(part)
    return int(part) if _is_array(part) and part.ndim == 0 and part.dtype.kind in "iu" else part


def _is_array(part: Any) -> bool:
    return hasattr(part, "ndim")  # of either device


def _is_whole(part: Any) -> bool:
    return part is Ellipsis or (isinstance(part, slice) and part == slice(None))


# ---------------------------------------------------------------- along an axis, by a mask


@method()
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[i, j, …] = x[…, index[i, j, …], …] along dim; index has as many axes as x."""
    axis = axis_of("gather", input, dim)
    if index.ndim != input.ndim:
        raise ValueError(f"gather: index {index.shape} must have as many axes as the tensor {input.shape}")
    at = first_of((index.array < 0) | (index.array >= input.shape[axis])) if checks_values() else None
    if at is not None:
        raise IndexError(f"gather: index {index.array[at]} is outside 0…{input.shape[axis] - 1}, dim {dim}")
    return Gather.apply(input, axis, index.array)


@method()
def nonzero(input: Tensor) -> Tensor:
    """Where the numbers are not 0: (how many, ndim) indices, row by row; no gradient."""
    return Tensor(np.argwhere(input.array))


@method()
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The given entries along one axis."""
    axis = axis_of("index_select", input, dim)
    return getitem(input, (slice(None),) * axis + (as_tensor(index),))


@method()
def masked_fill(input: Tensor, mask: Tensor, value: Any) -> Tensor:
    """value, a number, where the mask holds; the tensor elsewhere, in its own dtype."""
    if not isinstance(value, Tensor):
        if isinstance(value, float) and not input.is_floating_point():
            raise TypeError(f"masked_fill: {value} does not fit among {input.dtype}; convert first: x.float()")
        value = Tensor(scalar_like(input.array, value, input.dtype))
    return where(mask, cast(value, input.dtype), input)


def _triangle(name: str, keep: Any, doc: str) -> Any:
    def triangle(input: Tensor, diagonal: int = 0) -> Tensor:
        if input.ndim < 2:
            raise ValueError(f"{name}: expects a matrix, or a stack of them, got shape {input.shape}")
        whole = np.ones_like(input.array, bool, shape=input.shape[-2:])
        return masked_fill(input, Tensor(~keep(whole, diagonal)), 0)

    triangle.__name__ = triangle.__qualname__ = name
    triangle.__doc__ = doc
    return method(name)(triangle)


tril = _triangle("tril", np.tril, "The part on and below a diagonal; 0 above")
triu = _triangle("triu", np.triu, "The part on and above a diagonal; 0 below")
