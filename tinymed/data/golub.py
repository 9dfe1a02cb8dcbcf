"""Leukaemia by gene expression: Golub et al., Science 286:531, 1999. Not for clinical use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinymed.data.arrays import CURE, class_numbers, read_npz
from tinymed.data.dataset import LabelledDataset
from tinymed.data.registry import SOURCES
from tinymed.data.sources import fetch_all
from tinymed.data.tables import read_csv

CLASSES = ("ALL", "AML")  # acute lymphoblastic, acute myeloid leukaemia
TABLES = {"train": "data_set_ALL_AML_train.csv", "test": "data_set_ALL_AML_independent.csv"}
COUNTS = {"train": (27, 11), "test": (20, 14)}
GENES = 7129


class GolubDataset(LabelledDataset):
    """Expression of gene probes, inputs (N,7129).

    genes         (7129,) str, the probes' accession numbers
    descriptions  (7129,) str, what each is of
    groups        (N,) the patients' numbers, 1..72: each stands for one sample
    """

    def __init__(self, inputs: Any, *args: Any, genes: Any, descriptions: Any, **about: Any) -> None:
        super().__init__(inputs, *args, **about)
        self.genes, self.descriptions = np.asarray(genes), np.asarray(descriptions)


def load_golub(split: str = "train", data_home: str | Path | None = None, download: bool = True) -> GolubDataset:
    """Bone marrow and blood of leukaemia patients: inputs (N,7129) float32, labels (N,) int64, N = 38, 34.

    Label 0 is ALL, 1 is AML. The numbers are raw: average differences of an Affymetrix chip, −28400 to 71369,
    negative where the probes that should not match shone brighter. Usual is to clip them to 100..16000 and to take
    log10. Scale, and choose genes, within the training part alone: of 7129 columns some separate any 38 rows.
    The test patients were collected apart from the training patients, which makes the test harder and more honest.
    The subtypes of ALL (B-cell, T-cell) that the paper also finds are not in these files.

    Reads the three tables that circulate as CSV, or golub.npz. See `fetch_all` for data_home, download and the
    errors. Raises ValueError for an unknown split, and for a file that is not what it should be, naming line and
    column.
    """
    if split not in TABLES:
        raise ValueError(f"there is no split {split!r} of golub; there are {', '.join(map(repr, TABLES))}")
    paths = fetch_all("golub", data_home, download, files=(TABLES[split], "actual.csv"))
    if path := paths.get("golub.npz"):
        x, y, patients, genes, descriptions = read_npz(
            path, (f"{split}_x", f"{split}_y", f"{split}_id", "gene", "desc")
        )
        labels = class_numbers(path, f"{split}_y", y, 0, 1)
    else:
        path = paths[TABLES[split]]
        x, patients, genes, descriptions = _read_table(path)
        cancer = _read_labels(paths["actual.csv"])
        if strangers := [int(number) for number in patients if number not in cancer]:
            raise ValueError(f"{paths['actual.csv']} has no row for patient {strangers[0]} of {path}: {CURE}")
        labels = np.array([cancer[number] for number in patients], np.int64)
    n = sum(COUNTS[split])
    if x.shape != (n, GENES) or x.dtype.kind not in "iu" or genes.shape != (GENES,) or descriptions.shape != (GENES,):
        raise ValueError(
            f"{path}: the {split} split must be integers ({n}, {GENES}), with a name for each column, got {x.dtype} "
            f"{x.shape} with {genes.shape} and {descriptions.shape}: {CURE}"
        )
    if labels.shape != (n,) or patients.shape != (n,) or tuple(np.bincount(labels).tolist()) != COUNTS[split]:
        raise ValueError(
            f"{path}: the {split} split has {n} patients, {COUNTS[split][0]} ALL and {COUNTS[split][1]} AML, "
            f"got {len(labels)} labels, {labels.sum()} of them AML, and {len(patients)} patients: {CURE}"
        )
    return GolubDataset(
        x.astype(np.float32),
        labels,
        CLASSES,
        groups=patients,
        genes=genes,
        descriptions=descriptions,
        **SOURCES["golub"].about(path, split),
    )


def _read_table(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(x (N,genes) int32, patients (N,), genes, descriptions), patients in the order of their numbers.

    A row is a gene: Gene Description, Gene Accession Number, then for each patient a number under the patient's
    own, and under "call" a letter of how surely the gene was there (P, M or A), which is passed over.
    """
    (_, header), *body = _rows(path)
    if header[:2] != ["Gene Description", "Gene Accession Number"] or set(header[3::2]) != {"call"}:
        raise ValueError(
            f"{path}: the header must be Gene Description, Gene Accession Number, 1, call, 2, call, ..., "
            f"got {', '.join(header[:6])}, ...: {CURE}"
        )
    places = range(2, len(header), 2)
    if len(odd := [header[p] for p in places if not header[p].isdecimal()]):
        raise ValueError(f"{path}: the column {odd[0]!r} is no patient's number: {CURE}")
    patients = np.array([int(header[place]) for place in places])
    x = np.empty((len(patients), len(body)), np.int32)
    for k, (line, row) in enumerate(body):
        try:
            x[:, k] = [int(row[place]) for place in places]
        except (ValueError, OverflowError):
            name, cell = next((header[p], row[p]) for p in places if not _fits(row[p]))
            raise ValueError(f"{path}, line {line}: patient {name} has {cell!r}, no whole number: {CURE}") from None
    order = np.argsort(patients)
    return x[order], patients[order], np.array([row[1] for _, row in body]), np.array([row[0] for _, row in body])


def _read_labels(path: Path) -> dict[int, int]:
    """{patient: class} of actual.csv: patient,cancer with ALL or AML."""
    (_, header), *body = _rows(path)
    if header != ["patient", "cancer"]:
        raise ValueError(f"{path}: the header must be patient, cancer, got {', '.join(header)}: {CURE}")
    for line, (patient, cancer) in body:
        if not patient.isdecimal() or cancer not in CLASSES:
            raise ValueError(f"{path}, line {line}: expected a number and ALL or AML, got {patient!r}, {cancer!r}")
    return {int(patient): CLASSES.index(cancer) for _, (patient, cancer) in body}


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """(line, cells) of the header and of each row, all of them as long as the header."""
    table = [(line, cells) for line, cells in read_csv(path, delimiter=",") if any(cells)]
    if len(table) < 2:
        raise ValueError(f"{path} is empty, or a header alone: {CURE}")
    width = len(table[0][1])
    for line, cells in table:
        if len(cells) != width:
            raise ValueError(f"{path}, line {line}: {len(cells)} cells, but the header has {width}: {CURE}")
    return table


def _fits(cell: str) -> bool:
    try:
        np.int32(int(cell))
    except (ValueError, OverflowError):
        return False
    return True
