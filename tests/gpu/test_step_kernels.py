"""Optimisers and recurrent cells in CUDA C, run on the CPU, step after step, against the plain loops."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tinymed.kernels import reference

CHUNK = np.dtype([("p", "u8"), ("g", "u8"), ("state", "u8", 3), ("n", "i4"), ("group", "i4")])


WAYS = list(itertools.product([np.float32, np.float64], [0, 1]))


@pytest.fixture(params=WAYS, ids=[f"{dtype.__name__}-{k}" for dtype, k in WAYS])
def how(request, schedules):
    """The number type, and the order in which threads run."""
    dtype, k = request.param
    return dtype, schedules[k]


@pytest.fixture
def run(module, how):
    dtype, order = how

    def launch(file, kernel, *args):
        args = [np.int32(a) if type(a) is int else a for a in args]
        functions = module(file, REAL="double" if dtype == np.float64 else "float")
        functions.get_function(kernel)((2,), (64,), args, order=order)

    return launch


@pytest.fixture
def normal(how):
    rng = np.random.default_rng(0)
    return lambda *size: rng.standard_normal(size).astype(how[0])


def close(got, want):
    tolerance = 1e-12 if want.dtype == np.float64 else 2e-5
    assert got.shape == want.shape
    np.testing.assert_allclose(got, want, rtol=tolerance, atol=tolerance)


# ---------------------------------------------------------------- optimisers

SIZES = (1, 6, 257, 1000)  # of the parameters
LENGTH = 256  # of a chunk


def chunk_table(params, grads, states, groups):
    """A chunk for every LENGTH numbers of every parameter; a gradient or state may be None."""
    rows = []
    for p, g, state, group in zip(params, grads, states, groups):
        for at in range(0, p.size, LENGTH):
            place = [0 if a is None else a.ctypes.data + at * a.itemsize for a in (p, g, *state)]
            rows.append((*place[:2], place[2:], min(LENGTH, p.size - at), group))
    return np.array(rows, CHUNK)


def check_steps(run, normal, kernel, options, states, oracle, steps=4):
    """`steps` launches for parameters in two groups, against oracle(p, g, state, t, group) for each alone.

    One parameter starts at an odd address; another has no gradient in step 2, and counts one step less.
    """
    params = [normal(n + 1)[k % 2 :][:n] for k, n in enumerate(SIZES)]
    state = [[np.zeros_like(p) if has else None for has in states] for p in params]
    mine = [p.copy() for p in params], [[None if s is None else s.copy() for s in row] for row in state]
    groups, made = [0, 1, 0, 1], [0] * len(SIZES)
    options = np.array(options, params[0].dtype)
    counts = np.zeros(sum(-(-n // LENGTH) for n in SIZES), np.int32)
    for t in range(1, steps + 1):
        grads = [None if (t, k) == (2, 1) else normal(n) for k, n in enumerate(SIZES)]
        table = chunk_table(params, grads, state, groups)
        run("optim", kernel, len(table), table, options, counts)
        for k, (p, g, s) in enumerate(zip(mine[0], grads, mine[1])):
            if g is not None:
                made[k] += 1
                oracle(p, g, s, made[k], groups[k])
    for got, want in zip(params, mine[0]):
        close(got, want)
    for got, want in zip(itertools.chain(*state), itertools.chain(*mine[1])):
        assert (got is None) == (want is None)
        if got is not None:
            close(got, want)
    assert counts.tolist() == [made[k] for k, n in enumerate(SIZES) for _ in range(0, n, LENGTH)]


RATES = 0.1, 0.01  # of the two groups


@pytest.mark.parametrize(
    ("momentum", "dampening", "weight_decay", "nesterov"),
    [(0, 0, 0, False), (0, 0, 0.1, False), (0.9, 0.3, 0, False), (0.9, 0, 0.1, True)],
)
def test_sgd(run, normal, momentum, dampening, weight_decay, nesterov):
    def oracle(p, g, s, t, group):
        b = s[:1] if momentum else None
        reference.sgd_step([p], [g], b, [t == 1], RATES[group], momentum, dampening, weight_decay, nesterov)

    options = [(lr, momentum, 1 - dampening, weight_decay, nesterov) for lr in RATES]
    check_steps(run, normal, "sgd", options, (momentum > 0, False, False), oracle)


@pytest.mark.parametrize(("weight_decay", "decoupled"), [(0, False), (0.1, False), (0.1, True)])
@pytest.mark.parametrize("betas", [(0.9, 0.999), (0.0, 0.5)])
def test_adam(run, normal, betas, weight_decay, decoupled):
    def oracle(p, g, s, t, group):
        reference.adam_step([p], [g], *([a] for a in s[:2]), [t], RATES[group], *betas, 1e-8, weight_decay, decoupled)

    factors = [f for b in betas for f in (b, 1 - b, math.log(b) if b else -math.inf)]
    options = [(lr, *factors, 1e-8, weight_decay, decoupled) for lr in RATES]
    check_steps(run, normal, "adam", options, (True, True, False), oracle)


@pytest.mark.parametrize(
    ("weight_decay", "momentum", "centered"),
    [(0, 0, False), (0.1, 0, True), (0, 0.9, False), (0.1, 0.9, True)],
)
def test_rmsprop(run, normal, weight_decay, momentum, centered):
    def oracle(p, g, s, t, group):
        states = (a if a is None else [a] for a in s)
        reference.rmsprop_step([p], [g], *states, RATES[group], 0.99, 1e-3, weight_decay, momentum)

    options = [(lr, 0.99, 1 - 0.99, 1e-3, weight_decay, momentum, centered) for lr in RATES]
    check_steps(run, normal, "rmsprop", options, (True, centered, momentum > 0), oracle)


@pytest.mark.parametrize(("weight_decay", "lr_decay"), [(0, 0), (0.1, 0.5)])
def test_adagrad(run, normal, weight_decay, lr_decay):
    def oracle(p, g, s, t, group):
        reference.adagrad_step([p], [g], s[:1], [t], RATES[group], lr_decay, 1e-10, weight_decay)

    options = [(lr, lr_decay, 1e-10, weight_decay) for lr in RATES]
    check_steps(run, normal, "adagrad", options, (True, False, False), oracle)


# ---------------------------------------------------------------- recurrent cells

RECURRENT = [(3, 4, 5, 7), (1, 1, 2, 1), (2, 9, 3, 33)]  # T, N, I, H


def draw(normal, T, N, I, H, gates):
    """x, h0, w_ih, w_hh, b_ih, b_hh, and g into every h."""
    sizes = (T, N, I), (N, H), (gates * H, I), (gates * H, H), (gates * H,), (gates * H,), (T, N, H)
    return [normal(*size) for size in sizes]


def before(hs, h0, t):
    return hs[t - 1] if t else h0


def sums(da, other):
    """Σ over time and batch: how the gradient of a weight follows from da."""
    return np.einsum("tnj,tnk->jk", da, other)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("size", RECURRENT)
def test_rnn(run, normal, size, nonlinearity):
    x, h0, w_ih, w_hh, b_ih, b_hh, g = draw(normal, *size, 1)
    (T, N, _, H), relu = size, int(nonlinearity == "relu")
    hs, da, dh = x @ w_ih.T, np.empty_like(g), np.zeros_like(h0)
    for t in range(T):
        run("recurrent", "rnn_cell", N, H, relu, hs[t], before(hs, h0, t) @ w_hh.T, b_ih, b_hh, hs[t])
    close(hs, reference.rnn(x, h0, w_ih, w_hh, b_ih, b_hh, nonlinearity))
    for t in reversed(range(T)):
        run("recurrent", "rnn_cell_grad", N, H, relu, g[t], dh, hs[t], da[t])
        dh = da[t] @ w_hh
    gx, gh0, gw_ih, _, gb = reference.rnn_grad(g, x, h0, hs, w_ih, w_hh, nonlinearity)
    for got, want in zip((da @ w_ih, dh, sums(da, x), da.sum((0, 1))), (gx, gh0, gw_ih, gb)):
        close(got, want)


@pytest.mark.parametrize("with_gc", [True, False])
@pytest.mark.parametrize("size", RECURRENT)
def test_lstm(run, normal, size, with_gc):
    x, h0, w_ih, w_hh, b_ih, b_hh, g = draw(normal, *size, 4)
    (T, N, _, H), c0, gc = size, normal(*h0.shape), normal(*g.shape) if with_gc else None
    gates, hs, cs = x @ w_ih.T, np.empty_like(g), np.empty_like(g)
    for t in range(T):
        from_h, c = before(hs, h0, t) @ w_hh.T, before(cs, c0, t)
        run("recurrent", "lstm_cell", N, H, gates[t], from_h, b_ih, b_hh, c, gates[t], cs[t], hs[t])
    for got, want in zip((hs, cs, gates), reference.lstm(x, h0, c0, w_ih, w_hh, b_ih, b_hh)):
        close(got, want)
    da, dh, dc = np.empty_like(gates), np.zeros_like(h0), np.zeros_like(c0)
    for t in reversed(range(T)):
        gc_t, c = None if gc is None else gc[t], before(cs, c0, t)
        run("recurrent", "lstm_cell_grad", N, H, g[t], gc_t, dh, gates[t], c, cs[t], dc, da[t])
        dh = da[t] @ w_hh
    gx, gh0, gc0, gw_ih, _, gb = reference.lstm_grad(g, gc, x, h0, c0, hs, cs, gates, w_ih, w_hh)
    for got, want in zip((da @ w_ih, dh, dc, sums(da, x), da.sum((0, 1))), (gx, gh0, gc0, gw_ih, gb)):
        close(got, want)


@pytest.mark.parametrize("size", RECURRENT)
def test_gru(run, normal, size):
    x, h0, w_ih, w_hh, b_ih, b_hh, g = draw(normal, *size, 3)
    T, N, _, H = size
    from_x, hs, gates = x @ w_ih.T, np.empty_like(g), np.empty((T, N, 4 * H), x.dtype)
    for t in range(T):
        h = before(hs, h0, t)
        run("recurrent", "gru_cell", N, H, from_x[t], h @ w_hh.T, b_ih, b_hh, h, gates[t], hs[t])
    for got, want in zip((hs, gates), reference.gru(x, h0, w_ih, w_hh, b_ih, b_hh)):
        close(got, want)
    da_x, da_h, dh, past = np.empty_like(from_x), np.empty_like(from_x), np.zeros_like(h0), np.zeros_like(h0)
    for t in reversed(range(T)):
        h = before(hs, h0, t)
        run("recurrent", "gru_cell_grad", N, H, g[t], dh, gates[t], h, past, da_x[t], da_h[t])
        dh = da_h[t] @ w_hh
    gx, gh0, gw_ih, gw_hh, gb_ih, gb_hh = reference.gru_grad(g, x, h0, hs, gates, w_ih, w_hh)
    states = np.concatenate([h0[None], hs[:-1]])
    got = da_x @ w_ih, dh + past, sums(da_x, x), sums(da_h, states), da_x.sum((0, 1)), da_h.sum((0, 1))
    for a, want in zip(got, (gx, gh0, gw_ih, gw_hh, gb_ih, gb_hh)):
        close(a, want)
