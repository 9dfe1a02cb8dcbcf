"""The same cases over every backend, against the plain loops; and the registry."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import tinymed
import tinymed.optim
from tinymed import kernels, nn
from tinymed.kernels import reference
from tinymed.kernels.shapes import conv_shape, pool_shape

ROOT = Path(__file__).parent.parent


@pytest.fixture(params=kernels.BACKENDS)
def backend(request):
    module = kernels.load(request.param)
    usable, reason = module.available()
    if not usable:
        pytest.skip(f"{request.param}: {reason}")
    return module


def test_every_backend_has_every_name(backend):
    assert [name for name in kernels.NAMES if not callable(getattr(backend, name, None))] == []


def agree(got, want, dtype):
    tolerance = 1e-10 if dtype == np.float64 else 1e-4
    for a, b in zip(*(y if isinstance(y, tuple) else (y,) for y in (got, want)), strict=True):
        assert a.shape == b.shape
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


CONVS = [  # x, w, stride, padding, dilation, groups
    ((2, 3, 5, 4), (4, 3, 3, 2), (1, 1), (0, 0), (1, 1), 1),
    ((2, 2, 6, 5), (2, 2, 2, 3), (2, 3), (1, 2), (1, 1), 1),
    ((1, 4, 5, 5), (6, 2, 3, 3), (2, 1), (1, 1), (2, 1), 2),
    ((2, 3, 4, 4), (3, 1, 2, 2), (3, 3), (0, 1), (1, 2), 3),
    ((2, 2, 4, 5), (3, 2, 2, 4), (1, 1), "same", (3, 1), 1),
    ((1, 1, 3, 3), (1, 1, 1, 1), (2, 2), "valid", (1, 1), 1),
    ((1, 2, 3, 3), (2, 2, 3, 3), (1, 1), (0, 0), (1, 1), 1),
]
LAYOUTS = {
    "plain": lambda a: a,
    "strided": lambda a: np.repeat(np.repeat(a, 2, -1), 2, 0)[::2, ..., ::2],
    "channels last": lambda a: np.ascontiguousarray(np.moveaxis(a, 1, -1)).transpose(
        0, a.ndim - 1, *range(1, a.ndim - 1)
    ),
    "backwards": lambda a: np.ascontiguousarray(a[..., ::-1])[..., ::-1],
}


def frozen(a, layout):
    a = LAYOUTS[layout](a)
    a.flags.writeable = False
    return a


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", CONVS)
def test_convolutions(backend, case, dtype, layout):
    s = conv_shape(*case)
    rng = np.random.default_rng(0)
    x, w, g = (frozen(rng.standard_normal(size).astype(dtype), layout) for size in (s.x, s.w, s.y))
    b = rng.standard_normal(s.O).astype(dtype)
    agree(backend.conv2d(x, w, b, s), reference.conv2d(x, w, b, s), dtype)
    agree(backend.conv2d(x, w, None, s), reference.conv2d(x, w, None, s), dtype)
    agree(backend.conv2d_input_grad(g, w, s), reference.conv2d_input_grad(g, w, s), dtype)
    agree(backend.conv2d_weight_grad(x, g, s), reference.conv2d_weight_grad(x, g, s), dtype)
    agree(backend.conv2d_grad(g, x, w, s), reference.conv2d_grad(g, x, w, s), dtype)
    window = min(s.OH, 2), min(s.OW, 3)
    y, where = backend.conv2d_max_pool2d(x, w, b, s, window, 0.0, 1.0)
    expected, place = reference.conv2d_max_pool2d(x, w, b, s, window, 0.0, 1.0)
    agree(y, expected, dtype)
    np.testing.assert_array_equal(where, place)
    g = rng.standard_normal(y.shape).astype(dtype)
    got, want = (k.conv2d_max_pool2d_grad(g, place, x, w, s, window) for k in (backend, reference))
    agree(got, want, dtype)


POOLS = [  # kernel, stride, padding, dilation, ceil_mode
    *itertools.product([(2, 2), (3, 2)], [(1, 1), (2, 3)], [(0, 0), (1, 1)], [(1, 1)], [False, True]),
    ((2, 3), (1, 2), (1, 0), (2, 1), False),
    ((2, 2), (3, 3), (0, 0), (1, 1), False),
    ((5, 6), (1, 1), (0, 0), (1, 1), False),
]
IMAGES = {
    "normal": lambda rng, size: rng.standard_normal(size),
    "ties": lambda rng, size: rng.integers(0, 2, size).astype(float),
    "negative": lambda rng, size: -1 - rng.random(size),
    "-inf": lambda rng, size: np.full(size, -np.inf),
    "nan": lambda rng, size: np.where(rng.random(size) < 0.2, np.nan, rng.standard_normal(size)),
}


@pytest.mark.parametrize("image", IMAGES)
@pytest.mark.parametrize("case", POOLS)
def test_max_pooling(backend, case, image):
    s = pool_shape("max_pool2d", (2, 2, 5, 6), *case)
    rng = np.random.default_rng(0)
    x, g = frozen(IMAGES[image](rng, s.x), "channels last"), frozen(rng.standard_normal(s.y), "strided")
    y, where = backend.max_pool2d(x, s)
    expected, place = reference.max_pool2d(x, s)
    np.testing.assert_array_equal(y, expected)
    if image != "nan":  # which of several NaN is the largest is nobody's business
        np.testing.assert_array_equal(where, place)
        agree(backend.max_pool2d_grad(g, where, s), reference.max_pool2d_grad(g, place, s), np.float64)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("case", POOLS)
def test_average_pooling(backend, case, dtype):
    s = pool_shape("avg_pool2d", (2, 2, 5, 6), *case)
    rng = np.random.default_rng(0)
    x, g = (frozen(rng.standard_normal(size).astype(dtype), "backwards") for size in (s.x, s.y))
    for count in (np.full((1, 1), 3, dtype), rng.integers(1, 5, (s.OH, s.OW)).astype(dtype)):
        agree(backend.avg_pool2d(x, count, s), reference.avg_pool2d(x, count, s), dtype)
        agree(backend.avg_pool2d_grad(g, count, s), reference.avg_pool2d_grad(g, count, s), dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(
    ("a", "b"), [((2, 3), (3, 4)), ((1, 1), (1, 1)), ((5, 2, 3), (3, 2)), ((2, 1, 2, 3), (4, 3, 2))]
)
def test_matmul(backend, a, b, dtype):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(size).astype(dtype) for size in (a, b))
    agree(backend.matmul(a, b), reference.matmul(a, b), dtype)
    turned = a.swapaxes(-1, -2).copy().swapaxes(-1, -2)
    agree(backend.matmul(turned, b), reference.matmul(a, b), dtype)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("N", "C", "P"), [(1, 2, 1), (5, 3, 1), (300, 17, 1), (2, 4, 7)])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_cross_entropy(backend, N, C, P, dtype, layout):
    rng = np.random.default_rng(0)
    x = LAYOUTS[layout]((30 * rng.standard_normal((N, C, P))).astype(dtype))  # so far apart that some p are 0
    t, w = rng.integers(0, C, (len(x), x.shape[2])), rng.random((len(x), x.shape[2])).astype(dtype)
    loss, p = backend.cross_entropy(x, t, w)
    agree((loss, p), reference.cross_entropy(x, t, w), dtype)
    agree(backend.cross_entropy_grad(w, p, t, w), reference.cross_entropy_grad(w, p, t, w), dtype)


def test_an_infinite_gradient_goes_to_one_cell(backend):
    s = pool_shape("max_pool2d", (1, 1, 4, 4), (3, 3), (1, 1), (0, 0))
    x, g = np.arange(16.0).reshape(s.x), np.ones(s.y)
    g[0, 0, 0, 0] = np.inf
    where = backend.max_pool2d(x, s)[1]
    np.testing.assert_array_equal(backend.max_pool2d_grad(g, where, s), reference.max_pool2d_grad(g, where, s))


@pytest.mark.parametrize("window", [(1, 1), (2, 2), (1, 3)])
@pytest.mark.parametrize(("low", "high"), [(-np.inf, np.inf), (0.0, np.inf), (0.0, 6.0)])
def test_infinity_and_nan_pass_a_bound_that_is_none(backend, window, low, high):
    x = np.array([[-np.inf, 1.0, np.inf, 2.0, np.nan, 7.0], [0.0, -1.0, 3.0, 6.0, -2.0, np.nan]]).reshape(1, 1, 2, 6)
    w = np.ones((1, 1, 1, 1))
    s = conv_shape(x.shape, w.shape, (1, 1), (0, 0), (1, 1), 1)
    got, want = (module.conv2d_max_pool2d(x, w, None, s, window, low, high) for module in (backend, reference))
    for a, b in zip(got, want):
        np.testing.assert_array_equal(a, b)


def test_a_stack_of_no_matrices(backend):
    assert backend.matmul(np.ones((0, 99, 99)), np.ones((0, 99, 99))).shape == (0, 99, 99)


def test_types_that_no_compiler_takes(backend):
    """float16 is computed all the same; integers have a largest, too."""
    s, p = (
        conv_shape((1, 2, 5, 5), (2, 2, 3, 3), (1, 1), (1, 1), (1, 1), 1),
        pool_shape("m", (1, 2, 5, 5), (2, 2), (2, 2), (0, 0)),
    )
    rng = np.random.default_rng(0)
    x, w, g = (rng.standard_normal(size).astype(np.float16) for size in (s.x, s.w, s.y))
    for got, want in (
        (backend.conv2d(x, w, None, s), reference.conv2d(x, w, None, s)),
        (backend.conv2d_grad(g, x, w, s)[1], reference.conv2d_grad(g, x, w, s)[1]),
        (backend.max_pool2d(x, p)[0], reference.max_pool2d(x, p)[0]),
        (backend.matmul(x, x), reference.matmul(x, x)),
    ):
        assert got.dtype == np.float16
        np.testing.assert_allclose(got.astype(float), want.astype(float), atol=0.05)
    whole = rng.integers(0, 99, s.x)
    np.testing.assert_array_equal(backend.max_pool2d(whole, p)[0], reference.max_pool2d(whole, p)[0])


# ---------------------------------------------------------------- the registry


def test_a_library_that_cannot_be_imported_is_no_crash(monkeypatch):
    monkeypatch.setitem(kernels.BACKENDS, "broken", "no_such_module")
    usable, reason = kernels.available()["broken"]
    assert not usable
    assert "cannot be imported: No module named" in reason
    with pytest.raises(ValueError, match="'broken' cannot be used here: it cannot be imported"):
        tinymed.use_backend("broken")


def test_use_backend_for_a_block_and_for_good():
    before = kernels.get_backend()
    with tinymed.use_backend("reference"):
        assert tinymed.get_backend() == "reference"
        assert kernels.conv2d is reference.conv2d
        with tinymed.use_backend("numpy"):
            assert kernels.get_backend() == "numpy"
        assert kernels.get_backend() == "reference"
    assert kernels.get_backend() == before
    with pytest.raises(KeyError), tinymed.use_backend("reference"):
        raise KeyError
    assert kernels.get_backend() == before
    try:
        tinymed.use_backend("reference")
        assert kernels.get_backend() == "reference"
    finally:
        tinymed.use_backend(before)
    assert set(tinymed.backends()) == {*kernels.BACKENDS, *kernels.DEVICES}


def test_an_unknown_backend_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'torch'; there are: .*numpy.*reference"):
        tinymed.use_backend("torch")
    with pytest.raises(AttributeError, match="conv9d"):
        kernels.conv9d  # noqa: B018


def test_missing_kernels_fall_back_with_one_warning(monkeypatch):
    poor = types.ModuleType("tinymed.kernels.poor")
    poor.available = lambda: (True, "for this test")
    poor.matmul = reference.matmul
    monkeypatch.setitem(sys.modules, "tinymed.kernels.poor", poor)
    monkeypatch.setitem(kernels.BACKENDS, "poor", "poor")
    with pytest.warns(UserWarning, match="'poor' lacks conv2d, .*; 'numba' computes them"), tinymed.use_backend("poor"):
        assert kernels.matmul is reference.matmul
    poor.available = lambda: (False, "no such machine")
    with pytest.raises(ValueError, match="'poor' cannot be used here: no such machine"):
        tinymed.use_backend("poor")


@pytest.mark.parametrize("name", ["reference", "numpy", "none"])
def test_the_environment_chooses(name):
    code = "import tinymed; tinymed.ones(2, 2) @ tinymed.ones(2, 2); print(tinymed.get_backend())"
    env = os.environ | {"TINYMED_BACKEND": name}
    done = subprocess.run([sys.executable, "-c", code], env=env, cwd=ROOT, capture_output=True, text=True)
    if name == "none":
        assert "no backend is called 'none'" in done.stderr
    else:
        assert done.stdout.strip() == name


def test_a_network_trained_on_any_backend_is_the_same(backend):
    def train(name):
        tinymed.manual_seed(0)
        net = nn.Sequential(
            nn.Conv2d(1, 2, 3, padding=1),
            nn.ReLU6(),
            nn.MaxPool2d(2),
            nn.Conv2d(2, 2, 2),
            nn.AvgPool2d(2, 1),
            nn.Flatten(),
            nn.Linear(8, 3),
        )
        optimiser = tinymed.optim.Adam(net.parameters(), lr=0.01)
        with tinymed.use_backend(name):
            loss = nn.functional.cross_entropy(net(tinymed.randn(2, 1, 8, 8)), tinymed.tensor([0, 2]))
            loss.backward()
            optimiser.step()
        return [loss.detach().numpy()] + [p.detach().numpy() for p in net.parameters()]

    name = next(n for n in kernels.BACKENDS if kernels.load(n) is backend)
    for a, b in zip(train(name), train("reference")):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
