"""Tables of measures or pixels, laid out as in section 5.2 of the article: train.csv and test.csv."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt, prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from tinymed.data.dataset import LabelledDataset
from tinymed.data.sources import WISCONSIN


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


class TableDataset(LabelledDataset):
    """A labelled table: inputs (N,F), or (N,C,H,W) where the columns are pixels; `layout` of the file."""

    def __init__(self, inputs: Any, labels: Any, layout: Layout, source: str) -> None:
        super().__init__(inputs, labels, layout.classes, source)
        self.layout = layout


def load_csv(
    path: str | Path,
    label: str = "diagnosis",
    id_column: str = "id",
    image_shape: tuple[int, ...] | None = None,
    normalize: bool = True,
    like: TableDataset | Layout | None = None,
) -> TableDataset:
    """A CSV file with a header, a label column and columns of numbers, as inputs float32 and labels int64.

        train = load_csv("train.csv")
        test = load_csv("test.csv", like=train)

    label        the column of classes: text or numbers, numbered 0..k−1 in sorted order
    id_column    dropped where it is there (article 5.2, data cleaning)
    image_shape  (H,W) or (C,H,W): the columns are pixels of such an image, row by row
    normalize    into [0,1] (article 5.2): each column by its own least and greatest value; pixels all alike,
                 by 255 if they are integers in 0..255
    like         the training set, or its layout: its columns, classes and ranges are applied, so that nothing of
                 the test file leaks into them (a test value may then lie outside [0,1]); the arguments before
                 it are taken from it too

    An entirely empty last column is dropped (Kaggle's Wisconsin file has one).
    Raises ValueError, naming line and column, for a ragged row, a cell that is empty or no number, and a
    class that the training file has not; also for no rows, a missing label column, and columns that differ.
    """
    if like is None:
        layout = Layout(label, id_column, image_shape)
    else:
        layout = like if isinstance(like, Layout) else like.layout
    header, lines, rows = _read(path)
    columns = _columns(path, header, layout)
    x = _numbers(path, lines, rows, columns, [header.index(name) for name in columns])
    cells = [row[header.index(layout.label)] for row in rows]
    if like is None:
        low, high = _ranges(x, image_shape) if normalize else (0.0, 1.0)
        layout = replace(
            layout,
            columns=tuple(columns),
            classes=_classes(path, layout.label, cells),
            dropped=(id_column,) if id_column in header else (),
            low=low,
            high=high,
        )
    numbers = {name: k for k, name in enumerate(layout.classes)}
    for line, cell in zip(lines, cells):
        if cell not in numbers:
            what = "is empty" if not cell else f"holds {cell!r}; the classes are {_listed(layout.classes)}"
            raise ValueError(f"{path}, line {line}: label column {layout.label!r} {what}")
    labels = np.array([numbers[cell] for cell in cells])
    return TableDataset(_inputs(path, x, layout), labels, layout, source=str(path))


def load_rows(path: str | Path, like: TableDataset | Layout) -> tuple[list[str], np.ndarray]:
    """(names, inputs) of rows that nobody has labelled yet, read as the training file `like` was.

    names are the ids where there is such a column, else the rows' numbers from 1; a label column is passed over.
    Raises ValueError as load_csv.
    """
    layout = like if isinstance(like, Layout) else like.layout
    header, lines, rows = _read(path)
    columns = _columns(path, header, layout, labelled=False)
    x = _numbers(path, lines, rows, columns, [header.index(name) for name in columns])
    if layout.id_column in header:
        names = [f"{layout.id_column} {row[header.index(layout.id_column)]}" for row in rows]
    else:
        names = [f"row {k}" for k in range(1, len(rows) + 1)]
    return names, _inputs(path, x, layout)


def _inputs(path: str | Path, x: np.ndarray, layout: Layout) -> np.ndarray:
    """The numbers (N,F) brought into the layout's range and shape."""
    span = np.subtract(layout.high, layout.low)
    x = (x - layout.low) / np.where(span == 0, 1, span)  # a column of one value becomes 0
    return x.astype(np.float32).reshape(len(x), *_input_shape(path, layout.image_shape, x.shape[1]))


def _read(path: str | Path) -> tuple[list[str], list[int], list[list[str]]]:
    """The header, and of each row that is not blank its line number and its cells, stripped of spaces."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            reader = csv.reader(stream, strict=True)
            table = [(reader.line_num, [cell.strip() for cell in row]) for row in reader]
        table = [(line, row) for line, row in table if any(row)]  # blank lines, or commas alone
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8: {error}") from None
    if len(table) < 2:
        raise ValueError(f"{path} has {'a header but no rows' if table else 'nothing in it'}")
    (_, header), *body = table
    width = len(header)
    while width and not any(cell for _, row in body for cell in row[width - 1 : width]):
        width -= 1  # the last column is empty in every row, or missing from every row
    for line, row in body:
        if len(row) < width or any(row[width:]):
            raise ValueError(f"{path}, line {line}: {len(row)} cells, but the header has {width} columns")
    header = header[:width]
    if len(set(header)) < width:
        twice = next(name for name in header if header.count(name) > 1)
        raise ValueError(f"{path}: the column name {twice!r} stands in the header {header.count(twice)} times")
    return header, [line for line, _ in body], [row[:width] for _, row in body]


def _columns(path: str | Path, header: list[str], layout: Layout, labelled: bool = True) -> list[str]:
    """The names of the columns of numbers, in the training file's order if there is one."""
    if labelled and layout.label not in header:
        nameless = bool(header) and all(map(_is_number, header))
        hint = " (these are numbers: has the file no header line?)" if nameless else ""
        raise ValueError(f"{path} has no label column {layout.label!r}; its columns are {_listed(header)}{hint}")
    columns = [name for name in header if name not in (layout.label, layout.id_column)]
    if not columns:
        raise ValueError(f"{path} has no columns of numbers beside {_listed(header)}")
    missing, unknown = set(layout.columns) - set(columns), set(columns) - set(layout.columns)
    if layout.columns and (missing or unknown):
        raise ValueError(
            f"{path} has not the columns of the training file: missing {_listed(missing)}, unknown {_listed(unknown)}"
        )
    return list(layout.columns) or columns


def _numbers(
    path: str | Path, lines: list[int], rows: list[list[str]], columns: list[str], places: list[int]
) -> np.ndarray:
    """The cells in `places` as float64 (N,F), all of them finite."""
    x = np.empty((len(rows), len(places)))
    for k, (line, row) in enumerate(zip(lines, rows)):
        try:
            x[k] = [float(row[place]) for place in places]
        except ValueError:
            name, cell = next((n, row[p]) for n, p in zip(columns, places) if not _is_number(row[p]))
            what = "is empty" if not cell else f"holds {cell!r}, which is not a number"
            raise ValueError(
                f"{path}, line {line}: column {name!r} {what}; correct the cell or leave the row out"
            ) from None
    if len(bad := np.argwhere(~np.isfinite(x))):
        k, f = bad[0]
        raise ValueError(
            f"{path}, line {lines[k]}: column {columns[f]!r} holds {x[k, f]}; fill the gap or drop the row"
        )
    return x


def _ranges(x: np.ndarray, image_shape: tuple[int, ...] | None) -> tuple[Any, Any]:
    """What becomes 0 and what becomes 1: a number each for pixels, else a row of one for each column."""
    if image_shape is None:
        return x.min(axis=0), x.max(axis=0)
    if x.min() >= 0 and x.max() <= 255:
        if x.max() <= 1:
            return 0.0, 1.0  # scaled already
        if (x == np.round(x)).all():
            return 0.0, 255.0
    return x.min(), x.max()


def _classes(path: str | Path, label: str, cells: list[str]) -> tuple[str, ...]:
    """The classes in sorted order; numbers by value, so that 10 comes after 9."""
    names = {cell for cell in cells if cell.lower() not in ("", "nan")}
    if not all(map(_is_number, names)):
        return tuple(sorted(names))
    if measures := [name for name in names if not float(name).is_integer()]:
        raise ValueError(
            f"{path}: label column {label!r} holds {min(measures)}, a measure; classes are text or whole numbers"
        )
    return tuple(sorted(names, key=float))


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


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _listed(names: Any, most: int = 12) -> str:
    """Names for a message: the first dozen, and how many more."""
    names = list(names) if isinstance(names, Sequence) else sorted(names)
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more if names else "none"


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
    with TemporaryDirectory() as folder:
        train, test = write_wisconsin_csv(folder)
        dataset = load_csv(train)
        dataset = dataset if split == "train" else load_csv(test, like=dataset)
    dataset.source, dataset.split = "scikit-learn's load_breast_cancer", split
    dataset.licence, dataset.citation = WISCONSIN["licence"], WISCONSIN["citation"]
    return dataset
