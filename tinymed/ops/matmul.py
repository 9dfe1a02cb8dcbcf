"""Products: matmul of every rank, the fully connected layer, einsum."""

from __future__ import annotations

import string
from typing import Any

import numpy as np

from tinymed import kernels
from tinymed.autograd import Function
from tinymed.ops.dtypes import operands
from tinymed.tensor import Tensor, method


class Matmul(Function):
    """Y = A B, matrix by matrix over the leading axes;  ∂L/∂A = G Bᵀ,  ∂L/∂B = Aᵀ G"""

    def forward(ctx, a, b):
        ctx.a, ctx.b = a, b
        return kernels.matmul(a, b)

    def backward(ctx, g):
        ga = kernels.matmul(g, ctx.b.swapaxes(-1, -2)) if ctx.needs[0] else None
        gb = kernels.matmul(ctx.a.swapaxes(-1, -2), g) if ctx.needs[1] else None
        return ga, gb


class Linear(Function):
    """y = W x + b for every row x, the fully connected layer        (article 3.1.2, FC)

    x (…,I), w (O,I), b (O) → y (…,O);  ∂L/∂x = g W,  ∂L/∂W = Σ_rows g ⊗ x,  ∂L/∂b = Σ_rows g
    """

    def forward(ctx, x, w, b):
        ctx.rows, ctx.w, ctx.shape = x.reshape(-1, x.shape[-1]), w, x.shape
        y = kernels.matmul(ctx.rows, w.T)
        if b is not None:
            y += b
        return y.reshape(*x.shape[:-1], len(w))

    def backward(ctx, g):
        g = g.reshape(-1, len(ctx.w))
        gx = kernels.matmul(g, ctx.w).reshape(ctx.shape) if ctx.needs[0] else None
        gw = kernels.matmul(g.T, ctx.rows) if ctx.needs[1] else None
        return gx, gw, g.sum(axis=0) if ctx.needs[2] else None


class Einsum(Function):
    """y = Σ over the letters that the output lacks;  ∂L/∂xₖ: g and the other inputs, summed to xₖ's letters"""

    def forward(ctx, terms, out, *xs):
        ctx.terms, ctx.out, ctx.xs = terms, out, xs
        y = np.einsum(f"{','.join(terms)}->{out}", *xs, optimize=len(xs) > 2)
        return y.copy() if len(xs) == 1 else y  # "ij->ji" of one tensor is a view

    def backward(ctx, g):
        return None, None, *(ctx.one(k, g) if ctx.needs[k + 2] else None for k in range(len(ctx.xs)))

    def one(ctx, k, g):
        term, x = ctx.terms[k], ctx.xs[k]
        letters = "".join(dict.fromkeys(term))  # "ii" is a diagonal: one letter
        sources = [ctx.out, *ctx.terms[:k], *ctx.terms[k + 1 :]]
        known = "".join(a for a in letters if any(a in source for source in sources))
        gk = np.einsum(f"{','.join(sources)}->{known}", g, *ctx.xs[:k], *ctx.xs[k + 1 :])
        # a letter that stands nowhere else was summed over x alone: its gradient is the same all along it
        gk = gk[tuple(slice(None) if a in known else None for a in letters)]
        shape = [max(gk.shape[i], x.shape[term.index(a)]) for i, a in enumerate(letters)]
        if letters == term:
            return np.broadcast_to(gk, shape)
        gx = np.zeros_like(x)
        np.einsum(f"{term}->{letters}", gx)[...] = gk
        return gx


@method("matmul", "__matmul__", "mm", "bmm")
def matmul(input: Any, other: Any) -> Tensor:
    """input @ other for vectors, matrices and stacks of matrices, as in NumPy and PyTorch."""
    a, b = operands(input, other)
    if not a.ndim or not b.ndim:
        raise ValueError(f"matmul: both need at least one axis, got shapes {a.shape} and {b.shape}; use *")
    inner = b.shape[-2] if b.ndim > 1 else b.shape[0]
    if a.shape[-1] != inner:
        raise ValueError(f"matmul: {a.shape} @ {b.shape}: the inner sizes {a.shape[-1]} and {inner} differ")
    if any(m != n and 1 not in (m, n) for m, n in zip(a.shape[-3::-1], b.shape[-3::-1])):
        raise ValueError(f"matmul: {a.shape} @ {b.shape}: the sizes before the last two axes do not broadcast")
    row, column = a.ndim == 1, b.ndim == 1
    y = Matmul.apply(a.unsqueeze(0) if row else a, b.unsqueeze(1) if column else b)
    if column:
        y = y.squeeze(-1)
    return y.squeeze(-1 if column else -2) if row else y


@method("__rmatmul__")
def _rmatmul(self: Tensor, other: Any) -> Tensor:
    return matmul(other, self)


@method("dot")
def dot(input: Tensor, other: Tensor) -> Tensor:
    """Σ input · other of two vectors."""
    if input.ndim != 1 or input.shape != other.shape:
        raise ValueError(f"dot: expected two vectors of one size, got {input.shape} and {other.shape}")
    return matmul(input, other)


def einsum(equation: str, *tensors: Any) -> Tensor:
    """Σ of products by letters: einsum("bij,bjk->bik", a, b). Ellipses and repeated letters are understood."""
    if len(tensors) == 1 and isinstance(tensors[0], tuple | list):
        tensors = tuple(tensors[0])
    left, arrow, out = equation.replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(tensors):
        raise ValueError(f"einsum: {equation!r} names {len(terms)} tensors, got {len(tensors)}")
    spare = [c for c in string.ascii_letters if c not in equation]
    depths = [x.ndim - len(t.replace("...", "")) for t, x in zip(terms, tensors)]
    for term, x, depth in zip(terms, tensors, depths):
        if depth < 0 or (depth and "..." not in term):
            raise ValueError(f"einsum: {term!r} in {equation!r} does not fit shape {x.shape}")
    dots = "".join(spare[: max(depths)])
    terms = [t.replace("...", dots[len(dots) - d :]) for t, d in zip(terms, depths)]
    letters = "".join(terms)
    if not arrow:
        out = dots + "".join(sorted(c for c in set(letters) if letters.count(c) == 1 and c not in dots))
    out = out.replace("...", dots)
    sizes: dict[str, int] = {}
    for term, x in zip(terms, tensors):
        for letter, n in zip(term, x.shape):
            if letter not in dots and sizes.setdefault(letter, n) != n:
                raise ValueError(f"einsum: {letter!r} in {equation!r} is both {sizes[letter]} and {n}")
    if unknown := [c for c in out if c not in letters]:
        raise ValueError(f"einsum: the output of {equation!r} has {unknown[0]!r}, which no input has")
    return Einsum.apply(terms, out, *tensors)


def linear(input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """W x + b for every row: input (…,I), weight (O,I), bias (O) → (…,O). Raises ValueError for sizes that differ."""
    if not input.ndim or weight.ndim != 2 or input.shape[-1] != weight.shape[1]:
        features = weight.shape[1] if weight.ndim == 2 else "?"
        cure = ""
        if input.ndim > 2 and input[0].numel() == features:
            cure = "; flatten it first: x.flatten(1)"
        elif input.ndim > 1 and input.numel() == features:
            cure = "; is it one sample without its batch axis? Give the model x.unsqueeze(0)"
        raise ValueError(
            f"linear: expected x with {features} features on its last axis (weight {weight.shape}), "
            f"got x {input.shape}{cure}"
        )
    if input.dtype != weight.dtype:
        cure = "x.float() / 255 for pictures" if input.dtype == np.uint8 else f"x.to(tinymed.{weight.dtype})"
        raise TypeError(f"linear: x is {input.dtype} and w is {weight.dtype}; convert one: {cure}")
    if bias is not None and bias.shape != weight.shape[:1]:
        raise ValueError(f"linear: weight {weight.shape} needs a bias of shape {weight.shape[:1]}, got {bias.shape}")
    return Linear.apply(input, weight, bias)
