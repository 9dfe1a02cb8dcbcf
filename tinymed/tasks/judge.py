"""Judging a run on cases it has not learnt from."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.evaluation import Evaluation, RegressionEvaluation, Twins, text_twins, twins
from tinymed.evaluation.page import write_whole
from tinymed.tasks.forms import SIGNAL, Form
from tinymed.tasks.run import Run
from tinymed.tasks.task import Samples, number

DISCLAIMER = "tinymed is for teaching. It is not a clinical device, and none of this is a diagnosis."
ALIKE_TEXTS = 0.9  # the cosine above which two texts are twins


def judge(run: Run, test: Samples) -> Evaluation | RegressionEvaluation:
    """The run's figures on these cases, with intervals; whole patients are drawn where they are known."""
    found = run.predict(test.x)
    one_patient = test.groups is not None and len(np.unique(test.groups)) < 2  # no draw of patients can be made
    about: dict[str, Any] = {"groups": None if one_patient else test.groups, "names": test.names or None}
    if not run.classes:
        return RegressionEvaluation(found, test.y, unit=run.about["unit"], **about)
    return Evaluation(found, test.y, run.classes, **_sought(run), **about)


def _sought(run: Run) -> dict[str, Any]:
    """Which class is to be found, and from which probability on; of more than two, only one that the config names."""
    if len(run.classes) > 2:
        return {"positive": run.positive if run.config.positive else None}
    rule = run.config.threshold
    chosen = f"by {rule}, on the validation part" if number(rule) is None else f"fixed beforehand at {rule}"
    return {"positive": run.positive, "threshold": run.threshold, "chosen": chosen}


def write_predictions(path: str | Path, evaluation: Evaluation | RegressionEvaluation) -> None:
    """What was said of every case, as a table: its name, whose it is, the truth, and each probability or the value."""
    if isinstance(evaluation, Evaluation):
        head, told = list(evaluation.classes), evaluation.probabilities
        truth: list[Any] = [evaluation.classes[k] for k in evaluation.labels]
    else:
        head, told, truth = ["value"], evaluation.predicted[:, None], evaluation.true.tolist()
    names = evaluation.names or [str(k) for k in range(len(evaluation))]
    groups = [""] * len(names) if evaluation.groups is None else evaluation.groups.tolist()
    rows = ([name, group, t, *p] for name, group, t, p in zip(names, groups, truth, told.tolist()))
    csv.writer(text := io.StringIO()).writerows([["case", "group", "truth", *head], *rows])
    write_whole(path, text.getvalue())


def read_predictions(path: str | Path, run: Run) -> Evaluation | RegressionEvaluation:
    """The evaluation that `write_predictions` has written. Raises ValueError for another file."""
    head = ["case", "group", "truth", *(run.classes or ["value"])]
    try:
        with open(path, newline="", encoding="utf-8") as stream:
            first, *rows = csv.reader(stream)
        if first != head or not rows or any(len(row) != len(head) for row in rows):
            raise ValueError("other columns, or no rows")
        names, groups, truth = ([row[k] for row in rows] for k in range(3))
        told = np.array([row[3:] for row in rows], float)
        y = [run.classes.index(name) for name in truth] if run.classes else np.array(truth, float)
    except (csv.Error, ValueError) as error:
        raise ValueError(
            f"{path} does not hold what the run said of its test cases ({error}); train it anew, with --overwrite"
        ) from None
    about: dict[str, Any] = {"groups": groups if any(groups) else None, "names": names}
    if not run.classes:
        return RegressionEvaluation(told, y, unit=run.about["unit"], **about)
    return Evaluation(told, y, run.classes, **_sought(run), **about)


def near_twins(form: Form, x: Any, other: Any = None, labels: Any = None) -> Twins:
    """Cases of one form that are nearly the same, within x or between it and another, see `twin_rule`."""
    if isinstance(x, list):
        return text_twins(x, other, above=ALIKE_TEXTS, labels=labels)
    if x.ndim > 2:
        return twins(x, other, above=_alike(form), labels=labels)
    rows = x if other is None else np.concatenate([x, other])  # numbered by value, so that a gap equals a gap
    codes = np.stack([np.unique(column, return_inverse=True)[1].reshape(-1) for column in rows.T], 1)
    codes = codes.astype(np.float32)
    return twins(codes[: len(x)], None if other is None else codes[len(x) :], above=1, labels=labels)


def twin_rule(form: Form, x: Any) -> str:
    """Which cases are twins. Rows are only if they are equal: of measures in many units, a correlation says nothing."""
    if isinstance(x, list):
        return f"equal but for case and white space, or nearly the same words (cosine above {ALIKE_TEXTS:g})"
    return "equal in every measure" if x.ndim == 2 else f"equal, or correlated by more than {_alike(form):g}"


def _alike(form: Form) -> float:
    """The correlation above which two are twins; beats of one heart are all rather alike."""
    return 0.999 if form is SIGNAL else 0.98
