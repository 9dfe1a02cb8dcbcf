"""Samplers: the order in which a DataLoader asks for items. Names and behaviour are PyTorch's."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Sized
from typing import Any, Protocol

import numpy as np

from tinymed.random import Generator, default_generator


class Sampler(Protocol):
    """What a DataLoader asks of a sampler; a list of indices will do."""

    def __iter__(self) -> Iterator[int]: ...

    def __len__(self) -> int: ...


class SequentialSampler:
    """0, 1, ..., n−1"""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


class RandomSampler:
    """A new random order at every pass.

    replacement  draw each index from all n again
    num_samples  how many a pass gives; n if None. More than n: whole orders, one after another
    generator    the default one if None
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        self.data_source, self.replacement, self.generator = data_source, replacement, generator
        self.num_samples = count("num_samples", len(data_source) if num_samples is None else num_samples)

    def __iter__(self) -> Iterator[int]:
        rng, n = (self.generator or default_generator).numpy, len(self.data_source)
        if self.replacement:
            return iter(rng.integers(n, size=self.num_samples).tolist())
        orders = [rng.permutation(n) for _ in range(-(-self.num_samples // n))]
        return iter(np.concatenate(orders)[: self.num_samples].tolist())

    def __len__(self) -> int:
        return self.num_samples


class WeightedRandomSampler:
    """Index i with probability weights[i] / Σ weights; evens out classes when weights are 1 / class count.

    Raises ValueError for weights that are not a row of finite numbers ≥ 0, or too few of them to draw from.
    """

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        self.weights = np.asarray(weights, dtype=np.float64)
        self.num_samples = count("num_samples", num_samples)
        self.replacement, self.generator = replacement, generator
        w = self.weights
        if w.ndim != 1 or not np.isfinite(w).all() or (w < 0).any() or not w.any():
            raise ValueError(f"weights must be a row of finite numbers >= 0, not all of them 0, got shape {w.shape}")
        if not replacement and num_samples > (drawable := np.count_nonzero(w)):
            raise ValueError(f"cannot draw {num_samples} samples without replacement from {drawable} nonzero weights")

    def __iter__(self) -> Iterator[int]:
        rng, w = (self.generator or default_generator).numpy, self.weights
        return iter(rng.choice(len(w), self.num_samples, replace=self.replacement, p=w / w.sum()).tolist())

    def __len__(self) -> int:
        return self.num_samples


def balanced_sampler(labels: Any, generator: Generator | None = None) -> WeightedRandomSampler:
    """Draws as many items as there are, with replacement, each class as often: an item of class c by 1 / N_c.

    labels     (N,) class numbers, of the items in their order
    generator  the default one if None

    Raises ValueError for labels of another shape, or none; TypeError for labels that are not integers.
    """
    y = np.asarray(labels)
    if y.ndim != 1 or not len(y):
        raise ValueError(f"balanced_sampler: labels must be a row of class numbers (N,), got shape {y.shape}")
    if y.dtype.kind not in "iub":
        raise TypeError(f"balanced_sampler: labels must be whole numbers, got {y.dtype}; use labels.astype(np.int64)")
    _, of, counts = np.unique(y, return_inverse=True, return_counts=True)
    return WeightedRandomSampler((1 / counts[of]).tolist(), len(y), generator=generator)


def count(name: str, value: Any, least: int = 1) -> int:
    """`value`, if it is an integer and no less than `least`."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}")
    return int(value)
