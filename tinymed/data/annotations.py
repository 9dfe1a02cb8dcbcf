"""Annotations of a signal in PhysioNet's WFDB format (.atr): which beat is where. Not for clinical use.

The format is MIT's, of the WFDB Applications Guide, annot(5); the numbers equal those of the `wfdb` package.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.data.wfdb import NUMBER, Record, present

# what a code means, as one letter (ecgcodes.h); 15, 17 and 42..49 are free for anybody's use
LETTERS = ' NLRaVFJASEj/Q~ | sT*D"=pB^t+u?![]en@xf()r        '
SYMBOLS = tuple(f"[{code}]" if letter == " " else letter for code, letter in enumerate(LETTERS))
SKIP, NUM, AUX = 59, 60, 63  # these, and 61 and 62, are no annotations: they say more of one


@dataclass(frozen=True, eq=False)
class Annotations:
    """What `read_annotations` gives: M annotations, in the file's order.

    samples   (M,) int64, where each stands, counted from the record's first sample
    symbols   (M,) str: "N" a normal beat, "V" a premature ventricular one, "+" a change of rhythm, ...
    aux       text, such as "(N" for a normal rhythm, which MIT-BIH closes with a zero byte; "" where there is none
    fs        the samples a second that they are counted in, where the file says so, else None: those of the record
    """

    samples: np.ndarray
    symbols: np.ndarray
    aux: tuple[str, ...]
    fs: float | None

    def __len__(self) -> int:
        return len(self.samples)

    def __repr__(self) -> str:
        names, counts = np.unique(self.symbols, return_counts=True)
        return f"Annotations({len(self)}: {', '.join(f'{s} {n}' for s, n in zip(names, counts))})"


def read_annotations(path: str | Path, record: Record | None = None) -> Annotations:
    """Annotations in MIT's format, from "100" (then 100.atr) or "100.atr".

    A file is words of 16 bits, the low byte first: a code in the upper 6 bits, a number in the lower 10.

    code 1..49   an annotation, as many samples after the one before as the number says
    59 SKIP      so many samples more: the next four bytes, high word first, where 10 bits do not suffice
    60 NUM, 61 SUB, 62 CHN   more on the annotation before, which is passed over
    63 AUX       so many bytes of text follow, and a zero byte if their number is odd
    0 and 0      the end

    record  the record they belong to, to check that they lie within it

    Raises FileNotFoundError, and ValueError for a file cut short, unknown codes, and what lies outside the record.
    """
    path = Path(path)
    path = present(path if path.suffix else path.with_suffix(".atr"))
    data = path.read_bytes()
    rows: list[dict[str, Any]] = []
    time = at = 0
    fs = None

    def take(size: int) -> bytes:
        nonlocal at
        if at + size > len(data):
            raise ValueError(
                f"{path} ends after {len(rows)} annotations, within one or without its end mark: it was cut short; "
                "fetch or copy it again"
            )
        at += size
        return data[at - size : at]

    while word := int.from_bytes(take(2), "little"):
        code, value = word >> 10, word & 0x3FF
        if code == SKIP:
            high, low = struct.unpack("<hH", take(4))
            time += (high << 16) + low
        elif code < len(SYMBOLS):
            time += value
            rows.append({"code": code, "sample": time, "aux": ""})
        elif code < NUM or not rows:
            raise ValueError(
                f"{path}: the code {code} at byte {at - 2} is unknown: is it an annotation file of MIT's format?"
            )
        elif code == AUX:
            rows[-1]["aux"] = take(value & 0xFF).decode("latin-1")
            take(value & 1)
    for row in rows:
        if row["sample"] == 0 and (said := re.match(rf"## time resolution: ({NUMBER})", row["aux"])):
            fs = float(said[1])
    # code 0, and notes on the file itself, are no annotations of the record
    rows = [row for row in rows if row["code"] and not (row["sample"] == 0 and row["aux"].startswith("## "))]
    if record is not None:
        _check_within(path, rows, record, fs)
    samples = np.array([row["sample"] for row in rows], np.int64)
    symbols = np.array([SYMBOLS[row["code"]] for row in rows], str)
    return Annotations(samples, symbols, tuple(row["aux"] for row in rows), fs)


def _check_within(path: Path, rows: list[dict[str, Any]], record: Record, fs: float | None) -> None:
    if fs is not None and fs != record.fs:
        raise ValueError(f"{path} counts {fs:g} samples a second, but record {record.name} has {record.fs:g}")
    for k, row in enumerate(rows, 1):
        if not 0 <= row["sample"] < len(record):
            raise ValueError(
                f"{path}: annotation {k} ({SYMBOLS[row['code']]}) stands at sample {row['sample']:,}, but record "
                f"{record.name} has {len(record):,}: it is of another record, or one of the files is damaged"
            )
