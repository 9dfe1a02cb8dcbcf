"""Files of numbers, read with care: what is damaged or not what it should be is said in one sentence."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

CURE = "move it away, then fetch or place it again"


def read_npz(path: str | Path, names: Sequence[str]) -> list[np.ndarray]:
    """The arrays of these names in an .npz file; nothing in it is run (no pickles).

    Raises ValueError for what is no .npz file or only a part of one, a missing array, and a damaged one.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not an .npz file, or only a part of one: {CURE}")
    name = "its list of arrays"
    try:
        with np.load(path, allow_pickle=False) as file:
            there, arrays = list(file.files), []
            if not (missing := sorted(set(names) - set(there))):
                for name in names:
                    arrays.append(file[name])
                return arrays
    except Exception as error:  # a member that was cut short or overwritten raises whatever its reader stumbles over
        raise ValueError(f"{path}: {name} is damaged, or no array of numbers ({error}): {CURE}") from None
    raise ValueError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(there) or 'nothing'}")


def read_numbers(path: str | Path, columns: Sequence[str]) -> np.ndarray:
    """The rows of a text file of numbers without a header, parted by commas or blanks: (N, len(columns)) float64.

    Blank lines are passed over. Raises ValueError, naming row and column, for a row of another length, what is no
    number, and what is not finite; also for a file that is no text, or empty.
    """
    rows, lines = [], []
    for line, text in text_lines(path):
        cells = text.split(",") if "," in text else text.split()
        if len(cells) != len(columns):
            raise ValueError(
                f"{path}, line {line}: {len(cells)} cells, expected {len(columns)}; was the file cut short? {CURE}"
            )
        try:
            rows.append([float(cell) for cell in cells])
        except ValueError:
            column, cell = next((c, cell) for c, cell in zip(columns, cells) if not is_number(cell))
            what = "is empty" if not cell.strip() else f"holds {cell!r}, which is not a number"
            raise ValueError(f"{path}, line {line}: column {column!r} {what}; correct it, or {CURE}") from None
        lines.append(line)
    if not rows:
        raise ValueError(f"{path} is empty: {CURE}")
    x = np.array(rows)
    if len(bad := np.argwhere(~np.isfinite(x))):
        n, f = bad[0]
        raise ValueError(f"{path}, line {lines[n]}: column {columns[f]!r} holds {x[n, f]}, no finite number: {CURE}")
    return x


def text_lines(path: str | Path) -> Iterator[tuple[int, str]]:
    """(its number from 1, the line) for each line that is not blank. Raises ValueError for what is not UTF-8."""
    try:
        text = Path(path).read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text file in UTF-8 (byte {error.start}): {CURE}") from None
    for line, row in enumerate(text.split("\n"), start=1):
        if row.strip():
            yield line, row.removesuffix("\r")


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def class_numbers(path: str | Path, what: str, labels: np.ndarray, first: int, last: int, row: int = 0) -> np.ndarray:
    """Labels first..last (N,) of any number type, as class numbers 0..last−first, int64.

    row  what messages call the first row

    Raises ValueError, naming the place, for a label out of range.
    """
    if labels.ndim != 1 or labels.dtype.kind not in "uif":
        raise ValueError(f"{path}: {what} must be numbers (N,), got {labels.dtype} {labels.shape}: {CURE}")
    if len(wrong := np.flatnonzero(~np.isin(labels, np.arange(first, last + 1)))):
        k = wrong[0]
        raise ValueError(
            f"{path}: {what} {labels[k]:g} of row {k + row} is out of range, classes are {first}..{last}: {CURE}"
        )
    return labels.astype(np.int64) - first
