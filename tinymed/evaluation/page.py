"""The report of a run as one page: no network, no script; light or dark as the reader has it, and on paper."""

from __future__ import annotations

import contextlib
import math
import os
import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.evaluation.bootstrap import Figure
from tinymed.evaluation.classification import AT, Evaluation
from tinymed.evaluation.meanings import meanings
from tinymed.evaluation.regression import RegressionEvaluation

HERE = Path(__file__).parent
TITLES = {
    "auc": "AUC", "r2": "R²", "mae": "MAE", "rmse": "RMSE", "spearman": "Spearman", "macro_f1": "macro F1",
    "brier": "Brier score", AT: "sensitivity at 90 % specificity",
}  # fmt: skip
TOLD_APART = ("accuracy", "balanced_accuracy", "auc", "r2", "mae")  # with and without near-twins
RULES = {"youden": "Youden: sensitivity + specificity greatest", "0.5": "one half"}


@dataclass(frozen=True)
class Example:
    """A case on the page: what it is called, is, was predicted to be and with which probability, and how it looks.

    fragment  markup of `fragments`; a plain string is shown as text
    """

    name: str
    truth: str
    predicted: str
    probability: float | None
    fragment: str


def write_page(
    path: str | Path,
    evaluation: Evaluation | RegressionEvaluation,
    *,
    title: str,
    subtitle: str = "",
    data_card: Mapping[str, Any],
    model_card: Mapping[str, Any],
    history: Any = None,
    examples: Sequence[Example] = (),
    twins: Any = None,
    alike: str = "",
    command: str = "",
) -> Path:
    """Write the report of an evaluation as one HTML file, whole or not at all; return its path.

    title       the question; subtitle: who answers, on which data
    data_card   {what: text, list or mapping}: source, licence, citation, counts of each split, intended use, limits
    model_card  likewise: layers, parameters, training recipe, seed, versions, date; a text of many lines is folded away
    history     of training: a History, or {"epoch": […], "loss": […], …}
    examples    the errors to be shown, the most confidently wrong first
    twins       which test cases have a near-twin in the training part: (N,) bool, or what `evaluation.twins` found
    alike       when two cases are twins, such as "equal, or correlated by more than 0.98"
    command     that made it

    Raises ValueError for twins of another size, OSError where the file cannot be written.
    """
    page = render(
        evaluation, title=title, subtitle=subtitle, data_card=data_card, model_card=model_card, history=history,
        examples=examples, twins=twins, alike=alike, command=command,
    )  # fmt: skip
    return write_whole(path, page)


def write_whole(path: str | Path, page: str) -> Path:
    """Write a page to a file, whole or not at all; return its path. Raises OSError where it cannot be written."""
    path = Path(path)
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    try:
        partial.write_bytes(page.encode("utf-8", "replace"))
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink()
    return path


def render(evaluation: Evaluation | RegressionEvaluation, **about: Any) -> str:
    """The page as text; arguments as of `write_page`."""
    twinned = about.pop("twins")
    return rendered(
        "page.html",
        about,
        evaluation=evaluation,
        drawn_from=_drawn_from(evaluation),
        twins=None if twinned is None else _twins(evaluation, twinned),
        training=_training(about.pop("history")),
        **(_classes(evaluation) if isinstance(evaluation, Evaluation) else _values(evaluation)),
    )


def rendered(template: str, *about: Mapping[str, Any], **more: Any) -> str:
    """A template of this folder, filled in; `css` is the pages' common style."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"figure": number, "titled": titled}
    return environment.get_template(template).render(*about, **more, css=(HERE / "page.css").read_text("utf-8"))


def _classes(evaluation: Evaluation) -> dict[str, Any]:
    from tinymed.evaluation import drawings

    names = evaluation.classes
    positive = None if evaluation.positive is None else names[evaluation.positive]
    majority, share = evaluation.majority
    tiles = [("accuracy", f"always saying {majority}: {share:.3f}")]
    if positive is None:
        tiles += [("balanced_accuracy", ""), ("macro_f1", ""), ("auc", "mean over the classes")]
    else:
        tiles += [("auc", f"of {positive}" if len(names) == 2 else "mean over the classes")]
        tiles += [("sensitivity", f"share of {positive} found"), ("specificity", "share of the others left alone")]
    curves = [drawings.roc(evaluation), drawings.precision_recall(evaluation), drawings.calibration(evaluation)]
    matrix = evaluation.confusion_matrix.tolist()
    return {
        "kind": "classes",
        "positive": positive,
        "tiles": tiles,
        "rows": _rows(evaluation),
        "curves": curves,
        "matrix": [[(n, n / (sum(row) or 1), j == i) for j, n in enumerate(row)] for i, row in enumerate(matrix)],
        "per_class": evaluation.per_class(),
        "thresholds": [row | {"rule": _rule(row["rule"], positive)} for row in evaluation.threshold_table()],
        "errors": len(evaluation.errors()),
    }


def _values(evaluation: RegressionEvaluation) -> dict[str, Any]:
    from tinymed.evaluation import drawings

    return {
        "kind": "values", "positive": None, "rows": _rows(evaluation), "matrix": [], "per_class": [], "thresholds": [],
        "tiles": [("r2", "always saying the mean: 0"), ("mae", evaluation.unit), ("spearman", "")],
        "curves": [drawings.predicted_values(evaluation), drawings.residuals(evaluation)],
        "errors": len(evaluation),
    }  # fmt: skip


def _rows(evaluation: Any) -> list[dict[str, Any]]:
    """Name, figure, meaning, and where its bar lies between 0 and 1, if it can."""
    rows, meant = [], meanings(evaluation)
    for name, figure in evaluation.figures.items():
        ends = (figure.low, figure.high) if not math.isnan(figure.low) else (figure.value, figure.value)
        bar = [100 * x for x in (*ends, figure.value)] if min(ends) >= 0 and max(ends) <= 1 else None
        rows.append({
            "name": name, "figure": figure, "meaning": meant[name],
            "bar": None if name in ("mae", "rmse") else bar,
        })  # fmt: skip
    return rows


def _rule(rule: str, positive: str | None) -> str:
    asked = re.fullmatch(r"(sensitivity|specificity)=([\d.]+)", rule)
    if asked is None:
        return RULES.get(rule, rule)
    of = f"of {positive} found" if asked[1] == "sensitivity" else "of the others left alone"
    return f"at least {100 * float(asked[2]):.3g} % {of}"


def _drawn_from(evaluation: Any) -> str:
    """What the bootstrap draws."""
    n = len(evaluation)
    groups = n if evaluation.groups is None else len(np.unique(evaluation.groups))
    return f"{n} cases" if groups == n else f"{groups} patients or other groups, with all their {n} cases"


def _twins(evaluation: Any, twins: Any) -> dict[str, Any]:
    """How many test cases have a twin, and what the model is worth on these, and on the rest."""
    mask = np.asarray(twins.twinned()[1] if hasattr(twins, "twinned") else twins)
    if mask.shape != (len(evaluation),) or mask.dtype != bool:
        raise ValueError(
            f"write_page: twins must say of each of the {len(evaluation)} test cases whether it has one, as bool; got "
            f"{mask.dtype} {mask.shape}"
        )
    names = [name for name in TOLD_APART if name in evaluation.figures]
    least = 1 if isinstance(evaluation, Evaluation) else 2
    parts = {"those with a twin": mask, "those without": ~mask} if mask.any() else {}
    some = {k: evaluation.subset(m) for k, m in parts.items() if least <= m.sum() < len(m)}
    judged = {"all cases": evaluation} | some
    rows = [(k, len(part), [part.figures[name] for name in names]) for k, part in judged.items()]
    return {"count": int(mask.sum()), "names": names, "rows": rows}


def _training(history: Any) -> list[str]:
    from tinymed.evaluation import drawings

    return [] if history is None else [*drawings.training(history)]


def number(value: float | Figure) -> str:
    """Three decimals; a dash for what there is not."""
    value = value.value if isinstance(value, Figure) else value
    return "–" if math.isnan(value) else f"{value:.3f}" if abs(value) < 100 else f"{value:.4g}"


def titled(name: str) -> str:
    """As a figure is called on the page."""
    return TITLES.get(name, name.replace("_", " "))
