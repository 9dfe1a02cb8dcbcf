"""Metrics: how good probabilities are against labels.

Everywhere, probabilities are (N,) or (N,1), those of class 1, or (N,C), one column a class; labels are (N,) or
(N,1) whole numbers 0…C−1. `positive` is the class that is looked for: mind BreastMNIST, where 0 is malignant.
With two classes the positive one is predicted where its probability is above `threshold`; with more, the
likeliest is.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinymed.tensor import Tensor


class UndefinedMetricWarning(UserWarning):
    """A metric that the data leave undefined (0/0) is NaN."""


def accuracy(probabilities: Any, labels: Any, threshold: float = 0.5) -> float:
    """The share of samples whose class is predicted rightly."""
    p, y = read("accuracy", probabilities, labels)
    return float((predicted(p, threshold, 1) == y).mean())


def balanced_accuracy(probabilities: Any, labels: Any, threshold: float = 0.5) -> float:
    """The mean over the classes of the share of each that is predicted rightly: 1/C for saying always the same."""
    p, y = read("balanced_accuracy", probabilities, labels)
    matrix = _confusion(p, y, threshold, 1)
    if (absent := np.flatnonzero(matrix.sum(1) == 0)).size:
        return _undefined("balanced_accuracy", f"class {absent[0]} has no sample among {len(y)}")
    return float((matrix.diagonal() / matrix.sum(1)).mean())


def majority_share(labels: Any) -> float:
    """The share of the most frequent class: the accuracy of always saying it, which is the one to beat."""
    y = np.asarray(_array(labels)).reshape(-1)
    if not y.size:
        raise ValueError("majority_share: there are no labels")
    return float(np.unique(y, return_counts=True)[1].max() / y.size)


def confusion_matrix(
    probabilities: Any, labels: Any, threshold: float = 0.5, positive: int | None = None
) -> np.ndarray:
    """(C,C) counts: the row is the true class, the column the predicted one."""
    p, y = read("confusion_matrix", probabilities, labels)
    return _confusion(p, y, threshold, _looked_for("confusion_matrix", p, positive))


def sensitivity(probabilities: Any, labels: Any, threshold: float = 0.5, positive: int | None = None) -> float:
    """TP / (TP + FN): the share of the positive ones that are found (also called recall)."""
    tp, fn, _, _ = _counts("sensitivity", probabilities, labels, threshold, positive)
    return _ratio("sensitivity", tp, tp + fn, "no sample is of the positive class")


def specificity(probabilities: Any, labels: Any, threshold: float = 0.5, positive: int | None = None) -> float:
    """TN / (TN + FP): the share of the others that are rightly left alone."""
    _, _, fp, tn = _counts("specificity", probabilities, labels, threshold, positive)
    return _ratio("specificity", tn, tn + fp, "every sample is of the positive class")


def precision(probabilities: Any, labels: Any, threshold: float = 0.5, positive: int | None = None) -> float:
    """TP / (TP + FP): the share of those called positive that are."""
    tp, _, fp, _ = _counts("precision", probabilities, labels, threshold, positive)
    return _ratio("precision", tp, tp + fp, "no sample is called positive")


def f1(probabilities: Any, labels: Any, threshold: float = 0.5, positive: int | None = None) -> float:
    """2TP / (2TP + FP + FN); with more than two classes and none named, the mean over the classes (macro F1)."""
    p, y = read("f1", probabilities, labels)
    if p.shape[1] > 2 and positive is None:
        return float(np.mean([f1(p, y, threshold, k) for k in range(p.shape[1])]))
    tp, fn, fp, _ = _counts("f1", p, y, threshold, positive)
    return _ratio("f1", 2 * tp, 2 * tp + fp + fn, "no sample is of the positive class or called so")


def auc(probabilities: Any, labels: Any) -> float:
    """The area under the ROC curve: how often a sample of class 1 scores above one of class 0.

    It is the same whichever of two classes is the positive one. With more, it is the mean over the classes of
    each against the rest. NaN, with an UndefinedMetricWarning, where a class has no sample or all.
    """
    p, y = read("auc", probabilities, labels)
    missing = np.setdiff1d(np.arange(p.shape[1]), y)
    if missing.size:
        return _undefined("auc", f"class {missing[0]} has no sample among {len(y)}")
    from sklearn.metrics import roc_auc_score

    if p.shape[1] == 2:
        return float(roc_auc_score(y, p[:, 1]))
    return float(np.mean([roc_auc_score(y == k, p[:, k]) for k in range(p.shape[1])]))


def roc_curve(
    probabilities: Any, labels: Any, positive: int | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(1 − specificity, sensitivity, threshold) at every threshold that matters, from none positive to all.

    Raises ValueError where the samples are all of one side.
    """
    p, y = read("roc_curve", probabilities, labels)
    k = _looked_for("roc_curve", p, positive)
    if len(np.unique(y == k)) < 2:
        raise ValueError(f"roc_curve: of {len(y)} samples all or none are of class {k}; it needs both")
    from sklearn.metrics import roc_curve as curve

    return curve(y == k, p[:, k])


METRICS = {f.__name__: f for f in (accuracy, balanced_accuracy, auc, sensitivity, specificity, precision, f1)}


def report(
    probabilities: Any,
    labels: Any,
    positive: int | None = None,
    classes: Sequence[str] | None = None,
    threshold: float = 0.5,
) -> dict[str, Any]:
    """All of it at once, with what an accuracy must be read against: the share of the most frequent class.

    Keys: n, classes, positive, threshold, accuracy, majority_share, auc, sensitivity, specificity, precision,
    f1, confusion_matrix. With more than two classes and no positive one, positive is None and sensitivity,
    specificity and precision are {class: value}.
    """
    p, y = read("report", probabilities, labels)
    C = p.shape[1]
    names = tuple(classes) if classes is not None else tuple(str(k) for k in range(C))
    if len(names) != C:
        raise ValueError(f"report: {C} classes are predicted, but {len(names)} are named: {names}")
    rates = (sensitivity, specificity, precision)
    if C > 2 and positive is None:
        found: dict[str, Any] = {
            rate.__name__: {names[k]: rate(p, y, threshold, k) for k in range(C)} for rate in rates
        }
    else:
        positive = _looked_for("report", p, positive)
        found = {rate.__name__: rate(p, y, threshold, positive) for rate in rates}
    matrix = _confusion(p, y, threshold, 1 if positive is None else positive)
    return {
        "n": len(y),
        "classes": names,
        "positive": None if positive is None else names[positive],
        "threshold": threshold if C == 2 else None,
        "accuracy": float(np.trace(matrix) / len(y)),
        "majority_share": majority_share(y),
        "auc": auc(p, y),
        **found,
        "f1": f1(p, y, threshold, positive),
        "confusion_matrix": matrix,
    }


# -------------------------------------------------------------------- reading and counting


def _array(values: Any) -> np.ndarray:
    return values.detach().array if isinstance(values, Tensor) else np.asarray(values)


def read(name: str, probabilities: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities as (N,C) with C ≥ 2, labels as (N,)."""
    p, y = _array(probabilities), _array(labels)
    y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    p = p[:, 0] if p.ndim == 2 and p.shape[1] == 1 else p
    if p.ndim not in (1, 2) or y.ndim != 1 or len(p) != len(y):
        cure = "; one-hot labels become classes by labels.argmax(1)" if p.shape == y.shape else ""
        raise ValueError(
            f"{name}: expected probabilities (N,) or (N,C) and labels (N,) of one N, got {p.shape} and {y.shape}{cure}"
        )
    if not len(y):
        raise ValueError(f"{name}: there are no samples")
    wrong = ~((p >= 0) & (p <= 1))
    if wrong.any():
        at = [int(i) for i in np.argwhere(wrong)[0]]
        raise ValueError(
            f"{name}: probabilities must lie in 0…1, got {p[wrong][0]} at {at} of {p.shape}; "
            "raw scores need a sigmoid or softmax first"
        )
    p = p.astype(np.float64)
    p = np.stack([1 - p, p], 1) if p.ndim == 1 else p
    off = ~((y >= 0) & (y < p.shape[1]) & (y == np.floor(y)))
    if off.any():
        sample = int(np.flatnonzero(off)[0])
        raise ValueError(f"{name}: label {y[sample]} of sample {sample} is none of the classes 0…{p.shape[1] - 1}")
    return p, y.astype(np.int64)


def _looked_for(name: str, p: np.ndarray, positive: int | None) -> int:
    C = p.shape[1]
    if positive is None:
        if C > 2 and name != "confusion_matrix":
            raise ValueError(f"{name}: with {C} classes, say which one is looked for: positive=0…{C - 1}")
        return 1
    if isinstance(positive, bool) or positive not in range(C):
        raise ValueError(f"{name}: positive must be one of the classes 0…{C - 1}, got {positive!r}")
    return int(positive)


def predicted(p: np.ndarray, threshold: float, positive: int) -> np.ndarray:
    """(N,) the classes that are said, of probabilities (N,C)."""
    if p.shape[1] > 2:
        return p.argmax(1)
    return np.where(p[:, positive] > threshold, positive, 1 - positive)


def _confusion(p: np.ndarray, y: np.ndarray, threshold: float, positive: int) -> np.ndarray:
    C = p.shape[1]
    return np.bincount(y * C + predicted(p, threshold, positive), minlength=C * C).reshape(C, C)


def _counts(
    name: str, probabilities: Any, labels: Any, threshold: float, positive: int | None
) -> tuple[int, int, int, int]:
    """(TP, FN, FP, TN) of the positive class against the rest."""
    p, y = read(name, probabilities, labels)
    k = _looked_for(name, p, positive)
    called, true = predicted(p, threshold, k) == k, y == k
    return tuple(int(n.sum()) for n in (called & true, ~called & true, called & ~true, ~called & ~true))  # type: ignore[return-value]


def _ratio(name: str, part: int, whole: int, why: str) -> float:
    return part / whole if whole else _undefined(name, why)


def _undefined(name: str, why: str) -> float:
    warnings.warn(f"{name} is undefined and becomes NaN: {why}", UndefinedMetricWarning, stacklevel=4)
    return float("nan")
