"""Exercises of lesson 21: folds, how sure their mean is, and weights in the units that a measure comes in."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- how sure a mean over folds is


def corrected_standard_error(shares: Array, n_train: int, n_test: int) -> float:
    return _error(shares, 1 / len(shares) + n_test / n_train)


def _error(shares: Array, factor: float, ddof: int = 1) -> float:
    return float(np.sqrt(factor * np.var(shares, ddof=ddof)))


def _judged(rng: np.random.Generator) -> list[Case]:
    plain = {"shares": np.array([0.9, 1.0]), "n_train": 8, "n_test": 2}
    drawn = [
        {"shares": np.round(0.9 + 0.02 * rng.standard_normal(J), 3), "n_train": n_train, "n_test": n_test}
        for J, n_train, n_test in ((5, 455, 114), (15, 455, 114), (10, 90, 10))
    ]
    return [plain, *drawn]


CORRECTED_STANDARD_ERROR = Exercise(
    "corrected_standard_error",
    21,
    "the standard error of the mean of accuracies (J,) of folds, by Nadeau and Bengio's correction",
    corrected_standard_error,
    _judged,
    {
        "that is sd/√J, as if folds were independent: they share their rows, add n_test/n_train to 1/J": (
            lambda shares, n_train, n_test: _error(shares, 1 / len(shares))
        ),
        "that is sd/√J, and with ddof=0: divide by J − 1, and add n_test/n_train to 1/J": (
            lambda shares, n_train, n_test: _error(shares, 1 / len(shares), ddof=0)
        ),
        "np.std as it is says how the folds spread: the error of their mean is asked for, and ddof=1": (
            lambda shares, n_train, n_test: float(np.std(shares))
        ),
        "that says how the folds spread: the error of their mean is asked for": (
            lambda shares, n_train, n_test: _error(shares, 1)
        ),
        "1/J is missing: a few folds are less sure than many": (
            lambda shares, n_train, n_test: _error(shares, n_test / n_train)
        ),
        "n_train and n_test are exchanged": (
            lambda shares, n_train, n_test: _error(shares, 1 / len(shares) + n_train / n_test)
        ),
        "n_test is divided by all rows: it is divided by those that were learnt from": (
            lambda shares, n_train, n_test: _error(shares, 1 / len(shares) + n_test / (n_train + n_test))
        ),
        "the variance over J folds is divided by J − 1 (ddof=1)": (
            lambda shares, n_train, n_test: _error(shares, 1 / len(shares) + n_test / n_train, ddof=0)
        ),
        "the root is missing: that is a variance, not a standard error": (
            lambda shares, n_train, n_test: corrected_standard_error(shares, n_train, n_test) ** 2
        ),
        "the standard deviation stands under the root: its square, the variance, does": (
            lambda shares, n_train, n_test: float(
                np.sqrt((1 / len(shares) + n_test / n_train) * np.std(shares, ddof=1))
            )
        ),
    },
    ("error",),
)  # fmt: skip

# ---------------------------------------------------------------- stratified folds


def fold_numbers(labels: Array, k: int) -> Array:
    return _dealt(labels, lambda n, before: np.arange(n) % k)


def _dealt(labels: Array, deal: Callable[[int, int], Array]) -> Array:
    """Fold numbers that `deal` gives to the n rows of each class; `before`: rows of the classes before it."""
    fold, before = np.empty(len(labels), int), 0
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        fold[rows] = deal(len(rows), before)
        before += len(rows)
    return fold


def _labelled(rng: np.random.Generator) -> list[Case]:
    plain = {"labels": np.array([0, 0, 1, 0, 1]), "k": 2}
    sorted_ = {"labels": np.array([0, 0, 0, 0, 0, 1, 1, 1, 1]), "k": 3}  # as a clinic may hand them over
    drawn = [{"labels": (rng.random(n) < 0.4).astype(int), "k": k} for n, k in ((13, 3), (30, 5))]
    return [plain, sorted_, *drawn, {"labels": rng.integers(0, 3, 25), "k": 4}]


FOLD_NUMBERS = Exercise(
    "fold_numbers",
    21,
    "the fold 0…k−1 of each row: the rows of each class are dealt out to the folds in turn",
    fold_numbers,
    _labelled,
    {
        "the rows are dealt out whatever their class: then a fold can lack a class": (
            lambda labels, k: np.arange(len(labels)) % k
        ),
        "each class goes on where the one before it ended: it begins at fold 0": (
            lambda labels, k: _dealt(labels, lambda n, before: (before + np.arange(n)) % k)
        ),
        "the rows of a class are cut into pieces, one behind the other: they are dealt out in turn": (
            lambda labels, k: _dealt(labels, lambda n, before: np.arange(n) * k // n)
        ),
        "folds are numbered from 0": lambda labels, k: fold_numbers(labels, k) + 1,
        "that is the class of each row, not its fold": lambda labels, k: labels.copy(),
    },
    ("fold",),
)  # fmt: skip

# ---------------------------------------------------------------- weights in raw units


def in_raw_units(w: Array, b: float, mean: Array, std: Array) -> tuple[Array, float]:
    return w / std, b - w / std @ mean


def _models(rng: np.random.Generator) -> list[Case]:
    plain = {"w": np.array([2.0, -1.0]), "b": 1.0, "mean": np.array([10.0, 4.0]), "std": np.array([5.0, 2.0])}
    drawn = [
        {
            "w": rng.standard_normal(F),
            "b": float(rng.standard_normal()),
            "mean": 10 * rng.random(F),
            "std": 0.5 + 3 * rng.random(F),
        }
        for F in (3, 8)
    ]
    return [plain, *drawn]


IN_RAW_UNITS = Exercise(
    "in_raw_units",
    21,
    "weights and bias for raw measures of a model that was fitted to standardised ones",
    in_raw_units,
    _models,
    {
        "the bias stays as it was: the means move it too": lambda w, b, mean, std: (w / std, b),
        "the weights are multiplied by the deviations: x' = (x − μ)/s divides": (
            lambda w, b, mean, std: (w * std, b - w * std @ mean)
        ),
        "the bias is right; the weights are multiplied by the deviations where they are divided": (
            lambda w, b, mean, std: (w * std, b - w / std @ mean)
        ),
        "the weights are divided by the deviations, not multiplied; and the means move the bias": (
            lambda w, b, mean, std: (w * std, b)
        ),
        "w · (x − μ)/s: every weight is divided by s, those that meet the means too": (
            lambda w, b, mean, std: (w * std, b - w @ mean)
        ),
        "the means are taken off with the old weights: with those divided by s": (
            lambda w, b, mean, std: (w / std, b - w @ mean)
        ),
        "the means are added: they are taken off, x − μ": lambda w, b, mean, std: (w / std, b + w / std @ mean),
        "the weights stay as they were: only the bias was changed": (
            lambda w, b, mean, std: (w.copy(), b - w / std @ mean)
        ),
        "divided by the variance: by the deviation s": lambda w, b, mean, std: (w / std**2, b - w / std**2 @ mean),
    },
    ("weights", "bias"),
)  # fmt: skip

EXERCISES = [CORRECTED_STANDARD_ERROR, FOLD_NUMBERS, IN_RAW_UNITS]
