"""Single heartbeats of the MIT-BIH Arrhythmia Database (Moody and Mark 2001). Not for clinical use."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tinymed.data.annotations import Annotations, read_annotations
from tinymed.data.dataset import LabelledDataset
from tinymed.data.registry import MITDB_RECORDS, SOURCES
from tinymed.data.sources import fetch_all
from tinymed.data.wfdb import Record, read_record

CLASSES = ("N", "S", "V", "F", "Q")
# The five classes of ANSI/AAMI EC57, and which of MIT-BIH's annotations belong to each: as in de Chazal et al., IEEE
# Trans. Biomed. Eng. 51(7):1196, 2004; n, B, r and ?, which these records do not have, as in WFDB's ecgmap.h.
AAMI = {
    "N": "NLRejnB",  # normal, bundle branch blocks, escape beats of the atria and the AV node
    "S": "AaJS",  # supraventricular ectopic: premature atrial and nodal beats
    "V": "VEr",  # ventricular ectopic: premature and escape beats of the ventricles
    "F": "F",  # a fusion of a ventricular and a normal beat
    "Q": "/fQ?",  # paced, fusion of paced and normal, unclassifiable
}
CLASS_OF = {symbol: k for k, name in enumerate(CLASSES) for symbol in AAMI[name]}

# EC57 leaves out the four records of patients with a pacemaker. Of the others, de Chazal (2004) trains on DS1 and
# tests on DS2. The two share one man: 201 and 202 are his. To keep patients apart, leave one of them out.
PACED = ("102", "104", "107", "217")
_DS1 = "101 106 108 109 112 114 115 116 118 119 122 124 201 203 205 207 208 209 215 220 223 230"
_DS2 = "100 103 105 111 113 117 121 123 200 202 210 212 213 214 219 221 222 228 231 232 233 234"
DS1, DS2 = tuple(_DS1.split()), tuple(_DS2.split())
PATIENT = {"202": "201"}  # every other record is a patient of its own


@dataclass(frozen=True, eq=False)
class Beats:
    """The beats of one record: (N,T) float32 windows, symbols (N,), samples (N,), and how many were left out."""

    windows: np.ndarray
    symbols: np.ndarray
    samples: np.ndarray
    left_out: int

    def take(self, which: np.ndarray) -> Beats:
        return Beats(self.windows[which], self.symbols[which], self.samples[which], self.left_out)


class BeatDataset(LabelledDataset):
    """Labelled beats (N,1,T) in mV; sample `before` of each is its R peak.

    records   (N,) str, the record of each; `groups` is the patient, the same but for 201 and 202
    symbols   (N,) str, MIT-BIH's own letter; samples (N,) int64, where the R peak lies in the record
    left_out  {record: number of beats whose window leaves the record}
    lead, fs, before   what they were cut by
    """

    def __init__(
        self, *args: Any, beats: dict[str, Beats], lead: int | str, fs: float, before: int, **about: Any
    ) -> None:
        self.records = np.concatenate([np.full(len(b.samples), name) for name, b in beats.items()])
        self.symbols, self.samples = (
            np.concatenate([getattr(b, what) for b in beats.values()]) for what in ("symbols", "samples")
        )
        self.left_out = {name: b.left_out for name, b in beats.items()}
        self.lead, self.fs, self.before = lead, fs, before
        about["groups"] = np.array([PATIENT.get(r, r) for r in self.records.tolist()])
        super().__init__(*args, **about)

    @property
    def names(self) -> list[str]:
        return [f"record {r}, beat at {s / self.fs:.2f} s" for r, s in zip(self.records, self.samples)]


def load_mitbih(
    records: Iterable[int | str] = ("100", "101"),
    data_home: str | Path | None = None,
    download: bool = True,
    lead: int | str = "MLII",
    before: int = 250,
    after: int = 150,
    abnormal: bool = False,
) -> BeatDataset:
    """Beats of MIT-BIH: inputs (N,1,T) float32 in mV, T = before + after, labels (N,) int64 of EC57's five classes.

        train, test = load_mitbih(DS1), load_mitbih(DS2)  # with all 48 records at hand

    records  their numbers. 100 has 2239 N, 33 S and 1 V; 101 has 1860 N, 3 S and 2 Q. By EC57 the four of paced
             hearts (PACED) are left out, as DS1 and DS2 do
    lead     by name or number. All records but 102 and 104 have MLII, most as their first
    before, after  samples at 360 Hz that stand before the R peak, and from it on: 694 ms and 417 ms. P wave, QRS
             complex and T wave are seen, and the beat before where it is nearer than at 86 beats a minute: an S
             beat is one that comes early. A beat whose window leaves the record is left out, see `left_out`
    abnormal  two classes instead: 0 normal is N; 1 abnormal is S, V and F. Q, which nobody could tell, is dropped

    Nothing is normalised: mV compare between patients, and height tells a ventricular beat. What is fitted to data
    (a mean, a scale) is fitted to the training part alone, later.

    See `fetch_all` for data_home, download and the errors. Raises ValueError for records that are not of MIT-BIH or
    given twice, a lead that one of them has not, and a window without samples.
    """
    names = _named(records)
    paths = fetch_all("mitdb", data_home, download, files=names)
    beats: dict[str, Beats] = {}
    fs = 360.0
    for name in names:
        record = read_record(paths[f"{name}.hea"])
        fs = record.fs
        cut = cut_beats(record, read_annotations(paths[f"{name}.atr"], record), lead, before, after)
        beats[name] = cut.take(~np.isin(cut.symbols, list(AAMI["Q"]))) if abnormal else cut
    windows = np.concatenate([b.windows for b in beats.values()])
    if not len(windows):
        raise ValueError(
            f"records {', '.join(names)} have no beat whose window of {before + after} samples lies within the record"
        )
    labels = np.array([CLASS_OF[s] for b in beats.values() for s in b.symbols.tolist()], np.int64)
    return BeatDataset(
        windows[:, None],
        np.minimum(labels, 1) if abnormal else labels,
        ("normal", "abnormal") if abnormal else CLASSES,
        source=f"MIT-BIH, records {', '.join(names)}, lead {lead}",
        licence=SOURCES["mitdb"].licence,
        citation=SOURCES["mitdb"].citation,
        beats=beats,
        lead=lead,
        fs=fs,
        before=before,
    )


def cut_beats(
    record: Record, annotations: Annotations, lead: int | str = 0, before: int = 250, after: int = 150
) -> Beats:
    """The window of `before` samples up to each annotated beat and `after` from it on. What is no beat is passed over.

    Raises ValueError for a lead that the record has not, and a window without samples or longer than the record.
    """
    T = before + after
    if before < 0 or after < 1 or len(record) < T:
        raise ValueError(
            f"a window of {before} samples before the R peak and {after} from it on cannot be cut from record "
            f"{record.name} of {len(record):,}; before must be 0 or more, after 1 or more"
        )
    signal = record.signal[:, record.lead(lead)]
    is_beat = np.isin(annotations.symbols, list(CLASS_OF))
    first = annotations.samples[is_beat] - before
    within = (first >= 0) & (first + T <= len(signal))
    windows = np.lib.stride_tricks.sliding_window_view(signal, T)[first[within]].astype(np.float32)
    whole = np.isfinite(windows).all(axis=1)  # no sample missing
    return Beats(
        windows[whole],
        annotations.symbols[is_beat][within][whole],
        annotations.samples[is_beat][within][whole],
        int(is_beat.sum() - whole.sum()),
    )


def _named(records: Iterable[int | str]) -> tuple[str, ...]:
    names = (str(records),) if isinstance(records, int | str) else tuple(str(record) for record in records)
    if not names:
        raise ValueError("load_mitbih needs at least one record, such as '100'")
    if unknown := [name for name in names if name not in MITDB_RECORDS]:
        raise ValueError(f"MIT-BIH has no record {unknown[0]!r}; it has {', '.join(MITDB_RECORDS)}")
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"record {twice[0]} is given {names.count(twice[0])} times; its beats would count as often")
    return names
