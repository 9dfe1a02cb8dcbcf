"""Folds and splits: the classes' shares are kept, seeds repeat, and no patient stands on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tinymed.data.folds import apart, stratified_folds, stratified_split


def _patients(n=300, patients=40, classes=3, seed=0):
    rng = np.random.default_rng(seed)
    groups = rng.integers(0, patients, n)
    return rng.integers(0, classes, n), np.array([f"p{g:02}" for g in groups])


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 6), st.integers(0, 9), st.booleans())
def test_each_item_is_judged_by_once(k, seed, grouped):
    y, groups = _patients(seed=seed)
    folds = stratified_folds(y, k, seed, groups if grouped else None)
    assert len(folds) == k
    np.testing.assert_array_equal(np.sort(np.concatenate([test for _, test in folds])), np.arange(len(y)))
    for train, test in folds:
        np.testing.assert_array_equal(np.union1d(train, test), np.arange(len(y)))
        assert not np.intersect1d(train, test).size
        if grouped:
            assert not set(groups[train]) & set(groups[test])
            apart({"training": groups[train], "test": groups[test]})
        else:
            counts = np.bincount(y[test])
            assert np.abs(counts - np.bincount(y) / k).max() < 1


@settings(max_examples=25, deadline=None)
@given(st.sampled_from([(0.85, 0.15), (0.5, 0.5), (0.7, 0.15, 0.15), (0.05, 0.95)]), st.integers(0, 9), st.booleans())
def test_parts_have_their_shares(fractions, seed, grouped):
    y, groups = _patients(seed=seed)
    parts = stratified_split(y, fractions, seed, groups if grouped else None)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(len(y)))
    for part, share in zip(parts, fractions):
        assert abs(len(part) / len(y) - share) < (0.06 if grouped else 0.01)
        assert (np.diff(part) > 0).all()
    if grouped:
        apart({str(k): groups[part] for k, part in enumerate(parts)})
    else:
        assert np.abs(np.bincount(y[parts[0]]) - fractions[0] * np.bincount(y)).max() <= 1


def test_seeds_repeat_and_differ():
    y, groups = _patients()
    for how in (None, groups):
        one, again, other = (np.concatenate([t for _, t in stratified_folds(y, 4, s, how)]) for s in (1, 1, 2))
        assert (one == again).all()
        assert (one != other).any()
        one, again, other = (stratified_split(y, [0.6, 0.4], s, how)[0] for s in (1, 1, 2))
        assert one.tolist() == again.tolist() != other.tolist()


def test_few_patients():
    groups = np.repeat([1, 2, 3], 10)
    parts = stratified_split(np.tile([0, 1], 15), [0.9, 0.1], 0, groups)
    assert [len(part) for part in parts] == [20, 10]


def test_values_are_split_by_their_fifths():
    y = np.random.default_rng(0).normal(size=100)
    fifth = np.searchsorted(np.quantile(y, [0.2, 0.4, 0.6, 0.8]), y)
    for _, test in stratified_folds(y, 5):
        assert np.bincount(fifth[test]).tolist() == [4] * 5
    train, _ = stratified_split(y.astype(np.float32), [0.8, 0.2])
    assert np.bincount(fifth[train]).tolist() == [16] * 5


def test_a_patient_on_both_sides_is_named():
    with pytest.raises(ValueError, match=r"'b', and 1 more, stands in the training part and in the test part"):
        apart({"training": ["a", "b", "c"], "validation": ["d"], "test": ["c", "b", "e"]})
    with pytest.raises(ValueError, match="'101' stands in the validation part and in the test part"):
        apart({"training": np.array([100]), "validation": np.array([101, 102]), "test": np.array([101])})
    apart({"training": [1, 2], "test": [3]})


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        ([1.0, np.nan, 2, 2], "item 1 belongs to nobody"),
        (["a", None, "b", "b"], "item 1 belongs to nobody.*None"),
        ([1, 2], r"each of the 4 items.*\(2,\)"),
    ],
)
def test_groups_that_are_refused(groups, message):
    y = np.array([0, 1, 0, 1])
    with pytest.raises(ValueError, match=message):
        stratified_folds(y, 2, groups=groups)
    with pytest.raises(ValueError, match=message):
        stratified_split(y, [0.5, 0.5], groups=groups)
    if len(groups) == 4:
        with pytest.raises(ValueError, match=r"test part: item 1"):
            apart({"training": [7], "test": groups})


def test_refused():
    y = np.array([0] * 20 + [1] * 3)
    with pytest.raises(ValueError, match=r"class 1 has 3 items, too few for 5 folds: ask for 3"):
        stratified_folds(y, 5)
    with pytest.raises(ValueError, match=r"class 1 has 1 group, too few for 2 folds: leave the class out"):
        stratified_folds(y, 2, groups=[*range(20), 99, 99, 99])
    with pytest.raises(ValueError, match=r"class 1 has 1 item, too few for 2 parts"):
        stratified_split(np.array([0, 0, 0, 1]), [0.5, 0.5])
    for fractions in ([0.5, 0.4], [1.0], [1.2, -0.2]):
        with pytest.raises(ValueError, match="sum to 1"):
            stratified_split(y, fractions)
    with pytest.raises(ValueError, match="2 folds or more"):
        stratified_folds(y, 1)
    with pytest.raises(ValueError, match=r"shape \(N,\)"):
        stratified_folds(np.eye(4), 2)
    with pytest.raises(ValueError, match="value of item 2 is nan"):
        stratified_folds([0.1, 0.2, np.nan], 2)
    with pytest.raises(ValueError, match="part 0 would have 23 of 23, and it and the rest need one of each of the 2"):
        stratified_split(y, [0.99, 0.01])
    four = np.array([5] * 100 + [7] * 4)
    assert [np.sum(part >= 100) for part in stratified_split(four, [0.5, 0.25, 0.25])] == [2, 1, 1]
    with pytest.raises(ValueError, match=r"class 7 has 4 items, too few for parts of \[0.7, 0.15, 0.15\]: one would"):
        stratified_split(four, [0.7, 0.15, 0.15])
    with pytest.raises(ValueError, match="nobody knows whose"):
        apart({"training": None})
    with pytest.raises(ValueError, match="too few groups, 1, to deal into 2"):
        stratified_split(y, [0.5, 0.5], groups=np.zeros(23, int))


def test_a_patient_of_a_file_is_known_in_an_array():
    with pytest.raises(ValueError, match="'2' stands in the training part and in the test part"):
        apart({"training": ["1", "2"], "test": [2, 3]})
