"""What each figure says, in words."""

from __future__ import annotations

import numpy as np

from tinymed.evaluation.classification import AT, Evaluation
from tinymed.evaluation.regression import RegressionEvaluation

OF_CLASSES = {
    "accuracy": "share of cases whose class is predicted rightly",
    "balanced_accuracy": "mean over the classes of the share found; {chance} for saying always the same",
    "auc": "how often a case of {positive} scores above another one; 0.5 is guessing",
    "average_precision": "precision, averaged over the cases of {positive} as they are found; {prevalence} is guessing",
    "sensitivity": "share of {positive} that is found",
    "specificity": "share of the others that is rightly left alone",
    AT: "sensitivity at the threshold of this test set that leaves 90 % of the others alone",
    "macro_f1": "F1, the harmonic mean of precision and sensitivity, averaged over the classes",
    "brier": "mean squared error of the probabilities; 0 is best, {brier} is saying the classes' shares",
    "calibration_error": "mean gap between predicted probability and the share that came true, in bins of equal counts",
}
OF_MORE_THAN_TWO = OF_CLASSES | {
    "auc": "how often a case of a class scores above another one, averaged over the classes; 0.5 is guessing",
    "average_precision": "precision, averaged over the cases of a class as they are found, then over the classes",
}
OF_VALUES = {
    "r2": "share of the values' variance that is predicted; 0 is saying their mean, and below 0 is worse than that",
    "mae": "mean absolute error{unit}; always saying the median makes {mae:.3g}",
    "rmse": "root of the mean squared error{unit}; always saying the mean makes {rmse:.3g}",
    "spearman": "how well the order is predicted: 1 is the right one, 0 none",
}


def meanings(evaluation: Evaluation | RegressionEvaluation) -> dict[str, str]:
    """{figure: what it says}, with what it is where nothing was learnt."""
    told: dict[str, str | float]
    if isinstance(evaluation, RegressionEvaluation):
        true, unit = evaluation.true, f", in {evaluation.unit}" if evaluation.unit else ""
        told = {"unit": unit, "mae": float(np.abs(true - np.median(true)).mean()), "rmse": float(true.std())}
        return {name: OF_VALUES[name].format(**told) for name in evaluation.figures}
    C, k = len(evaluation.classes), evaluation.positive
    shares = np.bincount(evaluation.labels, minlength=C) / len(evaluation)
    told = {
        "chance": f"{1 / C:.2g}",
        "positive": "" if k is None else evaluation.classes[k],
        "prevalence": "" if k is None else f"{shares[k]:.2g}",
        "brier": f"{(1 - (shares**2).sum()) / (2 if C == 2 else 1):.2g}",
    }
    return {name: (OF_CLASSES if C == 2 else OF_MORE_THAN_TWO)[name].format(**told) for name in evaluation.figures}
