"""Kernels called once on little arrays, for float32: what most networks need compiled."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from tinymed import kernels
from tinymed.kernels.shapes import conv_shape, pool_shape

_CONV = conv_shape((2, 3, 8, 8), (8, 3, 3, 3), (1, 1), (1, 1), (1, 1), 1)
_PAIRS = pool_shape("max_pool2d", (1, 1, 4, 4), (2, 2), (2, 2), (0, 0))
_WINDOWS = pool_shape("max_pool2d", (1, 1, 4, 4), (3, 3), (1, 1), (1, 1))


def _a(*shape: int) -> np.ndarray:
    return np.ones(shape, np.float32)


def _conv() -> None:
    kernels.conv2d(_a(*_CONV.x), _a(*_CONV.w), None, _CONV)


def _conv_grad() -> None:
    x, w = _a(*_CONV.x), _a(*_CONV.w)
    y, where = kernels.conv2d_max_pool2d(x, w, _a(8), _CONV, (2, 2), 0.0, float("inf"))
    kernels.conv2d_max_pool2d_grad(y, where, x, w, _CONV, (2, 2))


def _matmul() -> None:
    kernels.matmul(_a(96, 96), _a(96, 96))
    kernels.matmul(_a(4, 96, 96), _a(4, 96, 96))


def _pool(s: object) -> Callable[[], None]:
    def run() -> None:
        count = _a(1, 1)
        y, where = kernels.max_pool2d(_a(*s.x), s)  # type: ignore[attr-defined]
        kernels.max_pool2d_grad(y, where, s)
        kernels.avg_pool2d_grad(kernels.avg_pool2d(_a(*s.x), count, s), count, s)  # type: ignore[attr-defined]

    return run


def _loss() -> None:
    t, w = np.zeros((2, 1), np.int64), _a(2, 1)
    kernels.cross_entropy_grad(*kernels.cross_entropy(_a(2, 3, 1), t, w), t, w)


def _softmax() -> None:
    for log in (False, True):
        kernels.softmax_grad(_a(2, 3, 1), kernels.softmax(_a(2, 3, 1), log), log)


def _rnn() -> None:
    x, h, w, v, b = _a(2, 2, 3), _a(2, 4), _a(4, 3), _a(4, 4), _a(4)
    hs = kernels.rnn(x, h, w, v, b, b, "tanh")
    kernels.rnn_grad(hs, x, h, hs, w, v, "tanh")


def _lstm() -> None:
    x, h, w, v, b = _a(2, 2, 3), _a(2, 4), _a(16, 3), _a(16, 4), _a(16)
    hs, cs, gates = kernels.lstm(x, h, h, w, v, b, b)
    kernels.lstm_grad(hs, None, x, h, h, hs, cs, gates, w, v)


def _gru() -> None:
    x, h, w, v, b = _a(2, 2, 3), _a(2, 4), _a(12, 3), _a(12, 4), _a(12)
    hs, gates = kernels.gru(x, h, w, v, b, b)
    kernels.gru_grad(hs, x, h, hs, gates, w, v)


def _optimisers() -> None:
    p, g, m, v = ([_a(8)] for _ in range(4))
    kernels.sgd_step(p, g, m, [False], 0.1, 0.9, 0.0, 0.0, False)
    kernels.adam_step(p, g, m, v, [1], 0.1, 0.9, 0.99, 1e-8, 0.0, False)
    kernels.rmsprop_step(p, g, v, None, None, 0.1, 0.9, 1e-8, 0.0, 0.0)
    kernels.adagrad_step(p, g, v, [1], 0.1, 0.0, 1e-8, 0.0)


KERNELS: dict[str, Callable[[], None]] = {
    "products": _matmul,
    "convolution": _conv,
    "convolution's gradients": _conv_grad,
    "pooling, 2x2": _pool(_PAIRS),
    "pooling, any window": _pool(_WINDOWS),
    "softmax": _softmax,
    "cross-entropy": _loss,
    "RNN": _rnn,
    "LSTM": _lstm,
    "GRU": _gru,
    "optimisers": _optimisers,
}
