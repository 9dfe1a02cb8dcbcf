"""What a regression is worth on a test set: the twin of `Evaluation`, for values in place of classes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np

from tinymed.evaluation.bootstrap import DRAWS, Figure, intervals
from tinymed.evaluation.checks import as_plain, check_groups, check_names
from tinymed.evaluation.ranking import midranks
from tinymed.tensor import Tensor


class RegressionEvaluation:
    """Predicted values, against the true ones of a test set.

    predicted, true  (N,) or (N,1)
    unit             of the values, for axes
    groups, names, draws, seed   as in `Evaluation`

    Raises ValueError for sizes that do not fit, fewer than two cases, and values that are not finite.
    """

    def __init__(
        self,
        predicted: Any,
        true: Any,
        *,
        unit: str = "",
        groups: Any = None,
        names: Sequence[str] | None = None,
        draws: int = DRAWS,
        seed: int = 0,
    ) -> None:
        self.predicted, self.true = (_values(name, v) for name, v in (("predicted", predicted), ("true", true)))
        if self.predicted.shape != self.true.shape or len(self.true) < 2:
            raise ValueError(
                "RegressionEvaluation: expected two or more values (N,) and as many true ones, got "
                f"{self.predicted.shape} and {self.true.shape}"
            )
        n = len(self.true)
        self.unit, self.draws, self.seed = unit, draws, seed
        self.groups = check_groups("RegressionEvaluation", groups, n)
        self.names = check_names("RegressionEvaluation", names, n)

    def __len__(self) -> int:
        return len(self.true)

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """R², MAE, RMSE and Spearman's rank correlation, each with its 95 % interval over draws of the test cases."""
        found = intervals(self.counted, len(self), self.draws, self.seed, self.groups)
        why = "all true values are equal" if np.ptp(self.true) == 0 else "all predicted values are equal"
        return {k: Figure(f.value, why=why) if np.isnan(f.value) else f for k, f in found.items()}

    def counted(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """{name: (b,)}: the figures when each case counts so often; counts (b,N)."""
        total, error = counts.sum(1), self.predicted - self.true
        mean = (counts @ self.true / total)[:, None]
        spread = (counts * (self.true - mean) ** 2).sum(1)
        squared = counts @ error**2
        # values all equal differ from their mean by rounding alone
        spread[spread <= 1e-24 * total * np.abs(mean[:, 0]) ** 2] = np.nan
        spread[spread == 0] = np.nan
        return {
            "r2": 1 - squared / spread,
            "mae": counts @ np.abs(error) / total,
            "rmse": np.sqrt(squared / total),
            "spearman": _correlation(midranks(self.predicted, counts), midranks(self.true, counts), counts),
        }

    def errors(self) -> np.ndarray:
        """Numbers of all cases, the one furthest off first."""
        return np.argsort(-np.abs(self.predicted - self.true), kind="stable")

    def subset(self, cases: Any) -> RegressionEvaluation:
        """The same of some of the cases: a mask (N,) of bool, or numbers."""
        at = np.arange(len(self))[np.asarray(cases)]
        return RegressionEvaluation(
            self.predicted[at], self.true[at], unit=self.unit, draws=self.draws, seed=self.seed,
            groups=None if self.groups is None else self.groups[at],
            names=None if self.names is None else [self.names[k] for k in at],
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain numbers, lists and strings, for JSON; NaN is None."""
        figures = {name: asdict(figure) for name, figure in self.figures.items()}
        return as_plain({"n": len(self), "unit": self.unit, "figures": figures})

    def __str__(self) -> str:
        return "\n".join([f"{len(self)} cases", *(f"{name:32} {figure}" for name, figure in self.figures.items())])


def _values(name: str, values: Any) -> np.ndarray:
    v = values.detach().array if isinstance(values, Tensor) else np.asarray(values)
    v = v[:, 0] if v.ndim == 2 and v.shape[1] == 1 else v
    if v.ndim != 1:
        raise ValueError(f"RegressionEvaluation: {name} values must have shape (N,) or (N,1), got {v.shape}")
    if len(off := np.flatnonzero(~np.isfinite(v))):
        raise ValueError(f"RegressionEvaluation: the {name} value of case {off[0]} is {v[off[0]]}")
    return v.astype(np.float64)


def _correlation(x: np.ndarray, y: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """(b,) Pearson's, of x and y (b,N) counted so often."""
    total = counts.sum(1, keepdims=True)
    x, y = (v - (counts * v).sum(1, keepdims=True) / total for v in (x, y))
    with np.errstate(invalid="ignore"):
        return (counts * x * y).sum(1) / np.sqrt((counts * x**2).sum(1) * (counts * y**2).sum(1))
