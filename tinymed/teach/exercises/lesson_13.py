"""Exercises of lesson 13: fast on a CPU."""

from __future__ import annotations

import numpy as np

from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- counting


def cost(N: int, C: int, H: int, W: int, O: int, KH: int, KW: int, *, flops: int = 2, size: int = 4) -> tuple[int, int]:
    OH, OW = H - KH + 1, W - KW + 1
    moved = N * C * H * W + O * C * KH * KW + N * O * OH * OW
    return flops * N * O * OH * OW * C * KH * KW, size * moved


def conv_cost(N: int, C: int, H: int, W: int, O: int, KH: int, KW: int) -> tuple[int, int]:
    return cost(N, C, H, W, O, KH, KW)


def _with_input_size(N, C, H, W, O, KH, KW):
    return 2 * N * O * H * W * C * KH * KW, 4 * (N * C * H * W + O * C * KH * KW + N * O * H * W)


def _costs(rng: np.random.Generator) -> list[Case]:
    sizes = [(1, 1, 3, 3, 1, 2, 2), (32, 32, 13, 13, 64, 3, 3), (2, 3, 8, 11, 5, 3, 2), (4, 6, 7, 7, 8, 1, 1)]
    return [dict(zip(("N", "C", "H", "W", "O", "KH", "KW"), row)) for row in sizes]


COST = Exercise(
    "conv2d_cost",
    13,
    "the flops of a convolution with stride 1, and the bytes of float32 that must move at least",
    conv_cost,
    _costs,
    {
        "a multiply-add is two flops, a product and a sum": lambda **n: cost(**n, flops=1),
        "bytes, not numbers: a float32 has four": lambda **n: cost(**n, size=1),
        "a float32 has 4 bytes; 8 is a float64": lambda **n: cost(**n, size=8),
        "the output is smaller than the input: OH = H − KH + 1 rows, not H": _with_input_size,
        "y moves too: it must be written": (
            lambda N, C, H, W, O, KH, KW: (
                cost(N, C, H, W, O, KH, KW)[0], 4 * (N * C * H * W + O * C * KH * KW),
            )
        ),
    },
    ("flops", "bytes"),
)  # fmt: skip

# ---------------------------------------------------------------- im2col


def windows(x: Array, KH: int, KW: int) -> Array:
    """(N,C,OH,OW,KH,KW)"""
    return np.lib.stride_tricks.sliding_window_view(x, (KH, KW), axis=(2, 3))


def _rows(x: Array, KH: int, KW: int, order: tuple[int, ...]) -> Array:
    return windows(x, KH, KW).transpose(order).reshape(-1, x.shape[1] * KH * KW)


def im2col(x: Array, KH: int, KW: int) -> Array:
    return _rows(x, KH, KW, (0, 2, 3, 1, 4, 5))


def _images(rng: np.random.Generator) -> list[Case]:
    plain = {"x": np.arange(1.0, 10).reshape(1, 1, 3, 3), "KH": 2, "KW": 2}
    sizes = [((1, 2, 3, 3), 2, 2), ((2, 3, 5, 4), 3, 2), ((3, 2, 4, 6), 1, 3)]
    return [plain] + [{"x": rng.standard_normal(shape), "KH": KH, "KW": KW} for shape, KH, KW in sizes]


IM2COL = Exercise(
    "im2col",
    13,
    "the windows of a batch (N,C,H,W) as rows (N·OH·OW, C·KH·KW), stride 1",
    im2col,
    _images,
    {
        "reshape alone does not move an axis: transpose to (N,OH,OW,C,KH,KW) first": (
            lambda x, KH, KW: _rows(x, KH, KW, (0, 1, 2, 3, 4, 5))
        ),
        "within a row the channel comes first, then u and v: that is the order of w.reshape(O, −1)": (
            lambda x, KH, KW: _rows(x, KH, KW, (0, 2, 3, 4, 5, 1))
        ),
        "within a row u runs before v: the window is turned on its side": (
            lambda x, KH, KW: _rows(x, KH, KW, (0, 2, 3, 1, 5, 4))
        ),
        "rows run along j first, then i: yours walk down the columns": (
            lambda x, KH, KW: _rows(x, KH, KW, (0, 3, 2, 1, 4, 5))
        ),
        "a window is a row here; you have made it a column": lambda x, KH, KW: im2col(x, KH, KW).T,
    },
    ("rows",),
)


def conv2d(x: Array, w: Array) -> Array:
    return np.einsum("ncijuv,ocuv->noij", windows(x, *w.shape[2:]), w)


def _unmoved(x: Array, w: Array) -> Array:
    y = im2col(x, *w.shape[2:]) @ w.reshape(len(w), -1).T
    return y.reshape(conv2d(x, w).shape)


def _weights_reshaped(x: Array, w: Array) -> Array:
    y = conv2d(x, w)
    N, O, OH, OW = y.shape
    return (im2col(x, *w.shape[2:]) @ w.reshape(-1, O)).reshape(N, OH, OW, O).transpose(0, 3, 1, 2)


def _batches(rng: np.random.Generator) -> list[Case]:
    plain = {"x": np.arange(1.0, 10).reshape(1, 1, 3, 3), "w": np.eye(2)[None, None]}
    sizes = [((1, 1, 3, 3), (2, 1, 2, 2)), ((2, 3, 5, 4), (4, 3, 3, 2)), ((3, 2, 4, 6), (2, 2, 1, 3))]
    return [plain] + [{"x": rng.standard_normal(a), "w": rng.standard_normal(b)} for a, b in sizes]


CONV2D = Exercise(
    "conv2d_im2col",
    13,
    "the convolution (N,C,H,W) * (O,C,KH,KW), stride 1, as one product of matrices",
    conv2d,
    _batches,
    {
        "the product is (N·OH·OW, O), channels last: reshape to (N,OH,OW,O), then move O to its place": _unmoved,
        "w.reshape(−1, O) cuts the kernels up; w.reshape(O, −1).T turns them": _weights_reshaped,
        "the kernel is flipped: cross-correlation, which deep learning calls convolution, takes it as it stands": (
            lambda x, w: conv2d(x, w[..., ::-1, ::-1])
        ),
        "the result is still channels last, (N,OH,OW,O)": lambda x, w: conv2d(x, w).transpose(0, 2, 3, 1),
    },
)  # fmt: skip

# ---------------------------------------------------------------- pooling


def _cells(x: Array) -> Array:
    """(N,C,OH,2,OW,2)"""
    N, C, H, W = x.shape
    return x[:, :, : H // 2 * 2, : W // 2 * 2].reshape(N, C, H // 2, 2, W // 2, 2)


def max_pool2d(x: Array) -> Array:
    return _cells(x).max((3, 5))


def _halves(x: Array) -> Array:
    N, C, H, W = x.shape
    return x[:, :, : H // 2 * 2, : W // 2 * 2].reshape(N, C, 2, H // 2, 2, W // 2).max((2, 4))


def _in_a_row(x: Array) -> Array:
    N, C, H, W = x.shape
    return x[:, :, : H // 2 * 2, : W // 2 * 2].reshape(N, C, H // 2, W // 2, 4).max(-1)


def _pictures(rng: np.random.Generator) -> list[Case]:
    plain = {"x": np.arange(1.0, 17).reshape(1, 1, 4, 4)}
    sizes = [(1, 1, 4, 6), (2, 3, 6, 4), (1, 2, 5, 7), (2, 1, 2, 3)]
    drawn = [{"x": rng.standard_normal(shape)} for shape in sizes]
    return [plain, *drawn, {"x": -np.abs(rng.standard_normal((1, 2, 4, 5)))}]


MAX_POOL2D = Exercise(
    "max_pool2d_by_reshape",
    13,
    "the largest of each 2x2 window of (N,C,H,W), windows side by side, by reshape",
    max_pool2d,
    _pictures,
    {
        "(2, OH) makes two halves of the image; the two rows of a window are (OH, 2)": _halves,
        "four numbers in a row are no window: H and W must both be split, (OH, 2, OW, 2)": _in_a_row,
        "this is the average: a window's largest is asked for": lambda x: _cells(x).mean((3, 5)),
        "a window of negative numbers has a negative largest: nothing starts at 0": (
            lambda x: np.maximum(_cells(x).max((3, 5)), 0)
        ),
        "this takes one cell of each window instead of comparing four": lambda x: _cells(x)[:, :, :, 0, :, 0],
    },
)

# ---------------------------------------------------------------- the flat convolution


def waste(OH: int, OW: int, W: int) -> float:
    return 1 - OH * OW / ((OH - 1) * W + OW)


def _planes(rng: np.random.Generator) -> list[Case]:
    rows = [(2, 2, 3), (11, 11, 13), (26, 26, 28), (1, 5, 9), (4, 6, 6), (3, 2, 8)]
    return [dict(zip(("OH", "OW", "W"), row)) for row in rows]


WASTE = Exercise(
    "flat_convolution_waste",
    13,
    "the share of the numbers that a flat convolution computes and throws away",
    waste,
    _planes,
    {
        "after the last row nothing is thrown away: the flat sum ends with the last number of y": (
            lambda OH, OW, W: 1 - OW / W
        ),
        "this is the share that is kept": lambda OH, OW, W: OH * OW / ((OH - 1) * W + OW),
        "a share of what is computed, not of what is kept": lambda OH, OW, W: ((OH - 1) * W + OW) / (OH * OW) - 1,
        "how many are thrown away is right, but the share of them is asked for": (
            lambda OH, OW, W: (OH - 1) * (W - OW)
        ),
    },
    ("share",),
)

EXERCISES = [COST, IM2COL, CONV2D, MAX_POOL2D, WASTE]
