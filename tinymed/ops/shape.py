"""Ops that change a shape and no number: reshape, transpose, expand, flip."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np

from tinymed.autograd import Function
from tinymed.ops.axes import axes, axis_of
from tinymed.tensor import Tensor, method


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
        ctx.back = sorted(range(len(dims)), key=dims.__getitem__)  # where each axis stood
        return x.transpose(dims)

    def backward(ctx, g):
        return g.transpose(ctx.back)


class Expand(Function):
    """x repeated along axes of size 1, without a copy;  the gradient is summed over the repeats (by the sweep)"""

    is_view = True

    def forward(ctx, x, shape):
        return np.broadcast_to(x, shape)

    def backward(ctx, g):
        return g


class Flip(Function):
    """x read backwards along some axes;  so is the gradient"""

    def forward(ctx, x, axis):
        ctx.axis = axis
        return np.flip(x, axis).copy()  # in NumPy it is a view, in PyTorch not

    def backward(ctx, g):
        return np.flip(g, ctx.axis)


# ---------------------------------------------------------------- shapes


def _ints(sizes: tuple) -> tuple[int, ...]:
    """f(2, 3) and f((2, 3)) alike."""
    if len(sizes) == 1 and isinstance(sizes[0], tuple | list):
        sizes = tuple(sizes[0])
    return tuple(operator.index(n) for n in sizes)  # TypeError for 2.5


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
    x = input if input.ndim else reshape(input, 1)
    a, b = axis_of("flatten", x, start_dim), axis_of("flatten", x, end_dim)
    if a > b:
        raise ValueError(f"flatten: start_dim {start_dim} comes after end_dim {end_dim} in shape {input.shape}")
    return Reshape.apply(x, (*x.shape[:a], math.prod(x.shape[a : b + 1]), *x.shape[b + 1 :]))


@method()
def unflatten(input: Tensor, dim: int, sizes: tuple[int, ...]) -> Tensor:
    """One axis as several, of the given sizes (one may be −1)."""
    k = axis_of("unflatten", input, dim)
    return reshape(input, *input.shape[:k], *sizes, *input.shape[k + 1 :])


@method()
def permute(input: Tensor, *dims: Any) -> Tensor:
    """The axes in another order."""
    order = axes_in_order("permute", input, _ints(dims))
    if sorted(order) != list(range(input.ndim)):
        raise ValueError(f"permute: {_ints(dims)} must name each axis of shape {input.shape} once")
    return Permute.apply(input, order)


def axes_in_order(name: str, x: Tensor, dims: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis_of(name, x, d) for d in dims)


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
    gone = () if dim == () else axes("squeeze", input, dim)
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
    if lead < 0 or -1 in wanted[:lead] or any(o not in (1, n) for o, n in zip(own, shape)):
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
    """Read backwards along dims, a copy."""
    return Flip.apply(input, tuple(axis_of("flip", input, d) for d in _ints(dims)))
