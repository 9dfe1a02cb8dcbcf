"""CuPy: the same functions for arrays on an NVIDIA GPU, through the CUDA C in kernels/cuda.

It is not chosen: what is given an array on a GPU runs here (kernels.look_at_devices), and comes back on it.
"""

from __future__ import annotations

import importlib.util
import shutil
from functools import cache

from tinymed.kernels.cupy_conv import (
    conv2d,
    conv2d_grad,
    conv2d_input_grad,
    conv2d_max_pool2d,
    conv2d_max_pool2d_grad,
    conv2d_weight_grad,
)
from tinymed.kernels.cupy_loss import cross_entropy, cross_entropy_grad
from tinymed.kernels.cupy_matmul import matmul
from tinymed.kernels.cupy_optim import adagrad_step, adam_step, rmsprop_step, sgd_step
from tinymed.kernels.cupy_pool import avg_pool2d, avg_pool2d_grad, max_pool2d, max_pool2d_grad
from tinymed.kernels.cupy_recurrent import gru, gru_grad, lstm, lstm_grad, rnn, rnn_grad
from tinymed.kernels.cupy_softmax import softmax, softmax_grad

__all__ = [
    "adagrad_step", "adam_step", "available", "avg_pool2d", "avg_pool2d_grad", "conv2d", "conv2d_grad",
    "conv2d_input_grad", "conv2d_max_pool2d", "conv2d_max_pool2d_grad", "conv2d_weight_grad", "cross_entropy",
    "cross_entropy_grad", "gru", "gru_grad", "lstm", "lstm_grad", "matmul", "max_pool2d", "max_pool2d_grad",
    "rmsprop_step", "rnn", "rnn_grad", "sgd_step", "softmax", "softmax_grad",
]  # fmt: skip

CURE = 'pip install "tinymed[cuda13]" for drivers from r580 on, "tinymed[cuda12]" for older ones'


@cache
def available() -> tuple[bool, str]:
    """Whether a GPU can be used here, and its name, or why not."""
    if importlib.util.find_spec("cupy") is None:
        found = "" if shutil.which("nvidia-smi") else "no NVIDIA driver is found here (no nvidia-smi), and "
        return False, f"{found}CuPy is not installed: {CURE}"
    try:
        import cupy

        if not cupy.cuda.is_available():
            return False, "there is no NVIDIA GPU here, or its driver is missing or too old for this CuPy"
        cupy.RawKernel('extern "C" __global__ void nothing() {}', "nothing").compile()
        name = cupy.cuda.runtime.getDeviceProperties(0)["name"]
    except Exception as error:  # a library that CuPy needs: which one, only it knows
        return False, f"CuPy cannot be used: {error}; {CURE}"
    return True, f"CuPy {cupy.__version__}, {name.decode() if isinstance(name, bytes) else name}"
