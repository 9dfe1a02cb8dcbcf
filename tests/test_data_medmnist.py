"""What the loaders make of MedMNIST's files, and what they refuse."""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pytest

from tinymed.data import load_breastmnist, load_pneumoniamnist
from tinymed.data.medmnist import load_nodulemnist3d, read_medmnist
from tinymed.data.registry import SOURCES, DataFile

DATA = os.environ.get("TINYMED_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TINYMED_DATA does not name a folder of real data")


@pytest.mark.parametrize("load", [load_breastmnist, load_pneumoniamnist, load_nodulemnist3d])
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
        (
            {"train_labels": np.array([[0], [2]], np.uint8)},
            r"train_labels 2 of row 1 is out of range, classes are 0..1",
        ),
        ({"train_labels": np.array([[None], [None]])}, "train_labels is damaged.*allow_pickle=False"),
    ],
)
def test_read_medmnist_refuses_other_files(tmp_path, change, message):
    arrays = {name: array for name, array in (GOOD | change).items() if array is not None}
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(ValueError, match=message) as caught:
        read_medmnist(tmp_path / "x.npz", "train")
    assert str(tmp_path / "x.npz") in str(caught.value)


def test_read_medmnist_refuses_what_is_no_npz(tmp_path):
    (tmp_path / "x.npz").write_bytes(b"<html>")
    with pytest.raises(ValueError, match=r"is not an \.npz file"):
        read_medmnist(tmp_path / "x.npz", "train")


@pytest.mark.parametrize("compressed", [False, True])
def test_a_truncated_or_torn_file_is_refused_or_read_rightly(tmp_path, compressed):
    """Cut at many places, and with bytes overwritten: never another error, never wrong numbers."""
    rng = np.random.default_rng(0)
    arrays = {
        "train_images": rng.integers(0, 256, (5, 28, 28), dtype=np.uint8),
        "train_labels": np.array([[0], [1], [1], [0], [1]], np.uint8),
    }
    path = tmp_path / "x.npz"
    (np.savez_compressed if compressed else np.savez)(path, **arrays)
    whole = path.read_bytes()
    cut = [whole[:n] for n in np.linspace(0, len(whole) - 1, 60, dtype=int)]
    torn = [whole[:k] + rng.bytes(8) + whole[k + 8 :] for k in np.linspace(0, len(whole) - 8, 200, dtype=int)]
    refused = 0
    for contents in cut + torn:
        path.write_bytes(contents)
        try:
            images, labels = read_medmnist(path, "train")
        except ValueError as error:
            refused += 1
            assert str(path) in str(error)  # noqa: PT017
        else:
            np.testing.assert_array_equal(images[:, 0], arrays["train_images"].astype(np.float32) / 255)
            np.testing.assert_array_equal(labels, arrays["train_labels"][:, 0])
    assert refused > 200


# ---------------------------------------------------------------- volumes


def test_nodules_are_volumes(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    arrays = {}
    for split, n in (("train", 4), ("val", 2), ("test", 3)):
        arrays[f"{split}_images"] = rng.integers(0, 256, (n, 28, 28, 28), dtype=np.uint8)
        arrays[f"{split}_labels"] = rng.integers(0, 2, (n, 1), dtype=np.uint8)
    np.savez(tmp_path / "nodulemnist3d.npz", **arrays)
    source = replace(SOURCES["nodulemnist3d"], files=(DataFile("nodulemnist3d.npz"),))
    monkeypatch.setitem(SOURCES, "nodulemnist3d", source)
    dataset = load_nodulemnist3d("test", data_home=tmp_path)
    assert (dataset.inputs.shape, dataset.inputs.dtype) == ((3, 1, 28, 28, 28), np.float32)
    np.testing.assert_array_equal(dataset.inputs.array[:, 0], arrays["test_images"].astype(np.float32) / 255)
    np.testing.assert_array_equal(dataset.labels.array, arrays["test_labels"][:, 0])
    assert (dataset.classes, dataset.split) == (("benign", "malignant"), "test")
    assert "Armato" in dataset.citation
    with pytest.raises(ValueError, match=r"train_images must be uint8 \(N,H,W\), got uint8 \(4, 28, 28, 28\)"):
        read_medmnist(tmp_path / "nodulemnist3d.npz", "train")


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
