"""Exercises of lesson 04: the article's worked example."""

from __future__ import annotations

from fractions import Fraction
from itertools import product

import numpy as np

from tinymed.teach.check import Case, Exercise
from tinymed.teach.exercises.lesson_01 import conv2d_single

Array = np.ndarray
IMAGE = np.arange(1.0, 10).reshape(3, 3)


def _windows(x: Array, KH: int, KW: int) -> Array:
    return np.lib.stride_tricks.sliding_window_view(x, (KH, KW))


# ---------------------------------------------------------------- both steps


def article_example(x: Array, w: Array) -> tuple[Array, Array]:
    y = conv2d_single(x, w)
    return y, _windows(y, 2, 2)[::2, ::2].max((-2, -1))


def _examples(rng: np.random.Generator) -> list[Case]:
    drawn = [((5, 5), (2, 2)), ((6, 5), (3, 2)), ((4, 4), (3, 3))]
    return [{"x": IMAGE.copy(), "w": np.eye(2)}] + [
        {"x": rng.standard_normal(x), "w": rng.standard_normal(w)} for x, w in drawn
    ]


ARTICLE_EXAMPLE = Exercise(
    "article_cnn_example",
    4,
    "the convolution of an image with a kernel, and max pooling of that, windows of 2x2 side by side",
    article_example,
    _examples,
    {
        "the first result is the input pooled, as printed: a convolution multiplies by the kernel and sums": (
            lambda x, w: (lambda y: (y, _windows(y, 2, 2)[::2, ::2].max((-2, -1))))(_windows(x, *w.shape).max((-2, -1)))
        ),
        "the second result is the first one's diagonal: pooling takes the largest of each window": (
            lambda x, w: (lambda y: (y, np.diag(y)[:, None]))(conv2d_single(x, w))
        ),
        "the input is pooled, not the map: the second step works on what the first one gave": (
            lambda x, w: (conv2d_single(x, w), _windows(x, 2, 2)[::2, ::2].max((-2, -1)))
        ),
        "the windows overlap: without another word the stride of pooling is its window, 2": (
            lambda x, w: (conv2d_single(x, w), _windows(conv2d_single(x, w), 2, 2).max((-2, -1)))
        ),
    },
    ("the map", "the pooled map"),
)

# ---------------------------------------------------------------- every reading


def _readings(x: Array, target: Array, sizes: object = None, same: object = None) -> int:
    """How many (KH,KW,SH,SW) turn x into target. `sizes` may leave some out, `same` may compare otherwise."""
    (H, W), count = x.shape, 0
    for KH, KW, SH, SW in product(range(1, H + 1), range(1, W + 1), range(1, H + 1), range(1, W + 1)):
        if sizes is None or sizes(KH, KW, SH, SW):  # type: ignore[operator]
            y = _windows(x, KH, KW)[::SH, ::SW].max((-2, -1))
            count += bool(np.array_equal(y, target) if same is None else same(y, target))  # type: ignore[operator]
    return count


def count_readings(x: Array, target: Array) -> int:
    return _readings(x, target)


def _broadcast(y: Array, target: Array) -> bool:
    try:
        return bool(np.all(y == target))
    except ValueError:
        return False


def _claims(rng: np.random.Generator) -> list[Case]:
    whole = rng.integers(0, 9, (4, 5)).astype(float)
    return [
        {"x": IMAGE.copy(), "target": np.array([[5.0, 6], [8, 9]])},
        {"x": IMAGE.copy(), "target": np.array([[5.0], [9]])},
        {"x": IMAGE.copy(), "target": np.array([[6.0], [9]])},
        {"x": np.ones((3, 3)), "target": np.ones((2, 2))},
        {"x": whole, "target": _windows(whole, 1, 2)[::2, ::2].max((-2, -1))},
        {"x": whole, "target": _windows(whole, 2, 3)[::1, ::2].max((-2, -1))},
    ]


COUNT_READINGS = Exercise(
    "max_pool_readings",
    4,
    "how many choices (KH, KW, SH, SW) of window and stride, each from 1 to the image's size, pool x into target",
    count_readings,
    _claims,
    {
        "only square windows are tried: KH and KW go their own ways": (
            lambda x, target: _readings(x, target, lambda KH, KW, SH, SW: KH == KW)
        ),
        "the stride is always the window: it goes its own way": (
            lambda x, target: _readings(x, target, lambda KH, KW, SH, SW: (KH, KW) == (SH, SW))
        ),
        "shapes are not compared: == broadcasts, so one number equals a whole map of it; use np.array_equal": (
            lambda x, target: _readings(x, target, None, _broadcast)
        ),
        "the largest window is missing: KH goes to H, and range(1, H) stops before it": (
            lambda x, target: _readings(x, target, lambda KH, KW, SH, SW: len(x) > KH and x.shape[1] > KW)
        ),
        "it stops at the first: how many there are says how sure we can be": (
            lambda x, target: min(1, _readings(x, target))
        ),
    },
    ("readings",),
)  # fmt: skip

# ---------------------------------------------------------------- a kernel from a map


def kernel_from_map(x: Array, y: Array, KH: int, KW: int) -> tuple[Array, int]:
    w, _, rank, _ = np.linalg.lstsq(_windows(x, KH, KW).reshape(-1, KH * KW), y.ravel(), rcond=None)
    return w.reshape(KH, KW), KH * KW - int(rank)


def _maps(rng: np.random.Generator) -> list[Case]:
    shuffled = np.array([[3.0, 1, 8], [9, 4, 2], [5, 7, 6]])
    cases: list[Case] = [
        {"x": shuffled, "y": conv2d_single(shuffled, np.array([[1.0, 2], [3, 4]])), "KH": 2, "KW": 2},
        {"x": IMAGE.copy(), "y": np.array([[5.0, 6], [8, 9]]), "KH": 2, "KW": 2},
    ]
    for size, (KH, KW) in [((5, 6), (2, 3)), ((4, 4), (3, 3)), ((3, 5), (1, 3))]:
        x = rng.standard_normal(size)
        cases.append({"x": x, "y": conv2d_single(x, rng.standard_normal((KH, KW))), "KH": KH, "KW": KW})
    return cases


KERNEL_FROM_MAP = Exercise(
    "kernel_from_map",
    4,
    "the shortest kernel (KH,KW) that turns x into y, and in how many directions it could change without a difference",
    kernel_from_map,
    _maps,
    {
        "the kernel is flipped: row (i, j) of the system is the window as it stands": (
            lambda x, y, KH, KW: (kernel_from_map(x, y, KH, KW)[0][::-1, ::-1], kernel_from_map(x, y, KH, KW)[1])
        ),
        "windows are counted, not their rank: windows that say the same thing twice fix nothing more": (
            lambda x, y, KH, KW: (kernel_from_map(x, y, KH, KW)[0], max(0, KH * KW - y.size))
        ),
        "the rank says what is fixed: what is free is the rest, KH·KW − rank": (
            lambda x, y, KH, KW: (kernel_from_map(x, y, KH, KW)[0], KH * KW - kernel_from_map(x, y, KH, KW)[1])
        ),
    },
    ("w", "free"),
)

# ---------------------------------------------------------------- can this percentage be?


def _percent(printed: str, n: int, reach: Fraction = Fraction(1, 2), ends: bool = True) -> int:
    unit = Fraction(1, 10 ** len(printed.partition(".")[2]))
    off = [abs(Fraction(100 * k, n) - Fraction(printed)) for k in range(n + 1)]
    return sum(d < reach * unit or (ends and d == reach * unit) for d in off)


def possible_percentage(printed: str, n: int) -> int:
    return _percent(printed, n)


POSSIBLE_PERCENTAGE = Exercise(
    "possible_percentage",
    4,
    'how many whole numbers k of n give k/n as it is printed, "87.3" percent, rounded to the digits that are there',
    possible_percentage,
    lambda rng: [
        {"printed": "87.2", "n": 78},
        {"printed": "87.3", "n": 78},
        {"printed": "87", "n": 78},
        {"printed": "90.0", "n": 156},
        {"printed": "12", "n": 8},
        {"printed": "13", "n": 8},
        {"printed": "33.33", "n": 3},
        {"printed": "50", "n": 624},
        *({"printed": f"{100 * rng.random():.1f}", "n": int(rng.integers(20, 400))} for _ in range(6)),
    ],
    {
        "k/n is compared exactly: what is printed was rounded, and may be half a unit of its last digit away": (
            lambda printed, n: sum(Fraction(100 * k, n) == Fraction(printed) for k in range(n + 1))
        ),
        "a whole unit of the last digit is allowed: rounding moves a number by half a unit at most": (
            lambda printed, n: _percent(printed, n, Fraction(1))
        ),
        "digits are cut off, not rounded: 87.18 is printed as 87.2": (
            lambda printed, n: sum(
                0 <= Fraction(100 * k, n) - Fraction(printed) < Fraction(1, 10 ** len(printed.partition(".")[2]))
                for k in range(n + 1)
            )
        ),
        "exactly half a unit is left out: some round it up, some to the even digit, so both ends count": (
            lambda printed, n: _percent(printed, n, ends=False)
        ),
        "the last digit is taken to be the units: 87.2 has one decimal, so half a unit of it is 0.05": (
            lambda printed, n: _percent(printed, n, Fraction(10 ** len(printed.partition(".")[2]), 2))
        ),
    },
    ("possible k",),
)  # fmt: skip

EXERCISES = [ARTICLE_EXAMPLE, COUNT_READINGS, KERNEL_FROM_MAP, POSSIBLE_PERCENTAGE]
