"""Matrix products in CUDA C: gemm.cu, conv.cu's tensor cores and the ladder up to them, against NumPy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from tinymed.kernels import cupy_conv, cupy_launch, cupy_matmul
from tinymed.kernels.shapes import conv_shape

TF32, FLOAT, DOUBLE = 1e-3, 1e-5, 1e-12  # the largest relative error
REALS = {"float": (np.float32, FLOAT), "double": (np.float64, DOUBLE)}
TURNED = [(False, False), (False, True), (True, False), (True, True)]


def blocks(size, width):
    return -(-size // width)


def error(got, want):
    return np.linalg.norm(got - want) / np.linalg.norm(want)


def gemm_error(kernels, M, N, K, turned, tile, *, real=np.float32, stack=1, add=False, order=0):
    """Of C (stack,M,N) = A·B (+ C), one B for all."""
    rng = np.random.default_rng(0)
    A, B, C = (rng.standard_normal(shape).astype(real) for shape in ((stack, M, K), (K, N), (stack, M, N)))
    want = A.astype(np.float64) @ B.astype(np.float64) + add * C
    C = C if add else np.full_like(C, np.nan)
    a, b = (np.ascontiguousarray(f.swapaxes(-1, -2) if t else f) for f, t in zip((A, B), turned))
    sizes = tuple(np.int32(n) for n in (M, N, K))
    steps = (np.int64(n) for n in (M * K, 0, M * N))
    flags = (np.int32(f) for f in (*turned, add))
    (step_a, step_b, step_c), (turned_a, turned_b, add) = steps, flags
    args = (*sizes, a, turned_a, step_a, b, turned_b, step_b, C, step_c, add)
    kernels.get_function("gemm")((blocks(N, tile), blocks(M, tile), stack), (256,), args, order=order)
    return error(C, want)


@pytest.mark.parametrize("turned", TURNED)
@pytest.mark.parametrize(
    ("M", "N", "K", "tile"), [(130, 70, 33, 128), (64, 132, 40, 128), (66, 68, 17, 64), (37, 41, 5, 32)]
)
def test_gemm(module, schedules, M, N, K, tile, turned):
    for order in schedules:
        assert gemm_error(module("gemm", TILE=tile), M, N, K, turned, tile, order=order) < FLOAT


@pytest.mark.parametrize("turned", TURNED)
@pytest.mark.parametrize(("real", "tile"), [("float", 128), ("double", 64)])
def test_gemm_of_a_stack_added(module, schedules, real, tile, turned):
    dtype, limit = REALS[real]
    for order in schedules:
        kernels = module("gemm", REAL=real)
        assert gemm_error(kernels, 67, 70, 20, turned, tile, real=dtype, stack=3, add=True, order=order) < limit


@pytest.mark.parametrize(("M", "N", "K"), [(1, 1, 1), (1, 200, 3), (200, 1, 9), (5, 4, 64)])
def test_gemm_of_thin_matrices(module, M, N, K):
    for turned in TURNED:
        assert gemm_error(module("gemm", TILE=32), M, N, K, turned, 32) < FLOAT


# ---------------------------------------------------------------- on tensor cores, as convolutions


def stored(cp, a, turned):
    """a on the GPU, its transpose in memory where it is turned."""
    return cp.asarray(np.ascontiguousarray(a.T)).T if turned else cp.asarray(a)


@pytest.mark.parametrize("turned", TURNED)
@pytest.mark.parametrize(("M", "N", "K"), [(130, 70, 36), (5, 33, 130), (1, 4, 3), (64, 1, 17)])
def test_gemm_on_tensor_cores(cp, M, N, K, turned):
    rng = np.random.default_rng(0)
    A, B = (rng.standard_normal(shape).astype(np.float32) for shape in ((M, K), (K, N)))
    C = cupy_matmul.gemm(*(stored(cp, f, t) for f, t in zip((A, B), turned)), tf32=True)
    want = A.astype(np.float64) @ B
    assert (C.dtype, C.shape) == (np.float32, (M, N))
    assert 1e-6 < error(C.get(), want) < TF32


def test_where_a_product_is_exact_all_the_same(stand_in, monkeypatch):
    used = []
    monkeypatch.setattr(cupy_matmul, "run", lambda source, *args, **how: used.append(source))
    one, double = stand_in.ones((4, 4), np.float32), stand_in.ones((4, 4))
    stack, long = stand_in.ones((2, 4, 4), np.float32), stand_in.ones((1, 1 << 16), np.float32)
    for a, b, tf32 in ((one, one, False), (double, double, True), (stack, one, True), (long, long.T, True)):
        cupy_matmul.gemm(a, b, tf32)
    assert used == ["gemm"] * 4
    monkeypatch.setattr(cupy_launch, "allow_tf32", False)
    cupy_matmul.gemm(one, one, tf32=True)
    assert len(used) == 5


def test_long_signals_are_not_counted_on_tensor_cores():
    """Milometer divides rightly up to 65535: a signal of 200000 gave NaN for ∂L/∂w."""
    s = conv_shape((1, 4, 1, 200000), (8, 4, 1, 3), (1, 1), (0, 1), (1, 1), 1)
    assert not cupy_conv.on_tensor_cores(s, np.float32, s.OW)


# ---------------------------------------------------------------- the ladder

LADDER = {  # the block's share of C, its threads, the largest error
    "matmul_1_naive": ((8, 32), (32, 8), FLOAT),
    "matmul_2_tiled": ((32, 32), (32, 32), FLOAT),
    "matmul_3_registers": ((64, 64), (16, 16), FLOAT),
    "matmul_4_vectors": ((128, 128), (16, 16), FLOAT),
    "matmul_5_tensor_cores": ((64, 64), (256,), TF32),
}


def ladder_error(kernels, name, M, N, K, order):
    (rows, cols), threads, _ = LADDER[name]
    rng = np.random.default_rng(0)
    A, B = rng.standard_normal((M, K)).astype(np.float32), rng.standard_normal((K, N)).astype(np.float32)
    C = np.full((M, N), np.nan, np.float32)
    args = np.int32(M), np.int32(N), np.int32(K), A, B, C
    kernels.get_function(name)((blocks(N, cols), blocks(M, rows)), threads, args, order=order)
    return error(C, A.astype(np.float64) @ B.astype(np.float64))


@pytest.mark.parametrize("name", LADDER)
def test_ladder(module, schedules, name):
    any_size = [(67, 71, 37), (130, 33, 5), (1, 1, 1)]
    for M, N, K in [(67, 132, 36), (129, 4, 20)] if name == "matmul_4_vectors" else any_size:
        for order in schedules:
            assert ladder_error(module("ladder_matmul"), name, M, N, K, order) < LADDER[name][2]


GEMM_BUGS = {
    "the barrier dropped": ("__syncthreads();  // one barrier a step is enough", "// "),
    "one pair of tiles for two": ("now ^= 1", "now ^= 0"),
    "k past the end": ("(kk < K ? rows - r : 0)", "(rows - r)"),
    "no edge on the right": ("if (v < room) to[v] = sum.at[v];", "to[v] = sum.at[v];"),
    "wide loads where lines do not start at 16 bytes": ("pitch % PACK == 0 && ", ""),
    "columns of another thread": ("i * 16 * PACK + across]", "i * 16 * PACK + down]"),
    "the old C forgotten": ("if (add && v < room)", "if (false)"),
}
LADDER_BUGS = {
    "2: the tiles are read too early": ("matmul_2_tiled", "__syncthreads();  // the tiles are whole", ""),
    "2: the tiles are overwritten": ("matmul_2_tiled", "__syncthreads();  // nobody reads them any more", "//"),
    "2: no zeros at the edge": ("matmul_2_tiled", "a[y][x] = m < M && k0 + x < K ?", "a[y][x] = m < M ?"),
    "4: a row of another length": ("matmul_4_vectors", "column[132]", "column[128]"),
    "5: a swapped fragment": (
        "matmul_5_tensor_cores",
        "tm_to_tf32(b[k][c]), tm_to_tf32(b[k + 4][c])",
        "tm_to_tf32(b[k + 4][c]), tm_to_tf32(b[k][c])",
    ),
    "5: k of another lane": (
        "matmul_5_tensor_cores",
        "for (int k = q; k < 16; k += 8)",
        "for (int k = g / 2; k < 16; k += 8)",
    ),
}


@pytest.mark.parametrize("bug", GEMM_BUGS.values(), ids=GEMM_BUGS)
def test_planted_bugs_are_caught(source, on_cpu, schedules, bug):
    kernels = on_cpu.CPUModule(planted(source("gemm"), *bug), ["-DTILE=32"])

    def fails(M, N, K, order):
        return not gemm_error(kernels, M, N, K, (True, False), 32, stack=2, add=True, order=order) < FLOAT

    assert any(is_caught(fails, *sizes, order) for order in schedules for sizes in ((37, 41, 21), (30, 34, 20)))


@pytest.mark.parametrize("bug", LADDER_BUGS.values(), ids=LADDER_BUGS)
def test_bugs_planted_in_the_ladder_are_caught(source, on_cpu, schedules, bug):
    name, right, wrong = bug
    kernels = on_cpu.CPUModule(planted(source("ladder_matmul"), right, wrong))

    def fails(order):
        return not ladder_error(kernels, name, 67, 132, 36, order) < LADDER[name][2]

    assert any(is_caught(fails, order) for order in schedules)


def planted(source, right, wrong):
    assert source.count(right) == 1
    return source.replace(right, wrong)


def is_caught(fails, *args):
    try:
        return fails(*args)  # NaN fails too
    except RuntimeError:  # it writes outside an array, or its threads wait for each other in vain
        return True


@pytest.fixture(scope="module")
def source(on_cpu, request):
    return lambda name: on_cpu.source(request.config.rootpath / "kernels" / "cuda" / f"{name}.cu")
