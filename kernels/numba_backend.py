"""Numba: the same sums as compiled loops, on all cores.

numba_tile.py holds the arithmetic, numba_lines.py the geometry, numba_threads.py threads; the rest is made of these.
"""

from __future__ import annotations

import numba

from tinymed.kernels.numba_conv import conv2d, conv2d_max_pool2d
from tinymed.kernels.numba_conv_grad import conv2d_grad, conv2d_input_grad, conv2d_max_pool2d_grad, conv2d_weight_grad
from tinymed.kernels.numba_gru import gru, gru_grad
from tinymed.kernels.numba_loss import cross_entropy, cross_entropy_grad
from tinymed.kernels.numba_lstm import lstm, lstm_grad
from tinymed.kernels.numba_matmul import matmul
from tinymed.kernels.numba_optim import adagrad_step, adam_step, rmsprop_step, sgd_step
from tinymed.kernels.numba_pool import avg_pool2d, avg_pool2d_grad, max_pool2d, max_pool2d_grad
from tinymed.kernels.numba_rnn import rnn, rnn_grad
from tinymed.kernels.numba_softmax import softmax, softmax_grad

__all__ = [
    "adagrad_step", "adam_step", "available", "avg_pool2d", "avg_pool2d_grad", "conv2d", "conv2d_grad",
    "conv2d_input_grad", "conv2d_max_pool2d", "conv2d_max_pool2d_grad", "conv2d_weight_grad", "cross_entropy",
    "cross_entropy_grad", "gru", "gru_grad", "lstm", "lstm_grad", "matmul", "max_pool2d", "max_pool2d_grad",
    "rmsprop_step", "rnn", "rnn_grad", "sgd_step", "softmax", "softmax_grad",
]  # fmt: skip
THREADS = "numba"
AUTOMATIC = not numba.config.DISABLE_JIT


def available() -> tuple[bool, str]:
    return True, f"Numba {numba.__version__}" + (", switched off: plain Python" if numba.config.DISABLE_JIT else "")
