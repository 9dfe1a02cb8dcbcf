"""What a classifier is worth on a test set: figures with intervals, curves, calibration, and its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import numpy as np

from tinymed.evaluation.bootstrap import DRAWS, Figure, exact_interval, intervals
from tinymed.evaluation.calibration import equal_bins, error_by_chance
from tinymed.evaluation.checks import as_plain, check_groups, check_names
from tinymed.evaluation.ranking import Ranking, area_under_roc, average_precision, sensitivity_at
from tinymed.evaluation.thresholds import choose_threshold
from tinymed.training.metrics import predicted, read

SPECIFICITY = 0.90  # at which two models' sensitivities can be compared
AT = "sensitivity_at_90_specificity"
TRADES = ("youden", "sensitivity=0.95", "sensitivity=0.90", "specificity=0.90")  # rules of the table of thresholds
FIGURES = ("accuracy", "balanced_accuracy", "auc", "average_precision", "sensitivity", "specificity", AT, "macro_f1",
           "brier", "calibration_error")  # fmt: skip


class Evaluation:
    """A classifier's probabilities against the labels of a test set.

    probabilities  (N,) or (N,1) of class 1, or (N,C)
    labels         (N,) in 0…C−1
    positive       number of the class looked for; 1 of two if None
    threshold      of two classes, the positive one is predicted where its probability is above it
    chosen         how the threshold was chosen, in words
    groups         (N,) whose each case is; several cases of one group are not independent, and are drawn together
    names          (N,) what each case is called
    draws, seed    of the bootstrap

    Raises ValueError for sizes that do not fit, probabilities that are none, and groups that are None or NaN.
    """

    def __init__(
        self,
        probabilities: Any,
        labels: Any,
        classes: Sequence[str],
        *,
        positive: int | None = None,
        threshold: float = 0.5,
        chosen: str = "fixed beforehand",
        groups: Any = None,
        names: Sequence[str] | None = None,
        draws: int = DRAWS,
        seed: int = 0,
    ) -> None:
        self.probabilities, self.labels = read("Evaluation", probabilities, labels)
        n, C = self.probabilities.shape
        self.classes = tuple(str(name) for name in classes)
        if len(self.classes) != C:
            raise ValueError(
                f"Evaluation: {C} classes are predicted, but {len(self.classes)} are named: {self.classes}"
            )
        if len(off := np.flatnonzero(np.abs(self.probabilities.sum(1) - 1) > 1e-3)):
            raise ValueError(
                f"Evaluation: the probabilities of case {off[0]} sum to {self.probabilities[off[0]].sum():.4g}, not "
                "to 1; scores need a softmax first"
            )
        if positive is not None and (isinstance(positive, bool) or positive not in range(C)):
            raise ValueError(f"Evaluation: positive must be one of the classes 0…{C - 1}, got {positive!r}")
        if not np.isfinite(threshold):
            raise ValueError(f"Evaluation: the threshold must be a number, got {threshold}")
        self.positive = 1 if positive is None and C == 2 else positive
        self.threshold, self.chosen, self.draws, self.seed = float(threshold), chosen, draws, seed
        self.groups, self.names = check_groups("Evaluation", groups, n), check_names("Evaluation", names, n)
        self.predicted = predicted(self.probabilities, self.threshold, 1 if self.positive is None else self.positive)

    def __len__(self) -> int:
        return len(self.labels)

    # ---------------------------------------------------------------- figures

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """Every one of `FIGURES` that applies, each with its 95 % interval.

        Accuracy, sensitivity and specificity count independent cases, and have the exact interval of a share (Clopper
        and Pearson 1934). All others, and these too where a group has several cases, have the bootstrap's, over draws
        of cases or of whole groups. `Figure.why` says which it is where it is not the bootstrap's.
        """
        found = intervals(self.counted, len(self), self.draws, self.seed, self.groups)
        return {name: self._explained(name, figure) for name, figure in found.items()}

    def counted(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """{name: (b,)}: the figures when each case counts so often; counts (b,N)."""
        C, total = len(self.classes), counts.sum(1)
        sums = counts @ self._summed
        true, called, hits = np.split(sums[:, : 3 * C], 3, axis=1)  # (b,C) each
        with np.errstate(invalid="ignore", divide="ignore"):
            figures = {
                "accuracy": hits.sum(1) / total,
                "balanced_accuracy": (hits / true).mean(1),
                "macro_f1": (2 * hits / (true + called)).mean(1),
                "brier": sums[:, 3 * C] / total,
                "calibration_error": np.abs(sums[:, 3 * C + 1 :]).sum(1) / total,
            }
            areas = {}
            for k, ranking in self._rankings.items():
                tp, fp = ranking.counted(counts)
                areas[k] = area_under_roc(tp, fp), average_precision(tp, fp)
                if k == self.positive:
                    figures[AT] = sensitivity_at(SPECIFICITY, tp, fp)
            figures["auc"], figures["average_precision"] = np.mean(list(areas.values()), axis=0)
            if (one := self.positive) is not None:
                others = total - true[:, one]
                figures["sensitivity"] = hits[:, one] / true[:, one]
                figures["specificity"] = (others - called[:, one] + hits[:, one]) / others
        return {name: figures[name] for name in FIGURES if name in figures}

    @cached_property
    def _summed(self) -> np.ndarray:
        """(N,3C+1+B): is of a class, is predicted to be, both; squared error; in the case's bin the gap, else 0."""
        eye, p, y = np.eye(len(self.classes)), self.probabilities, self.labels
        square = ((p - eye[y]) ** 2).sum(1, keepdims=True) / (2 if len(eye) == 2 else 1)
        scores, hit, bins = self.binned
        gaps = np.eye(bins.max() + 1)[bins] * (scores - hit)[:, None]
        return np.concatenate([eye[y], eye[self.predicted], eye[y] * (self.predicted == y)[:, None], square, gaps], 1)

    @cached_property
    def _rankings(self) -> dict[int, Ranking]:
        """The cases in order of each class's probability; of two classes, of the positive one's alone."""
        every = range(len(self.classes)) if len(self.classes) > 2 or self.positive is None else [self.positive]
        return {k: Ranking(self.probabilities[:, k], self.labels == k) for k in every}

    @cached_property
    def units(self) -> np.ndarray:
        """(N,) the number of each case's group; its own number where no groups are known."""
        return np.arange(len(self)) if self.groups is None else np.unique(self.groups, return_inverse=True)[1]

    @property
    def independent(self) -> bool:
        """Is no group of several cases known?"""
        return int(self.units.max()) + 1 == len(self)

    def _explained(self, name: str, figure: Figure) -> Figure:
        """Why a figure is undefined; the exact interval of a share; what chance does to calibration."""
        if name == "calibration_error":
            return Figure(figure.value, why=f"chance alone gives up to {self.calibration_by_chance:.3f}")
        if np.isnan(figure.value):
            if name == "specificity" and self.positive is not None:
                return replace(figure, why=f"every case is of {self.classes[self.positive]}")
            absent = np.setdiff1d(np.arange(len(self.classes)), self.labels)
            return replace(figure, why=f"no case is of {self.classes[absent[0]]}")
        among = {"accuracy": self.labels >= 0, "sensitivity": self.labels == self.positive,
                 "specificity": self.labels != self.positive}  # fmt: skip
        if name in among and (self.independent or figure.value in (0, 1)):  # of which the bootstrap gives none
            n = len(np.unique(self.units[among[name]]))
            hits = round(figure.value * n)
            why = f"exact interval of {hits} in {n} {'cases' if self.independent else 'groups'}"
            return Figure(figure.value, *exact_interval(hits, n), why)
        return figure

    @property
    def majority(self) -> tuple[str, float]:
        """The most frequent class, and the accuracy of always saying it, which is the one to beat."""
        counts = np.bincount(self.labels)
        return self.classes[int(counts.argmax())], float(counts.max() / len(self))

    # ---------------------------------------------------------------- behind the figures

    @property
    def confusion_matrix(self) -> np.ndarray:
        """(C,C) counts: the row is the true class, the column the predicted one."""
        C = len(self.classes)
        return np.bincount(self.labels * C + self.predicted, minlength=C * C).reshape(C, C)

    def per_class(self) -> list[dict[str, Any]]:
        """Of each class against the rest: class, n, predicted, precision, recall, f1, auc; NaN where undefined."""
        matrix = self.confusion_matrix
        rows = []
        for k, name in enumerate(self.classes):
            n, called, hits = int(matrix[k].sum()), int(matrix[:, k].sum()), int(matrix[k, k])
            tp, fp = Ranking(self.probabilities[:, k], self.labels == k).counted(np.ones((1, len(self))))
            rows.append({
                "class": name, "n": n, "predicted": called,
                "precision": hits / called if called else np.nan,
                "recall": hits / n if n else np.nan,
                "f1": 2 * hits / (n + called) if n + called else np.nan,
                "auc": float(area_under_roc(tp, fp)[0]),
            })  # fmt: skip
        return rows

    def roc(self, k: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(1 − specificity, sensitivity, threshold) of class k, the positive one if None, from none called to all."""
        tp, fp, thresholds = self._curve(k)
        return fp / fp[-1], tp / tp[-1], thresholds

    def precision_recall(self, k: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(recall, precision, threshold) of class k, the positive one if None, from the first case called to all."""
        tp, fp, thresholds = (values[1:] for values in self._curve(k))
        return tp / tp[-1], tp / (tp + fp), thresholds

    def _curve(self, k: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        k = self.positive if k is None else k
        if k is None:
            raise ValueError(f"with {len(self.classes)} classes, say of which the curve is: 0…{len(self.classes) - 1}")
        if len(np.unique(self.labels == k)) < 2:
            raise ValueError(f"of {len(self)} cases all or none are of {self.classes[k]}; a curve needs both")
        ranking = Ranking(self.probabilities[:, k], self.labels == k)
        tp, fp = ranking.counted(np.ones((1, len(self))))
        return tp[0], fp[0], ranking.thresholds()

    @cached_property
    def binned(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) of each case: the predicted probability, whether it came true, and its bin.

        Of two classes, it is the positive one's probability; of more, that of the predicted class (Guo 2017).
        """
        if len(self.classes) == 2:
            scores, hit = self.probabilities[:, self.positive], self.labels == self.positive
        else:
            scores, hit = self.probabilities.max(1), self.predicted == self.labels
        return scores, hit.astype(float), equal_bins(scores)

    @cached_property
    def calibration_by_chance(self) -> float:
        """The calibration error that 95 % of such test sets keep to where all probabilities are right."""
        return error_by_chance(*self.binned, self.units, self.seed)

    def calibration(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(predicted probability, share that came true, cases) of each bin, in rising order."""
        scores, hit, bins = self.binned
        n = np.bincount(bins)
        return np.bincount(bins, scores) / n, np.bincount(bins, hit) / n, n

    def threshold_table(self) -> list[dict[str, Any]]:
        """What each threshold costs in cases: rule, threshold, tp, fn, fp, tn, sensitivity, specificity, precision.

        The first is the one in force. The others are chosen on the test set itself, to show what there is to trade;
        a threshold to be used is chosen on validation data. Empty where there are more than two classes.
        """
        if len(self.classes) != 2 or len(np.unique(self.labels)) != 2:
            return []
        score, true = self.probabilities[:, self.positive], self.labels == self.positive
        rules = [(self.chosen, self.threshold), *([] if self.threshold == 0.5 else [("0.5", 0.5)])]
        rules += [(rule, choose_threshold(self.probabilities, self.labels, self.positive, rule)) for rule in TRADES]
        rows = []
        for rule, threshold in rules:
            called = score > threshold
            tp, fn, fp, tn = (int(n.sum()) for n in (called & true, ~called & true, called & ~true, ~called & ~true))
            rows.append({
                "rule": rule, "threshold": threshold, "tp": tp, "fn": fn, "fp": fp, "tn": tn,
                "sensitivity": tp / (tp + fn), "specificity": tn / (tn + fp),
                "precision": tp / (tp + fp) if tp + fp else np.nan,
            })  # fmt: skip
        return rows

    def errors(self) -> np.ndarray:
        """Numbers of the cases predicted wrongly, the most confidently wrong first."""
        wrong = np.flatnonzero(self.predicted != self.labels)
        return wrong[np.argsort(-self.probabilities[wrong, self.predicted[wrong]], kind="stable")]

    def subset(self, cases: Any) -> Evaluation:
        """The same of some of the cases: a mask (N,) of bool, or numbers."""
        at = np.arange(len(self))[np.asarray(cases)]
        return Evaluation(
            self.probabilities[at], self.labels[at], self.classes, positive=self.positive, threshold=self.threshold,
            chosen=self.chosen, groups=None if self.groups is None else self.groups[at],
            names=None if self.names is None else [self.names[k] for k in at], draws=self.draws, seed=self.seed,
        )  # fmt: skip

    def to_dict(self) -> dict[str, Any]:
        """All of it in plain numbers, lists and strings, for JSON; NaN is None."""
        plain = {
            "n": len(self), "classes": self.classes,
            "counts": np.bincount(self.labels, minlength=len(self.classes)),
            "positive": None if self.positive is None else self.classes[self.positive],
            "threshold": self.threshold if len(self.classes) == 2 else None, "chosen": self.chosen,
            "majority": dict(zip(("class", "share"), self.majority)),
            "figures": {name: asdict(figure) for name, figure in self.figures.items()},
            "confusion_matrix": self.confusion_matrix, "per_class": self.per_class(),
        }  # fmt: skip
        return as_plain(plain)

    def __str__(self) -> str:
        name, share = self.majority
        lines = [f"{len(self)} cases; always saying {name} is right in {share:.3f}"]
        return "\n".join([*lines, *(f"{key.replace('_', ' '):32} {figure}" for key, figure in self.figures.items())])
