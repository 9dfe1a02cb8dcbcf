"""Datasets: things with a length and items. Names and behaviour are PyTorch's (`torch.utils.data`)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from tinymed.random import Generator, default_generator
from tinymed.tensor import Tensor, as_tensor


class Dataset:
    """Anything with `__len__` and `__getitem__(index)`; a subclass defines both."""

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index)")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} must define __len__()")


class TensorDataset(Dataset):
    """Item i is `(t[i] for every tensor t)`. Arrays are taken too, and shared.

    Raises ValueError if the tensors differ in their first dimension.
    """

    def __init__(self, *tensors: Any) -> None:
        self.tensors = tuple(as_tensor(t) for t in tensors)
        shapes = [t.shape for t in self.tensors]
        if not shapes or () in shapes:
            raise ValueError(f"TensorDataset needs tensors with a first dimension to count along, got shapes {shapes}")
        if len({shape[0] for shape in shapes}) > 1:
            raise ValueError(
                "the tensors of a TensorDataset must have the same first dimension, a row for each item, got "
                f"{', '.join(str(shape[0]) for shape in shapes)} (shapes {', '.join(map(str, shapes))})"
            )

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(t[index] for t in self.tensors)

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(str(t.shape) for t in self.tensors)})"


class LabelledDataset(TensorDataset):
    """Inputs and their class labels, with what is known of them.

    inputs    (N, ...) the first tensor
    labels    (N,) int64, in 0..len(classes)-1
    classes   the names, in label order
    source    where the numbers come from
    split, licence, citation   where they apply, else None
    groups    (N,) whose each item is, such as the patient's number, where that is known, else None

    Raises ValueError for labels of another shape or out of range, TypeError for labels that are not integers.
    """

    def __init__(
        self,
        inputs: Any,
        labels: Any,
        classes: Sequence[str],
        source: str,
        split: str | None = None,
        licence: str | None = None,
        citation: str | None = None,
        groups: Any = None,
    ) -> None:
        super().__init__(inputs, labels)
        self.inputs, self.labels = self.tensors
        self.classes, self.source = tuple(classes), source
        self.split, self.licence, self.citation = split, licence, citation
        self.groups = None if groups is None else np.asarray(groups)
        if self.groups is not None and self.groups.shape != (len(self),):
            raise ValueError(
                f"groups must name the group of each of the {len(self)} items, got shape {self.groups.shape}"
            )
        y, k = self.labels.array, len(self.classes)
        if y.ndim != 1:
            raise ValueError(f"labels must have shape (N,), got {y.shape}; flatten them first")
        if y.dtype != np.int64:
            raise TypeError(f"labels must be int64 class numbers, got {y.dtype}; use labels.astype(np.int64)")
        if len(wrong := np.flatnonzero((y < 0) | (y >= k))):
            raise ValueError(f"label {y[wrong[0]]} of item {wrong[0]} is out of range: {k} classes are 0..{k - 1}")

    def counts(self) -> dict[str, int]:
        """How many items each class has."""
        return dict(zip(self.classes, np.bincount(self.labels.array, minlength=len(self.classes)).tolist()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inputs.shape}, {self.counts()}, source={self.source!r})"


class ImageDataset(LabelledDataset):
    """Labelled images (N,C,H,W)."""

    def __init__(self, images: Any, *args: Any, **about: Any) -> None:
        super().__init__(images, *args, **about)
        if self.inputs.ndim != 4:
            raise ValueError(f"images must have shape (N,C,H,W), got {self.inputs.shape}")

    @property
    def images(self) -> Tensor:
        return self.inputs


class Subset(Dataset):
    """The items of `dataset` at `indices`, in that order."""

    def __init__(self, dataset: Any, indices: Sequence[int]) -> None:
        self.dataset, self.indices = dataset, indices

    def __getitem__(self, index: int) -> Any:
        return self.dataset[self.indices[index]]

    def __len__(self) -> int:
        return len(self.indices)

    def __repr__(self) -> str:
        return f"Subset({len(self)} of {len(self.dataset)} items of {self.dataset!r})"


def random_split(
    dataset: Any, lengths: Sequence[int | float], generator: Generator | None = None, *, groups: Any = None
) -> list[Subset]:
    """Parts of the given lengths, without overlap, drawn at random.

    lengths    counts that sum to len(dataset), or fractions that sum to 1; of fractions, what rounding
               down leaves over goes to the parts in turn, from the first
    generator  the default one if None
    groups     (N,) whose each item is, such as the patient's number: all of a group's items go to one part, so
               that none is learnt from in one part and judged by in another. The lengths must then be
               fractions, and hold as nearly as the groups allow

    Raises ValueError if the lengths do not sum up, or the groups cannot be kept together.
    """
    n, total = len(dataset), sum(lengths)
    if any(length < 0 for length in lengths):
        raise ValueError(f"random_split: lengths must not be negative, got {list(lengths)}")
    if math.isclose(total, 1) and total <= 1:
        counts = [math.floor(n * length) for length in lengths]
        for k in range(n - sum(counts)):
            counts[k % len(counts)] += 1
        if 0 in counts:
            warnings.warn(f"random_split: a part of {n} items by {list(lengths)} is empty: {counts}", stacklevel=2)
    elif total != n or any(int(length) != length for length in lengths):
        raise ValueError(
            f"random_split: lengths {list(lengths)} sum to {total}; "
            f"give counts that sum to the dataset's {n} items, or fractions that sum to 1"
        )
    else:
        counts = [int(length) for length in lengths]
    rng = (generator or default_generator).numpy
    if groups is None:
        parts = np.split(rng.permutation(n), np.cumsum(counts)[:-1])
    else:
        parts = _split_groups(np.asarray(groups), n, lengths, counts, rng)
    return [Subset(dataset, part.tolist()) for part in parts]


def _split_groups(
    groups: np.ndarray, n: int, lengths: Sequence[int | float], counts: list[int], rng: np.random.Generator
) -> list[np.ndarray]:
    """Parts of about these counts, of whole groups in random order; a group goes where its middle falls."""
    if groups.shape != (n,):
        raise ValueError(f"random_split: groups must name the group of each of the {n} items, got {groups.shape}")
    if not math.isclose(sum(lengths), 1):
        raise ValueError(
            f"random_split: counts {list(lengths)} would cut through groups, and the same patient stand in two parts; "
            "give fractions"
        )
    names, group = np.unique(groups, return_inverse=True)  # group (N,): the number of each item's
    order = rng.permutation(len(names))
    sizes = np.bincount(group)[order]
    part = np.empty(len(names), int)
    part[order] = np.searchsorted(np.cumsum(counts), np.cumsum(sizes) - sizes / 2)
    parts = [rng.permutation(np.flatnonzero(part[group] == k)) for k in range(len(counts))]
    if not all(map(len, parts)):
        raise ValueError(
            f"random_split: {len(names)} groups of up to {sizes.max()} items leave one of the parts "
            f"{list(lengths)} empty; ask for fewer or larger parts"
        )
    return parts
