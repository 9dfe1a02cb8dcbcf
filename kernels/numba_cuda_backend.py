"""Numba-CUDA: the kernels of a GPU written in Python, each as short as its formula. The backend to learn from.

NumPy arrays in, NumPy arrays out: every call copies its arrays to the device and its results back, which takes longer
than many a sum. Arrays that are on the device already (whatever offers __cuda_array_interface__: CuPy's, PyTorch's,
Numba's) stay there, and so do the results. float64 is computed in float64, other types on the host.

With NUMBA_ENABLE_CUDASIM=1 in the environment Numba plays the device, one Python thread for each of its threads: slow,
and good for a look inside (print, breakpoints) without a GPU.
"""

from __future__ import annotations

from functools import cache

import numpy as np
from numba import cuda

from tinymed.kernels.numba_cuda_conv import (
    conv2d,
    conv2d_direct,
    conv2d_grad,
    conv2d_input_grad,
    conv2d_tiled,
    conv2d_weight_grad,
)
from tinymed.kernels.numba_cuda_loss import cross_entropy, cross_entropy_grad, softmax, softmax_grad
from tinymed.kernels.numba_cuda_matmul import matmul, matmul_naive
from tinymed.kernels.numba_cuda_optim import adagrad_step, adam_step, rmsprop_step, sgd_step
from tinymed.kernels.numba_cuda_pool import (
    avg_pool2d,
    avg_pool2d_grad,
    conv2d_max_pool2d,
    conv2d_max_pool2d_grad,
    max_pool2d,
    max_pool2d_grad,
)
from tinymed.kernels.numba_cuda_recurrent import gru, gru_grad, lstm, lstm_grad, rnn, rnn_grad

__all__ = [
    "adagrad_step", "adam_step", "available", "avg_pool2d", "avg_pool2d_grad", "conv2d", "conv2d_direct",
    "conv2d_grad", "conv2d_input_grad", "conv2d_max_pool2d", "conv2d_max_pool2d_grad", "conv2d_tiled",
    "conv2d_weight_grad", "cross_entropy", "cross_entropy_grad", "gru", "gru_grad", "lstm", "lstm_grad", "matmul",
    "matmul_naive", "max_pool2d", "max_pool2d_grad", "rmsprop_step", "rnn", "rnn_grad", "sgd_step", "softmax",
    "softmax_grad",
]  # fmt: skip
AUTOMATIC = False  # to learn from; others are faster


@cache
def available() -> tuple[bool, str]:
    """Asks the driver, and compiles and runs one small product: a library may be there and not fit."""
    if cuda.config.ENABLE_CUDASIM:
        return True, "simulator: Python threads play the device (NUMBA_ENABLE_CUDASIM)"
    which = "numba-cuda" if cuda.implementation == "NVIDIA" else "Numba's built-in CUDA (better: numba-cuda)"
    if not cuda.is_available():
        return False, f"{which}: {_first_line(cuda.cuda_error()) or 'no compiler (NVVM); pip install numba-cuda[cu13]'}"
    try:
        matmul(np.ones((1, 1), np.float32), np.ones((1, 1), np.float32))
    except Exception as error:  # whatever a driver, a compiler or a linker may raise
        return False, f"{which} cannot run a kernel: {_first_line(str(error)) or type(error).__name__}"
    name = cuda.get_current_device().name
    return True, f"{which} on {name.decode() if isinstance(name, bytes) else name}"


def _first_line(text: str | None) -> str:
    return next((line.strip() for line in (text or "").splitlines() if line.strip()), "")
