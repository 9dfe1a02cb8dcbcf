"""Data mining: features, neighbours, outliers, clusters and maps."""

from __future__ import annotations

import numpy as np
import pytest

import tinymed
from tinymed import nn
from tinymed.data import make_breast_phantoms
from tinymed.evaluation import clusters, draw_map, features, map2d, nearest_cases, outliers
from tinymed.training import article_cnn, predict

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


class Crossed(nn.Module):
    """Its layers run in another order than they stand in."""

    def __init__(self):
        super().__init__()
        self.head, self.body, self.unused = nn.Linear(4, 2), nn.Linear(3, 4), nn.Linear(7, 7)

    def forward(self, x):
        return self.head(self.body(x))


def test_features_are_of_the_linear_that_runs_last():
    model, x = Crossed(), np.random.default_rng(0).random((5, 3)).astype(np.float32)
    np.testing.assert_array_equal(features(model, x, batch_size=2), features(model, x, layer="body", batch_size=2))
    twice = nn.Linear(2, 2)
    x = np.eye(2, dtype=np.float32)
    np.testing.assert_allclose(features(nn.Sequential(twice, twice), x), predict(twice, x))
    assert not twice._pre_hooks


def test_features_refuse_what_is_not_one_row_an_item():
    model, x = Reader(), np.ones((3, 5, 1), np.float32)
    assert features(model, x).shape == (3, 4)
    with pytest.raises(ValueError, match=r"no layer is called 'heat' \(did you mean 'head'\?\); there are lstm, head"):
        features(model, x, layer="heat")
    with pytest.raises(ValueError, match=r"layer 'lstm' gives a tuple, not one tensor"):
        features(model, x, layer="lstm")
    with pytest.raises(ValueError, match="Sequential runs no Linear"):
        features(nn.Sequential(nn.ReLU()), x)
    assert not model.lstm._hooks
    twice = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="6 rows for 3 items"):
        features(nn.Sequential(twice, twice), np.ones((3, 2), np.float32), layer="0")


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


@pytest.mark.parametrize(
    ("call", "message"),
    [
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
