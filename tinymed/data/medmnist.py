"""Small medical pictures of MedMNIST (Yang et al., Scientific Data 10:41, 2023). Not for clinical use."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from tinymed.data.dataset import ImageDataset
from tinymed.data.sources import SOURCES, fetch

SPLITS = ("train", "val", "test")


def load_breastmnist(split: str = "train", data_home: str | Path | None = None, download: bool = True) -> ImageDataset:
    """Breast ultrasound: images (N,1,28,28) float32 in [0,1], labels (N,) int64, N = 546, 78, 156.

    Mind the labels: 0 is malignant, 1 is normal or benign, so a "positive" is a healthy one.
    See `fetch` for data_home, download and the errors. Raises ValueError for an unknown split.
    """
    return _load("breastmnist", split, ("malignant", "normal, benign"), data_home, download)


def load_pneumoniamnist(
    split: str = "train", data_home: str | Path | None = None, download: bool = True
) -> ImageDataset:
    """Chest X-rays of children: images (N,1,28,28) float32 in [0,1], labels (N,) int64, N = 4708, 524, 624.

    Label 1 is pneumonia: three of four in train and val, five of eight in test.
    See `fetch` for data_home, download and the errors. Raises ValueError for an unknown split.
    """
    return _load("pneumoniamnist", split, ("normal", "pneumonia"), data_home, download)


def _load(
    name: str, split: str, classes: tuple[str, ...], data_home: str | Path | None, download: bool
) -> ImageDataset:
    if split not in SPLITS:
        raise ValueError(f"there is no split {split!r} of {name}; there are {', '.join(map(repr, SPLITS))}")
    source, path = SOURCES[name], fetch(name, data_home, download)
    images, labels = read_medmnist(path, split)
    note = next((f" ({twin.note})" for twin in source.twins if twin.filename == path.name), "")
    return ImageDataset(
        images,
        labels,
        classes,
        source=f"{path.name}{note}",
        split=split,
        licence=source.licence,
        citation=source.citation,
    )


def read_medmnist(path: str | Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """A split of a MedMNIST file of grey pictures: images (N,1,H,W) float32 in [0,1], labels (N,) int64.

    Raises ValueError for what is not such a file: not an .npz, a missing array, another shape or dtype.
    """
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path} is not an .npz file, or only a part of one")
    with np.load(path, allow_pickle=False) as arrays:
        if missing := {f"{split}_images", f"{split}_labels"} - set(arrays.files):
            raise ValueError(f"{path} lacks {', '.join(sorted(missing))}; it holds {', '.join(arrays.files)}")
        images, labels = arrays[f"{split}_images"], arrays[f"{split}_labels"]
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(f"{path}: {split}_images must be uint8 (N,H,W), got {images.dtype} {images.shape}")
    if labels.dtype.kind not in "ui" or labels.shape != (len(images), 1):
        raise ValueError(
            f"{path}: {split}_labels must be integers ({len(images)}, 1), got {labels.dtype} {labels.shape}"
        )
    return images[:, None].astype(np.float32) / 255, labels[:, 0].astype(np.int64)
