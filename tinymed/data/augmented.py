"""Datasets that are drawn anew in every epoch: each item from (seed, epoch, index) alone.

So an item is the same whatever the order, the number of workers or the moment: a run that is taken up again at
epoch 7 sees what it would have seen. `fit` calls `set_epoch` before each epoch; so must a loop of one's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np

from tinymed.data.checks import whole
from tinymed.data.dataset import Dataset, Subset, TensorDataset
from tinymed.tensor import Tensor


class _Drawn(Dataset):
    """Items of `dataset`, changed by what is drawn for each."""

    stream: ClassVar[int]  # apart from those of the other kinds, with the same seed

    def __init__(self, dataset: Any, seed: int) -> None:
        self.dataset, self.seed, self.epoch = dataset, whole(type(self).__name__, "seed", seed, 0), 0

    def __len__(self) -> int:
        return len(self.dataset)

    def set_epoch(self, epoch: int) -> None:
        """From here on items are those of this epoch; in the datasets within too."""
        set_epoch(self, epoch)

    @property
    def labels(self) -> Tensor:
        """(N,) the labels as they are in the data, without drawing a single item."""
        return Tensor(labels_of(self.dataset))

    def rng(self, index: int) -> np.random.Generator:
        """What item `index` is drawn from in this epoch."""
        return np.random.default_rng((self.seed, self.epoch, index, self.stream))

    def item(self, index: int) -> tuple[np.ndarray, Any]:
        if not -len(self) <= index < len(self):
            raise IndexError(f"{type(self).__name__} has {len(self)} items, there is no number {index}")
        x, y = self.dataset[index]
        return np.asarray(x), y


class Augmented(_Drawn):
    """Item i is (transform(x_i, rng), y_i).

    transform  f(array, numpy Generator) → array, such as those of `tinymed.data.transforms`
    Raises ValueError for a negative seed, TypeError for a transform that cannot be called.
    """

    stream = 0

    def __init__(self, dataset: Any, transform: Callable[[np.ndarray, np.random.Generator], Any], seed: int) -> None:
        super().__init__(dataset, seed)
        if not callable(transform) or isinstance(transform, type):
            hint = f"; write {transform.__name__}(...)" if isinstance(transform, type) else ""
            raise TypeError(f"Augmented: transform is called as transform(x, rng), got {transform!r}{hint}")
        self.transform = transform

    def __getitem__(self, index: int) -> tuple[np.ndarray, Any]:
        x, y = self.item(index)
        return self.transform(x, self.rng(index % len(self))), y

    def __repr__(self) -> str:
        return f"Augmented({self.dataset!r}, {self.transform!r}, seed={self.seed})"


class Mixup(_Drawn):
    """Item i mixed with a partner j, drawn anew:  x = λ·x_i + (1 − λ)·x_j,  y = λ·y_i + (1 − λ)·y_j,  λ ~ Beta(α, α)

    (Zhang et al. 2018.) y is soft: with two classes the share of class 1, a float; with more a row (classes,) that
    sums to 1. α near 0 leaves most items as they are, 1 draws every λ equally often. Augment inside, mix outside:
    Mixup(Augmented(...)). Raises ValueError for an alpha not above 0 and for labels that are not 0..classes−1,
    TypeError for items that are no floats, such as the word numbers of texts.
    """

    stream = 1

    def __init__(self, dataset: Any, alpha: float, classes: int, seed: int) -> None:
        super().__init__(dataset, seed)
        if not alpha > 0:
            raise ValueError(f"Mixup: alpha must be above 0, got {alpha}; without mixing, leave Mixup out")
        if classes < 2:
            raise ValueError(f"Mixup: there must be 2 classes or more, got {classes}")
        labels = labels_of(dataset)
        wrong = np.flatnonzero((labels < 0) | (labels >= classes))
        if labels.ndim != 1 or labels.dtype.kind not in "iub" or len(wrong):
            got = f"{labels[wrong[0]]} of item {wrong[0]}" if len(wrong) else f"{labels.dtype} {labels.shape}"
            raise ValueError(f"Mixup: labels must be whole numbers (N,) in 0..{classes - 1}, got {got}")
        self.alpha, self.classes = alpha, classes

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = self.rng(index % len(self))
        share, partner = rng.beta(self.alpha, self.alpha), int(rng.integers(len(self)))
        (x, y), (other, label) = self.item(index), self.item(partner)
        if x.dtype.kind != "f":
            raise TypeError(f"Mixup: item {index} holds {x.dtype}; only numbers that can be mixed, floats, will do")
        if x.shape != other.shape:
            raise ValueError(
                f"Mixup: item {index} has shape {x.shape}, item {partner} {other.shape}; resize them first"
            )
        share = x.dtype.type(share)
        return share * x + (1 - share) * other, share * self.soft(y) + (1 - share) * self.soft(label)

    def soft(self, label: Any) -> np.ndarray:
        """1 of class 1 among two; else the row of the identity matrix."""
        k = int(label)
        return np.array(k, np.float32) if self.classes == 2 else np.eye(self.classes, dtype=np.float32)[k]

    def __repr__(self) -> str:
        return f"Mixup({self.dataset!r}, alpha={self.alpha}, classes={self.classes}, seed={self.seed})"


def set_epoch(dataset: Any, epoch: int) -> None:
    """Tell a dataset, and each that it is made of, which epoch it is, if it draws anew in each."""
    for part in inner(dataset):
        if isinstance(part, _Drawn):
            part.epoch = epoch
        elif hasattr(part, "set_epoch"):
            part.set_epoch(epoch)


def inner(dataset: Any) -> Iterator[Any]:
    """A dataset, the one that it is made of (as a Subset is), and so on."""
    while dataset is not None:
        yield dataset
        dataset = getattr(dataset, "dataset", None)


def labels_of(dataset: Any) -> np.ndarray:
    """All labels in the dataset's order, without making inputs where that can be helped."""
    if isinstance(dataset, Subset):
        return labels_of(dataset.dataset)[np.asarray(dataset.indices)]
    if hasattr(dataset, "labels"):
        return np.asarray(dataset.labels)
    if isinstance(dataset, TensorDataset):
        return np.asarray(dataset.tensors[1])
    return np.array([np.asarray(dataset[k][1]) for k in range(len(dataset))])
