"""Tables of measures or pixels, laid out as in section 5.2 of the article: train.csv and test.csv."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isqrt, prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tinymed.data.dataset import LabelledDataset
from tinymed.data.registry import SOURCES
from tinymed.data.tables import Table, headless, listed, read_table


@dataclass(frozen=True, eq=False)
class Layout:
    """How a table is read. What is learnt from the training file stands here, for the test file."""

    label: str
    id_column: str
    image_shape: tuple[int, ...] | None
    columns: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    low: np.ndarray | float = 0.0  # x becomes (x − low) / (high − low)
    high: np.ndarray | float = 1.0
    group: str | None = None
    missing: str = "refuse"
    encoding: str | None = None
    delimiter: str | None = None

    def state(self) -> dict[str, Any]:
        """Its fields as JSON knows them, for `from_state`."""
        return {k: v.tolist() if isinstance(v, np.ndarray | np.generic) else v for k, v in asdict(self).items()}

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> Layout:
        fields: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in state.items()}
        return cls(**fields | {k: np.array(state[k]) for k in ("low", "high")})


class TableDataset(LabelledDataset):
    """A labelled table: inputs (N,F), or (N,C,H,W) where the columns are pixels; `layout` of the file.

    names  what its rows are called: by the id column where there is one, else by their numbers from 1
    """

    def __init__(
        self, inputs: Any, labels: Any, layout: Layout, source: str, names: list[str] | None = None, **about: Any
    ) -> None:
        super().__init__(inputs, labels, layout.classes, source, **about)
        self.layout = layout
        self.names = [f"row {k}" for k in range(1, len(self) + 1)] if names is None else names

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the F measures."""
        return self.layout.columns


def load_csv(
    path: str | Path,
    label: str = "diagnosis",
    id_column: str = "id",
    image_shape: tuple[int, ...] | None = None,
    normalize: bool = True,
    like: TableDataset | Layout | None = None,
    *,
    group: str | None = None,
    missing: str = "refuse",
    encoding: str | None = None,
    delimiter: str | None = None,
) -> TableDataset:
    """A CSV or Parquet file with a label column and columns of numbers, as inputs float32 and labels int64.

        train = load_csv("train.csv")
        test = load_csv("test.csv", like=train)

    label        the column of classes: text or numbers, numbered 0..k−1 in sorted order
    id_column    dropped where it is there (article 5.2, data cleaning)
    image_shape  (H,W) or (C,H,W): the columns are pixels of such an image, row by row
    normalize    into [0,1] (article 5.2): each column by its own least and greatest value; pixels all alike,
                 by 255 if they are integers in 0..255. False leaves the numbers as they are
    like         the training set, or its layout: its columns, classes and ranges are applied, so that nothing of
                 the test file leaks into them (a test value may then lie outside [0,1]); the other arguments but
                 encoding and delimiter, where they are given, are taken from it too
    group        the column that says whose a row is, such as the patient's number: it becomes `.groups`, no input
    missing      "refuse" a cell without a value, or make it "nan", to be filled in later from training rows alone;
                 an empty cell, NA and NaN are such, and Parquet's null
    encoding     of a CSV file, UTF-8 if None; "gb18030" for Chinese ones of older programs, where it is not UTF-8
    delimiter    between the cells of a CSV file; if None, a comma, semicolon or tab is seen from its header

    Entirely empty last columns are dropped (Kaggle's Wisconsin file has one).
    Raises ValueError, naming line and column, for a ragged row, a cell that is empty or no number, and a
    class that the training file has not; also for another encoding, no rows, a missing label or
    group column, and columns that differ. Raises ImportError where Parquet's library is not installed.
    """
    if missing not in ("refuse", "nan"):
        raise ValueError(f"missing is 'refuse' or 'nan', got {missing!r}")
    layout = _layout(like) or Layout(
        label, id_column, image_shape, group=group, missing=missing, encoding=encoding, delimiter=delimiter
    )
    table = _read(path, layout, encoding, delimiter)
    table.need(layout.label, "label")
    groups = table.filled(layout.group, "group") if layout.group else None
    columns = _columns(table, layout)
    x = table.numbers(columns, layout.missing)
    if like is None:
        for name, empty in zip(columns, np.isnan(x).all(axis=0)):
            if empty:
                raise ValueError(f"{path}: column {name!r} has no value in any row; leave it out")
        low, high = _ranges(x, image_shape) if normalize else (0.0, 1.0)
        layout = replace(
            layout,
            columns=tuple(columns),
            classes=table.classes(label),
            dropped=(id_column,) if id_column in table.header else (),
            low=low,
            high=high,
        )
    labels = table.labels(layout.label, layout.classes)
    names = _names(table, layout)
    return TableDataset(_inputs(table, x, layout), labels, layout, source=str(path), names=names, groups=groups)


def load_rows(
    path: str | Path, like: TableDataset | Layout, encoding: str | None = None, delimiter: str | None = None
) -> tuple[list[str], np.ndarray]:
    """(names, inputs) of rows that nobody has labelled yet, read as the training file `like` was.

    names as in TableDataset; label and group columns are passed over. Raises ValueError as load_csv.
    """
    layout = _layout(like)
    assert layout is not None
    table = _read(path, layout, encoding, delimiter)
    x = table.numbers(_columns(table, layout), layout.missing)
    return _names(table, layout), _inputs(table, x, layout)


def _names(table: Table, layout: Layout) -> list[str]:
    if layout.id_column in table.header:
        return [f"{layout.id_column} {cell}" for cell in table.column(layout.id_column)]
    return [f"row {k}" for k in range(1, len(table.rows) + 1)]


def _layout(like: TableDataset | Layout | None) -> Layout | None:
    return like.layout if isinstance(like, TableDataset) else like


def _read(path: str | Path, layout: Layout, encoding: str | None, delimiter: str | None) -> Table:
    return read_table(
        path, encoding or layout.encoding, delimiter or layout.delimiter, keep=(*layout.columns, layout.label)
    )


def _columns(table: Table, layout: Layout) -> list[str]:
    """The names of the columns of numbers, in the training file's order if there is one."""
    columns = [name for name in table.header if name not in (layout.label, layout.id_column, layout.group)]
    if not columns:
        raise ValueError(f"{table.path} has no columns of numbers beside {listed(table.header)}")
    missing, unknown = set(layout.columns) - set(columns), set(columns) - set(layout.columns)
    if layout.columns and (missing or unknown):
        raise ValueError(
            f"{table.path} has not the columns of the training file: "
            f"missing {listed(missing)}, unknown {listed(unknown)}{headless(table.header)}"
        )
    return list(layout.columns) or columns


def _ranges(x: np.ndarray, image_shape: tuple[int, ...] | None) -> tuple[Any, Any]:
    """What becomes 0 and what becomes 1: a number each for pixels, else a row of one for each column."""
    if image_shape is None:
        return np.nanmin(x, axis=0), np.nanmax(x, axis=0)
    x = x[~np.isnan(x)]
    if x.min() >= 0 and x.max() <= 255:
        if x.max() <= 1:
            return 0.0, 1.0  # scaled already
        if (x == np.round(x)).all():
            return 0.0, 255.0
    return x.min(), x.max()


def _inputs(table: Table, x: np.ndarray, layout: Layout) -> np.ndarray:
    """The numbers (N,F) brought into the layout's range and shape."""
    span = np.subtract(layout.high, layout.low)
    x = (x - layout.low) / np.where(span == 0, 1, span)  # a column of one value becomes 0
    return x.astype(np.float32).reshape(len(x), *_input_shape(table.path, layout.image_shape, x.shape[1]))


def _input_shape(path: str | Path, image_shape: tuple[int, ...] | None, pixels: int) -> tuple[int, ...]:
    if image_shape is None:
        return (pixels,)
    if prod(image_shape) != pixels:
        side = isqrt(pixels)
        hint = f"; as a square it would be ({side}, {side})" if side * side == pixels else ""
        raise ValueError(
            f"{path} has {pixels} columns of pixels, but image_shape {tuple(image_shape)} "
            f"needs {prod(image_shape)}{hint}"
        )
    return (1, *image_shape) if len(image_shape) == 2 else tuple(image_shape)


# -------------------------------------------------------------------- a real example


def write_wisconsin_csv(folder: str | Path) -> tuple[Path, Path]:
    """Write scikit-learn's copy of the Wisconsin breast cancer data as train.csv and test.csv of section 5.2.

    569 rows: id (the row's number), diagnosis (M malignant, B benign), 30 measures of cell nuclei; a fixed
    split of 455 and 114, stratified by diagnosis. The folder is made if it is not there.
    Street, Wolberg and Mangasarian, Proc. SPIE 1905:861, 1993; CC BY 4.0.
    """
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split

    data = load_breast_cancer()
    header = ["id", "diagnosis", *map(str, data.feature_names)]
    table = [[k, "MB"[y], *x] for k, (x, y) in enumerate(zip(data.data.tolist(), data.target), start=1)]
    parts = train_test_split(table, test_size=114, random_state=0, stratify=data.target)
    paths = Path(folder) / "train.csv", Path(folder) / "test.csv"
    Path(folder).mkdir(parents=True, exist_ok=True)
    for path, part in zip(paths, parts):
        with path.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([header, *part])
    return paths


def load_wisconsin(split: str = "train") -> TableDataset:
    """The Wisconsin data, "train" (455,30) or "test" (114,30), read back from `write_wisconsin_csv`.

    Label 1 is malignant. Both splits are normalised by the training split's ranges.
    """
    if split not in ("train", "test"):
        raise ValueError(f"there is no split {split!r} of wisconsin; there are 'train', 'test'")
    with TemporaryDirectory() as folder:  # by way of files, as the article has it: so `layout` is a file's
        train, test = write_wisconsin_csv(folder)
        dataset = load_csv(train)
        dataset = dataset if split == "train" else load_csv(test, like=dataset)
    dataset.source, dataset.split = "scikit-learn's load_breast_cancer", split
    dataset.licence, dataset.citation = SOURCES["wisconsin"].licence, SOURCES["wisconsin"].citation
    return dataset
