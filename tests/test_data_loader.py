"""The DataLoader: order, workers, errors, and the fast path for tensors."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest

import tinymed
from tinymed.data import DataLoader, Dataset, Subset, TensorDataset, default_collate, random_split


class Squares(Dataset):
    """Item i is (i, i²); item `bad` raises `error`."""

    def __init__(self, n, bad=None, error=None):
        self.n, self.bad, self.error = n, bad, error

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        if index == self.bad:
            raise self.error
        return index, np.float32(index) ** 2


def pairs(n=10):
    return TensorDataset(np.arange(3.0 * n, dtype=np.float32).reshape(n, 3), np.arange(n))


def order(loader):
    """The items' numbers in the order in which they come."""
    return [int(i) for batch in loader for i in batch[-1].array]


# ---------------------------------------------------------------- the loader


def test_batches_in_order():
    loader = DataLoader(pairs(), batch_size=4)
    batches = list(loader)
    assert len(loader) == len(batches) == 3
    assert [x.shape for x, _ in batches] == [(4, 3), (4, 3), (2, 3)]
    assert order(loader) == list(range(10))


def test_drop_last():
    loader = DataLoader(pairs(), batch_size=4, drop_last=True)
    assert len(loader) == len(list(loader)) == 2
    with pytest.raises(ValueError, match="leaves no batch at all: batch_size is 11, but there are only 10"):
        DataLoader(pairs(), batch_size=11, drop_last=True)


def test_shuffle_is_seeded_by_a_generator_and_by_the_default_one():
    loaders = [DataLoader(pairs(30), 4, shuffle=True, generator=tinymed.Generator(5)) for _ in range(2)]
    first, second = ([order(loader), order(loader)] for loader in loaders)
    assert first == second
    assert first[0] != first[1]
    assert sorted(first[0]) == list(range(30))
    orders = []
    for _ in range(2):
        tinymed.manual_seed(3)
        orders.append(order(DataLoader(pairs(30), 4, shuffle=True)))
    assert orders[0] == orders[1]


def test_the_order_is_drawn_when_the_pass_begins():
    loader = DataLoader(pairs(30), 4, shuffle=True, num_workers=2)
    tinymed.manual_seed(3)
    expected = order(loader)
    tinymed.manual_seed(3)
    one_pass = iter(loader)
    tinymed.manual_seed(4)
    assert order(one_pass) == expected


@pytest.mark.parametrize("make", [pairs, lambda: Squares(10)])
def test_workers_change_nothing(make):
    def batches(num_workers):
        loader = DataLoader(make(), 3, True, num_workers=num_workers, generator=tinymed.Generator(1))
        return [[part.tolist() for part in batch] for _ in range(2) for batch in loader]

    assert batches(0) == batches(2)


def test_workers_work_at_the_same_time_and_keep_the_order():
    both = threading.Barrier(2, timeout=20)

    class Meet(Squares):
        def __getitem__(self, index):
            both.wait()  # passes only if two threads are here
            time.sleep(0.01 * (index % 2 == 0))  # the second overtakes the first
            return super().__getitem__(index)

    assert [batch[0].item() for batch in DataLoader(Meet(6), num_workers=2)] == list(range(6))


def test_prefetch_is_bounded():
    asked = []

    class Count(Squares):
        def __getitem__(self, index):
            asked.append(index)
            return super().__getitem__(index)

    batches = iter(DataLoader(Count(100), num_workers=2))
    next(batches)
    time.sleep(0.1)  # enough for the workers to run on, if nothing held them
    batches.close()  # leaves early: waits for the workers, drops what is not begun
    assert len(asked) <= 1 + 2 * 2
    assert not [t for t in threading.enumerate() if t.name.startswith("DataLoader")]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_an_error_names_its_item_and_keeps_its_type(num_workers):
    loader = DataLoader(Squares(10, bad=7, error=ValueError("torn picture")), 4, num_workers=num_workers)
    with pytest.raises(ValueError, match=r"item 7 of the dataset \(Squares\) failed: torn picture") as caught:
        list(loader)
    assert str(caught.value.__cause__) == "torn picture"


def test_an_error_with_a_constructor_of_its_own_becomes_a_runtime_error():
    error = UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")
    with pytest.raises(RuntimeError, match=r"item 1 .*invalid start byte \(UnicodeDecodeError\)"):
        list(DataLoader(Squares(3, bad=1, error=error)))


@pytest.mark.parametrize("num_workers", [0, 2])
def test_a_stop_iteration_does_not_end_the_pass_in_silence(num_workers):
    with pytest.raises(RuntimeError):
        list(DataLoader(Squares(5, bad=2, error=StopIteration()), num_workers=num_workers))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1, got 0"),
        ({"batch_size": -3}, ValueError, "batch_size must be at least 1, got -3"),
        ({"batch_size": 2.0}, TypeError, r"batch_size must be an integer, got 2\.0"),
        ({"batch_size": True}, TypeError, "batch_size must be an integer, got True"),
        ({"batch_size": None}, TypeError, "batch_size must be an integer, got None"),
        ({"num_workers": -1}, ValueError, "num_workers must be at least 0, got -1"),
        ({"sampler": [1, 2], "shuffle": True}, ValueError, "either a sampler or shuffle=True"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        DataLoader(pairs(), **arguments)


def test_bad_datasets():
    with pytest.raises(ValueError, match=r"the dataset \(TensorDataset\) is empty"):
        DataLoader(TensorDataset(np.zeros((0, 3))))
    with pytest.raises(TypeError, match="generator has not both"):
        DataLoader(i for i in range(3))


def test_a_list_is_a_sampler():
    loader = DataLoader(pairs(), batch_size=2, sampler=[9, 0, 4])
    assert len(loader) == 2
    assert order(loader) == [9, 0, 4]


# ---------------------------------------------------------------- the fast path


def test_fast_path_equals_item_by_item():
    dataset = random_split(pairs(40), [30, 10], generator=tinymed.Generator(0))[0]
    dataset = Subset(dataset, list(range(29, 4, -1)))
    fast = DataLoader(dataset, 4, True, generator=tinymed.Generator(2))
    slow = DataLoader(dataset, 4, True, collate_fn=lambda items: default_collate(items), generator=tinymed.Generator(2))
    assert fast._rows is not None
    assert slow._rows is None
    for a, b in zip(fast, slow, strict=True):
        assert type(a) is type(b) is list
        for s, t in zip(a, b, strict=True):
            assert s.dtype == t.dtype
            np.testing.assert_array_equal(s.array, t.array)


def test_a_batch_is_a_copy():
    dataset = pairs()
    for x, _ in DataLoader(dataset, batch_size=5):
        x.array[...] = -1
    assert dataset.tensors[0].array.min() == 0


def test_fast_path_leaves_subclasses_alone():
    class Doubled(TensorDataset):
        def __getitem__(self, index):
            return tuple(t * 2 for t in super().__getitem__(int(index)))  # one item at a time

    loader = DataLoader(Subset(Doubled(np.arange(6)), [1, 3, 5]), batch_size=3)
    assert next(iter(loader))[0].tolist() == [2, 6, 10]


def test_custom_collate():
    loader = DataLoader(pairs(), batch_size=2, collate_fn=len)
    assert list(loader) == [2] * 5


def test_reprs_say_what_is_inside():
    data = TensorDataset(np.zeros((5, 2)), np.zeros(5))
    assert repr(data) == "TensorDataset((5, 2), (5,))"
    part = Subset(data, [0, 2, 4])
    assert repr(part) == f"Subset(3 of 5 items of {data!r})"
    assert repr(DataLoader(part, 2)) == f"DataLoader({part!r}, batch_size=2, SequentialSampler: 2 batches)"
    assert "RandomSampler: 5 batches" in repr(DataLoader(data, shuffle=True))
