"""The Pima Indians Diabetes data: eight measures, and diabetes within five years or not. Not for clinical use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinymed.data.arrays import CURE, class_numbers, read_numbers
from tinymed.data.dataset import LabelledDataset
from tinymed.data.registry import SOURCES
from tinymed.data.sources import fetch

COLUMNS = (
    "pregnancies",
    "glucose",  # mg/dl in plasma, two hours into a glucose tolerance test
    "pressure",  # diastolic, mm Hg
    "skin",  # triceps fold, mm
    "insulin",  # two-hour serum, µU/ml
    "bmi",  # kg/m²
    "pedigree",  # a score of diabetes among relatives
    "age",  # years
)
ZERO_IS_MISSING = ("glucose", "pressure", "skin", "insulin", "bmi")
CLASSES = ("no diabetes", "diabetes")
COUNTS = (500, 268)


class PimaDataset(LabelledDataset):
    """A labelled table, inputs (N,8), NaN where a measure is missing; `columns` are the names of its columns."""

    columns = COLUMNS


def load_pima(data_home: str | Path | None = None, download: bool = True) -> PimaDataset:
    """768 women: inputs (768,8) float32, labels (768,) int64, 1 for diabetes within five years (268 women).

    The file writes 0 where a measure was not taken. A glucose, pressure, skin fold, insulin or BMI of 0 is no
    measure of a living person, so these become NaN: 5, 35, 227, 374 and 11 values. Fill them within the folds of a
    cross-validation, from its training part alone; no pregnancies are a true 0. There is no official split.

    The women are Akimel O'odham ("Pima") of the Gila River Indian Community in Arizona, whose people the US National
    Institutes of Health examined for decades from the 1960s on. What they took part in was a study of their people's
    health; how the numbers left it and became a benchmark for anybody's software is told by J. Radin, "Digital
    Natives": How Medical and Indigenous Histories Matter for Big Data, Osiris 32:43-64, 2017. Another people of
    Arizona, the Havasupai, went to court over the reuse of their samples, and settled in 2010. UCI has withdrawn the
    data, and no clear licence is known. All are women of 21 or more of one people: a model of them is no model of
    others.

    See `fetch` for data_home, download and the errors. Raises ValueError for a file that is not what it should be,
    naming line and column.
    """
    path = fetch("pima", data_home, download)
    table = read_numbers(path, (*COLUMNS, "class"))
    x, labels = table[:, :-1].astype(np.float32), class_numbers(path, "class", table[:, -1], 0, 1, row=1)
    if tuple(np.bincount(labels, minlength=2).tolist()) != COUNTS:
        raise ValueError(
            f"{path} holds {len(labels)} rows, {labels.sum()} of them with diabetes; the data set has "
            f"{sum(COUNTS)} and {COUNTS[1]}: {CURE}"
        )
    if len(negative := np.argwhere(x < 0)):
        row, column = negative[0]
        raise ValueError(f"{path}, row {row + 1}: {COLUMNS[column]} is {x[row, column]:g}, less than 0: {CURE}")
    for name in ZERO_IS_MISSING:
        measure = x[:, COLUMNS.index(name)]
        measure[measure == 0] = np.nan
    return PimaDataset(x, labels, CLASSES, **SOURCES["pima"].about(path))
