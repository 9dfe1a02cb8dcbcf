"""Exercises of lesson 20: pictures of a mass, what is drawn anew of them, and a network with shortcuts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- the nearest picture


def nearest_label(train: Array, labels: Array, test: Array) -> Array:
    return labels[(_unit(test) @ _unit(train).T).argmax(1)]


def _unit(x: Array, centred: bool = True) -> Array:
    x = x.reshape(len(x), -1)
    x = x - x.mean(1, keepdims=True) if centred else x
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def _pictures(rng: np.random.Generator) -> list[Case]:
    plain = {
        "train": np.array([[[1.0, 2.0], [3.0, 4.0]], [[4.0, 3.0], [2.0, 1.0]], [[9.0, 9.0], [9.0, 8.0]]]),
        "labels": np.array([1, 2, 3]),
        "test": np.array([[[10.0, 20.0], [30.0, 41.0]], [[8.0, 8.0], [8.0, 7.5]]]),
    }
    drawn = [
        {
            "train": rng.uniform(0.2, 2, (n, 1, 1)) * rng.random((n, 3, 4)) + rng.uniform(0, 2, (n, 1, 1)),
            "labels": rng.permutation(n) + 1,  # a label of its own for each: what was taken is seen
            "test": rng.uniform(0.2, 2, (m, 1, 1)) * rng.random((m, 3, 4)) + rng.uniform(0, 2, (m, 1, 1)),
        }
        for n, m in ((6, 5), (20, 12), (30, 20))
    ]
    return [plain, *drawn]


def _by_distance(train: Array, labels: Array, test: Array) -> Array:
    gap = ((test.reshape(len(test), 1, -1) - train.reshape(1, len(train), -1)) ** 2).sum(2)
    return labels[gap.argmin(1)]


def _by_product(train: Array, labels: Array, test: Array) -> Array:
    return labels[(test.reshape(len(test), -1) @ train.reshape(len(train), -1).T).argmax(1)]


def _by_covariance(train: Array, labels: Array, test: Array) -> Array:
    a, b = (x.reshape(len(x), -1) - x.reshape(len(x), -1).mean(1, keepdims=True) for x in (train, test))
    return labels[(b @ a.T).argmax(1)]


def _numbers(train: Array, labels: Array, test: Array) -> Array:
    return (_unit(test) @ _unit(train).T).argmax(1)


NEAREST_LABEL = Exercise(
    "nearest_label",
    20,
    "for each test picture, the label of the training picture whose pixels correlate best with its own",
    nearest_label,
    _pictures,
    {
        "that is the least squared distance: a brighter copy of a picture is far away by it, and correlates by 1": (
            _by_distance
        ),
        "that is the largest scalar product of pixels: the brightest picture is everybody's neighbour": _by_product,
        "the mean of each picture is to be taken off first; without it that is the cosine": (
            lambda train, labels, test: labels[(_unit(test, False) @ _unit(train, False).T).argmax(1)]
        ),
        "that is the covariance: divide by the length of each picture too, or contrast decides": _by_covariance,
        "those are the numbers of the nearest pictures: their labels were asked for": _numbers,
        "that is the picture least like it: take the largest correlation, not the smallest": (
            lambda train, labels, test: labels[(_unit(test) @ _unit(train).T).argmin(1)]
        ),
    },
    ("labels",),
)  # fmt: skip

# ---------------------------------------------------------------- drawn anew


def flip_and_crop(x: Array, flip: bool, top: int, left: int, padding: int) -> Array:
    return _cropped(x[:, ::-1] if flip else x, top, left, padding)


def _cropped(x: Array, top: int, left: int, padding: int, mode: Any = "edge") -> Array:
    return np.pad(x, padding, mode)[top : top + x.shape[0], left : left + x.shape[1]]


def _windows(rng: np.random.Generator) -> list[Case]:
    plain = {"x": np.arange(1.0, 7.0).reshape(2, 3), "flip": True, "top": 0, "left": 2, "padding": 1}
    drawn = [
        {"x": rng.random(shape).round(2), "flip": flip, "top": top, "left": left, "padding": padding}
        for shape, flip, top, left, padding in (
            ((4, 4), False, 0, 3, 2), ((4, 5), True, 4, 1, 2), ((5, 4), True, 2, 0, 1), ((3, 3), False, 1, 1, 1),
        )
    ]  # fmt: skip
    return [plain, *drawn]


def _flip_later(x: Array, flip: bool, top: int, left: int, padding: int) -> Array:
    y = _cropped(x, top, left, padding)
    return y[:, ::-1] if flip else y


FLIP_AND_CROP = Exercise(
    "flip_and_crop",
    20,
    "x (H,W) mirrored left to right if asked, its edge repeated outwards, and an (H,W) window of that",
    flip_and_crop,
    _windows,
    {
        "zeros lie around the picture: repeat its edge, or a black frame is what the network sees first": (
            lambda x, flip, top, left, padding: _cropped(x[:, ::-1] if flip else x, top, left, padding, "constant")
        ),
        "top and bottom are exchanged: in ultrasound the skin is above, and a shadow falls downwards": (
            lambda x, flip, top, left, padding: _cropped(x[::-1] if flip else x, top, left, padding)
        ),
        "the window was mirrored, not the picture: mirror first": _flip_later,
        "the picture is always mirrored, whatever flip says": (
            lambda x, flip, top, left, padding: _cropped(x[:, ::-1], top, left, padding)
        ),
        "the picture is never mirrored": lambda x, flip, top, left, padding: _cropped(x, top, left, padding),
        "top and left are exchanged: rows first": (
            lambda x, flip, top, left, padding: np.pad(x[:, ::-1] if flip else x, padding, "edge")[
                left : left + x.shape[0], top : top + x.shape[1]
            ]
        ),
        "the edge is mirrored outwards (mode='reflect'), not repeated (mode='edge')": (
            lambda x, flip, top, left, padding: _cropped(
                x[:, ::-1] if flip else x, top, left, padding, "reflect" if min(x.shape) > padding else "edge"
            )
        ),
    },
    ("window",),
)  # fmt: skip

# ---------------------------------------------------------------- the rate


def cosine_rates(lr: float, epochs: int) -> Array:
    return lr / 2 * (1 + np.cos(np.pi * np.arange(epochs) / epochs))


def _lengths(rng: np.random.Generator) -> list[Case]:
    drawn = [{"lr": float(rng.uniform(1e-3, 1)), "epochs": int(n)} for n in rng.integers(5, 40, 3)]
    return [{"lr": 0.1, "epochs": 4}, *drawn]


COSINE_RATES = Exercise(
    "cosine_rates",
    20,
    "the learning rate of every epoch t = 0 … T − 1 by the cosine schedule",
    cosine_rates,
    _lengths,
    {
        "the first epoch is number 0 and learns at the full rate; here it is counted as 1": (
            lambda lr, epochs: lr / 2 * (1 + np.cos(np.pi * np.arange(1, epochs + 1) / epochs))
        ),
        "t goes to T − 1 and is divided by T: here the last epoch learns at rate 0, and learns nothing": (
            lambda lr, epochs: lr / 2 * (1 + np.cos(np.pi * np.arange(epochs) / (epochs - 1)))
        ),
        "a half is missing: the first rate is twice lr": (
            lambda lr, epochs: lr * (1 + np.cos(np.pi * np.arange(epochs) / epochs))
        ),
        "half a wave is gone through, from cos 0 to cos π; here it is a whole one, and the rate rises again": (
            lambda lr, epochs: lr / 2 * (1 + np.cos(2 * np.pi * np.arange(epochs) / epochs))
        ),
        "cos alone falls below 0: add 1 and halve": (
            lambda lr, epochs: lr * np.cos(np.pi * np.arange(epochs) / epochs)
        ),
        "that falls along a straight line": lambda lr, epochs: lr * (1 - np.arange(epochs) / epochs),
        "np.cos takes radians": lambda lr, epochs: lr / 2 * (1 + np.cos(180 * np.arange(epochs) / epochs)),
    },
    ("rates",),
)  # fmt: skip

# ---------------------------------------------------------------- the shortcut


def residual(x: Any, w1: Any, w2: Any) -> Any:
    return x + _branch(x, w1, w2)


def _branch(x: Any, w1: Any, w2: Any) -> Any:
    return (x.relu() @ w1).relu() @ w2


def _blocks(rng: np.random.Generator) -> list[Case]:
    plain = {"x": np.array([[1.0, -2.0]]), "w1": np.array([[1.0], [1.0]]), "w2": np.array([[2.0, 3.0]])}
    drawn = [
        {
            "x": rng.standard_normal((n, f)),
            "w1": rng.standard_normal((f, h)),
            "w2": rng.standard_normal((h, f)),
        }
        for n, f, h in ((3, 4, 5), (2, 3, 3))
    ]
    return [plain, *drawn]


def _shortcut_of(through: Callable[[Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """The block with something else than the identity beside the branch."""
    return lambda x, w1, w2: through(x) + _branch(x, w1, w2)


RESIDUAL = Exercise(
    "residual",
    20,
    "y = x + F(x), F(x) = ReLU(ReLU(x) W1) W2, of x (N,F)",
    residual,
    _blocks,
    {
        "that is F(x) alone: the shortcut x is missing": _branch,
        "the shortcut passes a ReLU: what is below 0 is lost, and no gradient comes back there": (
            _shortcut_of(lambda x: x.relu())
        ),
        "there is a ReLU behind the sum: the next block then gets nothing below 0": (
            lambda x, w1, w2: residual(x, w1, w2).relu()
        ),
        "x is used without its ReLU in front of W1: the order here is ReLU, W1, ReLU, W2": (
            lambda x, w1, w2: x + (x @ w1).relu() @ w2
        ),
        "the ReLU between W1 and W2 is missing": lambda x, w1, w2: x + x.relu() @ w1 @ w2,
        "x − F(x): added, not taken away": lambda x, w1, w2: x - _branch(x, w1, w2),
        "the shortcut is detached: values are right, but its gradient, the 1 in 1 + F′, does not flow": (
            _shortcut_of(lambda x: x.detach())
        ),
    },
    ("y",),
    gradient=True,
)  # fmt: skip

EXERCISES = [NEAREST_LABEL, FLIP_AND_CROP, COSINE_RATES, RESIDUAL]
