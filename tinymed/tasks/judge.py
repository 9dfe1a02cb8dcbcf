"""Judging a run on cases it has not learnt from, and the page that says what came of it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.evaluation import Evaluation, Example, RegressionEvaluation, Twins, text_twins, twins, write_page
from tinymed.tasks.run import Run
from tinymed.tasks.task import Parts, Samples

SHOWN = 12  # errors on the page
DISCLAIMER = "tinymed is for teaching. It is not a clinical device, and none of this is a diagnosis."


def judge(run: Run, test: Samples) -> Evaluation | RegressionEvaluation:
    """The run's figures on these cases, with intervals; whole patients are drawn where they are known."""
    found = run.predict(test.x)
    one_patient = test.groups is not None and len(np.unique(test.groups)) < 2  # no draw of patients can be made
    about: dict[str, Any] = {"groups": None if one_patient else test.groups, "names": test.names or None}
    if not run.classes:
        return RegressionEvaluation(found, test.y, unit=run.about["unit"], **about)
    if len(run.classes) > 2:
        return Evaluation(found, test.y, run.classes, **about)
    rule = run.config.threshold
    chosen = f"fixed beforehand at {rule}" if _same(rule, run.threshold) else f"{rule}, on the validation part"
    return Evaluation(
        found, test.y, run.classes, positive=run.positive, threshold=run.threshold, chosen=chosen, **about
    )


def _same(text: str, value: float) -> bool:
    try:
        return float(text) == value
    except ValueError:
        return False


def report(path: str | Path, run: Run, parts: Parts, evaluation: Any, command: str = "") -> Path:
    """Write the page of a run: figures, curves, the worst errors as they look, the data's and the model's card."""
    return write_page(
        path,
        evaluation,
        title=f"{run.task.question} {run.config.model} on {data_name(run)}",
        data_card=data_card(run, parts),
        model_card=model_card(run),
        history=run.history,
        examples=examples(run, parts.test, evaluation),
        twins=near_twins(parts),
        command=command,
    )


def write_predictions(path: str | Path, evaluation: Evaluation | RegressionEvaluation) -> None:
    """What was said of every case, as a table: its name, whose it is, the truth, and each probability or the value."""
    if isinstance(evaluation, Evaluation):
        head, told = list(evaluation.classes), evaluation.probabilities
        truth: list[Any] = [evaluation.classes[k] for k in evaluation.labels]
    else:
        head, told, truth = ["value"], evaluation.predicted[:, None], evaluation.true.tolist()
    names = evaluation.names or [str(k) for k in range(len(evaluation))]
    groups = [""] * len(names) if evaluation.groups is None else evaluation.groups.tolist()
    with open(path, "w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows(
            [
                ["case", "group", "truth", *head],
                *([n, g, t, *p] for n, g, t, p in zip(names, groups, truth, told.tolist())),
            ]
        )


def read_predictions(path: str | Path, run: Run) -> Evaluation | RegressionEvaluation:
    """The evaluation that `write_predictions` has written. Raises ValueError for another file."""
    with open(path, newline="", encoding="utf-8") as stream:
        head, *rows = csv.reader(stream)
    if head != ["case", "group", "truth", *(run.classes or ["value"])] or not rows:
        raise ValueError(f"{path} does not hold what the run said of its test cases; run `tinymed evaluate` again")
    names, groups, truth = ([row[k] for row in rows] for k in range(3))
    told = np.array([[float(cell) for cell in row[3:]] for row in rows])
    about: dict[str, Any] = {"groups": groups if any(groups) else None, "names": names}
    if not run.classes:
        return RegressionEvaluation(told, np.array(truth, float), unit=run.about["unit"], **about)
    numbers = {name: k for k, name in enumerate(run.classes)}
    about |= {"positive": run.positive, "threshold": run.threshold} if len(run.classes) == 2 else {}
    return Evaluation(told, [numbers[name] for name in truth], run.classes, **about)


def data_name(run: Run) -> str:
    return run.config.data or next(iter(run.task.data))


def data_card(run: Run, parts: Parts) -> dict[str, Any]:
    """Whose data they are, how many, and what to beware of."""
    counted = {}
    for name, side in (("training", parts.train), ("validation", parts.validation), ("test", parts.test)):
        if side is not None:
            each = zip(parts.classes, np.bincount(side.y, minlength=len(parts.classes))) if parts.classes else ()
            counted[name] = ", ".join([f"{len(side)} in all", *(f"{n} {label}" for label, n in each)])
    return {
        "data set": data_name(run),
        "source": parts.source,
        "licence": parts.licence or "none stated",
        "citation": parts.citation or "none",
        "counts": counted,
        "patients": "not known" if parts.train.groups is None else "kept on one side of every split",
        "limits": run.task.limits,
    }


def model_card(run: Run) -> dict[str, Any]:
    """Which network, how it was trained, and what it is not for."""
    settled = {name: value for name, value in vars(run.settled).items() if value not in ("", 0, 0.0)}
    return {
        "network": run.config.model,
        "layers": str(run.model).splitlines(),
        "parameters": f"{sum(p.numel() for p in run.model.parameters()):,}",
        "recipe": {name: str(value) for name, value in settled.items()},
        "made with": {name: str(run.about[name]) for name in ("tinymed", "numpy", "python", "date", "seconds")},
        "intended use": run.task.intended,
        "not for": DISCLAIMER,
    }


def examples(run: Run, test: Samples, evaluation: Any) -> list[Example]:
    """The most confidently wrong cases."""
    shown = []
    for k in evaluation.errors()[:SHOWN]:
        name = test.names[k] if test.names else f"test case {k}"
        x = test.x[k]
        fragment = run.data.form.shown(x, run)
        if run.classes:
            said = evaluation.said[k]
            truth, told = run.classes[test.y[k]], run.classes[said]
            shown.append(Example(name, truth, told, float(evaluation.probabilities[k, said]), fragment))
        else:
            shown.append(Example(name, f"{test.y[k]:.3g}", f"{evaluation.predicted[k]:.3g}", None, fragment))
    return shown


def near_twins(parts: Parts) -> Twins | None:
    """Test cases that stand, nearly the same, in the training part too."""
    if isinstance(parts.train.x, list):
        return text_twins(parts.train.x, parts.test.x, labels=(parts.train.y, parts.test.y))
    if parts.train.x.ndim < 3:  # a correlation of measures in different units says nothing
        return None
    return twins(parts.train.x, parts.test.x, labels=(parts.train.y, parts.test.y))
