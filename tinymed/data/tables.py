"""Reading tables, CSV and Parquet, as cells of text; whatever is wrong with one is told with its line and column."""

from __future__ import annotations

import csv
import io
import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.data.arrays import is_number
from tinymed.data.extras import needed

LOG = logging.getLogger(__name__)
MISSING = ("", "na", "nan")  # what stands, in lower case, for a value that nobody measured
SEPARATORS = (",", ";", "\t", "|", "，")  # of equals the first is taken
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
            raise ValueError(
                f"{self.path} has no {what} column {name!r}; its columns are {listed(self.header)}"
                + headless(self.header)
            )

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
        """The different cells of a label column in sorted order; numbers by value: 10 comes after 9, 1.0 is 1."""
        names = {cell for cell in self.column(name) if cell.lower() not in MISSING}
        if not all(map(is_number, names)):
            return tuple(sorted(names))
        if measures := [cell for cell in names if not float(cell).is_integer()]:
            raise ValueError(
                f"{self.path}: label column {name!r} holds {min(measures)}, a measure; "
                "classes are text or whole numbers"
            )
        return tuple(map(str, sorted({int(float(cell)) for cell in names})))

    def labels(self, name: str, classes: Sequence[str]) -> np.ndarray:
        """The cells of a label column as class numbers, (N,) int64. Raises ValueError for a cell that is no class."""
        by_value = all(map(is_number, classes))
        numbers = {float(known) if by_value else known: k for k, known in enumerate(classes)}
        labels = np.empty(len(self.rows), np.int64)
        for k, cell in enumerate(self.column(name)):
            key = float(cell) if by_value and is_number(cell) else cell
            if key not in numbers:
                what = "is empty" if not cell else f"holds {cell!r}; the classes are {listed(classes)}"
                raise ValueError(f"{self.place(k)}: label column {name!r} {what}")
            labels[k] = numbers[key]
        return labels

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


def headless(header: Sequence[str]) -> str:
    """What to add to a complaint about a header most of which is numbers."""
    many = sum(map(is_number, header)) > len(header) / 2
    return "; its first line looks like data: is the header missing?" if many else ""


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
    delimiter  between the cells of a CSV file; if None, that of SEPARATORS which parts its header into most columns
    keep       columns that are wanted even if they are empty; other entirely empty columns at the end are dropped

    Raises ValueError, naming the line, for a file in another encoding, for a ragged row, for no rows, and for columns
    without a name or with the same one.
    """
    if Path(path).suffix.lower() in (".parquet", ".pq"):
        unit, (header, body) = "row", _parquet(path)
    else:
        (_, header), *body = [(line, _bare(row)) for line, row in read_csv(path, encoding, delimiter)] or [(1, [])]
        unit = "line"
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
            f"(pandas writes its row numbers so, unless told index=False){headless(header)}"
        )
    if len(set(header)) < width:
        twice = next(name for name in header if header.count(name) > 1)
        raise ValueError(
            f"{path}: the column name {twice!r} stands in the header {header.count(twice)} times{headless(header)}"
        )
    return Table(path, header, [row[:width] for _, row in body], [line for line, _ in body], unit)


def read_csv(
    path: str | Path, encoding: str | None = None, delimiter: str | None = None
) -> list[tuple[int, list[str]]]:
    """[(line, cells)] of a CSV file from its header on; a record of several lines has the number of its first."""
    text = read_text(path, encoding)
    delimiter = delimiter or _delimiter(text)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    table: list[tuple[int, list[str]]] = []
    line = 1
    try:
        for row in reader:
            if table or any(map(str.strip, row)):
                table.append((line, row))
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(f"{path} is not a proper CSV file: {error} (line {line} on)") from None
    return table


def _delimiter(text: str) -> str:
    """What parts the header of a CSV file into most columns."""
    header = next((line for line in text.splitlines() if line.strip()), "")
    return max(SEPARATORS, key=re.sub('"[^"]*"', "", header).count)


def _bare(cells: list[str]) -> list[str]:
    return [cell.strip() for cell in cells]


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

    Chinese in UTF-8 is read as such whatever is told: as GB18030 its bytes often give no error, but other characters.
    Raises ValueError, naming line and byte, for another encoding, and for two of them in one file.
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
    elif not encoding.lower().startswith("utf") and _in_utf8(path, data, encoding):
        encoding = None
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


def _in_utf8(path: str | Path, data: bytes, encoding: str) -> bool:
    """Whether it is Chinese in UTF-8, though another encoding was named. Refuses a file of which some lines are."""
    for line, raw in enumerate(data.split(b"\n"), start=1):
        if not raw.isascii() and _is_utf8(raw) and _CHINESE.search(raw.decode("utf-8")):
            if not _is_utf8(data):
                cure = "two encodings in one file; save it anew in one"
                raise ValueError(f"{path} is not text in {encoding}: line {line} is UTF-8; {cure}")
            LOG.info("%s is read as UTF-8, which it is, not as %s", path, encoding)
            return True
    return False


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
