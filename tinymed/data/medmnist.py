"""Small medical pictures and volumes of MedMNIST (Yang et al., Scientific Data 10:41, 2023). Not for clinical use."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tinymed.data.arrays import class_numbers, read_npz
from tinymed.data.dataset import ImageDataset, LabelledDataset
from tinymed.data.registry import SOURCES
from tinymed.data.sources import fetch

SPLITS = ("train", "val", "test")


def load_breastmnist(split: str = "train", data_home: str | Path | None = None, download: bool = True) -> ImageDataset:
    """Breast ultrasound: images (N,1,28,28) float32 in [0,1], labels (N,) int64, N = 546, 78, 156.

    Mind the labels: 0 is malignant, 1 is normal or benign, so a "positive" is a healthy one.
    See `fetch` for data_home, download and the errors. Raises ValueError for an unknown split.
    """
    return ImageDataset(**_load("breastmnist", split, ("malignant", "normal, benign"), data_home, download))


def load_pneumoniamnist(
    split: str = "train", data_home: str | Path | None = None, download: bool = True
) -> ImageDataset:
    """Chest X-rays of children: images (N,1,28,28) float32 in [0,1], labels (N,) int64, N = 4708, 524, 624.

    Label 1 is pneumonia: three of four in train and val, five of eight in test.
    See `fetch` for data_home, download and the errors. Raises ValueError for an unknown split.
    """
    return ImageDataset(**_load("pneumoniamnist", split, ("normal", "pneumonia"), data_home, download))


def load_nodulemnist3d(
    split: str = "train", data_home: str | Path | None = None, download: bool = True
) -> LabelledDataset:
    """Lung nodules cut out of CT scans: inputs (N,1,28,28,28) float32 in [0,1], labels (N,) int64, N = 1158, 165, 310.

    Label 1 is malignant: radiologists' judgement of the scan, not a biopsy. Whose each nodule is is not in the
    file, so nobody can tell from it whether a patient stands in two splits.
    See `fetch` for data_home, download and the errors. Raises ValueError for an unknown split.
    """
    about = _load("nodulemnist3d", split, ("benign", "malignant"), data_home, download, ndim=3)
    return LabelledDataset(about.pop("images"), **about)


def _load(
    name: str, split: str, classes: tuple[str, ...], data_home: str | Path | None, download: bool, ndim: int = 2
) -> dict[str, Any]:
    """The arguments of a dataset."""
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r} of {name}; there are {', '.join(map(repr, SPLITS))}")
    path = fetch(name, data_home, download)
    images, labels = read_medmnist(path, split, ndim, len(classes))
    return {"images": images, "labels": labels, "classes": classes, **SOURCES[name].about(path, split)}


def read_medmnist(path: str | Path, split: str, ndim: int = 2, classes: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A split of a MedMNIST file of grey pictures: images (N,1,H,W) float32 in [0,1], labels (N,) int64.

    ndim  the axes of one item: 3 are volumes, (N,1,D,H,W)

    Raises ValueError for what is not such a file: not an .npz or a damaged one, a missing array, another shape or
    dtype, a label that is not in 0..classes−1.
    """
    images, labels = read_npz(path, (f"{split}_images", f"{split}_labels"))
    if images.dtype != np.uint8 or images.ndim != ndim + 1:
        axes = "N,H,W" if ndim == 2 else "N,D,H,W"
        raise ValueError(f"{path}: {split}_images must be uint8 ({axes}), got {images.dtype} {images.shape}")
    if labels.dtype.kind not in "ui" or labels.shape != (len(images), 1):
        raise ValueError(
            f"{path}: {split}_labels must be integers ({len(images)}, 1), got {labels.dtype} {labels.shape}"
        )
    y = class_numbers(path, f"{split}_labels", labels[:, 0], 0, classes - 1)
    return images[:, None].astype(np.float32) / 255, y
