"""Normalisation, embedding, dropout: the layers between the layers."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from tinymed.autograd import Function
from tinymed.kernels.cupy_dropout import Dropped
from tinymed.ops.checks import checks_values, first_of
from tinymed.ops.index import scattered
from tinymed.random import Generator, default_generator
from tinymed.tensor import Tensor


class Standardize(Function):
    """x̂ = (x − μ) / √(σ² + ε), with μ and σ² over the given axes

    ∂L/∂x = (g − mean(g) − x̂ · mean(g·x̂)) / √(σ² + ε): what moves μ or σ² cancels out.
    Batch, layer and group normalisation differ in the axes alone.   (Ioffe & Szegedy 2015; Ba 2016; Wu & He 2018)
    """

    def forward(ctx, x, axis, eps):
        ctx.axis = axis
        centred = x - x.mean(axis=axis, keepdims=True)  # two passes: E[x²] − μ² cancels at a large mean
        ctx.scale = 1 / np.sqrt(np.square(centred).mean(axis=axis, keepdims=True) + eps)
        ctx.y = centred * ctx.scale
        return ctx.y

    def backward(ctx, g):
        mean_g = g.mean(axis=ctx.axis, keepdims=True)
        mean_gy = (g * ctx.y).mean(axis=ctx.axis, keepdims=True)
        return (g - mean_g - ctx.y * mean_gy) * ctx.scale


class Embedding(Function):
    """y[…] = w[index[…]], a row of the table for each index;  ∂L/∂w[k] = Σ of g where index = k"""

    def forward(ctx, w, index, padding_idx):
        ctx.like, ctx.index, ctx.padding_idx = w, index, padding_idx
        return w[index]

    def backward(ctx, g):
        gw = scattered(g, ctx.index, ctx.like)
        if ctx.padding_idx is not None:
            gw[ctx.padding_idx] = 0
        return gw


class Dropout(Function):
    """y = x · m / (1 − p), each m 0 with probability p, else 1: the mean stays;  ∂y/∂x = m / (1 − p)

    On a GPU m is not kept but drawn again for the gradient, unless it is one for a whole channel.
    """

    def forward(ctx, x, p, generator, drawn):
        if drawn == x.shape and not isinstance(x, np.ndarray):
            ctx.thinned = Dropped(x, p, generator.on_gpu()).of
        else:
            keep = generator.uniform(drawn, x) >= p
            ctx.thinned = partial(np.multiply, keep * x.dtype.type(1 / (1 - p) if p < 1 else 0))
        return ctx.thinned(x)

    def backward(ctx, g):
        return ctx.thinned(g)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Each channel with mean 0 and variance 1 over batch and space, then · weight + bias.

    input (N,C,…). In training the batch's own statistics are used, and the running ones, where given, move
    towards them in place; else the running ones are used. Raises ValueError for one value a channel in training.
    """
    if input.ndim < 2:
        raise ValueError(f"batch_norm: expected x (N,C,…), got {input.shape}")
    C = input.shape[1]
    for name, value in (("running_mean", running_mean), ("weight", weight), ("bias", bias)):
        if value is not None and value.shape != (C,):
            raise ValueError(f"batch_norm: x {input.shape} has {C} channels, {name} has shape {value.shape}")
    column = (1, C) + (1,) * (input.ndim - 2)
    axis = (0, *range(2, input.ndim))
    if training or running_mean is None or running_var is None:
        n = input.numel() // max(C, 1)
        if n <= 1:
            raise ValueError(
                f"batch_norm: more than one value a channel is needed in training, got x {input.shape}; "
                "use a larger batch (drop_last=True) or model.eval()"
            )
        if training and running_mean is not None and running_var is not None:
            x = input.array
            for running, now in ((running_mean, x.mean(axis)), (running_var, x.var(axis, ddof=1))):
                running.array[...] += momentum * (now - running.array)
        y = Standardize.apply(input, axis, float(eps))
    else:
        y = (input - running_mean.reshape(column)) / (running_var.reshape(column) + eps).sqrt()
    return _affine(y, weight, bias, column)


def layer_norm(
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """The last axes, of normalized_shape, with mean 0 and variance 1 for each sample, then · weight + bias."""
    shape = tuple(normalized_shape) if isinstance(normalized_shape, tuple | list) else (normalized_shape,)
    if input.shape[input.ndim - len(shape) :] != shape:
        raise ValueError(f"layer_norm: x {input.shape} must end in normalized_shape {shape}")
    y = Standardize.apply(input, tuple(range(-len(shape), 0)), float(eps))
    return _affine(y, weight, bias, shape)


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Each group of channels of each sample with mean 0 and variance 1, then · weight + bias; input (N,C,…)."""
    if input.ndim < 2 or input.shape[1] % num_groups:
        raise ValueError(f"group_norm: {num_groups} groups do not divide the channels of x {input.shape}")
    N, C, *space = input.shape
    grouped = input.reshape(N, num_groups, C // num_groups, *space)
    y = Standardize.apply(grouped, tuple(range(2, grouped.ndim)), float(eps)).reshape(input.shape)
    return _affine(y, weight, bias, (1, C) + (1,) * (input.ndim - 2))


def _affine(y: Tensor, weight: Tensor | None, bias: Tensor | None, shape: tuple) -> Tensor:
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def embedding(input: Tensor, weight: Tensor, padding_idx: int | None = None) -> Tensor:
    """Rows of the table weight (V,D) for integer indices of any shape (…) → (…,D); padding_idx gets no gradient."""
    if input.dtype.kind not in "iu":
        raise TypeError(f"embedding: indices must be integers, got {input.dtype}; use x.long()")
    rows = len(weight)
    if checks_values() and (at := first_of((input.array < 0) | (input.array >= rows))) is not None:
        raise IndexError(
            f"embedding: index {input.array[at]} at {list(at)} is outside the table of {rows} rows (0…{rows - 1})"
        )
    if padding_idx is not None:
        padding_idx %= rows
    return Embedding.apply(weight, input.array, padding_idx)


def dropout(input: Tensor, p: float = 0.5, training: bool = True, generator: Generator | None = None) -> Tensor:
    """Zeroes each number with probability p and scales the others by 1/(1−p); in eval, x as it is."""
    return _dropped("dropout", input, p, training, generator, input.shape)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, generator: Generator | None = None) -> Tensor:
    """As dropout, of whole channels of x (N,C,H,W)        (Tompson et al. 2015)"""
    if input.ndim != 4:
        raise ValueError(f"dropout2d: expected x (N,C,H,W), got {input.shape}")
    return _dropped("dropout2d", input, p, training, generator, (*input.shape[:2], 1, 1))


def _dropped(name: str, x: Tensor, p: float, training: bool, generator: Generator | None, drawn: tuple) -> Tensor:
    """Dropout by draws of a shape that broadcasts to x's."""
    p = check_probability(name, p)
    return Dropout.apply(x, p, generator or default_generator, drawn) if training and p > 0 else x


def normalize(input: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x / max(‖x‖_p, eps) along dim: vectors of length 1"""
    return input / input.norm(p, dim, keepdim=True).clamp(min=eps)


def check_probability(name: str, p: float) -> float:
    """p, or ValueError where it is no number between 0 and 1."""
    if not isinstance(p, int | float) or not 0 <= p <= 1:
        raise ValueError(f"{name}: the probability p must be between 0 and 1, got {p!r}")
    return p
