"""Datasets, samplers and collate."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pytest

import tinymed
from tinymed.data import (
    Dataset,
    ImageDataset,
    LabelledDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    WeightedRandomSampler,
    default_collate,
    random_split,
)


def pairs(n=10):
    return TensorDataset(np.arange(3.0 * n, dtype=np.float32).reshape(n, 3), np.arange(n))


# ---------------------------------------------------------------- datasets


def test_tensor_dataset_items():
    dataset = pairs()
    x, y = dataset[4]
    assert len(dataset) == 10
    assert x.tolist() == [12, 13, 14]
    assert y.item() == 4


def test_tensor_dataset_refuses_unequal_lengths_and_names_them():
    with pytest.raises(ValueError, match=r"same first dimension.* 10, 9 \(shapes \(10, 3\), \(9,\)\)"):
        TensorDataset(np.zeros((10, 3)), np.zeros(9))


@pytest.mark.parametrize("tensors", [(), (np.float32(1.0),)])
def test_tensor_dataset_needs_something_to_count(tensors):
    with pytest.raises(ValueError, match="first dimension"):
        TensorDataset(*tensors)


def test_dataset_is_abstract():
    with pytest.raises(NotImplementedError, match="Dataset must define __getitem__"):
        Dataset()[0]
    with pytest.raises(NotImplementedError, match="__len__"):
        len(Dataset())


def test_labelled_dataset_counts_and_refuses_bad_labels():
    x = np.zeros((3, 2), np.float32)
    dataset = LabelledDataset(x, np.array([1, 0, 1]), ("no", "yes"), source="here")
    assert dataset.counts() == {"no": 1, "yes": 2}
    assert "'yes': 2" in repr(dataset)
    with pytest.raises(ValueError, match=r"label 2 of item 1 is out of range: 2 classes are 0..1"):
        LabelledDataset(x, np.array([0, 2, 1]), ("no", "yes"), source="here")
    with pytest.raises(ValueError, match=r"shape \(N,\), got \(3, 1\)"):
        LabelledDataset(x, np.array([[0], [1], [1]]), ("no", "yes"), source="here")
    with pytest.raises(TypeError, match="int64 class numbers, got float32"):
        LabelledDataset(x, np.array([0, 1, 1], np.float32), ("no", "yes"), source="here")


def test_image_dataset_wants_four_axes():
    with pytest.raises(ValueError, match=r"\(N,C,H,W\), got \(2, 28, 28\)"):
        ImageDataset(np.zeros((2, 28, 28), np.float32), np.array([0, 1]), ("a", "b"), source="here")


def test_subset():
    subset = Subset(pairs(), [7, 1])
    assert len(subset) == 2
    assert subset[0][1].item() == 7


@pytest.mark.parametrize(
    ("n", "lengths"), [(10, [7, 3]), (10, [0.5, 0.5]), (11, [0.5, 0.3, 0.2]), (7, [1 / 3, 1 / 3, 1 / 3])]
)
def test_random_split_has_torch_lengths_and_no_overlap(n, lengths):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")
    parts = random_split(range(n), lengths, generator=tinymed.Generator(0))
    assert [len(p) for p in parts] == [len(p) for p in torch.utils.data.random_split(range(n), lengths)]
    assert sorted(i for part in parts for i in part) == list(range(n))


def test_random_split_is_seeded():
    split = [random_split(range(50), [30, 20], generator=tinymed.Generator(s))[0].indices for s in (1, 1, 2)]
    assert split[0] == split[1] != split[2]


@pytest.mark.parametrize("lengths", [[5, 4], [0.5, 0.4], [11, -1], [5.5, 4.5]])
def test_random_split_refuses_lengths_that_do_not_fit(lengths):
    with pytest.raises(ValueError, match="random_split: lengths"):
        random_split(range(10), lengths)


def test_random_split_warns_of_an_empty_part():
    with pytest.warns(UserWarning, match="is empty"):
        random_split(range(3), [0.9, 0.1])


@pytest.mark.parametrize("seed", range(5))
def test_random_split_keeps_groups_together(seed):
    patients = np.random.default_rng(seed).integers(0, 30, 200)
    parts = random_split(range(200), [0.7, 0.15, 0.15], tinymed.Generator(seed), groups=patients)
    assert sorted(i for part in parts for i in part) == list(range(200))
    assert all(abs(len(part) - wanted) < 20 for part, wanted in zip(parts, (140, 30, 30)))
    seen = [set(patients[part.indices]) for part in parts]
    assert not (seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2])


@pytest.mark.parametrize(
    ("lengths", "groups", "message"),
    [
        ([8, 2], [0, 1] * 5, r"counts \[8, 2\] would cut through groups.*same patient.*give fractions"),
        ([0.8, 0.2], [0, 1] * 4, r"each of the 10 items, got \(8,\)"),
        ([0.8, 0.2], ["one"] * 10, "1 groups of up to 10 items leave one of the parts .* empty"),
    ],
)
def test_29_the_same_patient_in_two_parts_is_refused(lengths, groups, message):
    with pytest.raises(ValueError, match=message):
        random_split(range(10), lengths, groups=groups)


# ---------------------------------------------------------------- samplers


def test_samplers_cover():
    assert list(SequentialSampler(range(4))) == [0, 1, 2, 3]
    assert sorted(RandomSampler(range(9))) == list(range(9))
    longer = RandomSampler(range(4), num_samples=10)
    drawn = list(longer)
    assert len(longer) == len(drawn) == 10
    assert sorted(drawn[:4]) == sorted(drawn[4:8]) == [0, 1, 2, 3]
    assert len(set(RandomSampler(range(100), replacement=True, generator=tinymed.Generator(0)))) < 80


def test_random_sampler_gives_a_new_order_every_pass():
    sampler = RandomSampler(range(50), generator=tinymed.Generator(0))
    assert list(sampler) != list(sampler)


def test_weighted_sampler_draws_by_weight():
    drawn = list(WeightedRandomSampler([1, 0, 3], 4000, generator=tinymed.Generator(0)))
    assert np.bincount(drawn, minlength=3)[1] == 0
    assert np.bincount(drawn)[2] / 4000 == pytest.approx(0.75, abs=0.03)
    assert sorted(WeightedRandomSampler([1, 2, 3], 3, replacement=False)) == [0, 1, 2]


@pytest.mark.parametrize("weights", [[1, -1], [0, 0], [1, np.nan], [[1, 2]]])
def test_weighted_sampler_refuses_bad_weights(weights):
    with pytest.raises(ValueError, match="weights must be"):
        WeightedRandomSampler(weights, 2)


def test_samplers_refuse_bad_counts():
    with pytest.raises(ValueError, match="cannot draw 3 samples without replacement from 2 nonzero"):
        WeightedRandomSampler([1, 2, 0], 3, replacement=False)
    with pytest.raises(ValueError, match="num_samples must be at least 1, got 0"):
        RandomSampler([])
    with pytest.raises(TypeError, match=r"num_samples must be an integer, got 2\.5"):
        RandomSampler(range(3), num_samples=2.5)


# ---------------------------------------------------------------- collate

Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    "items",
    [
        [1, 2, 3],
        [1, 2.5],
        [True, False],
        [0.5, 1.5],
        [np.float32(1), np.float32(2)],
        [np.arange(3), np.arange(3)],
        [(1, 2.0), (3, 4.0)],
        [[1, 2], [3, 4]],
        [{"x": np.zeros(2), "y": 1}, {"x": np.ones(2), "y": 2}],
        [Pair(1, np.ones(2)), Pair(2, np.zeros(2))],
        [("a", 1), ("b", 2)],
    ],
    ids=repr,
)
def test_collate_as_torch(items):
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle")

    def same(ours, theirs):
        if isinstance(theirs, torch.Tensor):
            assert str(ours.dtype) == str(theirs.dtype).removeprefix("torch.")
            np.testing.assert_array_equal(ours.array, theirs.numpy())
        elif isinstance(theirs, dict):
            assert ours.keys() == theirs.keys()
            for key in theirs:
                same(ours[key], theirs[key])
        elif isinstance(theirs, str):
            assert ours == theirs
        else:
            assert hasattr(ours, "_fields") == hasattr(theirs, "_fields")
            for a, b in zip(ours, theirs, strict=True):
                same(a, b)

    same(default_collate(items), torch.utils.data.default_collate(items))


def test_collate_tensors():
    batch = default_collate([tinymed.tensor([1.0, 2.0]), tinymed.tensor([3.0, 4.0])])
    assert batch.tolist() == [[1, 2], [3, 4]]


def test_collate_refuses_what_does_not_fit():
    with pytest.raises(ValueError, match=r"first has \(2,\) and number 1 \(from 0\) has \(3,\)"):
        default_collate([np.zeros(2), np.zeros(3)])
    with pytest.raises(ValueError, match=r"same number of entries, got \[1, 2\]"):
        default_collate([(1,), (1, 2)])
    with pytest.raises(TypeError, match="cannot make a batch of NoneTypes"):
        default_collate([None, None])
    with pytest.raises(ValueError, match="requires grad"):
        default_collate([tinymed.tensor([1.0], requires_grad=True)])
