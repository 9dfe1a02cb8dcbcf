"""Data mining: planted duplicates are found and nothing else is; the duplicates of the real data sets."""

from __future__ import annotations

import os

import numpy as np
import pytest

import tinymed
from tinymed import nn
from tinymed.data import LabelledDataset, load_breastmnist, load_pneumoniamnist, make_breast_phantoms
from tinymed.evaluation import duplicates
from tinymed.evaluation.mining import (
    clusters,
    draw_map,
    features,
    map2d,
    nearest_cases,
    outliers,
    text_twins,
    twins,
)
from tinymed.training import article_cnn, predict

DATA = os.environ.get("TINYMED_DATA")
needs_data = pytest.mark.skipif(not DATA, reason="TINYMED_DATA does not name a folder of real data")
rng = np.random.default_rng(0)


def pictures(n, seed=0):
    return np.random.default_rng(seed).random((n, 1, 8, 8)).astype(np.float32)


# ---------------------------------------------------------------- features


def test_features_are_what_the_last_linear_is_given():
    tinymed.manual_seed(0)
    model = article_cnn().train()
    x = make_breast_phantoms(10).inputs
    seen = features(model, x, batch_size=4)
    assert seen.shape == (10, 128)
    last = model[-1]
    np.testing.assert_allclose(seen @ last.weight.array.T + last.bias.array, predict(model, x), atol=1e-5)
    assert model.training
    assert not last._pre_hooks
    assert features(model, x, layer="2").shape == (10, 32 * 13 * 13)
    np.testing.assert_allclose(features(model, x, layer="9"), predict(model, x), atol=1e-6)


def test_features_are_of_eval_mode():
    model = nn.Sequential(nn.Linear(3, 5), nn.Dropout(0.9), nn.Linear(5, 1)).train()
    x = np.ones((6, 3), np.float32)
    np.testing.assert_array_equal(features(model, x), np.repeat(features(model, x[:1]), 6, 0))


class Reader(nn.Module):
    """An LSTM read at its last state."""

    def __init__(self):
        super().__init__()
        self.lstm, self.head = nn.LSTM(1, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x):
        return self.head(self.lstm(x)[0][:, -1])


def test_features_refuse_what_is_not_one_row_an_item():
    model, x = Reader(), np.ones((3, 5, 1), np.float32)
    assert features(model, x).shape == (3, 4)
    with pytest.raises(ValueError, match=r"no layer is called 'heat' \(did you mean 'head'\?\); there are lstm, head"):
        features(model, x, layer="heat")
    with pytest.raises(ValueError, match=r"layer 'lstm' gives a tuple, not one tensor"):
        features(model, x, layer="lstm")
    with pytest.raises(ValueError, match="Sequential has no Linear"):
        features(nn.Sequential(nn.ReLU()), x)
    assert not model.lstm._hooks
    twice = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="6 rows for 3 items"):
        features(nn.Sequential(twice, twice), np.ones((3, 2), np.float32))


# ---------------------------------------------------------------- duplicates


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
        (lambda: twins(pictures(3), labels=[0, 1]), r"labels of 3 items must have shape \(3,\), got \(2,\)"),
        (lambda: text_twins(["a"], above=2), r"cosine in \(0, 1\], got 2"),
        (lambda: text_twins([]), "there are no texts"),
        (lambda: nearest_cases(pictures(3), pictures(2), k=4), "k must be a whole number in 1..3 .*, got 4"),
        (lambda: nearest_cases(np.zeros((3, 2)), np.zeros((3, 4)), k=1), "train has 2 numbers an item, query 4"),
        (lambda: outliers(pictures(3), k=3), "k must be a whole number in 1..2"),
        (lambda: clusters(pictures(3), k=1), "k must be a whole number in 2..2"),
        (lambda: clusters(np.ones((9, 2)), k=2), "only 1 different values"),
        (lambda: map2d(pictures(3)), "4 items or more and a perplexity above 0, got 3 and 30"),
        (lambda: map2d(np.ones((9, 2))), "all 9 items are equal"),
        (lambda: draw_map(np.zeros((3, 2)), np.zeros(4), ("a",)), r"got \(3, 2\) and \(4,\)"),
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


# ---------------------------------------------------------------- neighbours, outliers, clusters, maps


def blobs(n=40):
    """Three clouds of n points in ten dimensions, and which cloud each is of."""
    middle = 8 * np.eye(3, 10)
    return np.concatenate([m + np.random.default_rng(5).normal(size=(n, 10)) for m in middle]), np.repeat(range(3), n)


def test_nearest_cases_are_the_nearest():
    x, q = pictures(30, 1), pictures(4, 2)
    found = nearest_cases(x, q, k=3)
    distance = np.linalg.norm(x.reshape(30, -1) - q.reshape(4, 1, -1), axis=-1)
    np.testing.assert_array_equal(found.indices, distance.argsort(1)[:, :3])
    np.testing.assert_allclose(found.distances, np.sort(distance)[:, :3], rtol=1e-5)
    assert nearest_cases(x, x, k=1).indices[:, 0].tolist() == list(range(30))


def test_the_odd_one_is_an_outlier_and_a_small_cloud_is_not():
    x, _ = blobs()
    x = np.concatenate([x[:80], x[80:90], [[4, 4, 4, 4, 4, 4, 4, 4, 4, 4]]])
    odd = outliers(x, k=8)
    assert odd.argmax() == 90
    assert odd[90] > 1.5 > odd[80:90].max()


def test_clusters_find_clouds_and_say_how_well():
    x, y = blobs()
    found = clusters(x, 3, labels=y)
    assert found.agreement == 1
    assert found.silhouette > 0.5
    assert found.centres.shape == (3, 10)
    noise = clusters(rng.normal(size=(120, 10)), 3, labels=y)
    assert abs(noise.agreement) < 0.1
    assert noise.silhouette < 0.2
    assert clusters(x, 3).agreement is None


def test_map2d_keeps_neighbours_and_repeats():
    x, y = blobs(20)
    positions = map2d(x)
    assert positions.shape == (60, 2)
    near = nearest_cases(positions, positions, k=2).indices[:, 1]
    assert (y[near] == y).mean() > 0.95
    np.testing.assert_array_equal(positions, map2d(x))
    for few in (x[:4], x[:5, :1]):
        assert np.isfinite(map2d(few)).all()


def test_draw_map_shows_each_class_and_rings_errors():
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    x, y = blobs(10)
    wrong = np.zeros(30, bool)
    wrong[[3, 14]] = True
    for errors in (wrong, [3, 14]):
        ax = draw_map(x[:, :2], y, ("a", "b", "c"), errors, title="a map")
        ax.figure.canvas.draw()
        *classes, ring = ax.lines
        assert [len(line.get_xdata()) for line in classes] == [10, 10, 10]
        assert len({line.get_marker() for line in classes}) == len({line.get_color() for line in classes}) == 3
        np.testing.assert_allclose(ring.get_xydata(), x[[3, 14], :2])
        assert ring.get_markerfacecolor() == "none"
        legend = ax.get_legend()
        assert [text.get_text() for text in legend.get_texts()] == ["a (10)", "b (10)", "c (10)", "error (2)"]
        assert not legend.get_window_extent().overlaps(ax.get_window_extent())
        matplotlib.pyplot.close(ax.figure)


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
