"""Exercises of lesson 05: activations, softmax and losses."""

from __future__ import annotations

import numpy as np

from tinymed.teach.check import Case, Exercise

Array = np.ndarray

SHAPES = [(1, 3), (2, 2), (4, 5), (3, 7)]

# ---------------------------------------------------------------- softmax


def softmax(x: Array) -> Array:
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


def _scores(rng: np.random.Generator) -> list[Case]:
    plain = [{"x": np.log([[1.0, 2.0, 5.0]])}]
    drawn = [{"x": 3 * rng.standard_normal(shape)} for shape in SHAPES]
    large = [{"x": np.array([[1000.0, 1001.0, 1002.0]])}, {"x": np.array([[-1000.0, 0.0], [-1000.0, -1001.0]])}]
    return plain + drawn + large


@np.errstate(all="ignore")
def _softmax_as_printed(x: Array) -> Array:
    return np.exp(x) / np.exp(x).sum(1, keepdims=True)


SOFTMAX_STABLE = Exercise(
    "softmax_stable",
    5,
    "the shares e^x / Σ e^x of each row of scores (N,C), for scores of any size",
    softmax,
    _scores,
    {
        "right for small scores only: e^1000 is infinite; subtract each row's largest score first": _softmax_as_printed,
        "the sum runs over the whole batch: each row is a sample of its own and must sum to 1": (
            lambda x: np.exp(x - x.max()) / np.exp(x - x.max()).sum()
        ),
        "the sum runs down the columns, over samples: classes stand side by side in a row, axis 1": (
            lambda x: np.exp(x - x.max(0)) / np.exp(x - x.max(0)).sum(0)
        ),
        "one sum for the whole batch, and e^1000 is infinite: sum each row, after subtracting its largest score": (
            np.errstate(all="ignore")(lambda x: np.exp(x) / np.exp(x).sum())
        ),
        "the sum runs down the columns, and e^1000 is infinite: sum each row, after subtracting its largest score": (
            np.errstate(all="ignore")(lambda x: np.exp(x) / np.exp(x).sum(0))
        ),
        "one largest score for the whole batch: a row that lies far below it then becomes 0 / 0": (
            lambda x: _softmax_as_printed(x - x.max())
        ),
    },
)  # fmt: skip


def softmax_backward(g: Array, y: Array) -> Array:
    return y * (g - (g * y).sum(1, keepdims=True))


def _shares(rng: np.random.Generator) -> list[Case]:
    plain = [{"g": np.array([[0.0, 0.0, 1.0]]), "y": np.array([[1 / 8, 2 / 8, 5 / 8]])}]
    return plain + [{"g": rng.standard_normal(s), "y": softmax(rng.standard_normal(s))} for s in SHAPES]


SOFTMAX_BACKWARD = Exercise(
    "softmax_backward",
    5,
    "from ∂L/∂y and y = softmax(x), both (N,C), to ∂L/∂x",
    softmax_backward,
    _shares,
    {
        "only the diagonal of the Jacobian: every score also changes the other shares, by −y_c·y_k": (
            lambda g, y: g * y * (1 - y)
        ),
        "the sum lacks y: it is Σ_k g_k·y_k, the average of g by shares": (
            lambda g, y: y * (g - g.sum(1, keepdims=True))
        ),
        "the average is not weighted: it is Σ_k g_k·y_k, not the mean of g": (
            lambda g, y: y * (g - g.mean(1, keepdims=True))
        ),
        "the sum runs over the whole batch: the samples do not know of each other": (
            lambda g, y: y * (g - (g * y).sum())
        ),
        "the factor y in front is missing": lambda g, y: g - (g * y).sum(1, keepdims=True),
    },
    ("gx",),
)  # fmt: skip

# ---------------------------------------------------------------- losses


def cross_entropy_gradient(x: Array, t: Array) -> Array:
    return (softmax(x) - _one_hot(x, t)) / len(t)


def _one_hot(x: Array, t: Array) -> Array:
    return np.eye(x.shape[1])[t]


def _classified(rng: np.random.Generator) -> list[Case]:
    plain = [{"x": np.log([[1.0, 2.0, 5.0]]), "t": np.array([2])}]
    return plain + [{"x": rng.standard_normal(s), "t": rng.integers(0, s[1], s[0])} for s in SHAPES[1:]]


CROSS_ENTROPY_GRADIENT = Exercise(
    "cross_entropy_gradient",
    5,
    "the gradient of the mean cross-entropy of scores (N,C) and classes (N)",
    cross_entropy_gradient,
    _classified,
    {
        "the 1/N of the mean is missing: the loss of a batch is an average": (
            lambda x, t: softmax(x) - _one_hot(x, t)
        ),
        "the sign is turned round: it is p − 1 at the right class, so that a step against it raises that score": (
            lambda x, t: (_one_hot(x, t) - softmax(x)) / len(t)
        ),
        "divided by the number of numbers: the mean runs over the N samples, not over the classes too": (
            lambda x, t: (softmax(x) - _one_hot(x, t)) / x.size
        ),
        "that is the gradient for the shares p, −1/p; it still has to go back through softmax": (
            lambda x, t: -_one_hot(x, t) / softmax(x) / len(t)
        ),
        "the 1 is never taken off: p − [c = t], not p": lambda x, t: softmax(x) / len(t),
    },
    ("gx",),
)  # fmt: skip


def bce_with_logits(x: Array, t: Array) -> Array:
    return np.maximum(x, 0) - t * x + np.log1p(np.exp(-abs(x)))


def _logits(rng: np.random.Generator) -> list[Case]:
    plain = [{"x": np.array([0.0, 1.0, -2.0]), "t": np.array([1.0, 0.0, 1.0])}]
    drawn = [
        {"x": 3 * rng.standard_normal(5), "t": rng.random(5)},
        {"x": rng.standard_normal((3, 1)), "t": np.ones((3, 1))},
    ]
    large = [{"x": np.array([1000.0, -1000.0, 40.0]), "t": np.array([0.0, 1.0, 0.0])}]
    return plain + drawn + large


@np.errstate(all="ignore")
def _bce_of_sigmoid(x: Array, t: Array) -> Array:
    p = 1 / (1 + np.exp(-x))
    return -t * np.log(p) - (1 - t) * np.log(1 - p)


@np.errstate(all="ignore")
def _bce_clipped(x: Array, t: Array) -> Array:
    p = np.clip(1 / (1 + np.exp(-x)), 1e-7, 1 - 1e-7)
    return -t * np.log(p) - (1 - t) * np.log(1 - p)


@np.errstate(all="ignore")
def _bce_overflowing(x: Array, t: Array) -> Array:
    return np.log(1 + np.exp(x)) - t * x


BCE_WITH_LOGITS_STABLE = Exercise(
    "bce_with_logits_stable",
    5,
    "the binary cross-entropy of σ(x) and targets t, sample by sample, for scores of any size",
    bce_with_logits,
    _logits,
    {
        "σ is computed first: for large scores it is exactly 0 or 1 and the logarithm infinite": _bce_of_sigmoid,
        "p is clipped: the loss then stops at 16.1, however wrong the answer": _bce_clipped,
        "e^x overflows for large x: ln(1 + e^x) is max(x, 0) + ln(1 + e^−|x|)": _bce_overflowing,
        "x is taken for a probability: it is a score, and σ belongs inside": (
            lambda x, t: -t * np.log(np.clip(x, 1e-7, 1)) - (1 - t) * np.log(np.clip(1 - x, 1e-7, 1))
        ),
        "the mean is taken: every sample's own loss was asked for": (
            lambda x, t: np.full(x.shape, bce_with_logits(x, t).mean())
        ),
        "the part of the targets 0 is missing: −(1 − t)·ln(1 − σ(x))": lambda x, t: t * np.logaddexp(0, -x),
    },
    ("loss",),
)  # fmt: skip

# ---------------------------------------------------------------- an activation


def relu6_backward(g: Array, x: Array) -> Array:
    return g * ((x > 0) & (x < 6))


def _around_the_kinks(rng: np.random.Generator) -> list[Case]:
    plain = [{"g": np.ones(5), "x": np.array([-3.0, 0.0, 2.0, 6.0, 9.0])}]
    return plain + [
        {"g": rng.standard_normal(s), "x": 4 + 4 * rng.standard_normal(s)} for s in ((6,), (3, 4), (2, 1, 3))
    ]


RELU6_BACKWARD = Exercise(
    "relu6_backward",
    5,
    "from ∂L/∂y and x to ∂L/∂x for y = min(max(0, x), 6)",
    relu6_backward,
    _around_the_kinks,
    {
        "that is ReLU: above 6 the curve is flat again and nothing passes": lambda g, x: g * (x > 0),
        "the kinks pass: at exactly 0 and 6 the engine, like PyTorch, takes slope 0": (
            lambda g, x: g * ((x >= 0) & (x <= 6))
        ),
        "g is cut off, not the slope: it is x that must lie between 0 and 6": lambda g, x: np.clip(g, 0, 6),
        "that is forward, times g: the slope is 1 or 0, not y": lambda g, x: g * np.clip(x, 0, 6),
        "g is forgotten: the slope is multiplied by what comes from above": lambda g, x: 1.0 * ((x > 0) & (x < 6)),
    },
    ("gx",),
)  # fmt: skip

EXERCISES = [SOFTMAX_STABLE, SOFTMAX_BACKWARD, CROSS_ENTROPY_GRADIENT, BCE_WITH_LOGITS_STABLE, RELU6_BACKWARD]
