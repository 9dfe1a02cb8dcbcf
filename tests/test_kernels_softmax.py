"""Softmax of every backend against the plain loops, and those against the formula."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tinymed.kernels import BACKENDS, load, reference

SIZES = [(1, 1, 1), (5, 3, 1), (300, 17, 1), (1, 4, 7), (2, 3, 300), (0, 3, 1), (2, 3, 0)]  # N, C, P
DTYPES = [np.float32, np.float64]
BOTH = list(itertools.product(DTYPES, [False, True]))
NAN, INF = np.nan, np.inf
ROWS = [  # of which no sum is a number, or not every term is one
    *([-INF, 1, 2], [1, -INF, 2], [-INF, -INF, 3]),
    *([-INF, -INF, -INF], [INF, 1, 2], [1, 2, INF], [-INF, 0, INF], [NAN, 1, 2], [1, 2, NAN], [1, NAN, -INF]),
]


@pytest.fixture(params=BACKENDS)
def backend(request):
    module = load(request.param)
    usable, reason = module.available()
    if not usable:
        pytest.skip(f"{request.param}: {reason}")
    return module


def agree(got, want):
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    tolerance = 1e-12 if want.dtype == np.float64 else 1e-5
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


def draw(size, dtype, seed=0):
    return (9 * np.random.default_rng(seed).standard_normal(size)).astype(dtype)  # so far apart that some y are 0


@pytest.mark.parametrize(("dtype", "log"), BOTH)
def test_the_plain_loops_against_the_formula(dtype, log):
    x, g = draw((2, 3, 4), dtype), draw((2, 3, 4), dtype, 1)
    wide = x.astype(np.longdouble)
    y = np.exp(wide) / np.exp(wide).sum(1, keepdims=True)
    agree(reference.softmax(x, log), (np.log(y) if log else y).astype(dtype))
    jacobian = np.eye(3)[None, :, :, None] - y[:, None]  # ∂ ln y[i] / ∂ x[k]
    slope = jacobian if log else y[:, :, None] * jacobian
    want = np.einsum("nip,nikp->nkp", g, slope)
    agree(reference.softmax_grad(g, reference.softmax(x, log), log), want.astype(dtype))


@pytest.mark.parametrize(("dtype", "log"), BOTH)
@pytest.mark.parametrize("size", SIZES)
def test_against_the_plain_loops(backend, size, dtype, log):
    x, g = draw(size, dtype), draw(size, dtype, 1)
    if x.size:
        x[0] += 1000  # e^1000 is no number
    y = reference.softmax(x, log)
    agree(backend.softmax(x, log), y)
    agree(backend.softmax_grad(g, y, log), reference.softmax_grad(g, y, log))


@pytest.mark.parametrize("log", [False, True])
def test_memory_in_any_order_and_read_only(backend, log):
    x, g = draw((7, 3, 5), np.float32).transpose(2, 1, 0), draw((10, 3, 7), np.float32)[::2, :, ::-1]
    x.flags.writeable = g.flags.writeable = False
    y = backend.softmax(x, log)
    agree(y, reference.softmax(x, log))
    agree(backend.softmax_grad(g, y, log), reference.softmax_grad(g, y, log))


@pytest.mark.filterwarnings("ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize(("dtype", "log"), BOTH)
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_infinity_and_nan(backend, row, dtype, log):
    for x in (np.array([row], dtype)[:, :, None], np.array([row, [1, 2, 3]], dtype).T[None]):
        agree(backend.softmax(x, log), reference.softmax(x, log))


def test_half_as_wide(backend):
    x = draw((4, 5, 1), np.float16)
    y = backend.softmax(x, False)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y, reference.softmax(x.astype(float), False), atol=2e-3)
