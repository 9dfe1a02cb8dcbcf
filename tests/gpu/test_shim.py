"""Trust in the shim: right kernels are right under every schedule, and each planted mistake is noticed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

EVERY = [order + ahead + at_once for order in (0, 1, 2) for ahead in (0, 8) for at_once in (0, 16)]
PLANTED = Path(__file__).with_name("planted.cu")


@pytest.fixture(scope="module")
def planted(on_cpu):
    """planted(): the kernels of planted.cu; planted("blur", old, new): with `old` replaced in that kernel, at the
    k-th place where it stands."""
    text = on_cpu.source(PLANTED, [PLANTED.parents[2] / "kernels" / "cuda"])

    def build(kernel="", old="", new="", k=0, options=()):
        if not kernel:
            return on_cpu.CPUModule(text, options)
        before, name, rest = text.partition(f"void {kernel}(")
        parts = rest.split(old)
        assert len(parts) > k + 1, f"planted.cu no longer says {old!r} in {kernel}"
        return on_cpu.CPUModule(before + name + old.join(parts[: k + 1]) + new + old.join(parts[k + 1 :]))

    return build


def normal(*shape, dtype=np.float32):
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(dtype)


def run_reverse(module, order, dtype=np.float32):
    x, y = normal(128, dtype=dtype), np.full(128, np.nan, dtype)
    module.get_function("reverse")((1,), (128,), (x, y), order=order)
    return y, x[::-1]


def run_blur(module, order, dtype=np.float32):
    x, y = normal(100, dtype=dtype), np.full(100, np.nan, dtype)
    module.get_function("blur")((4,), (32,), (x, y, np.int32(100)), order=order)
    return y, np.convolve(x, [1, 1, 1], "same")


def run_softmax(module, order, dtype=np.float32):
    x, y = normal(3, 150, dtype=dtype), np.full((3, 150), np.nan, dtype)
    module.get_function("softmax")((3,), (128,), (x, y, np.int32(150)), order=order)
    e = np.exp(x - x.max(1, keepdims=True))
    return y, e / e.sum(1, keepdims=True)


def run_product(module, order):
    a, b, c = normal(16, 44), normal(16, 44) + 1, np.full((16, 16), np.nan, np.float32)
    module.get_function("product")((1,), (64,), (a, b, c, np.int32(44)), order=order)
    return c, a @ b.T


def run_count(module, order):
    x, y = np.arange(96, dtype=np.float32), np.full((4, 96), np.nan, np.float32)
    module.get_function("count")((2, 1, 2), (2, 3, 4), (x, y), shared_mem=96 * 4, order=order)
    return y, x + np.arange(4)[:, None]


TOLERANCE = {run_product: 2e-2}  # TF32: 10 bits of mantissa


def complaint(run, module, order):
    """The error's text, "wrong" where numbers differ, or nothing."""
    try:
        got, want = run(module, order)
    except RuntimeError as error:
        return str(error)
    return "" if np.allclose(got, want, atol=TOLERANCE.get(run, 1e-5)) else "wrong"


# ------------------------------------------------------------------------------------------ right kernels


@pytest.mark.parametrize("order", EVERY)
def test_right_kernels_are_right_under_every_schedule(planted, order):
    for run in (run_reverse, run_blur, run_softmax, run_product, run_count):
        assert not complaint(run, planted(), order), run.__name__


@pytest.mark.parametrize("run", [run_reverse, run_blur, run_softmax])
def test_in_double(planted, run):
    got, want = run(planted(options=["-DREAL=double"]), 0, np.float64)
    np.testing.assert_allclose(got, want, rtol=1e-12)


@pytest.mark.parametrize("order", EVERY)
def test_shuffles_and_votes(planted, order):
    x, y = np.arange(32, dtype=np.int32) ** 2, np.zeros((4, 32), np.int32)
    planted().get_function("lanes")((1,), (32,), (x, y), order=order)
    down, up = np.r_[x[3:], x[29:]], np.r_[x[:2], x[:30]]
    np.testing.assert_array_equal(y, [down, up, np.full(32, 25), np.full(32, 8)])


def test_tf32_keeps_ten_bits_of_the_mantissa(on_cpu):
    source = """extern "C" __global__ void rounded(const float* x, float* y) {
        y[threadIdx.x] = __uint_as_float(tm_to_tf32(x[threadIdx.x])); }"""
    x = np.array([1, 1 + 2**-10, 1 + 2**-12, 1 + 2**-11, -1 - 2**-11, 1 / 3, np.inf, np.nan], np.float32)
    y = np.zeros(8, np.float32)
    on_cpu.CPUModule(source).get_function("rounded")((1,), (8,), (x, y))
    third = 0x3EAAA000  # of 0x3EAAAAAB
    want = [1, 1 + 2**-10, 1, 1 + 2**-10, -1 - 2**-10, np.uint32(third).view(np.float32), np.inf, np.nan]
    np.testing.assert_array_equal(y, np.array(want, np.float32))


# ------------------------------------------------------------------------------------------ planted mistakes


class Mistake(NamedTuple):
    run: Callable
    old: str  # what stands in the kernel,
    new: str  # what is put in its place,
    said: str = "wrong"  # and the complaint: a pattern
    k: int = 0


BARRIER, FETCH = "__syncthreads();", "fetch(step + STAGES - 1);"
A = ["tm_to_tf32(left[g + 8][q])", "tm_to_tf32(left[g][q + 4])"]
B = ["tm_to_tf32(right[g][q])", "tm_to_tf32(right[g][q + 4])"]
MAX = "largest = warp_max(largest);"
TWO_BARRIERS = f"if (i < 64)\n        {BARRIER}\n    else\n        {BARRIER}"

MISTAKES = {
    "dropped barrier": Mistake(run_reverse, BARRIER, ""),
    "barrier for half": Mistake(run_reverse, BARRIER, f"if (i < 64) {BARRIER}", "not reached by 64 threads"),
    "divergent barrier": Mistake(run_reverse, BARRIER, TWO_BARRIERS, r"different __syncthreads.*cu:10.*cu:12"),
    "uninitialised shared memory": Mistake(run_reverse, "held[i] = x[i];", "if (i) held[i] = x[i];"),
    "outside a shared array": Mistake(run_reverse, "held[127 - i]", "held[128 - i]", "cu:10: index 128 is outside"),
    "no lower edge": Mistake(run_blur, "i > 0 ? x[i - 1] : REAL(0)", "x[i - 1]"),
    "no upper edge": Mistake(run_blur, "i + 1 < n ? x[i + 1] : REAL(0)", "x[i + 1]"),
    "write beyond the end": Mistake(run_blur, "if (i < n)", "if (i <= n)", "argument 1: blur writes outside"),
    "first barrier of softmax": Mistake(run_softmax, BARRIER, ""),
    "second barrier of softmax": Mistake(run_softmax, BARRIER, "", k=1),
    "third barrier of softmax": Mistake(run_softmax, BARRIER, "", k=2),
    "shuffle for half a warp": Mistake(run_softmax, MAX, f"if (t % 2) {MAX}", "not reached by all its lanes"),
    "barrier of the product": Mistake(run_product, BARRIER, ""),
    "wait one group short": Mistake(run_product, "<STAGES - 2>", "<STAGES - 1>"),
    "no wait": Mistake(run_product, "tm_cp_wait<STAGES - 2>();", ""),
    "stage overwritten too early": Mistake(run_product, f"{BARRIER}\n        {FETCH}", f"{FETCH} {BARRIER}"),
    "copy beyond the end": Mistake(run_product, "step * 8 + part < K", "true"),
    "copy from a crooked address": Mistake(run_product, "+ part;", "+ part + 1;", "16 bytes needs .* multiples"),
    "registers of a swapped": Mistake(run_product, A[0], A[1]),
    "registers of b swapped": Mistake(run_product, ", ".join(B), ", ".join(B[::-1])),
    "tensor core for half a warp": Mistake(run_product, "tm_mma_tf32(", "if (g < 4) tm_mma_tf32(", "all its lanes"),
    "crooked float4": Mistake(run_count, "(held)[i]", "(held + 1)[i]", "not aligned"),
}


@pytest.mark.parametrize("what", MISTAKES)
def test_planted_mistakes_are_noticed(planted, schedules, what):
    run, old, new, said, k = MISTAKES[what]
    module = planted(run.__name__.removeprefix("run_"), old, new, k)
    complaints = [complaint(run, module, order) for order in schedules]
    assert any(re.search(said, text) for text in complaints), complaints
    assert not complaint(run_blur, module, 0) or run is run_blur  # threads stopped half-way do no harm later


def test_one_schedule_alone_would_not_do(planted):
    for mistake, blind in (("wait one group short", 25), ("stage overwritten too early", 0)):
        run, old, new, _, k = MISTAKES[mistake]
        assert not complaint(run, planted("product", old, new, k), blind), mistake


# ------------------------------------------------------------------------------------------ the driver


def refused(error, text, kernel, args, grid=(1,), block=(32,), **launch):
    with pytest.raises(error, match=text):
        kernel(grid, block, args, **launch)


def test_arguments_that_are_not_what_the_kernel_takes(planted):
    blur = planted().get_function("blur")
    x, y, n = normal(32), normal(32), np.int32(32)
    refused(TypeError, r"argument 2 is a Python int.*np.int32\(32\)", blur, (x, y, 32))
    refused(TypeError, "argument 2: the kernel takes i4, got int64", blur, (x, y, np.int64(32)))
    refused(
        TypeError, r"argument 0: the kernel takes f4\*, got an array of float64", blur, (normal(32, dtype="f8"), y, n)
    )
    refused(TypeError, "takes 3 arguments, got 2", blur, (x, y))
    refused(TypeError, "got list", blur, ([1.0], y, n))
    refused(ValueError, "ascontiguousarray", blur, (normal(64)[::2], y, n))
    refused(ValueError, "overlaps another", blur, (x, x[1:], n))
    refused(RuntimeError, "read-only", blur, (x, np.frombuffer(bytes(128), np.float32), n))


def test_sizes_that_no_gpu_has(planted):
    blur, args = planted().get_function("blur"), (normal(32), normal(32), np.int32(32))
    refused(ValueError, "1 to 1024 threads", blur, args, block=(32, 64))
    refused(ValueError, "65535", blur, args, grid=(1, 1 << 16))
    refused(ValueError, "max_dynamic_shared_size_bytes", blur, args, shared_mem=64 << 10)
    blur.max_dynamic_shared_size_bytes = 64 << 10
    blur((1,), (32,), args, shared_mem=64 << 10)


def test_a_python_float_names_its_cure(on_cpu):
    kernel = on_cpu.CPUModule("""extern "C" __global__ void scale(float* x, float by) { x[threadIdx.x] *= by; }""")
    refused(TypeError, r"pass np.float32\(0.5\)", kernel.get_function("scale"), (np.ones(32, np.float32), 0.5))


def test_too_little_dynamic_shared_memory(planted):
    with pytest.raises(RuntimeError, match="beyond its 320 bytes of dynamic shared memory"):
        planted().get_function("count")((2, 1, 2), (2, 3, 4), (normal(96), normal(4, 96)), shared_mem=320)


def test_structs_and_one_array_under_two_names(on_cpu):
    source = """struct Line { int n; float slope, offset; };
    extern "C" __global__ void along(Line p, const float* x, float* y, const float* none) {
        if (threadIdx.x < p.n && !none) y[threadIdx.x] = p.slope * x[threadIdx.x] + p.offset; }"""
    line = np.array((3, 2.0, 1.0), np.dtype([("n", "i4"), ("slope", "f4"), ("offset", "f4")]))
    x = np.arange(4, dtype=np.float32)
    on_cpu.CPUModule(source).get_function("along")((1,), (32,), (line, x, x, None))
    np.testing.assert_array_equal(x, [1, 3, 5, 3])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_nan_written_back_outside_an_array_is_noticed(on_cpu, dtype):
    """The guard's own NaN, read and written again: the bits tell, once anything is done with it."""
    source = """#define REAL %s
    extern "C" __global__ void halve(REAL* x, int n) { int i = threadIdx.x; if (i <= n) x[i] *= REAL(0.5); }"""
    halve = on_cpu.CPUModule(source % ("float" if dtype == np.float32 else "double")).get_function("halve")
    refused(RuntimeError, "writes outside", halve, (np.ones(8, dtype), np.int32(8)))


def test_two_modules_keep_their_shared_memory_apart(on_cpu):
    """One name and two sizes, as with -DTILE: the linker must not make them one, or the second is not poisoned."""
    source = """template <class T> __device__ T turned(T x) {
        __shared__ T held[TILE];
        if (threadIdx.x) held[threadIdx.x] = x;
        __syncthreads();
        return held[TILE - 1 - threadIdx.x]; }
    extern "C" __global__ void turn(const float* x, float* y) { y[threadIdx.x] = turned(x[threadIdx.x]); }"""
    for tile in (32, 64, 256):
        x, y = normal(tile), normal(tile)
        on_cpu.CPUModule(source, [f"-DTILE={tile}"]).get_function("turn")((1,), (tile,), (x, y))
        np.testing.assert_array_equal(y, np.r_[x[:0:-1], np.float32(np.nan)])


def test_what_does_not_compile_names_the_line(on_cpu):
    with pytest.raises(RuntimeError, match=r"planted.cu:2:.* error: .nothing"):
        on_cpu.CPUModule('#line 1 "planted.cu"\n__device__ int one() {\n  return nothing; }')
    with pytest.raises(ValueError, match="no kernel is called 'two'; there are: one"):
        on_cpu.CPUModule('extern "C" __global__ void one() {}').get_function("two")
