"""ECG5000: heartbeats of one patient, five kinds (UCR time series archive; record chf07). Not for clinical use."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tinymed.data.arrays import CURE, class_numbers, read_npz, read_numbers
from tinymed.data.dataset import LabelledDataset
from tinymed.data.registry import SOURCES
from tinymed.data.sources import fetch_all

SAMPLES = 140
COUNTS = {"train": (292, 177, 10, 19, 2), "test": (2627, 1590, 86, 175, 22)}  # beats of each class
CLASSES = (
    "normal",
    "R-on-T premature ventricular contraction",
    "premature ventricular contraction",
    "supraventricular premature or ectopic beat",
    "unclassified",
)


def load_ecg5000(split: str = "train", data_home: str | Path | None = None, download: bool = True) -> LabelledDataset:
    """Single heartbeats: inputs (N,1,140) float32, labels (N,) int64 in 0..4, N = 500, 4500.

    All beats are one patient's, who had severe heart failure: 20 hours of PhysioNet's record chf07, from which 5000
    beats were drawn, each stretched to 140 samples and brought to mean 0 and deviation 1; the labels are a
    program's. So train and test share their patient, and an accuracy says nothing of other people. The last three
    classes are seldom (10, 19 and 2 beats to learn from): look at each class, not at accuracy alone.

    The archive numbers the classes 1..5 and does not name them. The names are those most often repeated; some
    sources swap classes 2 and 3. The mean beats speak for this order: that of class 2 resembles class 1 (correlation
    0.87) more than that of class 3 does (0.79), and class 0 less (0.47, 0.73).

    Reads the archive's text files, as they were spread in 2015 (commas), 2018 (.tsv) and since (blanks), or
    ecg5000.npz. See `fetch_all` for data_home, download and the errors. Raises ValueError for an unknown split, and
    for a file that is not what it should be, naming row and column.
    """
    if split not in COUNTS:
        raise ValueError(f"there is no split {split!r} of ecg5000; there are {', '.join(map(repr, COUNTS))}")
    (path,) = fetch_all("ecg5000", data_home, download, files=(f"ECG5000_{split.upper()}.txt",)).values()
    if path.suffix == ".npz":
        x, y = read_npz(path, (f"{split}_x", f"{split}_y"))
        if x.dtype != np.float32 or x.shape != (len(y), SAMPLES):
            raise ValueError(
                f"{path}: {split}_x must be float32 ({len(y)}, {SAMPLES}), a row for each label, "
                f"got {x.dtype} {x.shape}: {CURE}"
            )
        labels = class_numbers(path, f"{split}_y", y, 1, len(CLASSES))
    else:
        table = read_numbers(path, ("class", *(f"sample {t}" for t in range(1, SAMPLES + 1))))
        x, labels = table[:, 1:].astype(np.float32), class_numbers(path, "class", table[:, 0], 1, len(CLASSES), row=1)
    counts = np.bincount(labels, minlength=len(CLASSES))
    if tuple(counts.tolist()) != COUNTS[split]:
        raise ValueError(
            f"{path} holds {len(labels)} beats, {counts.tolist()} of each class; the {split} split of ECG5000 has "
            f"{sum(COUNTS[split])}, {list(COUNTS[split])}: {CURE}"
        )
    return LabelledDataset(x[:, None], labels, CLASSES, **SOURCES["ecg5000"].about(path, split))
