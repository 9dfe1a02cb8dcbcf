"""Figures that depend on the order of scores alone: ROC and precision-recall, for cases counted so often."""

from __future__ import annotations

import numpy as np


class Ranking:
    """Cases in falling order of score, those of one score together.

    scores    (N,) the higher, the sooner called positive
    positive  (N,) bool: which are
    """

    def __init__(self, scores: np.ndarray, positive: np.ndarray) -> None:
        self.order = np.argsort(-scores, kind="stable")
        self.positive = positive[self.order]
        falling = scores[self.order]
        self.ends = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)  # the last case of each score
        self.scores = falling[self.ends]

    def counted(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(TP, FP) (b,U+1) when the cases of the highest 0, 1, … U scores are called positive; counts (b,N)."""
        w = np.take(counts, self.order, axis=1)
        every = np.cumsum(w, axis=1)
        w *= self.positive
        found = np.cumsum(w, axis=1, out=w)
        if len(self.ends) < every.shape[1]:
            every, found = every[:, self.ends], found[:, self.ends]
        every -= found
        nothing = np.zeros((len(w), 1))
        return np.concatenate([nothing, found], 1), np.concatenate([nothing, every], 1)

    def thresholds(self) -> np.ndarray:
        """(U+1,) what a score must be above: halfway between two scores that occur, so that > and ≥ are one."""
        least = 0.0 if self.scores[-1] > 0 else self.scores[-1] - 1e-9  # below which nothing scores
        upper, lower = np.append(max(1.0, self.scores[0]), self.scores), np.append(self.scores, least)
        middle = lower + (upper - lower) / 2
        return np.where(middle < upper, middle, lower)


def area_under_roc(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """How often a positive case scores above another one, ties counting half: trapezia under TP over FP."""
    with np.errstate(invalid="ignore"):
        return (np.diff(fp) * (tp[:, 1:] + tp[:, :-1])).sum(1) / (2 * tp[:, -1] * fp[:, -1])


def average_precision(tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """Precision, averaged over the positive cases as they are found: Σ (R_k − R_{k−1}) P_k."""
    called = tp + fp
    with np.errstate(invalid="ignore"):
        return (np.diff(tp) * tp[:, 1:] / np.maximum(called[:, 1:], 1)).sum(1) / tp[:, -1]


def sensitivity_at(specificity: float, tp: np.ndarray, fp: np.ndarray) -> np.ndarray:
    """The share of positive cases found by the lowest threshold that leaves so many of the others alone."""
    allowed = fp <= (1 - specificity) * fp[:, -1:] + 1e-9
    with np.errstate(invalid="ignore"):
        found = np.where(allowed, tp, 0).max(1) / tp[:, -1]
    return np.where(fp[:, -1] > 0, found, np.nan)


def midranks(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(b,N) the rank of each value among those counted so often, equal ones sharing the mean of theirs."""
    ranking = Ranking(-values, values == values)
    so_far, _ = ranking.counted(counts)
    ranks = (so_far[:, :-1] + so_far[:, 1:] + 1) / 2  # of each value that occurs, in rising order
    return ranks[:, np.searchsorted(-ranking.scores, values)]
