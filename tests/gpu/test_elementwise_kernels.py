"""Pooling, what follows a convolution, loss and dropout in CUDA C, on the CPU, against the plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tinymed.kernels import reference
from tinymed.kernels.shapes import DEAD, PoolShape, conv_shape, pool_shape

SIZES = np.dtype([(name, np.int32) for name in PoolShape._fields])
TILES = np.dtype([(name, np.int32) for name in ("N", "C", "H", "W", "KH", "KW", "OH", "OW")])
STREAM = np.dtype([("seed", np.uint64), ("at", np.uint64)])


class Launch:
    """run(file, kernel, *args), in one number type and schedule; few blocks: threads take several turns."""

    def __init__(self, module, dtype, order):
        self.module, self.dtype, self.order = module, dtype, order
        self.rng = np.random.default_rng(0)

    def __call__(self, file, kernel, *args, grid=(3,), block=(64,), **defines):
        real = "double" if self.dtype == np.float64 else "float"
        args = [np.int32(a) if type(a) is int else self.dtype(a) if type(a) is float else a for a in args]
        self.module(file, REAL=real, **defines).get_function(kernel)(grid, block, args, order=self.order)

    def normal(self, *size):
        return self.rng.standard_normal(size).astype(self.dtype)

    def empty(self, *size):
        return np.full(size, np.nan, self.dtype)

    def close(self, got, want):
        tolerance = 1e-12 if self.dtype == np.float64 else 1e-5
        assert got.shape == want.shape
        np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


WAYS = list(itertools.product([np.float32, np.float64], [0, 1]))


@pytest.fixture(params=WAYS, ids=[f"{dtype.__name__}-{k}" for dtype, k in WAYS])
def run(request, module, schedules):
    dtype, k = request.param
    return Launch(module, dtype, schedules[k])


def last(x):
    """(N,C,H,W) → (N,H,W,C), in memory too."""
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1))


def first(x):
    return x.transpose(0, 3, 1, 2)


# ---------------------------------------------------------------- pooling

POOLS = [  # x, kernel, stride, padding, dilation, ceil_mode
    ((2, 3, 5, 7), (2, 2), (2, 2), (0, 0), (1, 1), False),  # a stride that does not divide
    ((2, 4, 6, 5), (3, 2), (2, 1), (1, 1), (1, 1), False),  # overlapping, rectangular, four channels at once
    ((1, 8, 7, 6), (2, 3), (1, 2), (1, 0), (2, 1), True),
    ((2, 2, 7, 8), (2, 3), (3, 2), (1, 1), (3, 2), False),  # windows that step over cells, cells in no window
    ((1, 5, 4, 4), (4, 4), (1, 1), (0, 0), (1, 1), False),
    ((1, 4, 3, 3), (1, 1), (2, 2), (0, 0), (1, 1), False),
]


def ties(run, *size):
    """Small whole numbers, below 0: many are equal, and a padding of 0 would win."""
    return run.rng.integers(-4, 0, size).astype(run.dtype)


@pytest.mark.parametrize("case", POOLS)
def test_max_pool2d(run, case):
    s = pool_shape("max_pool2d", *case)
    x, g = ties(run, *s.x), run.normal(*s.y)
    x[0, 0, 1, 1], x[0, 1] = np.nan, -np.inf
    y, where = run.empty(*last(g).shape), np.full(last(g).shape, DEAD, np.uint8)
    run("pool", "max_pool2d", np.array(s, SIZES)[()], last(x), y, where)
    want, at = reference.max_pool2d(x, s)
    np.testing.assert_array_equal(first(y), want)
    np.testing.assert_array_equal(first(where), at)
    gx = run.empty(*last(x).shape)
    run("pool", "max_pool2d_grad", np.array(s, SIZES)[()], last(g), where, gx)
    run.close(first(gx), reference.max_pool2d_grad(g, at, s))


def test_max_pool2d_of_a_window_too_large_for_bytes(run):
    s = pool_shape("max_pool2d", (1, 4, 18, 17), (17, 17), (1, 1), (0, 0))
    x = np.sort(run.normal(*s.x), axis=2)  # the largest stands low in the window
    y, where = run.empty(1, 2, 1, 4), np.zeros((1, 2, 1, 4), np.int32)
    run("pool", "max_pool2d", np.array(s, SIZES)[()], last(x), y, where, WHERE="int")
    want, at = reference.max_pool2d(x, s)
    assert at.max() > 255
    np.testing.assert_array_equal(first(y), want)
    np.testing.assert_array_equal(first(where), at)


@pytest.mark.parametrize("per_window", [True, False])
@pytest.mark.parametrize("case", POOLS)
def test_avg_pool2d(run, case, per_window):
    s = pool_shape("avg_pool2d", *case)
    x, g = run.normal(*s.x), run.normal(*s.y)
    count = run.rng.integers(1, 9, (s.OH, s.OW) if per_window else (1, 1)).astype(run.dtype)
    y, gx = run.empty(*last(g).shape), run.empty(*last(x).shape)
    run("pool", "avg_pool2d", np.array(s, SIZES)[()], last(x), count, count.size, y)
    run("pool", "avg_pool2d_grad", np.array(s, SIZES)[()], last(g), count, count.size, gx)
    run.close(first(y), reference.avg_pool2d(x, count, s))
    run.close(first(gx), reference.avg_pool2d_grad(g, count, s))


# ---------------------------------------------------------------- after a convolution

BOUNDS = [(0.0, np.inf), (0.0, 1.0), (-np.inf, np.inf)]  # ReLU, ReLU6 on small numbers, none
IMAGES = [((2, 3, 5, 7), (2, 2)), ((1, 8, 6, 4), (2, 2)), ((2, 4, 7, 5), (3, 2)), ((1, 2, 2, 3), (1, 1))]


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize(("size", "window"), IMAGES)
def test_bias_clamp_max_pool2d(run, size, window, bounds):
    C = size[1]
    x, b = run.normal(*size), run.normal(C)
    x[0, 0, 1, 1] = np.nan
    w = np.ones((C, 1, 1, 1), run.dtype)  # passes each channel on as it is: what follows shows
    s = conv_shape(size, w.shape, (1, 1), (0, 0), (1, 1), C)
    want, at = reference.conv2d_max_pool2d(x, w, b, s, window, *bounds)
    g = run.normal(*want.shape)
    y, where, gx = run.empty(*last(g).shape), np.zeros(last(g).shape, np.uint8), run.empty(*last(x).shape)
    tiles = np.array((*size, *window, *want.shape[2:]), TILES)[()]
    run("elementwise", "bias_clamp_max_pool2d", tiles, last(x), b, *bounds, y, where)
    run("elementwise", "bias_clamp_max_pool2d_grad", tiles, last(g), where, gx)
    np.testing.assert_array_equal(first(y), want)
    np.testing.assert_array_equal(first(where), at)
    want_gx, _, want_gb = reference.conv2d_max_pool2d_grad(g, at, None, w, s, window)
    run.close(first(gx), want_gx)
    run.close(bias_grad(run, last(g), where), want_gb)


def bias_grad(run, g, where, slabs=3):
    """Both steps; g and where (…,C)."""
    C = g.shape[-1]
    rows, parts, gb = g.size // C, run.empty(slabs, C), run.empty(C)
    run("elementwise", "bias_grad", rows, C, g, where, parts, grid=(-(-C // 32), slabs), block=(32, 8))
    run("elementwise", "bias_grad_sum", slabs, C, parts, gb, grid=(-(-C // 32),), block=(32,))
    return gb


@pytest.mark.parametrize("C", [1, 33, 70])
def test_bias_grad(run, C):
    g = run.normal(101, C)
    run.close(bias_grad(run, g, None), g.sum(0))


@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("size", [(2, 5, 3, 7), (2, 3, 1, 4), (1, 1, 1, 3)])  # (N,H,W,C)
def test_bias_clamp(run, size, bounds):
    x, b, g = run.normal(*size), run.normal(size[-1]), run.normal(*size)
    x[0, 0, 0, 0] = np.nan
    y, gx = x.copy(), g.copy()  # in place
    run("elementwise", "bias_clamp", np.int64(x.size), size[-1], y, b, *bounds, y)
    run("elementwise", "bias_clamp_grad", np.int64(x.size), gx, y, *bounds, gx)
    want = np.clip(x + b, *bounds)
    np.testing.assert_array_equal(y, want)
    np.testing.assert_array_equal(gx, np.where((want <= bounds[0]) | (want >= bounds[1]), 0, g))  # NaN passes


# ---------------------------------------------------------------- loss


@pytest.mark.parametrize(("R", "C"), [(1, 1), (7, 2), (37, 3), (5, 10), (3, 32), (9, 33), (2, 150)])
def test_cross_entropy(run, R, C):
    x, w, g, t = run.normal(R, C) * 9, run.normal(R) ** 2, run.normal(R), run.rng.integers(0, C, R)
    x[0] += 1000  # e^1000 is no number
    if C > 1:
        x[0, t[0]] = -1000  # and p[t] is 0
        x[-1, t[-1] - 1] = -np.inf
    loss, p, gx, loss_2, gx_2 = (run.empty(*size) for size in ((R,), (R, C), (R, C), (R,), (R, C)))
    blocks = {"grid": (-(-R * min(32, 2 * C) // 64),)}
    run("loss", "cross_entropy", R, C, x, t, w, loss, p, **blocks)
    run("loss", "cross_entropy_grad", R, C, g, p, t, w, gx, **blocks)
    run("loss", "cross_entropy_step", R, C, x, t, w, g, loss_2, gx_2, **blocks)
    want, want_p = reference.cross_entropy(x[:, :, None], t[:, None], w[:, None])
    want_gx = reference.cross_entropy_grad(g[:, None], want_p, t[:, None], w[:, None])
    run.close(p, want_p[:, :, 0])
    for got in (loss, loss_2):
        run.close(got, want[:, 0])
    for got in (gx, gx_2):
        run.close(got, want_gx[:, :, 0])


# ---------------------------------------------------------------- dropout


def philox(counter, key):
    """Philox 4x32-10 as its article has it, for one counter of four words and a key of two."""
    c, (k0, k1) = list(counter), key
    for _ in range(10):
        a, b = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
        c = [b >> 32 ^ c[1] ^ k0, b & 0xFFFFFFFF, a >> 32 ^ c[3] ^ k1, a & 0xFFFFFFFF]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c


def draws(seed, at, n):
    key = seed & 0xFFFFFFFF, seed >> 32
    counters = range(at // 4, at // 4 + -(-n // 4))
    words = [w for k in counters for w in philox((k & 0xFFFFFFFF, k >> 32, 0, 0), key)]
    return np.array([w >> 8 for w in words[:n]]) / 2**24


def test_philox_is_philox():  # the answers published with Random123
    ones = 0xFFFFFFFF
    assert philox((0, 0, 0, 0), (0, 0)) == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]
    assert philox((ones,) * 4, (ones,) * 2) == [0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD]
    pi = (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344)
    assert philox(pi, (0xA4093822, 0x299F31D0)) == [0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1]


@pytest.mark.parametrize("n", [1, 999])
@pytest.mark.parametrize(("seed", "at"), [(0, 0), (2**63 + 12345, 2**34 + 8)])
def test_uniform(run, seed, at, n):
    stream, y = np.array([(seed, at)], STREAM), run.empty(n)
    run("dropout", "uniform", np.int64(n), y, stream, np.uint64(12))
    np.testing.assert_array_equal(y, draws(seed, at + 12, n).astype(run.dtype))
    run("dropout", "advance", stream, np.uint64(1000), grid=(1,), block=(1,))
    assert stream["at"] == at + 1000


@pytest.mark.parametrize("p", [0.0, 0.3, draws(7, 68, 3)[2], 1.0])  # the third: u = p is kept
@pytest.mark.parametrize("n", [3, 1000, 1001])
def test_dropout_and_its_gradient_drop_the_same(run, n, p):
    stream, x, g = np.array([(7, 64)], STREAM), run.normal(n), run.normal(n)
    y, gx = run.empty(n), g.copy()  # the gradient in place
    p, scale = float(p), 1 / (1 - float(p)) if p < 1 else 0.0
    for source, out in ((x, y), (gx, gx)):
        run("dropout", "dropout", np.int64(n), source, out, p, scale, stream, np.uint64(4))
    kept = draws(7, 68, n).astype(run.dtype) >= run.dtype(p)
    np.testing.assert_array_equal(y, np.where(kept, x * run.dtype(scale), 0))
    np.testing.assert_array_equal(gx, np.where(kept, g * run.dtype(scale), 0))
    if n > 100:
        assert abs(kept.mean() - (1 - p)) < 0.05
