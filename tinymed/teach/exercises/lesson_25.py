"""Exercises of lesson 25: many genes, few patients."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinymed.teach.check import Case, Exercise

Array = np.ndarray

# ---------------------------------------------------------------- signal to noise


def signal_to_noise(x: Array, y: Array) -> Array:
    return _ratio(x, y, lambda one, zero: one.std(0, ddof=1) + zero.std(0, ddof=1))


def _ratio(x: Array, y: Array, spread: Callable[[Array, Array], Array], signed: bool = False) -> Array:
    """(μ₁ − μ₀) / spread of every column, without its sign unless `signed`; 0 where there is no spread."""
    one, zero = x[y == 1], x[y == 0]
    gap, noise = one.mean(0) - zero.mean(0), spread(one, zero)
    return np.where(noise > 0, (gap if signed else abs(gap)) / np.where(noise > 0, noise, 1), 0)


def _unguarded(x: Array, y: Array) -> Array:
    one, zero = x[y == 1], x[y == 0]
    with np.errstate(invalid="ignore", divide="ignore"):
        return abs(one.mean(0) - zero.mean(0)) / (one.std(0, ddof=1) + zero.std(0, ddof=1))


def _expressed(rng: np.random.Generator) -> list[Case]:
    plain = {"x": np.array([[1.0, 5.0], [3.0, 5.0], [6.0, 4.0], [10.0, 2.0]]), "y": np.array([0, 0, 1, 1])}
    constant = {
        "x": np.array([[2.0, 1.0], [2.0, 4.0], [2.0, 5.0], [2.0, 9.0], [2.0, 6.0]]),
        "y": np.array([1, 0, 0, 1, 0]),
    }
    drawn = [
        {"x": rng.standard_normal((n, genes)), "y": rng.permutation(np.arange(n) < n // 3).astype(int)}
        for n, genes in ((9, 4), (38, 20))
    ]
    return [plain, constant, *drawn]


SIGNAL_TO_NOISE = Exercise(
    "signal_to_noise",
    25,
    "|μ₁ − μ₀| / (s₁ + s₀) of every column, s with ddof=1; 0 for a column that is constant",
    signal_to_noise,
    _expressed,
    {
        "the sign is left: a gene that is active in the other class tells as much, take |μ₁ − μ₀|": (
            lambda x, y: _ratio(x, y, lambda one, zero: one.std(0, ddof=1) + zero.std(0, ddof=1), signed=True)
        ),
        "NumPy's std divides by N; ddof=1 was asked for": (
            lambda x, y: _ratio(x, y, lambda one, zero: one.std(0) + zero.std(0))
        ),
        "variances were added: s₁ + s₀ are standard deviations": (
            lambda x, y: _ratio(x, y, lambda one, zero: one.var(0, ddof=1) + zero.var(0, ddof=1))
        ),
        "√(s₁² + s₀²) is under the line: Golub's measure adds the deviations themselves": (
            lambda x, y: _ratio(x, y, lambda one, zero: np.sqrt(one.var(0, ddof=1) + zero.var(0, ddof=1)))
        ),
        "that is Welch's t: the variances are divided by the numbers of patients": (
            lambda x, y: _ratio(
                x, y, lambda one, zero: np.sqrt(one.var(0, ddof=1) / len(one) + zero.var(0, ddof=1) / len(zero))
            )
        ),
        "the deviation is over all patients together: a gene that tells them apart varies for that very reason": (
            lambda x, y: _ratio(x, y, lambda one, zero: np.concatenate([one, zero]).std(0, ddof=1))
        ),
        "means over the genes of a patient: x is (N,F), and a gene is a column": (
            lambda x, y: abs(x[y == 1].mean(1).mean() - x[y == 0].mean(1).mean()) * np.ones(len(x))
        ),
        "a constant gene gives 0/0: its P is 0": _unguarded,
    },
    ("P",),
)  # fmt: skip

# ---------------------------------------------------------------- choosing inside the folds


def scores_inside_folds(x: Array, y: Array, fold: Array, k: int) -> Array:
    return _scores(x, y, fold, k)


def _largest(gap: Array, k: int) -> Array:
    return np.argsort(-abs(gap), kind="stable")[:k]


def _scores(
    x: Array,
    y: Array,
    fold: Array,
    k: int,
    choose: Callable[[Array, int], Array] = _largest,
    chosen_by: str = "others",
    learnt_from: str = "others",
    middle: bool = True,
) -> Array:
    """The score of each hidden patient; `chosen_by` and `learnt_from`: the others, all, or the hidden ones."""

    def means(who: str, hidden: Array) -> tuple[Array, Array]:
        rows = {"others": ~hidden, "all": np.ones(len(y), bool), "hidden": hidden}[who]
        return x[rows & (y == 1)].mean(0), x[rows & (y == 0)].mean(0)

    scores = np.empty(len(y))
    for hidden in (fold == f for f in np.unique(fold)):
        best = choose(np.subtract(*means(chosen_by, hidden)), k)
        one, zero = (mean[best] for mean in means(learnt_from, hidden))
        scores[hidden] = (x[hidden][:, best] - (one + zero) / 2 * middle) @ (one - zero)
    return scores


def _folded(rng: np.random.Generator) -> list[Case]:
    plain = {
        "x": np.array([[0.0, 9.0], [2.0, 0.0], [4.0, 1.0], [8.0, 5.0]]),
        "y": np.array([0, 0, 1, 1]),
        "fold": np.array([0, 1, 0, 1]),
        "k": 1,
    }
    drawn = []
    for n, genes, folds, k in ((12, 30, 3, 2), (20, 60, 5, 5), (24, 8, 4, 8), (30, 100, 3, 10)):
        y = np.arange(n) % 2
        fold = (np.arange(n) // 2) % folds  # as many of each class in every fold
        order = rng.permutation(n)
        drawn.append({"x": rng.standard_normal((n, genes)), "y": y[order], "fold": fold[order], "k": k})
    return [plain, *drawn]


SCORES_INSIDE_FOLDS = Exercise(
    "scores_inside_folds",
    25,
    "the score of each hidden patient, by genes that were chosen and means that were taken without its fold",
    scores_inside_folds,
    _folded,
    {
        "the genes were chosen on all patients, before the folds: that is the trap": (
            lambda x, y, fold, k: _scores(x, y, fold, k, chosen_by="all")
        ),
        "the means are of all patients: the hidden ones are in them": (
            lambda x, y, fold, k: _scores(x, y, fold, k, learnt_from="all")
        ),
        "genes and means are of all patients: the folds do nothing": (
            lambda x, y, fold, k: _scores(x, y, fold, k, chosen_by="all", learnt_from="all")
        ),
        "turned round: it learns from the fold that is to be hidden": (
            lambda x, y, fold, k: _scores(x, y, fold, k, chosen_by="hidden", learnt_from="hidden")
        ),
        "the largest m₁ − m₀ with their sign: genes active in class 0 tell as much, take |m₁ − m₀|": (
            lambda x, y, fold, k: _scores(x, y, fold, k, lambda gap, k: np.argsort(-gap, kind="stable")[:k])
        ),
        "the smallest gaps were taken: argsort sorts upwards": (
            lambda x, y, fold, k: _scores(x, y, fold, k, lambda gap, k: np.argsort(abs(gap), kind="stable")[:k])
        ),
        "all genes were taken: keep k": lambda x, y, fold, k: _scores(x, y, fold, x.shape[1]),
        "the middle between the means is not taken off: 0 must lie half-way": (
            lambda x, y, fold, k: _scores(x, y, fold, k, middle=False)
        ),
    },
    ("scores",),
)  # fmt: skip

# ---------------------------------------------------------------- R²


def r_squared(predicted: Array, true: Array) -> float:
    return float(1 - ((true - predicted) ** 2).sum() / ((true - true.mean()) ** 2).sum())


def _foretold(rng: np.random.Generator) -> list[Case]:
    plain = {"predicted": np.array([2.0, 4.0, 4.0]), "true": np.array([1.0, 3.0, 5.0])}
    worse = {"predicted": np.array([5.0, 1.0, 2.0, 0.0]), "true": np.array([1.0, 2.0, 4.0, 5.0])}
    drawn = []
    for n in (6, 50):
        true = rng.standard_normal(n)
        drawn.append({"predicted": 0.5 * true + 0.3 * rng.standard_normal(n) + 0.4, "true": true})
    return [plain, worse, *drawn]


R_SQUARED = Exercise(
    "r_squared",
    25,
    "1 − Σ (y − ŷ)² / Σ (y − ȳ)²",
    r_squared,
    _foretold,
    {
        "that is the squared correlation: it forgives a shift and a wrong scale, and cannot fall below 0": (
            lambda predicted, true: float(np.corrcoef(predicted, true)[0, 1] ** 2)
        ),
        "that is the correlation": lambda predicted, true: float(np.corrcoef(predicted, true)[0, 1]),
        "predicted and true are exchanged: the spread is of what is true": (
            lambda predicted, true: r_squared(true, predicted)
        ),
        "that is what is left unexplained: R² is 1 less it": (
            lambda predicted, true: 1 - r_squared(predicted, true)
        ),
        "explained variance: the mean of the errors was taken off, so a constant shift costs nothing": (
            lambda predicted, true: float(1 - (true - predicted).var() / true.var())
        ),
        "the mean is not taken off: the stone to beat says ȳ, not 0": (
            lambda predicted, true: float(1 - ((true - predicted) ** 2).sum() / (true**2).sum())
        ),
        "Σ (ŷ − ȳ)² / Σ (y − ȳ)² is R² only for least squares on its own training data": (
            lambda predicted, true: float(((predicted - true.mean()) ** 2).sum() / ((true - true.mean()) ** 2).sum())
        ),
        "the mean over one and the sum over the other: both sums, or both means": (
            lambda predicted, true: float(1 - ((true - predicted) ** 2).mean() / ((true - true.mean()) ** 2).sum())
        ),
    },
    ("R²",),
)  # fmt: skip

EXERCISES = [SIGNAL_TO_NOISE, SCORES_INSIDE_FOLDS, R_SQUARED]
