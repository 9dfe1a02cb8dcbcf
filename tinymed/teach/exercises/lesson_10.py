"""Exercises of lesson 10: checking gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinymed.teach.check import Case, Exercise

Array = np.ndarray
Pair = tuple[Callable[[Array], Array], Callable[[Array, Array], Array]]  # forward(x), backward(x, g)

# ---------------------------------------------------------------- differences


def numeric_gradient(f: Callable[[Array], float], x: Array, h: float) -> Array:
    return _differences(f, x, h, lambda low, high, here: (high - low) / (2 * h))


def _differences(f: Callable, x: Array, h: float, slope: Callable[[float, float, float], float]) -> Array:
    slopes = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += h
        down[index] -= h
        slopes[index] = slope(f(down), f(up), f(x))
    return slopes


def _functions(rng: np.random.Generator) -> list[Case]:
    weights = rng.standard_normal((3, 2))
    return [
        {"f": lambda x: float((x * x * x).sum()), "x": np.array([1.0, 2.0]), "h": 0.1},
        {"f": lambda x: float((weights * np.exp(x)).sum()), "x": rng.standard_normal((3, 2)), "h": 1e-2},
        {"f": lambda x: float(np.sin(x).prod()), "x": rng.standard_normal((2, 2, 2)), "h": 1e-3},
        {"f": lambda x: float((x[0] * x[-1] ** 3).sum()), "x": np.array([0.5, -1.0, 2.0, 3.0]), "h": 1e-3},
    ]


NUMERIC_GRADIENT = Exercise(
    "numeric_gradient",
    10,
    "the slope of f along each element of x, by central differences of step h",
    numeric_gradient,
    _functions,
    {
        "this is the forward difference, (f(x + h) − f(x)) / h: the central one steps to both sides": (
            lambda f, x, h: _differences(f, x, h, lambda low, high, here: (high - here) / h)
        ),
        "twice too large: from x − h to x + h it is 2h": (
            lambda f, x, h: _differences(f, x, h, lambda low, high, here: (high - low) / h)
        ),
        "all elements are moved at once: each has a slope of its own, with the others left where they are": (
            lambda f, x, h: np.full(x.shape, (f(x + h) - f(x - h)) / (2 * h))
        ),
        "the sign: f(x + h) − f(x − h), not the other way": (
            lambda f, x, h: _differences(f, x, h, lambda low, high, here: (low - high) / (2 * h))
        ),
    },
    ("slopes",),
)

# ---------------------------------------------------------------- how far apart


def relative_error(a: Array, n: Array) -> float:
    size = np.maximum(np.abs(a), np.abs(n))
    return float((np.abs(a - n) / np.where(size == 0, 1, size)).max())


def _divided(a: Array, n: Array, size: Array) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float((np.abs(a - n) / size).max())


def _gradients(rng: np.random.Generator) -> list[Case]:
    sizes = 10.0 ** rng.integers(-8, 6, (4, 5))
    drawn = rng.standard_normal((4, 5)) * sizes
    return [
        {"a": np.array([1.0, 2.0]), "n": np.array([1.0, 2.5])},
        {"a": np.array([-1.0, 4.0, 3.0]), "n": np.array([1.0, 4.0, 3.0])},
        {"a": np.array([1e-8, 1000.0]), "n": np.array([2e-8, 1000.1])},
        {"a": np.array([[0.0, 5.0], [1.0, 0.0]]), "n": np.array([[0.0, 4.0], [1.0, 0.0]])},
        {"a": np.array([0.0, 1.0]), "n": np.array([1e-3, 1.0])},
        {"a": drawn, "n": drawn * (1 + 1e-3 * rng.standard_normal((4, 5)))},
    ]


RELATIVE_ERROR = Exercise(
    "relative_error",
    10,
    "the largest of |a − n| / max(|a|, |n|), where 0 and 0 count 0",
    relative_error,
    _gradients,
    {
        "this is the absolute error: a difference of 0.001 is small for 1000 and all of it for 0.001": (
            lambda a, n: float(np.abs(a - n).max())
        ),
        "0/0 is NaN where both are 0: divide by something else there": (
            lambda a, n: _divided(a, n, np.maximum(np.abs(a), np.abs(n)))
        ),
        "the mean hides one wrong element among many right ones: take the largest": (
            lambda a, n: float(np.mean(_relative(a, n)))
        ),
        "sizes without the sign: |a| and |n| in the denominator, or −1 and 1 divide by the wrong one": (
            lambda a, n: float((np.abs(a - n) / np.where(np.maximum(a, n) == 0, 1, np.maximum(a, n))).max())
        ),
        "the largest difference over the largest number: one large element hides an error in a small one": (
            lambda a, n: float(np.abs(a - n).max() / max(np.abs(a).max(), np.abs(n).max()))
        ),
        "|a| + |n| in the denominator makes the error about half as large: divide by the larger of the two": (
            lambda a, n: _divided(a, n, np.where((a == 0) & (n == 0), 1, np.abs(a) + np.abs(n)))
        ),
        "the difference keeps its sign, so that elements that are too small never count: take |a − n|": (
            lambda a, n: float(((a - n) / _size(a, n)).max())
        ),
    },
    ("error",),
)


def _size(a: Array, n: Array) -> Array:
    size = np.maximum(np.abs(a), np.abs(n))
    return np.where(size == 0, 1, size)


def _relative(a: Array, n: Array) -> Array:
    return np.abs(a - n) / _size(a, n)


# ---------------------------------------------------------------- which one is wrong


def find_broken(pairs: list[Pair], n: int) -> int:
    rng = np.random.default_rng(0)
    return _found(pairs, lambda k: rng.standard_normal(n), rng.standard_normal)


def _found(
    pairs: list[Pair], point: Callable[[int], Array], cotangent: Callable[[int], Array], agree: Any = None
) -> int:
    for k, (forward, backward) in enumerate(pairs):
        x = point(k)
        g = cotangent(len(forward(x)))
        slope = numeric_gradient(lambda v, f=forward, g=g: float((g * f(v)).sum()), x, 1e-5)  # type: ignore[misc]
        given = backward(x, g)
        wrong = np.abs(slope - given) > 1e-6 + 1e-4 * np.abs(slope) if agree is None else agree(slope, given)
        if np.any(wrong) or (agree is None and np.isnan(given).any()):
            return k
    return -1


def _softmax(x: Array) -> Array:
    e = np.exp(x - x.max())
    return e / e.sum()


def _softmax_back(x: Array, g: Array) -> Array:
    y = _softmax(x)
    return y * (g - (g * y).sum())


TANH: Pair = (np.tanh, lambda x, g: g * (1 - np.tanh(x) ** 2))
RELU: Pair = (lambda x: np.maximum(x, 0), lambda x, g: g * (x > 0))
SOFTMAX: Pair = (_softmax, _softmax_back)
SQUARE: Pair = (lambda x: x * x, lambda x, g: 2 * x * g)
EXP: Pair = (np.exp, lambda x, g: g * np.exp(x))
CUMSUM: Pair = (np.cumsum, lambda x, g: np.cumsum(g[::-1])[::-1])
NO_SQUARE: Pair = (np.tanh, lambda x, g: g * (1 - np.tanh(x)))
SLOPE_ONE: Pair = (lambda x: np.maximum(x, 0), lambda x, g: g)
NOTHING: Pair = (_softmax, lambda x, g: np.zeros_like(x))
TURNED: Pair = (np.cumsum, lambda x, g: np.cumsum(g))
NANS: Pair = (lambda x: np.maximum(x, 0), lambda x, g: np.where(x > 0, g, np.nan))


def _wrong_ones(rng: np.random.Generator) -> list[Case]:
    return [
        {"pairs": [EXP, (np.exp, lambda x, g: g), TANH], "n": 3},
        {"pairs": [TANH, RELU, SQUARE, SOFTMAX, CUMSUM], "n": 4},
        {"pairs": [RELU, SQUARE, NO_SQUARE], "n": 5},
        {"pairs": [SLOPE_ONE, TANH, SOFTMAX], "n": 16},
        {"pairs": [EXP, SOFTMAX, TANH, NOTHING], "n": 4},
        {"pairs": [TANH, TURNED, CUMSUM], "n": 5},
        {"pairs": [SQUARE, EXP, NANS], "n": 16},
    ]


def _nan_passes(slope: Array, given: Array) -> Array:
    return np.abs(slope - given) > 1e-6 + 1e-4 * np.abs(slope)


def _normals(n: int) -> Callable[[int], Array]:
    rng = np.random.default_rng(0)
    return lambda k: rng.standard_normal(n)


def _no_negatives(n: int) -> Callable[[int], Array]:
    rng = np.random.default_rng(0)
    return lambda k: rng.random(n) + 0.1


FIND_BROKEN = Exercise(
    "find_broken",
    10,
    "the index of the pair whose backward does not fit its forward, or −1",
    find_broken,
    _wrong_ones,
    {
        "with ones as the cotangent the outputs of softmax add up to 1, and any gradient of 0 passes: draw g too": (
            lambda pairs, n: _found(pairs, _normals(n), np.ones)
        ),
        "only positive x: what ReLU does to negative numbers stays unseen; draw x from both sides of 0": (
            lambda pairs, n: _found(pairs, _no_negatives(n), np.random.default_rng(1).standard_normal)
        ),
        "at x = 0 wrong slopes agree with right ones, and ReLU has none: draw x": (
            lambda pairs, n: _found(pairs, lambda k: np.zeros(n), np.random.default_rng(1).standard_normal)
        ),
        "NaN passes: every comparison with NaN is false, so ask whether the error is small, not whether it is large": (
            lambda pairs, n: _found(pairs, _normals(n), np.random.default_rng(1).standard_normal, _nan_passes)
        ),
        "the last pair is never asked": lambda pairs, n: find_broken(pairs[:-1], n),
    },
    ("index",),
)

# ---------------------------------------------------------------- a cotangent that exposes


def exposing_cotangent(J: Array, J_broken: Array) -> Array:
    return _positive(np.linalg.svd(J - J_broken)[0][:, 0])


def _positive(g: Array) -> Array:
    return g * np.sign(g[np.abs(g).argmax()])


def _jacobians(rng: np.random.Generator) -> list[Case]:
    y = _softmax(np.array([1.0, 2.0, 3.0]))
    softmax = np.diag(y) - np.outer(y, y)
    a, b = rng.standard_normal((2, 3, 5))
    near = rng.standard_normal((4, 4))
    rank_one = near + np.outer(rng.standard_normal(4), rng.standard_normal(4))
    return [
        {"J": np.diag([1.0, 3.0]), "J_broken": np.diag([1.0, 2.0])},
        {"J": softmax, "J_broken": np.zeros((3, 3))},
        {"J": a, "J_broken": b},
        {"J": a.T.copy(), "J_broken": b.T.copy()},
        {"J": near, "J_broken": rank_one},
    ]


def _largest_row(J: Array, J_broken: Array) -> Array:
    g = np.zeros(len(J))
    g[np.square(J - J_broken).sum(1).argmax()] = 1
    return g


EXPOSING_COTANGENT = Exercise(
    "exposing_cotangent",
    10,
    "the cotangent of length 1 for which a right and a broken backward differ most",
    exposing_cotangent,
    _jacobians,
    {
        "ones expose nothing that the outputs conserve: for the softmax the two do not differ at all": (
            lambda J, J_broken: np.full(len(J), 1 / np.sqrt(len(J)))
        ),
        "this is a direction of x, not of y: g multiplies from the left": (
            lambda J, J_broken: _positive(np.linalg.svd(J - J_broken)[2][0])
        ),
        "the output with the largest error alone: a mixture of outputs can show more": _largest_row,
        "of the Jacobian itself, not of the error: subtract the broken one first": (
            lambda J, J_broken: _positive(np.linalg.svd(J)[0][:, 0])
        ),
        "this is where the error shows least: the largest singular value comes first": (
            lambda J, J_broken: _positive(np.linalg.svd(J - J_broken)[0][:, -1])
        ),
        "of the two that are as good, the one with its largest element positive is asked for": (
            lambda J, J_broken: -exposing_cotangent(J, J_broken)
        ),
    },
    ("g",),
)

EXERCISES = [NUMERIC_GRADIENT, RELATIVE_ERROR, FIND_BROKEN, EXPOSING_COTANGENT]
