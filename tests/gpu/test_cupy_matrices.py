"""The CuPy backend's products of matrices, and what it refuses: its host code on a stand-in for CuPy, and on a card."""

from __future__ import annotations

import itertools
import tomllib
from math import inf
from pathlib import Path

import numpy as np
import pytest
from gpu_arrays import EXACT, close, normal, on_device

from tinymed.kernels import cupy_conv, cupy_launch, cupy_matmul, cupy_pool
from tinymed.kernels.shapes import conv_shape, pool_shape

PRODUCTS = [  # a, b
    ((5, 7), (7, 3)),
    ((1, 1), (1, 1)),
    ((40, 33), (33, 70)),
    ((3, 5, 4), (4, 6)),
    ((5, 4), (2, 4, 6)),
    ((2, 1, 5, 4), (3, 4, 6)),
    ((0, 4), (4, 3)),
]
LARGE_PRODUCTS = [((1000, 700), (700, 1100)), ((2048, 2048), (2048, 2048)), ((8, 129, 257), (8, 257, 65))]


@pytest.mark.parametrize("turned", list(itertools.product([False, True], repeat=2)))
@pytest.mark.parametrize(("kind", "of_a", "of_b"), [(kind, *p) for kind in EXACT for p in PRODUCTS])
def test_products(cp, kind, of_a, of_b, turned):
    multiply(cp, kind, of_a, of_b, turned)


@pytest.mark.gpu
@pytest.mark.parametrize(("kind", "of_a", "of_b"), [(kind, *p) for kind in EXACT for p in LARGE_PRODUCTS])
def test_large_products(card, kind, of_a, of_b):
    multiply(card, kind, of_a, of_b, (False, True))


def multiply(cp, kind, of_a, of_b, turned):
    a, b = normal(*of_a), normal(*of_b, seed=1)
    A, B = (
        on_device(cp, m.swapaxes(-1, -2).copy(), kind).swapaxes(-1, -2) if t else on_device(cp, m, kind)
        for m, t in zip((a, b), turned)
    )
    for product in (cupy_matmul.matmul, cupy_matmul.gemm):
        close(product(A, B), a @ b, kind)


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
        cupy_launch.run("softmax", "softmax", (1,), (32,), 3, np.int32(1), np.int32(0), x, x)
    with pytest.raises(ValueError, match="memory, not strides"):
        cupy_launch.run("softmax", "softmax", (1,), (32,), *[np.int32(1)] * 3, x[:, :, ::2], x)
    with pytest.raises(ValueError, match="take fewer images"):
        cupy_conv._sizes(s._replace(N=1 << 28))
    with pytest.raises(ValueError, match=r"window \(4, 1\) is larger than the image 3 x 3"):
        cupy_conv.conv2d_max_pool2d(x, w, None, s, (4, 1), 0.0, inf)
    with pytest.raises(ValueError, match=r"5 columns of a .* meet 4 rows of b"):
        cupy_matmul.gemm(cp.ones((2, 5)), cp.ones((4, 2)))


def test_numpys_arrays_do_not_mix_with_cupys(cp):
    x, n = cp.ones(3), np.ones(3)
    for mix in (
        lambda: x + n,
        lambda: n + x,
        lambda: cp.add(n, x),
        lambda: np.asarray(x),
        lambda: np.concatenate([x, n]),
    ):
        with pytest.raises(TypeError, match=r"Unsupported type|Implicit conversion|Only cupy arrays"):
            mix()


def test_the_stand_in_refuses_races_and_arrays_of_the_host(stand_in):
    code = 'extern "C" __global__ void race(int* y) { y[0] = threadIdx.x; }'
    race = stand_in.RawKernel(code, "race")
    with pytest.raises(RuntimeError, match="which thread runs first"):
        race((1,), (64,), (stand_in.zeros(1, np.int32),))
    with pytest.raises(TypeError, match="is not on the GPU"):
        race((1,), (64,), (np.zeros(1, np.int32),))


def test_the_text_of_a_source(cuda_source):
    for path in Path(cupy_launch.__file__).with_name("cuda").glob("*.cu"):
        assert cupy_launch.text(path.stem) == cuda_source(path.stem)


def test_a_wheel_takes_every_source_along():
    kernels = Path(cupy_launch.__file__).resolve().parent
    setuptools = tomllib.loads((kernels.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    taken = {file for pattern in setuptools["package-data"]["tinymed.kernels"] for file in kernels.glob(pattern)}
    assert taken == set((kernels / "cuda").iterdir())
