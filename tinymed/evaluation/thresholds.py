"""From which probability on a class is predicted: chosen by a rule, on validation data."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinymed.evaluation.ranking import Ranking
from tinymed.training.metrics import read

RULES = {
    "youden": "sensitivity + specificity − 1 is greatest (Youden 1950): a missed case and a false alarm of equal rates "
    "weigh the same, whatever the prevalence",
    "accuracy": "most cases are predicted rightly; where the class is rare, that leaves many of it unfound",
    "f1": "the harmonic mean of precision and sensitivity is greatest; the others rightly left alone do not count",
    "sensitivity=0.90": "at least such a share of the class is found, at the fewest false alarms",
    "specificity=0.90": "at least such a share of the others is left alone, at the fewest missed cases",
}


def choose_threshold(probabilities: Any, labels: Any, positive: int | None = None, rule: str = "youden") -> float:
    """The threshold of the positive class by one of `RULES`; the share behind = is yours to set.

    For **validation** data: a threshold chosen on the test set flatters every figure taken there.

    probabilities  (N,) or (N,1) of class 1, or (N,2); labels (N,). positive is class 1 if None

    It lies halfway between two probabilities that occur. Where several are equally good, it is the one nearest 0.5.
    Raises ValueError for an unknown rule, for more than two classes, and for labels of one class only.
    """
    p, y = read("choose_threshold", probabilities, labels)
    if p.shape[1] > 2:
        raise ValueError(f"choose_threshold: of {p.shape[1]} classes the likeliest is predicted, without a threshold")
    k = 1 if positive is None else positive
    if k not in (0, 1):
        raise ValueError(f"choose_threshold: positive must be class 0 or 1, got {positive!r}")
    name, share = _rule(rule)
    if len(np.unique(y)) < 2:
        raise ValueError(
            f"choose_threshold: all {len(y)} labels are of class {y[0]}; a threshold is chosen where there are both"
        )
    ranking = Ranking(p[:, k], y == k)
    tp, fp = (counts[0] for counts in ranking.counted(np.ones((1, len(y)))))
    sensitivity, specificity = tp / tp[-1], 1 - fp / fp[-1]
    enough = 1e-9  # of rounding
    worth = {
        "youden": lambda: sensitivity + specificity,
        "accuracy": lambda: tp - fp,
        "f1": lambda: 2 * tp / (tp[-1] + tp + fp),
        "sensitivity": lambda: np.where(sensitivity >= share - enough, 2 + specificity, sensitivity),
        "specificity": lambda: np.where(specificity >= share - enough, 2 + sensitivity, specificity),
    }[name]()
    thresholds = ranking.thresholds()
    best = np.flatnonzero(worth >= worth.max() - enough)
    return float(thresholds[best[np.abs(thresholds[best] - 0.5).argmin()]])


def _rule(rule: str) -> tuple[str, float]:
    """Its name, and the share behind = or NaN."""
    name, equals, given = rule.partition("=")
    try:
        share = float(given) if equals else np.nan
    except ValueError:
        share = -1.0
    if (0 < share <= 1 if equals else rule in RULES) and (not equals or name in ("sensitivity", "specificity")):
        return name, share
    raise ValueError(f"choose_threshold: there is no rule {rule!r}; rules are {', '.join(RULES)}")
