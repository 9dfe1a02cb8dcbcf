"""Tensors put together and taken apart: cat, stack, borders, split."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import numpy as np

from tinymed.autograd import Function
from tinymed.ops.axes import axis_of
from tinymed.ops.dtypes import cast, promote
from tinymed.ops.index import getitem, index_select
from tinymed.ops.shape import unsqueeze
from tinymed.tensor import Tensor, method


class Cat(Function):
    """y = the xs one after another along an axis;  the gradient is cut at the seams"""

    def forward(ctx, axis, *xs):
        ctx.axis, ctx.seams = axis, list(accumulate(x.shape[axis] for x in xs[:-1]))
        return np.concatenate(xs, axis)

    def backward(ctx, g):
        return None, *np.split(g, ctx.seams, ctx.axis)


class Pad(Function):
    """x with constant borders, widths given axis by axis (negative: cropped);  the gradient loses its borders"""

    def forward(ctx, x, widths, value):
        ctx.widths = widths
        return _bordered(x, widths, value)

    def backward(ctx, g):
        return _bordered(g, [(-a, -b) for a, b in ctx.widths], 0)  # a border of −a undoes one of a


def _bordered(x: np.ndarray, widths: Any, value: float) -> np.ndarray:
    inside = tuple(slice(max(-a, 0), n - max(-b, 0)) for n, (a, b) in zip(x.shape, widths))
    return np.pad(x[inside], [(max(a, 0), max(b, 0)) for a, b in widths], constant_values=value)


# ---------------------------------------------------------------- joins and borders


def cat(tensors: Any, dim: int = 0) -> Tensor:
    """Tensors one after another along an axis; all other sizes must agree. Those of shape (0,) are passed over."""
    tensors = list(tensors)
    if not tensors:
        raise ValueError("cat: expected at least one tensor")
    dtype = promote(*tensors)
    tensors = [x for x in tensors if x.shape != (0,)] or tensors[:1]
    axis = axis_of("cat", tensors[0], dim)
    rest = [tuple(n for k, n in enumerate(x.shape) if k != axis) for x in tensors]
    if any(r != rest[0] or x.ndim != tensors[0].ndim for r, x in zip(rest, tensors)):
        raise ValueError(f"cat: shapes {[x.shape for x in tensors]} may differ only along dim {dim}")
    return Cat.apply(axis, *(cast(x, dtype) for x in tensors))


def stack(tensors: Any, dim: int = 0) -> Tensor:
    """Tensors of one shape along a new axis."""
    tensors = list(tensors)
    if len({x.shape for x in tensors}) != 1:
        raise ValueError(f"stack: expected tensors of one shape, got {[x.shape for x in tensors]}")
    return cat([unsqueeze(x, dim) for x in tensors], dim)


def pad(input: Tensor, pad: Any, mode: str = "constant", value: float | None = None) -> Tensor:
    """Borders around x: pad = (left, right, top, bottom, …), the last axis first; negative widths crop.

    mode: "constant" (of value, 0 if None), "reflect" or "replicate". Raises ValueError for widths that do not fit.
    """
    pad = tuple(pad)
    if len(pad) % 2 or len(pad) > 2 * input.ndim:
        raise ValueError(f"pad: expected a pair of widths for up to {input.ndim} axes of {input.shape}, got {pad}")
    widths = [(0, 0)] * (input.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2]))[::-1]
    if any(n + min(a, 0) + min(b, 0) < 0 for n, (a, b) in zip(input.shape, widths)):
        raise ValueError(f"pad: {pad} crops more than shape {input.shape} has")
    if mode == "constant":
        return Pad.apply(input, tuple(widths), value or 0)
    if mode not in ("reflect", "replicate"):
        raise ValueError(f'pad: mode is "constant", "reflect" or "replicate", got {mode!r}')
    for axis, (a, b) in enumerate(widths):
        if a or b:
            n = input.shape[axis]
            if min(a, b) < 0 or (mode == "reflect" and max(a, b) >= n):
                raise ValueError(f"pad: {mode} by {(a, b)} does not fit dim {axis} of shape {input.shape}")
            cells = np.arange(n, like=input.array)
            source = np.pad(cells, (a, b), mode="reflect" if mode == "reflect" else "edge")
            input = index_select(input, axis, Tensor(source))
    return input


@method()
def split(input: Tensor, split_size_or_sections: int | list[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces of one size (the last may be smaller), or of the sizes given."""
    axis = axis_of("split", input, dim)
    n = input.shape[axis]
    if isinstance(split_size_or_sections, int):
        if split_size_or_sections < 1:
            raise ValueError(f"split: pieces of {split_size_or_sections} cannot fill dim {dim} of shape {input.shape}")
        ends = [*range(split_size_or_sections, n, split_size_or_sections), n]
    else:
        ends = list(np.cumsum(split_size_or_sections))
        if not ends or ends[-1] != n or min(split_size_or_sections) < 0:
            raise ValueError(
                f"split: sizes {list(split_size_or_sections)} must add up to {n}, dim {dim} of shape {input.shape}"
            )
    return tuple(getitem(input, (slice(None),) * axis + (slice(int(a), int(b)),)) for a, b in zip([0, *ends], ends))


@method()
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most so many pieces of equal size, the last possibly smaller."""
    axis = axis_of("chunk", input, dim)
    if chunks < 1:
        raise ValueError(f"chunk: {chunks} pieces cannot be made of shape {input.shape}")
    return split(input, max(-(-input.shape[axis] // chunks), 1), dim)


@method()
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along one axis, without that axis."""
    axis = axis_of("unbind", input, dim)
    return tuple(getitem(input, (slice(None),) * axis + (k,)) for k in range(input.shape[axis]))
