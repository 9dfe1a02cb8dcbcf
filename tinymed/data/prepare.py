"""Preparation that is fitted: what it learns, it learns from the training part of a fold, and applies to the rest.

    prepared = Chain(Impute(), Standardize()).fit(x_train)
    model_input = prepared(x_test)                 # float32, by the training part's medians, means and deviations
    again = from_state(json.loads(json.dumps(prepared.state())))      # the same, bit for bit

A mean, a median or a choice of genes that has seen the test part makes its figures too good.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from tinymed.tensor import Tensor, to_host

GENE_FLOOR, GENE_CEILING = 100.0, 16000.0  # below is noise, above the scanner saturates (Golub 1999, Dudoit 2002)


class Preparation:
    """fit(x, y) learns from training items, calling it applies that to any items; x is a table (N,F).

    columns      names of the table's columns, for messages, given with fit; else they are numbered from 0
    columns_out  names of the columns that come out; None where no names are known

    state() holds all of it as plain numbers, lists and texts. Each raises ValueError for an empty or ragged table,
    another number of columns than it was fitted to, and values that are no numbers or become more than float32 holds.
    """

    kinds: ClassVar[dict[str, type[Preparation]]] = {}  # every subclass by its name
    kept: tuple[str, ...] = ()  # attributes that state() holds
    each: tuple[str, ...] = ()  # those of them that are a number for each column
    gaps = False  # whether NaN may come in
    width: int | None = None
    columns: list[str] | None = None
    columns_out: list[str] | None = None

    def __init_subclass__(cls) -> None:
        there = Preparation.kinds.setdefault(cls.__name__, cls)
        if there.__module__ != cls.__module__:  # else a cell of a notebook is run again
            raise TypeError(f"{there.__module__} has a preparation {cls.__name__}, which runs know by its name")
        Preparation.kinds[cls.__name__] = cls

    def fit(self, x: Any, y: Any = None, columns: Sequence[str] | None = None) -> Preparation:
        """Learn from the training items x (N,F), labels y (N,) where they are needed. Returns itself."""
        self.width, self.columns = None, None if columns is None else list(columns)
        x = self._table(x)
        if columns is not None and len(columns) != x.shape[1]:
            raise ValueError(f"{type(self).__name__}: {len(columns)} names for a table of {x.shape[1]} columns")
        self.width, self.columns_out = x.shape[1], self.columns
        self._learn(x, y)
        return self

    def __call__(self, x: Any) -> np.ndarray:
        """x (N,F) prepared, float32. Raises ValueError before `fit`."""
        if self.width is None:
            raise ValueError(f"{type(self).__name__} has learnt nothing yet: call fit(x) with the training part first")
        with np.errstate(over="ignore"):
            y = self._apply(self._table(x)).astype(np.float32)
        if np.isinf(y).any():
            row, k, *_ = np.argwhere(np.isinf(y))[0]
            column = repr(self.columns_out[k]) if self.columns_out else k
            raise ValueError(f"{type(self).__name__}: column {column} is more than float32 holds in row {row}")
        return y

    def state(self) -> dict[str, Any]:
        """All that was learnt, ready for JSON; `from_state` makes the same again."""
        kept = {name: getattr(self, name, None) for name in ("width", "columns", "columns_out", *self.kept)}
        lists = {name: v.tolist() if isinstance(v, np.ndarray) else v for name, v in kept.items()}  # to the last bit
        return {"kind": type(self).__name__, **lists}

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what another's `state()` holds. Raises KeyError for what is missing, ValueError for a misfit."""
        self.width, self.columns, self.columns_out = (state[name] for name in ("width", "columns", "columns_out"))
        for name in self.kept:
            value = state[name]
            setattr(self, name, np.array(value) if isinstance(value, list) else value)
            if name in self.each and self.width is not None and np.shape(value) != (self.width,):
                raise ValueError(
                    f"{type(self).__name__}: {np.size(value)} numbers as {name!r}, but {self.width} columns"
                )

    def _learn(self, x: np.ndarray, y: Any) -> None:
        """What is learnt of x (N,F) float64."""

    def _apply(self, x: np.ndarray) -> np.ndarray:
        return x

    def _column(self, k: int) -> str:
        return repr(self.columns[k]) if self.columns else str(k)

    def _table(self, x: Any) -> np.ndarray:
        """x as (N,F) float64, checked; a copy, so that nothing done here is seen outside."""
        name, x = type(self).__name__, _array(x)
        if x.dtype.kind not in "fiub" or x.ndim != 2 or 0 in x.shape:
            raise ValueError(f"{name} is for a table of numbers (N,F), got {x.dtype} of shape {x.shape}")
        if self.width is not None and x.shape[1] != self.width:
            raise ValueError(f"{name} was fitted to {self.width} columns, got {x.shape[1]}: is one missing or added?")
        x = x.astype(np.float64)
        wrong = np.isinf(x) if self.gaps else ~np.isfinite(x)
        if wrong.any():
            row, k = np.argwhere(wrong)[0]
            cure = "; put Impute() before it to fill gaps" if np.isnan(x[row, k]) else ""
            raise ValueError(f"{name}: column {self._column(k)} holds {x[row, k]} in row {row}{cure}")
        return x


class Identity(Preparation):
    """y = x: nothing to be learnt. For items of any shape, such as pictures and signals that come scaled."""

    kept = ("shape",)
    shape: Any = None

    def fit(self, x: Any, y: Any = None, columns: Sequence[str] | None = None) -> Identity:
        x = _array(x)
        self.shape, self.width = list(x.shape[1:]), x.shape[1] if x.ndim == 2 else 0
        self.columns = self.columns_out = None if columns is None else list(columns)
        self(x)
        return self

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        self.shape = list(state["shape"])

    def _table(self, x: Any) -> np.ndarray:
        x = _array(x)
        if x.dtype.kind not in "fiub" or x.ndim < 2 or 0 in x.shape:
            raise ValueError(f"Identity is for numbers (N,...), got {x.dtype} of shape {x.shape}")
        if list(x.shape[1:]) != self.shape:
            raise ValueError(f"Identity was fitted to items of shape {tuple(self.shape)}, got {x.shape[1:]}")
        if not np.isfinite(x).all():
            place = tuple(np.argwhere(~np.isfinite(x))[0].tolist())
            raise ValueError(f"item {place[0]} holds {x[place]} at {place[1:]}: drop it, or fill the gap first")
        return x


class Standardize(Preparation):
    """y = (x − μ) / σ, mean and deviation of each column; a constant column becomes 0."""

    kept = each = ("mean", "std")

    def _learn(self, x: np.ndarray, y: Any) -> None:
        self.mean, self.std = _mean_and_deviation(x, ddof=0)
        self.std[self.std == 0] = 1

    def _apply(self, x: np.ndarray) -> np.ndarray:
        return (x - self.mean) / self.std


class Impute(Preparation):
    """NaN becomes the column's median over the training part.

    indicator  also append, for each column that had gaps in the training part, one that is 1 where the value
               was missing, else 0: that a doctor did not ask for a test may tell something too

    fit raises ValueError for a column that has no value at all.
    """

    kept = ("indicator", "median", "missing")
    each = ("median",)
    gaps = True

    def __init__(self, indicator: bool = False) -> None:
        self.indicator = indicator

    def _learn(self, x: np.ndarray, y: Any) -> None:
        gaps = np.isnan(x)
        if gaps.all(0).any():
            k = int(gaps.all(0).argmax())
            raise ValueError(
                f"Impute: column {self._column(k)} has no value in any of the {len(x)} training rows; drop it"
            )
        self.median = np.nanmedian(x, axis=0)
        self.missing = np.flatnonzero(gaps.any(0)) if self.indicator else np.array([], int)
        if self.columns:
            self.columns_out = self.columns + [f"{self.columns[k]} missing" for k in self.missing]

    def _apply(self, x: np.ndarray) -> np.ndarray:
        gaps = np.isnan(x)
        return np.concatenate([np.where(gaps, self.median, x), gaps[:, self.missing.astype(int)]], axis=1)


class LogClip(Preparation):
    """y = log₁₀(min(max(x, low), high)): raw intensities of a gene chip, whose noise grows with the signal."""

    kept = ("low", "high")

    def __init__(self, low: float = GENE_FLOOR, high: float = GENE_CEILING) -> None:
        if not 0 < low < high:
            raise ValueError(f"LogClip needs 0 < low < high, got low {low} and high {high}")
        self.low, self.high = float(low), float(high)

    def _apply(self, x: np.ndarray) -> np.ndarray:
        return np.log10(np.clip(x, self.low, self.high))


class SelectColumns(Preparation):
    """The k columns that best tell two classes apart, by |μ₁ − μ₀| / (σ₁ + σ₀) on training items        (Golub 1999)

    Best first; of equals the earlier. Of more classes, a column counts by the one it best tells from all others.
    `score` (F) has each column's. Raises ValueError where there are not two classes of two items or more. Chosen on
    all items instead of the training part, thousands of genes make any test look good (Ambroise and McLachlan, PNAS
    99:6562, 2002).
    """

    kept = ("k", "chosen", "score")
    each = ("score",)

    def __init__(self, k: int) -> None:
        if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
            raise ValueError(f"SelectColumns needs k, a whole number of 1 or more, got {k!r}")
        self.k = int(k)

    def _learn(self, x: np.ndarray, y: Any) -> None:
        if y is None:
            raise ValueError("SelectColumns chooses by labels: call fit(x, y)")
        y = _array(y).reshape(-1)
        if len(y) != len(x):
            raise ValueError(f"SelectColumns: {len(x)} rows, but {len(y)} labels")
        classes, counts = np.unique(y, return_counts=True)
        if len(classes) < 2 or counts.min() < 2:
            found = ", ".join(f"{n} of class {c}" for c, n in zip(classes, counts))
            raise ValueError(f"SelectColumns tells classes apart, of two items or more each; there are {found}")
        each = classes if len(classes) > 2 else classes[:1]
        self.score = np.max([_told_apart(x[y == c], x[y != c]) for c in each], axis=0)
        self.chosen = np.argsort(-self.score, kind="stable")[: self.k]
        if self.columns:
            self.columns_out = [self.columns[c] for c in self.chosen]

    def _apply(self, x: np.ndarray) -> np.ndarray:
        return x[:, self.chosen]


def _told_apart(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """|μ₁ − μ₀| / (σ₁ + σ₀) of every column."""
    (mean, std), (other_mean, other_std) = (_mean_and_deviation(x, ddof=1) for x in (one, other))
    difference, spread = np.abs(mean - other_mean), std + other_std
    with np.errstate(divide="ignore", invalid="ignore"):
        score = difference / spread
    # no spread: a column that is constant tells nothing, one that is constant in each class tells all
    return np.where(spread > 0, score, np.where(difference > 0, np.finfo(float).max, 0.0))


def _mean_and_deviation(x: np.ndarray, ddof: int) -> tuple[np.ndarray, np.ndarray]:
    """Of every column; of a constant one exactly, whose mean would be rounded and leave a spread."""
    mean, std = x.mean(0), x.std(0, ddof=ddof)
    constant = (x == x[0]).all(0)
    mean[constant], std[constant] = x[0, constant], 0
    return mean, std


class Chain(Preparation):
    """One after another; each is fitted to what those before it make of the training part."""

    gaps = True

    def __init__(self, *steps: Preparation) -> None:
        if not steps:
            raise ValueError("Chain needs a step or more; Identity() does nothing")
        self.steps = steps

    def fit(self, x: Any, y: Any = None, columns: Sequence[str] | None = None) -> Chain:
        for step in self.steps:
            x = step.fit(x, y, columns)(x)
            columns = step.columns_out
        first = self.steps[0]
        self.width, self.columns, self.columns_out = first.width, first.columns, self.steps[-1].columns_out
        return self

    def __call__(self, x: Any) -> np.ndarray:
        for step in self.steps:
            x = step(x)
        return x

    def state(self) -> dict[str, Any]:
        return {**super().state(), "steps": [step.state() for step in self.steps]}

    def restore(self, state: dict[str, Any]) -> None:
        super().restore(state)
        Chain.__init__(self, *map(from_state, state["steps"]))


def from_state(state: dict[str, Any]) -> Preparation:
    """The preparation whose `state()` this is. Raises ValueError for a kind that is not known, or a part missing."""
    kind = state.get("kind") if isinstance(state, dict) else None
    if kind not in Preparation.kinds:
        raise ValueError(f"there is no preparation {kind!r}; there are {', '.join(Preparation.kinds)}")
    made: Preparation = object.__new__(Preparation.kinds[kind])
    try:
        made.restore(state)
    except KeyError as error:
        raise ValueError(f"the state of {kind} has no {error}; fit it anew") from None
    return made


def _array(x: Any) -> np.ndarray:
    return to_host(x.array) if isinstance(x, Tensor) else np.asarray(x)
