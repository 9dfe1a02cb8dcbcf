"""CuPy's recurrent layers, loss and optimisers against the plain loops: on the stand-in for CuPy, and on a card.

On a card also of sizes for which the loops would take minutes: there NumPy's backend is the oracle.
"""

from __future__ import annotations

import copy

import numpy as np
import pytest

from tinymed.kernels import cupy_loss, cupy_optim, cupy_recurrent, numpy_backend, reference

DTYPES = [np.float32, np.float64]


class Device:
    """CuPy, and numbers of one type; compares a kernel's results with the oracle's."""

    def __init__(self, cupy, dtype, oracle):
        self.cupy, self.dtype, self.oracle = cupy, dtype, oracle
        self.rng = np.random.default_rng(0)

    def normal(self, *size):
        return self.rng.standard_normal(size).astype(self.dtype)

    def squares(self, *size):
        x = self.normal(*size)
        return np.square(x, out=x)  # of no axes, it stays an array

    def put(self, args):
        """Arrays to the device, also those in lists."""
        put = {list: self.put, np.ndarray: self.cupy.asarray}
        return [put.get(type(a), lambda a: a)(a) for a in args]

    def close(self, got, want):
        tolerance = 1e-11 if self.dtype == np.float64 else 3e-5
        assert isinstance(got, self.cupy.ndarray)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(self.cupy.asnumpy(got), want, rtol=tolerance, atol=tolerance, strict=True)

    def same(self, kernel, *args):
        """kernel(*args) here and by the oracle; gives the latter's results."""
        got, want = kernel(*self.put(args)), getattr(self.oracle, kernel.__name__)(*args)
        for a, b in zip(*((r if isinstance(r, tuple) else (r,)) for r in (got, want)), strict=True):
            self.close(a, b)
        return want

    def changes(self, kernel, *args):
        """The same for a kernel that writes to its arguments."""
        on_device, here = self.put(args), copy.deepcopy(args)
        kernel(*on_device)
        getattr(self.oracle, kernel.__name__)(*here)
        for arrays, wanted in zip(on_device, here, strict=True):
            for a, b in zip(arrays, wanted, strict=True) if isinstance(wanted, list) else ():
                if isinstance(b, np.ndarray):
                    self.close(a, b)


TYPES = {"params": DTYPES, "ids": ["float32", "float64"]}


@pytest.fixture(**TYPES)
def device(request, cp):
    return Device(cp, request.param, reference)


@pytest.fixture(**TYPES)
def large(request, card):
    return Device(card, request.param, numpy_backend)


# ---------------------------------------------------------------- recurrent layers

SIZES = [(3, 4, 5, 7), (1, 1, 2, 1), (2, 9, 3, 33)]  # T, N, I, H: the last fills more than a block


def draw(device, T, N, I, H, gates):
    """x, h0, w_ih, w_hh, b_ih, b_hh; x with the batch first in memory."""
    x = device.normal(N, T, I).transpose(1, 0, 2)
    sizes = (N, H), (gates * H, I), (gates * H, H), (gates * H,), (gates * H,)
    return x, *(device.normal(*size) for size in sizes)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("size", SIZES)
def test_rnn(device, size, nonlinearity):
    x, h0, w_ih, w_hh, *biases = draw(device, *size, 1)
    hs = device.same(cupy_recurrent.rnn, x, h0, w_ih, w_hh, *biases, nonlinearity)
    device.same(cupy_recurrent.rnn_grad, device.normal(*hs.shape), x, h0, hs, w_ih, w_hh, nonlinearity)


@pytest.mark.parametrize("with_gc", [True, False])
@pytest.mark.parametrize("size", SIZES)
def test_lstm(device, size, with_gc):
    x, h0, *weights = draw(device, *size, 4)
    c0 = device.normal(*h0.shape)
    kept = device.same(cupy_recurrent.lstm, x, h0, c0, *weights)
    gh, gc = (device.normal(*kept[0].shape) for _ in range(2))
    device.same(cupy_recurrent.lstm_grad, gh, gc if with_gc else None, x, h0, c0, *kept, *weights[:2])


@pytest.mark.parametrize("size", SIZES)
def test_gru(device, size):
    x, h0, *weights = draw(device, *size, 3)
    kept = device.same(cupy_recurrent.gru, x, h0, *weights)
    device.same(cupy_recurrent.gru_grad, device.normal(*kept[0].shape), x, h0, *kept, *weights[:2])


@pytest.mark.gpu
@pytest.mark.parametrize("size", [(50, 64, 64, 128), (20, 32, 48, 100)])
def test_large_sequences(large, size):
    test_rnn(large, size, "tanh")
    test_lstm(large, size, True)
    test_gru(large, size)


def any_order(device, *size):
    """Numbers whose memory is not in their order."""
    return device.normal(*size[::-1]).T


def test_rnn_of_memory_in_any_order(device):
    x, _, *weights = draw(device, 3, 4, 5, 7, 1)
    h0, g = any_order(device, 4, 7), any_order(device, 3, 4, 7)
    hs = device.same(cupy_recurrent.rnn, x, h0, *weights, "tanh")
    device.same(cupy_recurrent.rnn_grad, g, x, h0, hs, *weights[:2], "tanh")


def test_lstm_of_memory_in_any_order(device):
    x, _, *weights = draw(device, 3, 4, 5, 7, 4)
    h0, c0 = (any_order(device, 4, 7) for _ in range(2))
    gh, gc = (any_order(device, 3, 4, 7) for _ in range(2))
    kept = device.same(cupy_recurrent.lstm, x, h0, c0, *weights)
    device.same(cupy_recurrent.lstm_grad, gh, gc, x, h0, c0, *kept, *weights[:2])


def test_gru_of_memory_in_any_order(device):
    x, _, *weights = draw(device, 3, 4, 5, 7, 3)
    h0, g = any_order(device, 4, 7), any_order(device, 3, 4, 7)
    kept = device.same(cupy_recurrent.gru, x, h0, *weights)
    device.same(cupy_recurrent.gru_grad, g, x, h0, *kept, *weights[:2])


# ---------------------------------------------------------------- loss


@pytest.mark.parametrize("size", [(1, 1, 1), (7, 2, 1), (5, 10, 1), (3, 33, 5), (2, 150, 3), (70, 3, 4)])  # N, C, P
def test_cross_entropy(device, size):
    N, C, P = size
    x, w, g = 5 * device.normal(N, C, P), device.squares(N, P), device.normal(P, N).T
    x[0] += 200  # e^200 is no float32
    t = device.rng.integers(0, C, (P, N)).T
    _, p = device.same(cupy_loss.cross_entropy, x, t, w)
    device.same(cupy_loss.cross_entropy_grad, g, p, t, w)


@pytest.mark.gpu
@pytest.mark.parametrize("size", [(256, 1000, 1), (4, 21, 112 * 112)])
def test_large_losses(large, size):
    test_cross_entropy(large, size)


def test_the_softmax_that_the_loss_keeps_lies_as_its_gradient_wants_it(device):
    x, t, w = device.put([device.normal(2, 3, 5), np.zeros((2, 5), np.int64), device.normal(2, 5)])
    p = cupy_loss.cross_entropy(x, t, w)[1]
    assert p.transpose(0, 2, 1).flags.c_contiguous


# ---------------------------------------------------------------- optimisers

SHAPES = [(), (6,), (3, 5, 7), (2, cupy_optim.LENGTH + 3)]  # the last: chunks, and a tail that fills no pack
SGD = [(0.0, 0.0, 0.0, False), (0.9, 0.3, 0.1, False), (0.9, 0.0, 0.1, True)]  # momentum, dampening, decay, Nesterov
ADAM = [(1, 0.9, 0.999, 0.0, False), (7, 0.0, 0.5, 0.1, False), (3, 0.9, 0.9, 0.1, True)]  # step, β1, β2, decay


@pytest.fixture(params=SHAPES, ids=str)
def draws(request, device):
    """draws(4): p, g and two states of one shape, of which only p and g have numbers below 0."""

    def draw(count):
        draws = [device.normal] * 2 + [device.squares] * (count - 2)
        return [draw(*request.param) for draw in draws]

    return draw


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("options", SGD)
def test_sgd_step(device, draws, options, first):
    p, g, b = draws(3)
    device.changes(cupy_optim.sgd_step, [p], [g], [b] if options[0] else None, [first], 0.1, *options)


@pytest.mark.parametrize(("step", "beta1", "beta2", "decay", "decoupled"), ADAM)
def test_adam_step(device, draws, step, beta1, beta2, decay, decoupled):
    device.changes(cupy_optim.adam_step, *([a] for a in draws(4)), [step], 0.1, beta1, beta2, 1e-3, decay, decoupled)


@pytest.mark.parametrize("centered", [True, False])
@pytest.mark.parametrize("momentum", [0.9, 0.0])
def test_rmsprop_step(device, draws, momentum, centered):
    p, g, v, mean, b = draws(5)
    v += mean**2  # as it is where mean is the mean of what v squares
    states = [v], [mean] if centered else None, [b] if momentum else None
    device.changes(cupy_optim.rmsprop_step, [p], [g], *states, 0.1, 0.99, 1e-2, 0.1, momentum)


def test_adagrad_step(device, draws):
    device.changes(cupy_optim.adagrad_step, *([a] for a in draws(3)), [3], 0.1, 0.5, 1e-10, 0.1)


def test_memory_in_any_order(device):
    p, g, m, v = any_order(device, 3, 5), any_order(device, 3, 5), device.normal(3, 5), device.squares(5, 3).T
    device.changes(cupy_optim.adam_step, [p], [g], [m], [v], [2], 0.1, 0.9, 0.999, 1e-3, 0.1, False)


@pytest.mark.gpu
def test_a_large_parameter(large):
    p, g, m = (large.normal(1000, 1001) for _ in range(3))
    v = large.squares(1000, 1001)
    large.changes(cupy_optim.adam_step, [p], [g], [m], [v], [3], 0.1, 0.9, 0.999, 1e-3, 0.1, True)


def test_one_launch_for_all_parameters(device, monkeypatch):
    launches = []
    run = cupy_optim.run
    monkeypatch.setattr(cupy_optim, "run", lambda *args, **kwargs: (launches.append(args), run(*args, **kwargs)))
    shapes, made = [*SHAPES, (0, 3)], [1, 2, 9, 1, 3]
    rows = [[device.squares(*shape) for shape in shapes] for _ in range(4)]
    on_device = [device.put(row) for row in rows]
    options = 0.1, 0.9, 0.999, 1e-3, 0.1, True
    cupy_optim.adam_step(*on_device, made, *options)
    assert len(launches) == 1
    reference.adam_step(*rows, made, *options)
    for got, want in zip(on_device, rows):
        for a, b in zip(got, want):
            device.close(a, b)


def test_no_parameters_are_no_launch(device, monkeypatch):
    monkeypatch.setattr(cupy_optim, "run", None)
    cupy_optim.adagrad_step([], [], [], [], 0.1, 0.0, 1e-10, 0.0)
    empty = device.put([device.normal(0, 3)])
    cupy_optim.adagrad_step(empty, empty, empty, [1], 0.1, 0.0, 1e-10, 0.0)


@pytest.mark.parametrize("wrong", ["shape", "dtype", "another parameter's dtype"])
def test_arrays_that_are_not_alike_are_refused(device, wrong):
    p, g = device.normal(4), device.normal(4)
    other = np.float64 if device.dtype == np.float32 else np.float32
    second = (g.astype(other), g.astype(other)) if wrong.startswith("another") else (p, p)
    g = {"shape": g[:3], "dtype": g.astype(other)}.get(wrong, g)
    ps, gs = device.put([p, second[0]]), device.put([g, second[1]])
    with pytest.raises(ValueError, match=r"^sgd: a gradient and its parameter .* one number type"):
        cupy_optim.sgd_step(ps, gs, None, [True, True], 0.1, 0.0, 0.0, 0.0, False)


def test_a_list_too_short_is_refused(device):
    ps = device.put([device.normal(4), device.normal(4)])
    with pytest.raises(ValueError, match="shorter"):
        cupy_optim.sgd_step(ps, ps[:1], None, [True, True], 0.1, 0.0, 0.0, 0.0, False)
