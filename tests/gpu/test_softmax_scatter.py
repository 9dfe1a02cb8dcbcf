"""Softmax in the registers of a team, and adding without atomics: on the stand-in for CuPy, and on a card."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from gpu_arrays import close, normal, on_device

import tinymed
import tinymed.nn.functional as F
from tinymed import cuda
from tinymed.kernels import cupy_launch, cupy_scatter, cupy_softmax, numpy_backend

KINDS = ["float", "double"]
LOG = [False, True]
BOTH = list(itertools.product(KINDS, LOG))
SIZES = [  # N, C, P
    *[(37, C, 1) for C in (1, 2, 3, 10, 17, 33, 64, 100)],  # teams of 1 to 32
    (300, 10, 1),  # several blocks
    *[(3, C, 1) for C in (1000, 1023, 1030, 2048)],  # a warp's, and a block's
    *[(2, 3, 35), (2, 12, 9)],
]


@pytest.fixture
def small_teams(monkeypatch):
    """As if registers held little: rows of a thousand numbers are long."""
    monkeypatch.setattr(cupy_softmax, "HELD", 64)
    monkeypatch.setattr(cupy_softmax, "TEAM", 64)


def same(cp, x, kind, log):
    """Both kernels against NumPy's."""
    g = normal(*x.shape, seed=1)
    with np.errstate(invalid="ignore"):
        want = numpy_backend.softmax(x, log)
    got = cupy_softmax.softmax(on_device(cp, x, kind), log)
    if not np.isnan(want).any():
        close(got, want, kind)
        into_x = cupy_softmax.softmax_grad(on_device(cp, g, kind), on_device(cp, want, kind), log)
        close(into_x, numpy_backend.softmax_grad(g, want, log), kind)
    np.testing.assert_array_equal(np.isfinite(got.get()), np.isfinite(want))


@pytest.mark.parametrize(("kind", "log"), BOTH)
@pytest.mark.parametrize("size", SIZES)
def test_softmax(cp, size, kind, log):
    same(cp, 5 * normal(*size), kind, log)


@pytest.mark.parametrize(("kind", "log"), BOTH)
@pytest.mark.parametrize("C", [1101, 1600])
def test_rows_in_pieces(cp, small_teams, C, kind, log):
    """Whose largest comes first, last, and again and again."""
    x = np.sort(5 * normal(4, C), axis=1)
    x[1] = x[1, ::-1]
    x[2] = normal(C, seed=2) + np.arange(C) / 9
    x[3] += 300
    same(cp, x[:, :, None], kind, log)


@pytest.mark.gpu
@pytest.mark.parametrize(("kind", "log"), BOTH)
@pytest.mark.parametrize("size", [(20001, 10, 1), (999, 4096, 1), (300, 16384, 1), (64, 50257, 1), (8, 21, 5000)])
def test_large_softmax(card, size, kind, log):
    same(card, 5 * normal(*size), kind, log)


@pytest.mark.parametrize("C", [3, 40, 1100])
@pytest.mark.parametrize("log", LOG)
def test_infinity_and_nan(cp, small_teams, C, log):
    """−∞ adds nothing, wherever it stands; +∞, NaN and nothing but −∞ leave no number."""
    x = np.repeat(normal(1, C), 10, axis=0)
    x[:8, 0] = x[1, 1:] = x[2, : C - 1] = x[3] = -np.inf
    x[4, C - 1] = x[5, 0] = np.inf
    x[6, 0] = x[7, C - 1] = np.nan
    same(cp, x[:, :, None], "float", log)
    for k in (0, 1, 2, 8):
        same(cp, x[k : k + 1, :, None], "float", False)


def test_memory_that_is_not_aligned(cp):
    x = cp.asarray(normal(2, 9, 4).astype(np.float32))[:, 1:, :]
    for rows in (x.reshape(-1)[:32].reshape(4, 8, 1), x.reshape(-1)[1:33].reshape(4, 8, 1)):
        close(cupy_softmax.softmax(rows, False), numpy_backend.softmax(rows.get(), False), "float")


def test_half_and_nothing(cp):
    x = cp.asarray(normal(3, 5, 1).astype(np.float16))
    y = cupy_softmax.softmax(x, False)
    assert y.dtype == np.float16
    np.testing.assert_allclose(y.get().sum(1), 1, atol=2e-3)
    assert cupy_softmax.softmax(x[:0], True).shape == (0, 5, 1)


@pytest.mark.parametrize(("itemsize", "arrays"), [(4, 1), (4, 2), (8, 1), (8, 2)])
def test_a_team_holds_its_row(itemsize, arrays):
    held = cupy_softmax.HELD // itemsize // arrays
    for C, V in itertools.product([*range(1, 200), 1000, 1024, 4095, 4096, 16384, 50256], (1, 2, 4)):
        if C % V or V * itemsize > 16:
            continue
        t = cupy_softmax.team(C, V, held, itemsize)
        piece = t.threads * t.loads * V
        assert t.loads >= 1
        assert t.loads * V <= held
        assert t.threads in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
        assert piece >= C or (t.threads > 32 and cupy_softmax.TEAM * held < C)
        assert piece < 2 * C + 16 * V or t.threads == 1  # not many of them idle
        assert t.rows == 1 or t.threads <= 32


@pytest.mark.parametrize("arrays", [1, 2])
def test_teams_keep_to_their_registers(nvrtc, cuda_source, arrays):
    name = ("softmax", "softmax_grad")[arrays - 1]
    for (C, V), (real, size) in itertools.product(
        [(10, 2), (33, 1), (1000, 2), (1023, 1), (4096, 2), (32768, 2), (50257, 1)], [("float", 4), ("double", 8)]
    ):
        V = 16 // size if V > 1 and C % (16 // size) == 0 else V
        t = cupy_softmax.team(C, V, cupy_softmax.HELD // size // arrays, size)
        macros = {"REAL": real, "TEAM": t.threads, "VEC": t.V, "HOLD": t.loads, "ROWS": t.rows}
        usage = nvrtc.compile(cuda_source("softmax"), "sm_90", [f"-D{k}={v}" for k, v in macros.items()]).kernels[name]
        assert not usage.spill_bytes, (C, t, usage)
        assert not usage.stack_bytes, (C, t, usage)
        assert usage.registers <= 128, (C, t, usage)  # 512 threads of 128: all there are


# ---------------------------------------------------------------- adding at places

INDICES = {  # shape of the array, index
    "rows": ((5, 3), np.array([4, 0, 4, 4, 1])),
    "rows of no width": ((5,), np.array([[4, 0], [4, -1]])),
    "rows of images": ((4, 2, 3), np.array([[3, 3], [-4, 1]])),
    "columns": ((3, 5), (slice(None), np.array([2, 2, 0]))),
    "the last axis": ((2, 3, 4), (Ellipsis, np.array([1, 1, 3]))),
    "two arrays": ((3, 4, 2), (np.array([0, 2, 0]), np.array([1, 1, 1]))),
    "two arrays apart": ((3, 2, 4), (np.array([0, 2, 0]), slice(None), np.array([1, 1, 1]))),
    "arrays that broadcast": ((3, 4), (np.array([[0], [2]]), np.array([1, 1, 3]))),
    "a mask": ((3, 4, 2), np.arange(12).reshape(3, 4) % 5 > 1),
    "a mask after an axis": ((2, 5, 3), (slice(None), np.array([True, False, True, True, False]))),
    "nothing": ((3, 2), np.zeros(0, np.int64)),
    "one place, often": ((3, 2), np.ones(301, np.int64)),
    "many": ((50, 33), np.random.default_rng(0).integers(0, 50, 200)),
}


def moved(cp, index):
    if isinstance(index, tuple):
        return tuple(moved(cp, part) for part in index)
    return cp.asarray(index) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("case", INDICES.values(), ids=INDICES)
def test_it_is_add_at_bit_for_bit(cp, case, dtype):
    shape, index = case
    out = normal(*shape).astype(dtype)
    rows = normal(*out[index].shape, seed=1).astype(dtype)
    on_gpu = cp.asarray(out)
    cupy_scatter.scatter_add(on_gpu, moved(cp, index), cp.asarray(rows))
    np.add.at(out, index, rows)
    np.testing.assert_array_equal(on_gpu.get(), out)


def test_half_is_summed_up_in_float32(cp):
    out, ones = cp.zeros((2, 1), np.float16), cp.asarray(np.ones((3000, 1), np.float16))
    cupy_scatter.scatter_add(out, cp.asarray(np.zeros(3000, np.int64)), ones)
    assert out.dtype == np.float16
    np.testing.assert_array_equal(out.get(), [[3000], [0]])  # in float16, 2048 + 1 is 2048


OPS = {
    "embedding": (lambda w, k: F.embedding(k, w, padding_idx=1), (6, 4)),
    "rows": (lambda w, k: w[k], (6, 4)),
    "rows of turned memory": (lambda w, k: w.permute(1, 0)[k], (4, 6)),
    "columns": (lambda w, k: w[:, k], (4, 6)),
    "gather": (lambda w, k: w.gather(0, k), (6, 3)),
    "index_select": (lambda w, k: w.index_select(1, k.flatten()), (4, 6)),
}
PICKS = np.array([[0, 5, 1], [5, 5, 1]])


def gradient(op, w, picks):
    w = w.detach().requires_grad_()
    y = OPS[op][0](w, picks)
    y.backward(tinymed.tensor(normal(*y.shape, seed=2).astype(np.float32)).to(w.device))
    return w.grad


@pytest.mark.parametrize("op", OPS)
def test_gradients_are_the_cpus_bit_for_bit(cp, op):
    w, picks = tinymed.tensor(normal(*OPS[op][1]).astype(np.float32)), tinymed.tensor(PICKS)
    got = gradient(op, w.cuda(), picks.cuda()).cpu()
    np.testing.assert_array_equal(got.numpy(), gradient(op, w, picks).numpy())


@pytest.mark.parametrize("op", OPS)
def test_in_a_cuda_graph(cp, op):
    """A replay adds at the places that then are in the index."""
    w, picks = tinymed.tensor(normal(*OPS[op][1]).astype(np.float32)), tinymed.tensor(PICKS)
    on_gpu, static, graph = w.cuda(), picks.cuda(), cuda.CUDAGraph()
    gradient(op, on_gpu, static)
    cotangent = tinymed.tensor(normal(*OPS[op][0](w, picks).shape, seed=2).astype(np.float32)).cuda()
    with cuda.graph(graph):
        leaf = on_gpu.detach().requires_grad_()
        OPS[op][0](leaf, static).backward(cotangent)
    for new in (5 - PICKS, PICKS % 3):
        static.copy_(tinymed.tensor(new).cuda())
        graph.replay()
        want = gradient(op, w, tinymed.tensor(new))
        np.testing.assert_array_equal(leaf.grad.cpu().numpy(), want.numpy())


def test_softmax_in_a_cuda_graph(cp):
    x, graph = tinymed.tensor(normal(4, 5)).cuda(), cuda.CUDAGraph()
    F.softmax(x, 0), F.log_softmax(x, 1)
    with cuda.graph(graph):
        y, z = F.softmax(x, 0), F.log_softmax(x, 1)
    x.copy_(tinymed.tensor(normal(4, 5, seed=3)).cuda())
    graph.replay()
    on_cpu = x.cpu()
    np.testing.assert_allclose(y.cpu().numpy(), F.softmax(on_cpu, 0).numpy(), atol=1e-12)
    np.testing.assert_allclose(z.cpu().numpy(), F.log_softmax(on_cpu, 1).numpy(), atol=1e-12)


# ---------------------------------------------------------------- planted mistakes

MISTAKES = {
    "read before all have written": ("softmax", "__syncthreads();  // all have written", "//"),
    "written before all have read": ("softmax", "__syncthreads();  // all have read", "//"),
    "an edge forgotten in the load": ("softmax", "const bool inside = place(h) < left;", "const bool inside = true;"),
    "an edge forgotten in the store": ("softmax", "if (place(h) < left) pack", "pack"),
    "a piece's sum not brought to the new top": ("softmax", "(top[r] == most ? REAL(1) :", "(true ? REAL(1) :"),
    "-inf against -inf": ("softmax", "== -tm_infinity() ? REAL(0) : e", "== tm_infinity() ? REAL(0) : e"),
    "a row of another team": ("softmax", "* ROWS + r) * TEAMS", "+ r) * TEAMS"),
    "every row is a first": ("scatter", "if (first > 0 && key[first - 1] == key[first]) continue;", ""),
    "the end one too far": ("scatter", "return other;", "return other < n ? other + 1 : n;"),
    "in the order of the sums": ("scatter", "rows[order[i] * C + c]", "rows[i * C + c]"),
}


@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_planted_mistakes_are_caught(stand_in, small_teams, monkeypatch, mistake):
    source, right, wrong = mistake
    text = cupy_launch.text(source)
    assert text.count(right) == 1
    monkeypatch.setattr(cupy_launch, "text", lambda name: text.replace(right, wrong))
    with pytest.raises((AssertionError, RuntimeError)):
        CHECKS[source](stand_in)


def check_softmax(cp):
    test_softmax(cp, (300, 10, 1), "float", False)
    test_rows_in_pieces(cp, None, 1101, "float", False)
    test_infinity_and_nan(cp, None, 1100, False)


def check_scatter(cp):
    test_it_is_add_at_bit_for_bit(cp, INDICES["many"], np.float32)


CHECKS = {"softmax": check_softmax, "scatter": check_scatter}
