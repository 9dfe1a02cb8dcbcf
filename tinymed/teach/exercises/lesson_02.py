"""Exercises of lesson 02: the gradients of the convolution."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.kernels import reference
from tinymed.kernels.shapes import ConvShape, conv_shape
from tinymed.teach.check import Case, Exercise
from tinymed.teach.exercises.lesson_01 import conv2d

Array = np.ndarray

SMALL = {"g": np.array([[[[1.0, 1], [1, 2]]]]), "w": np.array([[[[1.0, 2], [3, 4]]]])}


def _normal(rng: np.random.Generator, **shapes: Any) -> Case:
    """Arrays of these shapes; what is no shape is passed on."""
    return {k: rng.standard_normal(v) if isinstance(v, tuple) else v for k, v in shapes.items()}


def _shape(x_shape: tuple, w_shape: tuple, stride: int = 1, padding: int = 0) -> ConvShape:
    return conv_shape(x_shape, w_shape, (stride, stride), (padding, padding), (1, 1), 1)


# ---------------------------------------------------------------- the bias


def bias_grad(g: Array) -> Array:
    return g.sum((0, 2, 3))


BIAS_GRAD = Exercise(
    "conv2d_bias_grad",
    2,
    "∂L/∂b (O) of a convolution from g = ∂L/∂y (N,O,OH,OW)",
    bias_grad,
    lambda rng: [
        {"g": np.arange(1.0, 5).reshape(1, 1, 2, 2)},
        {"g": np.arange(1.0, 9).reshape(2, 2, 1, 2)},
        *(_normal(rng, g=shape) for shape in [(1, 3, 2, 4), (4, 2, 3, 3), (3, 5, 1, 2)]),
    ],
    {
        "the sum over the batch is missing: one b serves every image, so it collects from all of them": (
            lambda g: g.sum((2, 3))[0]
        ),
        "one row for each image: b has O numbers, and each collects from the whole batch": lambda g: g.sum((2, 3)),
        "this is the mean: b was added to every place in full; if L is a mean, g is divided already": (
            lambda g: g.mean((0, 2, 3))
        ),
        "the sum over the places is missing: b was added at every (i, j)": lambda g: g.sum(0)[:, 0, 0],
        "all channels are in one sum: b[o] was added to channel o only": lambda g: np.full(g.shape[1], g.sum()),
        "everything is in one sum: b has O numbers, so leave the axis of the channels out of it": lambda g: g.sum(),
    },
    ("gb",),
)

# ---------------------------------------------------------------- the input, one channel


def single_input_grad(g: Array, w: Array) -> Array:
    size = [a + b - 1 for a, b in zip(g.shape, w.shape)]
    return reference.conv2d_input_grad(g[None, None], w[None, None], _shape((1, 1, *size), (1, 1, *w.shape)))[0, 0]


def _overwritten(g: Array, w: Array) -> Array:
    gx = np.zeros([a + b - 1 for a, b in zip(g.shape, w.shape)])
    for i, j in np.ndindex(g.shape):
        gx[i : i + w.shape[0], j : j + w.shape[1]] = w * g[i, j]
    return gx


def _unweighted(g: Array, w: Array) -> Array:
    return single_input_grad(g, np.ones_like(w))


SINGLE_INPUT_GRAD = Exercise(
    "conv2d_single_input_grad",
    2,
    "∂L/∂x (OH+KH−1, OW+KW−1) from g (OH,OW) and one kernel w (KH,KW): stride 1, no padding",
    single_input_grad,
    lambda rng: [
        {name: array[0, 0] for name, array in SMALL.items()},
        {"g": np.array([[1.0, 2], [3, 4]]), "w": np.eye(2)},  # as by hand
        *(_normal(rng, g=a, w=b) for a, b in [((3, 3), (2, 2)), ((4, 2), (2, 3)), ((1, 1), (3, 2)), ((5, 4), (1, 3))]),
    ],
    {
        "cells of overlapping windows are overwritten: an input of several windows collects from each, with +=": (
            _overwritten
        ),
        "the kernel is flipped: x[i+u, j+v] met w[u, v], so it gets w[u, v] · g[i, j], as it stands": (
            lambda g, w: single_input_grad(g, w[::-1, ::-1])
        ),
        "gx is one row and one column too large: OH = H − KH + 1, so H = OH + KH − 1": (
            lambda g, w: np.pad(single_input_grad(g, w), ((0, 1), (0, 1)))
        ),
        "the weights are missing: each g comes back times the weight that it met on the way": _unweighted,
    },
    ("gx",),
)  # fmt: skip

# ---------------------------------------------------------------- the weights


def weight_grad(x: Array, g: Array) -> Array:
    KH, KW = (a - b + 1 for a, b in zip(x.shape[2:], g.shape[2:]))
    return reference.conv2d_weight_grad(x, g, _shape(x.shape, (g.shape[1], x.shape[1], KH, KW)))


WEIGHT_GRAD = Exercise(
    "conv2d_weight_grad",
    2,
    "∂L/∂w (O,C,KH,KW) from x (N,C,H,W) and g (N,O,OH,OW): stride 1, no padding",
    weight_grad,
    lambda rng: [
        {"x": np.arange(1.0, 10).reshape(1, 1, 3, 3), "g": np.array([[[[1.0, 2], [3, 4]]]])},
        {"x": np.arange(1.0, 9).reshape(1, 2, 2, 2), "g": np.array([1.0, 10, 100]).reshape(1, 3, 1, 1)},
        *(
            _normal(rng, x=a, g=b)
            for a, b in [
                ((1, 2, 4, 4), (1, 3, 3, 3)),
                ((3, 2, 4, 5), (3, 2, 3, 3)),
                ((2, 3, 5, 4), (2, 1, 4, 2)),
            ]
        ),
    ],
    {
        "only the first image counts: the same kernel saw every image, so its gradient is summed over the batch": (
            lambda x, g: weight_grad(x[:1], g[:1])
        ),
        "the batch is averaged: it is summed; if L is a mean over the batch, g is divided already": (
            lambda x, g: weight_grad(x, g) / len(x)
        ),
        "the result is flipped: w[u, v] met x[i+u, j+v], so u and v count forwards in the gradient too": (
            lambda x, g: weight_grad(x, g)[..., ::-1, ::-1]
        ),
        "the first two axes have changed places: gw is (O,C,KH,KW), as w is": (
            lambda x, g: weight_grad(x, g).swapaxes(0, 1)
        ),
        "gw is one row and one column short: OH = H − KH + 1, so KH = H − OH + 1": (
            lambda x, g: weight_grad(x, g)[..., :-1, :-1]
        ),
        "g is missing: each product's x is weighted by the g of the output that it went into": (
            lambda x, g: weight_grad(x, np.ones_like(g))
        ),
    },
    ("gw",),
)

# ---------------------------------------------------------------- the input as a full correlation


def full_input_grad(g: Array, w: Array) -> Array:
    """The correlation that gathers: g in a border of K−1 zeros, w turned round, its channels swapped."""
    (KH, KW) = w.shape[2:]
    g = np.pad(g, ((0, 0), (0, 0), (KH - 1, KH - 1), (KW - 1, KW - 1)))
    return conv2d(g, np.ascontiguousarray(w.swapaxes(0, 1)[..., ::-1, ::-1]))


def _half_turned(g: Array, w: Array) -> Array:
    return full_input_grad(g, w[..., ::-1])


FULL_INPUT_GRAD = Exercise(
    "conv2d_input_grad_full",
    2,
    "∂L/∂x (N,C,H,W) from g (N,O,OH,OW) and w (O,C,KH,KW) as one convolution: stride 1, no padding",
    full_input_grad,
    lambda rng: [
        SMALL,
        {"g": np.array([1.0, 100]).reshape(1, 2, 1, 1), "w": np.arange(1.0, 17).reshape(2, 2, 2, 2)},
        *(
            _normal(rng, g=a, w=b)
            for a, b in [
                ((1, 2, 3, 3), (2, 2, 2, 2)),
                ((2, 3, 3, 4), (3, 2, 3, 2)),
                ((1, 1, 2, 2), (1, 4, 3, 3)),
            ]
        ),
    ],
    {
        "the kernel is not flipped: seen from an input, the windows that hold it lie the other way round": (
            lambda g, w: full_input_grad(g, w[..., ::-1, ::-1])
        ),
        "the kernel is flipped in one direction only: it turns by half a circle, rows and columns": _half_turned,
        "g has no border: an input at the edge lies in windows too, so g needs K−1 zeros on every side": (
            lambda g, w: conv2d(g, w.swapaxes(0, 1)[..., ::-1, ::-1])
        ),
        "the channels are not swapped: backwards, the O channels go in and the C channels come out": (
            lambda g, w: full_input_grad(g, w.swapaxes(0, 1))
        ),
    },
    ("gx",),
)

# ---------------------------------------------------------------- stride and padding


def strided_input_grad(g: Array, w: Array, size: int, stride: int, padding: int) -> Array:
    return reference.conv2d_input_grad(g, w, _shape((len(g), w.shape[1], size, size), w.shape, stride, padding))


def _spread(g: Array, w: Array, size: int, stride: int, padding: int, fill: str = "zeros", cut: bool = True) -> Array:
    """The way of the lesson: zeros between, a full correlation, what is left over, a crop; or with a step wrong."""
    N, O, OH, OW = g.shape
    apart = np.zeros((N, O, (OH - 1) * stride + 1, (OW - 1) * stride + 1))
    apart[:, :, ::stride, ::stride] = g
    if fill == "copies":
        apart = g.repeat(stride, 2).repeat(stride, 3)[:, :, : apart.shape[2], : apart.shape[3]]
    full = full_input_grad(apart, w)
    missing = max(0, size + 2 * padding - full.shape[2])
    full = np.pad(full, ((0, 0), (0, 0), (0, missing), (0, missing)))
    start = padding if cut else 0
    return full[:, :, start : start + size, start : start + size]


def _scattered(g: Array, w: Array, size: int, stride: int, padding: int) -> Array:
    """Scattering, with = where += belongs."""
    (N, _, OH, OW), (_, C, KH, KW) = g.shape, w.shape
    gx = np.zeros((N, C, size + 2 * padding, size + 2 * padding))
    for i, j in np.ndindex(OH, OW):
        window = gx[:, :, i * stride : i * stride + KH, j * stride : j * stride + KW]
        window[...] = np.einsum("no,ocuv->ncuv", g[:, :, i, j], w)
    return gx[:, :, padding : padding + size, padding : padding + size]


STRIDED_INPUT_GRAD = Exercise(
    "conv2d_input_grad_strided",
    2,
    "∂L/∂x (N,C,size,size) from g and w, for any stride and padding",
    strided_input_grad,
    lambda rng: [
        SMALL | {"size": 4, "stride": 2, "padding": 0},
        SMALL | {"size": 3, "stride": 1, "padding": 0},
        *(
            _normal(rng, g=g, w=w, size=size, stride=stride, padding=padding)
            for g, w, size, stride, padding in [
                ((1, 2, 3, 3), (2, 1, 3, 3), 5, 2, 1),
                ((2, 2, 2, 2), (2, 3, 3, 3), 6, 2, 0),  # the last row is in no window
                ((1, 1, 2, 2), (1, 2, 2, 2), 6, 3, 0),
                ((1, 2, 4, 4), (2, 2, 3, 3), 4, 1, 1),
            ]
        ),
    ],
    {
        "g is repeated: between two windows that lie `stride` apart there is no window, so zeros go there": (
            lambda g, w, size, stride, padding: _spread(g, w, size, stride, padding, "copies")
        ),
        "the stride is forgotten: the cells of g belong `stride` apart": (
            lambda g, w, size, stride, padding: _spread(g, w, size, 1, padding)
        ),
        "the padding is not cropped: the first `padding` rows and columns belong to zeros outside the image": (
            lambda g, w, size, stride, padding: _spread(g, w, size, stride, padding, cut=False)
        ),
        "nothing is cropped: gx is as large as the image, and the padding lies outside of it": (
            lambda g, w, size, stride, padding: strided_input_grad(g, w, size + 2 * padding, stride, 0)
        ),
        "windows that overlap overwrite each other: a pixel of several windows collects from each, with +=": _scattered,
        "each product overwrites the one before: a pixel collects from all its windows and all O channels, with +=": (
            lambda g, w, size, stride, padding: _scattered(g[:, -1:], w[-1:], size, stride, padding)
        ),
        "the kernel is not flipped: seen from an input, the windows that hold it lie the other way round": (
            lambda g, w, size, stride, padding: strided_input_grad(g, w[..., ::-1, ::-1], size, stride, padding)
        ),
    },
    ("gx",),
)  # fmt: skip

# ---------------------------------------------------------------- the receptive field


def receptive_field(kernels: tuple[int, ...], strides: tuple[int, ...]) -> int:
    size, step = 1, 1
    for k, s in zip(kernels, strides):
        size += (k - 1) * step
        step *= s
    return size


RECEPTIVE_FIELD = Exercise(
    "conv2d_receptive_field",
    2,
    "how many rows of the image one output sees, behind layers with these kernels and strides",
    receptive_field,
    lambda rng: [
        {"kernels": (3,), "strides": (1,)},
        {"kernels": (3, 3), "strides": (1, 1)},
        {"kernels": (3, 2, 3), "strides": (1, 2, 1)},  # 1 → 3 → 4 → 8, as in the lesson
        {"kernels": (3, 2, 3, 2), "strides": (1, 2, 1, 2)},  # the article's network
        {"kernels": (7, 3, 3), "strides": (2, 2, 1)},
        *(
            {"kernels": tuple(rng.integers(1, 6, n).tolist()), "strides": tuple(rng.integers(1, 4, n).tolist())}
            for n in (2, 3, 4)
        ),
    ],
    {
        "the strides are forgotten: one step in a later layer is several pixels of the image": (
            lambda kernels, strides: 1 + sum(k - 1 for k in kernels)
        ),
        "a layer's own stride counts from the next layer on: its window is as wide as the steps before it": (
            lambda kernels, strides: receptive_field((1, *kernels), (*strides, 1))
        ),
        "K steps are added where K − 1 belong: the first cell of a window is the pixel one starts with": (
            lambda kernels, strides: receptive_field(tuple(k + 1 for k in kernels), strides)
        ),
        "only the stride just before counts: steps multiply, so a stride lasts through all later layers": (
            lambda kernels, strides: 1 + sum((k - 1) * s for k, s in zip(kernels, (1, *strides)))
        ),
        "kernels are added whole: neighbouring windows overlap, so each layer adds K − 1 steps, not K": (
            lambda kernels, strides: receptive_field(tuple(k + 1 for k in kernels), strides) - 1
        ),
        "kernels are multiplied: that would hold only for windows that lie side by side in every layer": (
            lambda kernels, strides: int(np.prod(kernels))
        ),
    },
    ("rows",),
)  # fmt: skip

EXERCISES = [BIAS_GRAD, SINGLE_INPUT_GRAD, WEIGHT_GRAD, FULL_INPUT_GRAD, STRIDED_INPUT_GRAD, RECEPTIVE_FIELD]
