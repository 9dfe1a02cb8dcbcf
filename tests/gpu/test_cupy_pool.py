"""The CuPy backend's pooling against the plain loops: its host code on a stand-in for CuPy, and on a card.

On a card also of sizes for which the loops would take minutes: there NumPy's backend is the oracle.
"""

from __future__ import annotations

import itertools
from math import inf

import numpy as np
import pytest
from gpu_arrays import EXACT, LAYOUTS, channels_last, close, normal, on_device

from tinymed.kernels import cupy_pool, numpy_backend, reference
from tinymed.kernels.shapes import pool_shape

POOLS = [  # x, kernel, stride, padding, dilation, ceil_mode
    ((2, 3, 5, 7), (2, 2), (2, 2), (0, 0), (1, 1), False),  # a stride that does not divide
    ((2, 4, 6, 5), (3, 2), (2, 1), (1, 1), (1, 1), False),  # overlapping, rectangular
    ((1, 8, 7, 6), (2, 3), (1, 2), (1, 0), (2, 1), True),
    ((1, 2, 7, 8), (2, 3), (3, 2), (1, 1), (3, 2), False),  # windows that step over cells
]
LARGE_POOL = (16, 64, 56, 55), (3, 3), (2, 2), (1, 1), (1, 1), True


@pytest.mark.parametrize(("kind", "layout", "case"), list(itertools.product(EXACT, LAYOUTS, POOLS)))
def test_max_pool2d(cp, kind, layout, case):
    pool_largest(cp, kind, pool_shape("max_pool2d", *case), layout, reference)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", EXACT)
def test_large_max_pool2d(card, kind):
    pool_largest(card, kind, pool_shape("max_pool2d", *LARGE_POOL), "channels last", numpy_backend)


def pool_largest(cp, kind, s, layout, oracle):
    x, g = np.floor(normal(*s.x) * 2) - 9, normal(*s.y, seed=1)  # ties, all below 0
    x[0, 0, 1, 1], x[0, 1] = np.nan, -inf
    y, where = cupy_pool.max_pool2d(on_device(cp, x, kind, layout), s)
    want, at = oracle.max_pool2d(x, s)
    np.testing.assert_array_equal(y.get(), want)
    np.testing.assert_array_equal(where.get(), at)
    channels_last(y)
    G = on_device(cp, g, kind, layout)
    close(cupy_pool.max_pool2d_grad(G, where, s), oracle.max_pool2d_grad(g, at, s), kind)
    gx = cupy_pool.max_pool2d_grad(G, cp.asarray(at.astype(np.int64)), s)  # whoever counted
    close(gx, oracle.max_pool2d_grad(g, at, s), kind)


def test_max_pool2d_of_a_window_too_large_for_bytes(cp):
    s = pool_shape("max_pool2d", (1, 2, 18, 17), (17, 17), (1, 1), (0, 0))
    x = np.sort(normal(*s.x), axis=2)  # the largest stands low in the window
    y, where = cupy_pool.max_pool2d(on_device(cp, x, "float"), s)
    want, at = reference.max_pool2d(x.astype(np.float32), s)
    assert at.max() > 255
    np.testing.assert_array_equal(y.get(), want)
    np.testing.assert_array_equal(where.get(), at)
    g = normal(*s.y)
    G = on_device(cp, g, "float")
    close(cupy_pool.max_pool2d_grad(G, where, s), reference.max_pool2d_grad(g, at, s), "float")


@pytest.mark.parametrize(("kind", "layout", "case"), list(itertools.product(EXACT, LAYOUTS, POOLS)))
def test_avg_pool2d(cp, kind, layout, case):
    pool_means(cp, kind, pool_shape("avg_pool2d", *case), layout, reference)


@pytest.mark.gpu
@pytest.mark.parametrize("kind", EXACT)
def test_large_avg_pool2d(card, kind):
    pool_means(card, kind, pool_shape("avg_pool2d", *LARGE_POOL), "channels last", numpy_backend)


def pool_means(cp, kind, s, layout, oracle):
    x, g = normal(*s.x), normal(*s.y, seed=1)
    X, G = on_device(cp, x, kind, layout), on_device(cp, g, kind, layout)
    counts = np.random.default_rng(0).integers(1, 9, (s.OH, s.OW))
    for count in (counts, counts[:1, :1], counts[::-1], cp.asarray(counts)):
        of_host = count if isinstance(count, np.ndarray) else count.get()
        y = cupy_pool.avg_pool2d(X, count, s)
        close(y, oracle.avg_pool2d(x, of_host, s), kind)
        channels_last(y)
        close(cupy_pool.avg_pool2d_grad(G, count, s), oracle.avg_pool2d_grad(g, of_host, s), kind)
