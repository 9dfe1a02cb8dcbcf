"""Planted duplicates are found and nothing else is; the duplicates of the real data sets."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tinymed.data import (
    Augmented,
    LabelledDataset,
    Subset,
    TensorDataset,
    TextDataset,
    load_breastmnist,
    load_pneumoniamnist,
    make_drug_response,
    random_split,
)
from tinymed.evaluation import duplicates, nearest_cases, text_twins, twins

DATA = os.environ.get("TINYMED_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TINYMED_DATA does not name a folder of real data")


def pictures(n, seed=0):
    return np.random.default_rng(seed).random((n, 1, 8, 8)).astype(np.float32)


@pytest.mark.parametrize("block", [3, 512])
def test_planted_twins_are_found_and_no_others(monkeypatch, block):
    monkeypatch.setattr(duplicates, "BLOCK", block)
    x = pictures(20)
    x[7] = x[2]  # exact
    x[11] = 0.5 * x[4] + 0.1 + 0.01 * pictures(1, 9)[0]  # darker, and a little noise
    x[12] = x[11]
    y = np.arange(20) % 2
    found = twins(x, labels=y)
    assert found.pairs.tolist() == [[2, 7], [4, 11], [4, 12], [11, 12]]
    assert found.exact.tolist() == [True, False, False, True]
    assert found.conflicting.tolist() == [True, True, False, True]
    assert (found.similarity[found.exact] == 1).all()
    r = np.corrcoef(x[4].ravel(), x[11].ravel())[0, 1]
    assert found.similarity[1] == pytest.approx(r, abs=1e-5)
    assert [group.tolist() for group in found.groups()] == [[2, 7], [4, 11, 12]]
    assert [group.tolist() for group in found.groups(exact=True)] == [[2, 7], [11, 12]]
    assert repr(found) == "Twins(4 pairs in 2 groups; 2 exact, 3 with different labels)"
    one, none = found.twinned()
    assert np.flatnonzero(one).tolist() == [2, 4, 7, 11, 12]
    assert len(none) == 0
    assert len(twins(x, above=1)) == 2


def test_twins_between_two_sets_take_their_labels():
    a, b = pictures(6, 1), pictures(5, 2)
    b[3], b[4] = a[1], a[1]
    sets = [LabelledDataset(x, np.arange(len(x)) % 2, ("no", "yes"), "here") for x in (a, b)]
    found = twins(*sets)
    assert found.pairs.tolist() == [[1, 3], [1, 4]]
    assert found.conflicting.tolist() == [False, True]
    assert [group.tolist() for group in found.groups()] == [[1, 9, 10]]  # b's are numbered on from 6
    assert [group.tolist() for group in found.groups(conflicting=True)] == [[1, 9, 10]]
    assert [mask.nonzero()[0].tolist() for mask in found.twinned()] == [[1], [3, 4]]
    plain = twins(a, b)
    assert plain.conflicting is None
    with pytest.raises(ValueError, match="no labels were given"):
        plain.groups(conflicting=True)
    assert twins(a, b, labels=(np.zeros(6), np.ones(5))).conflicting.all()


def test_twins_of_any_data_set():
    """Parts of a split, changed items, measured values: their items are stacked, their labels taken where there are."""
    x = pictures(8)
    x[7] = x[2]
    data = LabelledDataset(x, np.arange(8) % 2, ("no", "yes"), "here")
    found = twins(Subset(data, [1, 2, 3]), Subset(data, [6, 7]))
    assert found.pairs.tolist() == [[1, 1]]
    assert found.conflicting.tolist() == [True]
    assert twins(Subset(TensorDataset(x), [2, 7])).conflicting is None
    assert twins(Augmented(data, lambda item, rng: item[:, ::-1], 0)).pairs.tolist() == [[2, 7]]
    assert len(twins(*random_split(make_drug_response(20), [0.5, 0.5]))) == 0
    texts = TextDataset(["fever", "a cough", "Fever "], [0, 1, 1], ("a", "b"), "here")
    for of in (texts, Subset(texts, [0, 1, 2])):
        assert text_twins(of).conflicting.tolist() == [True]
        with pytest.raises(TypeError, match="a holds texts; these are compared by text_twins"):
            twins(of)
    mixed = [(np.zeros(3), 0), (np.zeros(4), 1)]
    uneven = Subset(mixed, [0, 1])
    with pytest.raises(ValueError, match=r"item 1 has shape \(4,\), item 0 \(3,\)"):
        twins(uneven)


def test_constant_items_are_twins_only_if_equal():
    x = np.stack([np.full(9, v, np.float32) for v in (0, -0.0, 0.3, 0.5, 0.5)])
    assert twins(x).pairs.tolist() == [[0, 1], [3, 4]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: twins(pictures(3), above=0), r"correlation in \(0, 1\], got 0"),
        (lambda: twins(pictures(3), pictures(3).reshape(3, 4, -1)[:, :3]), "a have 64 numbers each, those of b 48"),
        (lambda: twins(np.array([[1.0, 2], [np.nan, 1]])), "item 1 of a holds NaN"),
        (lambda: twins(np.zeros(4)), r"\(N,...\), an item in each row, got float64 \(4,\)"),
        (lambda: twins(np.zeros((0, 4))), r"got float64 \(0, 4\)"),
        (lambda: twins(Subset(TensorDataset(pictures(3)), [])), r"got float64 \(0,\)"),
        (lambda: twins(pictures(3), labels=[0, 1]), r"labels of 3 items must have shape \(3,\), got \(2,\)"),
        (lambda: text_twins(["a"], above=2), r"cosine in \(0, 1\], got 2"),
        (lambda: text_twins([]), "there are no texts"),
    ],
)
def test_what_cannot_be_meant_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_text_twins_pass_over_case_and_blanks_and_find_nearly_equal_words():
    long = "The patient, a man of sixty, complained of pain in the chest, which came on at night and went by day."
    texts = ["Fever  and\ncough", "fever and cough", "a rash", "fever and cough", long, long.replace("sixty", "fifty")]
    found = text_twins(texts, above=0.8, labels=list("aabbaa"))
    assert found.pairs.tolist() == [[0, 1], [0, 3], [1, 3], [4, 5]]
    assert found.exact.tolist() == [True, True, True, False]
    assert [group.tolist() for group in found.groups(exact=True)] == [[0, 1, 3]]
    assert [group.tolist() for group in found.groups(conflicting=True)] == [[0, 1, 3]]
    across = text_twins(
        ["Fever", "患者咳嗽三天，伴有发热。"], ["患者咳嗽四天，伴有发热。", "fever ", "腹痛"], above=0.7
    )
    assert across.pairs.tolist() == [[0, 1], [1, 0]]
    assert across.exact.tolist() == [True, False]
    assert text_twins(["?", "!", "?"]).pairs.tolist() == [[0, 2]]
    with pytest.raises(TypeError, match="a sequence of texts, got str"):
        text_twins("fever")


# ---------------------------------------------------------------- the real data


@needs_data
def test_breastmnist_has_its_twins_across_the_split():
    train, test = (load_breastmnist(split, download=False) for split in ("train", "test"))
    found = twins(train, test)
    assert found.pairs[found.exact].tolist() == [[115, 76]]
    assert found.conflicting[found.exact].all()
    twin = found.twinned()[1]
    assert twin.sum() == 48
    nearest = nearest_cases(train, test, k=1, metric="correlation").indices[:, 0]
    right = train.labels.array[nearest] == test.labels.array
    assert right.mean() == pytest.approx(0.833, abs=5e-4)
    assert right[twin].mean() == pytest.approx(0.9375)
    assert right[~twin].mean() == pytest.approx(0.787, abs=5e-4)


@needs_data
def test_pneumoniamnist_has_its_groups_of_duplicates():
    parts = [load_pneumoniamnist(split, download=False) for split in ("train", "val", "test")]
    found = twins(
        np.concatenate([p.inputs.array for p in parts]), labels=np.concatenate([p.labels.array for p in parts])
    )
    where = np.repeat(["train", "val", "test"], [len(p) for p in parts])
    groups = [where[group].tolist() for group in found.groups(exact=True)]
    assert len(groups) == 27
    assert sum(group.count("train") > 1 for group in groups) == 18
    assert sum({"train", "val"} == set(group) for group in groups) == 8
    assert sum(set(group) == {"test"} for group in groups) == 3
    assert not any({"train", "test"} <= set(group) for group in groups)
    assert not found.conflicting.any()


@needs_data
def test_medical_abstracts_come_twice_with_different_labels():
    from tinymed.data.text import load_medical_abstracts

    data = load_medical_abstracts("test", download=False)
    found = text_twins(data, labels=data.labels)
    groups = found.groups(exact=True)
    assert len(data) - sum(len(group) - 1 for group in groups) == 2770
    assert len(groups) == len(found.groups(exact=True, conflicting=True)) == 113  # each copy has another label
