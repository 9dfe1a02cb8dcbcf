"""Reading tables, CSV and Parquet, as cells of text; whatever is wrong with one is told with its line and column."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.data.extras import needed

MISSING = ("", "na", "nan")  # what stands, in lower case, for a value that nobody measured
SEPARATORS = (",", ";", "\t", "|", "，")
_INDEX = re.compile(r"__index_level_\d+__")  # pandas keeps its row numbers so in Parquet: no measure
_CHINESE = re.compile("[\u4e00-\u9fff]{2}")  # six bytes in UTF-8, which hardly ever arise by chance


@dataclass(frozen=True, eq=False)
class Table:
    """A header and rows of cells, text without outer spaces. `lines` (N,) are their numbers in the file, from 1."""

    path: str | Path
    header: list[str]
    rows: list[list[str]]
    lines: list[int]
    unit: str = "line"  # what the file counts in; of Parquet it is rows

    def place(self, k: int) -> str:
        """Where row k, from 0, stands: data.csv, line 3"""
        return f"{self.path}, {self.unit} {self.lines[k]}"

    def need(self, name: str, what: str) -> None:
        """Refuse a table without the column `name`."""
        if name not in self.header:
            hint = " (these are numbers: has the file no header line?)" if all(map(is_number, self.header)) else ""
            raise ValueError(f"{self.path} has no {what} column {name!r}; its columns are {listed(self.header)}{hint}")

    def column(self, name: str) -> list[str]:
        place = self.header.index(name)
        return [row[place] for row in self.rows]

    def filled(self, name: str, what: str) -> list[str]:
        """The cells of a column in which none may be empty."""
        self.need(name, what)
        cells = self.column(name)
        for k, cell in enumerate(cells):
            if not cell:
                raise ValueError(f"{self.place(k)}: {what} column {name!r} is empty; fill it or leave the row out")
        return cells

    def classes(self, name: str) -> tuple[str, ...]:
        """The different cells of a label column in sorted order; numbers by value, so that 10 comes after 9."""
        names = {cell for cell in self.column(name) if cell.lower() not in MISSING}
        if not all(map(is_number, names)):
            return tuple(sorted(names))
        if measures := [cell for cell in names if not float(cell).is_integer()]:
            raise ValueError(
                f"{self.path}: label column {name!r} holds {min(measures)}, a measure; "
                "classes are text or whole numbers"
            )
        return tuple(sorted(names, key=float))

    def labels(self, name: str, classes: Sequence[str]) -> np.ndarray:
        """The cells of a label column as class numbers, (N,) int64. Raises ValueError for a cell that is no class."""
        numbers = {cell: k for k, cell in enumerate(classes)}
        cells = self.column(name)
        for k, cell in enumerate(cells):
            if cell not in numbers:
                what = "is empty" if not cell else f"holds {cell!r}; the classes are {listed(classes)}"
                raise ValueError(f"{self.place(k)}: label column {name!r} {what}")
        return np.array([numbers[cell] for cell in cells], np.int64)

    def numbers(self, columns: Sequence[str], missing: str = "refuse") -> np.ndarray:
        """The cells of columns of numbers, (N,F) float64, finite; missing ones NaN where `missing` is "nan"."""
        places = [self.header.index(name) for name in columns]
        x = np.empty((len(self.rows), len(places)))
        for k, row in enumerate(self.rows):
            cells = [row[place] for place in places]
            if missing == "nan":
                cells = ["nan" if cell.lower() in MISSING else cell for cell in cells]
            try:
                x[k] = [float(cell) for cell in cells]
            except ValueError:
                name, cell = next((n, c) for n, c in zip(columns, cells) if not is_number(c))
                what = f"holds {cell!r}, which is not a number" if cell else "is empty"
                cure = "the decimal mark is a point" if "," in cell else "correct the cell or leave the row out"
                hint = ', or read the file with missing="nan"' if cell.lower() in MISSING else ""
                raise ValueError(f"{self.place(k)}: column {name!r} {what}; {cure}{hint}") from None
        with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite
            bad = ~np.isfinite(x.astype(np.float32)) & ~(np.isnan(x) & (missing == "nan"))
        if bad.any():
            k, f = np.argwhere(bad)[0]
            cure = (
                'fill the gap, drop the row, or read the file with missing="nan"' if np.isnan(x[k, f]) else "correct it"
            )
            raise ValueError(f"{self.place(k)}: column {columns[f]!r} holds {x[k, f]}; {cure}")
        return x


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def listed(names: Any, most: int = 12) -> str:
    """Names for a message: the first dozen, and how many more."""
    names = list(names) if isinstance(names, Sequence) else sorted(names)
    more = f", ... ({len(names)} in all)" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more if names else "none"


# -------------------------------------------------------------------- files


def read_table(
    path: str | Path, encoding: str | None = None, delimiter: str | None = None, keep: Collection[str] = ()
) -> Table:
    """A table of a file: Parquet (.parquet, .pq), else CSV with a header line.

    encoding   of a CSV file; UTF-8 if None
    delimiter  between the cells of a CSV file; a comma if None
    keep       columns that are wanted even if they are empty; other entirely empty columns at the end are dropped

    Raises ValueError, naming the line, for a file in another encoding or with another delimiter, for a ragged row,
    for no rows, and for columns without a name or with the same one.
    """
    if Path(path).suffix.lower() in (".parquet", ".pq"):
        unit, header, body = "row", *_parquet(path)
    else:
        unit, (header, body) = "line", _csv(path, encoding, delimiter or ",")
    body = [(line, row) for line, row in body if any(row)]  # not blank lines, or commas alone
    if not body:
        raise ValueError(f"{path} has {'a header but no rows' if any(header) else 'nothing in it'}")
    width = len(header)
    while width and header[width - 1] not in keep and not any(any(row[width - 1 : width]) for _, row in body):
        width -= 1  # the last column is empty in every row, or missing from every row
    for line, row in body:
        if len(row) < width or any(row[width:]):
            raise ValueError(f"{path}, {unit} {line}: {len(row)} cells, but the header has {width} columns")
    header = header[:width]
    if "" in header:
        raise ValueError(
            f"{path}: column {header.index('') + 1} has no name in the header; name it or leave it out "
            "(pandas writes its row numbers so, unless told index=False)"
        )
    if len(set(header)) < width:
        twice = next(name for name in header if header.count(name) > 1)
        raise ValueError(f"{path}: the column name {twice!r} stands in the header {header.count(twice)} times")
    return Table(path, header, [row[:width] for _, row in body], [line for line, _ in body], unit)


def _csv(path: str | Path, encoding: str | None, delimiter: str) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """(header, [(line, cells)]) of a CSV file; a record of several lines has the number of its first."""
    reader = csv.reader(io.StringIO(read_text(path, encoding), newline=""), delimiter=delimiter, strict=True)
    table, line = [], 1
    try:
        for row in reader:
            table.append((line, [cell.strip() for cell in row]))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path} is not a proper CSV file: {error} (line {line} on)") from None
    while table and not any(table[0][1]):
        del table[0]
    header = table[0][1] if table else []
    if len(header) == 1:
        for other in SEPARATORS:
            if other != delimiter and other in header[0]:
                raise ValueError(
                    f"{path} has {other!r} between its columns, not {delimiter!r}: read it with delimiter={other!r}"
                )
    return header, table[1:]


def _parquet(path: str | Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """(header, [(row, cells)]) of a Parquet file, its values written as text, null as an empty cell."""
    pyarrow, parquet = (needed(name, "parquet", "reading Parquet") for name in ("pyarrow", "pyarrow.parquet"))
    try:
        table = parquet.read_table(pyarrow.BufferReader(Path(path).read_bytes()))
    except pyarrow.ArrowException as error:
        raise ValueError(f"{path} is not a Parquet file, or only a part of one: {str(error).splitlines()[0]}") from None
    names = [name for name in table.column_names if not _INDEX.fullmatch(name)]
    columns = [
        ["" if value is None else str(value).strip() for value in column.to_pylist()]
        for name, column in zip(table.column_names, table.columns)
        if not _INDEX.fullmatch(name)
    ]
    return names, [(k, list(row)) for k, row in enumerate(zip(*columns), start=1)]


def read_text(path: str | Path, encoding: str | None = None) -> str:
    """The text of a file, in UTF-8 (with or without a byte-order mark) unless told otherwise.

    Raises ValueError, naming line and byte, for another encoding, and for two of them in one file: bytes of UTF-8
    read as GB18030 often give no error, but other characters.
    """
    data = Path(path).read_bytes()
    if data.startswith(b"PK\x03\x04"):
        raise ValueError(f"{path} is a zip archive, as Excel's .xlsx is: save the sheet as CSV, in UTF-8")
    if encoding is None:
        if data.startswith((b"\xff\xfe", b"\xfe\xff")):
            raise ValueError(f'{path} is not text in UTF-8 but in UTF-16: read it with encoding="utf-16"')
        if b"\0" in data:
            end = "le" if data[1::2].count(0) > data[::2].count(0) else "be"  # where the zero of an ASCII letter stands
            raise ValueError(
                f"{path} is not text in UTF-8: it holds zero bytes; "
                f'if it is text in UTF-16, read it with encoding="utf-16-{end}"'
            )
    elif not encoding.lower().startswith("utf"):
        _refuse_utf8(path, data, encoding)
    try:
        return data.decode(encoding or "utf-8-sig")
    except LookupError:
        raise ValueError(f'there is no encoding {encoding!r}; "utf-8" and "gb18030" are two') from None
    except UnicodeDecodeError as error:
        start, line = error.start, data.count(b"\n", 0, error.start) + 1
        where = f"line {line}, byte {start + 1} of the file, is 0x{data[start]:02X}"
        if encoding:
            cure = "name the encoding that it was saved in"
        elif _CHINESE.search(data[:start].decode("utf-8")):
            cure = "what stands before is UTF-8: two encodings in one file; save it anew in one"
        else:
            cure = 'if it is Chinese text in GB18030 (or GBK), read it with encoding="gb18030"'
        raise ValueError(f"{path} is not text in {encoding or 'UTF-8'}: {where}; {cure}") from None


def _refuse_utf8(path: str | Path, data: bytes, encoding: str) -> None:
    """Refuse a line of Chinese in UTF-8 where another encoding was named."""
    for line, raw in enumerate(data.split(b"\n"), start=1):
        if not raw.isascii() and _is_utf8(raw) and _CHINESE.search(raw.decode("utf-8")):
            cure = "leave the encoding out" if _is_utf8(data) else "two encodings in one file; save it anew in one"
            raise ValueError(f"{path} is not text in {encoding}: line {line} is UTF-8; {cure}")


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
