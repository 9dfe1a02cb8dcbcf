"""Data as batches: whatever fit, evaluate and predict are given becomes checked pairs of tensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinymed.data import DataLoader, TensorDataset, set_epoch
from tinymed.nn.module import Module
from tinymed.random import Generator
from tinymed.tensor import Tensor, as_tensor


class Batches:
    """Pairs (x, y) of tensors from a DataLoader, a Dataset or a pair of arrays; y is None where it is not asked for.

    x is brought to the model's dtype, if of floats, and to its device; y stays where it is, to be looked at. Raises
    ValueError for unequal lengths, nothing at all, NaN and infinity, naming the sample; TypeError for pictures left as
    bytes.
    """

    def __init__(
        self,
        model: Module,
        data: Any,
        batch_size: int,
        shuffle: bool = False,
        name: str = "data",
        labelled: bool = True,
    ) -> None:
        self.name, self.labelled = name, labelled
        first: Any = next(model.parameters(), None)
        self.dtype: np.dtype = np.dtype("float32") if first is None else first.dtype
        self.device: str = "cpu" if first is None else first.device
        if not isinstance(data, DataLoader):
            data = DataLoader(_dataset(data, name, labelled), batch_size, shuffle, pin_memory=self.device != "cpu")
        self.loader = data
        # arrays are checked once, which gives the sample's own number; other datasets batch by batch
        kind = type(data.dataset)
        self.known = issubclass(kind, TensorDataset) and kind.__getitem__ is TensorDataset.__getitem__
        if self.known:
            for what, t in zip(("x", "y") if labelled else ("x",), data.dataset.tensors):
                _finite(f"{name} {what}", t.array, "sample")

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Tensor, Any]]:
        for number, batch in enumerate(self.loader, 1):
            x, y = self._pair(batch)
            if not self.known:
                _finite(f"{self.name} x", x.array, f"batch {number}, sample")
                if y is not None:
                    _finite(f"{self.name} y", y.array, f"batch {number}, sample")
            if x.dtype == np.uint8:
                raise TypeError(
                    f"{self.name}: x is uint8 {x.shape}, as pictures come; convert it: x.astype(np.float32) / 255"
                )
            x = x.to(self.dtype) if x.is_floating_point() else x
            yield x.to(self.device, non_blocking=True), y

    def _pair(self, batch: Any) -> tuple[Tensor, Tensor | None]:
        parts = batch if isinstance(batch, list | tuple) else [batch]
        if self.labelled and len(parts) != 2:
            raise ValueError(f"{self.name}: a batch must be a pair (x, y), got {len(parts)} part(s)")
        return as_tensor(parts[0]), as_tensor(parts[1]) if self.labelled else None

    def set_epoch(self, epoch: int) -> None:
        """Tell sampler and datasets, if they draw anew in each epoch, which it is (as DistributedSampler's method)."""
        set_epoch(self.loader.sampler, epoch)
        set_epoch(self.loader.dataset, epoch)

    def generators(self) -> list[Generator]:
        """Those of its own that the order of items is drawn from."""
        found = (getattr(part, "generator", None) for part in (self.loader, self.loader.sampler))
        return [g for g in found if isinstance(g, Generator)]

    def labels(self) -> np.ndarray:
        """All labels, in the dataset's order; where they are drawn anew in each epoch, as they are in the data."""
        dataset = self.loader.dataset
        if self.known:
            return dataset.tensors[1].array
        if hasattr(dataset, "set_epoch") and hasattr(dataset, "labels"):
            return np.asarray(dataset.labels)
        return np.array([np.asarray(dataset[k][1]) for k in range(len(dataset))])


def _dataset(data: Any, name: str, labelled: bool) -> Any:
    if isinstance(data, tuple | list) and len(data) == 2 and (labelled or isinstance(data, tuple)):
        x, y = (as_tensor(part) for part in data)
        if not x.shape or not y.shape or len(x) != len(y):
            raise ValueError(f"{name}: x and y must have the same length, got x {x.shape} and y {y.shape}")
        return TensorDataset(x, y)
    arrays = hasattr(data, "__array__")  # a tensor, a DataFrame
    if not labelled and (arrays or isinstance(data, list)):
        return TensorDataset(as_tensor(data))
    keyed = isinstance(data, tuple | list | str | Mapping) or not hasattr(data, "__len__")
    if arrays or keyed or not hasattr(data, "__getitem__"):
        wanted = "a pair (x, y)" if labelled else "an array x"
        cure = "; the labels are missing" if arrays else ""
        raise TypeError(f"{name} must be {wanted}, a Dataset or a DataLoader, got a {type(data).__name__}{cure}")
    return data


def _finite(what: str, array: np.ndarray, where: str) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        k = int(np.argwhere(~np.isfinite(array))[0][0])
        bad = array[k][~np.isfinite(array[k])] if array.ndim > 1 else array[k : k + 1]
        raise ValueError(f"{what} holds {bad[0]} in {where} {k}; drop such samples, or fill the gaps first")
