"""tinymed: a deep-learning engine that a person can read from end to end.

    import tinymed
    x = tinymed.tensor([1.0, 2.0, 3.0], requires_grad=True)
    (x * x).sum().backward()
    x.grad                                        # tensor([2., 4., 6.])

Names, arguments, defaults and shapes are PyTorch's wherever tinymed offers the thing.
"""

import importlib as _importlib
import typing as _typing

import numpy as _np

from tinymed import ops as _ops
from tinymed.autograd import Function, detect_anomaly, enable_grad, inference_mode, is_grad_enabled, no_grad
from tinymed.gradcheck import gradcheck
from tinymed.kernels import available as backends
from tinymed.kernels import get_backend, use_backend
from tinymed.kernels.threads import get_num_threads, set_num_threads
from tinymed.modes import no_fusion
from tinymed.ops.activation import log_softmax, relu, sigmoid, softmax, tanh
from tinymed.ops.arithmetic import (
    add, allclose, div, eq, equal, ge, gt, le, logical_and, logical_not, logical_or, lt, maximum, minimum, mul,
    ne, neg, pow, sub, where,
)  # fmt: skip
from tinymed.ops.creation import (
    arange, empty, eye, full, full_like, linspace, ones, ones_like, rand, rand_like, randint, randn, randn_like,
    randperm, zeros, zeros_like,
)  # fmt: skip
from tinymed.ops.elementwise import (
    abs, ceil, clamp, clone, cos, exp, floor, isfinite, isinf, isnan, log, log1p, round, rsqrt, sign, sin, sqrt,
    square,
)  # fmt: skip
from tinymed.ops.index import gather, index_select, nonzero, tril, triu
from tinymed.ops.join import cat, chunk, split, stack, unbind
from tinymed.ops.matmul import dot, einsum, matmul
from tinymed.ops.order import amax, amin, argmax, argmin, argsort, max, min, sort, topk
from tinymed.ops.reduce import all, any, cumsum, logsumexp, mean, norm, prod, std, sum, var
from tinymed.ops.shape import flatten, flip, movedim, permute, reshape, squeeze, t, transpose, unsqueeze
from tinymed.random import Generator, default_generator, manual_seed
from tinymed.tensor import Tensor, as_tensor, from_dlpack, from_numpy, is_tensor, tensor

__version__ = "0.1.0"

float16, float32, float64 = (_np.dtype(f"float{n}") for n in (16, 32, 64))
int8, int16, int32, int64 = (_np.dtype(f"int{n}") for n in (8, 16, 32, 64))
uint8 = _np.dtype("uint8")
bool = _np.dtype("bool")
half, float, double, int, long = float16, float32, float64, int32, int64

if _typing.TYPE_CHECKING:
    from tinymed import cuda, data, keras, nn, optim, teach, training
else:

    def __getattr__(name):
        """`tinymed.nn` after `import tinymed` alone: loaded when first used, for an import must be cheap."""
        if name in ("cuda", "data", "keras", "nn", "optim", "teach", "training"):
            return _importlib.import_module(f"tinymed.{name}")
        raise AttributeError(f"module 'tinymed' has no attribute {name!r}")
