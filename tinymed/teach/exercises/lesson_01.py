"""Exercises of lesson 01: the convolution."""

from __future__ import annotations

import numpy as np

from tinymed.kernels import reference
from tinymed.kernels.shapes import conv_shape
from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- the size of the output


def output_size(n: int, k: int, stride: int, padding: int) -> int:
    return (n + 2 * padding - k) // stride + 1


def _sizes(rng: np.random.Generator) -> list[Case]:
    plain = [{"n": 3, "k": 2, "stride": 1, "padding": 0}, {"n": 28, "k": 3, "stride": 1, "padding": 1}]
    drawn = rng.integers((5, 1, 1, 0), (30, 6, 5, 4), (8, 4))
    return plain + [dict(zip(("n", "k", "stride", "padding"), map(int, row))) for row in drawn]


OUTPUT_SIZE = Exercise(
    "conv2d_output_size",
    1,
    "how many rows come out of n rows, for a kernel of k, a stride and a padding on either side",
    output_size,
    _sizes,
    {
        "off by one: the window takes (n + 2p − k)/s steps, and so has one place more than steps": (
            lambda n, k, stride, padding: (n + 2 * padding - k) // stride
        ),
        "padding lies on both sides, so it counts twice": lambda n, k, stride, padding: (n + padding - k) // stride + 1,
        "the padding is forgotten": lambda n, k, stride, padding: (n - k) // stride + 1,
        "the stride divides before 1 is added, not after": (
            lambda n, k, stride, padding: (n + 2 * padding - k + 1) // stride
        ),
        "a window that hangs over the edge is no place: // drops the fraction": (
            lambda n, k, stride, padding: (n + 2 * padding - k) / stride + 1
        ),
        "rounded up: a last window that hangs over the edge is no place, so round down": (
            lambda n, k, stride, padding: -(-(n + 2 * padding - k) // stride) + 1
        ),
    },
    ("size",),
)

# ---------------------------------------------------------------- one channel


def conv2d_single(x: Array, w: Array) -> Array:
    return conv2d(x[None, None], w[None, None], 1, 0)[0, 0]


IMAGE, LOPSIDED = np.arange(1.0, 10).reshape(3, 3), np.array([[1.0, 2], [3, 4]])


def _in_loops(x: Array, w: Array, dtype: type, swapped: bool = False) -> Array:
    """The loops of the lesson, with a slip: an output of another type, or u and v in the wrong order."""
    y = np.zeros((x.shape[0] - w.shape[0] + 1, x.shape[1] - w.shape[1] + 1), dtype)
    for i, j, u, v in np.ndindex(*y.shape, *w.shape):
        y[i, j] += w[(v, u) if swapped else (u, v)] * x[i + u, j + v]
    return y


def _single(rng: np.random.Generator) -> list[Case]:
    plain = [{"x": IMAGE.copy(), "w": LOPSIDED.copy()}, {"x": IMAGE.copy(), "w": np.eye(2)}]  # the article's is second
    sizes = [((4, 4), (2, 2)), ((5, 7), (3, 2)), ((3, 3), (3, 3)), ((6, 4), (1, 3))]
    return plain + [{"x": rng.standard_normal(a), "w": rng.standard_normal(b)} for a, b in sizes]


CONV2D_SINGLE = Exercise(
    "conv2d_single",
    1,
    "the sum of the products of a kernel and every window of an image, for one channel",
    conv2d_single,
    _single,
    {
        "the kernel is flipped: cross-correlation, which deep learning calls convolution, takes it as it stands": (
            lambda x, w: conv2d_single(x, w[::-1, ::-1])
        ),
        "the rows of the kernel are read from the last to the first: x[i+u, j+v] meets w[u, v]": (
            lambda x, w: conv2d_single(x, w[::-1])
        ),
        "the columns of the kernel are read from the last to the first: x[i+u, j+v] meets w[u, v]": (
            lambda x, w: conv2d_single(x, w[:, ::-1])
        ),
        "rows and columns of the kernel are mixed up: it is w[u, v], and u counts rows in x[i+u, j+v] as well": (
            lambda x, w: _in_loops(x, w, float, swapped=True)
        ),
        "the last row and column of the kernel are left out: range(KH) ends at KH − 1 by itself": (
            lambda x, w: conv2d_single(x, np.pad(w[:-1, :-1], ((0, 1), (0, 1))))
        ),
        "y holds whole numbers only, so every += drops the fraction: np.zeros without a type makes floats": (
            lambda x, w: _in_loops(x, w, int)
        ),
        "y holds whole numbers only, so each sum loses its fraction: np.zeros without a type makes floats": (
            lambda x, w: conv2d_single(x, w).astype(int)
        ),
        "this is max pooling: the products of a window are summed, not compared": (
            lambda x, w: _windows(x, w).max((-2, -1))
        ),
        "each product overwrites the one before: add them up with +=": (
            lambda x, w: w[-1, -1] * x[len(w) - 1 :, w.shape[1] - 1 :]
        ),
        "the output is one row and one column short: there are H − KH + 1 places for the window": (
            lambda x, w: conv2d_single(x, w)[:-1, :-1]
        ),
    },
)  # fmt: skip


def _windows(x: Array, w: Array) -> Array:
    return np.lib.stride_tricks.sliding_window_view(x, w.shape)


# ---------------------------------------------------------------- batches, channels, stride and padding


def conv2d(x: Array, w: Array, stride: int = 1, padding: int = 0) -> Array:
    s = conv_shape(x.shape, w.shape, (stride, stride), (padding, padding), (1, 1), 1)
    return reference.conv2d(x, w, None, s)


def _several(rng: np.random.Generator) -> list[Case]:
    one = {"x": IMAGE[None, None], "w": LOPSIDED[None, None]}
    sizes = [
        ((1, 2, 4, 4), (1, 2, 2, 2), 1, 0),
        ((2, 1, 4, 5), (3, 1, 2, 3), 1, 0),
        ((2, 3, 6, 5), (2, 3, 3, 2), 2, 0),
        ((2, 2, 5, 5), (2, 2, 3, 3), 1, 1),
        ((1, 2, 7, 6), (3, 2, 3, 3), 3, 2),
    ]
    return [
        one | {"stride": 1, "padding": 0},
        one | {"stride": 2, "padding": 1},
        *(
            {"x": rng.standard_normal(a), "w": rng.standard_normal(b), "stride": s, "padding": p}
            for a, b, s, p in sizes
        ),
    ]


def _padded(x: Array, before: int, after: int) -> Array:
    return np.pad(x, ((0, 0), (0, 0), (before, after), (before, after)))


def _at_every_step(x: Array, w: Array, stride: int, padding: int) -> Array:
    """As many windows as there should be, side by side with stride 1."""
    OH, OW = (output_size(n, k, stride, padding) for n, k in zip(x.shape[2:], w.shape[2:]))
    return conv2d(x, w, 1, padding)[:, :, :OH, :OW]


CONV2D = Exercise(
    "conv2d",
    1,
    "the convolution of a batch (N,C,H,W) with kernels (O,C,KH,KW), for any stride and padding",
    conv2d,
    _several,
    {
        "the kernel is flipped: cross-correlation, which deep learning calls convolution, takes it as it stands": (
            lambda x, w, stride, padding: conv2d(x, w[..., ::-1, ::-1], stride, padding)
        ),
        "the padding is forgotten: the image grows by `padding` zeros on each side before the window slides": (
            lambda x, w, stride, padding: conv2d(x, w, stride, 0)
        ),
        "the stride is forgotten: window (i, j) starts at row i·stride, column j·stride": (
            lambda x, w, stride, padding: conv2d(x, w, 1, padding)
        ),
        "y has the right size, but its windows lie side by side: the one of y[i, j] starts at i·stride, j·stride": (
            _at_every_step
        ),
        "only the first channel is used: the sum runs over the channels too": (
            lambda x, w, stride, padding: conv2d(x[:, :1], w[:, :1], stride, padding)
        ),
        "the channels are averaged: the products of all channels are summed": (
            lambda x, w, stride, padding: conv2d(x, w, stride, padding) / x.shape[1]
        ),
        "the padding is on one side only: it goes before and after": (
            lambda x, w, stride, padding: conv2d(_padded(x, padding, 0), w, stride, 0)
        ),
        "the padding is behind the image only: it goes before and after": (
            lambda x, w, stride, padding: conv2d(_padded(x, 0, padding), w, stride, 0)
        ),
        "all zeros lie behind the image: `padding` of them go before it, and as many after": (
            lambda x, w, stride, padding: conv2d(_padded(x, 0, 2 * padding), w, stride, 0)
        ),
    },
)  # fmt: skip

EXERCISES = [OUTPUT_SIZE, CONV2D_SINGLE, CONV2D]
