"""The CuPy backend's images and matrices: its host code, run on a stand-in for CuPy, against the plain loops."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from math import inf
from pathlib import Path

import numpy as np
import pytest

from tinymed.kernels import cupy_conv, cupy_launch, cupy_matmul, cupy_pool, reference
from tinymed.kernels.shapes import DEAD, conv_shape, pool_shape

LIMITS = {"tf32": 1e-3, "float": 1e-5, "double": 1e-12}  # the largest relative error
LAYOUTS = "channels first", "channels last", "every second image"


@pytest.fixture
def cp(on_cpu, monkeypatch):
    """The stand-in, in force for one test."""
    name = "gpu_fake_cupy"
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name("fake_cupy.py"))
    sys.modules[name] = fake = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fake)
    return fake.install(monkeypatch, on_cpu.CPUModule)


@pytest.fixture(params=LIMITS)
def kind(request, monkeypatch):
    monkeypatch.setattr(cupy_launch, "allow_tf32", request.param == "tf32")
    return request.param


def normal(*shape, seed=0):
    return np.random.default_rng((seed, *shape)).standard_normal(shape)


def on_device(cp, array, kind, layout=LAYOUTS[0]):
    """The same numbers in memory, laid out in one of three ways."""
    array = array.astype(np.float64 if kind == "double" else np.float32)
    if array.ndim < 4 or layout == "channels first":
        return cp.asarray(array)
    if layout == "channels last":
        return cp.asarray(np.ascontiguousarray(array.transpose(0, 2, 3, 1))).transpose(0, 3, 1, 2)
    return cp.asarray(array.repeat(2, axis=0))[::2]


def close(got, want, kind):
    got = got.get()
    assert got.dtype == (np.float64 if kind == "double" else np.float32)
    assert got.shape == want.shape
    assert np.linalg.norm(got - want) <= LIMITS[kind] * np.linalg.norm(want)  # NaN is not <=


def channels_last(x):
    assert x.transpose(0, 2, 3, 1).flags.c_contiguous


# ---------------------------------------------------------------- convolution

CONVOLUTIONS = {  # x, w, stride, padding, dilation, groups
    "plain": ((2, 4, 6, 5), (8, 4, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    "odd channels, stride 2x1": ((2, 3, 7, 5), (5, 3, 3, 2), (2, 1), (1, 0), (1, 1), 1),
    "dilation, groups": ((1, 8, 8, 7), (12, 4, 2, 3), (2, 3), (2, 1), (1, 2), 2),
    "x in fours, y not": ((1, 4, 5, 6), (6, 4, 3, 3), (1, 2), (1, 1), (1, 1), 1),
    "same, even kernel": ((1, 1, 5, 6), (4, 1, 4, 2), (1, 1), "same", (1, 1), 1),
    "depthwise": ((2, 6, 5, 5), (6, 1, 3, 3), (1, 1), (1, 1), (1, 1), 6),
    "stride beyond the kernel": ((1, 4, 9, 8), (4, 4, 2, 2), (3, 3), (0, 0), (1, 1), 1),
    "one pixel": ((1, 5, 1, 1), (3, 5, 1, 1), (1, 1), (0, 0), (1, 1), 1),
}
WAYS = [(case, LAYOUTS[k % 3]) for k, case in enumerate(CONVOLUTIONS)] + [("plain", way) for way in LAYOUTS[1:]]


@pytest.mark.parametrize(("case", "layout"), WAYS)
def test_conv2d_and_its_gradients(cp, kind, case, layout):
    s = conv_shape(*CONVOLUTIONS[case])
    x, w, b, g = normal(*s.x), normal(*s.w), normal(s.O), normal(*s.y, seed=1)
    X, W, B, G = (on_device(cp, a, kind, layout) for a in (x, w, b, g))
    y, bare = cupy_conv.conv2d(X, W, B, s), cupy_conv.conv2d(X, W, None, s)
    close(y, reference.conv2d(x, w, b, s), kind)
    close(bare, reference.conv2d(x, w, None, s), kind)
    gx, gw, gb = cupy_conv.conv2d_grad(G, X, W, s)
    for got, want in zip((gx, gw, gb), reference.conv2d_grad(g, x, w, s)):
        close(got, want, kind)
    channels_last(y)
    channels_last(gx)
    assert gw.flags.c_contiguous
    none_x, none_w, _ = cupy_conv.conv2d_grad(G, None, None, s)
    assert none_x is None
    assert none_w is None


@pytest.mark.parametrize("O", [64, 132])
def test_wide_blocks(cp, monkeypatch, O):
    """As large images have them: here any number of blocks is enough."""
    monkeypatch.setattr(cupy_conv, "RESIDENT", 2)
    s = conv_shape((1, 4, 3, 5), (O, 4, 2, 2), (1, 1), (0, 1), (1, 1), 1)
    x, w, g = normal(*s.x), normal(*s.w), normal(*s.y)
    X, W, G = (on_device(cp, a, "tf32") for a in (x, w, g))
    close(cupy_conv.conv2d(X, W, None, s), reference.conv2d(x, w, None, s), "tf32")
    for got, want in zip(cupy_conv.conv2d_grad(G, X, W, s), reference.conv2d_grad(g, x, w, s)):
        close(got, want, "tf32")


def test_many_slices(cp, kind):
    """Images enough that the weight gradient and the bias gradient are cut up."""
    s = conv_shape((3, 4, 17, 13), (4, 4, 1, 1), (1, 1), (0, 0), (1, 1), 1)
    x, g = normal(*s.x), normal(*s.y, seed=1)
    _, gw, gb = cupy_conv.conv2d_grad(on_device(cp, g, kind), on_device(cp, x, kind), None, s)
    close(gw, np.einsum("nohw,nchw->oc", g, x)[:, :, None, None], kind)
    close(gb, g.sum((0, 2, 3)), kind)


def test_many_blocks(cp, kind):
    """More pixels than a block takes, in y and in each phase of ∂L/∂x, by less than one in two rows."""
    s = conv_shape((1, 4, 23, 23), (4, 4, 1, 1), (2, 2), (0, 0), (1, 1), 1)
    x, w, g = normal(*s.x), normal(*s.w), normal(*s.y)
    X, W, G = (on_device(cp, a, kind) for a in (x, w, g))
    close(cupy_conv.conv2d(X, W, None, s), reference.conv2d(x, w, None, s), kind)
    close(cupy_conv.conv2d_input_grad(G, W, s), reference.conv2d_input_grad(g, w, s), kind)


def test_where_tensor_cores_are_used(cp, monkeypatch):
    used = []
    kernel = cupy_launch._kernel
    monkeypatch.setattr(cupy_launch, "_kernel", lambda *a: used.append(a[0]) or kernel(*a))

    def sources(dtype, w=(4, 4, 1, 1), groups=1):
        s = conv_shape((1, 4, 3, 3), w, (1, 1), (0, 0), (1, 1), groups)
        x, w, g = (cp.ones(shape, dtype) for shape in (s.x, s.w, s.y))
        used.clear()
        cupy_conv.conv2d(x, w, None, s)
        cupy_conv.conv2d_input_grad(g, w, s)
        cupy_conv.conv2d_weight_grad(x, g, s)
        return set(used)

    assert sources(np.float32) == {"conv"}
    assert sources(np.float32, (4, 2, 1, 1), 2) == {"conv"}
    assert sources(np.float32, (8, 1, 1, 1), 4) == {"conv_simple"}  # depthwise
    assert sources(np.float64) == {"conv_simple"}
    monkeypatch.setattr(cp.cuda.Device, "compute_capability", "75")  # Turing has no TF32
    assert sources(np.float32) == {"conv_simple"}
    monkeypatch.setattr(cp.cuda.Device, "compute_capability", "120")
    monkeypatch.setattr(cupy_launch, "allow_tf32", True)  # to be put back
    cupy_launch.set_allow_tf32(False)
    assert sources(np.float32) == {"conv_simple"}


@pytest.mark.parametrize(("channels", "columns", "width"), [(1, 20, 32), (4, 33, 64), (8, 100, 128), (4, 300, 128)])
def test_widths_and_copies(cp, channels, columns, width):
    x = cp.zeros((1, 2, 2, channels), np.float32)
    macros, shared, grid = cupy_conv._product(x, channels, 1 << 16, columns, 1)
    assert macros == {"COLS": width, "VEC": 4 if channels % 4 == 0 else 1}
    assert shared == 12 * 20 * (128 + width)
    assert grid == (512, -(-columns // width), 1)
    assert cupy_conv._product(x, channels, 128, columns, 1)[0]["COLS"] == 32  # few blocks: more of narrow ones
    flat = cp.zeros(4 * channels + 1, np.float32)
    assert cupy_conv._vector(flat[1:], channels) == 1  # at no multiple of 16 bytes


FUSED = [  # convolution, window, bounds
    ("plain", (2, 2), (0.0, inf)),
    ("odd channels, stride 2x1", (3, 2), (0.0, 1.0)),
    ("depthwise", (1, 1), (-inf, inf)),
    ("x in fours, y not", (2, 3), (-0.5, 0.5)),
]


@pytest.mark.parametrize("with_bias", [True, False])
@pytest.mark.parametrize(("case", "window", "bounds"), FUSED)
def test_conv2d_max_pool2d_and_its_gradients(cp, kind, case, window, bounds, with_bias):
    s = conv_shape(*CONVOLUTIONS[case])
    x, w, b = normal(*s.x), normal(*s.w), normal(s.O) if with_bias else None
    X, W, B = (None if a is None else on_device(cp, a, kind, "channels last") for a in (x, w, b))
    y, where = cupy_conv.conv2d_max_pool2d(X, W, B, s, window, *bounds)
    want, at = reference.conv2d_max_pool2d(x, w, b, s, window, *bounds)
    close(y, want, kind)
    np.testing.assert_array_equal(where.get(), at)
    channels_last(y)
    g = normal(*want.shape, seed=2)
    for layout in LAYOUTS[:2]:
        got = cupy_conv.conv2d_max_pool2d_grad(on_device(cp, g, kind, layout), where, X, W, s, window)
        for a, b in zip(got, reference.conv2d_max_pool2d_grad(g, at, x, w, s, window)):
            close(a, b, kind)
    gx, gw, _ = cupy_conv.conv2d_max_pool2d_grad(on_device(cp, g, kind), where, None, None, s, window)
    assert gx is None
    assert gw is None


def test_a_bound_that_cuts_all(cp):
    s = conv_shape((1, 1, 2, 2), (1, 1, 1, 1), (1, 1), (0, 0), (1, 1), 1)
    x, w = cp.full(s.x, -1, np.float32), cp.ones(s.w, np.float32)
    y, where = cupy_conv.conv2d_max_pool2d(x, w, None, s, (2, 2), 0.0, inf)
    assert (y.item(), where.item()) == (0, DEAD)
    for part in cupy_conv.conv2d_max_pool2d_grad(cp.ones_like(y), where, x, w, s, (2, 2)):
        assert not part.get().any()


# ---------------------------------------------------------------- pooling

POOLS = [  # x, kernel, stride, padding, dilation, ceil_mode
    ((2, 3, 5, 7), (2, 2), (2, 2), (0, 0), (1, 1), False),  # a stride that does not divide
    ((2, 4, 6, 5), (3, 2), (2, 1), (1, 1), (1, 1), False),  # overlapping, rectangular
    ((1, 8, 7, 6), (2, 3), (1, 2), (1, 0), (2, 1), True),
    ((1, 2, 7, 8), (2, 3), (3, 2), (1, 1), (3, 2), False),  # windows that step over cells
]
EXACT = ["float", "double"]


@pytest.mark.parametrize(("kind", "layout", "case"), list(itertools.product(EXACT, LAYOUTS, POOLS)))
def test_max_pool2d(cp, kind, layout, case):
    s = pool_shape("max_pool2d", *case)
    x, g = np.floor(normal(*s.x) * 2) - 9, normal(*s.y, seed=1)  # ties, all below 0
    x[0, 0, 1, 1], x[0, 1] = np.nan, -inf
    y, where = cupy_pool.max_pool2d(on_device(cp, x, kind, layout), s)
    want, at = reference.max_pool2d(x, s)
    np.testing.assert_array_equal(y.get(), want)
    np.testing.assert_array_equal(where.get(), at)
    channels_last(y)
    G = on_device(cp, g, kind, layout)
    close(cupy_pool.max_pool2d_grad(G, where, s), reference.max_pool2d_grad(g, at, s), kind)
    gx = cupy_pool.max_pool2d_grad(G, cp.asarray(at.astype(np.int64)), s)  # whoever counted
    close(gx, reference.max_pool2d_grad(g, at, s), kind)


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
    s = pool_shape("avg_pool2d", *case)
    x, g = normal(*s.x), normal(*s.y, seed=1)
    X, G = on_device(cp, x, kind, layout), on_device(cp, g, kind, layout)
    counts = np.random.default_rng(0).integers(1, 9, (s.OH, s.OW))
    for count in (counts, counts[:1, :1], counts[::-1], cp.asarray(counts)):
        of_host = count if isinstance(count, np.ndarray) else count.get()
        y = cupy_pool.avg_pool2d(X, count, s)
        close(y, reference.avg_pool2d(x, of_host, s), kind)
        channels_last(y)
        close(cupy_pool.avg_pool2d_grad(G, count, s), reference.avg_pool2d_grad(g, of_host, s), kind)


# ---------------------------------------------------------------- matrices

PRODUCTS = [  # a, b
    ((5, 7), (7, 3)),
    ((1, 1), (1, 1)),
    ((40, 33), (33, 70)),
    ((3, 5, 4), (4, 6)),
    ((5, 4), (2, 4, 6)),
    ((2, 1, 5, 4), (3, 4, 6)),
    ((0, 4), (4, 3)),
]


@pytest.mark.parametrize("turned", list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize(("kind", "of_a", "of_b"), [(kind, *p) for kind in EXACT for p in PRODUCTS])
def test_products(cp, kind, of_a, of_b, turned):
    a, b = normal(*of_a), normal(*of_b, seed=1)
    A, B = (
        on_device(cp, m.swapaxes(-1, -2).copy(), kind).swapaxes(-1, -2) if t else on_device(cp, m, kind)
        for m, t in zip((a, b), turned)
    )
    for product in (cupy_matmul.matmul, cupy_matmul.gemm):
        close(product(A, B), reference.matmul(a, b), kind)


def test_gemm_of_slices_and_of_unlike_widths(cp):
    a, b = normal(6, 8), normal(4, 5)
    A, B = cp.asarray(a)[::2, ::2], cp.asarray(b.astype(np.float32))
    close(cupy_matmul.gemm(A, B), a[::2, ::2] @ b.astype(np.float32), "double")


def test_tiles():
    f4, f8 = np.dtype(np.float32), np.dtype(np.float64)
    assert [cupy_matmul._tile(n, n, 1, f4) for n in (64, 1024, 4096)] == [32, 32, 128]
    assert cupy_matmul._tile(4096, 4096, 1, f8) == 64
    assert cupy_matmul._tile(64, 64, 300, f4) == 128


# ---------------------------------------------------------------- what is refused


def test_refusals(cp):
    s = conv_shape((1, 4, 3, 3), (4, 4, 1, 1), (1, 1), (0, 0), (1, 1), 1)
    x, w = cp.ones(s.x, np.float32), cp.ones(s.w, np.float32)
    with pytest.raises(TypeError, match="float32 or float64, got int64"):
        cupy_conv.conv2d(x.astype(np.int64), w, None, s)
    with pytest.raises(TypeError, match="float32 or float64, got float16"):
        cupy_pool.avg_pool2d(x.astype(np.float16), np.ones((1, 1)), pool_shape("p", s.x, (1, 1), (1, 1), (0, 0)))
    with pytest.raises(TypeError, match="an array of float64 where float32"):
        cupy_conv.conv2d(x, w.astype(np.float64), None, s)
    with pytest.raises(TypeError, match=r"a Python int has no width in C; pass np.int32\(3\)"):
        cupy_launch.run("loss", "softmax", (1,), (32,), 3, np.int32(1), x, x)
    with pytest.raises(ValueError, match="memory, not strides"):
        cupy_launch.run("loss", "softmax", (1,), (32,), np.int32(3), np.int32(1), x[:, :, ::2], x)
    with pytest.raises(ValueError, match="take fewer images"):
        cupy_conv._sizes(s._replace(N=1 << 28))
    with pytest.raises(ValueError, match=r"window \(4, 1\) is larger than the image 3 x 3"):
        cupy_conv.conv2d_max_pool2d(x, w, None, s, (4, 1), 0.0, inf)
    with pytest.raises(ValueError, match=r"5 columns of a .* meet 4 rows of b"):
        cupy_matmul.gemm(cp.ones((2, 5)), cp.ones((4, 2)))


def test_the_stand_in_refuses_what_cupy_refuses(cp):
    x, n = cp.ones(3), np.ones(3)
    for mix in (
        lambda: x + n,
        lambda: n + x,
        lambda: cp.add(n, x),
        lambda: np.asarray(x),
        lambda: np.concatenate([x, n]),
    ):
        with pytest.raises(TypeError, match=r"Unsupported type|Implicit conversion"):
            mix()
    code = 'extern "C" __global__ void race(int* y) { y[0] = threadIdx.x; }'
    race = cp.RawKernel(code, "race")
    with pytest.raises(RuntimeError, match="which thread runs first"):
        race((1,), (64,), (cp.zeros(1, np.int32),))
    with pytest.raises(TypeError, match="is not on the GPU"):
        race((1,), (64,), (np.zeros(1, np.int32),))


def test_the_text_of_a_source(cuda_source):
    for path in Path(cupy_launch.__file__).with_name("cuda").glob("*.cu"):
        assert cupy_launch.text(path.stem) == cuda_source(path.stem)
