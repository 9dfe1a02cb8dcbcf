"""tanh and σ for the inside of loops: a quotient of polynomials for float32, which fills vectors, libm for float64."""

from __future__ import annotations

import math

import numpy as np
from numba import config, types
from numba.extending import overload

from tinymed.kernels.numba_jit import HOW

# x · P(x²) / Q(x²) on [−7.9, 7.9], beyond which float32's tanh is ±1; at most 2.4e-7 off (Eigen's ptanh)
_BOUND = np.float32(7.90531110763549805)
_P = tuple(
    np.float32(c)
    for c in (
        4.89352455891786e-03, 6.37261928875436e-04, 1.48572235717979e-05, 5.12229709037114e-08,
        -8.60467152213735e-11, 2.00018790482477e-13, -2.76076847742355e-16,
    )
)  # fmt: skip
_Q = tuple(
    np.float32(c) for c in (4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06)
)
_P0, _P1, _P2, _P3, _P4, _P5, _P6 = _P
_Q0, _Q1, _Q2, _Q3 = _Q
_HALF = np.float32(0.5)


def _tanh32(x):
    x = -_BOUND if x < -_BOUND else x  # NaN passes
    x = _BOUND if x > _BOUND else x
    s = x * x
    p = _P0 + s * (_P1 + s * (_P2 + s * (_P3 + s * (_P4 + s * (_P5 + s * _P6)))))
    return x * p / (_Q0 + s * (_Q1 + s * (_Q2 + s * _Q3)))


def tanh(x):
    return np.tanh(x)


def sigmoid(x):
    """σ(x) = ½ + ½·tanh(x/2), which cannot overflow"""
    half = x.dtype.type(0.5)
    return half + half * np.tanh(half * x)


if not config.DISABLE_JIT:

    @overload(tanh, jit_options=HOW)
    def _tanh(x):
        if x == types.float32:
            return _tanh32
        return lambda x: math.tanh(x)

    @overload(sigmoid, jit_options=HOW)
    def _sigmoid(x):
        if x == types.float32:
            return lambda x: _HALF + _HALF * tanh(_HALF * x)
        return lambda x: 0.5 + 0.5 * tanh(0.5 * x)
