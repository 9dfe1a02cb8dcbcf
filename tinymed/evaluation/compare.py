"""Two models on one test set, and one model over several seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinymed.evaluation.bootstrap import DRAWS, Figure, intervals
from tinymed.evaluation.classification import Evaluation
from tinymed.evaluation.regression import RegressionEvaluation


@dataclass(frozen=True)
class Comparison:
    """The second model's figures less the first's, on the same cases.

    differences  {name: Figure}; where an interval leaves out 0, the cases speak for one of the two
    only_first, only_second   how many cases only that model predicts rightly; None for values
    p  of McNemar's exact test: how often a fair coin would divide these so unevenly; None for values, and where a
       group has several cases: these fall together, as throws of a coin do not
    """

    differences: dict[str, Figure]
    only_first: int | None = None
    only_second: int | None = None
    p: float | None = None

    def __str__(self) -> str:
        lines = [f"{name.replace('_', ' '):32} {figure}" for name, figure in self.differences.items()]
        if self.only_first is not None:
            told = f"only the first is right in {self.only_first} cases, only the second in {self.only_second}: "
            no_test = "no p, for cases of one group are not independent"
            lines.append(told + (no_test if self.p is None else f"p = {self.p:.3g} (McNemar, exact)"))
        return "\n".join(lines)


def compare(
    first: Evaluation | RegressionEvaluation,
    second: Evaluation | RegressionEvaluation,
    draws: int = DRAWS,
    seed: int = 0,
) -> Comparison:
    """Compare two models case by case: both are judged on the same draws, so that what is hard for both cancels.

    Groups that one of the two knows are drawn whole. Calibration errors are left out: draws of the cases do not show
    how these move.

    Raises ValueError for evaluations of different cases, as far as labels, names and groups tell, and for different
    classes or kinds.
    """
    if type(first) is not type(second):
        raise ValueError("compare: one tells classes and the other values")
    _same_cases(first, second)
    if isinstance(first, Evaluation) and isinstance(second, Evaluation):
        one, two = ((e.classes, e.positive) for e in (first, second))
        if one != two:
            raise ValueError(f"compare: classes and positive class differ: {one} and {two}")

    def difference(counts: np.ndarray) -> dict[str, np.ndarray]:
        a, b = first.counted(counts), second.counted(counts)
        return {name: b[name] - a[name] for name in a if name != "calibration_error"}

    groups = first.groups if first.groups is not None else second.groups
    found = intervals(difference, len(first), draws, seed, groups)
    for name, figure in found.items():
        if math.isnan(figure.value):
            found[name] = Figure(math.nan, why=first.figures[name].why or second.figures[name].why)
    if not (isinstance(first, Evaluation) and isinstance(second, Evaluation)):
        return Comparison(found)
    right, also = first.predicted == first.labels, second.predicted == second.labels
    a, b = int((right & ~also).sum()), int((also & ~right).sum())
    if not (first.independent and second.independent):
        return Comparison(found, a, b)
    from scipy.stats import binomtest

    return Comparison(found, a, b, float(binomtest(a, a + b).pvalue) if a + b else 1.0)


def _same_cases(first: Any, second: Any) -> None:
    """Refuse two test sets. Groups are compared as texts: a table's are, and an array's may be numbers."""
    here, there = (
        {
            "label": e.labels if isinstance(e, Evaluation) else e.true,
            "name": e.names and np.array(e.names),
            "group": None if e.groups is None else e.groups.astype(str),
        }
        for e in (first, second)
    )
    told = None if len(first) == len(second) else f"{len(first)} and {len(second)} cases"
    for what, one in here.items():
        two = there[what]
        if told is None and one is not None and two is not None and len(wrong := np.flatnonzero(one != two)):
            told = f"the {what} of case {wrong[0]} differs: {one[wrong[0]]} and {two[wrong[0]]}"
    if told:
        raise ValueError(f"compare: the two were judged on different test sets: {told}; judge both on the same cases")


@dataclass(frozen=True)
class Spread:
    """Mean and standard deviation (n − 1) of a figure over n runs; NaN where a run has none."""

    mean: float
    sd: float
    n: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} ± {self.sd:.3f} ({self.n} seeds)" if self.n > 1 else f"{self.mean:.3f} (one seed)"


def over_seeds(runs: Sequence[Any]) -> dict[str, Spread]:
    """How figures move from seed to seed: that is what the making of a model does, while their intervals say what
    the choice of test cases does.

    runs  an Evaluation of each, or its figures: {name: Figure or number}

    Raises ValueError for no runs, and for runs with different figures.
    """
    found = [run if isinstance(run, Mapping) else run.figures for run in runs]
    if not found:
        raise ValueError("over_seeds: there are no runs")
    for k, figures in enumerate(found):
        if list(figures) != list(found[0]):
            raise ValueError(f"over_seeds: run {k} has the figures {list(figures)}, run 0 {list(found[0])}")
    spreads = {}
    for name in found[0]:
        values = [figure.value if isinstance(figure := run[name], Figure) else float(figure) for run in found]
        sd = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
        spreads[name] = Spread(float(np.mean(values)), sd, len(values))
    return spreads
