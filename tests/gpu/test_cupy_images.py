"""The CuPy backend's convolutions against the plain loops: its host code on a stand-in for CuPy, and on a card.

On a card also of sizes for which the loops would take minutes: there NumPy's backend is the oracle.
"""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
from gpu_arrays import LAYOUTS, channels_last, close, normal, on_device

from tinymed.kernels import cupy_conv, cupy_launch, numpy_backend, reference
from tinymed.kernels.shapes import DEAD, conv_shape

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


LARGE_CONVOLUTIONS = [
    ((32, 1, 28, 28), (32, 1, 3, 3), (1, 1), (0, 0), (1, 1), 1),
    ((8, 64, 56, 56), (64, 64, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((8, 256, 14, 14), (256, 256, 3, 3), (1, 1), (1, 1), (1, 1), 1),
    ((2, 3, 112, 112), (64, 3, 7, 7), (2, 2), (3, 3), (1, 1), 1),
    ((4, 64, 29, 27), (130, 16, 3, 3), (2, 1), (1, 1), (1, 1), 4),
    ((4, 96, 28, 28), (96, 1, 5, 5), (1, 1), (2, 2), (1, 1), 96),
]


@pytest.mark.parametrize(("case", "layout"), WAYS)
def test_conv2d_and_its_gradients(cp, kind, case, layout):
    convolve(cp, kind, conv_shape(*CONVOLUTIONS[case]), layout, reference)


@pytest.mark.gpu
@pytest.mark.parametrize("case", LARGE_CONVOLUTIONS)
def test_large_convolutions(card, kind, case):
    convolve(card, kind, conv_shape(*case), "channels last", numpy_backend)


def convolve(cp, kind, s, layout, oracle):
    x, w, b, g = normal(*s.x), normal(*s.w), normal(s.O), normal(*s.y, seed=1)
    X, W, B, G = (on_device(cp, a, kind, layout) for a in (x, w, b, g))
    y, bare = cupy_conv.conv2d(X, W, B, s), cupy_conv.conv2d(X, W, None, s)
    close(y, oracle.conv2d(x, w, b, s), kind)
    close(bare, oracle.conv2d(x, w, None, s), kind)
    gx, gw, gb = cupy_conv.conv2d_grad(G, X, W, s)
    for got, want in zip((gx, gw, gb), oracle.conv2d_grad(g, x, w, s)):
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


def test_where_tensor_cores_are_used(stand_in, monkeypatch):
    used = []
    kernel = cupy_launch._kernel
    monkeypatch.setattr(cupy_launch, "_kernel", lambda *a: used.append(a[0]) or kernel(*a))

    def sources(dtype, w=(4, 4, 1, 1), groups=1):
        s = conv_shape((1, 4, 3, 3), w, (1, 1), (0, 0), (1, 1), groups)
        x, w, g = (stand_in.ones(shape, dtype) for shape in (s.x, s.w, s.y))
        used.clear()
        cupy_conv.conv2d(x, w, None, s)
        cupy_conv.conv2d_input_grad(g, w, s)
        cupy_conv.conv2d_weight_grad(x, g, s)
        return set(used)

    assert sources(np.float32) == {"conv"}
    assert sources(np.float32, (4, 2, 1, 1), 2) == {"conv"}
    assert sources(np.float32, (8, 1, 1, 1), 4) == {"conv_simple"}  # depthwise
    assert sources(np.float64) == {"conv_simple"}
    monkeypatch.setattr(stand_in.cuda.Device, "compute_capability", "75")  # Turing has no TF32
    assert sources(np.float32) == {"conv_simple"}
    monkeypatch.setattr(stand_in.cuda.Device, "compute_capability", "120")
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
