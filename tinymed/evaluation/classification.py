"""What a classifier is worth on a test set: figures with intervals, curves, calibration, and its errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from functools import cached_property
from typing import Any

import numpy as np

from tinymed.evaluation.bootstrap import DRAWS, Figure, exact_interval, intervals
from tinymed.evaluation.checks import as_plain, members, named
from tinymed.evaluation.ranking import Ranking, area_under_roc, average_precision, sensitivity_at
from tinymed.evaluation.thresholds import choose_threshold
from tinymed.training.metrics import predicted, read

SPECIFICITY = 0.90  # at which two models' sensitivities can be compared
AT = "sensitivity_at_90_specificity"
RULES = ("youden", "sensitivity=0.95", "sensitivity=0.90", "specificity=0.90")
FIGURES = ("accuracy", "balanced_accuracy", "auc", "average_precision", "sensitivity", "specificity", AT, "macro_f1",
           "brier", "calibration_error")  # fmt: skip


class Evaluation:
    """A classifier's probabilities against the labels of a test set.

    probabilities  (N,) or (N,1) of class 1, or (N,C)
    labels         (N,) in 0…C−1
    positive       number of the class looked for; 1 of two if None
    threshold      of two classes, the positive one is said where its probability is above it
    chosen         how the threshold was chosen, in words
    groups         (N,) whose each case is; intervals then draw whole groups
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
        self.groups, self.names = members("Evaluation", groups, n), named("Evaluation", names, n)
        self.said = predicted(self.probabilities, self.threshold, 1 if self.positive is None else self.positive)

    def __len__(self) -> int:
        return len(self.labels)

    # ---------------------------------------------------------------- figures

    @cached_property
    def figures(self) -> dict[str, Figure]:
        """Every one of `FIGURES` that applies, each with its 95 % interval over draws of the test cases."""
        found = intervals(self.counted, len(self), self.draws, self.seed, self.groups)
        return {name: self._explained(name, figure) for name, figure in found.items()}

    def counted(self, counts: np.ndarray) -> dict[str, np.ndarray]:
        """{name: (b,)}: the figures when each case counts so often; counts (b,N)."""
        C, total = len(self.classes), counts.sum(1)
        sums = counts @ self._summed
        true, said, hits = np.split(sums[:, : 3 * C], 3, axis=1)  # (b,C) each
        with np.errstate(invalid="ignore", divide="ignore"):
            figures = {
                "accuracy": hits.sum(1) / total,
                "balanced_accuracy": (hits / true).mean(1),
                "macro_f1": (2 * hits / (true + said)).mean(1),
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
                figures["specificity"] = (others - said[:, one] + hits[:, one]) / others
        return {name: figures[name] for name in FIGURES if name in figures}

    @cached_property
    def _summed(self) -> np.ndarray:
        """(N,3C+1+B): is of a class, is said to be, both; squared error; in the case's bin the gap, elsewhere 0."""
        eye, p, y = np.eye(len(self.classes)), self.probabilities, self.labels
        square = ((p - eye[y]) ** 2).sum(1, keepdims=True) / (2 if len(eye) == 2 else 1)
        scores, hit, bins = self.binned
        gaps = np.eye(bins.max() + 1)[bins] * (scores - hit)[:, None]
        return np.concatenate([eye[y], eye[self.said], eye[y] * (self.said == y)[:, None], square, gaps], axis=1)

    @cached_property
    def _rankings(self) -> dict[int, Ranking]:
        """The cases in order of each class's probability; of two classes, of the positive one's alone."""
        every = range(len(self.classes)) if len(self.classes) > 2 or self.positive is None else [self.positive]
        return {k: Ranking(self.probabilities[:, k], self.labels == k) for k in every}

    def _explained(self, name: str, figure: Figure) -> Figure:
        """Why a figure is undefined; the exact interval of a rate that is 0 or 1; what chance does to calibration."""
        if name == "calibration_error":
            by_chance = self.calibration_by_chance
            verdict = "no more than" if figure.value <= by_chance else "more than"
            return Figure(
                figure.value, why=f"{verdict} chance alone makes of right probabilities: up to {by_chance:.3f}"
            )
        if np.isnan(figure.value):
            if name == "specificity" and self.positive is not None:
                return replace(figure, why=f"every case is of {self.classes[self.positive]}")
            absent = np.setdiff1d(np.arange(len(self.classes)), self.labels)
            return replace(figure, why=f"no case is of {self.classes[absent[0]]}")
        among = {"accuracy": self.labels >= 0, "sensitivity": self.labels == self.positive,
                 "specificity": self.labels != self.positive}  # fmt: skip
        if figure.value in (0, 1) and name in among:
            cases = np.flatnonzero(among[name])
            n = len(cases) if self.groups is None else len(np.unique(self.groups[cases]))
            low, high = exact_interval(figure.value, n)
            return Figure(figure.value, low, high, f"exact interval of a rate of {figure.value:.0f} in {n}")
        return figure

    @property
    def majority(self) -> tuple[str, float]:
        """The most frequent class, and the accuracy of always saying it, which is the one to beat."""
        counts = np.bincount(self.labels)
        return self.classes[int(counts.argmax())], float(counts.max() / len(self))

    # ---------------------------------------------------------------- behind the figures

    @property
    def confusion_matrix(self) -> np.ndarray:
        """(C,C) counts: the row is the true class, the column the one said."""
        C = len(self.classes)
        return np.bincount(self.labels * C + self.said, minlength=C * C).reshape(C, C)

    def per_class(self) -> list[dict[str, Any]]:
        """Of each class against the rest: class, n, said, precision, recall, f1, auc; NaN where undefined."""
        matrix = self.confusion_matrix
        rows = []
        for k, name in enumerate(self.classes):
            n, said, hits = int(matrix[k].sum()), int(matrix[:, k].sum()), int(matrix[k, k])
            tp, fp = Ranking(self.probabilities[:, k], self.labels == k).counted(np.ones((1, len(self))))
            rows.append({
                "class": name, "n": n, "said": said,
                "precision": hits / said if said else np.nan,
                "recall": hits / n if n else np.nan,
                "f1": 2 * hits / (n + said) if n + said else np.nan,
                "auc": float(area_under_roc(tp, fp)[0]),
            })  # fmt: skip
        return rows

    def roc(self, k: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(1 − specificity, sensitivity, threshold) of class k, the positive one if None, from none said to all."""
        tp, fp, thresholds = self._curve(k)
        return fp / fp[-1], tp / tp[-1], thresholds

    def precision_recall(self, k: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(recall, precision, threshold) of class k, the positive one if None, from the first case said to all."""
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

    def at_specificity(self, specificity: float = SPECIFICITY) -> tuple[float, float]:
        """(sensitivity, threshold) of the lowest threshold that leaves such a share of the others alone.

        The threshold is read off the test set itself: good for comparing models, too good for a promise.
        """
        tp, fp, thresholds = self._curve(None)
        allowed = np.flatnonzero(fp <= (1 - specificity) * fp[-1] + 1e-9)[-1]
        return float(tp[allowed] / tp[-1]), float(thresholds[allowed])

    @cached_property
    def binned(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(N,) of each case: the probability said, whether it came true, and its bin.

        Of two classes, it is the positive one's probability; of more, that of the class said (Guo 2017).
        Bins hold equally many cases each: of equal widths, some would hold two or three and their shares mean nothing.
        """
        if len(self.classes) == 2:
            scores, hit = self.probabilities[:, self.positive], self.labels == self.positive
        else:
            scores, hit = self.probabilities.max(1), self.said == self.labels
        edges = np.quantile(scores, np.linspace(0, 1, max(2, min(10, len(self) // 10)) + 1))
        bins = np.unique(np.searchsorted(edges[1:-1], scores), return_inverse=True)[1]
        return scores, hit.astype(float), bins

    @cached_property
    def calibration_by_chance(self) -> float:
        """The calibration error that 95 % of test sets of these probabilities keep to if all of them are right.

        It takes the place of an interval: chance only ever adds to this error, and draws of the cases add the same
        again, so that their interval would miss the truth (Bröcker and Smith 2007 on consistency resampling).
        """
        scores, _, bins = self.binned
        true = np.random.default_rng(self.seed).random((500, len(self))) < scores
        return float(np.quantile(np.abs((scores - true) @ np.eye(bins.max() + 1)[bins]).sum(1) / len(self), 0.95))

    def calibration(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(probability said, share that came true, cases) of each bin, in rising order."""
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
        chosen = {self.chosen: self.threshold}
        chosen |= {} if self.threshold == 0.5 else {"0.5": 0.5}
        chosen |= {rule: choose_threshold(self.probabilities, self.labels, self.positive, rule) for rule in RULES}
        rows = []
        for rule, threshold in chosen.items():
            said = score > threshold
            tp, fn, fp, tn = (int(n.sum()) for n in (said & true, ~said & true, said & ~true, ~said & ~true))
            rows.append({
                "rule": rule, "threshold": threshold, "tp": tp, "fn": fn, "fp": fp, "tn": tn,
                "sensitivity": tp / (tp + fn), "specificity": tn / (tn + fp),
                "precision": tp / (tp + fp) if tp + fp else np.nan,
            })  # fmt: skip
        return rows

    def errors(self) -> np.ndarray:
        """Numbers of the cases that are said wrongly, the most confidently wrong first."""
        wrong = np.flatnonzero(self.said != self.labels)
        return wrong[np.argsort(self.probabilities[wrong, self.labels[wrong]], kind="stable")]

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
