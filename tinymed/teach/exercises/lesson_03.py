"""Exercises of lesson 03: pooling."""

from __future__ import annotations

import numpy as np

from tinymed.kernels import reference
from tinymed.kernels.shapes import PoolShape, pool_shape
from tinymed.teach.check import Case, Exercise

Array = np.ndarray


def _shape(x: tuple, size: int, stride: int, padding: int = 0) -> PoolShape:
    return pool_shape("pooling", x, (size, size), (stride, stride), (padding, padding))


def _windows(x: Array, size: int, stride: int) -> Array:
    """(N,C,OH,OW,size,size): every window, a view."""
    return np.lib.stride_tricks.sliding_window_view(x, (size, size), (2, 3))[:, :, ::stride, ::stride]


def _bordered(x: Array, padding: int, value: float) -> Array:
    return np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), constant_values=value)


NUMBERS = np.arange(1.0, 17).reshape(1, 1, 4, 4)

# ---------------------------------------------------------------- the largest of a window


def max_pool2d(x: Array, size: int, stride: int, padding: int) -> Array:
    return reference.max_pool2d(x, _shape(x.shape, size, stride, padding))[0]


def _images(rng: np.random.Generator) -> list[Case]:
    drawn = [((2, 3, 5, 5), 2, 2, 0), ((1, 2, 5, 6), 3, 1, 0), ((2, 1, 6, 5), 3, 2, 1), ((1, 1, 7, 7), 2, 3, 1)]
    return [
        {"x": NUMBERS.copy(), "size": 2, "stride": 2, "padding": 0},
        {"x": -NUMBERS, "size": 2, "stride": 2, "padding": 1},
        *({"x": rng.standard_normal(x) - 2, "size": k, "stride": s, "padding": p} for x, k, s, p in drawn),
    ]


def _one_cell_apart(x: Array, size: int, stride: int, padding: int) -> Array:
    _, _, OH, OW = max_pool2d(x, size, stride, padding).shape
    return max_pool2d(x, size, 1, padding)[:, :, :OH, :OW]


def _largest_over(y: Array, axes: tuple[int, ...]) -> Array:
    return np.broadcast_to(y.max(axes, keepdims=True), y.shape)


MAX_POOL = Exercise(
    "max_pool2d",
    3,
    "the largest of every window of x (N,C,H,W), for any stride and padding",
    max_pool2d,
    _images,
    {
        "the padding is 0, and beats negative numbers: what lies outside must never win, so it counts as −∞": (
            lambda x, size, stride, padding: _windows(_bordered(x, padding, 0), size, stride).max((-2, -1))
        ),
        "the largest so far begins at 0, and beats negative numbers: begin at −∞": (
            lambda x, size, stride, padding: np.maximum(0, max_pool2d(x, size, stride, padding))
        ),
        "the stride is taken to be the window: it need not be, windows may overlap or leave gaps": (
            lambda x, size, stride, padding: max_pool2d(x, size, size, padding)
        ),
        "the stride is forgotten: window (i, j) starts at row i·stride, column j·stride": (
            lambda x, size, stride, padding: max_pool2d(x, size, 1, padding)
        ),
        "y has the right size, but its windows start one cell apart: that of y[i, j] is at i·stride, j·stride": (
            _one_cell_apart
        ),
        "one maximum for all images and channels: each map is pooled by itself, .max((2, 3)) of a window": (
            lambda x, size, stride, padding: _largest_over(max_pool2d(x, size, stride, padding), (0, 1))
        ),
        "one maximum for all channels: each channel is pooled by itself": (
            lambda x, size, stride, padding: _largest_over(max_pool2d(x, size, stride, padding), (1,))
        ),
        "the padding is forgotten: a border of `padding` cells lies around the image": (
            lambda x, size, stride, padding: max_pool2d(x, size, stride, 0)
        ),
        "this is the average: max pooling keeps the largest": (
            lambda x, size, stride, padding: _windows(_bordered(x, padding, 0), size, stride).mean((-2, -1))
        ),
    },
)

# ---------------------------------------------------------------- and its gradient


def max_pool2d_grad(g: Array, x: Array, size: int, stride: int) -> Array:
    s = _shape(x.shape, size, stride)
    return reference.max_pool2d_grad(g, reference.max_pool2d(x, s)[1], s)


def _shared_out(g: Array, x: Array, size: int, stride: int, how: str) -> Array:
    """Every classic way to hand out g, by a loop over the windows."""
    gx = np.zeros_like(x)
    for n, c, i, j in np.ndindex(g.shape):
        at = n, c, slice(i * stride, i * stride + size), slice(j * stride, j * stride + size)
        won = x[at] == x[at].max()
        if how == "overwritten":
            gx[at].flat[won.argmax()] = g[n, c, i, j]
        elif how == "turned":
            gx[at][divmod(int(won.argmax()), size)[::-1]] += g[n, c, i, j]
        elif how == "last":
            gx[at][tuple(np.argwhere(won)[-1])] += g[n, c, i, j]
        else:
            gx[at] += won * g[n, c, i, j] / (won.sum() if how == "split" else 1)
    return gx


def _with_ties(rng: np.random.Generator) -> list[Case]:
    def case(x: Array, size: int, stride: int) -> Case:
        s = _shape(x.shape, size, stride)
        return {"g": rng.standard_normal(s.y), "x": x, "size": size, "stride": stride}

    hill = np.array([[[[1.0, 2, 1], [2, 9, 2], [1, 2, 1]]]])
    return [
        {"g": np.array([[[[1.0, 2], [3, 4]]]]), "x": NUMBERS.copy(), "size": 2, "stride": 2},
        {"g": np.array([[[[1.0, 2], [3, 4]]]]), "x": hill, "size": 2, "stride": 1},  # one cell wins four times
        case(np.ones((1, 1, 4, 4)), 2, 2),
        case(rng.integers(0, 3, (2, 3, 5, 5)).astype(float), 2, 2),
        case(rng.integers(0, 4, (1, 2, 6, 5)).astype(float), 3, 1),
        case(rng.standard_normal((2, 1, 7, 5)), 2, 3),
    ]


MAX_POOL_GRAD = Exercise(
    "max_pool2d_grad",
    3,
    "∂L/∂x (N,C,H,W) of max pooling from g (N,C,OH,OW) and x, no padding",
    max_pool2d_grad,
    _with_ties,
    {
        "every cell that equals the largest gets g: then a tie is paid out several times; only the first gets it": (
            lambda g, x, size, stride: _shared_out(g, x, size, stride, "all")
        ),
        "ties share g: the engine, like PyTorch, gives all of it to the first in reading order": (
            lambda g, x, size, stride: _shared_out(g, x, size, stride, "split")
        ),
        "the last of equals gets g: the engine, like PyTorch, takes the first in reading order": (
            lambda g, x, size, stride: _shared_out(g, x, size, stride, "last")
        ),
        "what a cell won in one window is overwritten by the next: a cell may win several, and collects with +=": (
            lambda g, x, size, stride: _shared_out(g, x, size, stride, "overwritten")
        ),
        "row and column of the winner are mixed up: argmax counts row by row, so divmod(…, size) gives (row, column)": (
            lambda g, x, size, stride: _shared_out(g, x, size, stride, "turned")
        ),
    },
    ("gx",),
)  # fmt: skip

# ---------------------------------------------------------------- the average


def avg_pool2d(x: Array, size: int, stride: int, padding: int, count_include_pad: bool) -> Array:
    sums = _windows(_bordered(x, padding, 0), size, stride).sum((-2, -1))
    inside = _windows(_bordered(np.ones_like(x), padding, 0), size, stride).sum((-2, -1))
    return sums / (size**2 if count_include_pad else inside)


def _averaged(rng: np.random.Generator) -> list[Case]:
    drawn = [((2, 3, 4, 6), 2, 2, 0), ((1, 2, 5, 5), 3, 2, 1), ((2, 1, 5, 4), 2, 1, 1)]
    names = "size", "stride", "padding"
    return [
        dict(zip(names, (2, 2, 0))) | {"x": NUMBERS.copy(), "count_include_pad": True},
        dict(zip(names, (2, 2, 1))) | {"x": np.ones((1, 1, 4, 4)), "count_include_pad": True},
        dict(zip(names, (2, 2, 1))) | {"x": np.ones((1, 1, 4, 4)), "count_include_pad": False},
        *(
            dict(zip(names, how)) | {"x": rng.standard_normal(x), "count_include_pad": bool(k % 2)}
            for k, (x, *how) in enumerate(drawn)
        ),
    ]


AVG_POOL = Exercise(
    "avg_pool2d",
    3,
    "the average of every window of x (N,C,H,W); padding counts as zeros or, without count_include_pad, not at all",
    avg_pool2d,
    _averaged,
    {
        "the padding always counts: without count_include_pad divide by the cells inside the image": (
            lambda x, size, stride, padding, count_include_pad: avg_pool2d(x, size, stride, padding, True)
        ),
        "the padding never counts: with count_include_pad every window is divided by size · size": (
            lambda x, size, stride, padding, count_include_pad: avg_pool2d(x, size, stride, padding, False)
        ),
        "k is size, but the window has size · size cells": (
            lambda x, size, stride, padding, count_include_pad: (
                avg_pool2d(x, size, stride, padding, count_include_pad) * (size if count_include_pad else 1)
            )
        ),
        "every window is divided by size: it has size · size cells, and fewer may count": (
            lambda x, size, stride, padding, count_include_pad: avg_pool2d(x, size, stride, padding, True) * size
        ),
        "this is the sum: divide by the number of cells": (
            lambda x, size, stride, padding, count_include_pad: _windows(_bordered(x, padding, 0), size, stride).sum(
                (-2, -1)
            )
        ),
    },
)

# ---------------------------------------------------------------- and its gradient


def avg_pool2d_grad(g: Array, height: int, width: int, size: int, stride: int) -> Array:
    s = _shape((*g.shape[:2], height, width), size, stride)
    return reference.avg_pool2d_grad(g, np.full((1, 1), float(size**2)), s)


def _averages_overwritten(g: Array, height: int, width: int, size: int, stride: int) -> Array:
    gx = np.zeros((*g.shape[:2], height, width))
    for i, j in np.ndindex(g.shape[2:]):
        gx[:, :, i * stride : i * stride + size, j * stride : j * stride + size] = g[:, :, i, j, None, None] / size**2
    return gx


def _backwards(rng: np.random.Generator) -> list[Case]:
    plain = {"g": np.array([[[[4.0, 8], [12, 16]]]])}
    drawn = [((2, 3, 2, 2), 5, 5, 2, 2), ((1, 2, 3, 2), 5, 4, 3, 1), ((1, 1, 2, 3), 6, 8, 2, 3)]
    names = "height", "width", "size", "stride"
    return [
        plain | dict(zip(names, (4, 4, 2, 2))),
        plain | dict(zip(names, (3, 3, 2, 1))),
        *({"g": rng.standard_normal(g)} | dict(zip(names, how)) for g, *how in drawn),
    ]


AVG_POOL_GRAD = Exercise(
    "avg_pool2d_grad",
    3,
    "∂L/∂x (N,C,height,width) of average pooling from g (N,C,OH,OW), no padding",
    avg_pool2d_grad,
    _backwards,
    {
        "1/k is missing: each cell went into the average as a k-th part, and gets a k-th part of g": (
            lambda g, height, width, size, stride: avg_pool2d_grad(g, height, width, size, stride) * size**2
        ),
        "k is size, but the window has size · size cells: each gets g / (size · size)": (
            lambda g, height, width, size, stride: avg_pool2d_grad(g, height, width, size, stride) * size
        ),
        "cells of overlapping windows are overwritten: each collects from all its windows, with +=": (
            _averages_overwritten
        ),
        "the result is divided by how many windows hold a cell: shares from several windows are summed": (
            lambda g, height, width, size, stride: (
                avg_pool2d_grad(g, height, width, size, stride)
                / np.maximum(1, avg_pool2d_grad(np.ones_like(g), height, width, size, stride) * size**2)
            )
        ),
    },
    ("gx",),
)

# ---------------------------------------------------------------- so many windows


def adaptive_avg_pool1d(x: Array, n: int) -> Array:
    L = len(x)
    return np.array([x[i * L // n : -(-(i + 1) * L // n)].mean() for i in range(n)])


def _signals(rng: np.random.Generator) -> list[Case]:
    plain = [{"x": np.arange(1.0, 7), "n": 3}, {"x": np.arange(1.0, 6), "n": 2}, {"x": np.arange(1.0, 6), "n": 3}]
    return plain + [{"x": rng.standard_normal(L), "n": n} for L, n in [(7, 7), (7, 1), (10, 4), (13, 5)]]


ADAPTIVE = Exercise(
    "adaptive_avg_pool1d",
    3,
    "n averages that cover the numbers of x (L) evenly: window i from ⌊i·L/n⌋ to ⌈(i+1)·L/n⌉",
    adaptive_avg_pool1d,
    _signals,
    {
        "windows of ⌊L/n⌋ drop what is left over: each begins at ⌊i·L/n⌋ and ends at ⌈(i+1)·L/n⌉": (
            lambda x, n: np.array([x[i * (len(x) // n) : (i + 1) * (len(x) // n)].mean() for i in range(n)])
        ),
        "the end is rounded down: it is rounded up, so that neighbouring windows may share a number": (
            lambda x, n: np.array([x[i * len(x) // n : (i + 1) * len(x) // n].mean() for i in range(n)])
        ),
        "these are the pieces of np.array_split: its pieces never overlap, windows here may": (
            lambda x, n: np.array([piece.mean() for piece in np.array_split(x, n)])
        ),
        "this is the largest: the average was asked for": (
            lambda x, n: np.array([x[i * len(x) // n : -(-(i + 1) * len(x) // n)].max() for i in range(n)])
        ),
    },
)

EXERCISES = [MAX_POOL, MAX_POOL_GRAD, AVG_POOL, AVG_POOL_GRAD, ADAPTIVE]
