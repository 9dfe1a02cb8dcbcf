"""Exercises of lesson 22: gaps and copies without a leak, and what a test does among a thousand."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- gaps


def fill_gaps(train: Array, test: Array) -> tuple[Array, Array]:
    return _filled(train, test, lambda train, test: np.nanmedian(train, axis=0))


def _filled(train: Array, test: Array, value: Callable[[Array, Array], Array]) -> tuple[Array, Array]:
    """Both tables, NaN being what `value` makes of them."""
    fill = value(train, test)
    return np.where(np.isnan(train), fill, train), np.where(np.isnan(test), fill, test)


def _tables(rng: np.random.Generator) -> list[Case]:
    nan = np.nan
    plain = {"train": np.array([[1.0], [3.0], [nan], [8.0]]), "test": np.array([[nan], [5.0]])}
    cases = [plain]
    for n, m, F in ((7, 5, 2), (20, 9, 3)):
        train, test = (np.round(10 * rng.exponential(size=(rows, F)), 1) for rows in (n, m))
        train[rng.random((n, F)) < 0.25] = nan
        test[rng.random((m, F)) < 0.3] = nan
        train[0], test[0], test[-1] = 4.0, nan, 90.0
        cases.append({"train": train, "test": test})
    return cases


FILL_GAPS = Exercise(
    "fill_gaps",
    22,
    "both tables (N,F), NaN filled by the medians of the training table's columns",
    fill_gaps,
    _tables,
    {
        "the medians are of both tables together: that is the leak": (
            lambda train, test: _filled(train, test, lambda a, b: np.nanmedian(np.concatenate([a, b]), axis=0))
        ),
        "the test table is filled by its own medians: take those of the training table": (
            lambda train, test: (fill_gaps(train, train)[0], fill_gaps(test, test)[0])
        ),
        "filled by the mean: the median was asked for, which a few large values do not move": (
            lambda train, test: _filled(train, test, lambda a, b: np.nanmean(a, axis=0))
        ),
        "filled by 0, which is what the file does: nobody has a blood pressure of 0": (
            lambda train, test: _filled(train, test, lambda a, b: np.zeros(a.shape[1]))
        ),
        "np.median of a column with NaN is NaN: use np.nanmedian": (
            lambda train, test: _filled(train, test, lambda a, b: np.median(a, axis=0))
        ),
        "the gaps were counted as 0 when the medians were taken: leave them out": (
            lambda train, test: _filled(train, test, lambda a, b: np.median(np.nan_to_num(a), axis=0))
        ),
        "one median for the whole table: each column has its own": (
            lambda train, test: _filled(train, test, lambda a, b: np.full(a.shape[1], np.nanmedian(a)))
        ),
        "the test table still has its gaps": lambda train, test: (fill_gaps(train, test)[0], test.copy()),
    },
    ("train", "test"),
)  # fmt: skip

# ---------------------------------------------------------------- copies


def balanced_rows(labels: Array, train: Array) -> Array:
    counts = np.bincount(labels[train], minlength=2)
    return _copied(labels, train, train, int(counts.argmin()), int(abs(counts[1] - counts[0])))


def _copied(labels: Array, train: Array, source: Array, label: int, n: int) -> Array:
    """The training rows, and n more of this label, in turn from `source`."""
    return np.concatenate([train, np.resize(source[labels[source] == label], n)])


def _labelled(rng: np.random.Generator) -> list[Case]:
    plain = {"labels": np.array([0, 0, 0, 1, 0, 1]), "train": np.array([0, 1, 2, 3])}
    cases = [plain]
    for n, share in ((20, 0.3), (24, 0.75), (40, 0.2)):
        labels = rng.permutation((np.arange(n) < share * n).astype(int))
        train = np.sort(rng.permutation(n)[: 3 * n // 4])
        cases.append({"labels": labels, "train": train})
    return cases


def _missing(labels: Array, train: Array) -> tuple[int, int]:
    """The rarer class of the training rows, and how many it lacks."""
    counts = np.bincount(labels[train], minlength=2)
    return int(counts.argmin()), int(abs(counts[1] - counts[0]))


def _of_all(labels: Array, train: Array) -> Array:
    return _copied(labels, train, np.arange(len(labels)), *_missing(labels, train))


def _places(labels: Array, train: Array) -> Array:
    rare, n = _missing(labels, train)
    return np.concatenate([train, np.resize(np.flatnonzero(labels[train] == rare), n)])


def _one_after_another(labels: Array, train: Array) -> Array:
    rare, n = _missing(labels, train)
    rows = train[labels[train] == rare]
    return np.concatenate([train, np.sort(np.resize(rows, n))])


def _cut_down(labels: Array, train: Array) -> Array:
    rare, _ = _missing(labels, train)
    few = train[labels[train] == rare]
    return np.sort(np.concatenate([few, train[labels[train] != rare][: len(few)]]))


BALANCED_ROWS = Exercise(
    "balanced_rows",
    22,
    "the training rows, then its rows of the rarer class in turn, until both classes are equally frequent",
    balanced_rows,
    _labelled,
    {
        "copies were taken from all rows: those of the test part are the leak": _of_all,
        "those are places within train, not numbers of rows: take train[...]": _places,
        "the rows of label 1 were copied, though label 0 is rarer in some cases": (
            lambda labels, train: _copied(labels, train, train, 1, _missing(labels, train)[1])
        ),
        "all rare rows were added once: go on, in turn, until both classes are equal": (
            lambda labels, train: np.concatenate([train, train[labels[train] == _missing(labels, train)[0]]])
        ),
        "the training rows themselves are missing: the copies come after them": (
            lambda labels, train: balanced_rows(labels, train)[len(train) :]
        ),
        "in turn: all rare rows once, then all again, not each one's copies side by side": _one_after_another,
        "the more frequent class was cut down: rows of the rarer one are to be copied": _cut_down,
        "the classes were counted over all rows: count those of the training part": (
            lambda labels, train: _copied(labels, train, train, *_missing(labels, np.arange(len(labels))))
        ),
    },
    ("rows",),
)  # fmt: skip

# ---------------------------------------------------------------- of a thousand


def of_a_thousand(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, float, float, float]:
    ill = 1000 * prevalence
    well = 1000 - ill
    return ill * sensitivity, ill * (1 - sensitivity), well * (1 - specificity), well * specificity


def _rates(rng: np.random.Generator) -> list[Case]:
    plain = {"sensitivity": 0.9, "specificity": 0.8, "prevalence": 0.1}
    drawn = [
        {name: float(value) for name, value in zip(plain, np.round(0.05 + 0.9 * rng.random(3), 3))} for _ in range(4)
    ]
    return [plain, *drawn]


def _precision_for_sensitivity(sensitivity: float, specificity: float, prevalence: float) -> tuple[float, ...]:
    """Sensitivity taken for a share of all."""
    tp, tn = 1000 * sensitivity * prevalence, 1000 * specificity
    return tp, 1000 * prevalence - tp, 1000 - tn, tn


OF_A_THOUSAND = Exercise(
    "of_a_thousand",
    22,
    "TP, FN, FP and TN among 1000 people, by sensitivity, specificity and prevalence",
    of_a_thousand,
    _rates,
    {
        "specificity is the share of the well that is left alone: false alarms are 1 − specificity of them": (
            lambda sensitivity, specificity, prevalence: of_a_thousand(sensitivity, 1 - specificity, prevalence)
        ),
        "missed and falsely alarmed are exchanged: TP, FN, FP, TN": (
            lambda sensitivity, specificity, prevalence: tuple(
                of_a_thousand(sensitivity, specificity, prevalence)[k] for k in (0, 2, 1, 3)
            )
        ),
        "the prevalence is the share of the ill, not of the well": (
            lambda sensitivity, specificity, prevalence: of_a_thousand(sensitivity, specificity, 1 - prevalence)
        ),
        "sensitivity and specificity are exchanged: the first is of the ill": (
            lambda sensitivity, specificity, prevalence: of_a_thousand(specificity, sensitivity, prevalence)
        ),
        "half of the thousand were taken as ill: the prevalence says how many are": (
            lambda sensitivity, specificity, prevalence: of_a_thousand(sensitivity, specificity, 0.5)
        ),
        "specificity was taken of all 1000: it is of the well": _precision_for_sensitivity,
        "those are shares: how many of 1000": (
            lambda sensitivity, specificity, prevalence: tuple(
                n / 1000 for n in of_a_thousand(sensitivity, specificity, prevalence)
            )
        ),
    },
    ("tp", "fn", "fp", "tn"),
)  # fmt: skip

EXERCISES = [FILL_GAPS, BALANCED_ROWS, OF_A_THOUSAND]
