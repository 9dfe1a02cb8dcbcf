"""DataLoader: batches from a dataset, in a seeded order, made ahead by worker threads where wanted."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np

from tinymed.cuda import missing
from tinymed.data.dataset import Subset, TensorDataset
from tinymed.data.sampler import RandomSampler, Sampler, SequentialSampler, count
from tinymed.random import Generator
from tinymed.tensor import Tensor, as_tensor

PREFETCH = 2  # batches made ahead by each worker


class DataLoader:
    """Iterates over `dataset` in batches.

    batch_size   items in a batch; the last one may be smaller
    shuffle      a new random order at every pass
    sampler      an iterable of indices with a length, in place of `shuffle`
    num_workers  threads that make batches ahead; 0 makes them in the loop. The order is the same, and so are
                 the batches, unless items draw random numbers themselves
    collate_fn   makes a batch of a list of items
    pin_memory   batches come in page-locked memory, from which a GPU copies by itself:
                 x.to("cuda", non_blocking=True); where there is no GPU, a warning and nothing else
    drop_last    leave out a last batch that is not full
    generator    draws the order; the default one if None

    An exception raised by an item arrives with the item's index, as the same type where the type allows.
    Raises ValueError or TypeError for an empty dataset and for sizes that are not positive integers.
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Sampler | None = None,
        *,
        num_workers: int = 0,
        collate_fn: Callable[[list], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        generator: Generator | None = None,
    ) -> None:
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            raise TypeError(f"a dataset has __getitem__(index) and __len__(), {type(dataset).__name__} has not both")
        if len(dataset) == 0:
            raise ValueError(f"the dataset ({type(dataset).__name__}) is empty: there is nothing to load")
        if sampler is not None and shuffle:
            raise ValueError("give either a sampler or shuffle=True: a sampler settles the order itself")
        self.dataset, self.drop_last, self.generator = dataset, drop_last, generator
        self.batch_size = count("batch_size", batch_size)
        self.num_workers = count("num_workers", num_workers, least=0)
        self.collate_fn = collate_fn or default_collate
        if sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        self.sampler = sampler
        self.pin_memory = pin_memory and _pins()
        self._rows = _rows_of_tensors(dataset) if collate_fn in (None, default_collate) else None
        if drop_last and len(self) == 0:
            raise ValueError(
                f"drop_last=True leaves no batch at all: batch_size is {batch_size}, "
                f"but there are only {len(self.sampler)} items"
            )

    def __len__(self) -> int:
        """How many batches a pass gives."""
        n = len(self.sampler)
        return n // self.batch_size if self.drop_last else -(-n // self.batch_size)

    def __repr__(self) -> str:
        order = type(self.sampler).__name__
        return f"DataLoader({self.dataset!r}, batch_size={self.batch_size}, {order}: {len(self)} batches)"

    def __iter__(self) -> Iterator[Any]:
        batches = self._indices(iter(self.sampler))  # the order is drawn here, before any worker starts
        return self._ahead(batches) if self.num_workers else (self._batch(indices) for indices in batches)

    def _indices(self, order: Iterator[int]) -> Iterator[list[int]]:
        while batch := list(islice(order, self.batch_size)):
            if len(batch) == self.batch_size or not self.drop_last:
                yield batch

    def _batch(self, indices: list[int]) -> Any:
        batch = self._collated(indices)
        return _pinned(batch) if self.pin_memory else batch

    def _collated(self, indices: list[int]) -> Any:
        if self._rows is None:
            return self.collate_fn([self._item(index) for index in indices])
        dataset, rows = self._rows
        return list(dataset[rows[indices]])

    def _item(self, index: int) -> Any:
        try:
            return self.dataset[index]
        except Exception as error:
            message = f"item {index} of the dataset ({type(self.dataset).__name__}) failed: {error}"
            try:
                again: Exception = type(error)(message)
            except TypeError:  # a type whose constructor wants more than a message
                again = RuntimeError(f"{message} ({type(error).__name__})")
            raise again from error

    def _ahead(self, batches: Iterator[list[int]]) -> Iterator[Any]:
        """The batches in order, while the workers make the next ones; no more than PREFETCH a worker wait."""
        pool = ThreadPoolExecutor(self.num_workers, thread_name_prefix="DataLoader")
        try:
            waiting: deque[Future] = deque()
            for indices in islice(batches, PREFETCH * self.num_workers):
                waiting.append(pool.submit(self._batch, indices))
            while waiting:
                batch = waiting.popleft().result()
                waiting.extend(pool.submit(self._batch, indices) for indices in islice(batches, 1))
                yield batch
        finally:  # also when the loop over the batches is left early
            pool.shutdown(cancel_futures=True)


def _pins() -> bool:
    if reason := missing():
        warnings.warn(f"pin_memory=True does nothing here: {reason}", stacklevel=3)
    return not reason


def _pinned(batch: Any) -> Any:
    """The batch with all its tensors in pinned memory."""
    if isinstance(batch, Tensor):
        return batch.pin_memory()
    if isinstance(batch, Mapping):
        return {key: _pinned(value) for key, value in batch.items()}
    if isinstance(batch, tuple | list):
        columns = [_pinned(column) for column in batch]
        return type(batch)(*columns) if hasattr(batch, "_fields") else type(batch)(columns)
    return batch


def _rows_of_tensors(dataset: Any) -> tuple[TensorDataset, np.ndarray] | None:
    """The TensorDataset behind `dataset` and the rows of it that `dataset` holds: a batch is one fancy index.

    None where items must be asked for one by one: of other datasets, and of subclasses with a
    `__getitem__` of their own.
    """
    rows = np.arange(len(dataset))
    while type(dataset) is Subset:
        dataset, rows = dataset.dataset, np.asarray(dataset.indices)[rows]
    plain = isinstance(dataset, TensorDataset) and type(dataset).__getitem__ is TensorDataset.__getitem__
    return (dataset, rows) if plain else None


def default_collate(batch: Sequence[Any]) -> Any:
    """A batch of a list of items, by PyTorch's rules: what is in the items is stacked along a new first axis.

    Tensors, arrays and numbers (int → int64, float → float64) become tensors; strings stay a list; dicts,
    named tuples, tuples and lists are collated entry by entry (the latter two give a list).

    Raises ValueError for items of unequal shape or length, TypeError for what cannot be stacked.
    """
    first = batch[0]
    if isinstance(first, Tensor | np.ndarray | np.generic):
        return as_tensor(_stacked([item.numpy() if isinstance(item, Tensor) else item for item in batch]))
    if isinstance(first, float):
        return as_tensor(np.array(batch, dtype=np.float64))
    if isinstance(first, int):
        return as_tensor(list(batch))
    if isinstance(first, str | bytes):
        return list(batch)
    if isinstance(first, Mapping):
        return {key: default_collate([item[key] for item in batch]) for key in first}
    if isinstance(first, Sequence):
        lengths = [len(item) for item in batch]
        if len(set(lengths)) > 1:
            raise ValueError(f"the items of a batch must have the same number of entries, got {lengths}")
        columns = [default_collate(column) for column in zip(*batch)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise TypeError(
        f"cannot make a batch of {type(first).__name__}s: items may hold tensors, arrays, numbers, strings, "
        "dicts, tuples and lists; give collate_fn for anything else"
    )


def _stacked(arrays: list[Any]) -> np.ndarray:
    shapes = [np.shape(array) for array in arrays]
    for k, shape in enumerate(shapes):
        if shape != shapes[0]:
            raise ValueError(
                f"the items of a batch must have one shape, but the first has {shapes[0]} and number {k} "
                f"(from 0) has {shape}; resize or pad them, or give collate_fn"
            )
    return np.stack(arrays)
