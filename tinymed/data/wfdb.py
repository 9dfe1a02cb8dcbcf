"""Records in PhysioNet's WFDB format: a header (.hea) and samples (.dat). Not for clinical use.

The formats are those of the WFDB Applications Guide, header(5) and signal(5); the names of a signal's fields are
those of the `wfdb` package, and the numbers equal its numbers. Annotations (.atr) are read in annotations.py.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

MISSING = {"212": -(2**11), "16": -(2**15)}  # the sample that stands for "no value" becomes NaN


@dataclass(frozen=True)
class SignalInfo:
    """One signal's line of a header; what the line leaves out has the specification's default."""

    file_name: str
    fmt: str
    byte_offset: int  # bytes before the first sample
    adc_gain: float  # ADC units in one physical unit
    baseline: int  # the ADC's value for 0 physical units
    units: str
    init_value: int | None  # the first sample, and the sum of all of them, to check by
    checksum: int | None
    sig_name: str


@dataclass(frozen=True, eq=False)
class Record:
    """What `read_record` gives: T samples of each lead, as they are stored and in physical units.

    digital  (T,leads) int16, the ADC's numbers
    signal   (T,leads) float64, (digital − baseline) / gain, mV as a rule; NaN where a sample is missing
    fs       samples a second
    """

    name: str
    fs: float
    digital: np.ndarray
    signal: np.ndarray
    infos: tuple[SignalInfo, ...]
    comments: tuple[str, ...]

    @property
    def leads(self) -> tuple[str, ...]:
        return tuple(info.sig_name for info in self.infos)

    @property
    def units(self) -> tuple[str, ...]:
        return tuple(info.units for info in self.infos)

    def lead(self, lead: int | str) -> int:
        """The number of a lead, from its name or number. Raises ValueError if there is no such lead."""
        if lead in self.leads:
            return self.leads.index(str(lead))
        if isinstance(lead, int) and 0 <= lead < len(self.leads):
            return lead
        names = ", ".join(f"{k} {name}" for k, name in enumerate(self.leads))
        raise ValueError(f"record {self.name} has no lead {lead!r}; its leads are {names}")

    def __len__(self) -> int:
        return len(self.digital)

    def __repr__(self) -> str:
        seconds = len(self) / self.fs
        return f"Record({self.name!r}, leads={self.leads}, {len(self)} samples, {self.fs:g} Hz, {seconds:.1f} s)"


def read_record(path: str | Path, verify: bool = True) -> Record:
    """A record of formats 212 and 16, from "100" or "100.hea"; the .dat lies beside its header.

    verify  compare each signal with its checksum and first value in the header, where they are given

    Raises FileNotFoundError for a missing file; ValueError, naming file and line, for a header that cannot be
    read, other formats, fewer samples than the header promises, and samples that differ from the checksum.
    """
    header = present(Path(path).with_suffix(".hea"))
    lines, comments = [], []
    for number, line in enumerate(header.read_text("utf-8", "replace").splitlines(), 1):
        if (line := line.strip()).startswith("#"):
            comments.append(line.strip(" \t#"))
        elif line:
            lines.append((f"{header}, line {number}", line))
    if not lines:
        raise ValueError(f"{header} has no record line, such as '100 2 360 650000'; is it empty, or another file?")
    at = _record_line(*lines[0])
    name, n_sig, length = at["name"], int(at["n_sig"]), int(at["length"] or 0)
    if len(lines) <= n_sig:
        raise ValueError(
            f"{header} promises {n_sig} signals, but has lines for {len(lines) - 1}: it was cut short; fetch it again"
        )
    infos = tuple(_signal_line(*lines[1 + k], f"record {name}, signal {k}") for k in range(n_sig))
    digital = _samples(header, infos, length)
    if verify and length:
        _verify(header, infos, digital)
    gain, baseline = (np.array([getattr(info, field) for info in infos]) for field in ("adc_gain", "baseline"))
    signal = (digital - baseline) / gain  # float64
    signal[digital == [MISSING[info.fmt] for info in infos]] = np.nan
    return Record(name, float(at["fs"] or 250), digital, signal, infos, tuple(comments))


def decode_212(data: bytes, count: int) -> np.ndarray:
    """Format 212: two samples of 12 bits in three bytes, from the bytes to (count,) int16.

    byte       0            1             2
           aaaaaaaa     BBBB AAAA     bbbbbbbb       A, a: the first sample; B, b: the second; capitals are high

    first  = AAAA aaaaaaaa, second = BBBB bbbbbbbb, both in two's complement: from 2048 on, take off 4096. So the
    bytes E3 33 F3 are the samples 3E3 = 995 and 3F3 = 1011. Raises ValueError if the bytes are too few.
    """
    if len(data) < (needed := (3 * count + 1) // 2):
        raise ValueError(f"{count} samples of 12 bits need {needed} bytes, got {len(data)}")
    padded = data[:needed] + bytes(-needed % 3)  # an odd last sample stands in two bytes
    low_a, high, low_b = np.frombuffer(padded, np.uint8).astype(np.int16).reshape(-1, 3).T
    samples = np.stack([(high & 0x0F) << 8 | low_a, (high & 0xF0) << 4 | low_b], axis=1).reshape(-1)[:count]
    return np.where(samples >= 2048, samples - 4096, samples)


def present(path: Path) -> Path:
    """The path itself. Raises FileNotFoundError if there is no such file."""
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}; correct the path, or fetch the record")
    return path


# -------------------------------------------------------------------- the header's lines

NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"
_RECORD = re.compile(  # a counter's frequency after fs, and time and date at the end, are passed over
    rf"(?P<name>[^\s/]+)(?P<segments>/\d+)?\s+(?P<n_sig>\d+)"
    rf"(?:\s+(?P<fs>{NUMBER})(?:/\S+)?(?:\s+(?P<length>\d+)(?:\s+[\d:.]+(?:\s+[\d/]+)?)?)?)?"
)
_FORMAT = re.compile(r"(?P<fmt>\d+)(?:x(?P<frame>\d+))?(?::(?P<skew>\d+))?(?:\+(?P<offset>\d+))?")
_GAIN = re.compile(rf"(?P<gain>{NUMBER})(?:\((?P<baseline>-?\d+)\))?(?:/(?P<units>\S+))?")


def _record_line(where: str, line: str) -> dict[str, Any]:
    at = _RECORD.fullmatch(line)
    if not at:
        raise ValueError(
            f"{where}: {line!r} is no record line; it holds the name, the number of signals, samples a second and "
            "samples, such as '100 2 360 650000'"
        )
    if at["segments"]:
        raise ValueError(f"{where}: record {at['name']} is made of segments; read each of them as its own record")
    if not int(at["n_sig"]):
        raise ValueError(f"{where}: record {at['name']} has no signals; only its annotations can be read")
    if at["fs"] and not float(at["fs"]) > 0:
        raise ValueError(f"{where}: {at['fs']} samples a second cannot be; correct the header")
    return at.groupdict()


def _signal_line(where: str, line: str, unnamed: str) -> SignalInfo:
    """File, format and gain with their modifiers, five whole numbers, and the name, which may hold blanks."""
    fields = line.split(maxsplit=8)
    form = _FORMAT.fullmatch(fields[1]) if len(fields) > 1 else None
    scale = _GAIN.fullmatch(fields[2] if len(fields) > 2 else "200")
    whole = fields[3:8]
    if not form or not scale or not all(re.fullmatch(r"[+-]?\d+", field) for field in whole):
        raise ValueError(
            f"{where}: {line!r} is no signal line; it holds file, format, gain, bits, zero, first value, checksum, "
            "block size and name, such as '100.dat 212 200 11 1024 995 -22131 0 MLII'"
        )
    if form["fmt"] not in MISSING:
        raise ValueError(f"{where}: {fields[0]} is of format {form['fmt']}: only 212 and 16 are read; convert it")
    if int(form["frame"] or 1) != 1 or int(form["skew"] or 0):
        raise ValueError(
            f"{where}: signals of several samples a frame, or skewed, are not read ({fields[1]}); convert it"
        )
    if not float(scale["gain"]):
        raise ValueError(
            f"{where}: a gain of 0 means that nobody knows what a unit of {fields[0]} is; write the gain, "
            "such as 200 (ADC units in a mV), into the header"
        )
    _, zero, first, checksum, _ = [int(field) for field in whole] + [None] * (5 - len(whole))
    return SignalInfo(
        file_name=fields[0],
        fmt=form["fmt"],
        byte_offset=int(form["offset"] or 0),
        adc_gain=float(scale["gain"]),
        baseline=int(scale["baseline"] or zero or 0),  # else the middle of the ADC's range
        units=scale["units"] or "mV",
        init_value=first,
        checksum=checksum,
        sig_name=fields[8] if len(fields) > 8 else unnamed,
    )


# -------------------------------------------------------------------- the samples


def _samples(header: Path, infos: tuple[SignalInfo, ...], length: int) -> np.ndarray:
    """(T,leads) int16 from the files that the header names; signals of one file take turns in it."""
    columns: dict[int, np.ndarray] = {}
    for file_name in dict.fromkeys(info.file_name for info in infos):
        numbers = [k for k, info in enumerate(infos) if info.file_name == file_name]  # apart, as a rule not
        group = [infos[k] for k in numbers]
        if len({(info.fmt, info.byte_offset) for info in group}) > 1:
            raise ValueError(f"{header}: the signals of {file_name} are given different formats; correct the header")
        path = header.parent / file_name
        if not path.is_file():
            raise FileNotFoundError(f"{header} names {file_name}, which is not beside it; place it in {header.parent}")
        data = path.read_bytes()[group[0].byte_offset :]
        there = (len(data) * 2 // 3 if group[0].fmt == "212" else len(data) // 2) // len(group)
        if there < (count := length or there) or not there:
            raise ValueError(
                f"{path} holds {there:,} samples of each of its {len(group)} signals, but {header.name} promises "
                f"{length:,}: it was cut short, or is another record's; fetch or copy it again"
            )
        n = count * len(group)
        samples = decode_212(data, n) if group[0].fmt == "212" else np.frombuffer(data, "<i2", n).astype(np.int16)
        columns |= zip(numbers, samples.reshape(count, len(group)).T)
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError(f"{header} gives no number of samples, and its files hold different ones; write it there")
    return np.stack([columns[k] for k in range(len(infos))], axis=1)


def _verify(header: Path, infos: tuple[SignalInfo, ...], digital: np.ndarray) -> None:
    for info, samples in zip(infos, digital.T):
        found = (int(samples.sum(dtype=np.int64)) + 2**15) % 2**16 - 2**15  # 16 bits, signed
        for what, promised, got in (
            ("first value", info.init_value, int(samples[0])),
            ("checksum", info.checksum and (info.checksum + 2**15) % 2**16 - 2**15, found),
        ):
            if promised is not None and promised != got:
                raise ValueError(
                    f"{header.parent / info.file_name}: signal {info.sig_name} has the {what} {got}, but {header.name} "
                    f"says {promised}: one of them is damaged; fetch both again (verify=False reads them as they are)"
                )
