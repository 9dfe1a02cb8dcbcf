"""What the loaders make of MedMNIST's files, and what they refuse."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tinymed.data import load_breastmnist, load_pneumoniamnist
from tinymed.data.medmnist import read_medmnist

DATA = os.environ.get("TINYMED_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TINYMED_DATA does not name a folder of real data")


@pytest.mark.parametrize("load", [load_breastmnist, load_pneumoniamnist])
def test_an_unknown_split_lists_the_known_ones(load):
    with pytest.raises(ValueError, match=r"no split 'valid' of \w+; there are 'train', 'val', 'test'"):
        load("valid")


GOOD = {"train_images": np.zeros((2, 28, 28), np.uint8), "train_labels": np.zeros((2, 1), np.uint8)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"train_labels": None}, "lacks train_labels; it holds train_images"),
        ({"train_images": np.zeros((2, 28, 28))}, r"must be uint8 \(N,H,W\), got float64"),
        ({"train_images": np.zeros((2, 784), np.uint8)}, r"got uint8 \(2, 784\)"),
        ({"train_labels": np.zeros((3, 1), np.uint8)}, r"must be integers \(2, 1\), got uint8 \(3, 1\)"),
        ({"train_labels": np.zeros((2, 1))}, "got float64"),
        ({"train_labels": np.array([[None], [None]])}, "allow_pickle=False"),
    ],
)
def test_read_medmnist_refuses_other_files(tmp_path, change, message):
    arrays = {name: array for name, array in (GOOD | change).items() if array is not None}
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match=message):
        read_medmnist(tmp_path / "x.npz", "train")


def test_read_medmnist_refuses_what_is_no_npz(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"is not an \.npz file"):
        read_medmnist(tmp_path / "x.npz", "train")


# ---------------------------------------------------------------- the real files


@needs_data
@pytest.mark.parametrize(
    ("load", "split", "counts"),
    [
        (load_breastmnist, "train", (147, 399)),
        (load_breastmnist, "val", (21, 57)),
        (load_breastmnist, "test", (42, 114)),
        (load_pneumoniamnist, "train", (1214, 3494)),
        (load_pneumoniamnist, "val", (135, 389)),
        (load_pneumoniamnist, "test", (234, 390)),
    ],
)
def test_real_data(load, split, counts):
    dataset = load(split, download=False)
    assert tuple(dataset.counts().values()) == counts
    assert dataset.images.shape == (sum(counts), 1, 28, 28)
    assert dataset.images.array.min() >= 0
    assert 0.99 < dataset.images.array.max() <= 1
    assert dataset.licence == "CC BY 4.0"
