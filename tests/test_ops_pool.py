"""Pooling in one, two and three dimensions, adaptive pooling too, against PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tinymed
import tinymed.nn.functional as F


def pool(name, sample, *size, **how):
    return lambda t, x: getattr(t.nn.functional, name)(x, *size, **how), sample


X1, X2, X3 = (2, 2, 7), (2, 2, 7, 6), (1, 2, 5, 4, 6)
ROWS = {
    "max 1d": pool("max_pool1d", X1, 2),
    "max 1d options": pool("max_pool1d", X1, 3, stride=2, padding=1, dilation=2, ceil_mode=True),
    "max 2d": pool("max_pool2d", X2, 2),
    "max 2d overlapping": pool("max_pool2d", X2, 3, stride=1),
    "max 2d rectangular": pool("max_pool2d", X2, (3, 2), stride=(2, 3), padding=(1, 0)),
    "max 2d padding": pool("max_pool2d", X2, 3, stride=2, padding=1),
    "max 2d dilation": pool("max_pool2d", X2, 2, stride=1, dilation=(3, 2)),
    "max 2d ceil": pool("max_pool2d", X2, 2, stride=2, ceil_mode=True),
    "max 2d ceil padding": pool("max_pool2d", X2, 3, stride=3, padding=1, ceil_mode=True),
    "max 2d gaps": pool("max_pool2d", X2, 2, stride=3),
    "max 2d batch of one": pool("max_pool2d", (1, 1, 2, 2), 2),
    "max 2d no batch": pool("max_pool2d", X2[1:], 2),
    "max 3d": pool("max_pool3d", X3, 2),
    "max 3d options": pool("max_pool3d", X3, (3, 2, 2), stride=(1, 2, 2), padding=1, ceil_mode=True),
    "max 3d dilation": pool("max_pool3d", X3, 2, stride=1, dilation=(2, 1, 3)),
    "avg 1d": pool("avg_pool1d", X1, 3, stride=2, padding=1),
    "avg 1d ceil": pool("avg_pool1d", X1, 3, stride=3, padding=1, ceil_mode=True, count_include_pad=False),
    "avg 2d": pool("avg_pool2d", X2, 2),
    "avg 2d overlapping": pool("avg_pool2d", X2, (2, 3), stride=(1, 2)),
    "avg 2d padding": pool("avg_pool2d", X2, 3, stride=2, padding=1),
    "avg 2d padding not counted": pool("avg_pool2d", X2, 3, stride=2, padding=1, count_include_pad=False),
    "avg 2d ceil": pool("avg_pool2d", X2, 3, stride=2, padding=1, ceil_mode=True),
    "avg 2d ceil not counted": pool("avg_pool2d", X2, 4, stride=3, padding=2, ceil_mode=True, count_include_pad=False),
    "avg 2d divisor": pool("avg_pool2d", X2, 2, divisor_override=3),
    "avg 2d no batch": pool("avg_pool2d", X2[1:], 2),
    "avg 3d": pool("avg_pool3d", X3, 2),
    "avg 3d options": pool("avg_pool3d", X3, (3, 2, 3), stride=2, padding=1, ceil_mode=True),
    "avg 3d not counted": pool("avg_pool3d", X3, 3, stride=2, padding=1, count_include_pad=False),
    "avg 3d divisor": pool("avg_pool3d", X3, 2, padding=1, divisor_override=5),
    **{
        f"adaptive {kind} {n}d {size}": pool(f"adaptive_{kind}_pool{n}d", sample, size)
        for kind in ("avg", "max")
        for n, sample, size in [
            (1, X1, 3), (1, X1[1:], 7), (2, X2, 1), (2, X2, (3, 4)), (2, X2, (None, 2)), (2, X2, (9, 8)),
            (3, X3, 2), (3, X3, (5, None, 4)),
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_pool_is_pytorchs(as_torch, name):
    as_torch(*ROWS[name])


LOWEST = {
    "negative": -1 - np.random.default_rng(0).random((2, 2, 5, 5)),
    "-inf": np.full((1, 1, 5, 5), -np.inf),
    "ties": np.ones((1, 2, 5, 5)),
    "NaN": np.where(np.random.default_rng(2).random((2, 2, 5, 5)) < 0.2, np.nan, 1.0),
    "few values": np.random.default_rng(1).integers(0, 2, (2, 2, 5, 5)).astype(float),
}


@pytest.mark.parametrize("name", LOWEST)
def test_padding_never_wins_and_ties_go_to_the_first(as_torch, name):
    x = LOWEST[name]
    for K, S, P, ceil in itertools.product((2, 3, (2, 3)), (1, 2, 3), (0, 1), (False, True)):
        how = {"stride": S, "padding": P, "ceil_mode": ceil}
        if name != "-inf":
            as_torch(*pool("max_pool2d", x, K, **how), numeric=False, dtypes=[np.float64])
            continue
        leaf = tinymed.tensor(x, requires_grad=True)
        y = F.max_pool2d(leaf, K, **how)
        assert (y.detach().numpy() == -np.inf).all()
        y.backward(np.ones(y.shape))
        assert leaf.grad.numpy().sum() == y.numel()  # no gradient was lost in the padding


@pytest.mark.parametrize("name", ["ties", "few values"])
def test_adaptive_max_gives_the_gradient_to_the_first_in_reading_order(as_torch, name):
    for size in (1, 2, (3, 2), 4):
        as_torch(*pool("adaptive_max_pool2d", LOWEST[name], size), numeric=False, dtypes=[np.float64])


def test_nan_passes_through_max_pool():
    x = np.ones((1, 1, 4, 4))
    x[0, 0, 1, 2] = np.nan
    y = F.max_pool2d(tinymed.tensor(x), 2).numpy()
    np.testing.assert_array_equal(np.isnan(y[0, 0]), [[False, True], [False, False]])


QUICK = settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
axis = st.integers(1, 4).flatmap(
    lambda k: st.tuples(st.integers(0, 5), st.just(k), st.integers(1, 3), st.integers(0, k // 2), st.integers(1, 2))
)


@pytest.mark.parametrize("n", [1, 2, 3])
@QUICK
@given(st.data())
def test_any_pool_is_pytorchs(as_torch, n, data):
    spare, K, S, P, D = zip(*data.draw(st.lists(axis, min_size=n, max_size=n)))
    X = [max(1, e + d * (k - 1) + 1 - 2 * p) for e, k, p, d in zip(spare, K, P, D)]
    ceil, counted = data.draw(st.booleans()), data.draw(st.booleans())
    shape, how = (2, 2, *X), {"numeric": False, "dtypes": [np.float64]}
    as_torch(*pool(f"max_pool{n}d", shape, K, S, P, D, ceil_mode=ceil), **how)
    if all(x >= k for x, k in zip(X, K)):  # PyTorch's avg_pool3d refuses more than it must
        as_torch(*pool(f"avg_pool{n}d", shape, K, S, P, ceil_mode=ceil, count_include_pad=counted), **how)


@pytest.mark.parametrize("n", [1, 2, 3])
@QUICK
@given(st.data())
def test_any_adaptive_pool_is_pytorchs(as_torch, n, data):
    ints = st.lists(st.integers(1, 7), min_size=n, max_size=n)
    shape, size = (1, 2, *data.draw(ints)), data.draw(ints)
    for kind in ("avg", "max"):
        as_torch(*pool(f"adaptive_{kind}_pool{n}d", shape, size), numeric=False, dtypes=[np.float64])


BAD = {
    r"max_pool2d: the window is larger than the padded image \(x \(1, 1, 4, 4\)": lambda x: F.max_pool2d(x, 5),
    r"avg_pool2d: the window is larger": lambda x: F.avg_pool2d(x, 5),
    "between 0 and half the window": lambda x: F.max_pool2d(x, 2, padding=2),
    "window must be at least 1": lambda x: F.avg_pool2d(x, 0),
    "stride must be at least 1": lambda x: F.max_pool2d(x, 2, stride=0),
    "divisor_override": lambda x: F.avg_pool2d(x, 2, divisor_override=0),
    r"max_pool2d: expected x \(N,C,H,W\), got \(4, 4\)": lambda x: F.max_pool2d(x[0, 0], 2),
    "expected 2 output sizes": lambda x: F.adaptive_avg_pool2d(x, (1, 1, 1)),
    "at least 1, or None": lambda x: F.adaptive_max_pool2d(x, 0),
    "avg_pool3d: divisor_override": lambda x: F.avg_pool3d(x, (1, 2, 2), divisor_override=0),
}


@pytest.mark.parametrize("message", BAD)
def test_what_does_not_fit_is_named(message):
    with pytest.raises(ValueError, match=message):
        BAD[message](tinymed.zeros(1, 1, 4, 4))
