"""The figures of benchmarks/README.md are those of the runs that are kept beside it."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

FOLDER = Path(__file__).parent.parent / "benchmarks"
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (FOLDER / "README.md").read_text().splitlines()
    if line.startswith("| ") and "±" in line and line[2].isdigit()  # a number of epochs
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ", ".join(row[:3]))
def test_a_row_of_the_table_is_what_was_measured(row):
    epochs, engine, seeds, *cells = row
    runs = json.loads((FOLDER / "accuracy.json").read_text())
    runs = [r for r in runs if (r["epochs"], r["engine"]) == (int(epochs), engine) and r["seed"] < int(seeds)]
    assert len(runs) == int(seeds)
    for cell, name in zip(cells, ("accuracy", "auc", "sensitivity", "specificity"), strict=True):
        values = [run[name] for run in runs]
        assert cell == f"{np.mean(values):.3f} ± {np.std(values, ddof=1):.3f}"


def test_every_run_stands_in_the_table():
    runs = json.loads((FOLDER / "accuracy.json").read_text())
    assert {(str(r["epochs"]), r["engine"]) for r in runs} == {(row[0], row[1]) for row in ROWS}


def test_the_table_of_the_applications_is_that_of_the_runs():
    spec = importlib.util.spec_from_file_location("applications", FOLDER / "applications.py")
    spec.loader.exec_module(applications := importlib.util.module_from_spec(spec))
    runs = json.loads((FOLDER / "applications.json").read_text())
    assert applications.table(runs) in (FOLDER / "README.md").read_text()
    assert {(r["task"], r["data"], r["model"]) for r in runs} <= set(applications.ROWS)


def test_the_table_of_a_gpu_is_that_of_the_newest_run():
    from tinymed.bench.cuda_report import bars_table

    runs = sorted(FOLDER.glob("results/*.json"), key=lambda path: path.stem[-10:])  # the date
    found = json.loads(runs[-1].read_text())["steps"]["bench"]["result"] if runs else {"rows": [], "about": {}}
    assert bars_table(found["rows"], found["about"]) in (FOLDER / "README.md").read_text()
