"""Convolution in CUDA C on the CPU: tensor cores, the simple twin and the ladder, against NumPy in float64."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from tinymed.kernels import numpy_backend as oracle
from tinymed.kernels.shapes import ConvShape, conv_shape

TF32, FLOAT, DOUBLE = 1e-3, 1e-5, 1e-12  # the largest relative error
REALS = {"float": np.float32, "double": np.float64}
SIZES = np.dtype([(name, np.int32) for name in ConvShape._fields])

CASES = {  # x, w, stride, padding, dilation, groups; then COLS, VEC, slices
    "plain": ((2, 8, 9, 7), (40, 8, 3, 3), (1, 1), (1, 1), (1, 1), 1, 64, 4, 3),
    "stride 2x1": ((2, 8, 9, 7), (40, 8, 3, 3), (2, 1), (1, 0), (1, 1), 1, 32, 4, 3),
    "rectangles, dilation, groups": ((2, 8, 11, 10), (24, 4, 2, 3), (2, 3), (2, 1), (1, 2), 2, 32, 4, 3),
    "three channels, same": ((1, 3, 9, 8), (5, 3, 4, 2), (1, 1), "same", (1, 1), 1, 64, 1, 1),
    "three groups of two": ((3, 6, 7, 8), (9, 2, 2, 3), (2, 2), (1, 1), (2, 3), 3, 32, 1, 2),
    "six channels": ((2, 6, 7, 9), (10, 6, 3, 3), (1, 2), (1, 1), (1, 1), 1, 32, 1, 2),
    "1x1, stride over pixels": ((1, 16, 6, 6), (132, 16, 1, 1), (3, 2), (0, 0), (1, 1), 1, 128, 4, 2),
    "stride beyond the kernel": ((2, 4, 12, 12), (8, 4, 2, 2), (3, 3), (0, 0), (1, 1), 1, 64, 4, 2),
    "one pixel a slice": ((1, 4, 3, 3), (4, 4, 3, 3), (1, 1), (0, 0), (1, 1), 1, 32, 4, 4),
    "a linear layer": ((1, 20, 1, 37), (12, 20, 1, 1), (1, 1), (0, 0), (1, 1), 1, 32, 4, 2),
}
every_case = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def blocks(size, width):
    return -(-size // width)


def error(got, want):
    return np.linalg.norm(got - want) / np.linalg.norm(want)


def last(a):
    """(N,C,H,W) → (N,H,W,C)"""
    return np.ascontiguousarray(a.transpose(0, 2, 3, 1))


def first(a):
    return a.transpose(0, 3, 1, 2)


class Problem:
    """One convolution: random x, w, b and g, and what NumPy makes of them in float64."""

    def __init__(self, case, dtype=np.float32):
        self.s = s = conv_shape(*case[:6])
        self.cols, self.vec, self.slices = case[6:]
        rng = np.random.default_rng(0)
        self.x, self.w, self.b, self.g = (rng.standard_normal(shape).astype(dtype) for shape in (s.x, s.w, s.O, s.y))
        x, w, b, g = (a.astype(np.float64) for a in (self.x, self.w, self.b, self.g))
        self.y, self.gx = oracle.conv2d(x, w, b, s), oracle.conv2d_input_grad(g, w, s)
        self.gw = oracle.conv2d_weight_grad(x, g, s)
        self.sizes = np.array(tuple(s), SIZES)[()]

    def empty(self, *shape):
        return np.full(shape, np.nan, self.x.dtype)

    def on_tensor_cores(self, kernels, order=0, step=16):
        """The largest error of y, gx and gw; every kernel gets the launch that its comment asks for."""
        s, cols, C, O = self.s, self.cols, self.s.C // self.s.G, self.s.O // self.s.G

        def run(name, grid, *args, shared=0):
            kernel = kernels.get_function(name)
            kernel.max_dynamic_shared_size_bytes = max(shared, 48 << 10)
            kernel(grid, (256,), (self.sizes, *args), shared_mem=shared, order=order)

        along_k, along_rows = 12 * (step + 4) * (128 + cols), 12 * step * (144 + cols)
        w, turned, y, gx = (self.empty(a.size) for a in (self.w, self.w, self.y, self.gx))
        run("conv2d_pack", (2,), np.int32(0), self.w, w)
        run("conv2d_pack", (2,), np.int32(1), self.w, turned)
        grid = blocks(s.N * s.OH * s.OW, 128), blocks(O, cols), s.G
        none = np.float32(-inf), np.float32(inf)
        run("conv2d", grid, last(self.x), w, self.b, *none, y, shared=along_k)
        grid = blocks(s.N * blocks(s.H, s.SH) * blocks(s.W, s.SW), 128), blocks(C, cols), s.G * s.SH * s.SW
        run("conv2d_input_grad", grid, last(self.g), turned, gx, shared=along_k)
        part, gw, slices = self.empty(self.slices, self.w.size), self.empty(*s.w), np.int32(self.slices)
        grid = blocks(s.KH * s.KW * C, 128), blocks(O, cols), s.G * self.slices
        run("conv2d_weight_grad", grid, slices, last(self.x), last(self.g), part, shared=along_rows)
        run("conv2d_weight_grad_sum", (2,), slices, part, gw)
        return self.errors(y, gx, gw)

    def simply(self, kernels, order=0):
        def run(name, *args):
            kernels.get_function(name)((2,), (256,), (self.sizes, *args), order=order)

        y, gx, gw, part = (self.empty(n) for n in (self.y.size, self.gx.size, self.gw.size, self.gw.size * self.slices))
        real, slices = self.x.dtype.type, np.int32(self.slices)
        run("conv2d_simple", last(self.x), self.w, self.b, real(-inf), real(inf), y)
        run("conv2d_input_grad_simple", last(self.g), self.w, gx)
        run("conv2d_weight_grad_simple", slices, last(self.x), last(self.g), part)
        run("conv2d_weight_grad_simple_sum", slices, part, gw)
        return self.errors(y, gx, gw)

    def errors(self, y, gx, gw):
        s, self.bits = self.s, y.tobytes() + gx.tobytes() + gw.tobytes()
        y, gx = first(y.reshape(s.N, s.OH, s.OW, s.O)), first(gx.reshape(s.N, s.H, s.W, s.C))
        return np.max([error(y, self.y), error(gx, self.gx), error(gw.reshape(s.w), self.gw)])  # NaN stays


@every_case
def test_tensor_cores(module, schedules, case):
    problem = Problem(case)
    kernels = module("conv", COLS=problem.cols, VEC=problem.vec)
    for order in schedules:
        assert problem.on_tensor_cores(kernels, order) < TF32


def test_longer_steps(module, schedules):
    problem = Problem(CASES["rectangles, dilation, groups"])
    for order in schedules:
        assert problem.on_tensor_cores(module("conv", COLS=32, STEP=32), order, step=32) < TF32


def test_scalar_copies_agree_with_vectors(module):
    problem = Problem(CASES["plain"])
    assert problem.on_tensor_cores(module("conv", VEC=1)) < TF32


@every_case
@pytest.mark.parametrize(("real", "limit"), [("float", FLOAT), ("double", DOUBLE)])
def test_simple(module, case, real, limit):
    assert Problem(case, REALS[real]).simply(module("conv_simple", REAL=real)) < limit


@pytest.mark.parametrize(("name", "kernel"), [("conv", "conv2d"), ("conv_simple", "conv2d_simple")])
def test_bounds_and_bias(module, name, kernel):
    problem, real = Problem(CASES["a linear layer"]), np.float32
    s = problem.s
    problem.x[0, 0, 0, 5] = np.nan
    w = problem.w if name == "conv_simple" else last(problem.w)
    for bias, low, high in ((None, 0, 6), (problem.b, 0, inf), (problem.b, -1, 1)):
        y = problem.empty(s.W, s.O)
        args = problem.sizes, last(problem.x), w, bias, real(low), real(high), y
        grid, shared = ((1, 1, 1), 12 * 20 * (128 + 64)) if name == "conv" else ((2,), 0)
        module(name).get_function(kernel)(grid, (256,), args, shared_mem=shared)
        want = problem.y[0, :, 0].T - (problem.b if bias is None else 0)
        assert np.isnan(y[5]).all()
        rest = np.arange(s.W) != 5
        assert error(y[rest], np.clip(want[rest], low, high)) < TF32


def test_same_bits_under_every_schedule(module):
    """No sum depends on who comes first."""
    problem = Problem(CASES["stride 2x1"])
    kernels = module("conv", COLS=32)
    bits = set()
    for order in (0, 1, 10, 25):
        problem.on_tensor_cores(kernels, order)
        bits.add(problem.bits)
    assert len(bits) == 1


BUGS = {
    "a barrier dropped": ("__syncthreads();           // and everybody's;", "// "),
    "waits for one group too few": ("tm_cp_wait<STAGES - 2>", "tm_cp_wait<STAGES - 1>"),
    "the next stage is the one in use": ("int next = STAGES - 1;", "int next = 0;"),
    "a swapped fragment": (
        "a[i][1] = tm_to_tf32(at[8 * LEFT_ROW]);\n                a[i][2] = tm_to_tf32(at[4 * LEFT_K]);",
        "a[i][2] = tm_to_tf32(at[8 * LEFT_ROW]);\n                a[i][1] = tm_to_tf32(at[4 * LEFT_K]);",
    ),
    "no edge on the right": ("(unsigned)(w0[i] + dw) < (unsigned)w.size;", "true;"),
    "no last k": ("const bool live = k.high < h.taps;", "const bool live = true;"),
    "a carry of one": ("mid += carry;", "mid += carry > 0;"),
    "a row that is not there": ("r < rows ? to +", "r <= rows ? to +"),
    "columns that are not there": ("if (col >= cols) continue;", ""),
    "pixels of the next slice": ("const int begin = slice * steps * STEP", "const int begin = slice * steps"),
    "pixels that are not there": ("col0 + col < OG && right_k + i < pixels", "col0 + col < OG"),
    "a slice not added": ("for (int k = 0; k < slices; k++)", "for (int k = 1; k < slices; k++)"),
    "a phase's first tap": ("(a + P - first * D) / S", "(a + P) / S"),
    "a phase in another's place": ("h.from * w.result_size + w.from)", "h.from * w.result_size)"),
}


def ladder_grid(name, s):
    """(blocks, floats of shared memory) of a rung."""
    pixels, reach = s.N * s.OH * s.OW, (7 * s.SH + (s.KH - 1) * s.DH + 1) * (7 * s.SW + (s.KW - 1) * s.DW + 1)
    return {
        "conv_1_naive": ((blocks(pixels * s.O, 256),), 0),
        "conv_2_shared": (
            (blocks(s.OW, 8), blocks(s.OH, 8), s.N * blocks(s.O, 32)),
            4 * reach + s.KH * s.KW * 128,
        ),
        "conv_3_implicit_gemm": ((blocks(pixels, 64), blocks(s.O, 64)), 0),
        "conv_4_tensor_cores": ((blocks(pixels, 64), blocks(s.O, 64)), 0),
    }[name]


LADDER = {"conv_1_naive": FLOAT, "conv_2_shared": FLOAT, "conv_3_implicit_gemm": FLOAT, "conv_4_tensor_cores": TF32}


def ladder_error(kernels, name, problem, order):
    s, y = problem.s, problem.empty(problem.s.N, problem.s.OH, problem.s.OW, problem.s.O)
    grid, floats = ladder_grid(name, s)
    args = problem.sizes, last(problem.x), last(problem.w), y
    kernels.get_function(name)(grid, (256,), args, shared_mem=4 * floats, order=order)
    return error(first(y), problem.y - problem.b[:, None, None])


@pytest.mark.parametrize("case", [case for case in CASES.values() if case[5] == 1])
@pytest.mark.parametrize("name", LADDER)
def test_ladder(module, schedules, name, case):
    for order in schedules:
        assert ladder_error(module("ladder_conv"), name, Problem(case), order) < LADDER[name]


LADDER_BUGS = {
    "2: read too early": ("conv_2_shared", "__syncthreads();  // patch and weights are whole", ""),
    "2: overwritten too early": ("conv_2_shared", "__syncthreads();  // nobody reads", "//"),
    "2: no channel edge": ("conv_2_shared", "const bool inside = c < s.C && h >= 0", "const bool inside = h >= 0"),
    "3: no left edge": ("conv_3_implicit_gemm", "h < s.H && q >= 0 && q < s.W;\n    return", "h < s.H;\n    return"),
    "4: k of another lane": ("conv_4_tensor_cores", "for (int k = q; k < 16", "for (int k = g / 2; k < 16"),
    "4: a swapped fragment": (
        "conv_4_tensor_cores",
        "{tm_to_tf32(of[k]), tm_to_tf32(of[k + 4])}",
        "{tm_to_tf32(of[k + 4]), tm_to_tf32(of[k])}",
    ),
}


@pytest.mark.parametrize("bug", LADDER_BUGS.values(), ids=LADDER_BUGS)
def test_bugs_planted_in_the_ladder_are_caught(on_cpu, source, schedules, bug):
    name, right, wrong = bug
    kernels = on_cpu.CPUModule(planted(source("ladder_conv"), right, wrong))
    problem = Problem(CASES["six channels"])
    assert any(is_caught(ladder_error, kernels, name, problem, order, limit=LADDER[name]) for order in schedules)


@pytest.mark.parametrize("bug", BUGS.values(), ids=BUGS)
def test_planted_bugs_are_caught(on_cpu, source, schedules, bug):
    problem = Problem(CASES["rectangles, dilation, groups"])
    kernels = on_cpu.CPUModule(planted(source("conv"), *bug), ["-DCOLS=32"])
    assert any(is_caught(problem.on_tensor_cores, kernels, order, limit=TF32) for order in schedules)


def planted(source, right, wrong):
    assert source.count(right) == 1
    return source.replace(right, wrong)


def is_caught(errors, *args, limit):
    try:
        return not errors(*args) < limit  # NaN is caught
    except RuntimeError:  # it writes outside an array, or its threads wait for each other in vain
        return True


@pytest.fixture(scope="module")
def source(on_cpu, request):
    return lambda name: on_cpu.source(request.config.rootpath / "kernels" / "cuda" / f"{name}.cu")
