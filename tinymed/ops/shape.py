"""Ops that move numbers and compute none: reshape, transpose, slice, join, pad."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinymed.autograd import Function
from tinymed.ops.arithmetic import cast, promote
from tinymed.ops.reduce import axes
from tinymed.tensor import Tensor, as_tensor, method


class Reshape(Function):
    """The same numbers in another shape;  the gradient goes back to the old one"""

    is_view = True

    def forward(ctx, x, shape):
        ctx.shape = x.shape
        return x.reshape(shape)

    def backward(ctx, g):
        return g.reshape(ctx.shape)


class Permute(Function):
    """y[i_{p0}, i_{p1}, …] = x[i0, i1, …];  the gradient takes the inverse permutation"""

    is_view = True

    def forward(ctx, x, dims):
        ctx.dims = dims
        return x.transpose(dims)

    def backward(ctx, g):
        return g.transpose(np.argsort(ctx.dims))


class Expand(Function):
    """x repeated along axes of size 1, without a copy;  the gradient is summed over the repeats (by the sweep)"""

    def forward(ctx, x, shape):
        return np.broadcast_to(x, shape)

    def backward(ctx, g):
        return g


class Flip(Function):
    """x read backwards along some axes;  so is the gradient"""

    def forward(ctx, x, axis):
        ctx.axis = axis
        return np.flip(x, axis)

    def backward(ctx, g):
        return np.flip(g, ctx.axis)


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


class Index(Function):
    """y = x[integer arrays or masks], a copy;  what was picked twice gets both gradients"""

    def forward(ctx, x, index):
        ctx.like, ctx.index = x, index
        return x[index]

    def backward(ctx, g):
        gx = np.zeros_like(ctx.like)
        np.add.at(gx, ctx.index, g)
        return gx


class Gather(Function):
    """y[i, j] = x[index[i, j], j] along axis 0, and so on;  each gradient goes back to where it was picked"""

    def forward(ctx, x, axis, index):
        ctx.like, ctx.axis, ctx.index = x, axis, index
        corner = tuple(slice(None) if k == axis else slice(n) for k, n in enumerate(index.shape))
        return np.take_along_axis(x[corner], index, axis)

    def backward(ctx, g):
        gx = np.zeros_like(ctx.like)
        at = list(np.indices(ctx.index.shape, sparse=True))
        at[ctx.axis] = ctx.index
        np.add.at(gx, tuple(at), g)
        return gx


class Cat(Function):
    """y = the xs one after another along an axis;  the gradient is cut at the seams"""

    def forward(ctx, axis, *xs):
        ctx.axis, ctx.seams = axis, np.cumsum([x.shape[axis] for x in xs])[:-1]
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


# ---------------------------------------------------------------- shapes


def _ints(sizes: tuple) -> tuple[int, ...]:
    """f(2, 3) and f((2, 3)) alike."""
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    return tuple(int(n) for n in sizes)


@method("reshape", "view")
def reshape(input: Tensor, *shape: Any) -> Tensor:
    """The same numbers in another shape; one −1 is worked out."""
    sizes = _ints(shape)
    if sizes.count(-1) > 1:
        raise ValueError(f"reshape: only one size can be −1, got {sizes}")
    known = math.prod(n for n in sizes if n != -1)
    fits = input.numel() == known if -1 not in sizes else known > 0 and input.numel() % known == 0
    if not fits or any(n < -1 for n in sizes):
        raise ValueError(f"reshape: {input.numel()} numbers of shape {input.shape} do not fill shape {sizes}")
    return Reshape.apply(input, sizes)


@method()
def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The axes from start_dim to end_dim as one."""
    if input.ndim == 0:
        return reshape(input, 1)
    (a,), (b,) = axes("flatten", input, start_dim), axes("flatten", input, end_dim)
    if a > b:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} in shape {input.shape}")
    return reshape(input, *input.shape[:a], math.prod(input.shape[a : b + 1]), *input.shape[b + 1 :])


@method()
def unflatten(input: Tensor, dim: int, sizes: tuple[int, ...]) -> Tensor:
    """One axis as several, of the given sizes (one may be −1)."""
    (k,) = axes("unflatten", input, dim)
    return reshape(input, *input.shape[:k], *sizes, *input.shape[k + 1 :])


@method()
def permute(input: Tensor, *dims: Any) -> Tensor:
    """The axes in another order."""
    order = axes_in_order("permute", input, _ints(dims))
    if sorted(order) != list(range(input.ndim)):
        raise ValueError(f"permute: {_ints(dims)} must name each axis of shape {input.shape} once")
    return Permute.apply(input, order)


def axes_in_order(name: str, x: Tensor, dims: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axes(name, x, d)[0] for d in dims)


@method("transpose", "swapaxes")
def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """Two axes exchanged."""
    order = list(range(input.ndim))
    a, b = axes_in_order("transpose", input, (dim0, dim1))
    order[a], order[b] = order[b], order[a]
    return Permute.apply(input, tuple(order))


@method()
def movedim(input: Tensor, source: int, destination: int) -> Tensor:
    """One axis moved to another place, the others in their order."""
    a, b = axes_in_order("movedim", input, (source, destination))
    order = [k for k in range(input.ndim) if k != a]
    order.insert(b, a)
    return Permute.apply(input, tuple(order))


@method()
def t(input: Tensor) -> Tensor:
    """The transpose of a matrix; a vector as it is."""
    if input.ndim > 2:
        raise ValueError(f"t: expects at most 2 axes, got shape {input.shape}; use transpose or permute")
    return input if input.ndim < 2 else transpose(input, 0, 1)


method("T")(property(t))
method("mT")(property(lambda self: transpose(self, -1, -2)))


@method()
def squeeze(input: Tensor, dim: Any = None) -> Tensor:
    """Without the axes of size 1 (or without those of dim that have size 1)."""
    gone = axes("squeeze", input, dim)
    return reshape(input, [n for k, n in enumerate(input.shape) if k not in gone or n != 1])


@method()
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """With a new axis of size 1 at dim."""
    if not -input.ndim - 1 <= dim <= input.ndim:
        raise IndexError(f"unsqueeze: dim {dim} is out of place for shape {input.shape}")
    at = dim % (input.ndim + 1)
    return reshape(input, *input.shape[:at], 1, *input.shape[at:])


@method("expand", "broadcast_to")
def expand(input: Tensor, *sizes: Any) -> Tensor:
    """Axes of size 1 stretched to the given sizes, without a copy; −1 keeps a size."""
    wanted = _ints(sizes)
    lead = len(wanted) - input.ndim
    own = (1,) * lead + input.shape
    shape = tuple(o if n == -1 else n for o, n in zip(own, wanted))
    if lead < 0 or any(o not in (1, n) for o, n in zip(own, shape)):
        raise ValueError(f"expand: shape {input.shape} cannot become {wanted}; only axes of size 1 stretch")
    return Expand.apply(input, shape)


@method()
def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """Stretched to the other's shape."""
    return expand(input, other.shape)


@method()
def repeat(input: Tensor, *sizes: Any) -> Tensor:
    """Copies laid side by side, so many along each axis."""
    times = _ints(sizes)
    own = (1,) * (len(times) - input.ndim) + input.shape
    apart = reshape(input, [n for size in own for n in (1, size)])  # (1, a, 1, b) → (m, a, n, b)
    spread = expand(apart, [n for m, size in zip(times, own) for n in (m, size)])
    return reshape(spread, [m * size for m, size in zip(times, own)])


@method()
def flip(input: Tensor, *dims: Any) -> Tensor:
    """Read backwards along dims."""
    return Flip.apply(input, axes("flip", input, _ints(dims)))


# ---------------------------------------------------------------- parts


@method("__getitem__")
def getitem(input: Tensor, index: Any) -> Tensor:
    """x[...] by integers, slices, None, Ellipsis (views), or by integer arrays and masks (copies)."""
    index = plain_index(index)
    parts = index if isinstance(index, tuple) else (index,)
    basic = all(p is None or p is Ellipsis or isinstance(p, slice | int | np.integer) for p in parts)
    try:
        return (Slice if basic else Index).apply(input, index)
    except IndexError as error:
        raise IndexError(f"indexing a tensor of shape {input.shape}: {error}") from None


def plain_index(index: Any) -> Any:
    """An index whose tensors and lists have become arrays."""
    if isinstance(index, tuple):
        return tuple(plain_index(part) for part in index)
    if isinstance(index, Tensor):
        return index.array
    if isinstance(index, list):
        return np.asarray(index) if index else np.empty(0, np.int64)
    return index


@method()
def gather(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """y[i, j, …] = x[…, index[i, j, …], …] along dim; index has as many axes as x."""
    (axis,) = axes("gather", input, dim)
    if index.ndim != input.ndim:
        raise ValueError(f"gather: index {index.shape} must have as many axes as the tensor {input.shape}")
    outside = (index.array < 0) | (index.array >= input.shape[axis])
    if outside.any():
        raise IndexError(f"gather: index {index.array[outside][0]} is outside 0…{input.shape[axis] - 1}, dim {dim}")
    return Gather.apply(input, axis, index.array)


@method()
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The given entries along one axis."""
    (axis,) = axes("index_select", input, dim)
    return getitem(input, (slice(None),) * axis + (as_tensor(index),))


@method()
def masked_fill(input: Tensor, mask: Tensor, value: float) -> Tensor:
    """value where the mask holds, the tensor elsewhere."""
    from tinymed.ops.arithmetic import where

    return where(mask, value, input)


@method()
def split(input: Tensor, split_size_or_sections: int | list[int], dim: int = 0) -> tuple[Tensor, ...]:
    """Views of pieces of one size (the last may be smaller), or of the sizes given."""
    (axis,) = axes("split", input, dim)
    n = input.shape[axis]
    if isinstance(split_size_or_sections, int):
        if split_size_or_sections < 1:
            raise ValueError(f"split: pieces of {split_size_or_sections} cannot fill dim {dim} of shape {input.shape}")
        ends = [*range(split_size_or_sections, n, split_size_or_sections), n]
    else:
        ends = list(np.cumsum(split_size_or_sections))
        if not ends or ends[-1] != n:
            raise ValueError(
                f"split: sizes {list(split_size_or_sections)} must add up to {n}, dim {dim} of shape {input.shape}"
            )
    return tuple(getitem(input, (slice(None),) * axis + (slice(int(a), int(b)),)) for a, b in zip([0, *ends], ends))


@method()
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most so many pieces of equal size, the last possibly smaller."""
    (axis,) = axes("chunk", input, dim)
    return split(input, max(-(-input.shape[axis] // chunks), 1), dim)


@method()
def unbind(input: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """The slices along one axis, without that axis."""
    (axis,) = axes("unbind", input, dim)
    return tuple(getitem(input, (slice(None),) * axis + (k,)) for k in range(input.shape[axis]))


# ---------------------------------------------------------------- joins and borders


def cat(tensors: Any, dim: int = 0) -> Tensor:
    """Tensors one after another along an axis; all other sizes must agree."""
    tensors = list(tensors)
    if not tensors:
        raise ValueError("cat: expected at least one tensor")
    (axis,) = axes("cat", tensors[0], dim) or (-1,)
    rest = [tuple(n for k, n in enumerate(x.shape) if k != axis) for x in tensors]
    if axis == -1 or any(r != rest[0] or x.ndim != tensors[0].ndim for r, x in zip(rest, tensors)):
        raise ValueError(f"cat: shapes {[x.shape for x in tensors]} may differ only along dim {dim}")
    dtype = promote(*tensors)
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
            source = np.pad(np.arange(n), (a, b), mode="reflect" if mode == "reflect" else "edge")
            input = index_select(input, axis, Tensor(source))
    return input


# ---------------------------------------------------------------- order: no gradient through the indices


@method()
def argsort(input: Tensor, dim: int = -1, descending: bool = False) -> Tensor:
    """The indices that would sort along dim; equal numbers keep their order."""
    x = input.array if not descending else np.flip(input.array, dim)
    order = np.argsort(x, axis=dim, kind="stable")
    return Tensor(order if not descending else np.flip(x.shape[dim] - 1 - order, dim))


@method()
def sort(input: Tensor, dim: int = -1, descending: bool = False) -> Any:
    """(values, indices) in order along dim."""
    from tinymed.ops.reduce import ValuesIndices

    indices = argsort(input, dim, descending)
    return ValuesIndices(gather(input, dim, indices), indices)


def _triangle(name: str, keep: Any, doc: str) -> Any:
    def triangle(input: Tensor, diagonal: int = 0) -> Tensor:
        return input * Tensor(keep(np.ones(input.shape[-2:], input.dtype), diagonal))

    triangle.__name__ = triangle.__qualname__ = name
    triangle.__doc__ = doc
    return method(name)(triangle)


tril = _triangle("tril", np.tril, "The part on and below a diagonal; 0 above")
triu = _triangle("triu", np.triu, "The part on and above a diagonal; 0 below")
