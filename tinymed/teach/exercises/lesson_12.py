"""Exercises of lesson 12: counting and judging, without fooling oneself."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- the confusion matrix


def confusion_matrix(true: Array, predicted: Array, C: int) -> Array:
    return np.bincount(true * C + predicted, minlength=C * C).reshape(C, C)


def _predictions(rng: np.random.Generator) -> list[Case]:
    plain = {"true": np.array([0, 0, 0, 1, 1]), "predicted": np.array([0, 1, 1, 1, 1]), "C": 2}
    rare = {"true": np.array([0, 1, 1, 0]), "predicted": np.array([1, 1, 0, 0]), "C": 3}  # nobody is of class 2
    drawn = [{"true": rng.integers(0, C, n), "predicted": rng.integers(0, C, n), "C": C} for n, C in ((20, 2), (50, 4))]
    return [plain, *drawn, rare]


CONFUSION_MATRIX = Exercise(
    "confusion_matrix",
    12,
    "the (C,C) counts of samples, a row a true class, a column a predicted one",
    confusion_matrix,
    _predictions,
    {
        "rows and columns are exchanged: a row is a true class": (
            lambda true, predicted, C: confusion_matrix(predicted, true, C)
        ),
        "the rows are shares: counts were asked for, and their sum is the number of samples": (
            lambda true, predicted, C: (
                confusion_matrix(true, predicted, C)
                / np.maximum(confusion_matrix(true, predicted, C).sum(1, keepdims=True), 1)
            )
        ),
        "the number of classes was taken from the data: a class that nobody is of has a row too": (
            lambda true, predicted, C: confusion_matrix(true, predicted, 1 + max(true.max(), predicted.max()))
        ),
        "only the right ones are counted: off the diagonal stand the mistakes": (
            lambda true, predicted, C: confusion_matrix(true[true == predicted], predicted[true == predicted], C)
        ),
        "matrix[true, predicted] += 1 on whole arrays counts every place once only; use a loop or np.add.at": (
            lambda true, predicted, C: np.minimum(confusion_matrix(true, predicted, C), 1)
        ),
    },
    ("matrix",),
)  # fmt: skip


def sensitivity_specificity(matrix: Array, positive: int) -> tuple[float, float]:
    other = 1 - positive
    return matrix[positive, positive] / matrix[positive].sum(), matrix[other, other] / matrix[other].sum()


def _matrices(rng: np.random.Generator) -> list[Case]:
    plain = [
        {"matrix": np.array([[30, 12], [10, 104]]), "positive": 0},
        {"matrix": np.array([[90, 10], [5, 15]]), "positive": 1},
    ]
    return plain + [{"matrix": rng.integers(1, 60, (2, 2)), "positive": int(k)} for k in rng.integers(0, 2, 4)]


def _by_columns(matrix: Array, positive: int) -> tuple[float, float]:
    return sensitivity_specificity(matrix.T, positive)


SENSITIVITY_SPECIFICITY = Exercise(
    "sensitivity_specificity",
    12,
    "sensitivity and specificity of a 2x2 confusion matrix when class `positive` is looked for",
    sensitivity_specificity,
    _matrices,
    {
        "class 1 is taken for the positive one, whatever was asked: in BreastMNIST it is the healthy one": (
            lambda matrix, positive: sensitivity_specificity(matrix, 1)
        ),
        "the two are exchanged: sensitivity is of the class looked for": (
            lambda matrix, positive: sensitivity_specificity(matrix, 1 - positive)
        ),
        "divided by a column: that is the share of those called ill who are (precision), not of the ill": _by_columns,
        "divided by all samples: each rate is a share of its own row": (
            lambda matrix, positive: (
                matrix[positive, positive] / matrix.sum(),
                matrix[1 - positive, 1 - positive] / matrix.sum(),
            )
        ),
        "both are the accuracy": lambda matrix, positive: (np.trace(matrix) / matrix.sum(),) * 2,
    },
    ("sensitivity", "specificity"),
)  # fmt: skip

# ---------------------------------------------------------------- AUC


def auc_by_ranks(scores: Array, labels: Array) -> float:
    return _pairs(scores, labels, 0.5)


def _pairs(scores: Array, labels: Array, tie: float) -> float:
    ill, well = scores[labels == 1][:, None], scores[labels != 1]
    return float((ill > well).mean() + tie * (ill == well).mean())


def _scored(rng: np.random.Generator) -> list[Case]:
    plain = {"scores": np.array([0.1, 0.4, 0.35, 0.8]), "labels": np.array([0, 0, 1, 1])}
    tied = {"scores": np.array([0.5, 0.5, 0.2, 0.9, 0.9]), "labels": np.array([1, 0, 0, 1, 0])}
    drawn = [
        {"scores": rng.integers(0, levels, n) / levels, "labels": rng.permutation(np.arange(n) < n // 3).astype(int)}
        for n, levels in ((9, 100), (12, 4), (40, 6))
    ]
    alike = {"scores": np.full(6, 0.3), "labels": np.array([0, 1, 0, 1, 1, 0])}
    return [plain, tied, *drawn, alike]


def _by_group(rank: Callable[[Array], Array]) -> Callable[[Array, Array], float]:
    """AUC with a rank for each group of equal scores, from the sizes of the groups."""

    def auc(scores: Array, labels: Array) -> float:
        _, group, count = np.unique(scores, return_inverse=True, return_counts=True)
        P, Q = (labels == 1).sum(), (labels != 1).sum()
        return float((rank(count)[group][labels == 1].sum() - P * (P + 1) / 2) / (P * Q))

    return auc


def _ranked_as_they_come(scores: Array, labels: Array) -> float:
    ranks = np.argsort(np.argsort(scores, kind="stable"), kind="stable") + 1
    P, Q = (labels == 1).sum(), (labels != 1).sum()
    return float((ranks[labels == 1].sum() - P * (P + 1) / 2) / (P * Q))


def _ranked_from_zero(scores: Array, labels: Array) -> float:
    return float(auc_by_ranks(scores, labels) - 1 / (labels != 1).sum())


AUC_BY_RANKS = Exercise(
    "auc_by_ranks",
    12,
    "how often a sample of label 1 scores above one of label 0, a tie counting one half",
    auc_by_ranks,
    _scored,
    {
        "ties count nothing: equal scores count one half, in ranks the mean of theirs": (
            lambda scores, labels: _pairs(scores, labels, 0)
        ),
        "ties count as won: equal scores count one half, in ranks the mean of theirs": (
            lambda scores, labels: _pairs(scores, labels, 1)
        ),
        "tied scores got different ranks, as they stand in the list: they share their mean": _ranked_as_they_come,
        "tied scores got the last rank of theirs, the cumulated count: take their mean, (count − 1)/2 lower": (
            _by_group(np.cumsum)
        ),
        "tied scores got the first rank of theirs: they share the mean": (
            _by_group(lambda count: np.cumsum(count) - count + 1)
        ),
        "a tie of several took one rank only, so all above it rank too low: count every sample": (
            _by_group(lambda count: np.arange(1, len(count) + 1))
        ),
        "the order is turned round: the smallest score has rank 1": (
            lambda scores, labels: 1 - auc_by_ranks(scores, labels)
        ),
        "ranks begin at 1, not at 0": _ranked_from_zero,
        "that is the accuracy at a threshold of 0.5: AUC needs no threshold": (
            lambda scores, labels: float(((scores > 0.5) == (labels == 1)).mean())
        ),
    },
    ("auc",),
)  # fmt: skip

# ---------------------------------------------------------------- normalising


def normalise(train: Array, test: Array) -> tuple[Array, Array]:
    return _by(train, train), _by(test, train)


def _by(x: Array, seen: Array) -> Array:
    std = seen.std(0)
    return (x - seen.mean(0)) / np.where(std == 0, 1, std)


def _tables(rng: np.random.Generator) -> list[Case]:
    plain = {"train": np.array([[1.0, 10.0], [3.0, 30.0]]), "test": np.array([[2.0, 40.0], [4.0, 20.0]])}
    drawn = [
        {"train": 3 + 2 * rng.standard_normal((n, F)), "test": 4 + rng.standard_normal((m, F))}
        for n, m, F in ((8, 5, 3), (20, 4, 2))
    ]
    constant = {"train": np.array([[7.0, 1.0], [7.0, 2.0], [7.0, 6.0]]), "test": np.array([[7.0, 3.0], [8.0, 3.0]])}
    return [plain, *drawn, constant]


@np.errstate(all="ignore")
def _divided_by_zero(train: Array, test: Array) -> tuple[Array, Array]:
    return (train - train.mean(0)) / train.std(0), (test - train.mean(0)) / train.std(0)


def _jointly(train: Array, test: Array) -> tuple[Array, Array]:
    both = np.concatenate([train, test])
    return _by(train, both), _by(test, both)


def _one_for_all(train: Array, test: Array) -> tuple[Array, Array]:
    return (train - train.mean()) / train.std(), (test - train.mean()) / train.std()


NORMALISE = Exercise(
    "normalise_without_leak",
    12,
    "both tables (N,F), column by column, by the mean and standard deviation of the training table",
    normalise,
    _tables,
    {
        "the test table is normalised by its own numbers: take those of the training table": (
            lambda train, test: (_by(train, train), _by(test, test))
        ),
        "mean and deviation are of both tables together: that is the leak": _jointly,
        "one mean for the whole table: each column has its own": _one_for_all,
        "each row by its own numbers: columns are what is alike, rows are patients": (
            lambda train, test: (_by(train.T, train.T).T, _by(test.T, test.T).T)
        ),
        "the test table is left as it was: the network must see both in the same units": (
            lambda train, test: (_by(train, train), test)
        ),
        "a column of one value is divided by 0": _divided_by_zero,
    },
    ("train", "test"),
)  # fmt: skip

# ---------------------------------------------------------------- the threshold


def choose_threshold(scores: Array, labels: Array, wanted: float) -> float:
    return _lowest_kept(scores[labels == 1], wanted)


def _lowest_kept(scores: Array, wanted: float) -> float:
    """The largest threshold that a share `wanted` of the scores reaches."""
    needed = max(1, int(np.ceil(wanted * len(scores) - 1e-9)))
    return float(np.sort(scores)[::-1][needed - 1])


def _to_choose(rng: np.random.Generator) -> list[Case]:
    plain = {
        "scores": np.array([0.9, 0.8, 0.7, 0.3, 0.6, 0.2]),
        "labels": np.array([1, 1, 0, 1, 0, 1]),
        "wanted": 0.75,
    }
    drawn = [
        {"scores": rng.random(n), "labels": rng.permutation(np.arange(n) < n // 3).astype(int), "wanted": wanted}
        for n, wanted in ((12, 0.5), (30, 0.85), (60, 0.93), (9, 1.0), (30, 0.9))
    ]
    return [plain, *drawn]


def _rounded(whole: Callable[[float], int]) -> Callable[[Array, Array, float], float]:
    """The threshold that so many reach as `whole` makes of wanted · P."""
    return lambda scores, labels, wanted: float(
        np.sort(scores[labels == 1])[::-1][max(whole(wanted * (labels == 1).sum()) - 1, 0)]
    )


def _strictly_above(scores: Array, labels: Array, wanted: float) -> float:
    return float(max((t for t in scores if (scores[labels == 1] > t).mean() >= wanted), default=-np.inf))


CHOOSE_THRESHOLD = Exercise(
    "choose_threshold",
    12,
    "the largest threshold that a share `wanted` of the samples of label 1 reaches",
    choose_threshold,
    _to_choose,
    {
        "all samples were counted: sensitivity is a share of those of label 1": (
            lambda scores, labels, wanted: _lowest_kept(scores, wanted)
        ),
        "that is a threshold for specificity: it looks at the samples of label 0": (
            lambda scores, labels, wanted: _lowest_kept(scores[labels == 0], wanted)
        ),
        "sensitivity is reached, but by the smallest threshold: it calls more healthy ones ill than it must": (
            lambda scores, labels, wanted: float(scores.min())
        ),
        "rounded down: a share of at least `wanted` needs ⌈wanted · P⌉ of P to be found": _rounded(int),
        "rounded to the nearest: 8.5 of 10 are at least 9, ⌈wanted · P⌉": _rounded(round),
        "a score equal to τ counts as found: ≥, not >": _strictly_above,
        "(1 − wanted) · P falls a hair short of a whole number, and int() cuts it: compare k ≥ wanted · P": (
            lambda scores, labels, wanted: float(
                np.sort(scores[labels == 1])[int((1 - wanted) * (labels == 1).sum())]
            )
        ),
        "turned round: `wanted` of them lie below that threshold, not above": (
            lambda scores, labels, wanted: -_lowest_kept(-scores[labels == 1], wanted)
        ),
        "a quantile lies between two scores: the largest threshold is a score itself": (
            lambda scores, labels, wanted: float(np.quantile(scores[labels == 1], 1 - wanted))
        ),
    },
    ("threshold",),
)  # fmt: skip

EXERCISES = [CONFUSION_MATRIX, SENSITIVITY_SPECIFICITY, AUC_BY_RANKS, NORMALISE, CHOOSE_THRESHOLD]
